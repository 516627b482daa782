//! What a transaction asks of the chain.

use base64::prelude::{Engine as _, BASE64_STANDARD};
use cosmrs::{
    proto::{
        cosmos::gov::v1::MsgSubmitProposal,
        cosmwasm::wasm::v1::{AccessConfig, AccessType, MsgExecuteContract, MsgInstantiateContract, MsgStoreCode},
        traits::{Message, Name},
    },
    AccountId, Any,
};
use serde_json::{json, Value};
use sha2::{Digest, Sha256};

use crate::{
    coin::{input, Coin},
    error::ClientError,
    key::is_prefix,
};

/// How a gzip file begins.
pub(crate) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The JSON that a contract takes, as the bytes that it will get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(Vec<u8>);

impl Json {
    /// Bytes that are JSON. They are passed on as they are.
    pub fn new(text: impl Into<Vec<u8>>) -> Result<Self, ClientError> {
        let text = text.into();
        match serde_json::from_slice::<serde::de::IgnoredAny>(&text) {
            Ok(_) => Ok(Json(text)),
            Err(error) => {
                let start: String = String::from_utf8_lossy(&text).chars().take(60).collect();
                Err(input("the message", &start, format!("it is no JSON: {error}")))
            }
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As a part of other JSON. Numbers that would change on the way there are refused.
    fn value(&self) -> Result<Value, ClientError> {
        let value = serde_json::from_slice(&self.0).map_err(|error| input("the message", "", error.to_string()))?;
        match inexact(&value) {
            None => Ok(value),
            Some(number) => Err(input(
                "the message",
                &number,
                "this number is no 64-bit integer; write it as text",
            )),
        }
    }
}

/// A number in it that is no 64-bit integer, and would lose digits.
fn inexact(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) if number.is_f64() => Some(number.to_string()),
        Value::Array(items) => items.iter().find_map(inexact),
        Value::Object(fields) => fields.values().find_map(inexact),
        _ => None,
    }
}

/// Who may instantiate a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nobody, as is right for models: they are code that is never run as a contract.
    Nobody,
    /// Everybody.
    Everybody,
    /// These addresses only.
    Addresses(Vec<String>),
}

impl Access {
    /// Its name in JSON: wasmd has names of its own for these, beside those of the protobuf.
    fn name(&self) -> &'static str {
        match self {
            Access::Nobody => "Nobody",
            Access::Everybody => "Everybody",
            Access::Addresses(_) => "AnyOfAddresses",
        }
    }

    fn kind(&self) -> AccessType {
        match self {
            Access::Nobody => AccessType::Nobody,
            Access::Everybody => AccessType::Everybody,
            Access::Addresses(_) => AccessType::AnyOfAddresses,
        }
    }

    fn addresses(&self) -> Vec<String> {
        match self {
            Access::Addresses(addresses) => addresses.clone(),
            _ => Vec::new(),
        }
    }
}

impl std::str::FromStr for Access {
    type Err = ClientError;

    /// `nobody`, `everybody`, or addresses with commas between.
    fn from_str(text: &str) -> Result<Self, ClientError> {
        match text {
            "nobody" => Ok(Access::Nobody),
            "everybody" => Ok(Access::Everybody),
            list => {
                let addresses: Result<Vec<String>, ClientError> =
                    list.split(',').map(|one| address(one).map(String::from)).collect();
                Ok(Access::Addresses(addresses?))
            }
        }
    }
}

/// A proposal to the chain's governance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Who proposes.
    pub proposer: String,
    /// What is done if it passes; the sender of each is the governance module.
    pub messages: Vec<Msg>,
    /// The first deposit.
    pub deposit: Vec<Coin>,
    /// One line.
    pub title: String,
    /// What it is about.
    pub summary: String,
    /// Asks for the shorter vote with the higher threshold.
    pub expedited: bool,
}

/// One message of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Msg {
    /// Stores code: a contract, a model, a shard or a manifest.
    StoreCode {
        sender: String,
        /// The module, gzipped or not.
        wasm: Vec<u8>,
        /// None: what the chain takes where nothing is said.
        instantiate: Option<Access>,
    },
    /// Makes a contract of a code.
    Instantiate {
        sender: String,
        admin: Option<String>,
        code_id: u64,
        label: String,
        msg: Json,
        funds: Vec<Coin>,
    },
    /// Calls a contract.
    Execute {
        sender: String,
        contract: String,
        msg: Json,
        funds: Vec<Coin>,
    },
    /// Asks the chain's governance.
    Propose(Proposal),
    /// Any other message.
    Any(Any),
}

impl Msg {
    /// The message as it goes into a transaction.
    pub fn to_any(&self) -> Any {
        match self {
            Msg::StoreCode {
                sender,
                wasm,
                instantiate,
            } => pack(&MsgStoreCode {
                sender: sender.clone(),
                wasm_byte_code: wasm.clone(),
                instantiate_permission: instantiate.as_ref().map(|access| AccessConfig {
                    permission: access.kind().into(),
                    addresses: access.addresses(),
                }),
            }),
            Msg::Instantiate {
                sender,
                admin,
                code_id,
                label,
                msg,
                funds,
            } => pack(&MsgInstantiateContract {
                sender: sender.clone(),
                admin: admin.clone().unwrap_or_default(),
                code_id: *code_id,
                label: label.clone(),
                msg: msg.0.clone(),
                funds: funds.iter().cloned().map(Into::into).collect(),
            }),
            Msg::Execute {
                sender,
                contract,
                msg,
                funds,
            } => pack(&MsgExecuteContract {
                sender: sender.clone(),
                contract: contract.clone(),
                msg: msg.0.clone(),
                funds: funds.iter().cloned().map(Into::into).collect(),
            }),
            Msg::Propose(proposal) => pack(&MsgSubmitProposal {
                messages: proposal.messages.iter().map(Msg::to_any).collect(),
                initial_deposit: proposal.deposit.iter().cloned().map(Into::into).collect(),
                proposer: proposal.proposer.clone(),
                metadata: String::new(),
                title: proposal.title.clone(),
                summary: proposal.summary.clone(),
                expedited: proposal.expedited,
            }),
            Msg::Any(any) => any.clone(),
        }
    }

    /// The message in the JSON that wallets and the chain's own tools read.
    pub fn to_json(&self) -> Result<Value, ClientError> {
        Ok(match self {
            Msg::StoreCode {
                sender,
                wasm,
                instantiate,
            } => json!({
                "@type": type_url::<MsgStoreCode>(),
                "sender": sender,
                "wasm_byte_code": BASE64_STANDARD.encode(wasm),
                "instantiate_permission": instantiate.as_ref().map(|access| json!({
                    "permission": access.name(), "addresses": access.addresses(),
                })),
            }),
            Msg::Instantiate {
                sender,
                admin,
                code_id,
                label,
                msg,
                funds,
            } => json!({
                "@type": type_url::<MsgInstantiateContract>(),
                "sender": sender,
                "admin": admin.as_deref().unwrap_or_default(),
                "code_id": code_id.to_string(),
                "label": label,
                "msg": msg.value()?,
                "funds": funds,
            }),
            Msg::Execute {
                sender,
                contract,
                msg,
                funds,
            } => json!({
                "@type": type_url::<MsgExecuteContract>(),
                "sender": sender,
                "contract": contract,
                "msg": msg.value()?,
                "funds": funds,
            }),
            Msg::Propose(proposal) => json!({
                "@type": type_url::<MsgSubmitProposal>(),
                "messages": proposal.messages.iter().map(Msg::to_json).collect::<Result<Vec<_>, _>>()?,
                "initial_deposit": proposal.deposit,
                "proposer": proposal.proposer,
                "metadata": "",
                "title": proposal.title,
                "summary": proposal.summary,
                "expedited": proposal.expedited,
            }),
            Msg::Any(any) => return Err(ClientError::NoJson(any.type_url.clone())),
        })
    }

    /// Bytes of code in it that gas is paid for: unpacked where they are stored, as they are where they wait for a vote.
    pub(crate) fn priced_bytes(&self) -> u64 {
        match self {
            Msg::StoreCode { wasm, .. } => unpacked_bytes(wasm).max(wasm.len() as u64),
            Msg::Propose(proposal) => proposal.messages.iter().map(Msg::travelling_bytes).sum(),
            _ => 0,
        }
    }

    /// Bytes of code in it as they are sent.
    fn travelling_bytes(&self) -> u64 {
        match self {
            Msg::StoreCode { wasm, .. } => wasm.len() as u64,
            _ => 0,
        }
    }

    /// The same message with another module in the place of its code, if it has one.
    pub(crate) fn with_code(&self, module: &[u8]) -> Msg {
        let mut other = match self {
            // Without the copy of what is replaced.
            Msg::StoreCode {
                sender, instantiate, ..
            } => {
                return Msg::StoreCode {
                    sender: sender.clone(),
                    wasm: module.to_vec(),
                    instantiate: instantiate.clone(),
                }
            }
            other => other.clone(),
        };
        if let Msg::Propose(proposal) = &mut other {
            for message in &mut proposal.messages {
                *message = message.with_code(module);
            }
        }
        other
    }
}

/// The size that a gzip file names at its end; 0 for what is none.
fn unpacked_bytes(file: &[u8]) -> u64 {
    match (file.starts_with(&GZIP), file.last_chunk::<4>()) {
        (true, Some(end)) => u32::from_le_bytes(*end).into(),
        _ => 0,
    }
}

fn pack<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: type_url::<M>(),
        value: message.encode_to_vec(),
    }
}

fn type_url<M: Name>() -> String {
    format!("/{}", M::full_name())
}

/// The governance module's account: whose name proposals act in.
pub fn governance(prefix: &str) -> Result<String, ClientError> {
    let hash = Sha256::digest(b"gov");
    let wrong = || input("the bech32 prefix", prefix, "it is none");
    if !is_prefix(prefix) {
        return Err(wrong());
    }
    let address = AccountId::new(prefix, hash.get(..20).unwrap_or_default()).map_err(|_| wrong())?;
    Ok(address.into())
}

/// A bech32 address, checked for its checksum.
pub fn address(text: &str) -> Result<&str, ClientError> {
    let parsed = text.parse::<AccountId>();
    match parsed {
        Ok(id) if id.as_ref() == text => Ok(text),
        _ => Err(input(
            "the address",
            text,
            "it is no bech32 address; is a character missing?",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "wasm19rl4cm2hmr8afy4kldpxz3fka4jguq0a5m7df8";

    #[test]
    fn the_governance_account_is_the_one_of_the_sdk() {
        // Every chain with this prefix has it: authtypes.NewModuleAddress("gov").
        assert_eq!(
            governance("cosmos").unwrap(),
            "cosmos10d07y265gmmuvt4z0w9aw880jnsr700j6zn9kn"
        );
        assert_eq!(
            governance("wasm").unwrap(),
            "wasm10d07y265gmmuvt4z0w9aw880jnsr700js7zslc"
        );
        assert!(governance("W!").is_err());
    }

    #[test]
    fn messages_must_be_json() {
        assert_eq!(Json::new(r#"{"a":1}"#).unwrap().as_bytes(), br#"{"a":1}"#);
        for wrong in ["", "{", "{}x", "a"] {
            assert!(Json::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_that_would_change_are_not_written() {
        for (text, exact) in [
            (r#"{"a":[18446744073709551615,-1]}"#, true),
            (r#"{"a":[18446744073709551616]}"#, false),
            (r#"{"a":{"b":0.1}}"#, false),
        ] {
            assert_eq!(Json::new(text).unwrap().value().is_ok(), exact, "{text}");
        }
    }

    #[test]
    fn access_is_a_word_or_addresses() {
        assert_eq!("nobody".parse::<Access>().unwrap(), Access::Nobody);
        assert_eq!("everybody".parse::<Access>().unwrap().name(), "Everybody");
        let governance = governance("wasm").unwrap();
        let two = format!("{governance},{governance}");
        assert_eq!(two.parse::<Access>().unwrap().addresses().len(), 2);
        for wrong in ["", "everyone", ALICE.trim_end_matches('8'), "wasm1,"] {
            assert!(wrong.parse::<Access>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_proposal_holds_its_messages_and_can_be_probed_with_other_code() {
        let store = Msg::StoreCode {
            sender: "g".into(),
            wasm: vec![1; 1000],
            instantiate: Some(Access::Nobody),
        };
        let proposal = Msg::Propose(Proposal {
            proposer: "p".into(),
            messages: vec![store],
            deposit: vec![],
            title: "t".into(),
            summary: "s".into(),
            expedited: false,
        });
        assert_eq!(proposal.priced_bytes(), 1000);
        assert_eq!(proposal.with_code(b"12").priced_bytes(), 2);
        let any = proposal.to_any();
        assert_eq!(any.type_url, "/cosmos.gov.v1.MsgSubmitProposal");
        let back = MsgSubmitProposal::decode(any.value.as_slice()).unwrap();
        let inner = MsgStoreCode::decode(back.messages[0].value.as_slice()).unwrap();
        assert_eq!((inner.sender.as_str(), inner.wasm_byte_code.len()), ("g", 1000));
        assert_eq!(
            inner.instantiate_permission.unwrap().permission,
            AccessType::Nobody as i32
        );
        let json = proposal.to_json().unwrap();
        assert_eq!(json["messages"][0]["instantiate_permission"]["permission"], "Nobody");
    }
}
