//! What can go wrong between a stored contract and a running one.

use aiinference_runtime::ModelError;
use cosmwasm_vm::VmError;

use crate::lowering::LoweringError;

/// An error of [`Vm`](crate::Vm).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// cosmwasm-vm's own error, with its own text.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// A contract's imports of `aiinference.*` are refused.
    #[error(transparent)]
    Lowering(#[from] LoweringError),
    /// The model that a module carries is refused.
    #[error("storing a model: {0}")]
    Model(#[from] ModelError),
    /// A file of the node could not be written.
    #[error("storing a contract: writing below {path}: {source}; check space and permissions there")]
    Io {
        /// Folder of the VM's data.
        path: String,
        /// What the operating system says.
        source: std::io::Error,
    },
}

impl Error {
    /// Whether a call ended because its gas was used up.
    pub fn is_out_of_gas(&self) -> bool {
        matches!(self, Error::Vm(VmError::GasDepletion { .. }))
    }
}
