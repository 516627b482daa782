//! The bytes and the JSON of transactions, against what wasmd itself makes of them.

use aiinference_client::{
    tx::{self, Signer},
    Access, Coin, Fee, Json, Key, Msg, Proposal, DEFAULT_PATH,
};
use base64::prelude::{Engine as _, BASE64_STANDARD};
use serde_json::{json, Value};

/// BIP-39's first test vector, a key that everybody knows.
const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
const SENDER: &str = "wasm19rl4cm2hmr8afy4kldpxz3fka4jguq0akuugk7";
const GOVERNANCE: &str = "wasm10d07y265gmmuvt4z0w9aw880jnsr700js7zslc";

/// `wasmd tx sign --offline -a 3 -s 9 --chain-id vector-1 --sign-mode direct` of [`unsigned_json`] with that key, then
/// `wasmd tx encode`, by wasmd v0.61.14.
const SIGNED_BY_WASMD: &str = "\
Ct4ECp8BCiQvY29zbXdhc20ud2FzbS52MS5Nc2dFeGVjdXRlQ29udHJhY3QSdword2FzbTE5cmw0Y20yaG1yOGFmeTRrbGRweHozZmthNGpndX\
EwYWt1dWdrNxIrd2FzbTEwZDA3eTI2NWdtbXV2dDR6MHc5YXc4ODBqbnNyNzAwanM3enNsYxoPeyJhZGQiOnsibiI6MX19KgoKBXN0YWtlEgE1\
CoYBCh4vY29zbXdhc20ud2FzbS52MS5Nc2dTdG9yZUNvZGUSZAord2FzbTE5cmw0Y20yaG1yOGFmeTRrbGRweHozZmthNGpndXEwYWt1dWdrNx\
IEAGFzbSovCAQaK3dhc20xMGQwN3kyNjVnbW11dnQ0ejB3OWF3ODgwam5zcjcwMGpzN3pzbGMKZgooL2Nvc213YXNtLndhc20udjEuTXNnSW5z\
dGFudGlhdGVDb250cmFjdBI6Cit3YXNtMTlybDRjbTJobXI4YWZ5NGtsZHB4ejNma2E0amd1cTBha3V1Z2s3GAciBXNldmVuKgJ7fQrCAQogL2\
Nvc21vcy5nb3YudjEuTXNnU3VibWl0UHJvcG9zYWwSnQEKWQoeL2Nvc213YXNtLndhc20udjEuTXNnU3RvcmVDb2RlEjcKK3dhc20xMGQwN3ky\
NjVnbW11dnQ0ejB3OWF3ODgwam5zcjcwMGpzN3pzbGMSBABhc20qAggBEgsKBXN0YWtlEgIxMBord2FzbTE5cmw0Y20yaG1yOGFmeTRrbGRweH\
ozZmthNGpndXEwYWt1dWdrNyoBdDIBczgBEgRub3RlEmYKUApGCh8vY29zbW9zLmNyeXB0by5zZWNwMjU2azEuUHViS2V5EiMKIQJPTirZnDTW\
C5umKDyUMahBivhnMhKWH5ene2N3/NBbYhIECgIIARgJEhIKDAoFc3Rha2USAzUwMBDAmgwaQDb/x/Y5bwDLSPXxm0k/B01t0MhCjDv54ZLVd7\
AHq/rBeMG1zim+b97/6kLRe7BK841+jIeFY7JPZOx0dLJQy5c=";

fn coin(amount: u128) -> Coin {
    Coin {
        denom: "stake".into(),
        amount,
    }
}

/// One message of each kind.
fn messages() -> Vec<Msg> {
    let store = |sender: &str, access| Msg::StoreCode {
        sender: sender.into(),
        wasm: b"\0asm".to_vec(),
        instantiate: Some(access),
    };
    vec![
        Msg::Execute {
            sender: SENDER.into(),
            contract: GOVERNANCE.into(),
            msg: Json::new(r#"{"add":{"n":1}}"#).unwrap(),
            funds: vec![coin(5)],
        },
        store(SENDER, Access::Addresses(vec![GOVERNANCE.into()])),
        Msg::Instantiate {
            sender: SENDER.into(),
            admin: None,
            code_id: 7,
            label: "seven".into(),
            msg: Json::new("{}").unwrap(),
            funds: vec![],
        },
        Msg::Propose(Proposal {
            proposer: SENDER.into(),
            messages: vec![store(GOVERNANCE, Access::Nobody)],
            deposit: vec![coin(10)],
            title: "t".into(),
            summary: "s".into(),
            expedited: true,
        }),
    ]
}

fn fee() -> Fee {
    Fee {
        gas: 200_000,
        amount: vec![coin(500)],
    }
}

/// What wasmd was given to sign.
fn unsigned_json() -> Value {
    json!({
        "body": {
            "messages": [
                {
                    "@type": "/cosmwasm.wasm.v1.MsgExecuteContract", "sender": SENDER, "contract": GOVERNANCE,
                    "msg": { "add": { "n": 1 } }, "funds": [{ "denom": "stake", "amount": "5" }],
                },
                {
                    "@type": "/cosmwasm.wasm.v1.MsgStoreCode", "sender": SENDER, "wasm_byte_code": "AGFzbQ==",
                    "instantiate_permission": { "permission": "AnyOfAddresses", "addresses": [GOVERNANCE] },
                },
                {
                    "@type": "/cosmwasm.wasm.v1.MsgInstantiateContract", "sender": SENDER, "admin": "",
                    "code_id": "7", "label": "seven", "msg": {}, "funds": [],
                },
                {
                    "@type": "/cosmos.gov.v1.MsgSubmitProposal",
                    "messages": [{
                        "@type": "/cosmwasm.wasm.v1.MsgStoreCode", "sender": GOVERNANCE, "wasm_byte_code": "AGFzbQ==",
                        "instantiate_permission": { "permission": "Nobody", "addresses": [] },
                    }],
                    "initial_deposit": [{ "denom": "stake", "amount": "10" }], "proposer": SENDER, "metadata": "",
                    "title": "t", "summary": "s", "expedited": true,
                },
            ],
            "memo": "note", "timeout_height": "0", "extension_options": [], "non_critical_extension_options": [],
        },
        "auth_info": {
            "signer_infos": [],
            "fee": {
                "amount": [{ "denom": "stake", "amount": "500" }], "gas_limit": "200000", "payer": "", "granter": "",
            },
            "tip": null,
        },
        "signatures": [],
    })
}

#[test]
fn a_signed_transaction_is_byte_for_byte_the_one_that_wasmd_signs() {
    let key = Key::from_mnemonic(WORDS, DEFAULT_PATH).unwrap();
    assert_eq!(key.address("wasm").unwrap().as_ref(), SENDER);
    let signer = Signer {
        chain_id: "vector-1",
        account_number: 3,
        sequence: 9,
    };
    let signed = tx::signed(&messages(), "note", &fee(), signer, &key).unwrap();
    assert_eq!(BASE64_STANDARD.encode(&signed), SIGNED_BY_WASMD);
    // Everything that is signed changes the signature.
    let other = |signer| tx::signed(&messages(), "note", &fee(), signer, &key).unwrap();
    let others = [
        other(Signer {
            chain_id: "vector-2",
            ..signer
        }),
        other(Signer {
            account_number: 4,
            ..signer
        }),
        other(Signer { sequence: 10, ..signer }),
    ];
    for other in others {
        assert_ne!(other[other.len() - 64..], signed[signed.len() - 64..]);
    }
}

#[test]
fn an_unsigned_transaction_is_the_json_that_wasmd_signs() {
    assert_eq!(tx::unsigned(&messages(), "note", &fee()).unwrap(), unsigned_json());
}

#[test]
fn a_transaction_to_simulate_has_the_size_of_the_signed_one() {
    let key = Key::from_mnemonic(WORDS, DEFAULT_PATH).unwrap();
    let signer = Signer {
        chain_id: "vector-1",
        account_number: 3,
        sequence: 9,
    };
    let signed = tx::signed(&messages(), "note", &fee(), signer, &key).unwrap();
    let tried = tx::to_simulate(&messages(), "note", &fee(), Some(key.public_key().to_bytes()), 9);
    assert_eq!(tried.len(), signed.len());
    assert_eq!(tried[..tried.len() - 64], signed[..signed.len() - 64]);
}

#[test]
fn the_hash_of_a_transaction_is_sha256_in_capitals() {
    let empty = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
    assert_eq!(tx::hash(b""), empty);
}

#[test]
fn messages_of_unknown_types_are_not_written_unsigned() {
    let any = Msg::Any(cosmrs::Any {
        type_url: "/x.y.Z".into(),
        value: vec![1],
    });
    let error = tx::unsigned(&[any], "", &fee()).unwrap_err();
    assert!(error.to_string().contains("/x.y.Z"), "{error}");
}
