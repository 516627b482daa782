//! A chain over RPC: keys, transactions, uploads in shards, queries.
//!
//! [`Node`] asks, [`Account`] sends, [`Keyring`] keeps keys, and [`upload`] stores models and contracts:
//!
//! ```no_run
//! # async fn example() -> Result<(), aiinference_client::ClientError> {
//! use aiinference_client::{Account, Json, Keyring, Msg, Node, Options};
//!
//! let node = Node::connect("http://127.0.0.1:26657", None).await?;
//! let key = Keyring::at(Keyring::default_folder()?).get("alice")?;
//! let account = Account::open(&node, key, Options::default()).await?;
//! let done = account
//!     .send(&[Msg::Execute {
//!         sender: account.address().into(),
//!         contract: "wasm1...".into(),
//!         msg: Json::new(r#"{"score":{}}"#)?,
//!         funds: vec![],
//!     }])
//!     .await?;
//! println!("{} gas in block {}", done.gas_used, done.height);
//! # Ok(())
//! # }
//! ```
//!
//! Nothing that a node says is trusted further than it must be: answers are bounded, typed and, where a hash tells,
//! checked; text is stripped of control characters before it is shown.

mod account;
mod blocks;
mod coin;
mod error;
mod key;
mod keyring;
mod msg;
mod node;
mod rpc;
pub mod tx;
pub mod upload;

pub use account::{Account, Gas, Options, Payer};
pub use blocks::{Blocks, BlocksError, SILENCE};
pub use coin::{coins, Coin, GasPrice};
pub use error::{printable, ClientError};
pub use key::{Key, KeyError, DEFAULT_PATH};
pub use keyring::{read_secret, read_text, write_secret, Keyring, KeyringError};
pub use msg::{address, governance, Access, Json, Msg, Proposal};
pub use node::{AccountFacts, CodeInfo, ContractInfo, Node, Status, MAX_TX};
pub use rpc::Rpc;
pub use tx::{Event, Fee, Included};
