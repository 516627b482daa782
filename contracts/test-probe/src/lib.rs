//! A contract that does what a test tells it. It has every entry point of a contract; each runs a [`Script`].
//!
//! Over IBC, a packet's data is the script of its receive, and the script's data the acknowledgement. A channel's version may
//! be a script, too, whose data is the version that the contract chooses. What acknowledgements, timeouts, callbacks and
//! the closing of a channel run lies under the key `on/<entry point>`. Each of these calls leaves what it was told, as JSON,
//! under `told/<entry point>`, and packets that end are counted under `ended/<channel>/<sequence>`.
//!
//! A reply notes what it was told under the key `reply/<id>` ([`Replied`]) and then runs the script in the payload of the
//! submessage, if there is one.

use aiinference_std::{Circuit, Claim, Model, Tensor};
use cosmwasm_std::{
    entry_point, from_json, to_json_binary, to_json_string, to_json_vec, Binary, CanonicalAddr, Coin, Deps, DepsMut,
    Empty, Env, HexBinary, Ibc3ChannelOpenResponse, IbcBasicResponse, IbcChannelCloseMsg, IbcChannelConnectMsg,
    IbcChannelOpenMsg, IbcChannelOpenResponse, IbcDestinationCallbackMsg, IbcPacket, IbcPacketAckMsg,
    IbcPacketReceiveMsg, IbcPacketTimeoutMsg, IbcReceiveResponse, IbcSourceCallbackMsg, MessageInfo, Order,
    QueryRequest, Reply, Response, StdError, StdResult, Storage, SubMsg, SubMsgResult, WasmQuery,
};
use serde::{Deserialize, Serialize};

/// What to do, in the order of the fields.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// First these.
    pub steps: Vec<Step>,
    /// Then fail with this text.
    pub fail: Option<String>,
    /// Or respond with these messages,
    pub messages: Vec<SubMsg>,
    /// these attributes
    pub attributes: Vec<(String, String)>,
    /// and this data.
    pub data: Option<Binary>,
}

/// One thing to do.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Write a value.
    Set { key: String, value: String },
    /// Remove a value.
    Remove { key: String },
    /// Write the answer of a query under a key, as JSON.
    Note { key: String, query: QueryMsg },
    /// Use gas: this many rounds of a little arithmetic.
    Work { rounds: u64 },
    /// Panic, which aborts the call.
    Panic { text: String },
    /// Recurse until the stack ends that the contract keeps in its memory.
    OverflowStack {},
    /// Recurse until the stack of calls ends, which is the host's.
    OverflowCalls {},
}

/// What to ask. Every answer is JSON.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum QueryMsg {
    /// A value: `Option<String>`.
    Get { key: String },
    /// Records of a range: `Vec<(String, String)>`.
    Range {
        start: Option<String>,
        end: Option<String>,
        descending: bool,
        limit: u32,
    },
    /// Several iterators at once, one step each in turn, until all are finished: `Vec<(String, String)>`.
    Interleave { prefixes: Vec<String> },
    /// Uses gas; the result of the arithmetic: `u64`.
    Work { rounds: u64 },
    /// Hands bytes to the chain's querier and returns what it says: `SystemResult<ContractResult<Binary>>` in its debug form.
    Raw { request: Binary },
    /// Asks another contract; its answer.
    Smart { contract: String, msg: Binary },
    /// Asks itself, this many levels deep, and then the query.
    Nest { levels: u32, then: Box<QueryMsg> },
    /// The account's coins: `Coin`.
    Balance { account: String, denom: String },
    /// Address to bytes: `HexBinary`.
    Canonicalize { address: String },
    /// Bytes to address: `String`.
    Humanize { canonical: HexBinary },
    /// Whether an address is valid: `bool`.
    Validate { address: String },
    /// The height and the contract's own address: `(u64, String)`.
    Env {},
    /// Runs the model behind a code id on integers; the integers of its single output: `Vec<i64>`.
    Infer { code_id: u64, x: Vec<i64> },
    /// Runs the model behind a code id on its integers; the integers of each output: `Vec<Binary>`, 4 bytes each, little
    /// endian.
    Run { code_id: u64, inputs: Vec<Given> },
    /// Has a proof checked by the circuit behind a code id; whether it is valid: `bool`.
    Verify {
        code_id: u64,
        proof: Binary,
        x: Vec<i64>,
        y: Vec<i64>,
        /// Structured reference strings that are accepted.
        srs: Vec<HexBinary>,
        gas_limit: Option<u64>,
    },
    /// Fails with this text.
    Fail { text: String },
}

/// One input of a model.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Given {
    pub name: String,
    pub shape: Vec<u32>,
    pub fraction_bits: i32,
    /// Integers of 4 bytes each, little endian.
    pub integers: Binary,
}

/// What a reply was told.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Replied {
    /// SDK gas of the submessage.
    pub gas_used: u64,
    /// The error, or nothing.
    pub error: Option<String>,
    /// Types of the events.
    pub events: Vec<String>,
    /// Types of the responses.
    pub responses: Vec<String>,
    /// The responses themselves.
    pub values: Vec<Binary>,
}

#[entry_point]
pub fn instantiate(deps: DepsMut, env: Env, info: MessageInfo, msg: Script) -> StdResult<Response> {
    deps.storage.set(b"instantiated by", info.sender.as_bytes());
    run(deps, env, msg)
}

#[entry_point]
pub fn execute(deps: DepsMut, env: Env, _info: MessageInfo, msg: Script) -> StdResult<Response> {
    run(deps, env, msg)
}

#[entry_point]
pub fn sudo(deps: DepsMut, env: Env, msg: Script) -> StdResult<Response> {
    run(deps, env, msg)
}

#[entry_point]
pub fn migrate(deps: DepsMut, env: Env, msg: Script) -> StdResult<Response> {
    run(deps, env, msg)
}

#[entry_point]
pub fn reply(deps: DepsMut, env: Env, msg: Reply) -> StdResult<Response> {
    let mut replied = Replied {
        gas_used: msg.gas_used,
        error: None,
        events: vec![],
        responses: vec![],
        values: vec![],
    };
    match msg.result {
        SubMsgResult::Ok(response) => {
            replied.events = response.events.into_iter().map(|event| event.ty).collect();
            (replied.responses, replied.values) = response
                .msg_responses
                .into_iter()
                .map(|response| (response.type_url, response.value))
                .unzip();
        }
        SubMsgResult::Err(error) => replied.error = Some(error),
    }
    deps.storage
        .set(format!("reply/{}", msg.id).as_bytes(), &to_json_vec(&replied)?);
    if msg.payload.is_empty() {
        return Ok(Response::new());
    }
    run(deps, env, from_json(&msg.payload)?)
}

#[entry_point]
pub fn ibc_channel_open(deps: DepsMut, env: Env, msg: IbcChannelOpenMsg) -> StdResult<IbcChannelOpenResponse> {
    tell(deps.storage, "ibc_channel_open", &msg)?;
    let version = msg.counterparty_version().unwrap_or(&msg.channel().version);
    if !version.starts_with('{') {
        return Ok(None);
    }
    let chosen = run(deps, env, from_json(version)?)?.data;
    Ok(chosen.map(|version| Ibc3ChannelOpenResponse {
        version: String::from_utf8_lossy(&version).into_owned(),
    }))
}

#[entry_point]
pub fn ibc_channel_connect(deps: DepsMut, env: Env, msg: IbcChannelConnectMsg) -> StdResult<IbcBasicResponse> {
    told(deps, env, "ibc_channel_connect", &msg)
}

#[entry_point]
pub fn ibc_channel_close(deps: DepsMut, env: Env, msg: IbcChannelCloseMsg) -> StdResult<IbcBasicResponse> {
    told(deps, env, "ibc_channel_close", &msg)
}

#[entry_point]
pub fn ibc_packet_receive(deps: DepsMut, env: Env, msg: IbcPacketReceiveMsg) -> StdResult<IbcReceiveResponse> {
    tell(deps.storage, "ibc_packet_receive", &msg)?;
    let response = run(deps, env, from_json(&msg.packet.data)?)?;
    let received = match response.data {
        Some(acknowledgement) => IbcReceiveResponse::new(acknowledgement),
        None => IbcReceiveResponse::without_ack(),
    };
    Ok(received
        .add_submessages(response.messages)
        .add_attributes(response.attributes))
}

#[entry_point]
pub fn ibc_packet_ack(deps: DepsMut, env: Env, msg: IbcPacketAckMsg) -> StdResult<IbcBasicResponse> {
    end(deps.storage, &msg.original_packet)?;
    told(deps, env, "ibc_packet_ack", &msg)
}

#[entry_point]
pub fn ibc_packet_timeout(deps: DepsMut, env: Env, msg: IbcPacketTimeoutMsg) -> StdResult<IbcBasicResponse> {
    end(deps.storage, &msg.packet)?;
    told(deps, env, "ibc_packet_timeout", &msg)
}

#[entry_point]
pub fn ibc_source_callback(deps: DepsMut, env: Env, msg: IbcSourceCallbackMsg) -> StdResult<IbcBasicResponse> {
    told(deps, env, "ibc_source_callback", &msg)
}

#[entry_point]
pub fn ibc_destination_callback(
    deps: DepsMut,
    env: Env,
    msg: IbcDestinationCallbackMsg,
) -> StdResult<IbcBasicResponse> {
    told(deps, env, "ibc_destination_callback", &msg)
}

/// Keeps what an entry point was told.
fn tell(storage: &mut dyn Storage, entry_point: &str, msg: &impl Serialize) -> StdResult<()> {
    storage.set(format!("told/{entry_point}").as_bytes(), &to_json_vec(msg)?);
    Ok(())
}

/// Counts how often a packet has ended.
fn end(storage: &mut dyn Storage, packet: &IbcPacket) -> StdResult<()> {
    let key = format!("ended/{}/{}", packet.src.channel_id, packet.sequence);
    let before: u32 = match storage.get(key.as_bytes()) {
        Some(count) => from_json(count)?,
        None => 0,
    };
    storage.set(key.as_bytes(), &to_json_vec(&(before + 1))?);
    Ok(())
}

/// Keeps what an entry point was told, and runs what a test laid down for it.
fn told(deps: DepsMut, env: Env, entry_point: &str, msg: &impl Serialize) -> StdResult<IbcBasicResponse> {
    tell(deps.storage, entry_point, msg)?;
    let script = match deps.storage.get(format!("on/{entry_point}").as_bytes()) {
        Some(script) => from_json(script)?,
        None => Script::default(),
    };
    let response = run(deps, env, script)?;
    Ok(IbcBasicResponse::new()
        .add_submessages(response.messages)
        .add_attributes(response.attributes))
}

#[entry_point]
pub fn query(deps: Deps, env: Env, msg: QueryMsg) -> StdResult<Binary> {
    match msg {
        QueryMsg::Get { key } => to_json_binary(&text(deps.storage.get(key.as_bytes()))),
        QueryMsg::Range {
            start,
            end,
            descending,
            limit,
        } => {
            let order = if descending {
                Order::Descending
            } else {
                Order::Ascending
            };
            let bound = |bound: &Option<String>| bound.as_ref().map(|b| b.as_bytes().to_vec());
            let found: Vec<_> = deps
                .storage
                .range(bound(&start).as_deref(), bound(&end).as_deref(), order)
                .take(limit as usize)
                .map(|(key, value)| (text(Some(key)), text(Some(value))))
                .collect();
            to_json_binary(&found)
        }
        QueryMsg::Interleave { prefixes } => {
            let mut iterators: Vec<_> = prefixes
                .iter()
                .map(|prefix| {
                    let end = format!("{prefix}~");
                    deps.storage
                        .range(Some(prefix.as_bytes()), Some(end.as_bytes()), Order::Ascending)
                })
                .collect();
            let mut found = vec![];
            loop {
                let before = found.len();
                for iterator in &mut iterators {
                    found.extend(iterator.next().map(|(key, value)| (text(Some(key)), text(Some(value)))));
                }
                if found.len() == before {
                    return to_json_binary(&found);
                }
            }
        }
        QueryMsg::Work { rounds } => to_json_binary(&work(rounds)),
        QueryMsg::Raw { request } => to_json_binary(&format!("{:?}", deps.querier.raw_query(&request))),
        QueryMsg::Smart { contract, msg } => smart(deps, contract, msg),
        QueryMsg::Nest { levels: 0, then } => query(deps, env, *then),
        QueryMsg::Nest { levels, then } => {
            let levels = levels - 1;
            let msg = to_json_binary(&QueryMsg::Nest { levels, then })?;
            smart(deps, env.contract.address.into_string(), msg)
        }
        QueryMsg::Balance { account, denom } => {
            let coin: Coin = deps.querier.query_balance(account, denom)?;
            to_json_binary(&coin)
        }
        QueryMsg::Canonicalize { address } => {
            to_json_binary(&HexBinary::from(deps.api.addr_canonicalize(&address)?.as_slice()))
        }
        QueryMsg::Humanize { canonical } => to_json_binary(&deps.api.addr_humanize(&CanonicalAddr::from(canonical))?),
        QueryMsg::Validate { address } => to_json_binary(&deps.api.addr_validate(&address).is_ok()),
        QueryMsg::Env {} => to_json_binary(&(env.block.height, env.contract.address)),
        QueryMsg::Infer { code_id, x } => {
            let outputs = Model::new(code_id)
                .infer(deps.querier, &[Tensor::from_i64s(&x)])
                .map_err(|error| StdError::msg(error.to_string()))?;
            let output = outputs.single().map_err(|error| StdError::msg(error.to_string()))?;
            to_json_binary(&output.integers().collect::<Vec<_>>())
        }
        QueryMsg::Run { code_id, inputs } => {
            let inputs = inputs.iter().map(|given| {
                let integers = given.integers.as_chunks().0.iter();
                Tensor::from_i64s(&integers.map(|&q| i32::from_le_bytes(q).into()).collect::<Vec<_>>())
                    .named(&given.name)
                    .shaped(&given.shape)
                    .fraction_bits(given.fraction_bits)
            });
            let outputs = Model::new(code_id)
                .infer(deps.querier, inputs)
                .map_err(|error| StdError::msg(error.to_string()))?;
            let integers = outputs.iter().map(|output| {
                // A model's integers have 32 bits.
                let bytes = output.integers().flat_map(|q| (q as i32).to_le_bytes());
                Binary::from(bytes.collect::<Vec<_>>())
            });
            to_json_binary(&integers.collect::<Vec<_>>())
        }
        QueryMsg::Verify {
            code_id,
            proof,
            x,
            y,
            srs,
            gas_limit,
        } => {
            let mut claim = Claim::new(proof)
                .input(Tensor::from_i64s(&x))
                .output(Tensor::from_i64s(&y));
            for id in srs {
                claim = claim.accepting_srs(id.to_array::<32>()?);
            }
            if let Some(gas) = gas_limit {
                claim = claim.gas_limit(gas);
            }
            let verdict = Circuit::new(code_id)
                .verify(deps.querier, claim)
                .map_err(|error| StdError::msg(error.to_string()))?;
            to_json_binary(&verdict.valid)
        }
        QueryMsg::Fail { text } => Err(StdError::msg(text)),
    }
}

fn smart(deps: Deps, contract_addr: String, msg: Binary) -> StdResult<Binary> {
    let request: QueryRequest<Empty> = WasmQuery::Smart { contract_addr, msg }.into();
    deps.querier
        .raw_query(&to_json_vec(&request)?)
        .into_result()
        .map_err(|error| StdError::msg(error.to_string()))?
        .into_result()
        .map_err(StdError::msg)
}

fn run(deps: DepsMut, env: Env, script: Script) -> StdResult<Response> {
    for step in script.steps {
        perform(deps.storage, &step)?;
        if let Step::Note { key, query: asked } = step {
            let answer = query(
                Deps {
                    storage: deps.storage,
                    api: deps.api,
                    querier: deps.querier,
                },
                env.clone(),
                asked,
            )?;
            deps.storage.set(key.as_bytes(), &answer);
        }
    }
    if let Some(text) = script.fail {
        return Err(StdError::msg(text));
    }
    let mut response = Response::new()
        .add_submessages(script.messages)
        .add_attributes(script.attributes);
    response.data = script.data;
    Ok(response)
}

fn perform(storage: &mut dyn Storage, step: &Step) -> StdResult<()> {
    match step {
        Step::Set { key, value } => storage.set(key.as_bytes(), value.as_bytes()),
        Step::Remove { key } => storage.remove(key.as_bytes()),
        Step::Work { rounds } => {
            let result = to_json_string(&work(*rounds))?;
            storage.set(b"work", result.as_bytes());
        }
        Step::Panic { text } => panic!("{text}"),
        Step::OverflowStack {} => storage.set(b"depth", &recurse(1).to_be_bytes()),
        Step::OverflowCalls {} => storage.set(b"depth", &descend(u64::MAX).to_be_bytes()),
        Step::Note { .. } => {}
    }
    Ok(())
}

/// Arithmetic that no compiler can shorten.
fn work(rounds: u64) -> u64 {
    (0..rounds).fold(0x9e37_79b9_7f4a_7c15, |x: u64, round| {
        (x ^ (x >> 27)).wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(round)
    })
}

#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    let frame = core::hint::black_box([depth; 64]);
    recurse(depth + 1).wrapping_add(frame[depth as usize % 64])
}

/// Keeps nothing in memory, and no compiler makes a loop of it.
fn descend(depth: u64) -> u64 {
    match depth {
        0 => 0,
        depth => (descend(depth - 1) ^ depth).rotate_left(7),
    }
}

fn text(bytes: Option<Vec<u8>>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
