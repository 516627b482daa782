//! How a request reaches the host.

use crate::Error;

/// What a request asks for; each is an import of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Run models.
    Infer,
    /// Describe a model.
    ModelInfo,
}

/// Where calls go. `deps.querier` of cosmwasm-std 2 and 3 is one (features `std2`, `std3`).
///
/// Compiled to Wasm, a call is an import of the contract's own module; the querier is there so that the same line of
/// code can be tested natively, where the call goes through it.
pub trait Host {
    /// Hands over a request (magic bytes and message) and returns the bytes of an `aiinference.v1.Response`.
    fn call(&self, operation: Operation, request: &[u8]) -> Result<Vec<u8>, Error>;

    /// The same for a request to check a proof. Apart from [`call`](Self::call), so that contracts which have none checked
    /// carry no import for it. A host that does not say how checks none.
    fn check_proof(&self, request: &[u8]) -> Result<Vec<u8>, Error> {
        let _ = request;
        Err(Error::Host("this host checks no proofs".into()))
    }
}

impl<H: Host + ?Sized> Host for &H {
    fn call(&self, operation: Operation, request: &[u8]) -> Result<Vec<u8>, Error> {
        (**self).call(operation, request)
    }

    fn check_proof(&self, request: &[u8]) -> Result<Vec<u8>, Error> {
        (**self).check_proof(request)
    }
}

/// The imports themselves, for contracts that use no cosmwasm-std.
///
/// The module must export `allocate` as cosmwasm-std does: a boxed Region that describes a `Vec<u8>`.
#[cfg(all(target_arch = "wasm32", feature = "imports"))]
#[derive(Clone, Copy, Debug)]
pub struct Imports;

#[cfg(all(target_arch = "wasm32", feature = "imports"))]
impl Host for Imports {
    fn call(&self, operation: Operation, request: &[u8]) -> Result<Vec<u8>, Error> {
        let answer = match operation {
            Operation::Infer => crate::guest::call_infer(request)?,
            Operation::ModelInfo => crate::guest::call_model_info(request)?,
        };
        crate::envelope::open(&answer)
    }

    fn check_proof(&self, request: &[u8]) -> Result<Vec<u8>, Error> {
        crate::envelope::open(&crate::guest::call_verify_proof(request)?)
    }
}
