//! Relays packets between chains: model queries, and any other ICS-4 channel.
//!
//! A [`path::Path`] is two chains with a connection between them and channels on it. [`relay::Relay`] follows the blocks of
//! both ([`watch`]), keeps what is under way in a [`ledger`], and does what has become possible ([`submit`]): proofs, the
//! light client's update and the packets in one transaction. What it knows it can find again in the chains' state
//! ([`scan`]): it may be killed at any time.
//!
//! Nothing a node says is believed further than it must be: answers are bounded, headers are verified as the light client
//! on the other chain will verify them ([`light`]), and proofs are held against those ([`proof`]) before a fee is paid.

pub mod chain;
pub mod config;
mod error;
pub mod handshake;
pub mod ledger;
pub mod light;
pub mod metrics;
pub mod packet;
pub mod path;
pub mod proof;
pub mod proto;
pub mod refusal;
pub mod relay;
pub mod said;
pub mod scan;
pub mod status;
pub mod submit;
pub mod text;
pub mod wallet;
pub mod watch;

pub use error::{RelayError, Result};
