//! A cw721 collection whose pictures are drawn by two models on chain.
//!
//! `mood` turns what the chain knows (a price feed posted to this contract, and how long and how faithfully the token
//! has been held) into eight numbers; `painter` turns those and the token's seed into 64 x 64 pixels. One call runs both, and
//! the mood never leaves the host. Which models, down to their bytes, is fixed at instantiation.
//!
//! A picture changes only where something happens: a price is posted, or the token changes hands. What the models were
//! given is kept for each such moment, so that every past picture can be drawn again (`image_at`). Transfers and
//! questions of ownership never run a model.
//!
//! Everything that cw721 0.22 defines is here under its messages; what is special to this collection is under
//! `update_extension` ([`msg::CollectionMsg`]) and `extension` ([`msg::CollectionQuery`]).
//!
//! # Events
//! Beside the attributes of cw721 in the `wasm` event:
//!
//! | event | attributes | when |
//! |---|---|---|
//! | `wasm-metadata_update` | `token_id`, `time` | the picture of one token has changed (ERC-4906 `MetadataUpdate`) |
//! | `wasm-update_update_token_metadata` | `sender`, `token_id` | the same, under the name that `sg721-updatable` gives it, for indexers that follow Stargaze's collections |
//! | `wasm-batch_metadata_update` | `tokens` (`all`), `time` | a price was posted: every picture has changed (ERC-4906 `BatchMetadataUpdate`) |
//!
//! `wasm` with `action` `post_price` has `price`, `time`, `posts`; `set_oracle` has `oracle`; `announce` has `tokens`
//! (their number) and comes with both single-token events for each of them: for indexers that do not know the batch event.
//! `migrate` has `from`, `to`.

mod art;
pub mod contract;
mod error;
mod history;
pub mod market;
pub mod msg;
pub mod png;
#[cfg(not(target_arch = "wasm32"))]
pub mod schema;
mod seed;
mod state;

pub use error::ContractError;
pub use seed::seed;
