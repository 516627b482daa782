//! The orchestrator on real chains: a localnet of its own, from nothing to nothing. Needs target/wasmd (scripts/wasmd.sh).
//! `make test-localnet` runs it; LOCALNET_LIBRARY names the folder of the provider's library, by default the stock one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aiinference_localnet::{Join, Localnet, NodeOptions, Settings, Status, CONSUMER, PROVIDER};

const SOON: Duration = Duration::from_secs(180);

fn built() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"))
        .canonicalize()
        .unwrap()
}

/// Ports of its own, so that it runs beside the localnet that other suites use.
fn settings(home: &Path) -> Settings {
    let wasmd = built().join("wasmd");
    let library = std::env::var_os("LOCALNET_LIBRARY").map_or_else(|| wasmd.join("stock"), PathBuf::from);
    Settings {
        home: home.into(),
        wasmd,
        library,
        base_port: 28650,
    }
}

fn say(line: &str) {
    eprintln!("==> {line}");
}

/// Ends the nodes also when the test fails.
struct Guard<'a>(&'a Path);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let program = env!("CARGO_BIN_EXE_aiinference-localnet");
        let _ = std::process::Command::new(program)
            .arg("reset")
            .arg("--home")
            .arg(self.0)
            .status();
    }
}

#[tokio::test]
#[ignore = "starts real nodes: make test-localnet"]
async fn chains_come_up_survive_a_killed_validator_take_a_new_node_and_leave_no_process() {
    let folder = tempfile::tempdir_in(built()).unwrap();
    let home = folder.path().join("net");
    let settings = settings(&home);
    let _guard = Guard(&home);
    let mut net = Localnet::up(&settings, &say).await.unwrap();

    // A second `up` starts nothing, and asking for another place of the ports is refused.
    let ids = |net: &Localnet| -> Vec<_> {
        net.nodes()
            .unwrap()
            .iter()
            .map(|node| node.process().unwrap().pid())
            .collect()
    };
    let first = ids(&net);
    net = Localnet::up(&settings, &say).await.unwrap();
    assert_eq!(ids(&net), first);
    assert!(Localnet::up(
        &Settings {
            base_port: 29650,
            ..settings.clone()
        },
        &say
    )
    .await
    .is_err());

    // Four validators and one; each maps exactly its own library, and all agree.
    let provider = net.nodes_of(PROVIDER).unwrap();
    let consumer = net.nodes_of(CONSUMER).unwrap();
    assert_eq!((provider.len(), consumer.len()), (4, 1));
    for node in provider.iter().chain(&consumer) {
        assert_eq!(node.maps_library().unwrap(), node.plan().runs.library.file);
        assert!(node.rss_bytes().unwrap() > 0);
    }
    let status = Status::of(&net).await.unwrap();
    assert!(status.is_healthy(), "{status}");

    // Three of four go on; the fourth comes back with the state that they have.
    let [stays, killed, ..] = &provider[..] else {
        panic!("four validators")
    };
    killed.kill().await.unwrap();
    let status = Status::of(&net).await.unwrap();
    assert!(!status.is_healthy(), "a killed validator goes unnoticed:\n{status}");
    let target = stays.height().await.unwrap() + 5;
    stays.wait_height(target, SOON).await.unwrap();
    assert!(killed.start().unwrap());
    killed.wait_height(target, SOON).await.unwrap();
    assert_eq!(
        killed.app_hash(target).await.unwrap(),
        stays.app_hash(target).await.unwrap()
    );

    // A fifth node takes a snapshot: it does not have the first blocks, and has the state.
    let options = NodeOptions::like(stays.plan());
    let synced = net
        .add_node(PROVIDER, "synced", Join::StateSync, &options)
        .await
        .unwrap();
    synced.caught_up(SOON).await.unwrap();
    assert!(
        synced.status().await.unwrap().sync_info.earliest_block_height.value() > 1,
        "it executed every block"
    );
    // Another executes every block.
    let replayed = net
        .add_node(PROVIDER, "replayed", Join::Genesis, &options)
        .await
        .unwrap();
    replayed.caught_up(SOON).await.unwrap();
    let target = stays.height().await.unwrap() + 2;
    for node in [stays, &synced, &replayed] {
        node.wait_height(target + 1, SOON).await.unwrap();
        assert_eq!(
            node.app_hash(target).await.unwrap(),
            stays.app_hash(target).await.unwrap(),
            "{}",
            node.name()
        );
    }
    assert_eq!(
        Localnet::open(&home)
            .unwrap()
            .plan()
            .chain(PROVIDER)
            .unwrap()
            .nodes
            .len(),
        6
    );
    net.remove_node("replayed").await.unwrap();
    assert!(!replayed.is_running() && !replayed.plan().home.exists());

    // Down, and up again on the same chains.
    let height = stays.height().await.unwrap();
    net.down(&say).await.unwrap();
    assert!(net.nodes().unwrap().iter().all(|node| !node.is_running()));
    assert!(!Status::of(&net).await.unwrap().is_healthy());
    net = Localnet::up(&settings, &say).await.unwrap();
    assert!(net.node(stays.name()).unwrap().height().await.unwrap() > height);

    let processes: Vec<_> = net
        .nodes()
        .unwrap()
        .iter()
        .map(|node| node.process().unwrap())
        .collect();
    Localnet::reset(&home, &say).await.unwrap();
    assert!(processes.iter().all(|process| !process.is_alive()));
    assert!(!home.exists());
}
