//! Contracts: Wasm files run by the VM, and any contract under the gas rules of the chain.

use std::fmt;

use aiinference_vm::AiQuerier;
use cosmwasm_std::{
    from_json, Binary, Checksum, ContractResult, CustomMsg, CustomQuery, Deps, DepsMut, Env, IbcBasicResponse,
    IbcChannelOpenResponse, IbcReceiveResponse, MessageInfo, MigrateInfo, Querier, Reply, ReplyOn, Response, StdResult,
    SubMsg,
};
use cosmwasm_vm::{
    call_execute_raw, call_ibc_channel_close_raw, call_ibc_channel_connect_raw, call_ibc_channel_open_raw,
    call_ibc_destination_callback_raw, call_ibc_packet_ack_raw, call_ibc_packet_receive_raw,
    call_ibc_packet_timeout_raw, call_ibc_source_callback_raw, call_instantiate_raw, call_migrate_with_info_raw,
    call_query_raw, call_reply_raw, call_sudo_raw, to_vec, Instance, InstanceOptions, VmResult,
};
use cw_multi_test::Contract;
use serde::de::DeserializeOwned;

use crate::{
    backend::{backend, ChainApi, ChainQuerier, ChainStorage},
    embedded::EmbeddedVm,
    gas::{Meter, Outcome, MAX_QUERY_DEPTH},
    ibc::{Exchange, Failure, IbcCall},
    loan::{lend, LentStorage},
    scope,
};

/// The text with which cw-multi-test marks a response type that it does not know.
const UNKNOWN_RESPONSE: &str = "/unknown";

type WasmInstance = Instance<ChainApi, ChainStorage, AiQuerier<ChainQuerier>>;

/// A stored Wasm module as a contract of cw-multi-test. [`EmbeddedVm::store`] makes one.
#[derive(Clone)]
pub struct WasmContract {
    checksum: Checksum,
    vm: EmbeddedVm,
}

impl WasmContract {
    pub(crate) fn new(checksum: Checksum, vm: EmbeddedVm) -> Self {
        WasmContract { checksum, vm }
    }

    /// Runs one entry point with the gas that is left around it.
    fn run<T: DeserializeOwned>(
        &self,
        entry_point: &'static str,
        env: &Env,
        storage: LentStorage<'_>,
        querier: &dyn Querier,
        api: &dyn cosmwasm_std::Api,
        call: impl FnOnce(&mut WasmInstance, &[u8]) -> VmResult<Vec<u8>>,
    ) -> Result<T, Failure> {
        let failed = |reason: &dyn fmt::Display| {
            Failure::Vm(format!("running {entry_point} of {}: {reason}", env.contract.address))
        };
        let meter = self.vm.meter();
        // Without a transaction or query around it (an app built without our Wasm module) the call is one of its own.
        meter.transaction(|| {
            if meter.depth() >= MAX_QUERY_DEPTH {
                return Err(failed(&format_args!(
                    "contracts query one another {MAX_QUERY_DEPTH} deep, which is the most allowed"
                )));
            }
            let env_json = to_vec(env).map_err(|error| failed(&error))?;
            let (number, gas_limit) = meter.begin_call(&env.contract.address, entry_point);
            let (result, report) = lend(storage, querier, api, |loan| {
                let options = InstanceOptions { gas_limit };
                match self.vm.vm().get_instance(&self.checksum, backend(loan, meter), options) {
                    Ok(mut instance) => {
                        let result = call(&mut instance, &env_json).map_err(aiinference_vm::Error::from);
                        (result, Some(instance.create_gas_report()))
                    }
                    Err(error) => (Err(error), None),
                }
            });
            let (internal, external, left) = report.map_or((0, 0, gas_limit), |report| {
                (report.used_internally, report.used_externally, report.remaining)
            });
            let result = match result {
                Ok(data) => from_json::<ContractResult<T>>(&data).map_err(|error| failed(&error)),
                Err(error) => {
                    // Gas that runs out in a host call shows as another error with nothing left.
                    if error.is_out_of_gas() || left == 0 {
                        meter.end_call(number, internal, external, Outcome::OutOfGas);
                        return Err(failed(&format_args!(
                            "out of gas: {gas_limit} CosmWasm gas used ({error})"
                        )));
                    }
                    Err(failed(&error))
                }
            };
            let outcome = match &result {
                Ok(ContractResult::Ok(_)) => Outcome::Ok,
                _ => Outcome::Failed,
            };
            meter.end_call(number, internal, external, outcome);
            match result? {
                ContractResult::Ok(answer) => Ok(answer),
                // The contract's own words.
                ContractResult::Err(text) => Err(Failure::Contract(text)),
            }
        })
    }

    fn run_mut<C: CustomMsg + DeserializeOwned, Q: CustomQuery>(
        &self,
        entry_point: &'static str,
        env: &Env,
        deps: DepsMut<'_, Q>,
        call: impl FnOnce(&mut WasmInstance, &[u8]) -> VmResult<Vec<u8>>,
    ) -> StdResult<Response<C>> {
        let storage = LentStorage::Exclusive(deps.storage);
        Ok(self.run(entry_point, env, storage, &*deps.querier, deps.api, call)?)
    }

    /// Runs an IBC entry point. The acknowledgement of a packet is the response's data, which replies override.
    fn run_ibc<C: CustomMsg + DeserializeOwned, Q: CustomQuery>(
        &self,
        env: &Env,
        deps: DepsMut<'_, Q>,
        exchange: &Exchange,
    ) -> StdResult<Response<C>> {
        let entry_point = exchange.call.entry_point();
        let msg = exchange.call.message()?;
        let storage = LentStorage::Exclusive(deps.storage);
        let (querier, api) = (&*deps.querier, deps.api);
        let mut version = None;
        let result = match &exchange.call {
            IbcCall::ChannelOpen(_) => self
                .run::<IbcChannelOpenResponse>(entry_point, env, storage, querier, api, |instance, env| {
                    call_ibc_channel_open_raw(instance, env, &msg)
                })
                .map(|opened| {
                    version = opened.map(|opened| opened.version);
                    Response::new()
                }),
            IbcCall::PacketReceive(_) => self
                .run::<IbcReceiveResponse<C>>(entry_point, env, storage, querier, api, |instance, env| {
                    call_ibc_packet_receive_raw(instance, env, &msg)
                })
                .map(|received| {
                    let mut response = Response::new()
                        .add_submessages(received.messages)
                        .add_attributes(received.attributes)
                        .add_events(received.events);
                    response.data = received.acknowledgement;
                    response
                }),
            call => self
                .run::<IbcBasicResponse<C>>(entry_point, env, storage, querier, api, |instance, env| match call {
                    IbcCall::ChannelConnect(_) => call_ibc_channel_connect_raw(instance, env, &msg),
                    IbcCall::ChannelClose(_) => call_ibc_channel_close_raw(instance, env, &msg),
                    IbcCall::PacketAck(_) => call_ibc_packet_ack_raw(instance, env, &msg),
                    IbcCall::PacketTimeout(_) => call_ibc_packet_timeout_raw(instance, env, &msg),
                    IbcCall::SourceCallback(_) => call_ibc_source_callback_raw(instance, env, &msg),
                    _ => call_ibc_destination_callback_raw(instance, env, &msg),
                })
                .map(|basic| {
                    Response::new()
                        .add_submessages(basic.messages)
                        .add_attributes(basic.attributes)
                        .add_events(basic.events)
                }),
        };
        match result {
            Ok(response) => {
                exchange.responded(version);
                Ok(response)
            }
            Err(failure) => {
                exchange.failed(failure.clone());
                Err(failure.into())
            }
        }
    }
}

impl<C, Q> Contract<C, Q> for WasmContract
where
    C: CustomMsg + DeserializeOwned,
    Q: CustomQuery,
{
    fn instantiate(&self, deps: DepsMut<Q>, env: Env, info: MessageInfo, msg: Vec<u8>) -> StdResult<Response<C>> {
        let info = to_vec(&info)?;
        self.run_mut("instantiate", &env, deps, |instance, env| {
            call_instantiate_raw(instance, env, &info, &msg)
        })
    }

    fn execute(&self, deps: DepsMut<Q>, env: Env, info: MessageInfo, msg: Vec<u8>) -> StdResult<Response<C>> {
        let info = to_vec(&info)?;
        self.run_mut("execute", &env, deps, |instance, env| {
            call_execute_raw(instance, env, &info, &msg)
        })
    }

    fn query(&self, deps: Deps<Q>, env: Env, msg: Vec<u8>) -> StdResult<Binary> {
        let storage = LentStorage::Shared(deps.storage);
        let answer = self.run("query", &env, storage, &*deps.querier, deps.api, |instance, env| {
            call_query_raw(instance, env, &msg)
        });
        Ok(answer?)
    }

    fn reply(&self, deps: DepsMut<Q>, env: Env, msg: Reply) -> StdResult<Response<C>> {
        let msg = to_vec(&msg)?;
        self.run_mut("reply", &env, deps, |instance, env| call_reply_raw(instance, env, &msg))
    }

    fn sudo(&self, deps: DepsMut<Q>, env: Env, msg: Vec<u8>) -> StdResult<Response<C>> {
        match self.vm.desk().take_call() {
            Some(exchange) => self.run_ibc(&env, deps, &exchange),
            None => self.run_mut("sudo", &env, deps, |instance, env| call_sudo_raw(instance, env, &msg)),
        }
    }

    fn migrate(&self, deps: DepsMut<Q>, env: Env, msg: Vec<u8>, info: MigrateInfo) -> StdResult<Response<C>> {
        let info = to_vec(&info)?;
        self.run_mut("migrate", &env, deps, |instance, env| {
            call_migrate_with_info_raw(instance, env, &msg, &info)
        })
    }

    fn checksum(&self) -> Option<Checksum> {
        Some(self.checksum)
    }
}

impl fmt::Debug for WasmContract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmContract")
            .field("checksum", &self.checksum.to_hex())
            .finish_non_exhaustive()
    }
}

/// Any contract, Wasm or native, under the gas rules of the chain: it does not begin when the gas is used up, the gas
/// limits of its submessages hold, and its replies learn what a submessage used.
pub(crate) struct Metered<C: CustomMsg, Q: CustomQuery> {
    inner: Box<dyn Contract<C, Q>>,
    meter: Meter,
}

impl<C: CustomMsg + DeserializeOwned, Q: CustomQuery> Metered<C, Q> {
    pub(crate) fn new(inner: Box<dyn Contract<C, Q>>, meter: Meter) -> Self {
        Metered { inner, meter }
    }

    fn call(&self, call: impl FnOnce(&dyn Contract<C, Q>) -> StdResult<Response<C>>) -> StdResult<Response<C>> {
        self.meter.check()?;
        let mut response = call(self.inner.as_ref())?;
        for message in &mut response.messages {
            self.put_in_scope(message)?;
        }
        Ok(response)
    }

    /// cw-multi-test ignores a submessage's gas limit, and tells no reply what was used. Where either matters the message
    /// travels in one of ours, which opens a scope around it.
    fn put_in_scope(&self, message: &mut SubMsg<C>) -> StdResult<()> {
        if message.gas_limit.is_some() || message.reply_on != ReplyOn::Never {
            message.msg = scope::wrap(message.gas_limit, message.msg.clone())?;
        }
        Ok(())
    }
}

impl<C: CustomMsg + DeserializeOwned, Q: CustomQuery> Contract<C, Q> for Metered<C, Q> {
    fn instantiate(&self, deps: DepsMut<Q>, env: Env, info: MessageInfo, msg: Vec<u8>) -> StdResult<Response<C>> {
        self.call(|contract| contract.instantiate(deps, env, info, msg))
    }

    fn execute(&self, deps: DepsMut<Q>, env: Env, info: MessageInfo, msg: Vec<u8>) -> StdResult<Response<C>> {
        self.call(|contract| contract.execute(deps, env, info, msg))
    }

    fn query(&self, deps: Deps<Q>, env: Env, msg: Vec<u8>) -> StdResult<Binary> {
        self.meter.check()?;
        self.inner.query(deps, env, msg)
    }

    fn reply(&self, deps: DepsMut<Q>, env: Env, mut msg: Reply) -> StdResult<Response<C>> {
        if let Some(submessage) = self.meter.take_submessage() {
            msg.gas_used = submessage.sdk_gas;
            if let cosmwasm_std::SubMsgResult::Ok(response) = &mut msg.result {
                for part in &mut response.msg_responses {
                    if part.type_url == UNKNOWN_RESPONSE {
                        part.type_url.clone_from(&submessage.response_type);
                    }
                }
            }
        }
        self.call(|contract| contract.reply(deps, env, msg))
    }

    fn sudo(&self, deps: DepsMut<Q>, env: Env, msg: Vec<u8>) -> StdResult<Response<C>> {
        self.call(|contract| contract.sudo(deps, env, msg))
    }

    fn migrate(&self, deps: DepsMut<Q>, env: Env, msg: Vec<u8>, info: MigrateInfo) -> StdResult<Response<C>> {
        self.call(|contract| contract.migrate(deps, env, msg, info))
    }

    fn checksum(&self) -> Option<Checksum> {
        self.inner.checksum()
    }
}
