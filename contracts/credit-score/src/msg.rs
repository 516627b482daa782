//! Messages.

use std::fmt;

use aiinference_std::{Checksum, Receipt};
use cosmwasm_schema::{cw_serde, QueryResponses};
use cosmwasm_std::{Addr, Decimal, Timestamp};

use crate::Applicant;

/// The models that a contract may have.
#[cw_serde]
#[derive(Copy, Eq)]
pub enum ModelKind {
    /// The gradient-boosted tree ensemble, `model/gbdt.onnx`.
    Trees,
    /// The multi-layer perceptron, `model/mlp.onnx`.
    Mlp,
}

impl fmt::Display for ModelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ModelKind::Trees => "trees",
            ModelKind::Mlp => "mlp",
        })
    }
}

/// Where a model is.
#[cw_serde]
pub struct ModelSource {
    /// The code id it is stored under.
    pub code_id: u64,
    /// The SHA-256 that the stored module must have. The chain's is taken, and kept, where none is given.
    pub checksum: Option<Checksum>,
}

#[cw_serde]
pub struct InstantiateMsg {
    /// The tree ensemble.
    pub trees: Option<ModelSource>,
    /// The perceptron.
    pub mlp: Option<ModelSource>,
    /// Which of them decides; the other only answers `score`.
    pub decides: ModelKind,
    /// The least score, from 0 to 1, with which a credit is granted.
    pub threshold: Decimal,
    /// Who may change the threshold; the sender where none is given.
    pub admin: Option<String>,
}

#[cw_serde]
pub enum ExecuteMsg {
    /// Applies for a credit. The decision is stored under the sender's address, in place of an earlier one.
    Apply {
        /// The application.
        applicant: Applicant,
    },
    /// Admin: changes what is given. Models never change.
    UpdateConfig {
        /// A new threshold.
        threshold: Option<Decimal>,
        /// A new admin.
        admin: Option<String>,
    },
}

#[cw_serde]
#[derive(QueryResponses)]
pub enum QueryMsg {
    /// Models, threshold, admin.
    #[returns(Config)]
    Config {},
    /// What a model says of an applicant. Stores nothing.
    #[returns(ScoreResponse)]
    Score {
        /// The application.
        applicant: Applicant,
        /// Which model; the deciding one where none is given.
        model: Option<ModelKind>,
    },
    /// The last decision on an address.
    #[returns(Decision)]
    Decision {
        /// The address that applied.
        applicant: String,
    },
}

#[cw_serde]
pub struct MigrateMsg {}

/// A model as the contract keeps it: this code, with these bytes.
#[cw_serde]
pub struct PinnedModel {
    /// The code id it is stored under.
    pub code_id: u64,
    /// SHA-256 of the stored module.
    pub checksum: Checksum,
}

#[cw_serde]
pub struct Config {
    /// The tree ensemble.
    pub trees: Option<PinnedModel>,
    /// The perceptron.
    pub mlp: Option<PinnedModel>,
    /// Which of them decides.
    pub decides: ModelKind,
    /// The least score with which a credit is granted.
    pub threshold: Decimal,
    /// Who may change the threshold.
    pub admin: Addr,
}

#[cw_serde]
pub struct ScoreResponse {
    /// The probability, by the model, that the credit is repaid.
    pub score: Decimal,
    /// Whether the score reaches the threshold.
    pub approved: bool,
    /// The threshold.
    pub threshold: Decimal,
    /// Which model gave the score.
    pub model: ModelKind,
    /// Its code id and checksum, hashes of what went in and came out, and the price.
    pub receipt: Receipt,
}

#[cw_serde]
pub struct Decision {
    /// Decisions are numbered from 1.
    pub number: u64,
    /// Score, threshold, model.
    pub reasons: ScoreResponse,
    /// Height of the block of the decision.
    pub height: u64,
    /// Time of the block of the decision.
    pub time: Timestamp,
}
