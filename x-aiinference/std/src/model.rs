//! Naming a model, asking about it, and running it.

use aiinference_types::v1::{self, model_ref::Reference};
use serde::{Deserialize, Serialize};

use crate::{wire, Checksum, Error, Host, Input, ModelInfo, Operation, Outputs, Plan};

/// Which model. Store it in the contract's state and take it in its messages; in JSON
/// `{"reference":{"code_id":7},"checksum":"<hex>"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
#[cfg_attr(feature = "std3", schemaifier(mute_warnings))]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Where it is.
    pub reference: ModelReference,
    /// The module that must be behind the reference, by its SHA-256; without, any is taken.
    pub checksum: Option<Checksum>,
}

/// Where a model is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModelReference {
    /// Stored on the chain under a code id.
    CodeId(u64),
    /// In custom sections of the calling contract's own code.
    OwnCode {},
}

impl Model {
    /// The model stored under a code id.
    pub fn new(code_id: u64) -> Self {
        Model {
            reference: ModelReference::CodeId(code_id),
            checksum: None,
        }
    }

    /// The model in the calling contract's own code.
    pub fn own() -> Self {
        Model {
            reference: ModelReference::OwnCode {},
            checksum: None,
        }
    }

    /// This model only with exactly these bytes: other code behind the reference is refused with
    /// [`ChecksumMismatch`](crate::ErrorCode::ChecksumMismatch).
    pub fn with_checksum(mut self, checksum: impl Into<Checksum>) -> Self {
        self.checksum = Some(checksum.into());
        self
    }

    /// Runs the model. For a limit of gas, or several models in one call, see [`Plan`].
    ///
    /// Runs out of gas, ending the transaction, where the price is above the gas left; [`Model::info`] tells the price.
    #[inline(always)]
    pub fn infer<I>(&self, host: impl Host, inputs: I) -> Result<Outputs, Error>
    where
        I: IntoIterator,
        I::Item: Into<Input>,
    {
        Plan::new().step(self, inputs).run(host)
    }

    /// What the model takes and gives, and what it costs.
    pub fn info(&self, host: impl Host) -> Result<ModelInfo, Error> {
        wire::info_answer(&host.call(Operation::ModelInfo, &self.info_request())?)
    }

    #[inline(never)]
    fn info_request(&self) -> Vec<u8> {
        let model = Some(self.to_message());
        let model_info = Some(v1::ModelInfoRequest { model });
        wire::request(&wire::InfoQuestion { model_info })
    }

    pub(crate) fn to_message(&self) -> v1::ModelRef {
        v1::ModelRef {
            checksum: self
                .checksum
                .map_or_else(Vec::new, |checksum| checksum.as_bytes().to_vec()),
            reference: Some(match self.reference {
                ModelReference::CodeId(code_id) => Reference::CodeId(code_id),
                ModelReference::OwnCode {} => Reference::OwnCode(v1::OwnCode {}),
            }),
        }
    }
}
