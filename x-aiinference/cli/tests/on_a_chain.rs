//! The commands on a real chain: `make localnet-up`, then `make test-localnet`.

#[path = "../../client/tests/common/mod.rs"]
mod common;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use common::{new_model, Localnet};
use serde_json::{json, Value};
use tempfile::TempDir;

/// A contract that needs no extension, built by `make contracts`.
fn contract() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../../target").into());
    target.join("contracts/in-guest.wasm")
}

/// One account's desk beside a running chain.
struct Desk {
    net: Localnet,
    words: String,
    folder: TempDir,
}

impl Desk {
    fn of(account: &str) -> Self {
        let net = Localnet::open();
        let words = net.mnemonic_file(account).to_string();
        Desk {
            net,
            words,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().into()
    }

    fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aiinference"));
        command
            .current_dir(&self.folder)
            .args(arguments)
            .env("AIINFERENCE_NODE", self.net.url())
            .env("AIINFERENCE_KEYS", self.folder.path().join("keys"))
            .env_remove("AIINFERENCE_MNEMONIC");
        command.output().unwrap()
    }

    /// Runs a command that signs as this account; its JSON.
    fn sign(&self, arguments: &[&str]) -> Value {
        let fixed = ["--mnemonic-file", &self.words, "--timeout", "120"];
        self.json(&[arguments, &fixed].concat())
    }

    /// Runs a command; its JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        let done = self.command(&[arguments, &["--json"]].concat());
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&done.stdout).unwrap_or(Value::Null)
    }

    fn address(&self) -> String {
        self.command(&["keys", "add", "me", "--mnemonic-file", &self.words]);
        self.json(&["keys", "show", "me"])[0]["address"]
            .as_str()
            .unwrap()
            .into()
    }

    /// Runs the chain's own program on the same library as the node.
    fn wasmd(&self, arguments: &[&str]) -> Value {
        let library = PathBuf::from(self.net.node()["runs"]["library"]["file"].as_str().unwrap());
        let mut command = Command::new(self.net.wasmd());
        command
            .args(arguments)
            .args(["--output", "json"])
            .env("LD_LIBRARY_PATH", library.parent().unwrap());
        if arguments[0] != "keys" {
            command.args(["--node", self.net.url()]);
        }
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&done.stdout).unwrap_or(Value::Null)
    }

    /// Signs a written transaction with wasmd's test keyring, sends it, and waits for it.
    fn sign_elsewhere(&self, file: &str, address: &str) {
        let home = self.path("wasmd");
        let keyring = ["--keyring-backend", "test", "--home", &home];
        if !PathBuf::from(&home).exists() {
            let add = ["keys", "add", "me", "--recover", "--source", &self.words];
            self.wasmd(&[&add[..], &keyring].concat());
        }
        let signed = self.path("signed.json");
        let _ = fs::remove_file(&signed);
        let sign = [
            "tx",
            "sign",
            file,
            "--from",
            address,
            "--chain-id",
            "consumer-1",
            "--output-document",
            &signed,
        ];
        self.wasmd(&[&sign[..], &keyring].concat());
        let sent = self.wasmd(&["tx", "broadcast", &signed]);
        assert_eq!(sent["code"], 0, "{sent}");
        self.until("the transaction is in a block", || {
            let done = self.command(&["query", "tx", sent["txhash"].as_str().unwrap(), "--json"]);
            let result: Value = serde_json::from_slice(&done.stdout).ok()?;
            assert_eq!(result["code"], 0, "{result}");
            Some(())
        });
    }

    fn until<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + Duration::from_secs(120);
        while Instant::now() < end {
            if let Some(found) = found() {
                return found;
            }
            thread::sleep(Duration::from_millis(300));
        }
        panic!("waited in vain until {what}");
    }
}

#[test]
#[ignore = "needs a localnet: make test-localnet"]
fn a_contract_is_stored_made_called_and_asked_now_and_as_it_was() {
    let desk = Desk::of("bob");
    let wasm = contract();
    let code = desk.sign(&["upload", wasm.to_str().unwrap(), "--instantiate", "everybody"]);
    let code_id = code["code_id"].to_string();
    let again = desk.sign(&["upload", wasm.to_str().unwrap()]);
    assert_eq!(
        (&again["code_id"], &again["transactions"]),
        (&code["code_id"], &json!([]))
    );
    let shown = desk.json(&["query", "code", &code_id, "--output", "back.wasm"]);
    assert_eq!(shown["checksum"], code["checksum"]);
    assert_eq!(fs::read(desk.path("back.wasm")).unwrap(), fs::read(&wasm).unwrap());
    assert!(desk
        .json(&["query", "codes"])
        .as_array()
        .unwrap()
        .iter()
        .any(|known| known["code_id"] == code["code_id"]));

    let made = desk.sign(&["instantiate", &code_id, "{}", "--label", "tried", "--no-admin"]);
    let contract = made["contract"].as_str().unwrap();
    assert_eq!(desk.json(&["query", "contract", contract])["label"], "tried");
    let before = desk.sign(&["execute", contract, r#"{"append":{"part":"graph","data":"AAAA"}}"#]);
    fs::write(desk.path("msg.json"), r#"{"append":{"part":"graph","data":"AAAA"}}"#).unwrap();
    desk.sign(&["execute", contract, "@msg.json", "--gas", "300000"]);
    let state = r#"{"state":{}}"#;
    assert_eq!(desk.json(&["query", "smart", contract, state])["graph"], 6);
    let height = before["height"].to_string();
    assert_eq!(
        desk.json(&["query", "smart", contract, state, "--height", &height])["graph"],
        3
    );
    let raw = desk.json(&["query", "raw", contract, "owner"]);
    assert_eq!(raw["text"], format!("{:?}", desk.address()));
    let found = desk.json(&["query", "tx", before["transaction"].as_str().unwrap()]);
    assert_eq!((&found["height"], &found["code"]), (&before["height"], &json!(0)));
    let coins = desk.json(&["query", "balances", &desk.address()]);
    assert_eq!(coins[0]["denom"], "stake");

    // What the chain refuses has an exit code of its own; what is not in a block in time, another.
    let refused = [
        &["execute", contract, r#"{"no":{}}"#, "--mnemonic-file"][..],
        &[&desk.words],
    ]
    .concat();
    assert_eq!(desk.command(&refused).status.code(), Some(4));
    let late = [
        "execute",
        contract,
        "@msg.json",
        "--timeout",
        "0",
        "--mnemonic-file",
        &desk.words,
    ];
    assert_eq!(desk.command(&late).status.code(), Some(5));
}

#[test]
#[ignore = "needs a localnet: make test-localnet"]
fn a_model_in_shards_is_written_unsigned_signed_by_wasmd_and_described_from_the_chain() {
    let desk = Desk::of("load0");
    let address = desk.address();
    fs::write(desk.path("model.wasm"), new_model(1000, 1000)).unwrap();
    let write = [
        "upload",
        "model.wasm",
        "--from-address",
        &address,
        "--generate-only",
        "--output-dir",
        "unsigned",
    ];
    // Shards first, then the manifest of them.
    for parts in [2, 1] {
        let written = desk.json(&write);
        let files: Vec<&str> = written
            .as_array()
            .unwrap()
            .iter()
            .map(|part| part["file"].as_str().unwrap())
            .collect();
        assert_eq!(files.len(), parts, "{written}");
        for file in files {
            desk.sign_elsewhere(&desk.path(file), &address);
        }
    }
    let code_id = desk.json(&write)["code_id"].to_string();
    let model = desk.json(&["query", "model", &code_id]);
    assert_eq!(model["parameters"], 1_000_000);
    fs::write(desk.path("same.wasm"), fs::read(desk.path("model.wasm")).unwrap()).unwrap();
    let local = desk.json(&["inspect", "same.wasm"]);
    assert_eq!(local["outputs"], model["outputs"]);
}

#[test]
#[ignore = "needs a localnet: make test-localnet"]
fn governance_stores_a_model_that_was_proposed() {
    let desk = Desk::of("load1");
    fs::write(desk.path("model.wasm"), new_model(100, 100)).unwrap();
    let propose = [
        "upload",
        "model.wasm",
        "--as-proposal",
        "--title",
        "A model",
        "--summary",
        "Tried",
        "--deposit",
        "10000000stake",
    ];
    let proposed = desk.sign(&propose);
    let proposal = proposed[0]["proposal"].to_string();
    // Asked again while it is open, it is not proposed a second time.
    let again = desk.sign(&propose);
    assert_eq!(
        (&again[0]["proposal"], &again[0]["transaction"]),
        (&proposed[0]["proposal"], &Value::Null)
    );
    let node = desk.net.node();
    let (home, name) = (node["home"].as_str().unwrap(), node["name"].as_str().unwrap());
    let vote = [
        "tx",
        "gov",
        "vote",
        &proposal,
        "yes",
        "--from",
        name,
        "--home",
        home,
        "--keyring-backend",
        "test",
    ];
    let voted = desk.wasmd(&[&vote[..], &["--chain-id", "consumer-1", "--yes"]].concat());
    assert_eq!(voted["code"], 0, "{voted}");
    let code_id = desk.until("the proposal has passed", || {
        let found = desk.wasmd(&["query", "gov", "proposal", &proposal]);
        let status = found["proposal"]["status"].as_str().unwrap();
        assert!(!status.contains("REJECTED") && !status.contains("FAILED"), "{found}");
        status
            .contains("PASSED")
            .then(|| desk.sign(&propose)["code_id"].to_string())
    });
    let code = desk.json(&["query", "code", &code_id]);
    assert_eq!(code["instantiate"], "nobody");
    assert_ne!(code["creator"].as_str().unwrap(), desk.address());
}
