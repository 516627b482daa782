//! Gas limits of submessages: a message of ours that carries another, and the module that runs it in a scope.

use cosmwasm_std::{
    from_json, to_json_binary, Addr, AnyMsg, Api, BankMsg, BlockInfo, CosmosMsg, CustomMsg, CustomQuery,
    DistributionMsg, GovMsg, IbcMsg, StakingMsg, StdError, StdResult, Storage, WasmMsg,
};
use cw_multi_test::{AppResponse, CosmosRouter, Stargate};
use serde::{de::DeserializeOwned, Deserialize, Serialize};

use crate::{
    gas::{Meter, Submessage, SDK_GAS},
    hand_on::hand_on,
};

/// Type URL of the message that carries another.
const TYPE_URL: &str = "/aiinference.multitest.GasScope";

/// What such a message holds.
#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "C: DeserializeOwned"))]
struct Carried<C: CustomMsg> {
    /// SDK gas.
    gas_limit: Option<u64>,
    msg: CosmosMsg<C>,
}

/// Puts a message into one that [`GasScopes`] runs with this limit of SDK gas.
pub(crate) fn wrap<C: CustomMsg>(gas_limit: Option<u64>, msg: CosmosMsg<C>) -> StdResult<CosmosMsg<C>> {
    Ok(CosmosMsg::Any(AnyMsg {
        type_url: TYPE_URL.to_string(),
        value: to_json_binary(&Carried { gas_limit, msg })?,
    }))
}

/// A stargate module that runs submessages in gas scopes and leaves everything else to `S`.
#[derive(Clone, Debug)]
pub struct GasScopes<S> {
    inner: S,
    meter: Meter,
}

impl<S> GasScopes<S> {
    pub(crate) fn new(inner: S, meter: Meter) -> Self {
        GasScopes { inner, meter }
    }

    /// The module that serves all other messages and queries.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn run<C, Q>(
        &self,
        api: &dyn Api,
        storage: &mut dyn Storage,
        router: &dyn CosmosRouter<ExecC = C, QueryC = Q>,
        block: &BlockInfo,
        sender: Addr,
        carried: Carried<C>,
    ) -> StdResult<AppResponse>
    where
        C: CustomMsg + DeserializeOwned + 'static,
        Q: CustomQuery + DeserializeOwned + 'static,
    {
        let Carried { gas_limit, msg } = carried;
        let response_type = response_type(&msg).to_string();
        let limit = gas_limit.map_or(u64::MAX, |gas| gas.saturating_mul(SDK_GAS));
        let scope = self.meter.open(limit);
        let result = router.execute(api, storage, block, sender, msg);
        let closed = scope.close();
        self.meter.note_submessage(Submessage {
            sdk_gas: closed.used.div_ceil(SDK_GAS),
            response_type,
        });
        match closed.out_of_gas {
            // Also where a contract in between took the error for an answer: on a chain nothing survives it.
            Some(error) => Err(StdError::msg(format!("running a submessage: {error}"))),
            None => result,
        }
    }
}

impl<S: Stargate> Stargate for GasScopes<S> {
    fn execute_any<C, Q>(
        &self,
        api: &dyn Api,
        storage: &mut dyn Storage,
        router: &dyn CosmosRouter<ExecC = C, QueryC = Q>,
        block: &BlockInfo,
        sender: Addr,
        msg: AnyMsg,
    ) -> StdResult<AppResponse>
    where
        C: CustomMsg + DeserializeOwned + 'static,
        Q: CustomQuery + DeserializeOwned + 'static,
    {
        if msg.type_url == TYPE_URL {
            return self.run(api, storage, router, block, sender, from_json(&msg.value)?);
        }
        self.inner.execute_any(api, storage, router, block, sender, msg)
    }

    hand_on!(execute_stargate);
    hand_on!(query_stargate);
    hand_on!(query_grpc);
}

/// The type of the response that a reply is told: the message's in its module's protobuf package.
fn response_type<C>(msg: &CosmosMsg<C>) -> &'static str {
    match msg {
        CosmosMsg::Bank(BankMsg::Send { .. }) => "/cosmos.bank.v1beta1.MsgSendResponse",
        CosmosMsg::Bank(BankMsg::Burn { .. }) => "/cosmos.bank.v1beta1.MsgBurnResponse",
        CosmosMsg::Staking(StakingMsg::Delegate { .. }) => "/cosmos.staking.v1beta1.MsgDelegateResponse",
        CosmosMsg::Staking(StakingMsg::Undelegate { .. }) => "/cosmos.staking.v1beta1.MsgUndelegateResponse",
        CosmosMsg::Staking(StakingMsg::Redelegate { .. }) => "/cosmos.staking.v1beta1.MsgBeginRedelegateResponse",
        CosmosMsg::Distribution(DistributionMsg::FundCommunityPool { .. }) => {
            "/cosmos.distribution.v1beta1.MsgFundCommunityPoolResponse"
        }
        CosmosMsg::Distribution(DistributionMsg::SetWithdrawAddress { .. }) => {
            "/cosmos.distribution.v1beta1.MsgSetWithdrawAddressResponse"
        }
        CosmosMsg::Distribution(DistributionMsg::WithdrawDelegatorReward { .. }) => {
            "/cosmos.distribution.v1beta1.MsgWithdrawDelegatorRewardResponse"
        }
        CosmosMsg::Gov(GovMsg::Vote { .. }) => "/cosmos.gov.v1beta1.MsgVoteResponse",
        CosmosMsg::Gov(GovMsg::VoteWeighted { .. }) => "/cosmos.gov.v1beta1.MsgVoteWeightedResponse",
        CosmosMsg::Ibc(IbcMsg::SendPacket { .. }) => "/cosmwasm.wasm.v1.MsgIBCSendResponse",
        CosmosMsg::Ibc(IbcMsg::WriteAcknowledgement { .. }) => "/cosmwasm.wasm.v1.MsgIBCWriteAcknowledgementResponse",
        CosmosMsg::Ibc(IbcMsg::CloseChannel { .. }) => "/ibc.core.channel.v1.MsgChannelCloseInitResponse",
        CosmosMsg::Ibc(IbcMsg::Transfer { .. }) => "/ibc.applications.transfer.v1.MsgTransferResponse",
        CosmosMsg::Wasm(WasmMsg::Instantiate { .. }) => "/cosmwasm.wasm.v1.MsgInstantiateContractResponse",
        CosmosMsg::Wasm(WasmMsg::Instantiate2 { .. }) => "/cosmwasm.wasm.v1.MsgInstantiateContract2Response",
        CosmosMsg::Wasm(WasmMsg::Execute { .. }) => "/cosmwasm.wasm.v1.MsgExecuteContractResponse",
        CosmosMsg::Wasm(WasmMsg::Migrate { .. }) => "/cosmwasm.wasm.v1.MsgMigrateContractResponse",
        CosmosMsg::Wasm(WasmMsg::UpdateAdmin { .. }) => "/cosmwasm.wasm.v1.MsgUpdateAdminResponse",
        CosmosMsg::Wasm(WasmMsg::ClearAdmin { .. }) => "/cosmwasm.wasm.v1.MsgClearAdminResponse",
        _ => "/unknown",
    }
}
