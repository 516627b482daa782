//! What the validators logged of all that the other tests did. Last, for its name.

use std::process::Command;

use crate::support::*;

#[tokio::test]
#[ignore = "needs the localnet: make test-localnet"]
async fn every_inference_of_every_validator_is_the_same_when_replayed_and_between_them() {
    let net = localnet();
    let nodes = validators(&net);
    let logs: Vec<_> = nodes
        .iter()
        .map(|node| {
            node.plan()
                .runs
                .trace_file
                .clone()
                .expect("validators of the localnet log")
        })
        .collect();
    for (node, log) in nodes.iter().zip(&logs) {
        // Each log on the reference, whatever kernels wrote it.
        let done = Command::new(target().join("release/aiinference"))
            .args(["trace", "replay"])
            .arg(log)
            .arg("--modules")
            .arg(&node.plan().home)
            .args(["--kernels", "scalar"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        println!("{}: {said}", node.name());
        assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    }
    let done = Command::new(target().join("release/aiinference"))
        .args(["trace", "compare"])
        .args(&logs)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
}
