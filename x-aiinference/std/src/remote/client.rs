//! What contracts say to `ibc-model-client`.

use serde::{Deserialize, Serialize};

use super::{Bytes, Query};

/// The messages of `ibc-model-client` by which contracts and accounts ask. Send it as JSON, without funds.
///
/// ```
/// # use aiinference_std::{remote::{Ask, ClientMsg, Query}, Model, Tensor};
/// use cosmwasm_std::{to_json_binary, Addr, StdResult, WasmMsg};
///
/// fn ask(client: &Addr) -> StdResult<WasmMsg> {
///     let query = Query::new().step(&Model::new(7), [Tensor::from_i64s(&[3])]).gas_limit(1_000_000_000);
///     let ask = Ask::new("channel-4").query(&query).callback(b"token 5", 300_000);
///     Ok(WasmMsg::Execute {
///         contract_addr: client.to_string(),
///         msg: to_json_binary(&ClientMsg::Ask(ask))?,
///         funds: vec![],
///     })
/// }
/// # ask(&Addr::unchecked("client")).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
#[cfg_attr(feature = "std3", schemaifier(mute_warnings))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientMsg {
    /// Asks. The sender is the asker: its credit on the answering chain pays. The response's data is [`Sent`] as JSON.
    Ask(Ask),
    /// Pays the sender's credit out, on the answering chain. The response's data is [`Sent`] as JSON.
    Withdraw(Withdraw),
    /// Names who may take the sender's credit out once the channel is dead. The response's data is [`Sent`] as JSON.
    SetRecovery(SetRecovery),
    /// Tries a callback again that failed. Where it fails again, so does this. The initiator may.
    Deliver {
        /// The question.
        id: u64,
        /// The callback's gas limit this time, in the chain's own gas.
        gas_limit: u64,
    },
    /// Forgets a result that was kept or not delivered. The initiator may.
    Discard {
        /// The question.
        id: u64,
    },
    /// Ends a question without an answer whose channel is closed, with the error Abandoned. The initiator may.
    Abandon {
        /// The question.
        id: u64,
    },
}

/// Queries to the models of another chain, in one packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
#[cfg_attr(feature = "std3", schemaifier(mute_warnings))]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// The channel to the answering chain.
    pub channel: String,
    /// At most 256, each an encoded `aiinference.v1.Query`. Each is answered by itself.
    pub queries: Vec<Bytes>,
    /// What is paid with, a denom of the answering chain; empty where it asks no price.
    #[serde(default)]
    pub denom: String,
    /// Until when the packet must have been relayed.
    #[serde(default)]
    pub timeout: Timeout,
    /// Seconds after which no answer is wanted any more, on either chain.
    pub valid_for: Option<u64>,
    /// How to tell the sender, a contract, the result. Without, it is kept to be fetched by the query `question`.
    pub callback: Option<Callback>,
}

impl Ask {
    /// Nothing yet, to be asked over a channel.
    pub fn new(channel: impl Into<String>) -> Self {
        Ask {
            channel: channel.into(),
            queries: Vec::new(),
            denom: String::new(),
            timeout: Timeout::default(),
            valid_for: None,
            callback: None,
        }
    }

    /// Adds a query. Answers come in the same order.
    pub fn query(mut self, query: &Query) -> Self {
        self.queries.push(query.encode().into());
        self
    }

    /// Pays with coins of this denom of the answering chain.
    pub fn denom(mut self, denom: impl Into<String>) -> Self {
        self.denom = denom.into();
        self
    }

    /// Gives up where the packet was not relayed within these seconds.
    pub fn timeout_seconds(mut self, seconds: u64) -> Self {
        self.timeout.seconds = Some(seconds);
        self
    }

    /// Takes no answer after these seconds, on either chain.
    pub fn valid_for(mut self, seconds: u64) -> Self {
        self.valid_for = Some(seconds);
        self
    }

    /// Has the sender's `model_answer` executed with the result, and with `msg`, under this limit of the chain's own gas.
    pub fn callback(mut self, msg: impl Into<Vec<u8>>, gas_limit: u64) -> Self {
        let msg = msg.into().into();
        self.callback = Some(Callback { msg, gas_limit });
        self
    }
}

/// Credit to be paid out on the answering chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
#[cfg_attr(feature = "std3", schemaifier(mute_warnings))]
#[serde(deny_unknown_fields)]
pub struct Withdraw {
    /// The channel to the answering chain.
    pub channel: String,
    /// Which credit.
    pub denom: String,
    /// How much, in decimal digits; all that is left after the price of the packet, where none is given.
    pub amount: Option<String>,
    /// An address of the answering chain.
    pub receiver: String,
    /// The most that is paid for the packet, in decimal digits; nothing where none is given. A relayer gets its share of it.
    pub max_price: Option<String>,
    /// Until when the packet must have been relayed.
    #[serde(default)]
    pub timeout: Timeout,
    /// As for [`Ask`].
    pub callback: Option<Callback>,
}

/// Another recovery address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
#[cfg_attr(feature = "std3", schemaifier(mute_warnings))]
#[serde(deny_unknown_fields)]
pub struct SetRecovery {
    /// The channel to the answering chain.
    pub channel: String,
    /// An address of the answering chain.
    pub recovery: String,
    /// What the packet is paid with.
    #[serde(default)]
    pub denom: String,
    /// As for [`Withdraw`].
    pub max_price: Option<String>,
    /// Until when the packet must have been relayed.
    #[serde(default)]
    pub timeout: Timeout,
    /// As for [`Ask`].
    pub callback: Option<Callback>,
}

/// Until when a packet must have been relayed; both may be given, the earlier counts. By default 600 seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
#[cfg_attr(feature = "std3", schemaifier(mute_warnings))]
#[serde(deny_unknown_fields)]
pub struct Timeout {
    /// Seconds from now, by the answering chain's clock.
    pub seconds: Option<u64>,
    /// A height of the answering chain.
    pub height: Option<Height>,
}

/// A height of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
#[cfg_attr(feature = "std3", schemaifier(mute_warnings))]
#[serde(deny_unknown_fields)]
pub struct Height {
    /// The number at the end of the chain's id, 0 without one.
    pub revision: u64,
    /// The block.
    pub height: u64,
}

/// How to tell a contract the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
#[cfg_attr(feature = "std3", schemaifier(mute_warnings))]
#[serde(deny_unknown_fields)]
pub struct Callback {
    /// What the contract wants to be told along with it, at most 16 KiB.
    pub msg: Bytes,
    /// Gas limit of the callback, in the chain's own gas. Whoever relays the answer must send that much.
    pub gas_limit: u64,
}

/// What asking gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
pub struct Sent {
    /// The question's number.
    pub id: u64,
}
