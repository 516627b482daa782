//! The contract and its models as real Wasm on the embedded chain.

use aiinference_convert::Dataset;
use aiinference_demo_models as models;
use aiinference_multi_test::{cw_multi_test::Executor, Chain};
use cosmwasm_std::{Addr, Decimal};
use credit_score::{
    msg::{Decision, ExecuteMsg, InstantiateMsg, ModelKind, ModelSource, QueryMsg, ScoreResponse},
    Applicant, FEATURES,
};

struct Bank {
    chain: Chain,
    contract: Addr,
    trees: u64,
}

fn bank(decides: ModelKind) -> Bank {
    let mut chain = Chain::new().unwrap();
    let trees = chain.store_wasm(&models::gbdt().unwrap()).unwrap();
    let mlp = chain.store_wasm(&models::mlp().unwrap()).unwrap();
    let code = chain.store_wasm(&models::contract("credit-score").unwrap()).unwrap();
    let admin = chain.account("admin");
    let source = |code_id| {
        Some(ModelSource {
            code_id,
            checksum: None,
        })
    };
    let msg = InstantiateMsg {
        trees: source(trees),
        mlp: source(mlp),
        decides,
        threshold: Decimal::percent(60),
        admin: None,
    };
    let contract = chain
        .instantiate_contract(code, admin, &msg, &[], "bank", None)
        .unwrap();
    Bank { chain, contract, trees }
}

/// The held-out rows and whether each was repaid.
fn held_out() -> Vec<(Applicant, bool)> {
    let npz = include_bytes!("../model/test.npz");
    let data = Dataset::from_npz(npz).unwrap();
    let rows = &data.get("applicant").unwrap().values;
    let labels = &data.get("label").unwrap().values;
    let rows = rows.chunks(FEATURES.len()).map(|row| {
        let values: Vec<u32> = row.iter().map(|&v| v as u32).collect();
        Applicant::from_values(values.try_into().unwrap())
    });
    rows.zip(labels.iter().map(|&label| label == 1.0)).collect()
}

/// Area under the ROC curve: how often a repaid credit has a higher score than a defaulted one, ties counting half.
fn auc(scores: &[(Decimal, bool)]) -> f64 {
    let (mut wins, mut pairs) = (0.0, 0.0);
    for (good, _) in scores.iter().filter(|(_, repaid)| *repaid) {
        for (bad, _) in scores.iter().filter(|(_, repaid)| !*repaid) {
            pairs += 1.0;
            wins += if good > bad {
                1.0
            } else if good == bad {
                0.5
            } else {
                0.0
            };
        }
    }
    wins / pairs
}

#[test]
fn on_chain_the_models_are_as_good_as_in_floating_point() {
    let bank = bank(ModelKind::Trees);
    let features: serde_json::Value = serde_json::from_str(include_str!("../model/features.json")).unwrap();
    let rows = held_out();
    assert_eq!(rows.len(), 300);
    for (kind, name) in [(ModelKind::Trees, "gbdt"), (ModelKind::Mlp, "mlp")] {
        let scores: Vec<_> = rows
            .iter()
            .map(|(applicant, repaid)| {
                let msg = QueryMsg::Score {
                    applicant: applicant.clone(),
                    model: Some(kind),
                };
                let answer: ScoreResponse = bank.chain.wrap().query_wasm_smart(&bank.contract, &msg).unwrap();
                (answer.score, *repaid)
            })
            .collect();
        let float = features["metrics"][name]["auc_test"].as_f64().unwrap();
        let chain = auc(&scores);
        println!("{name}: AUC {float} in floating point, {chain:.4} on chain");
        assert!(
            (float - chain).abs() <= 0.005,
            "{name}: {float} in floating point, {chain} on chain"
        );
    }
}

#[test]
fn an_application_is_decided_and_paid_for() {
    for decides in [ModelKind::Trees, ModelKind::Mlp] {
        let mut bank = bank(decides);
        let applicant = bank.chain.account("applicant");
        let (features, _) = held_out().swap_remove(0);
        let msg = ExecuteMsg::Apply {
            applicant: features.clone(),
        };
        let response = bank
            .chain
            .execute_contract(applicant.clone(), bank.contract.clone(), &msg, &[])
            .unwrap();
        assert!(response.has_event(
            &cosmwasm_std::Event::new("wasm")
                .add_attribute("action", "apply")
                .add_attribute("applicant", &applicant)
                .add_attribute("number", "1")
                .add_attribute("model", decides.to_string())
        ));
        let msg = QueryMsg::Decision {
            applicant: applicant.to_string(),
        };
        let gas = bank.chain.last_transaction();
        let decision: Decision = bank.chain.wrap().query_wasm_smart(&bank.contract, &msg).unwrap();
        // Inference is paid as the contract's own work.
        assert!(gas.calls[0].used_internally > decision.reasons.receipt.gas);
        let msg = QueryMsg::Score {
            applicant: features,
            model: None,
        };
        let score: ScoreResponse = bank.chain.wrap().query_wasm_smart(&bank.contract, &msg).unwrap();
        assert_eq!(decision.reasons, score);
    }
}

#[test]
fn models_and_contracts_are_not_taken_for_one_another() {
    let mut bank = bank(ModelKind::Trees);
    let admin = bank.chain.account("admin");
    let error = bank
        .chain
        .instantiate_contract(bank.trees, admin.clone(), &serde_json::json!({}), &[], "a model", None)
        .unwrap_err();
    assert!(error.to_string().contains("Got a zero Wasm address"), "{error}");

    let code = bank
        .chain
        .store_wasm(&models::contract("credit-score").unwrap())
        .unwrap();
    let msg = InstantiateMsg {
        trees: Some(ModelSource {
            code_id: code,
            checksum: None,
        }),
        mlp: None,
        decides: ModelKind::Trees,
        threshold: Decimal::percent(60),
        admin: None,
    };
    let error = bank
        .chain
        .instantiate_contract(code, admin, &msg, &[], "bank", None)
        .unwrap_err();
    assert!(error.to_string().contains("model"), "{error}");
}
