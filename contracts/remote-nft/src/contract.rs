//! Entry points: cw721's own, with asking and drawing put in where they belong.

#[cfg(not(feature = "library"))]
use cosmwasm_std::entry_point;
use cosmwasm_std::{
    to_json_binary, Addr, Binary, Deps, DepsMut, Empty, Env, MessageInfo, Response, SignedDecimal, StdResult, Storage,
};
use cw721::{
    error::Cw721ContractError,
    execute::assert_minter,
    msg::{AllNftInfoResponse, Cw721InstantiateMsg, NftInfoResponse},
    query::{query_collection_info, query_owner_of},
    state::{Cw721Config, NftInfo, CREATOR},
    traits::{Cw721Execute, Cw721Query},
    EmptyOptionalCollectionExtension, EmptyOptionalCollectionExtensionMsg,
};

use crate::{
    art,
    credit::{self, Deposit},
    msg::{Artwork, Asking, CollectionQuery, Config, ExecuteMsg, InstantiateMsg, MigrateMsg, QueryMsg},
    refresh,
    state::{CONFIG, TOKENS},
    ContractError,
};

const NAME: &str = "aiinference:remote-nft";
const VERSION: &str = env!("CARGO_PKG_VERSION");

const MAX_TOKEN_ID_BYTES: usize = 128;
/// A year.
const MAX_TIMEOUT: u64 = 31_536_000;

/// cw721's implementation, with nothing stored for a token's metadata. Its methods are called one by one: its `execute` would bring
/// messages that this collection has not, and 400 kB of Unicode tables for their URIs.
struct Collection;

impl
    Cw721Execute<
        Option<Empty>,
        Option<Empty>,
        EmptyOptionalCollectionExtension,
        EmptyOptionalCollectionExtensionMsg,
        Empty,
        Empty,
    > for Collection
{
    // As cw721 does it, but for the URI, of which there is none.
    fn mint(
        &self,
        deps: DepsMut,
        _env: &Env,
        info: &MessageInfo,
        token_id: String,
        owner: String,
        _token_uri: Option<String>,
        _extension: Option<Empty>,
    ) -> Result<Response, Cw721ContractError> {
        assert_minter(deps.storage, &info.sender)?;
        let tokens = Cw721Config::<Option<Empty>>::default();
        if tokens.nft_info.has(deps.storage, &token_id) {
            return Err(Cw721ContractError::Claimed {});
        }
        let token = NftInfo {
            owner: deps.api.addr_validate(&owner)?,
            approvals: vec![],
            token_uri: None,
            extension: None,
        };
        tokens.nft_info.save(deps.storage, &token_id, &token)?;
        tokens.increment_tokens(deps.storage)?;
        Ok(Response::new()
            .add_attribute("action", "mint")
            .add_attribute("minter", &info.sender)
            .add_attribute("owner", owner)
            .add_attribute("token_id", token_id))
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
    let config = Config {
        client: deps.api.addr_validate(&msg.client)?,
        asking: checked(msg.asking)?,
    };
    CONFIG.save(deps.storage, &config)?;
    let base = Cw721InstantiateMsg {
        name: msg.name,
        symbol: msg.symbol,
        collection_info_extension: None,
        minter: msg.minter,
        creator: msg.creator,
        withdraw_address: None,
    };
    let response = Collection.instantiate_with_version(deps.branch(), &env, &info, base, NAME, VERSION)?;
    Ok(response
        .add_attribute("action", "instantiate")
        .add_attribute("client", config.client)
        .add_attribute("channel", config.asking.channel))
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn execute(mut deps: DepsMut, env: Env, info: MessageInfo, msg: ExecuteMsg) -> Result<Response, ContractError> {
    match msg {
        ExecuteMsg::TransferNft { recipient, token_id } => {
            let before = owner(deps.as_ref(), &token_id)?;
            let response = Collection.transfer_nft(deps.branch(), &env, &info, recipient, token_id.clone())?;
            moved(deps, &env, &token_id, before)?;
            Ok(response)
        }
        ExecuteMsg::SendNft {
            contract,
            token_id,
            msg,
        } => {
            let before = owner(deps.as_ref(), &token_id)?;
            let response = Collection.send_nft(deps.branch(), &env, &info, contract, token_id.clone(), msg)?;
            moved(deps, &env, &token_id, before)?;
            Ok(response)
        }
        ExecuteMsg::Approve {
            spender,
            token_id,
            expires,
        } => Ok(Collection.approve(deps, &env, &info, spender, token_id, expires)?),
        ExecuteMsg::Revoke { spender, token_id } => Ok(Collection.revoke(deps, &env, &info, spender, token_id)?),
        ExecuteMsg::ApproveAll { operator, expires } => {
            Ok(Collection.approve_all(deps, &env, &info, operator, expires)?)
        }
        ExecuteMsg::RevokeAll { operator } => Ok(Collection.revoke_all(deps, &env, &info, operator)?),
        ExecuteMsg::Burn { token_id } => {
            TOKENS.remove(deps.storage, &token_id);
            Ok(Collection.burn_nft(deps, &env, &info, token_id)?)
        }
        ExecuteMsg::SetWithdrawAddress { address } => {
            Ok(Collection.set_withdraw_address(deps, &info.sender, address)?)
        }
        ExecuteMsg::WithdrawFunds { amount } => Ok(Collection.withdraw_funds(deps.storage, &amount)?),
        ExecuteMsg::Mint {
            token_id,
            owner,
            traits,
        } => mint(deps, env, info, token_id, owner, traits),
        ExecuteMsg::Refresh { token_id } => refresh::refresh(deps, env, info, token_id),
        ExecuteMsg::ModelAnswer(answer) => refresh::answered(deps, env, info, answer),
        ExecuteMsg::Fund {
            host,
            transfer_channel,
            connection,
            recovery,
            amount,
        } => {
            let deposit = Deposit {
                host,
                transfer_channel,
                connection,
                recovery,
                amount,
            };
            credit::fund(deps, env, info, deposit)
        }
        ExecuteMsg::Withdraw {
            receiver,
            amount,
            max_price,
        } => credit::withdraw(deps, info, receiver, amount, max_price),
        ExecuteMsg::UpdateConfig { asking } => {
            assert_creator(deps.storage, &info.sender, "configuring")?;
            let mut config = CONFIG.load(deps.storage)?;
            config.asking = checked(asking)?;
            CONFIG.save(deps.storage, &config)?;
            Ok(Response::new()
                .add_attribute("action", "update_config")
                .add_attribute("channel", config.asking.channel))
        }
    }
}

fn checked(asking: Asking) -> Result<Asking, ContractError> {
    match asking.timeout {
        1..=MAX_TIMEOUT => Ok(asking),
        timeout => Err(ContractError::Timeout(timeout)),
    }
}

fn mint(
    mut deps: DepsMut,
    env: Env,
    info: MessageInfo,
    token_id: String,
    owner: String,
    traits: Vec<SignedDecimal>,
) -> Result<Response, ContractError> {
    if !(1..=MAX_TOKEN_ID_BYTES).contains(&token_id.len()) {
        return Err(ContractError::TokenId(token_id.len()));
    }
    if traits.len() != refresh::MOOD {
        return Err(ContractError::Traits(traits.len()));
    }
    let response = Collection.mint(deps.branch(), &env, &info, token_id.clone(), owner, None, None)?;
    refresh::minted(deps, &token_id, traits, env.block.time)?;
    Ok(response)
}

/// Notes it where the owner is another than before.
fn moved(deps: DepsMut, env: &Env, token_id: &str, before: Addr) -> StdResult<()> {
    if owner(deps.as_ref(), token_id)? == before {
        return Ok(());
    }
    refresh::received(deps, token_id, env.block.time)
}

fn owner(deps: Deps, token_id: &str) -> StdResult<Addr> {
    let tokens = Cw721Config::<Option<Empty>>::default();
    Ok(tokens.nft_info.load(deps.storage, token_id)?.owner)
}

pub(crate) fn is_creator(storage: &dyn Storage, sender: &Addr) -> bool {
    CREATOR.assert_owner(storage, sender).is_ok()
}

pub(crate) fn assert_creator(storage: &dyn Storage, sender: &Addr, action: &'static str) -> Result<(), ContractError> {
    match is_creator(storage, sender) {
        true => Ok(()),
        false => Err(ContractError::Unauthorized {
            action,
            role: "the collection's creator",
        }),
    }
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn query(deps: Deps, env: Env, msg: QueryMsg) -> Result<Binary, ContractError> {
    Ok(match msg {
        QueryMsg::NftInfo { token_id } => to_json_binary(&nft_info(deps, &token_id)?)?,
        QueryMsg::AllNftInfo {
            token_id,
            include_expired,
        } => to_json_binary(&AllNftInfoResponse {
            access: query_owner_of(deps, &env, token_id.clone(), include_expired.unwrap_or(false))?,
            info: nft_info(deps, &token_id)?,
        })?,
        QueryMsg::GetNftByExtension { .. } => return Err(ContractError::MetadataIsDrawn),
        QueryMsg::Extension {
            msg: CollectionQuery::Config {},
        } => to_json_binary(&CONFIG.load(deps.storage)?)?,
        msg => Collection.query(deps, &env, msg)?,
    })
}

fn nft_info(deps: Deps, token_id: &str) -> StdResult<NftInfoResponse<Artwork>> {
    let token = TOKENS.load(deps.storage, token_id)?;
    let name = query_collection_info(deps.storage)?.name;
    Ok(NftInfoResponse {
        token_uri: None,
        extension: art::artwork(&name, token_id, token),
    })
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn migrate(deps: DepsMut, _env: Env, _msg: MigrateMsg) -> Result<Response, ContractError> {
    let from = cw2::ensure_from_older_version(deps.storage, NAME, VERSION)?;
    Ok(Response::new()
        .add_attribute("action", "migrate")
        .add_attribute("from", from.to_string())
        .add_attribute("to", VERSION))
}
