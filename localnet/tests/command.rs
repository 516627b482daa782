//! The program without servers: what it refuses, and how it says so.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

fn localnet(args: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aiinference-localnet"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn refused(args: &[&str], folder: &Path) -> String {
    let output = localnet(args, folder);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A folder with a library, and a wasmd that can do just enough to be started.
fn program(folder: &Path, wasmd: &str) {
    use std::os::unix::fs::PermissionsExt;
    for place in ["stock", "ours"] {
        fs::create_dir_all(folder.join(place)).unwrap();
        fs::write(folder.join(place).join("libwasmvm.x86_64.so"), place).unwrap();
    }
    fs::write(folder.join("wasmd"), wasmd).unwrap();
    fs::set_permissions(folder.join("wasmd"), fs::Permissions::from_mode(0o755)).unwrap();
}

const UP: [&str; 7] = ["up", "--home", "net", "--wasmd", ".", "--library", "ours"];

#[test]
fn commands_on_a_localnet_that_was_never_made_say_how_to_make_it() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["down", "status", "logs"] {
        let said = refused(&[command, "--home", "net"], folder.path());
        assert!(said.contains("make it with `aiinference-localnet up`"), "{said}");
    }
    assert!(
        localnet(&["reset", "--home", "net"], folder.path()).status.success(),
        "there is nothing to reset"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "asking makes nothing");
}

#[test]
fn a_missing_library_or_wasmd_is_named_with_what_builds_it() {
    let folder = tempfile::tempdir().unwrap();
    program(folder.path(), "");
    fs::remove_file(folder.path().join("wasmd")).unwrap();
    let said = refused(&UP, folder.path());
    assert!(
        said.contains("/wasmd does not exist; build it with scripts/wasmd.sh"),
        "{said}"
    );
    fs::remove_file(folder.path().join("ours/libwasmvm.x86_64.so")).unwrap();
    let said = refused(&UP, folder.path());
    assert!(said.contains("ours/libwasmvm.x86_64.so does not exist"), "{said}");
    assert!(said.contains("--library"), "{said}");
}

#[test]
fn a_wasmd_that_fails_is_quoted_and_the_next_attempt_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    program(
        folder.path(),
        "#!/bin/sh\necho \"ERR it is $1 that fails\" >&2\nexit 1\n",
    );
    for _ in 0..2 {
        let said = refused(&UP, folder.path());
        assert!(said.contains("ERR it is init that fails"), "{said}");
    }
    assert!(localnet(&["reset", "--home", "net"], folder.path()).status.success());
    assert!(!folder.path().join("net").exists());
}

#[test]
fn a_folder_with_other_files_is_neither_used_nor_removed() {
    let folder = tempfile::tempdir().unwrap();
    program(folder.path(), "");
    let mine = folder.path().join("net/nodes/mine");
    fs::create_dir_all(mine.parent().unwrap()).unwrap();
    fs::write(&mine, "precious").unwrap();
    for command in [&UP[..], &["reset", "--home", "net"]] {
        let said = refused(command, folder.path());
        assert!(said.contains("holds other files"), "{said}");
    }
    assert_eq!(fs::read_to_string(mine).unwrap(), "precious");
    assert_eq!(fs::read_dir(folder.path().join("net")).unwrap().count(), 1);
}

/// A localnet of one node whose program is a script, on a free port.
fn one_node(folder: &Path, wasmd: &str) -> u16 {
    program(folder, wasmd);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let home = folder.join("net");
    let node = home.join("nodes/lone");
    fs::create_dir_all(&node).unwrap();
    fs::write(home.join("localnet.lock"), "").unwrap();
    let plan = serde_json::json!({
        "version": 1, "base_port": 26650, "wasmd": folder.join("wasmd"), "accounts": [],
        "chains": [{"id": "consumer-1", "denom": "stake", "prefix": "wasm", "nodes": [{
            "name": "lone", "chain": "consumer-1", "validator": false, "slot": 0, "node_id": "",
            "home": node, "pid_file": node.join("node.pid"), "log_file": node.join("node.log"),
            "rpc_url": format!("http://127.0.0.1:{port}"),
            "ports": {"p2p": port, "rpc": port, "grpc": port, "metrics": port},
            "runs": {
                "library": {"source": "ours", "file": folder.join("ours/libwasmvm.x86_64.so"), "sha256": ""},
                "capability": false, "kernels": null, "trace_file": null, "environment": {},
            },
        }]}],
    });
    fs::write(home.join("localnet.json"), plan.to_string()).unwrap();
    port
}

#[test]
fn a_port_that_another_program_has_is_named_and_nothing_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let port = one_node(folder.path(), "#!/bin/sh\nexec sleep 60\n");
    let _other = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let said = refused(&UP, folder.path());
    assert!(
        said.contains(&format!(
            "starting lone: port {port} (peers) is taken by another program"
        )),
        "{said}"
    );
    assert!(!folder.path().join("net/nodes/lone/node.pid").exists());
}

#[test]
fn a_node_that_dies_is_shown_with_the_end_of_its_log() {
    let folder = tempfile::tempdir().unwrap();
    one_node(folder.path(), "#!/bin/sh\necho no room for a database\nexit 1\n");
    let said = refused(&UP, folder.path());
    assert!(said.contains("lone ended by itself"), "{said}");
    assert!(said.contains("no room for a database"), "{said}");
    let status = localnet(&["status", "--home", "net"], folder.path());
    assert_eq!(status.status.code(), Some(1));
    let table = String::from_utf8(status.stdout).unwrap();
    assert!(
        table.contains("dead") && table.contains("no room for a database"),
        "{table}"
    );
    let logs = localnet(&["logs", "lone", "--home", "net"], folder.path());
    assert_eq!(String::from_utf8(logs.stdout).unwrap(), "no room for a database\n");
    assert!(refused(&["logs", "nobody", "--home", "net"], folder.path()).contains("the localnet has lone"));
}

#[test]
fn a_process_that_only_inherited_the_id_in_a_pid_file_is_not_ended() {
    let folder = tempfile::tempdir().unwrap();
    one_node(folder.path(), "");
    // This very process, but said to have started at another time.
    let foreign = serde_json::json!({"pid": std::process::id(), "started": 1, "boot": "another"});
    let pid_file = folder.path().join("net/nodes/lone/node.pid");
    fs::write(&pid_file, foreign.to_string()).unwrap();
    assert!(localnet(&["down", "--home", "net"], folder.path()).status.success());
    assert!(!pid_file.exists());
}
