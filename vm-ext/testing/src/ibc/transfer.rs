//! ICS-20 with the callbacks middleware, as wasmd's app wires them.

use cosmwasm_std::{
    from_json, to_json_string, Addr, BankMsg, Binary, CanonicalAddr, Coin, CustomMsg, CustomQuery, IbcAckCallbackMsg,
    IbcAcknowledgement, IbcDestinationCallbackMsg, IbcEndpoint, IbcOrder, IbcPacket, IbcSourceCallbackMsg, IbcTimeout,
    IbcTimeoutCallbackMsg, IbcTransferCallback, StdAck, StdError, Uint256,
};
use cw_multi_test::{AppResponse, BankSudo, SudoMsg};
use cw_storage_plus::Map;
use serde::{de::DeserializeOwned, Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    call::IbcCall,
    keeper::{self, ChannelEnd},
    module::{error_acknowledgement, go_json, sequence_response, CallError, Host, Refusal},
    IbcError,
};
use crate::gas::SDK_GAS;

/// The module's port.
pub(crate) const PORT: &str = "transfer";
/// The version of its channels.
pub(crate) const VERSION: &str = "ics20-1";

/// SDK gas of a callback, at most and unless the memo says less.
const CALLBACK_GAS: u64 = 1_000_000;

const MAX_RECEIVER_BYTES: usize = 2_048;
const MAX_MEMO_BYTES: usize = 32_768;

/// Paths of vouchers by their denoms.
const VOUCHERS: Map<&str, String> = Map::new("ibc/vouchers");

/// The denom on a chain of a coin that came over this channel of it.
pub fn voucher_denom(channel: &str, denom: &str) -> String {
    hashed(&format!("{PORT}/{channel}/{denom}"))
}

fn hashed(path: &str) -> String {
    let hash = Sha256::digest(path);
    let hex: String = hash.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("ibc/{hex}")
}

/// The denom of a path: hashed, if there is a hop in it.
fn denom_of(path: &str) -> String {
    let mut parts = path.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(channel), Some(_)) if channel.starts_with("channel-") => hashed(path),
        _ => path.to_string(),
    }
}

/// Data of a packet, in the order of its JSON.
#[derive(Serialize, Deserialize)]
struct Data {
    #[serde(default)]
    denom: String,
    #[serde(default)]
    amount: String,
    #[serde(default)]
    sender: String,
    #[serde(default)]
    receiver: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    memo: String,
}

impl Data {
    /// The amount and whether the rest can be read; codes are those of ibc-go's errors.
    fn check(&self) -> Result<Uint256, Code> {
        let amount = self.amount.parse::<Uint256>().map_err(|_| Code(5))?;
        if amount.is_zero() {
            return Err(Code(5));
        }
        if self.sender.trim().is_empty() || self.receiver.trim().is_empty() {
            return Err(Code(5));
        }
        if self.denom.trim().is_empty() {
            return Err(Code(3));
        }
        if self.memo.len() > MAX_MEMO_BYTES {
            return Err(Code(11));
        }
        Ok(amount)
    }
}

/// The number of an error in its module, which is all that an acknowledgement tells of it.
#[derive(Clone, Copy)]
struct Code(u32);

impl Code {
    /// Any error of the chain's bank: too few coins, above all.
    const BANK: Code = Code(5);

    fn acknowledgement(self) -> Result<Binary, StdError> {
        error_acknowledgement(&format!(
            "ABCI code: {}: error handling packet: see events for details",
            self.0
        ))
    }
}

/// Why a callback did not happen.
enum Missed {
    /// The packet goes on without it, or is refused with this code.
    Failed(Code, String),
    /// The transaction has too little gas for it.
    OutOfGas(String),
}

/// What a memo says of a callback.
struct Request {
    address: String,
    /// SDK gas.
    gas: u64,
}

/// Reads a callback from a memo: none if it asks for none, an error if what it asks makes no sense.
fn request(memo: &str, key: &str) -> Result<Option<Request>, Code> {
    const INVALID: Code = Code(8);
    let Ok(memo) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(memo) else {
        return Ok(None);
    };
    let Some(asked) = memo.get(key).and_then(|asked| asked.as_object()) else {
        return Ok(None);
    };
    let address = match asked.get("address").and_then(|address| address.as_str()) {
        Some(address) if !address.trim().is_empty() => address.to_string(),
        _ => return Err(INVALID),
    };
    let gas = match asked.get("gas_limit") {
        None => 0,
        Some(gas) => match gas.as_str().ok_or(INVALID)? {
            "" => 0,
            gas => gas.parse().map_err(|_| INVALID)?,
        },
    };
    if let Some(calldata) = asked.get("calldata") {
        let text = calldata.as_str().ok_or(INVALID)?;
        cosmwasm_std::HexBinary::from_hex(text).map_err(|_| INVALID)?;
    }
    let gas = if gas == 0 { CALLBACK_GAS } else { gas.min(CALLBACK_GAS) };
    Ok(Some(Request { address, gas }))
}

fn chain_error(error: StdError) -> IbcError {
    IbcError::Chain(error.to_string())
}

impl<C, Q> Host<'_, C, Q>
where
    C: CustomMsg + DeserializeOwned + 'static,
    Q: CustomQuery + DeserializeOwned + 'static,
{
    /// The version that a channel of this module gets.
    pub(super) fn open_transfer(&self, channel: &ChannelEnd) -> Result<String, IbcError> {
        if channel.order != IbcOrder::Unordered || channel.counterparty.port_id != PORT || channel.version != VERSION {
            return Err(IbcError::Chain(format!(
                "opening a channel for transfers: it must be unordered, of version {VERSION} and between ports named {PORT}"
            )));
        }
        Ok(VERSION.to_string())
    }

    /// Sends coins.
    pub(super) fn send_transfer(
        &mut self,
        sender: &Addr,
        channel_id: String,
        to_address: String,
        coin: Coin,
        timeout: IbcTimeout,
        memo: Option<String>,
    ) -> Result<AppResponse, IbcError> {
        let refused = |reason: &str| IbcError::InvalidPacket { reason: reason.into() };
        let end = IbcEndpoint {
            port_id: PORT.into(),
            channel_id,
        };
        let path = match coin.denom.starts_with("ibc/") {
            true => VOUCHERS
                .may_load(self.storage, &coin.denom)?
                .ok_or_else(|| refused("no voucher of that denom ever came here"))?,
            false => coin.denom.clone(),
        };
        let data = Data {
            denom: path,
            amount: coin.amount.to_string(),
            sender: sender.to_string(),
            receiver: to_address,
            memo: memo.unwrap_or_default(),
        };
        data.check()
            .map_err(|_| refused("amount, receiver, denom or memo of the transfer are not allowed"))?;
        if data.receiver.len() > MAX_RECEIVER_BYTES {
            return Err(refused("the receiver has more than 2048 bytes"));
        }
        match request(&data.memo, "src_callback") {
            Ok(Some(asked)) if asked.address != data.sender => {
                return Err(refused("only the sender may get a callback here"));
            }
            Err(_) => return Err(refused("the callback that the memo asks for makes no sense")),
            Ok(_) => {}
        }
        match returns(&data, &end) {
            true => self.burn(sender, coin)?,
            false => {
                let escrow = self.escrow(&end)?;
                self.pay(sender, &escrow, coin)?;
            }
        }
        let data = go_json(&to_json_string(&data)?).into_bytes();
        let sequence = keeper::send(self.storage, self.block, &end, data.into(), timeout)?;
        Ok(sequence_response(sequence))
    }

    /// Receives coins, and calls whom the memo names.
    pub(super) fn receive_transfer(&mut self, packet: &IbcPacket) -> Result<(Option<Binary>, AppResponse), Refusal> {
        let refuse = |code: Code| Refusal::answered(code.acknowledgement());
        let data: Data = from_json(&packet.data).map_err(|_| refuse(Code(12)))?;
        let amount = data.check().map_err(refuse)?;
        let receiver = self.api.addr_validate(&data.receiver).map_err(|_| refuse(Code(5)))?;
        let prefix = format!("{}/{}/", packet.src.port_id, packet.src.channel_id);
        let coin = match data.denom.strip_prefix(&prefix) {
            Some(home) => {
                let coin = Coin {
                    denom: denom_of(home),
                    amount,
                };
                let escrow = self.escrow(&packet.dest).map_err(Refusal::Abort)?;
                self.pay(&escrow, &receiver, coin.clone())
                    .map_err(|_| refuse(Code::BANK))?;
                coin
            }
            None => {
                let path = format!("{}/{}/{}", packet.dest.port_id, packet.dest.channel_id, data.denom);
                let denom = hashed(&path);
                VOUCHERS
                    .save(self.storage, &denom, &path)
                    .map_err(|error| Refusal::Abort(chain_error(error)))?;
                let coin = Coin { denom, amount };
                self.mint(&receiver, coin.clone()).map_err(|_| refuse(Code::BANK))?;
                coin
            }
        };
        let acknowledgement = StdAck::success([1]).to_binary();
        let Some(asked) = request(&data.memo, "dest_callback").map_err(refuse)? else {
            return Ok((Some(acknowledgement), AppResponse::default()));
        };
        let msg = IbcDestinationCallbackMsg {
            packet: packet.clone(),
            ack: IbcAcknowledgement::new(acknowledgement.clone()),
            transfer: Some(IbcTransferCallback {
                sender: data.sender,
                receiver,
                funds: vec![coin],
            }),
        };
        match self.callback(asked, IbcCall::DestinationCallback(msg)) {
            Ok(response) => Ok((Some(acknowledgement), response)),
            Err(Missed::Failed(code, _)) => Err(refuse(code)),
            Err(Missed::OutOfGas(text)) => Err(Refusal::Abort(IbcError::OutOfGas(text))),
        }
    }

    /// Ends a transfer: gives the coins back if it was refused.
    pub(super) fn acknowledge_transfer(
        &mut self,
        relayer: &Addr,
        packet: IbcPacket,
        acknowledgement: Binary,
    ) -> Result<AppResponse, IbcError> {
        match from_json(&acknowledgement).map_err(chain_error)? {
            StdAck::Success(_) => {}
            StdAck::Error(_) => self.refund(&packet)?,
        }
        let acknowledgement = IbcAcknowledgement::new(acknowledgement);
        let msg = IbcAckCallbackMsg::new(acknowledgement, packet.clone(), relayer.clone());
        self.tell_sender(&packet, IbcSourceCallbackMsg::Acknowledgement(msg))
    }

    /// Ends a transfer that did not arrive: gives the coins back.
    pub(super) fn time_out_transfer(&mut self, relayer: &Addr, packet: IbcPacket) -> Result<AppResponse, IbcError> {
        self.refund(&packet)?;
        let msg = IbcTimeoutCallbackMsg::new(packet.clone(), relayer.clone());
        self.tell_sender(&packet, IbcSourceCallbackMsg::Timeout(msg))
    }

    /// Calls the sender if the memo asks so. What comes of it does not hold up the packet.
    fn tell_sender(&mut self, packet: &IbcPacket, msg: IbcSourceCallbackMsg) -> Result<AppResponse, IbcError> {
        let data: Data = from_json(&packet.data)?;
        let Ok(Some(asked)) = request(&data.memo, "src_callback") else {
            return Ok(AppResponse::default());
        };
        match self.callback(asked, IbcCall::SourceCallback(msg)) {
            Ok(response) => Ok(response),
            Err(Missed::Failed(_, text)) => {
                let event = cosmwasm_std::Event::new("ibc_src_callback")
                    .add_attribute("callback_result", "failure")
                    .add_attribute("callback_error", text);
                Ok(AppResponse {
                    events: vec![event],
                    data: None,
                })
            }
            Err(Missed::OutOfGas(text)) => Err(IbcError::OutOfGas(text)),
        }
    }

    /// Calls back with the gas that was asked for. With less at hand the call is tried; if that does not suffice, the
    /// transaction must fail, so that it can come again with more.
    fn callback(&mut self, asked: Request, call: IbcCall) -> Result<AppResponse, Missed> {
        let contract = match self.api.addr_validate(&asked.address) {
            Ok(contract) => contract,
            Err(error) => return Err(Missed::Failed(Code(1), error.to_string())),
        };
        let gas = asked.gas.min(self.meter.remaining() / SDK_GAS);
        let scope = self.meter.open(gas.saturating_mul(SDK_GAS));
        let called = self.attempt(|host| host.call(&contract, call));
        let out_of_gas = scope.close().out_of_gas;
        match (called, out_of_gas) {
            (_, Some(out)) if gas < asked.gas => Err(Missed::OutOfGas(format!("calling back {contract}: {out}"))),
            (_, Some(out)) => Err(Missed::Failed(Code(6), out.to_string())),
            (Ok((_, response)), None) => Ok(response),
            (Err(CallError::NoContract(text)), None) => Err(Missed::Failed(Code(22), text)),
            (Err(error), None) => Err(Missed::Failed(Code(5), IbcError::from(error).to_string())),
        }
    }

    fn refund(&mut self, packet: &IbcPacket) -> Result<(), IbcError> {
        let data: Data = from_json(&packet.data)?;
        let amount = data.check().map_err(|_| IbcError::InvalidPacket {
            reason: "it is no transfer".into(),
        })?;
        let sender = self.api.addr_validate(&data.sender)?;
        let coin = Coin {
            denom: denom_of(&data.denom),
            amount,
        };
        if returns(&data, &packet.src) {
            return self.mint(&sender, coin);
        }
        let escrow = self.escrow(&packet.src)?;
        self.pay(&escrow, &sender, coin)
    }

    /// The account that holds what was sent over a channel.
    fn escrow(&self, end: &IbcEndpoint) -> Result<Addr, IbcError> {
        let hash = Sha256::digest(format!("{VERSION}\0{}/{}", end.port_id, end.channel_id));
        let bytes: Vec<u8> = hash.into_iter().take(20).collect();
        Ok(self.api.addr_humanize(&CanonicalAddr::from(bytes))?)
    }

    fn pay(&mut self, from: &Addr, to: &Addr, coin: Coin) -> Result<(), IbcError> {
        let msg = BankMsg::Send {
            to_address: to.to_string(),
            amount: vec![coin],
        };
        self.router
            .execute(self.api, self.storage, self.block, from.clone(), msg.into())?;
        Ok(())
    }

    fn burn(&mut self, from: &Addr, coin: Coin) -> Result<(), IbcError> {
        let msg = BankMsg::Burn { amount: vec![coin] };
        self.router
            .execute(self.api, self.storage, self.block, from.clone(), msg.into())?;
        Ok(())
    }

    fn mint(&mut self, to: &Addr, coin: Coin) -> Result<(), IbcError> {
        let mint = BankSudo::Mint {
            to_address: to.to_string(),
            amount: vec![coin],
        };
        self.router
            .sudo(self.api, self.storage, self.block, SudoMsg::Bank(mint))?;
        Ok(())
    }
}

/// Whether the coins came over this channel, and so go home over it.
fn returns(data: &Data, end: &IbcEndpoint) -> bool {
    data.denom.starts_with(&format!("{}/{}/", end.port_id, end.channel_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voucher_is_the_hash_of_its_path() {
        // A well-known one: ATOM on Osmosis.
        assert_eq!(
            voucher_denom("channel-0", "uatom"),
            "ibc/27394FB092D2ECCD56123C74F36E4C1F926001CEADA9CA97EA622B25F41E5EB2"
        );
    }

    #[test]
    fn only_paths_with_a_hop_are_hashed() {
        assert_eq!(denom_of("uatom"), "uatom");
        assert_eq!(denom_of("gamm/pool/1"), "gamm/pool/1");
        assert_eq!(
            denom_of("transfer/channel-0/uatom"),
            voucher_denom("channel-0", "uatom")
        );
    }

    #[test]
    fn memos_that_are_no_requests_ask_for_nothing() {
        for memo in [
            "",
            "thanks",
            "[1]",
            "{}",
            r#"{"dest_callback":"x"}"#,
            r#"{"src_callback":{}}"#,
        ] {
            assert!(matches!(request(memo, "dest_callback"), Ok(None)), "{memo}");
        }
    }

    #[test]
    fn requests_that_make_no_sense_are_refused() {
        for asked in [
            r#"{}"#,
            r#"{"address":" "}"#,
            r#"{"address":1}"#,
            r#"{"address":"x","gas_limit":5}"#,
            r#"{"address":"x","gas_limit":"-5"}"#,
            r#"{"address":"x","calldata":"zz"}"#,
        ] {
            let memo = format!(r#"{{"dest_callback":{asked}}}"#);
            assert!(matches!(request(&memo, "dest_callback"), Err(Code(8))), "{memo}");
        }
    }

    #[test]
    fn a_callback_gets_what_it_asks_for_up_to_the_most() {
        for (gas, expected) in [
            ("", CALLBACK_GAS),
            ("0", CALLBACK_GAS),
            ("5000", 5_000),
            ("99999999", CALLBACK_GAS),
        ] {
            let memo = format!(r#"{{"dest_callback":{{"address":"x","gas_limit":"{gas}"}},"other":1}}"#);
            let asked = request(&memo, "dest_callback").ok().flatten().unwrap();
            assert_eq!((asked.address.as_str(), asked.gas), ("x", expected));
        }
    }
}
