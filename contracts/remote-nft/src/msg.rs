//! Messages. Those of cw721 with this collection's own.

use aiinference_std::{remote::ModelAnswer, Model, Receipt};
use cosmwasm_schema::{cw_serde, QueryResponses};
use cosmwasm_std::{Addr, Binary, Coin, SignedDecimal, Timestamp, Uint128};
use cw721::{
    msg::Cw721QueryMsg,
    state::Trait,
    traits::{Contains, Cw721CustomMsg, Cw721State},
    EmptyOptionalCollectionExtension, Expiration,
};

#[cw_serde]
pub struct InstantiateMsg {
    /// Name of the collection.
    pub name: String,
    /// Symbol of the collection.
    pub symbol: String,
    /// Who may mint; the sender where none is given.
    pub minter: Option<String>,
    /// Who may fund and configure; the sender where none is given.
    pub creator: Option<String>,
    /// The contract `ibc-model-client` of this chain.
    pub client: String,
    /// Whom to ask, and how.
    pub asking: Asking,
}

/// Whom to ask, and how.
#[cw_serde]
pub struct Asking {
    /// The client's channel to the answering chain.
    pub channel: String,
    /// The mood model there, `contracts/dynamic-nft/model/mood.onnx`: by code id, best with its checksum.
    pub model: Model,
    /// Where the model's input `market` comes from; the token's traits stand in where none is given.
    pub market: Option<MarketSource>,
    /// What is paid with, a denom of the answering chain; empty where it asks no price.
    pub denom: String,
    /// The largest price of a picture.
    pub max_price: Uint128,
    /// The most gas of a picture, in CosmWasm gas of the answering chain.
    pub gas_limit: u64,
    /// Gas limit of the callback, in this chain's own gas. 300,000 suffices.
    pub callback_gas: u64,
    /// Seconds after which a question is given up, and may be asked again; at most a year.
    pub timeout: u64,
}

/// A contract on the answering chain that tells of the market: read there, when the model runs.
#[cw_serde]
pub struct MarketSource {
    /// Its address.
    pub contract: String,
    /// The smart query, a JSON message.
    pub query: Binary,
    /// Where in the answer the eight numbers are, by RFC 6901.
    pub pointer: String,
}

#[cw_serde]
pub enum ExecuteMsg {
    /// cw721.
    TransferNft {
        /// The new owner.
        recipient: String,
        /// Which token.
        token_id: String,
    },
    /// cw721.
    SendNft {
        /// The new owner, a contract.
        contract: String,
        /// Which token.
        token_id: String,
        /// What the contract is told.
        msg: Binary,
    },
    /// cw721.
    Approve {
        /// Who may send the token.
        spender: String,
        /// Which token.
        token_id: String,
        /// Until when.
        expires: Option<Expiration>,
    },
    /// cw721.
    Revoke {
        /// Who may no longer.
        spender: String,
        /// Which token.
        token_id: String,
    },
    /// cw721.
    ApproveAll {
        /// Who may send all tokens of the sender.
        operator: String,
        /// Until when.
        expires: Option<Expiration>,
    },
    /// cw721.
    RevokeAll {
        /// Who may no longer.
        operator: String,
    },
    /// cw721.
    Burn {
        /// Which token.
        token_id: String,
    },
    /// cw721: where `withdraw_funds` pays to.
    SetWithdrawAddress {
        /// An address of this chain.
        address: String,
    },
    /// cw721: pays out coins of the collection on this chain.
    WithdrawFunds {
        /// How much.
        amount: Coin,
    },
    /// Minter: makes a token.
    Mint {
        /// Its id, 1 to 128 bytes.
        token_id: String,
        /// Its owner.
        owner: String,
        /// Eight numbers that the model reads as `market`, in the order and the ranges of
        /// `contracts/dynamic-nft/model/inputs.json`; what is beyond ends at the range.
        traits: Vec<SignedDecimal>,
    },
    /// The token's owner and those they approved, or the creator: asks for a new picture.
    Refresh {
        /// Which token.
        token_id: String,
    },
    /// The client: tells an answer.
    ModelAnswer(ModelAnswer),
    /// Creator: sends coins of the collection to the answering chain, as its credit there.
    Fund {
        /// The answering contract, `ibc-model-host`.
        host: String,
        /// This chain's ICS-20 channel to the answering chain.
        transfer_channel: String,
        /// The answering chain's name of the connection of the client's channel.
        connection: String,
        /// An address of the answering chain that may take the credit out once the channel is dead.
        recovery: String,
        /// How much.
        amount: Coin,
    },
    /// Creator: has credit paid out on the answering chain.
    Withdraw {
        /// An address of the answering chain.
        receiver: String,
        /// How much; all where none is given.
        amount: Option<Uint128>,
        /// The most that is paid for it, in the coins of the credit; nothing where none is given. A relayer may leave
        /// what pays too little.
        max_price: Option<Uint128>,
    },
    /// Creator: asks another way from now on.
    UpdateConfig {
        /// Whom to ask, and how.
        asking: Asking,
    },
}

/// The queries of cw721. `nft_info` and `all_nft_info` answer with an [`Artwork`]; `get_nft_by_extension` is refused.
pub type QueryMsg = Cw721QueryMsg<Artwork, EmptyOptionalCollectionExtension, CollectionQuery>;

/// In `extension`.
#[cw_serde]
#[derive(QueryResponses)]
pub enum CollectionQuery {
    /// Whom the collection asks, and how.
    #[returns(Config)]
    Config {},
}

#[cw_serde]
pub struct MigrateMsg {}

#[cw_serde]
pub struct Config {
    /// The contract `ibc-model-client` of this chain. Fixed.
    pub client: Addr,
    /// Whom to ask, and how.
    pub asking: Asking,
}

/// A token's metadata: cw721's own, and where the picture comes from.
#[cw_serde]
pub struct Artwork {
    /// Collection and token id.
    pub name: String,
    /// What it is.
    pub description: String,
    /// The picture as `data:image/svg+xml;base64,…`.
    pub image: String,
    /// What it is made of, for people.
    pub attributes: Vec<Trait>,
    /// Since when an answer is awaited, if one is.
    pub asked: Option<Timestamp>,
    /// The last answer; null before the first.
    pub picture: Option<Picture>,
    /// Why the last question failed, if it did.
    pub failure: Option<Failed>,
}

/// What the model said.
#[cw_serde]
pub struct Picture {
    /// Warmth, light, storm, unrest, bloom, wander, patina, dream: each in -1..=1.
    pub mood: Vec<SignedDecimal>,
    /// Block of the answering chain.
    pub height: u64,
    /// Its time.
    pub time: Timestamp,
    /// What was paid.
    pub price: String,
    /// Which model ran, and hashes of what went in and came out: anyone can run it again.
    pub receipt: Receipt,
}

/// A question that failed.
#[cw_serde]
pub struct Failed {
    /// A number of `docs/spec/errors.md`; 0 where the answer does not fit this collection.
    pub code: u32,
    /// What happened.
    pub message: String,
    /// When it was told.
    pub time: Timestamp,
}

impl Cw721State for Artwork {}
impl Cw721CustomMsg for CollectionQuery {}

// cw721 asks for it to search stored metadata, of which there is none.
impl Contains for Artwork {
    fn contains(&self, _other: &Artwork) -> bool {
        false
    }
}
