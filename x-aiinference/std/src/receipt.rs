//! The evidence that comes with a result.

use aiinference_types::v1;
use serde::{Deserialize, Serialize};

use crate::{Checksum, Error};

/// Which models ran, on what, with what result, at which price. `docs/spec/receipts.md` states the hashed bytes, so
/// that anyone can recompute them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
pub struct Receipt {
    /// One per step.
    pub models: Vec<ModelUsed>,
    /// SHA-256 over the integers that the models were given from outside.
    pub inputs_hash: Checksum,
    /// SHA-256 over the integers returned.
    pub outputs_hash: Checksum,
    /// The price charged, in CosmWasm gas.
    pub gas: u64,
    /// Version of the price list.
    pub gas_schedule: u32,
    /// Whether any input value was out of its range and was saturated.
    pub saturated: bool,
}

/// A model that ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
pub struct ModelUsed {
    /// Its code id; 0 for a model in the contract's own code.
    pub code_id: u64,
    /// SHA-256 of the stored module.
    pub checksum: Checksum,
    /// The op-set it was run by.
    pub op_set: u32,
}

impl Receipt {
    pub(crate) fn from_message(message: v1::Receipt) -> Result<Self, Error> {
        let hash = |bytes: &[u8]| match <[u8; 32]>::try_from(bytes) {
            Ok(bytes) => Ok(Checksum::from(bytes)),
            Err(_) => Err(Error::InvalidAnswer("a hash of the receipt is not 32 bytes long")),
        };
        let models = message.models.iter().map(|model| {
            Ok(ModelUsed {
                code_id: model.code_id,
                checksum: hash(&model.checksum)?,
                op_set: model.op_set,
            })
        });
        Ok(Receipt {
            models: models.collect::<Result<_, Error>>()?,
            inputs_hash: hash(&message.inputs_hash)?,
            outputs_hash: hash(&message.outputs_hash)?,
            gas: message.gas,
            gas_schedule: message.gas_schedule,
            saturated: message.saturated,
        })
    }
}
