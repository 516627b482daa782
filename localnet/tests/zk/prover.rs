//! The prover daemon against a real chain: answered once, whatever is killed meanwhile.

use std::time::{Duration, Instant};

use aiinference_registry::msg::{Outcome, Status};
use aiinference_zk::Opening;

use crate::support::{expected, hashed, integers, Stage, BOND, FEE, SOON};

/// A window that no test reaches.
const LONG: u64 = 300;

/// That a request was answered once, rightly, by this account.
async fn answered_once(stage: &Stage, id: u64, given: &[i32], prover: &str) {
    let told = stage.wait_told(id).await;
    let Outcome::Proven(proof) = &told.result.result else {
        panic!("request {id} came to nothing: {told:?}")
    };
    assert_eq!(integers(&proof.outputs[0]), expected(given));
    assert_eq!(proof.prover.as_str(), stage.address(prover));
    stage.wait_blocks(3).await;
    assert_eq!(stage.told(id).await.unwrap().times, 1, "told twice");
    assert!(stage.found(id).await.is_none(), "it is over");
}

#[tokio::test]
#[ignore = "needs a localnet and ezkl: make test-zk"]
async fn a_request_is_taken_proven_paid_and_called_back() {
    let stage = Stage::open().await;
    let program = stage.prover("prover", 0);
    let report = program.run(&["check"]);
    assert!(
        report.contains("circuit") && report.contains(&stage.address("prover")),
        "{report}"
    );
    let (sent, had) = stage.account("prover").await;
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut running = program.start_with(&["--metrics", &free.to_string()]);
    // It learns how long a proof takes before it promises one.
    running.said("a proof was made and verified").await;
    let begun = Instant::now();
    let given = [100, -100, 7, 0, -1, 55];
    let id = stage.request(&given, LONG).await;
    // Nobody can prove this one: 101 is out of the model's range.
    let hopeless = stage.request(&[101, 0, 0, 0, 0, 0], LONG).await;
    answered_once(&stage, id, &given, "prover").await;
    eprintln!("request to callback and three blocks more: {:?}", begun.elapsed());
    assert_eq!(
        stage.account("prover").await,
        (sent + 2, had + FEE),
        "one take, one proof, the bond back"
    );
    running.said("its input cannot be proven").await;
    assert!(matches!(
        stage.found(hopeless).await.unwrap().request.status,
        Status::Open {}
    ));
    assert_eq!(program.states(), [(id, "done".to_string())]);
    let metrics = reqwest::get(format!("http://{free}/metrics"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    for line in [
        "prover_requests_paid_total 1",
        "prover_requests_taken_total 1",
        "prover_requests_left_total{reason=\"input\"} 1",
        "prover_requests_seen_total 2",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(running.terminate(), "it ends well");
}

#[tokio::test]
#[ignore = "needs a localnet and ezkl: make test-zk"]
async fn a_stored_circuit_is_rebuilt_from_code_ids_alone() {
    let stage = Stage::open().await;
    let (code, said) = stage.verify_circuit();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("reproducible  yes"), "{said}");
}

#[tokio::test]
#[ignore = "needs a localnet and ezkl: make test-zk"]
async fn a_daemon_killed_anywhere_answers_once_after_its_restart() {
    let stage = Stage::open().await;
    let program = stage.prover("bob", 0);
    let mut running = program.start();
    running.said("a proof was made and verified").await;
    let (mut sent, mut had) = stage.account("bob").await;
    let points = [
        ("while it takes the request", "state=\"taking\""),
        ("in the middle of the proof", "state=\"proving\""),
        ("before the proof is sent", "state=\"proven\""),
        ("while the proof is on its way", "state=\"submitting\""),
    ];
    for (n, (point, line)) in points.into_iter().enumerate() {
        let given = [n as i32, 1, 2, -3, -4, -5];
        let id = stage.request(&given, LONG).await;
        running.said(line).await;
        running.kill();
        eprintln!("killed {point}: {:?}", program.states());
        running = program.start();
        answered_once(&stage, id, &given, "bob").await;
        (sent, had) = (sent + 2, had + FEE);
        assert_eq!(
            stage.account("bob").await,
            (sent, had),
            "killed {point}: one take, one proof"
        );
        // Its log begins anew for the next one.
        assert!(running.terminate());
        running = program.start();
    }
    let states = program.states();
    assert!(
        states.len() == points.len() && states.iter().all(|(_, state)| state == "done"),
        "{states:?}"
    );
}

#[tokio::test]
#[ignore = "needs a localnet and ezkl: make test-zk"]
async fn a_second_daemon_takes_over_when_the_firsts_window_has_passed() {
    let stage = Stage::open().await;
    let (first, second) = (stage.prover("load0", 0), stage.prover("load1", 1));
    for program in [&second, &first] {
        let mut learning = program.start();
        learning.said("a proof was made and verified").await;
        assert!(learning.terminate());
    }
    let mut slow = first.start();
    let (_, had) = stage.account("load0").await;
    let given = [9, 8, 7, 6, 5, 4];
    let id = stage.request(&given, 15).await;
    slow.said("state=\"taken\"").await;
    slow.kill();
    let (_, others) = stage.account("load1").await;
    let before = stage.requester_has().await;
    let mut quick = second.start();
    // Not before the first one's time is up.
    quick.said("has taken it").await;
    answered_once(&stage, id, &given, "load1").await;
    assert_eq!(stage.account("load1").await.1, others + FEE);
    assert_eq!(
        stage.account("load0").await.1,
        had - BOND,
        "the first one's bond is lost"
    );
    assert_eq!(stage.requester_has().await, before + BOND, "to the requester");
    // The first one comes back, sees it, and leaves it at that.
    let (transactions, _) = stage.account("load0").await;
    let mut slow = first.start();
    slow.said("state=\"").await;
    let end = Instant::now() + SOON;
    while first
        .states()
        .iter()
        .any(|(_, state)| !["lost", "failed"].contains(&state.as_str()))
    {
        assert!(Instant::now() < end, "{:?}", first.states());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stage.wait_blocks(2).await;
    assert_eq!(stage.account("load0").await.0, transactions, "nothing more is sent");
    assert!(slow.terminate() && quick.terminate());
}

#[tokio::test]
#[ignore = "needs a localnet and ezkl: make test-zk"]
async fn a_node_that_restarts_under_the_daemon_costs_time_and_nothing_else() {
    let stage = Stage::open().await;
    // The other validators go on without this one.
    let node = stage.node(3);
    let program = stage.prover("load2", 3);
    let mut running = program.start();
    running.said("a proof was made and verified").await;
    let (sent, had) = stage.account("load2").await;
    let given = [-50, 50, -50, 50, -50, 50];
    let id = stage.request(&given, LONG).await;
    running.said("state=\"proving\"").await;
    node.kill().await.unwrap();
    // The proof is made meanwhile, and has nowhere to go.
    running.said("state=\"proven\"").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(stage.told(id).await.is_none());
    node.start().unwrap();
    answered_once(&stage, id, &given, "load2").await;
    assert_eq!(stage.account("load2").await, (sent + 2, had + FEE));
    assert!(running.terminate());
}

#[tokio::test]
#[ignore = "needs a localnet and ezkl: make test-zk"]
async fn an_input_known_by_its_hash_is_proven_by_who_holds_it() {
    let stage = Stage::hiding().await;
    let (holder, other) = (stage.prover("load3", 0), stage.prover("load4", 1));
    let given = [42, -42, 1, 2, 3, 4];
    let opening = Opening::new(vec![given.to_vec()]).unwrap();
    holder.keep(&opening);
    let mut without = other.start();
    without.said("a proof was made and verified").await;
    let id = stage.request_on(hashed(&opening), LONG).await;
    without.said("its input is known by its hash only").await;
    let mut with = holder.start();
    answered_once(&stage, id, &given, "load3").await;
    assert!(with.terminate() && without.terminate());
}
