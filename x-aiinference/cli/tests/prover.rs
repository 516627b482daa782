//! `aiinference prover` as a script meets it, without a chain.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Output},
};

use aiinference_prover::{Job, Snapshot, State};
use tempfile::TempDir;

fn run(desk: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aiinference"));
    command
        .current_dir(desk)
        .env_remove("AIINFERENCE_PROVER_CONFIG")
        .arg("prover")
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_configuration_is_written_once_and_never_over_another() {
    let desk = tempfile::tempdir().unwrap();
    let done = run(&desk, &["init"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let written = fs::read_to_string(desk.path().join("prover.toml")).unwrap();
    assert!(written.contains("maximum_bond"));
    fs::write(desk.path().join("prover.toml"), "mine").unwrap();
    let again = run(&desk, &["init"]);
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(fs::read_to_string(desk.path().join("prover.toml")).unwrap(), "mine");
}

#[test]
fn what_is_missing_is_said_with_the_next_step() {
    let desk = tempfile::tempdir().unwrap();
    let none = run(&desk, &["run"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("prover init"), "{}", text(&none.stderr));
    run(&desk, &["init"]);
    let status = run(&desk, &["status"]);
    assert!(text(&status.stderr).contains("prover run"), "{}", text(&status.stderr));
    // The key's file is not there, then open to all, then no key. Nothing of it is ever shown.
    let file = desk.path().join("prover.mnemonic");
    let secret = "d0d0".repeat(17);
    for (mode, part) in [
        (None, "prover.mnemonic"),
        (Some(0o644), "chmod 600"),
        (Some(0o600), "private key"),
    ] {
        if let Some(mode) = mode {
            fs::write(&file, &secret).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        let done = run(&desk, &["run"]);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(1));
        assert!(said.contains(part) && !said.contains(&secret), "{said}");
    }
}

#[test]
fn status_shows_open_jobs_and_all_where_asked() {
    let desk = tempfile::tempdir().unwrap();
    run(&desk, &["init"]);
    let data = desk.path().join("prover");
    fs::create_dir(&data).unwrap();
    let mut open = Job::new(7, "ab", "5stake".into());
    open.state = State::Proving;
    let mut over = Job::new(6, "ab", "9stake".into());
    over.end(State::Failed, Some("a \u{1b}[2J reason".into()));
    Snapshot::of("wasm1prover", [&over, &open].into_iter())
        .write(&data)
        .unwrap();
    let shown = text(&run(&desk, &["status"]).stdout);
    assert!(shown.contains("proving") && !shown.contains("failed"), "{shown}");
    let all = text(&run(&desk, &["status", "--all"]).stdout);
    assert!(all.contains("failed") && all.contains("reason"), "{all}");
    assert!(!all.contains('\u{1b}'), "nothing steers the terminal: {all:?}");
    let json = text(&run(&desk, &["status", "--all", "--json"]).stdout);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["jobs"][0]["state"], "failed");
    assert_eq!(json["jobs"][1]["request"], 7);
}
