//! Models of another chain: questions to it and its answers, which travel in packets. Feature `remote`.
//!
//! A contract asks through the contract `ibc-model-client` of its own chain: by the message [`Ask`], which holds [`Query`]s, and
//! it is told the result by the message [`ModelAnswer`]. Neither needs the extension on the contract's chain.
//! `docs/interchain.md` goes through it step by step.
//!
//! ```
//! use aiinference_std::{remote, Model, Tensor};
//!
//! // One question: the oracle's price and a number of our own go into a model, and what it gives into a second one.
//! let (mood, painter) = (Model::new(7), Model::new(8));
//! let query = remote::Query::new()
//!     .read_smart("wasm1oracle", br#"{"price":{}}"#)
//!     .step(&mood, [
//!         remote::Input::read(0).json("/price").named("market"),
//!         Tensor::from_i64s(&[3]).named("owner").into(),
//!     ])
//!     .step(&painter, [remote::Input::from_step(0, "mood")])
//!     .gas_limit(2_000_000_000)
//!     .max_price(5_000)
//!     .memo(b"token 1");
//! assert!(query.encode().len() < 150);
//! ```

mod answer;
mod bytes;
mod client;
mod deposit;
mod query;

pub use aiinference_types::v1::DataType;
pub use answer::{Answer, AnswerResult, Description, Failure, ModelAnswer, Outcome, RunAnswer};
pub use bytes::{Bytes, Nanos};
pub use client::{Ask, Callback, ClientMsg, Height, Sent, SetRecovery, Timeout, Withdraw};
pub use deposit::{deposit_memo, Deposit, DepositMemo, DestinationCallback};
pub use query::{Input, Query, ReadInput};
