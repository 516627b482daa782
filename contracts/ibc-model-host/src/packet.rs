//! Answering packets. Nothing that a packet holds makes this fail: every fault is answered, and what fails for want of
//! gas fails as a whole.

use aiinference_types::{
    ibc::{self, Fault, Room},
    v1::{self, acknowledgement, answer, packet_data::Operation},
    ErrorCode,
};
use cosmwasm_schema::cw_serde;
use cosmwasm_std::{
    from_json, to_json_binary, Addr, Api, Attribute, BankMsg, Binary, Coin, Decimal, Deps, DepsMut, Env, Order, Reply,
    StdError, StdResult, Storage, SubMsg, SubMsgResult, Uint128, Uint64, WasmMsg,
};
use prost::Message;

use crate::{
    credit,
    msg::{AccountKey, Config, ExecuteMsg, Peer},
    price::{self, Bound, Rate},
    state::{Holder, Progress, CHANNELS, CONFIG, ENTRIES, PROGRESS},
    work::{self, Task},
    ContractError,
};

/// The reply to a query's own call.
pub const WORKED: u64 = 1;
/// The reply to a payment.
pub const PAID: u64 = 2;

/// What a packet, or a reply on its behalf, leads to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The acknowledgement, if it is complete.
    pub acknowledgement: Option<Binary>,
    /// What is left to be done before it is.
    pub messages: Vec<SubMsg>,
    /// For the event.
    pub attributes: Vec<Attribute>,
}

/// Why a packet is not answered with what it asks for.
enum Refusal {
    /// Its own fault.
    Fault(Fault),
    /// The contract's state is damaged.
    Broken(StdError),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Refusal::Fault(fault)
    }
}

impl From<StdError> for Refusal {
    fn from(error: StdError) -> Self {
        Refusal::Broken(error)
    }
}

fn refuse<T>(code: ErrorCode, message: &str) -> Result<T, Refusal> {
    Err(Fault::new(code, message).into())
}

/// Who brought a packet, from where.
struct Sender<'a> {
    peer: Peer,
    relayer: &'a Addr,
}

impl Sender<'_> {
    fn account(&self, asker: String) -> AccountKey {
        AccountKey {
            connection: self.peer.connection.clone(),
            port: self.peer.port.clone(),
            asker,
        }
    }
}

impl Config {
    /// Whether channels with this end are served.
    pub fn serves(&self, peer: &Peer) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.contains(peer))
    }

    /// What a packet is charged by that is paid in a denom; None where answers are free.
    fn rate(&self, denom: &str) -> Result<Option<Rate>, Fault> {
        if self.prices.is_empty() {
            return Ok(None);
        }
        let unknown = |_| {
            Fault::new(
                ErrorCode::UnknownDenom,
                "paying: the denom is none of those in this contract's prices",
            )
        };
        let price = self.price(denom).ok_or(()).map_err(unknown)?;
        Rate::new(price).map_err(|_| ()).map_err(unknown).map(Some)
    }

    /// What a packet pays that asks nothing: a query's price without gas, and never more than it accepts. So no price
    /// of the owner's takes or holds credit. Coins that are taken no longer cost nothing to take back.
    fn fee(&self, denom: &str, max_price: &str) -> Result<u128, Fault> {
        let max_price = max_price_of(max_price)?;
        let rate = self.rate(denom).ok().flatten();
        Ok(rate.map_or(0, Rate::per_query).min(max_price))
    }
}

/// Answers a packet, or begins to.
pub fn receive(deps: DepsMut, env: &Env, channel: &str, data: &[u8], relayer: &Addr) -> Result<Outcome, ContractError> {
    match operate(deps, env, channel, data, relayer) {
        Ok(outcome) => Ok(outcome),
        Err(Refusal::Broken(error)) => Err(error.into()),
        Err(Refusal::Fault(fault)) => {
            let attributes = vec![
                Attribute::new("action", "refuse"),
                Attribute::new("channel", channel),
                Attribute::new("code", (fault.code as u32).to_string()),
            ];
            Ok(Outcome {
                acknowledgement: Some(acknowledge(env, acknowledgement::Result::Error(fault.into()))),
                attributes,
                ..Default::default()
            })
        }
    }
}

fn acknowledge(env: &Env, result: acknowledgement::Result) -> Binary {
    ibc::acknowledge(env.block.height, env.block.time.nanos(), result).into()
}

fn operate(deps: DepsMut, env: &Env, channel: &str, data: &[u8], relayer: &Addr) -> Result<Outcome, Refusal> {
    let operation = ibc::decode_packet(data)?;
    let peer = CHANNELS.load(deps.storage, channel)?;
    let sender = Sender { peer, relayer };
    match operation {
        Operation::Ask(ask) => answer_queries(deps, env, channel, &sender, ask),
        Operation::Withdraw(withdraw) => pay_out(deps, env, channel, &sender, withdraw),
        Operation::SetRecovery(set) => set_recovery(deps, env, channel, &sender, set),
    }
}

/// What holds for a packet as a whole, before any work.
fn check_ask(config: &Config, env: &Env, peer: &Peer, ask: &v1::Ask) -> Result<Option<Rate>, Fault> {
    if !config.serves(peer) {
        return Err(Fault::new(
            ErrorCode::UnsupportedOperation,
            "answering: the owner of this contract does not serve this channel",
        ));
    }
    let now = env.block.time.nanos();
    if ask.valid_until != 0 && ask.valid_until < now {
        let late = now - ask.valid_until;
        return Err(Fault::new(
            ErrorCode::Expired,
            format!("answering: the packet came {late} ns after its time"),
        ));
    }
    let most = config.max_packet_gas.u64();
    let declared: u128 = ask.queries.iter().map(|query| u128::from(query.gas_limit)).sum();
    if declared > most.into() {
        return Err(Fault::new(
            ErrorCode::GasLimitTooHigh,
            format!("answering: the queries declare {declared} gas together, and {most} are allowed"),
        ));
    }
    config.rate(&ask.denom)
}

/// The account and what is left in it while a packet is worked on.
struct Purse {
    holder: Option<Holder>,
    before: Uint128,
    left: u128,
}

impl Purse {
    fn open(storage: &dyn Storage, key: &AccountKey, denom: &str) -> StdResult<Self> {
        let holder = credit::holder(storage, key)?;
        let before = match &holder {
            Some(holder) => credit::credit(storage, holder.id, denom)?,
            None => Uint128::zero(),
        };
        Ok(Purse {
            holder,
            before,
            left: before.u128(),
        })
    }

    fn spend(&mut self, amount: u128) {
        // Amounts are at most reserves, which are at most what is left.
        self.left = self.left.saturating_sub(amount);
    }

    /// Books what was spent or set aside.
    fn close(self, storage: &mut dyn Storage, env: &Env, key: &AccountKey, denom: &str) -> StdResult<Option<u64>> {
        let Some(mut holder) = self.holder else {
            return Ok(None);
        };
        let spent = self.before.checked_sub(Uint128::new(self.left))?;
        credit::take(storage, holder.id, denom, spent)?;
        holder.last_active = env.block.time;
        credit::save_holder(storage, key, &holder)?;
        Ok(Some(holder.id))
    }
}

/// What a reply needs to know of its query.
#[cw_serde]
struct Call {
    position: u16,
    /// The gas that it may use, why not more, and what that was set aside for.
    gas: Uint64,
    bound: Bound,
    reserve: Uint128,
    per_query: Uint128,
    per_gigagas: Uint64,
    /// CosmWasm gas of one unit of the chain's own.
    multiplier: Uint64,
    memo: Binary,
    /// With the last call only.
    last: Option<Last>,
}

/// What ends a packet.
#[cw_serde]
struct Last {
    channel: String,
    queries: u16,
    account: Option<Uint64>,
    denom: String,
    relayer: Addr,
    /// Set aside for all calls.
    reserved: Uint128,
    /// Paid before the first of them.
    paid_before: Uint128,
}

fn answer_queries(deps: DepsMut, env: &Env, channel: &str, sender: &Sender, ask: v1::Ask) -> Result<Outcome, Refusal> {
    let config = CONFIG.load(deps.storage)?;
    let rate = check_ask(&config, env, &sender.peer, &ask)?;
    let key = sender.account(ask.asker);
    let denom = ask.denom;
    // Without prices nobody's credit is looked at.
    let mut purse = match rate {
        Some(_) => Purse::open(deps.storage, &key, &denom)?,
        None => Purse {
            holder: None,
            before: Uint128::zero(),
            left: 0,
        },
    };

    let queries = ask.queries.len() as u16;
    let multiplier = config.gas_multiplier.u64().max(1);
    let mut room = Room::new(ask.queries.iter().map(|query| query.memo.len()));
    let mut paid = 0;
    let mut reserved = 0;
    let mut entries: Vec<(u16, Vec<u8>)> = vec![];
    let mut calls: Vec<(Call, v1::query::Operation)> = vec![];
    for (position, query) in (0..queries).zip(ask.queries) {
        let memo = query.memo;
        let allowance = turn(rate, query.gas_limit, &query.max_price, purse.left);
        let (result, price) = match work::task(query.operation, allowance) {
            Err(fault) => (answer::Result::Error(fault.into()), 0),
            Ok((Task::Call(operation), allowance)) => {
                purse.spend(allowance.reserve);
                reserved += allowance.reserve;
                let rate = rate.unwrap_or(Rate::FREE);
                let call = Call {
                    position,
                    gas: allowance.gas.into(),
                    bound: allowance.bound,
                    reserve: allowance.reserve.into(),
                    per_query: rate.per_query().into(),
                    per_gigagas: rate.per_gigagas().into(),
                    multiplier: multiplier.into(),
                    memo: memo.into(),
                    last: None,
                };
                calls.push((call, operation));
                continue;
            }
            Ok((Task::Request(request), allowance)) => {
                let answered = work::infer(deps.as_ref().querier, &request);
                let used = match &answered {
                    Ok(response) => response.receipt.as_ref().map_or(0, |receipt| receipt.gas),
                    Err(_) => 0,
                };
                let result = match answered {
                    Ok(infer) => answer::Result::Run(v1::RunAnswer {
                        reads: vec![],
                        infer: Some(infer),
                    }),
                    Err(error) => answer::Result::Error(bounded(error, allowance.bound)),
                };
                let price = rate.map_or(0, |rate| rate.price(used.min(allowance.gas)));
                (result, price)
            }
        };
        purse.spend(price);
        paid += price;
        let entry = room.place(v1::Answer {
            result: Some(result),
            price: ibc::digits(price),
            memo,
        });
        // What no call comes between is kept as one.
        let since = calls.last().map_or(0, |(call, _)| call.position + 1);
        match entries.last_mut() {
            Some((first, bytes)) if *first >= since => bytes.extend_from_slice(&entry),
            _ => entries.push((position, entry)),
        }
    }

    let account = match rate {
        Some(_) => purse.close(deps.storage, env, &key, &denom)?,
        None => None,
    };
    if calls.is_empty() {
        credit::earn(deps.storage, &config, sender.relayer, &denom, paid.into())?;
        let entries: Vec<u8> = entries.into_iter().flat_map(|(_, bytes)| bytes).collect();
        return Ok(answered(env, channel, queries, paid, &denom, sender.relayer, &entries));
    }

    for (first, bytes) in entries {
        keep(deps.storage, first, &bytes)?;
    }
    let progress = Progress {
        room: room.bytes(),
        paid: paid.into(),
    };
    PROGRESS.save(deps.storage, &progress)?;
    if let Some((call, _)) = calls.last_mut() {
        call.last = Some(Last {
            channel: channel.to_owned(),
            queries,
            account: account.map(Uint64::new),
            denom,
            relayer: sender.relayer.clone(),
            reserved: reserved.into(),
            paid_before: paid.into(),
        });
    }
    let messages = calls.into_iter().map(|(call, operation)| {
        let query = v1::Query {
            operation: Some(operation),
            ..Default::default()
        };
        let message = WasmMsg::Execute {
            contract_addr: env.contract.address.to_string(),
            msg: to_json_binary(&ExecuteMsg::Work {
                query: query.encode_to_vec().into(),
                gas_limit: call.gas,
            })?,
            funds: vec![],
        };
        Ok(SubMsg::reply_always(message, WORKED)
            .with_gas_limit(call.gas.u64().div_ceil(multiplier))
            .with_payload(to_json_binary(&call)?))
    });
    Ok(Outcome {
        messages: messages.collect::<StdResult<_>>()?,
        ..Default::default()
    })
}

/// Bytes of one stored part: in base64 below the 128 KiB that the VM stores as one value.
const PART_BYTES: usize = 90_000;

/// Keeps entries until the acknowledgement is complete, by the first query that they answer.
fn keep(storage: &mut dyn Storage, first: u16, entries: &[u8]) -> StdResult<()> {
    // No entry is larger than the acknowledgement: three parts.
    for (number, part) in (0..).zip(entries.chunks(PART_BYTES)) {
        ENTRIES.save(storage, u32::from(first) << 8 | number, &part.into())?;
    }
    Ok(())
}

/// All that was kept, in the queries' order.
fn take_kept(storage: &mut dyn Storage) -> StdResult<Vec<u8>> {
    let parts: Vec<(u32, Binary)> = ENTRIES
        .range(storage, None, None, Order::Ascending)
        .collect::<StdResult<_>>()?;
    let mut entries = vec![];
    for (key, part) in parts {
        ENTRIES.remove(storage, key);
        entries.extend_from_slice(&part);
    }
    Ok(entries)
}

/// What a query may use, when its turn comes.
fn turn(rate: Option<Rate>, declared: u64, max_price: &str, credit: u128) -> Result<price::Allowance, Fault> {
    let Some(rate) = rate else {
        return Ok(price::Allowance {
            gas: declared,
            bound: Bound::Declared,
            reserve: 0,
        });
    };
    let max_price = max_price_of(max_price)?;
    rate.allow(declared, max_price, credit).map_err(|code| {
        let per_query = rate.per_query();
        let message = match code {
            ErrorCode::PriceExceeded => {
                format!("paying: a query costs {per_query} and its gas, and at most {max_price} are accepted")
            }
            _ => format!(
                "paying: a query costs {per_query} and its gas, and the asker's credit is {credit}; deposit more"
            ),
        };
        Fault::new(code, message)
    })
}

fn max_price_of(digits: &str) -> Result<u128, Fault> {
    ibc::amount(digits).ok_or_else(|| {
        Fault::new(
            ErrorCode::MalformedRequest,
            "reading the packet: max_price is no number below 2^128",
        )
    })
}

/// An error of the extension, with what bound the gas in place of the gas limit that it was given.
fn bounded(mut error: v1::Error, bound: Bound) -> v1::Error {
    if error.code == ErrorCode::GasLimitExceeded as u32 && bound != Bound::Declared {
        error.code = bound.code() as u32;
    }
    error
}

fn exceeded(gas: Uint64, bound: Bound) -> v1::Error {
    let why = match bound {
        Bound::Declared => "the query's limit is",
        Bound::MaxPrice => "the largest price accepted pays for",
        Bound::Credit => "the asker's credit pays for",
    };
    let message = format!("answering: more gas is needed than {gas}, which {why}");
    Fault::new(bound.code(), message).into()
}

fn answered(
    env: &Env,
    channel: &str,
    queries: u16,
    paid: u128,
    denom: &str,
    relayer: &Addr,
    entries: &[u8],
) -> Outcome {
    let data = ibc::acknowledge_answers(env.block.height, env.block.time.nanos(), entries);
    Outcome {
        acknowledgement: Some(data.into()),
        messages: vec![],
        attributes: vec![
            Attribute::new("action", "answer"),
            Attribute::new("channel", channel),
            Attribute::new("queries", queries.to_string()),
            Attribute::new("paid", format!("{paid}{denom}")),
            Attribute::new("relayer", relayer),
        ],
    }
}

/// Does the work of one query, within the gas limit of the call: the encoded `v1::Answer`.
pub fn work(deps: Deps, query: &[u8], gas_limit: u64) -> Result<Vec<u8>, ContractError> {
    let query = v1::Query::decode(query).map_err(StdError::from)?;
    let result = query
        .operation
        .map(|operation| work::answer(deps.querier, operation, gas_limit));
    let answer = v1::Answer {
        result,
        ..Default::default()
    };
    Ok(answer.encode_to_vec())
}

/// What a call of the contract to itself answers with: `cosmwasm.wasm.v1.MsgExecuteContractResponse`.
#[derive(Clone, PartialEq, Message)]
struct ExecuteResponse {
    #[prost(bytes = "vec", tag = "1")]
    data: Vec<u8>,
}

/// Takes what the call of one query came to; with the last one the acknowledgement is complete.
pub fn worked(deps: DepsMut, env: &Env, reply: Reply) -> Result<Outcome, ContractError> {
    let call: Call = from_json(&reply.payload)?;
    let rate = Rate::from_parts(call.per_query.u128(), call.per_gigagas.u64());
    // No call uses no gas: 0 stands for a chain that does not tell, as wasmd 0.61. There its limit counts.
    let told = reply.gas_used.saturating_mul(call.multiplier.u64());
    let used = match told {
        0 => call.gas.u64(),
        told => told.min(call.gas.u64()),
    };
    let result = match reply.result {
        SubMsgResult::Ok(response) => {
            let response = response.msg_responses.first().map(|response| response.value.as_slice());
            let data = ExecuteResponse::decode(response.unwrap_or_default()).map_err(StdError::from)?;
            let answer = v1::Answer::decode(data.data.as_slice()).map_err(StdError::from)?;
            answer.result
        }
        SubMsgResult::Err(error) => Some(answer::Result::Error(if out_of_gas(&error) || told >= call.gas.u64() {
            exceeded(call.gas, call.bound)
        } else {
            let message = format!("answering: the chain stopped the work with {error}");
            Fault::new(ErrorCode::ReadFailed, message).into()
        })),
    };
    let result = match result {
        Some(answer::Result::Error(error)) => Some(answer::Result::Error(bounded(error, call.bound))),
        Some(answer::Result::Description(mut description)) => {
            let gas = description
                .info
                .as_ref()
                .map_or(0, |info| info.load_gas.saturating_add(info.run_gas));
            description.price = ibc::digits(rate.price(gas));
            Some(answer::Result::Description(description))
        }
        other => other,
    };
    let price = rate.price(used).min(call.reserve.u128());

    let mut progress = PROGRESS.load(deps.storage)?;
    let mut room = Room::from_bytes(progress.room);
    let entry = room.place(v1::Answer {
        result,
        price: ibc::digits(price),
        memo: call.memo.into(),
    });
    progress.room = room.bytes();
    progress.paid = progress.paid.checked_add(price.into()).map_err(StdError::from)?;
    keep(deps.storage, call.position, &entry)?;
    let Some(last) = call.last else {
        PROGRESS.save(deps.storage, &progress)?;
        return Ok(Outcome::default());
    };

    PROGRESS.remove(deps.storage);
    let entries = take_kept(deps.storage)?;
    if let Some(account) = last.account {
        // What was paid by queries without calls is no longer in the credit; of what was set aside, the rest goes back.
        let paid_by_calls = progress.paid.checked_sub(last.paid_before).map_err(StdError::from)?;
        let rest = last.reserved.checked_sub(paid_by_calls).map_err(StdError::from)?;
        credit::add(deps.storage, account.u64(), &last.denom, rest)?;
    }
    let config = CONFIG.load(deps.storage)?;
    credit::earn(deps.storage, &config, &last.relayer, &last.denom, progress.paid)?;
    let Last {
        channel,
        queries,
        denom,
        relayer,
        ..
    } = last;
    Ok(answered(
        env,
        &channel,
        queries,
        progress.paid.u128(),
        &denom,
        &relayer,
        &entries,
    ))
}

/// Whether a call of the contract to itself ended for want of gas. The chain's redacted error is the SDK's code 11 where the
/// chain noticed, and wasmd's 29, an error of the VM, where the VM did: as a query within the call does. The VM ends
/// our own code for no other reason.
fn out_of_gas(error: &str) -> bool {
    ["codespace: sdk, code: 11", "codespace: wasm, code: 29", "out of gas"]
        .iter()
        .any(|sign| error.contains(sign))
}

/// What a payment's reply needs to know.
#[cw_serde]
struct Payment {
    channel: String,
    account: Uint64,
    denom: String,
    amount: Uint128,
    price: Uint128,
    relayer: Addr,
}

/// How much is wanted, 0 for all, and for whom.
fn check_withdrawal(api: &dyn Api, env: &Env, withdraw: &v1::Withdraw) -> Result<(u128, Addr), Fault> {
    let malformed = |problem: &str| Fault::new(ErrorCode::MalformedRequest, format!("reading the packet: {problem}"));
    let amount = ibc::amount(&withdraw.amount).ok_or_else(|| malformed("the amount is no number below 2^128"))?;
    let receiver = api.addr_validate(&withdraw.receiver);
    let receiver = receiver.map_err(|_| malformed("the receiver is no address of this chain"))?;
    if receiver == env.contract.address {
        return Err(malformed("the receiver is this contract itself"));
    }
    Ok((amount, receiver))
}

fn check_recovery(api: &dyn Api, set: &v1::SetRecovery) -> Result<Addr, Fault> {
    api.addr_validate(&set.recovery).map_err(|_| {
        Fault::new(
            ErrorCode::MalformedRequest,
            "reading the packet: recovery is no address of this chain",
        )
    })
}

fn pay_out(
    deps: DepsMut,
    env: &Env,
    channel: &str,
    sender: &Sender,
    withdraw: v1::Withdraw,
) -> Result<Outcome, Refusal> {
    let config = CONFIG.load(deps.storage)?;
    let price = config.fee(&withdraw.denom, &withdraw.max_price)?;
    let (amount, receiver) = check_withdrawal(deps.api, env, &withdraw)?;
    let key = sender.account(withdraw.asker);
    let denom = withdraw.denom;
    let mut purse = Purse::open(deps.storage, &key, &denom)?;
    let least = amount.max(1);
    let rest = purse.left.checked_sub(price).filter(|&rest| rest >= least);
    let Some(rest) = rest else {
        let message = format!(
            "paying out: {} of credit are less than the price of {price} and {least}; lower max_price or amount",
            purse.left
        );
        return refuse(ErrorCode::InsufficientCredit, &message);
    };
    let amount = if amount == 0 { rest } else { amount };
    purse.spend(price);
    purse.spend(amount);
    let Some(account) = purse.close(deps.storage, env, &key, &denom)? else {
        return refuse(ErrorCode::InsufficientCredit, "paying out: there is no credit");
    };
    let message = BankMsg::Send {
        to_address: receiver.into(),
        amount: vec![Coin::new(amount, denom.clone())],
    };
    let payment = Payment {
        channel: channel.to_owned(),
        account: account.into(),
        denom,
        amount: amount.into(),
        price: price.into(),
        relayer: sender.relayer.clone(),
    };
    // Without a limit of gas: too little ends the whole transaction.
    let message = SubMsg::reply_always(message, PAID).with_payload(to_json_binary(&payment)?);
    Ok(Outcome {
        messages: vec![message],
        ..Default::default()
    })
}

/// Takes what a payment came to.
pub fn paid(deps: DepsMut, env: &Env, reply: Reply) -> Result<Outcome, ContractError> {
    let Payment {
        channel,
        account,
        denom,
        amount,
        price,
        relayer,
    } = from_json(&reply.payload)?;
    let (result, attributes) = match reply.result {
        SubMsgResult::Ok(_) => {
            let config = CONFIG.load(deps.storage)?;
            credit::earn(deps.storage, &config, &relayer, &denom, price)?;
            let attributes = vec![
                Attribute::new("action", "withdraw"),
                Attribute::new("channel", channel),
                Attribute::new("amount", format!("{amount}{denom}")),
                Attribute::new("paid", format!("{price}{denom}")),
                Attribute::new("relayer", relayer),
            ];
            let amount = ibc::digits(amount.u128());
            let withdrawn = acknowledgement::Result::Withdrawn(v1::Withdrawn { amount });
            (withdrawn, attributes)
        }
        SubMsgResult::Err(error) => {
            let back = amount.checked_add(price).map_err(StdError::from)?;
            credit::add(deps.storage, account.u64(), &denom, back)?;
            let code = ErrorCode::PaymentFailed;
            let fault = Fault::new(code, format!("paying out: the chain refused it with {error}"));
            let attributes = vec![
                Attribute::new("action", "refuse"),
                Attribute::new("channel", channel),
                Attribute::new("code", (code as u32).to_string()),
            ];
            (acknowledgement::Result::Error(fault.into()), attributes)
        }
    };
    Ok(Outcome {
        acknowledgement: Some(acknowledge(env, result)),
        messages: vec![],
        attributes,
    })
}

fn set_recovery(
    deps: DepsMut,
    env: &Env,
    channel: &str,
    sender: &Sender,
    set: v1::SetRecovery,
) -> Result<Outcome, Refusal> {
    let config = CONFIG.load(deps.storage)?;
    let price = config.fee(&set.denom, &set.max_price)?;
    let recovery = check_recovery(deps.api, &set)?;
    let key = sender.account(set.asker);
    let mut purse = Purse::open(deps.storage, &key, &set.denom)?;
    if purse.left < price {
        let message = format!(
            "naming a recovery address: {price} are to be paid, and the credit is {}; lower max_price",
            purse.left
        );
        return refuse(ErrorCode::InsufficientCredit, &message);
    }
    match &mut purse.holder {
        Some(holder) => holder.recovery = recovery.clone(),
        None => purse.holder = Some(credit::open_account(deps.storage, env, &key, recovery.clone())?),
    }
    purse.spend(price);
    purse.close(deps.storage, env, &key, &set.denom)?;
    credit::earn(deps.storage, &config, sender.relayer, &set.denom, price.into())?;
    Ok(Outcome {
        acknowledgement: Some(acknowledge(
            env,
            acknowledgement::Result::RecoverySet(v1::RecoverySet {}),
        )),
        messages: vec![],
        attributes: vec![
            Attribute::new("action", "set_recovery"),
            Attribute::new("channel", channel),
            Attribute::new("recovery", recovery),
            Attribute::new("paid", format!("{price}{}", set.denom)),
            Attribute::new("relayer", sender.relayer),
        ],
    })
}

/// The least that a relayer would be paid for a packet, were it received now.
pub fn reward(deps: Deps, env: &Env, channel: &str, data: &[u8]) -> StdResult<Vec<Coin>> {
    match least_paid(deps, env, channel, data) {
        Err(Refusal::Broken(error)) => Err(error),
        Ok(Some(coin)) if !coin.amount.is_zero() => Ok(vec![coin]),
        Ok(_) | Err(Refusal::Fault(_)) => Ok(vec![]),
    }
}

fn least_paid(deps: Deps, env: &Env, channel: &str, data: &[u8]) -> Result<Option<Coin>, Refusal> {
    let operation = ibc::decode_packet(data)?;
    let Some(peer) = CHANNELS.may_load(deps.storage, channel)? else {
        return Ok(None);
    };
    let config = CONFIG.load(deps.storage)?;
    let relayer = &env.contract.address;
    let sender = Sender { peer, relayer };
    let (paid, denom) = match operation {
        Operation::Ask(ask) => {
            let Some(rate) = check_ask(&config, env, &sender.peer, &ask)? else {
                return Ok(None);
            };
            let mut purse = Purse::open(deps.storage, &sender.account(ask.asker), &ask.denom)?;
            let mut paid = 0;
            for query in ask.queries {
                let allowance = turn(Some(rate), query.gas_limit, &query.max_price, purse.left);
                if let Ok((_, allowance)) = work::task(query.operation, allowance) {
                    purse.spend(allowance.reserve);
                    paid += rate.per_query();
                }
            }
            (paid, ask.denom)
        }
        Operation::Withdraw(withdraw) => {
            let fee = config.fee(&withdraw.denom, &withdraw.max_price)?;
            let (amount, _) = check_withdrawal(deps.api, env, &withdraw)?;
            let key = sender.account(withdraw.asker);
            let paid = covered(&deps, &key, &withdraw.denom, fee, amount.max(1))?;
            (paid, withdraw.denom)
        }
        Operation::SetRecovery(set) => {
            let fee = config.fee(&set.denom, &set.max_price)?;
            check_recovery(deps.api, &set)?;
            let key = sender.account(set.asker);
            (covered(&deps, &key, &set.denom, fee, 0)?, set.denom)
        }
    };
    let share = config.price(&denom).map_or(Decimal::zero(), |price| price.reward);
    let (amount, _) = price::part(paid, share);
    Ok(Some(Coin::new(amount, denom)))
}

/// A fee, if the credit covers that and so much more.
fn covered(deps: &Deps, key: &AccountKey, denom: &str, fee: u128, more: u128) -> StdResult<u128> {
    let purse = Purse::open(deps.storage, key, denom)?;
    let covered = purse.left.checked_sub(fee).is_some_and(|rest| rest >= more);
    Ok(if covered { fee } else { 0 })
}
