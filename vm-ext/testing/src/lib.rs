#![doc = include_str!("../README.md")]

mod backend;
mod chain;
mod contract;
mod embedded;
mod gas;
mod hand_on;
mod ibc;
mod loan;
mod network;
mod savepoint;
mod schedule;
mod scope;
mod wasm;

pub use chain::{Chain, ChainApp};
pub use contract::WasmContract;
pub use embedded::{CodeStore, EmbeddedVm, StoreError, StoreOptions, DEFAULT_CAPABILITIES};
pub use gas::{
    CallGas, GasLimits, GasReport, Outcome, DEFAULT_QUERY_LIMIT, DEFAULT_TRANSACTION_LIMIT, MAX_QUERY_DEPTH, SDK_GAS,
};
pub use ibc::{contract_port, voucher_denom, ChannelEnd, ChannelState, IbcError, IbcModule, IbcState, RelayMessages};
pub use network::{ChainId, Link, LinkOptions, Network, Relayed, Task};
pub use schedule::{Faults, Random, RunReport, Schedule};
pub use scope::GasScopes;
pub use wasm::MeteredWasm;

pub use aiinference_vm::{Kernels, Settings};
pub use cw_multi_test;
