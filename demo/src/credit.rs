//! The credit contract: some applications, decided on chain.

use anyhow::Result;
use cosmwasm_std::{Addr, Decimal};
use credit_score::{
    msg::{Decision, ExecuteMsg, InstantiateMsg, ModelKind, ModelSource, QueryMsg, ScoreResponse},
    Applicant,
};

use crate::stage::{grouped, sdk, Stage};

/// What happened to one application.
pub struct Case {
    pub name: &'static str,
    pub decision: Decision,
    /// What the other model says.
    pub second: ScoreResponse,
    /// CosmWasm gas of the transaction.
    pub gas: u64,
}

pub struct Credit {
    pub contract: Addr,
    pub cases: Vec<Case>,
}

/// In the order of the features: amount, duration, age, installment_rate, residence_since, existing_credits, dependants,
/// checking, history, purpose, savings, employment, guarantors, property, other_plans, housing, job, telephone.
pub const APPLICANTS: [(&str, [u32; 18]); 4] = [
    (
        "a small credit for a television, savings",
        [1_200, 10, 45, 2, 4, 1, 1, 3, 4, 8, 4, 4, 1, 3, 2, 2, 2, 1],
    ),
    (
        "a used car, a steady job",
        [6_500, 30, 34, 2, 2, 2, 1, 2, 3, 9, 1, 3, 1, 2, 2, 2, 2, 1],
    ),
    (
        "a new car, an empty account",
        [4_800, 36, 27, 4, 2, 1, 1, 0, 3, 3, 0, 2, 1, 1, 2, 1, 2, 0],
    ),
    (
        "a long credit for a business, unemployed",
        [14_000, 60, 24, 4, 1, 1, 2, 0, 0, 4, 0, 1, 1, 0, 0, 1, 1, 0],
    ),
];

pub fn run(stage: &mut Stage) -> Result<Credit> {
    let source = |code_id| {
        Some(ModelSource {
            code_id,
            checksum: None,
        })
    };
    let msg = InstantiateMsg {
        trees: source(stage.code("gbdt")?),
        mlp: source(stage.code("mlp")?),
        decides: ModelKind::Trees,
        threshold: Decimal::percent(60),
        admin: None,
    };
    let contract = stage.instantiate("credit-score", "bank", &msg)?;
    let mut cases = Vec::new();
    for (name, values) in APPLICANTS {
        let applicant = Applicant::from_values(values);
        stage.execute(
            name,
            &contract,
            &ExecuteMsg::Apply {
                applicant: applicant.clone(),
            },
        )?;
        let gas = stage.chain.last_transaction().used;
        let address = stage.chain.account(name).to_string();
        let (decision, _) = stage.query(&contract, &QueryMsg::Decision { applicant: address })?;
        let model = Some(ModelKind::Mlp);
        let (second, _) = stage.query(&contract, &QueryMsg::Score { applicant, model })?;
        cases.push(Case {
            name,
            decision,
            second,
            gas,
        });
    }
    Ok(Credit { contract, cases })
}

impl Credit {
    pub fn print(&self) {
        println!(
            "  {:<42} {:>7} {:>9} {:>9} {:>8} {:>9}",
            "", "trees", "threshold", "decision", "network", "SDK gas"
        );
        for case in &self.cases {
            let reasons = &case.decision.reasons;
            println!(
                "  {:<42} {:>7} {:>9} {:>9} {:>8} {:>9}",
                case.name,
                short(reasons.score),
                short(reasons.threshold),
                if reasons.approved { "granted" } else { "refused" },
                short(case.second.score),
                grouped(sdk(case.gas)),
            );
        }
        if let Some(used) = self
            .cases
            .first()
            .and_then(|case| case.decision.reasons.receipt.models.first())
        {
            println!("  decided by code {}, checksum {}", used.code_id, used.checksum);
        }
    }
}

fn short(value: Decimal) -> String {
    format!("{:.4}", value.to_string().parse::<f64>().unwrap_or_default())
}
