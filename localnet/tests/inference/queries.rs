//! Inference in smart queries, now and in the past.

use aiinference_demo_models as models;
use aiinference_engine::graph::Op;
use cosmwasm_std::Binary;
use test_probe::{QueryMsg, Script, Step};

use crate::support::*;

#[tokio::test]
#[ignore = "needs the localnet: make test-localnet"]
async fn a_query_at_an_old_height_gives_what_it_gave_then() {
    let net = localnet();
    let nodes = validators(&net);
    let alice = account(&net, &nodes[0], "alice").await;
    let contract = probe(&alice).await;
    let model = store(&alice, &models::mlp().unwrap()).await;

    let ask = run_model(model, &[1, 18], 0, &[1; 18]);
    // The chain has no model under the next code id yet, and the contract no value.
    let before = agree(&nodes).await;
    let answered: Vec<Binary> = query(&nodes[0], &contract, &ask, None).await.unwrap();
    let set = Script {
        steps: vec![Step::Set {
            key: "a".into(),
            value: "1".into(),
        }],
        ..Script::default()
    };
    let height = execute(&alice, &contract, &set).await.unwrap().height;
    let (later, _) = store_module(&alice, unique_model(before)).await;
    let after = agree(&nodes).await;

    let new_model = run_model(later, &[1], 0, &[1]);
    for node in &nodes {
        for at in [before, height, after] {
            let then: Vec<Binary> = query(node, &contract, &ask, Some(at)).await.unwrap();
            assert_eq!(then, answered, "{} at {at}", node.name());
        }
        // The file of the new model lies on the node's disk, and at the old height the chain does not have it.
        let missing = query::<Vec<Binary>>(node, &contract, &new_model, Some(before)).await;
        let missing = missing.unwrap_err().to_string();
        assert!(missing.contains("error 10:"), "{}: {missing}", node.name());
        query::<Vec<Binary>>(node, &contract, &new_model, Some(after))
            .await
            .unwrap();
        let get = QueryMsg::Get { key: "a".into() };
        for (at, value) in [(before, None), (after, Some("1".to_string()))] {
            let then: Option<String> = query(node, &contract, &get, Some(at)).await.unwrap();
            assert_eq!(then, value, "{} at {at}", node.name());
        }
    }
}

/// A small model that no other run of the tests has stored.
fn unique_model(number: u64) -> Vec<u8> {
    model_of(&format!("x{number}"), vec![1], (0, 9), |graph, x| {
        graph.push(Op::Clamp { x, low: 0, high: 5 })
    })
}
