//! The commands for chains as a script meets them, as far as they need no node.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// BIP-39's first test vector, a key that everybody knows.
const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
const ADDRESS: &str = "wasm19rl4cm2hmr8afy4kldpxz3fka4jguq0akuugk7";
/// Its private key at m/44'/118'/0'/0/0, as `wasmd keys export --unarmored-hex --unsafe` prints it.
const PRIVATE: &str = "c4a48e2fce1481cd3294b4490f6678090ea98d3d0e5cd984558ab0968741b104";
/// No node listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

/// A folder of its own for each test, and an environment without what the user has set.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Desk(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file that only its owner may read.
    fn secret(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aiinference"));
        command.current_dir(&self.0).args(arguments);
        for name in ["NODE", "CHAIN_ID", "KEYS", "MNEMONIC", "GAS_PRICE"] {
            command.env_remove(format!("AIINFERENCE_{name}"));
        }
        command
            .env("XDG_DATA_HOME", self.path("data"))
            .env("AIINFERENCE_NODE", NOWHERE);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs with something on standard input.
    fn pipe(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that has read enough closes its end.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }
}

/// Both outputs, which never hold a secret.
fn said(done: &Output) -> String {
    let text = [&done.stdout[..], &done.stderr[..]]
        .map(String::from_utf8_lossy)
        .concat();
    assert!(
        !text.contains("abandon") && !text.contains(PRIVATE),
        "a secret is shown: {text}"
    );
    text
}

fn fails(done: &Output, code: i32, with: &str) {
    let said = said(done);
    assert_eq!(done.status.code(), Some(code), "{said}");
    assert!(said.contains(with), "no {with:?} in: {said}");
}

fn succeeds(done: &Output, with: &str) {
    let said = said(done);
    assert_eq!(done.status.code(), Some(0), "{said}");
    assert!(said.contains(with), "no {with:?} in: {said}");
}

#[test]
fn keys_are_added_imported_listed_shown_and_deleted() {
    let desk = Desk::new();
    desk.secret("words.txt", &format!("{WORDS}\n"));
    succeeds(
        &desk.run(&["keys", "add", "filed", "--mnemonic-file", "words.txt"]),
        ADDRESS,
    );
    succeeds(
        &desk
            .command(&["keys", "add", "set"])
            .env("AIINFERENCE_MNEMONIC", WORDS)
            .output()
            .unwrap(),
        ADDRESS,
    );
    succeeds(
        &desk.pipe(&["keys", "import", "piped"], &format!("{PRIVATE}\n")),
        ADDRESS,
    );
    let made = desk.run(&["keys", "add", "made", "--new-mnemonic", "new.txt"]);
    succeeds(&made, "wasm1");
    let words = fs::read_to_string(desk.path("new.txt")).unwrap();
    assert_eq!(words.split_whitespace().count(), 24);
    assert!(!said(&made).contains(words.trim()), "the new mnemonic is shown");

    let list = desk.run(&["keys", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    let names: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["filed", "made", "piped", "set"]);
    succeeds(
        &desk.run(&["keys", "show", "piped", "--prefix", "cosmos"]),
        "cosmos19rl4cm2hmr8afy4kldpxz3fka4jguq0auqdal4",
    );

    fails(&desk.run(&["keys", "delete", "piped"]), 1, "--yes");
    succeeds(&desk.run(&["keys", "delete", "piped", "--yes"]), "deleted");
    fails(&desk.run(&["keys", "show", "piped"]), 1, "there is none");
    for file in ["filed", "made", "set"] {
        let path = desk.path(&format!("data/aiinference/keys/{file}.key"));
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn keys_are_never_written_over_nor_read_where_others_could() {
    let desk = Desk::new();
    desk.secret("words.txt", WORDS);
    fails(&desk.run(&["keys", "add", "alice"]), 1, "AIINFERENCE_MNEMONIC");
    succeeds(
        &desk.run(&["keys", "add", "alice", "--mnemonic-file", "words.txt"]),
        ADDRESS,
    );
    fails(
        &desk.run(&["keys", "add", "alice", "--mnemonic-file", "words.txt"]),
        1,
        "there is one of that name",
    );
    fails(
        &desk.run(&["keys", "add", "bob", "--new-mnemonic", "words.txt"]),
        1,
        "words.txt",
    );
    assert_eq!(fs::read_to_string(desk.path("words.txt")).unwrap(), WORDS);

    fs::set_permissions(desk.path("words.txt"), fs::Permissions::from_mode(0o644)).unwrap();
    fails(
        &desk.run(&["keys", "add", "bob", "--mnemonic-file", "words.txt"]),
        1,
        "chmod 600",
    );
    let key = desk.path("data/aiinference/keys/alice.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    fails(&desk.run(&["keys", "show", "alice"]), 1, "chmod 600");
    fails(
        &desk.run(&["keys", "add", "../alice", "--mnemonic-file", "words.txt"]),
        1,
        "is no name",
    );
}

#[test]
fn what_is_no_key_is_refused_without_being_shown() {
    let desk = Desk::new();
    desk.secret("words.txt", &WORDS.replace("about", "abandon"));
    fails(
        &desk.run(&["keys", "add", "alice", "--mnemonic-file", "words.txt"]),
        1,
        "checksum",
    );
    desk.secret("words.txt", WORDS);
    let path = ["keys", "add", "alice", "--mnemonic-file", "words.txt", "--hd-path", "x"];
    fails(&desk.run(&path), 1, "derivation path");
    for input in ["", "hello", &PRIVATE[1..], &PRIVATE.repeat(100)] {
        fails(&desk.pipe(&["keys", "import", "alice"], input), 1, "private key");
    }
    assert!(!desk.path("data").exists());
}

#[test]
fn command_lines_that_make_no_sense_are_refused() {
    let desk = Desk::new();
    let contract = ADDRESS;
    for arguments in [
        vec!["execute", contract],
        vec!["execute", contract, "{}", "--generate-only"],
        vec!["execute", contract, "{}", "--from-address", ADDRESS],
        vec!["execute", contract, "{}", "--from", "a", "--mnemonic-file", "b"],
        vec!["execute", contract, "{}", "--from", "a", "--as-proposal"],
        vec![
            "execute",
            contract,
            "{}",
            "--from",
            "a",
            "--as-proposal",
            "--title",
            "t",
            "--summary",
            "s",
        ],
        vec!["execute", contract, "{}", "--from", "a", "--title", "t"],
        vec!["execute", contract, "{}", "--from", "a", "--gas-adjustment", "0.5"],
        vec!["execute", contract, "{}", "--from", "a", "--gas-price", "free"],
        vec!["instantiate", "1", "{}", "--label", "l", "--from", "a"],
        vec!["instantiate", "one", "{}", "--label", "l", "--no-admin", "--from", "a"],
        vec!["upload", "x.wasm", "--from", "a", "--output-dir", "d"],
        vec!["upload", "x.wasm", "--from", "a", "--instantiate", "anyone"],
        vec!["query", "smart", contract],
    ] {
        let done = desk.run(&arguments);
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {}", said(&done));
    }
}

#[test]
fn what_is_wrong_here_is_said_before_a_node_is_asked() {
    let desk = Desk::new();
    fs::write(desk.path("noise.wasm"), [7; 100]).unwrap();
    fs::write(desk.path("bad.json"), "{").unwrap();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../demo/models/tests/golden/mlp.wasm");
    let mut broken = fs::read(model).unwrap();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    broken.truncate(last - 10);
    fs::write(desk.path("broken.wasm"), &broken).unwrap();
    for (arguments, cause) in [
        (vec!["upload", "gone.wasm", "--from", "a"], "gone.wasm"),
        (vec!["upload", "noise.wasm", "--from", "a"], "does not begin like Wasm"),
        (vec!["upload", "broken.wasm", "--from", "a"], "reading broken.wasm"),
        (
            vec!["upload", model, "--from", "a", "--shard-bytes", "0"],
            "a shard holds",
        ),
        (vec!["execute", "wasm1nobody", "{}", "--from", "a"], "no bech32 address"),
        (vec!["execute", ADDRESS, "{", "--from", "a"], "no JSON"),
        (vec!["execute", ADDRESS, "@bad.json", "--from", "a"], "no JSON"),
        (vec!["execute", ADDRESS, "@gone.json", "--from", "a"], "gone.json"),
        (
            vec!["execute", ADDRESS, "{}", "--funds", "5", "--from", "a"],
            "the amount",
        ),
        (vec!["query", "smart", ADDRESS, "?"], "no JSON"),
        (vec!["query", "raw", ADDRESS, "xy", "--hex"], "hexadecimal"),
    ] {
        fails(&desk.run(&arguments), 1, cause);
    }
    let large = " ".repeat(1_000_000);
    fails(
        &desk.pipe(&["execute", ADDRESS, "-", "--from", "a"], &large),
        1,
        "bytes that a transaction carries",
    );
}

#[test]
fn a_node_that_is_not_there_is_named_with_what_to_do() {
    let desk = Desk::new();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../demo/models/tests/golden/mlp.wasm");
    for arguments in [
        vec!["query", "codes"],
        vec!["query", "smart", ADDRESS, "{}"],
        vec!["upload", model, "--from", "a"],
        vec!["execute", ADDRESS, "{}", "--from-address", ADDRESS, "--generate-only"],
    ] {
        fails(&desk.run(&arguments), 1, NOWHERE);
        fails(&desk.run(&arguments), 1, "check that it runs");
    }
    fails(
        &desk.run(&["query", "codes", "--node", "localhost"]),
        1,
        "http://127.0.0.1:26657",
    );
}

#[test]
fn help_names_every_exit_code() {
    let desk = Desk::new();
    let help = desk.run(&["--help"]);
    for code in ["  4  the chain refused", "  5  the transaction was sent"] {
        succeeds(&help, code);
    }
}
