//! What can go wrong, typed.

use aiinference_types::ErrorCode;

/// A call that gave no result.
///
/// Converts into the `StdError` of cosmwasm-std 2 and 3, so that `?` works in a contract.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(not(target_arch = "wasm32"), derive(Debug))]
#[non_exhaustive]
pub enum Error {
    /// The host refused the request. `docs/spec/errors.md` lists the codes; [`Error::code`] gives the known ones by name.
    #[error("AI inference, step {step}: error {code}: {message}")]
    Refused {
        /// Number of the error.
        code: u32,
        /// What happened and what to do.
        message: String,
        /// The step of the plan it belongs to; 0 for a single model and for a proof.
        step: u32,
    },
    /// The chain itself answered with an error: most likely it has no AI inference, or an older one.
    #[error("calling the AI inference host: {0}; ask whether the chain has the capability aiinference_1")]
    Host(String),
    /// The host's answer does not follow the protocol.
    #[error("reading the AI inference host's answer: {0}; contract and chain use different versions")]
    InvalidAnswer(&'static str),
    /// A decimal beyond about ±1.7 * 10^20.
    #[error("making a tensor: decimal {index} is too large; scale it down")]
    DecimalTooLarge {
        /// Which element.
        index: usize,
    },
    /// Bytes that were to be a tensor.
    #[error("reading a tensor that was sent: {0}; encode it as aiinference.v1.Tensor")]
    MalformedTensor(String),
    /// The result has no output of this name.
    #[error("reading a result: there is no output '{0}'; the model's info lists its outputs")]
    NoSuchOutput(String),
    /// A single value was asked for, and there are several or none.
    #[error("reading a result: one {what} was asked for and there are {count}; read them as a list")]
    NotSingle {
        /// "output" or "element".
        what: &'static str,
        /// How many there are.
        count: usize,
    },
    /// A value does not fit the type that it was to be read as.
    #[error("reading a result: element {index} does not fit {into}; read it as a wider type")]
    DoesNotFit {
        /// Which element, row-major.
        index: usize,
        /// The type asked for.
        into: &'static str,
    },
}

impl Error {
    /// The host's error code, where the host refused with one that this version knows.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Error::Refused { code, .. } => ErrorCode::from_number(*code),
            _ => None,
        }
    }
}

/// In a contract the text alone: field by field it would take 3 kB more.
#[cfg(target_arch = "wasm32")]
impl core::fmt::Debug for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}
