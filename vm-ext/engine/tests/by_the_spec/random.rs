//! Random models, by both.

use std::collections::{BTreeMap, BTreeSet};

use aiinference_engine::format;
use aiinference_engine::graph::Op;

use crate::common::random;
use crate::common::LIMITS;
use crate::{agree, both, seeds};

#[test]
fn random_models_follow_from_the_specification() {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 0..seeds(20_000) {
        let name = format!("seed {seed}");
        let (graph, inputs) = random::model(seed);
        let bytes = format::encode(&graph);
        let (program, model) = both(&name, &bytes.graph, &bytes.weights, &LIMITS).expect("valid by construction");
        agree(&name, &program, &model, &inputs);
        for op in model.operations() {
            *seen.entry(op).or_default() += 1;
        }
    }
    println!("{seen:?}");
    let all: BTreeSet<&str> = Op::NAMES.iter().copied().collect();
    let met: BTreeSet<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(all, met, "every operation occurs");
}
