//! Messages. Those of cw721 with this collection's own extensions.

use aiinference_std::{Checksum, Receipt};
use cosmwasm_schema::{cw_serde, QueryResponses};
use cosmwasm_std::{Addr, Decimal, Empty, SignedDecimal};
use cw721::{
    msg::{Cw721ExecuteMsg, Cw721QueryMsg},
    state::Trait,
    traits::{Contains, Cw721CustomMsg, Cw721State},
    EmptyOptionalCollectionExtension, EmptyOptionalCollectionExtensionMsg,
};

use crate::market::Market;

/// Where a model is.
#[cw_serde]
pub struct ModelSource {
    /// The code id it is stored under.
    pub code_id: u64,
    /// The SHA-256 that the stored module must have. The chain's is taken, and kept, where none is given.
    pub checksum: Option<Checksum>,
}

#[cw_serde]
pub struct InstantiateMsg {
    /// Name of the collection.
    pub name: String,
    /// Symbol of the collection.
    pub symbol: String,
    /// Nothing. cw721's own extension of the collection's info checks URLs, which would bring 400 kB of Unicode tables.
    pub collection_info_extension: EmptyOptionalCollectionExtensionMsg,
    /// Who may mint; the sender where none is given.
    pub minter: Option<String>,
    /// Who may change the collection's info and the oracle; the sender where none is given.
    pub creator: Option<String>,
    /// Where withdrawn funds go.
    pub withdraw_address: Option<String>,
    /// The model in `model/mood.onnx`.
    pub mood: ModelSource,
    /// The model in `model/painter.onnx`.
    pub painter: ModelSource,
    /// Who posts prices; the sender where none is given.
    pub oracle: Option<String>,
    /// Least number of seconds between two prices, at least 1.
    pub post_interval: u64,
}

/// The messages of cw721. `update_nft_info` is refused, and so is a `token_uri` or an `extension` in `mint`.
pub type ExecuteMsg = Cw721ExecuteMsg<Option<Empty>, EmptyOptionalCollectionExtensionMsg, CollectionMsg>;

/// The queries of cw721. `nft_info` and `all_nft_info` answer with an [`Artwork`] drawn for the occasion;
/// `get_nft_by_extension` is refused.
pub type QueryMsg = Cw721QueryMsg<Artwork, EmptyOptionalCollectionExtension, CollectionQuery>;

/// In `update_extension`.
#[cw_serde]
pub enum CollectionMsg {
    /// Oracle: adds a price to the feed. Every picture changes.
    PostPrice {
        /// From 10^-6 to 10^12.
        price: Decimal,
    },
    /// Creator: names another oracle.
    SetOracle {
        /// Its address.
        oracle: String,
    },
    /// Anyone: repeats the single-token update events for indexers that know no other. Changes nothing.
    Announce {
        /// At most 50.
        token_ids: Vec<String>,
    },
}

/// In `extension`.
#[cw_serde]
#[derive(QueryResponses)]
pub enum CollectionQuery {
    /// Models, oracle, interval.
    #[returns(ArtConfig)]
    Config {},
    /// The feed: the last prices and when the newest was posted.
    #[returns(FeedResponse)]
    Feed {},
    /// What a token's picture is made of.
    #[returns(Inputs)]
    Inputs {
        /// Which token; it may have been burned since.
        token_id: String,
        /// As of which Unix time in seconds; now where none is given.
        time: Option<u64>,
    },
    /// A past picture, drawn again.
    #[returns(Artwork)]
    ImageAt {
        /// Which token; it may have been burned since.
        token_id: String,
        /// As of which Unix time in seconds.
        time: u64,
    },
    /// When a token's picture changed, oldest first.
    #[returns(MomentsResponse)]
    Moments {
        /// Which token.
        token_id: String,
        /// Only after this Unix time in seconds.
        start_after: Option<u64>,
        /// At most 100; 30 where none is given.
        limit: Option<u32>,
    },
}

#[cw_serde]
pub struct MigrateMsg {}

/// A model as the contract keeps it: this code, with these bytes.
#[cw_serde]
pub struct PinnedModel {
    /// The code id it is stored under.
    pub code_id: u64,
    /// SHA-256 of the stored module.
    pub checksum: Checksum,
}

/// Where pictures come from.
#[cw_serde]
pub struct ArtConfig {
    /// Inputs to mood. Fixed.
    pub mood: PinnedModel,
    /// Mood and seed to pixels. Fixed.
    pub painter: PinnedModel,
    /// Who posts prices.
    pub oracle: Addr,
    /// Least number of seconds between two prices. Fixed.
    pub post_interval: u64,
}

#[cw_serde]
pub struct FeedResponse {
    /// Number of prices ever posted.
    pub posts: u64,
    /// Unix time of the newest in seconds.
    pub time: Option<u64>,
    /// Those that count, oldest first.
    pub window: Vec<Decimal>,
}

/// What the models are given for a token. All of it is, or follows from, state that is kept for ever.
#[cw_serde]
pub struct Inputs {
    /// Unix time in seconds since which this is the picture: that of the last price or transfer.
    pub since: u64,
    /// The newest price, if any had been posted.
    pub price: Option<Decimal>,
    /// The model's input `market`.
    pub market: Market,
    /// Whole days since the owner received the token; at most 1024.
    pub days_held: u64,
    /// How often the token had changed hands; at most 64.
    pub transfers: u64,
    /// Whole days since the mint; at most 4096.
    pub days_old: u64,
    /// The painter's input `seed`, of the collection's address and the token's id.
    pub seed: Vec<SignedDecimal>,
}

/// A token's metadata, as cw721's own with `inputs` and `receipt` added.
#[cw_serde]
pub struct Artwork {
    /// Collection and token id.
    pub name: String,
    /// What it is.
    pub description: String,
    /// The picture as `data:image/png;base64,…`.
    pub image: String,
    /// What the picture was made of, for people.
    pub attributes: Vec<Trait>,
    /// What the picture was made of.
    pub inputs: Inputs,
    /// Which models drew it, and hashes of what went in and came out.
    pub receipt: Receipt,
}

#[cw_serde]
pub struct MomentsResponse {
    /// Unix times in seconds. Continue after the last one.
    pub moments: Vec<u64>,
}

impl Cw721State for Artwork {}
impl Cw721CustomMsg for CollectionMsg {}
impl Cw721CustomMsg for CollectionQuery {}

// cw721 asks for it to search stored metadata, of which there is none.
impl Contains for Artwork {
    fn contains(&self, _other: &Artwork) -> bool {
        false
    }
}
