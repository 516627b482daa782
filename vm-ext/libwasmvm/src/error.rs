//! Errors as Go sees them: a number in errno, and a text.

use aiinference_vm as vm;
use cosmwasm_vm::VmError;
use errno::{set_errno, Errno};

use crate::memory::UnmanagedVector;

/// Why a call failed. Where the stock library fails likewise, the text is the stock one: chains' tools read it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Go passed nil where bytes or a pointer are needed.
    #[error("Null/Nil argument: {0}")]
    UnsetArgument(&'static str),
    /// There is no place to report gas to.
    #[error("Empty argument: gas_report")]
    NoGasReport,
    /// A checksum has not 32 bytes.
    #[error("Checksum not of length 32")]
    Checksum,
    /// The configuration, or what else comes as JSON, cannot be read.
    #[error("Cannot serialize to / deserialize from JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Metrics cannot be written.
    #[error("Cannot deserialize from MessagePack: {0}")]
    MessagePack(#[from] rmp_serde::encode::Error),
    /// The gas of the call is used up.
    #[error("Ran out of gas")]
    OutOfGas,
    /// A bug. What is known of it is in the node's log.
    #[error("Caught panic")]
    Panic,
    /// cosmwasm-vm's own error.
    #[error("Error calling the VM: {0}")]
    Vm(VmError),
    /// An error of the extension.
    #[error("{0}")]
    Extension(vm::Error),
    /// An environment variable of the extension has no value that it could have.
    #[error(transparent)]
    Setting(#[from] crate::settings::SettingError),
    /// This machine does not compute what the engine's definition says.
    #[error("opening the cache: {0}; this machine cannot validate")]
    SelfTest(#[from] aiinference_engine::SelfTestError),
}

impl From<VmError> for Error {
    fn from(error: VmError) -> Self {
        match error {
            VmError::GasDepletion { .. } => Error::OutOfGas,
            error => Error::Vm(error),
        }
    }
}

impl From<vm::Error> for Error {
    fn from(error: vm::Error) -> Self {
        match error {
            vm::Error::Vm(error) => error.into(),
            error => Error::Extension(error),
        }
    }
}

/// The numbers that Go knows.
const SUCCESS: i32 = 0;
const OTHER: i32 = 1;
const OUT_OF_GAS: i32 = 2;

/// Tells Go how a call went: the text of an error, and last of all errno, which any call in between could overwrite.
pub(crate) fn report(error: Option<Error>, message: Option<&mut UnmanagedVector>) {
    let number = match &error {
        None => SUCCESS,
        Some(Error::OutOfGas) => OUT_OF_GAS,
        Some(_) => OTHER,
    };
    if let (Some(error), Some(message)) = (error, message) {
        // Overwritten without looking: what is there is Go's and holds nothing.
        *message = UnmanagedVector::some(error.to_string().into_bytes());
    }
    set_errno(Errno(number));
}

#[cfg(test)]
mod tests {
    use errno::errno;

    use super::*;

    #[test]
    fn errors_set_number_and_text_and_success_clears_the_number() {
        for (error, number, text) in [
            (Error::OutOfGas, 2, "Ran out of gas"),
            (Error::Panic, 1, "Caught panic"),
            (Error::UnsetArgument("wasm"), 1, "Null/Nil argument: wasm"),
        ] {
            let mut message = UnmanagedVector::NONE;
            report(Some(error), Some(&mut message));
            assert_eq!(errno().0, number);
            assert_eq!(unsafe { message.consume() }, Some(text.as_bytes().to_vec()));
        }
        let mut message = UnmanagedVector::NONE;
        report(None, Some(&mut message));
        assert_eq!(errno().0, 0);
        assert_eq!(unsafe { message.consume() }, None);
    }
}
