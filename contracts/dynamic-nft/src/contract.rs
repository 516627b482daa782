//! Entry points: cw721's own, with the art put in where it belongs.

#[cfg(not(feature = "library"))]
use cosmwasm_std::entry_point;
use cosmwasm_std::{
    to_json_binary, Addr, Binary, Decimal, Deps, DepsMut, Empty, Env, Event, MessageInfo, Response, StdError,
};
use cw721::{
    error::Cw721ContractError,
    execute::{assert_creator, assert_minter},
    msg::{AllNftInfoResponse, Cw721InstantiateMsg, NftInfoResponse},
    query::{query_collection_info, query_owner_of},
    state::{Cw721Config, NftInfo},
    traits::{Cw721Execute, Cw721Query},
    EmptyOptionalCollectionExtension, EmptyOptionalCollectionExtensionMsg,
};

use crate::{
    art, history,
    market::{Market, MAX_PRICE, MIN_PRICE, WINDOW},
    msg::{
        ArtConfig, Artwork, CollectionMsg, CollectionQuery, ExecuteMsg, FeedResponse, InstantiateMsg, MigrateMsg,
        MomentsResponse, QueryMsg,
    },
    state::{Posted, ART, LAST_POST, POSTED, POSTS, WINDOW_PRICES},
    ContractError,
};

const NAME: &str = "aiinference:dynamic-nft";
const VERSION: &str = env!("CARGO_PKG_VERSION");

const MAX_TOKEN_ID_BYTES: usize = 128;
const MAX_ANNOUNCED: usize = 50;
const DEFAULT_MOMENTS: u32 = 30;
const MAX_MOMENTS: u32 = 100;

/// cw721's implementation, with nothing stored for a token's metadata.
struct Collection;

impl
    Cw721Execute<
        Option<Empty>,
        Option<Empty>,
        EmptyOptionalCollectionExtension,
        EmptyOptionalCollectionExtensionMsg,
        CollectionMsg,
        Empty,
    > for Collection
{
    // As cw721 does it, but for the URI, of which there is none: checking one would bring 400 kB of Unicode tables.
    fn mint(
        &self,
        deps: DepsMut,
        _env: &Env,
        info: &MessageInfo,
        token_id: String,
        owner: String,
        token_uri: Option<String>,
        extension: Option<Empty>,
    ) -> Result<Response, Cw721ContractError> {
        if token_uri.is_some() || extension.is_some() {
            return Err(
                StdError::generic_err(ContractError::MetadataIsDrawn("minting with metadata").to_string()).into(),
            );
        }
        assert_minter(deps.storage, &info.sender)?;
        let tokens = Cw721Config::<Option<Empty>>::default();
        if tokens.nft_info.has(deps.storage, &token_id) {
            return Err(Cw721ContractError::Claimed {});
        }
        let token = NftInfo {
            owner: deps.api.addr_validate(&owner)?,
            approvals: vec![],
            token_uri,
            extension,
        };
        tokens.nft_info.save(deps.storage, &token_id, &token)?;
        tokens.increment_tokens(deps.storage)?;
        Ok(Response::new()
            .add_attribute("action", "mint")
            .add_attribute("minter", &info.sender)
            .add_attribute("owner", owner)
            .add_attribute("token_id", token_id))
    }

    fn update_nft_info(
        &self,
        _deps: DepsMut,
        _env: &Env,
        _info: &MessageInfo,
        _token_id: String,
        _token_uri: Option<String>,
        _extension: Option<Empty>,
    ) -> Result<Response, Cw721ContractError> {
        Err(StdError::generic_err(ContractError::MetadataIsDrawn("updating a token's metadata").to_string()).into())
    }
}

impl Cw721Query<Artwork, EmptyOptionalCollectionExtension, CollectionQuery> for Collection {}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn instantiate(
    mut deps: DepsMut,
    env: Env,
    info: MessageInfo,
    msg: InstantiateMsg,
) -> Result<Response, ContractError> {
    if msg.post_interval == 0 {
        return Err(ContractError::ZeroInterval);
    }
    let (mood, painter) = art::pin(deps.as_ref(), &msg.mood, &msg.painter)?;
    let oracle = match msg.oracle {
        Some(oracle) => deps.api.addr_validate(&oracle)?,
        None => info.sender.clone(),
    };
    let config = ArtConfig {
        mood,
        painter,
        oracle,
        post_interval: msg.post_interval,
    };
    ART.save(deps.storage, &config)?;
    WINDOW_PRICES.save(deps.storage, &Vec::new())?;
    POSTS.save(deps.storage, &0)?;

    let base = Cw721InstantiateMsg {
        name: msg.name,
        symbol: msg.symbol,
        collection_info_extension: msg.collection_info_extension,
        minter: msg.minter,
        creator: msg.creator,
        withdraw_address: msg.withdraw_address,
    };
    let response = Collection.instantiate_with_version(deps.branch(), &env, &info, base, NAME, VERSION)?;
    Ok(response
        .add_attribute("action", "instantiate")
        .add_attribute("mood", config.mood.checksum.to_string())
        .add_attribute("painter", config.painter.checksum.to_string())
        .add_attribute("oracle", config.oracle))
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn execute(mut deps: DepsMut, env: Env, info: MessageInfo, msg: ExecuteMsg) -> Result<Response, ContractError> {
    let now = env.block.time.seconds();
    match &msg {
        ExecuteMsg::UpdateExtension { msg } => update_extension(deps, env, info, msg.clone()),
        ExecuteMsg::UpdateNftInfo { .. } => Err(ContractError::MetadataIsDrawn("updating a token's metadata")),
        ExecuteMsg::Mint { token_uri: Some(_), .. } | ExecuteMsg::Mint { extension: Some(_), .. } => {
            Err(ContractError::MetadataIsDrawn("minting with metadata"))
        }
        ExecuteMsg::Mint { token_id, .. } => {
            if !(1..=MAX_TOKEN_ID_BYTES).contains(&token_id.len()) {
                return Err(ContractError::TokenId {
                    max: MAX_TOKEN_ID_BYTES,
                    actual: token_id.len(),
                });
            }
            let token_id = token_id.clone();
            let response = Collection.execute(deps.branch(), &env, &info, msg)?;
            history::mint(deps.storage, &token_id, now)?;
            Ok(response)
        }
        ExecuteMsg::TransferNft { token_id, .. } | ExecuteMsg::SendNft { token_id, .. } => {
            let token_id = token_id.clone();
            let before = owner(deps.as_ref(), &token_id)?;
            let response = Collection.execute(deps.branch(), &env, &info, msg)?;
            if owner(deps.as_ref(), &token_id)? == before {
                return Ok(response);
            }
            history::receive(deps.storage, &token_id, now)?;
            Ok(response.add_events(updated(&info.sender, &token_id, now)))
        }
        ExecuteMsg::Burn { token_id } => {
            let token_id = token_id.clone();
            let response = Collection.execute(deps.branch(), &env, &info, msg)?;
            history::burn(deps.storage, &token_id, now)?;
            Ok(response)
        }
        _ => Ok(Collection.execute(deps, &env, &info, msg)?),
    }
}

fn update_extension(deps: DepsMut, env: Env, info: MessageInfo, msg: CollectionMsg) -> Result<Response, ContractError> {
    match msg {
        CollectionMsg::PostPrice { price } => post_price(deps, env, info, price),
        CollectionMsg::SetOracle { oracle } => set_oracle(deps, info, oracle),
        CollectionMsg::Announce { token_ids } => announce(deps.as_ref(), env, info, token_ids),
    }
}

fn post_price(deps: DepsMut, env: Env, info: MessageInfo, price: Decimal) -> Result<Response, ContractError> {
    let config = ART.load(deps.storage)?;
    if info.sender != config.oracle {
        return Err(ContractError::Unauthorized {
            action: "posting a price",
            role: "oracle",
        });
    }
    if !(MIN_PRICE..=MAX_PRICE).contains(&price) {
        return Err(ContractError::PriceOutOfRange(price));
    }
    let now = env.block.time.seconds();
    if let Some(last) = LAST_POST.may_load(deps.storage)? {
        let since = now.saturating_sub(last);
        if since < config.post_interval {
            return Err(ContractError::TooSoon {
                since,
                interval: config.post_interval,
            });
        }
    }
    let mut window = WINDOW_PRICES.load(deps.storage)?;
    window.push(price);
    let excess = window.len().saturating_sub(WINDOW);
    window.drain(..excess);
    let posts = POSTS.load(deps.storage)?.saturating_add(1);

    POSTED.save(
        deps.storage,
        now,
        &Posted {
            price,
            market: Market::of(&window),
        },
    )?;
    WINDOW_PRICES.save(deps.storage, &window)?;
    LAST_POST.save(deps.storage, &now)?;
    POSTS.save(deps.storage, &posts)?;
    Ok(Response::new()
        .add_attribute("action", "post_price")
        .add_attribute("price", price.to_string())
        .add_attribute("time", now.to_string())
        .add_attribute("posts", posts.to_string())
        .add_event(
            Event::new("batch_metadata_update")
                .add_attribute("tokens", "all")
                .add_attribute("time", now.to_string()),
        ))
}

fn set_oracle(deps: DepsMut, info: MessageInfo, oracle: String) -> Result<Response, ContractError> {
    assert_creator(deps.storage, &info.sender).map_err(|_| ContractError::Unauthorized {
        action: "naming an oracle",
        role: "creator",
    })?;
    let mut config = ART.load(deps.storage)?;
    config.oracle = deps.api.addr_validate(&oracle)?;
    ART.save(deps.storage, &config)?;
    Ok(Response::new()
        .add_attribute("action", "set_oracle")
        .add_attribute("oracle", config.oracle))
}

fn announce(deps: Deps, env: Env, info: MessageInfo, token_ids: Vec<String>) -> Result<Response, ContractError> {
    if token_ids.len() > MAX_ANNOUNCED {
        return Err(ContractError::TooManyTokens {
            max: MAX_ANNOUNCED,
            actual: token_ids.len(),
        });
    }
    let mut response = Response::new()
        .add_attribute("action", "announce")
        .add_attribute("tokens", token_ids.len().to_string());
    for token_id in &token_ids {
        owner(deps, token_id)?;
        response = response.add_events(updated(&info.sender, token_id, env.block.time.seconds()));
    }
    Ok(response)
}

/// The events that tell indexers of a token's new picture.
fn updated(sender: &Addr, token_id: &str, time: u64) -> [Event; 2] {
    [
        Event::new("metadata_update")
            .add_attribute("token_id", token_id)
            .add_attribute("time", time.to_string()),
        Event::new("update_update_token_metadata")
            .add_attribute("sender", sender)
            .add_attribute("token_id", token_id),
    ]
}

fn owner(deps: Deps, token_id: &str) -> Result<Addr, ContractError> {
    Ok(Cw721Config::<Option<Empty>>::default()
        .nft_info
        .load(deps.storage, token_id)?
        .owner)
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn query(deps: Deps, env: Env, msg: QueryMsg) -> Result<Binary, ContractError> {
    let now = env.block.time.seconds();
    Ok(match msg {
        QueryMsg::NftInfo { token_id } => to_json_binary(&nft_info(deps, &env, &token_id)?)?,
        QueryMsg::AllNftInfo {
            token_id,
            include_expired,
        } => to_json_binary(&AllNftInfoResponse {
            access: query_owner_of(deps, &env, token_id.clone(), include_expired.unwrap_or(false))?,
            info: nft_info(deps, &env, &token_id)?,
        })?,
        QueryMsg::GetNftByExtension { .. } => return Err(ContractError::MetadataIsDrawn("searching by metadata")),
        QueryMsg::Extension { msg } => match msg {
            CollectionQuery::Config {} => to_json_binary(&ART.load(deps.storage)?)?,
            CollectionQuery::Feed {} => to_json_binary(&FeedResponse {
                posts: POSTS.load(deps.storage)?,
                time: LAST_POST.may_load(deps.storage)?,
                window: WINDOW_PRICES.load(deps.storage)?,
            })?,
            CollectionQuery::Inputs { token_id, time } => {
                let collection = env.contract.address.as_str();
                to_json_binary(&history::inputs(
                    deps.storage,
                    collection,
                    &token_id,
                    time.unwrap_or(now),
                )?)?
            }
            CollectionQuery::ImageAt { token_id, time } if time > now => {
                return Err(ContractError::NoPicture {
                    token_id,
                    time,
                    problem: "that is in the future",
                });
            }
            CollectionQuery::ImageAt { token_id, time } => to_json_binary(&artwork(deps, &env, &token_id, time)?)?,
            CollectionQuery::Moments {
                token_id,
                start_after,
                limit,
            } => {
                let limit = limit.unwrap_or(DEFAULT_MOMENTS).min(MAX_MOMENTS) as usize;
                let moments = history::moments(deps.storage, &token_id, start_after, limit)?;
                to_json_binary(&MomentsResponse { moments })?
            }
        },
        msg => Collection.query(deps, &env, msg)?,
    })
}

fn nft_info(deps: Deps, env: &Env, token_id: &str) -> Result<NftInfoResponse<Artwork>, ContractError> {
    // A burned token has a history, but no metadata any more.
    owner(deps, token_id)?;
    Ok(NftInfoResponse {
        token_uri: None,
        extension: artwork(deps, env, token_id, env.block.time.seconds())?,
    })
}

fn artwork(deps: Deps, env: &Env, token_id: &str, time: u64) -> Result<Artwork, ContractError> {
    let inputs = history::inputs(deps.storage, env.contract.address.as_str(), token_id, time)?;
    let name = query_collection_info(deps.storage)?.name;
    art::artwork(deps, &name, token_id, &ART.load(deps.storage)?, inputs)
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn migrate(deps: DepsMut, _env: Env, _msg: MigrateMsg) -> Result<Response, ContractError> {
    let from = cw2::ensure_from_older_version(deps.storage, NAME, VERSION)?;
    Ok(Response::new()
        .add_attribute("action", "migrate")
        .add_attribute("from", from.to_string())
        .add_attribute("to", VERSION))
}
