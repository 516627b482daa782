//! A relayer that does not work for nothing.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aiinference_demo_models as models;
use aiinference_std::{remote::Query, Model};
use test_asker::Reaction;

use crate::{between::*, support::*};

/// A relayer that asks more than one query pays, with its log; killed when it is dropped.
struct Choosy {
    child: Child,
    _folder: tempfile::TempDir,
    log: std::path::PathBuf,
}

impl Choosy {
    fn start(between: &Between, minimum: u128) -> Self {
        let mut config: toml::Table = fs::read_to_string(config_file(&between.net)).unwrap().parse().unwrap();
        let least = format!("{minimum}{}", between.facts.denom);
        for channel in config["channels"].as_array_mut().unwrap() {
            let channel = channel.as_table_mut().unwrap();
            channel.insert("minimum_reward".into(), least.clone().into());
        }
        let folder = tempfile::tempdir().unwrap();
        let (file, log) = (folder.path().join("relay.toml"), folder.path().join("log"));
        fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
        let child = Command::new(target().join("release/aiinference-relay"))
            .arg("--config")
            .arg(&file)
            .arg("start")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Choosy {
            child,
            _folder: folder,
            log,
        }
    }

    async fn said(&self, what: &str) {
        let end = Instant::now() + SOON;
        loop {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            if log.contains(what) {
                return;
            }
            assert!(Instant::now() < end, "it never says {what:?}: {log}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Choosy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
#[ignore = "needs the localnet: make test-ibc"]
async fn a_packet_that_pays_too_little_is_left_to_others() {
    let between = Between::open().await;
    let model = Model::new(store(&between.there, &models::mlp().unwrap()).await);
    let query = || Query::describe(&model).gas_limit(QUERY_GAS).max_price(ANY_PRICE);
    // Half of a query's price is the relayer's, at least: one query is too little, two are enough.
    let choosy = Choosy::start(&between, PER_QUERY);
    choosy.said("relaying").await;
    let poor = between.ask(&between.question(&[query()], &Reaction::default())).await;
    choosy.said("left: this packet pays less than the minimum reward").await;
    let rich = between
        .ask(&between.question(&[query(), query()], &Reaction::default()))
        .await;
    assert_eq!(answers(&between.told(rich).await.answer.result).len(), 2);
    assert!(
        between.kept(poor).await.unwrap().result.is_none(),
        "nobody has brought it"
    );
    drop(choosy);
    let _relayer = Relayer::start(&between.net);
    assert_eq!(answers(&between.told(poor).await.answer.result).len(), 1);
}
