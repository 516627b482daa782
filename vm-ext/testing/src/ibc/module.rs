//! IBC as modules of cw-multi-test: what contracts send, and what relayers send.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use cosmwasm_std::{
    from_json, to_json_binary, to_json_string, Addr, AnyMsg, Api, Binary, BlockInfo, ChannelResponse, CosmosMsg,
    CustomMsg, CustomQuery, Empty, GrpcQuery, IbcAcknowledgement, IbcChannel, IbcChannelCloseMsg, IbcChannelConnectMsg,
    IbcChannelOpenMsg, IbcEndpoint, IbcMsg, IbcOrder, IbcPacket, IbcPacketAckMsg, IbcPacketReceiveMsg,
    IbcPacketTimeoutMsg, IbcQuery, IbcTimeoutBlock, Querier, StdAck, StdError, StdResult, Storage, Timestamp,
};
use cw_multi_test::{AppResponse, CosmosRouter, Ibc, Module, Stargate, SudoMsg, WasmSudo};
use serde::de::DeserializeOwned;

use super::{
    call::{Exchange, Failure, IbcCall, Outcome},
    contract_port, keeper,
    keeper::{ChannelEnd, ChannelState, Redundancy},
    transfer, IbcError, CONTRACT_PORT,
};
use crate::{gas::Meter, hand_on::hand_on, savepoint::Savepoint};

/// Type URL of the message in whose place a relayer's step is taken. The step itself lies on the desk.
const TYPE_URL: &str = "/aiinference.multitest.Relay";

/// A step that a relayer's transaction takes. What the other chain says is proven by the network before.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    OpenInit {
        port: String,
        order: IbcOrder,
        connection: String,
        counterparty_port: String,
        version: String,
    },
    OpenTry {
        port: String,
        order: IbcOrder,
        connection: String,
        counterparty: IbcEndpoint,
        counterparty_version: String,
    },
    OpenAck {
        end: IbcEndpoint,
        counterparty_channel: String,
        counterparty_version: String,
    },
    OpenConfirm {
        end: IbcEndpoint,
    },
    CloseConfirm {
        end: IbcEndpoint,
    },
    Receive {
        packet: IbcPacket,
    },
    Acknowledge {
        packet: IbcPacket,
        acknowledgement: Binary,
    },
    Timeout {
        packet: IbcPacket,
        /// The other chain's header; none if its channel is closed.
        header: Option<(IbcTimeoutBlock, Timestamp)>,
    },
}

/// What a step came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    /// The channel that it made, and its version.
    pub(crate) opened: Option<(String, String)>,
    pub(crate) repeated: bool,
    pub(crate) acknowledgement: Option<Binary>,
}

/// Where steps and calls lie until they are taken up. Neither can be forged by a message: a message only says where.
#[derive(Clone, Default)]
pub(crate) struct Desk(Rc<DeskState>);

#[derive(Default)]
struct DeskState {
    jobs: RefCell<VecDeque<Job>>,
    done: RefCell<Vec<Result<Done, IbcError>>>,
    call: RefCell<Option<Rc<Exchange>>>,
}

impl Desk {
    /// Lays out the steps of one transaction.
    pub(crate) fn lay(&self, jobs: Vec<Job>) {
        self.0.jobs.replace(jobs.into());
        self.0.done.borrow_mut().clear();
    }

    /// What came of the steps, of which the last may have failed.
    pub(crate) fn clear(&self) -> Vec<Result<Done, IbcError>> {
        self.0.jobs.borrow_mut().clear();
        self.0.done.take()
    }

    /// The call for the contract that runs now, once.
    pub(crate) fn take_call(&self) -> Option<Rc<Exchange>> {
        self.0.call.take()
    }
}

/// The message in whose place the next step is taken.
pub(crate) fn message() -> CosmosMsg {
    CosmosMsg::Any(AnyMsg {
        type_url: TYPE_URL.to_string(),
        value: Binary::default(),
    })
}

/// Path of the query for all channels of a port.
const LIST_CHANNELS: &str = "/aiinference.multitest.ListChannels";

/// The query for all channels of a port.
pub(crate) fn list_channels(port: String) -> GrpcQuery {
    GrpcQuery {
        path: LIST_CHANNELS.to_string(),
        data: port.into_bytes().into(),
    }
}

#[derive(serde::Serialize)]
struct ListChannelsResponse {
    channels: Vec<IbcChannel>,
}

/// Why a call did not go through.
pub(super) enum CallError {
    /// The contract's own error.
    Contract(String),
    /// A trap, or no such entry point.
    Vm(String),
    /// A submessage or a reply failed.
    Submessage(String),
    /// There is no contract at the address, or none compiled to Wasm.
    NoContract(String),
    /// The transaction's gas is used up.
    OutOfGas(String),
}

impl From<CallError> for IbcError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Contract(text) => IbcError::Contract(text),
            CallError::Submessage(text) => IbcError::Contract(text),
            CallError::Vm(text) | CallError::NoContract(text) => IbcError::Vm(text),
            CallError::OutOfGas(text) => IbcError::OutOfGas(text),
        }
    }
}

/// Why an application did not take a packet.
pub(super) enum Refusal {
    /// It is acknowledged so; what the application did is undone.
    Answered(Binary),
    /// The transaction fails: the packet can be relayed again.
    Abort(IbcError),
}

impl Refusal {
    pub(super) fn answered(acknowledgement: StdResult<Binary>) -> Self {
        match acknowledgement {
            Ok(acknowledgement) => Refusal::Answered(acknowledgement),
            Err(error) => Refusal::Abort(error.into()),
        }
    }
}

/// What is bound to a port.
enum App {
    Contract(Addr),
    Transfer,
}

/// A chain in the midst of a transaction.
pub(super) struct Host<'a, C, Q> {
    pub(super) api: &'a dyn Api,
    pub(super) storage: &'a mut dyn Storage,
    pub(super) router: &'a dyn CosmosRouter<ExecC = C, QueryC = Q>,
    pub(super) block: &'a BlockInfo,
    pub(super) desk: &'a Desk,
    pub(super) meter: &'a Meter,
}

impl<C, Q> Host<'_, C, Q>
where
    C: CustomMsg + DeserializeOwned + 'static,
    Q: CustomQuery + DeserializeOwned + 'static,
{
    fn app(&self, port: &str) -> Result<App, IbcError> {
        if port == transfer::PORT {
            return Ok(App::Transfer);
        }
        let address = port.strip_prefix(CONTRACT_PORT);
        let contract = address.and_then(|address| self.api.addr_validate(address).ok());
        contract
            .map(App::Contract)
            .ok_or_else(|| IbcError::NoRoute { port: port.into() })
    }

    /// Does something whose changes stay only if it succeeds.
    pub(super) fn attempt<T, E>(&mut self, action: impl FnOnce(&mut Host<'_, C, Q>) -> Result<T, E>) -> Result<T, E> {
        let mut savepoint = Savepoint::new(self.storage);
        let result = action(&mut Host {
            api: self.api,
            storage: &mut savepoint,
            router: self.router,
            block: self.block,
            desk: self.desk,
            meter: self.meter,
        });
        let changes = savepoint.into_changes();
        if result.is_ok() {
            changes.apply(self.storage);
        }
        result
    }

    /// Calls an entry point, with all that follows from it. The version that it chose, and the response.
    pub(super) fn call(&mut self, contract: &Addr, call: IbcCall) -> Result<(Option<String>, AppResponse), CallError> {
        let entry_point = call.entry_point();
        let exchange = Rc::new(Exchange::new(call));
        self.desk.0.call.replace(Some(exchange.clone()));
        let sudo = SudoMsg::Wasm(WasmSudo {
            contract_addr: contract.clone(),
            message: Binary::default(),
        });
        let result = self.router.sudo(self.api, self.storage, self.block, sudo);
        self.desk.0.call.take();
        // Nothing survives gas that is used up around the call, whatever the call made of it.
        if let Err(out) = self.meter.check() {
            let cause = result.err().map_or_else(|| out.to_string(), |error| error.to_string());
            return Err(CallError::OutOfGas(format!(
                "calling {entry_point} of {contract}: {cause}"
            )));
        }
        match (exchange.outcome(), result) {
            (Outcome::Responded(version), Ok(mut response)) => {
                // The event of a sudo, which no one sent.
                if !response.events.is_empty() {
                    response.events.remove(0);
                }
                Ok((version, response))
            }
            (Outcome::Responded(_), Err(error)) => Err(CallError::Submessage(error.to_string())),
            (Outcome::Failed(Failure::Contract(text)), _) => Err(CallError::Contract(text)),
            (Outcome::Failed(Failure::Vm(text)), _) => Err(CallError::Vm(text)),
            (Outcome::Ignored, result) => {
                let cause = result
                    .err()
                    .map_or_else(|| "it is no Wasm contract".to_string(), |error| error.to_string());
                Err(CallError::NoContract(format!(
                    "calling {entry_point} of {contract}: {cause}"
                )))
            }
        }
    }

    fn run(&mut self, relayer: &Addr, job: Job) -> Result<(Done, AppResponse), IbcError> {
        match job {
            Job::OpenInit {
                port,
                order,
                connection,
                counterparty_port,
                version,
            } => {
                let counterparty = IbcEndpoint {
                    port_id: counterparty_port,
                    channel_id: String::new(),
                };
                let channel = ChannelEnd {
                    state: ChannelState::Init,
                    order,
                    counterparty,
                    connection,
                    version,
                };
                self.open(port, channel, None)
            }
            Job::OpenTry {
                port,
                order,
                connection,
                counterparty,
                counterparty_version,
            } => {
                let channel = ChannelEnd {
                    state: ChannelState::TryOpen,
                    order,
                    counterparty,
                    connection,
                    version: counterparty_version.clone(),
                };
                self.open(port, channel, Some(counterparty_version))
            }
            Job::OpenAck {
                end,
                counterparty_channel,
                counterparty_version,
            } => {
                let mut channel = keeper::channel_in(self.storage, &end, ChannelState::Init)?;
                channel.state = ChannelState::Open;
                channel.counterparty.channel_id = counterparty_channel;
                channel.version.clone_from(&counterparty_version);
                keeper::save_channel(self.storage, &end, &channel)?;
                let msg = IbcChannelConnectMsg::new_ack(channel.told(&end), counterparty_version);
                self.connected(&end, msg)
            }
            Job::OpenConfirm { end } => {
                let mut channel = keeper::channel_in(self.storage, &end, ChannelState::TryOpen)?;
                channel.state = ChannelState::Open;
                keeper::save_channel(self.storage, &end, &channel)?;
                let msg = IbcChannelConnectMsg::new_confirm(channel.told(&end));
                self.connected(&end, msg)
            }
            Job::CloseConfirm { end } => {
                let channel = keeper::not_closed(self.storage, &end)?;
                let response = match self.app(&end.port_id)? {
                    App::Contract(contract) => {
                        let msg = IbcChannelCloseMsg::new_confirm(channel.told(&end));
                        self.call(&contract, IbcCall::ChannelClose(msg))?.1
                    }
                    App::Transfer => AppResponse::default(),
                };
                keeper::close(self.storage, self.block, &end)?;
                Ok((Done::default(), response))
            }
            Job::Receive { packet } => self.receive(relayer, packet),
            Job::Acknowledge {
                packet,
                acknowledgement,
            } => {
                if keeper::acknowledge(self.storage, &packet)? == Redundancy::Repeated {
                    return Ok(repeated());
                }
                check_acknowledgement(&packet, &acknowledgement)?;
                let response = match self.app(&packet.src.port_id)? {
                    App::Contract(contract) => {
                        let acknowledgement = IbcAcknowledgement::new(acknowledgement);
                        let msg = IbcPacketAckMsg::new(acknowledgement, packet, relayer.clone());
                        self.call(&contract, IbcCall::PacketAck(msg))?.1
                    }
                    App::Transfer => self.acknowledge_transfer(relayer, packet, acknowledgement)?,
                };
                Ok((Done::default(), response))
            }
            Job::Timeout { packet, header } => {
                if keeper::time_out(self.storage, self.block, &packet, header)? == Redundancy::Repeated {
                    return Ok(repeated());
                }
                let response = match self.app(&packet.src.port_id)? {
                    App::Contract(contract) => {
                        let msg = IbcPacketTimeoutMsg::new(packet, relayer.clone());
                        self.call(&contract, IbcCall::PacketTimeout(msg))?.1
                    }
                    App::Transfer => self.time_out_transfer(relayer, packet)?,
                };
                Ok((Done::default(), response))
            }
        }
    }

    /// The first step of a handshake on this chain.
    fn open(
        &mut self,
        port_id: String,
        mut channel: ChannelEnd,
        counterparty_version: Option<String>,
    ) -> Result<(Done, AppResponse), IbcError> {
        keeper::connection(self.storage, &channel.connection)?;
        let channel_id = keeper::new_channel_id(self.storage)?;
        let end = IbcEndpoint { port_id, channel_id };
        let (version, response) = match self.app(&end.port_id)? {
            App::Contract(contract) => {
                let told = channel.told(&end);
                let msg = match counterparty_version {
                    Some(version) => IbcChannelOpenMsg::new_try(told, version),
                    None => IbcChannelOpenMsg::new_init(told),
                };
                self.call(&contract, IbcCall::ChannelOpen(msg))?
            }
            App::Transfer => (Some(self.open_transfer(&channel)?), AppResponse::default()),
        };
        if let Some(version) = version.filter(|version| !version.is_empty()) {
            channel.version = version;
        }
        keeper::save_channel(self.storage, &end, &channel)?;
        let opened = Some((end.channel_id, channel.version));
        Ok((
            Done {
                opened,
                ..Done::default()
            },
            response,
        ))
    }

    /// The last step of a handshake on this chain.
    fn connected(&mut self, end: &IbcEndpoint, msg: IbcChannelConnectMsg) -> Result<(Done, AppResponse), IbcError> {
        let response = match self.app(&end.port_id)? {
            App::Contract(contract) => self.call(&contract, IbcCall::ChannelConnect(msg))?.1,
            App::Transfer => AppResponse::default(),
        };
        Ok((Done::default(), response))
    }

    fn receive(&mut self, relayer: &Addr, packet: IbcPacket) -> Result<(Done, AppResponse), IbcError> {
        if keeper::receive(self.storage, self.block, &packet)? == Redundancy::Repeated {
            return Ok(repeated());
        }
        let app = self.app(&packet.dest.port_id)?;
        // What the application does is undone where it refuses the packet; the receipt stays.
        let received = self.attempt(|host| match app {
            App::Contract(contract) => {
                let msg = IbcPacketReceiveMsg::new(packet.clone(), relayer.clone());
                host.receive_by_contract(&contract, msg)
            }
            App::Transfer => host.receive_transfer(&packet),
        });
        let (acknowledgement, response) = match received {
            Ok(received) => received,
            Err(Refusal::Answered(acknowledgement)) => (Some(acknowledgement), AppResponse::default()),
            Err(Refusal::Abort(error)) => return Err(error),
        };
        match &acknowledgement {
            Some(bytes) => keeper::write_acknowledgement(self.storage, self.block, &packet, bytes.clone())?,
            None => keeper::leave_unanswered(self.storage, &packet)?,
        }
        let done = Done {
            acknowledgement,
            ..Done::default()
        };
        Ok((done, response))
    }

    fn receive_by_contract(
        &mut self,
        contract: &Addr,
        msg: IbcPacketReceiveMsg,
    ) -> Result<(Option<Binary>, AppResponse), Refusal> {
        match self.call(contract, IbcCall::PacketReceive(msg)) {
            Ok((_, response)) => Ok((response.data.clone(), response)),
            Err(CallError::Contract(text)) => Err(Refusal::answered(error_acknowledgement(&text))),
            // wasmd tells the module and the code of the error; that of a failed contract stands for all here.
            Err(CallError::Submessage(_)) => Err(Refusal::answered(error_acknowledgement(
                "ABCI error: wasm/5: error handling packet: see events for details",
            ))),
            // Traps and too little gas.
            Err(error) => Err(Refusal::Abort(error.into())),
        }
    }

    /// A message of a contract.
    fn execute(&mut self, sender: &Addr, msg: IbcMsg) -> Result<AppResponse, IbcError> {
        let end = |channel_id: String| IbcEndpoint {
            port_id: contract_port(sender),
            channel_id,
        };
        match msg {
            IbcMsg::SendPacket {
                channel_id,
                data,
                timeout,
            } => {
                let sequence = keeper::send(self.storage, self.block, &end(channel_id), data, timeout)?;
                Ok(sequence_response(sequence))
            }
            IbcMsg::CloseChannel { channel_id } => {
                let end = end(channel_id);
                let channel = keeper::channel(self.storage, &end)?;
                let msg = IbcChannelCloseMsg::new_init(channel.told(&end));
                let (_, mut response) = self.call(sender, IbcCall::ChannelClose(msg))?;
                keeper::close(self.storage, self.block, &end)?;
                response.data = Some(Binary::default());
                Ok(response)
            }
            IbcMsg::WriteAcknowledgement {
                channel_id,
                packet_sequence,
                ack,
            } => {
                let packet = keeper::take_unanswered(self.storage, &end(channel_id), packet_sequence)?;
                keeper::write_acknowledgement(self.storage, self.block, &packet, ack.data)?;
                Ok(AppResponse {
                    data: Some(Binary::default()),
                    ..AppResponse::default()
                })
            }
            IbcMsg::Transfer {
                channel_id,
                to_address,
                amount,
                timeout,
                memo,
            } => self.send_transfer(sender, channel_id, to_address, amount, timeout, memo),
            other => Err(IbcError::Chain(format!(
                "running an IBC message: {other:?} is not supported"
            ))),
        }
    }
}

/// ibc-go takes no acknowledgement of its own format that is not written the way it writes them.
fn check_acknowledgement(packet: &IbcPacket, acknowledgement: &Binary) -> Result<(), IbcError> {
    let Ok(read) = from_json::<StdAck>(acknowledgement) else {
        return Ok(());
    };
    if go_json(&to_json_string(&read)?).as_bytes() == acknowledgement.as_slice() {
        return Ok(());
    }
    Err(IbcError::Acknowledgement {
        sequence: packet.sequence,
        reason: "it is JSON of ibc-go's format, but not written as ibc-go writes it, which ibc-go refuses".into(),
    })
}

fn repeated() -> (Done, AppResponse) {
    let done = Done {
        repeated: true,
        ..Done::default()
    };
    (done, AppResponse::default())
}

/// A response whose only field is a sequence: `MsgIBCSendResponse`, `MsgTransferResponse`.
#[derive(prost::Message)]
struct SequenceResponse {
    #[prost(uint64, tag = "1")]
    sequence: u64,
}

pub(super) fn sequence_response(sequence: u64) -> AppResponse {
    let data = prost::Message::encode_to_vec(&SequenceResponse { sequence });
    AppResponse {
        data: Some(data.into()),
        ..AppResponse::default()
    }
}

/// The acknowledgement by which ibc-go says that a packet failed.
pub(super) fn error_acknowledgement(text: &str) -> StdResult<Binary> {
    #[derive(serde::Serialize)]
    struct Error<'a> {
        error: &'a str,
    }
    let json = cosmwasm_std::to_json_string(&Error { error: text })?;
    Ok(go_json(&json).into_bytes().into())
}

/// JSON as Go writes it: it escapes what could end a script in a page.
pub(super) fn go_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// The IBC module of an app: `IbcMsg` and `IbcQuery`.
#[derive(Clone)]
pub struct IbcModule {
    desk: Desk,
    meter: Meter,
}

impl IbcModule {
    pub(crate) fn new(desk: Desk, meter: Meter) -> Self {
        IbcModule { desk, meter }
    }
}

impl Ibc for IbcModule {}

impl Module for IbcModule {
    type ExecT = IbcMsg;
    type QueryT = IbcQuery;
    type SudoT = Empty;

    fn execute<C, Q>(
        &self,
        api: &dyn Api,
        storage: &mut dyn Storage,
        router: &dyn CosmosRouter<ExecC = C, QueryC = Q>,
        block: &BlockInfo,
        sender: Addr,
        msg: IbcMsg,
    ) -> StdResult<AppResponse>
    where
        C: CustomMsg + DeserializeOwned + 'static,
        Q: CustomQuery + DeserializeOwned + 'static,
    {
        let mut host = Host {
            api,
            storage,
            router,
            block,
            desk: &self.desk,
            meter: &self.meter,
        };
        Ok(host.execute(&sender, msg)?)
    }

    fn query(
        &self,
        _api: &dyn Api,
        storage: &dyn Storage,
        _querier: &dyn Querier,
        _block: &BlockInfo,
        request: IbcQuery,
    ) -> StdResult<Binary> {
        match request {
            IbcQuery::Channel {
                channel_id,
                port_id: Some(port_id),
            } => {
                let end = IbcEndpoint { port_id, channel_id };
                let channel = match keeper::channel(storage, &end) {
                    Ok(channel) if channel.state == ChannelState::Open => Some(channel.told(&end)),
                    Ok(_) | Err(IbcError::ChannelNotFound { .. }) => None,
                    Err(error) => return Err(error.into()),
                };
                to_json_binary(&ChannelResponse::new(channel))
            }
            // A contract's own port is filled in by the querier that the VM gives it.
            request => Err(StdError::msg(format!(
                "querying IBC: {request:?} is answered to contracts only; name the port"
            ))),
        }
    }

    fn sudo<C, Q>(
        &self,
        _api: &dyn Api,
        _storage: &mut dyn Storage,
        _router: &dyn CosmosRouter<ExecC = C, QueryC = Q>,
        _block: &BlockInfo,
        _msg: Empty,
    ) -> StdResult<AppResponse>
    where
        C: CustomMsg + DeserializeOwned + 'static,
        Q: CustomQuery + DeserializeOwned + 'static,
    {
        Err(StdError::msg(
            "running a privileged message of the IBC module: there is none",
        ))
    }
}

/// A stargate module that takes the steps of relayers and leaves everything else to `S`.
#[derive(Clone)]
pub struct RelayMessages<S> {
    inner: S,
    desk: Desk,
    meter: Meter,
}

impl<S> RelayMessages<S> {
    pub(crate) fn new(inner: S, desk: Desk, meter: Meter) -> Self {
        RelayMessages { inner, desk, meter }
    }
}

impl<S: Stargate> Stargate for RelayMessages<S> {
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
        if msg.type_url != TYPE_URL {
            return self.inner.execute_any(api, storage, router, block, sender, msg);
        }
        let Some(job) = self.desk.0.jobs.borrow_mut().pop_front() else {
            return Err(StdError::msg(
                "relaying: nothing is to be relayed; only a network's relayer may send this",
            ));
        };
        let mut host = Host {
            api,
            storage,
            router,
            block,
            desk: &self.desk,
            meter: &self.meter,
        };
        match host.run(&sender, job) {
            Ok((done, response)) => {
                self.desk.0.done.borrow_mut().push(Ok(done));
                Ok(response)
            }
            Err(error) => {
                let text = error.to_string();
                self.desk.0.done.borrow_mut().push(Err(error));
                Err(StdError::msg(text))
            }
        }
    }

    hand_on!(execute_stargate);
    hand_on!(query_stargate);

    fn query_grpc(
        &self,
        api: &dyn Api,
        storage: &dyn Storage,
        querier: &dyn Querier,
        block: &BlockInfo,
        request: GrpcQuery,
    ) -> StdResult<Binary> {
        if request.path == LIST_CHANNELS {
            let port = String::from_utf8_lossy(&request.data);
            let channels = keeper::open_channels(storage, &port)?;
            return to_json_binary(&ListChannelsResponse { channels });
        }
        self.inner.query_grpc(api, storage, querier, block, request)
    }
}
