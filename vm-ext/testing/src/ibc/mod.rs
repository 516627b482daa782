//! IBC on an embedded chain: the rules of ibc-go v10 for channels and packets, and the calls of wasmd 0.61.
//!
//! A [`Network`](crate::Network) carries packets between chains. Light clients and proofs are not modelled: the network
//! reads the other chain itself, and accepts nothing that is not in a finished block there.

mod call;
mod error;
mod keeper;
mod module;
mod transfer;

pub(crate) use call::{Exchange, Failure, IbcCall};
pub use error::IbcError;
pub use keeper::{ChannelEnd, ChannelState, IbcState};
pub(crate) use module::{list_channels, message, Desk, Done, Job};
pub use module::{IbcModule, RelayMessages};
pub use transfer::voucher_denom;
pub(crate) use transfer::{PORT as TRANSFER_PORT, VERSION as TRANSFER_VERSION};

pub(crate) mod state {
    pub(crate) use super::keeper::*;
}

/// The port that a contract is bound to.
pub fn contract_port(contract: &cosmwasm_std::Addr) -> String {
    format!("{CONTRACT_PORT}{contract}")
}

/// What the port of a contract begins with.
const CONTRACT_PORT: &str = "wasm.";
