//! Transactions: their bytes, signatures and unsigned JSON.

use cosmrs::{
    proto::{
        cosmos::{
            base::abci::v1beta1::TxMsgData,
            crypto::secp256k1,
            tx::{
                signing::v1beta1::SignMode,
                v1beta1::{mode_info, AuthInfo, Fee as ProtoFee, ModeInfo, SignDoc, SignerInfo, TxBody, TxRaw},
            },
        },
        traits::{Message, Name},
    },
    Any,
};
use serde::Serialize;
use serde_json::{json, Value};
use sha2::{Digest, Sha256};

use crate::{
    coin::Coin,
    error::ClientError,
    key::{Key, KeyError},
    msg::Msg,
};

/// Bytes of a secp256k1 signature, for transactions that are only simulated.
const SIGNATURE: usize = 64;

/// Gas and what it costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fee {
    /// The gas limit.
    pub gas: u64,
    /// What is paid, used or not.
    pub amount: Vec<Coin>,
}

/// Who signs, and the how manieth time.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    pub chain_id: &'a str,
    pub account_number: u64,
    pub sequence: u64,
}

/// A signed transaction.
pub fn signed(msgs: &[Msg], memo: &str, fee: &Fee, signer: Signer<'_>, key: &Key) -> Result<Vec<u8>, KeyError> {
    let public = key.public_key().to_bytes();
    let (body, auth_info) = parts(msgs, memo, fee, Some(public), signer.sequence);
    let document = SignDoc {
        body_bytes: body.clone(),
        auth_info_bytes: auth_info.clone(),
        chain_id: signer.chain_id.into(),
        account_number: signer.account_number,
    };
    let signature = key.sign(&document.encode_to_vec())?;
    Ok(raw(body, auth_info, signature))
}

/// A transaction to simulate: its size is that of a signed one, its signature is none.
pub fn to_simulate(msgs: &[Msg], memo: &str, fee: &Fee, public_key: Option<Vec<u8>>, sequence: u64) -> Vec<u8> {
    let (body, auth_info) = parts(msgs, memo, fee, public_key, sequence);
    raw(body, auth_info, vec![0; SIGNATURE])
}

fn raw(body_bytes: Vec<u8>, auth_info_bytes: Vec<u8>, signature: Vec<u8>) -> Vec<u8> {
    TxRaw {
        body_bytes,
        auth_info_bytes,
        signatures: vec![signature],
    }
    .encode_to_vec()
}

/// The encoded body and the encoded rest that is signed.
fn parts(msgs: &[Msg], memo: &str, fee: &Fee, public_key: Option<Vec<u8>>, sequence: u64) -> (Vec<u8>, Vec<u8>) {
    let body = TxBody {
        messages: msgs.iter().map(Msg::to_any).collect(),
        memo: memo.into(),
        ..Default::default()
    };
    let signer = SignerInfo {
        public_key: public_key.map(|key| {
            let key = secp256k1::PubKey { key };
            Any {
                type_url: format!("/{}", secp256k1::PubKey::full_name()),
                value: key.encode_to_vec(),
            }
        }),
        mode_info: Some(ModeInfo {
            sum: Some(mode_info::Sum::Single(mode_info::Single {
                mode: SignMode::Direct.into(),
            })),
        }),
        sequence,
    };
    let auth_info = AuthInfo {
        signer_infos: vec![signer],
        fee: Some(ProtoFee {
            amount: fee.amount.iter().cloned().map(Into::into).collect(),
            gas_limit: fee.gas,
            ..Default::default()
        }),
        ..Default::default()
    };
    (body.encode_to_vec(), auth_info.encode_to_vec())
}

/// The name of a transaction: the hash of its bytes, in the capitals that chains print.
pub fn hash(transaction: &[u8]) -> String {
    hex::encode_upper(Sha256::digest(transaction))
}

/// A transaction without signature, as the JSON that `wasmd tx sign`, wallets and multisigs take.
pub fn unsigned(msgs: &[Msg], memo: &str, fee: &Fee) -> Result<Value, ClientError> {
    let messages: Result<Vec<Value>, ClientError> = msgs.iter().map(Msg::to_json).collect();
    Ok(json!({
        "body": {
            "messages": messages?,
            "memo": memo,
            "timeout_height": "0",
            "extension_options": [],
            "non_critical_extension_options": [],
        },
        "auth_info": {
            "signer_infos": [],
            "fee": {
                "amount": fee.amount,
                "gas_limit": fee.gas.to_string(),
                "payer": "",
                "granter": "",
            },
            "tip": null,
        },
        "signatures": [],
    }))
}

/// An event of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its type, like `wasm`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Keys and values, in order.
    pub attributes: Vec<(String, String)>,
}

/// What became of a transaction in a block.
#[derive(Clone, Debug, PartialEq)]
pub struct Included {
    /// Its name.
    pub hash: String,
    /// The block.
    pub height: u64,
    /// Its place in the block.
    pub index: u32,
    /// 0 if it was done.
    pub code: u32,
    /// Whose code that is.
    pub codespace: String,
    /// Why it failed.
    pub log: String,
    /// Gas limit.
    pub gas_wanted: u64,
    /// Gas used.
    pub gas_used: u64,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The encoded TxMsgData.
    pub data: Vec<u8>,
}

impl Included {
    /// The answer to the message at a place in the transaction; None if it is of another type.
    pub fn response<M: Message + Name + Default>(&self, index: usize) -> Option<M> {
        let data = TxMsgData::decode(self.data.as_slice()).ok()?;
        let any = data.msg_responses.get(index)?;
        if any.type_url.trim_start_matches('/') != M::full_name() {
            return None;
        }
        M::decode(any.value.as_slice()).ok()
    }

    /// The first value of an attribute in an event of a type.
    pub fn attribute(&self, kind: &str, key: &str) -> Option<&str> {
        let events = self.events.iter().filter(|event| event.kind == kind);
        events
            .flat_map(|event| &event.attributes)
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// The error of a transaction that failed.
    pub fn done(self, doing: &'static str) -> Result<Self, ClientError> {
        match self.code {
            0 => Ok(self),
            code => Err(ClientError::Refused {
                doing,
                codespace: self.codespace,
                code,
                log: self.log,
                hash: Some(self.hash),
            }),
        }
    }
}
