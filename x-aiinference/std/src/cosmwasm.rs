//! `deps.querier`, decimals, checksums and errors of cosmwasm-std, the same for both versions.

macro_rules! bindings {
    ($name:ident, $std:ident) => {
        mod $name {
            use $std::{Checksum, Decimal, SignedDecimal};
            #[cfg(any(not(target_arch = "wasm32"), feature = "imports"))]
            use $std::{CustomQuery, QuerierWrapper};

            #[cfg(any(not(target_arch = "wasm32"), feature = "imports"))]
            use crate::{Error, Host, Operation};
            use crate::{FromAtomics, ToAtomics};

            #[cfg(any(not(target_arch = "wasm32"), feature = "imports"))]
            impl<C: CustomQuery> Host for QuerierWrapper<'_, C> {
                #[cfg(target_arch = "wasm32")]
                fn call(&self, operation: Operation, request: &[u8]) -> Result<Vec<u8>, Error> {
                    crate::Imports.call(operation, request)
                }

                #[cfg(target_arch = "wasm32")]
                fn check_proof(&self, request: &[u8]) -> Result<Vec<u8>, Error> {
                    crate::Imports.check_proof(request)
                }

                #[cfg(not(target_arch = "wasm32"))]
                fn check_proof(&self, request: &[u8]) -> Result<Vec<u8>, Error> {
                    // A querier takes all requests alike.
                    self.call(Operation::Infer, request)
                }

                #[cfg(not(target_arch = "wasm32"))]
                fn call(&self, _operation: Operation, request: &[u8]) -> Result<Vec<u8>, Error> {
                    use $std::{ContractResult, SystemResult};

                    match self.raw_query(request) {
                        SystemResult::Ok(ContractResult::Ok(response)) => Ok(response.into()),
                        SystemResult::Ok(ContractResult::Err(text)) => Err(Error::Host(text)),
                        SystemResult::Err(error) => Err(Error::Host(error.to_string())),
                    }
                }
            }

            impl ToAtomics for Decimal {
                fn to_atomics(&self) -> Option<i128> {
                    self.atomics().u128().try_into().ok()
                }
            }

            impl FromAtomics for Decimal {
                const NAME: &'static str = "Decimal";

                fn from_atomics(atomics: i128) -> Option<Self> {
                    let atomics = u128::try_from(atomics).ok()?;
                    Some(Decimal::new(atomics.into()))
                }
            }

            impl ToAtomics for SignedDecimal {
                fn to_atomics(&self) -> Option<i128> {
                    Some(self.atomics().i128())
                }
            }

            impl FromAtomics for SignedDecimal {
                const NAME: &'static str = "SignedDecimal";

                fn from_atomics(atomics: i128) -> Option<Self> {
                    Some(SignedDecimal::new(atomics.into()))
                }
            }

            impl From<Checksum> for crate::Checksum {
                fn from(checksum: Checksum) -> Self {
                    (*checksum.as_ref()).into()
                }
            }

            #[cfg(feature = "remote")]
            impl From<$std::Binary> for crate::remote::Bytes {
                fn from(bytes: $std::Binary) -> Self {
                    Vec::from(bytes).into()
                }
            }

            #[cfg(feature = "remote")]
            impl From<crate::remote::Bytes> for $std::Binary {
                fn from(bytes: crate::remote::Bytes) -> Self {
                    Vec::from(bytes).into()
                }
            }

            #[cfg(feature = "remote")]
            impl From<crate::remote::Query> for $std::Binary {
                fn from(query: crate::remote::Query) -> Self {
                    query.encode().into()
                }
            }

            #[cfg(feature = "remote")]
            impl From<$std::Timestamp> for crate::remote::Nanos {
                fn from(time: $std::Timestamp) -> Self {
                    crate::remote::Nanos(time.nanos())
                }
            }

            #[cfg(feature = "remote")]
            impl From<crate::remote::Nanos> for $std::Timestamp {
                fn from(time: crate::remote::Nanos) -> Self {
                    $std::Timestamp::from_nanos(time.0)
                }
            }

            impl From<crate::Checksum> for Checksum {
                fn from(checksum: crate::Checksum) -> Self {
                    <[u8; 32]>::from(checksum).into()
                }
            }
        }
    };
}

#[cfg(feature = "std2")]
bindings!(std2, cosmwasm_std_2);
#[cfg(feature = "std3")]
bindings!(std3, cosmwasm_std);

// cosmwasm-std 3 takes any error; version 2 has a list.
#[cfg(feature = "std2")]
impl From<crate::Error> for cosmwasm_std_2::StdError {
    fn from(error: crate::Error) -> Self {
        cosmwasm_std_2::StdError::generic_err(error.to_string())
    }
}
