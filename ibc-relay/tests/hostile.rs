//! Answers of a node that lies: recorded ones of a real chain, and the same spoiled.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    thread,
    time::Duration,
};

use aiinference_client::{Key, DEFAULT_PATH};
use aiinference_relay::{
    chain::Chain,
    config::Config,
    light::{verify, Headers, Rules, Trusted},
    packet::{End, PacketEvent},
    proof::ProofError,
    proto::Message,
    wallet::Wallet,
    watch::Watched,
    RelayError,
};
use base64::prelude::{Engine as _, BASE64_STANDARD};
use cosmrs::proto::cosmos::auth::v1beta1::{BaseAccount, Bech32PrefixResponse, QueryAccountInfoResponse};
use proptest::prelude::*;
use serde_json::{json, Value};
use tendermint::{block::signed_header::SignedHeader, trust_threshold::TrustThresholdFraction, validator::Set, Time};

fn recorded(name: &str) -> Value {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// A node that answers what it is told to: a method and its parameters give a result, or bytes as they are.
enum Reply {
    Result(Value),
    Raw(Vec<u8>),
}

fn node(answer: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static) -> Chain {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || serve(stream, &*answer));
        }
    });
    let text = format!("[[chains]]\nid = \"provider-1\"\nrpc = [\"{url}\"]\nkey_env = \"K\"\ngas_price = \"0stake\"\n");
    Chain::new(
        Config::parse(&text, PathBuf::new())
            .unwrap()
            .chain("provider-1")
            .unwrap(),
    )
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&str, &Value) -> Reply) -> Option<()> {
    loop {
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).ok()?;
            request.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&request).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
        let mut body = vec![0; length.trim().parse().ok()?];
        stream.read_exact(&mut body).ok()?;
        let body: Value = serde_json::from_slice(&body).ok()?;
        let reply = match answer(body["method"].as_str()?, &body["params"]) {
            Reply::Result(result) => json!({"jsonrpc": "2.0", "id": body["id"], "result": result})
                .to_string()
                .into_bytes(),
            Reply::Raw(bytes) => bytes,
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            reply.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(&reply).ok()?;
    }
}

/// The recorded node, with one answer changed.
fn changed(method: &'static str, change: impl Fn(&mut Value) + Send + Sync + 'static) -> Chain {
    let data = recorded("provider.json");
    node(move |asked, params| {
        let mut result = match asked {
            "status" => data["status"].clone(),
            "commit" if params["height"].as_str() == Some(data["trusted"].to_string().as_str()) => {
                data["trusted_commit"].clone()
            }
            "commit" => data["commit"].clone(),
            "validators" => data["validators"].clone(),
            _ => data["present"].clone(),
        };
        if asked == method {
            change(&mut result);
        }
        Reply::Result(result)
    })
}

fn root(data: &Value) -> Vec<u8> {
    hex(data["commit"]["signed_header"]["header"]["app_hash"].as_str().unwrap())
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

fn height(data: &Value) -> u64 {
    data["height"].as_u64().unwrap()
}

fn key(data: &Value) -> String {
    data["present_key"].as_str().unwrap().into()
}

#[tokio::test]
async fn a_true_proof_holds_for_its_key_value_and_root_only() {
    let data = recorded("provider.json");
    let (root, key) = (root(&data), key(&data));
    let chain = changed("", |_| {});
    let proven = chain.proven(&key, height(&data)).await.unwrap();
    chain.check(&proven, &root, &key, Some(&proven.value)).unwrap();
    let wrong = |error: Result<(), RelayError>| match error {
        Err(RelayError::Proof { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    let mut other_root = root.clone();
    other_root[0] ^= 1;
    assert_eq!(
        wrong(chain.check(&proven, &other_root, &key, Some(&proven.value))),
        ProofError::Root
    );
    assert_eq!(
        wrong(chain.check(&proven, &[], &key, Some(&proven.value))),
        ProofError::Root
    );
    assert_eq!(
        wrong(chain.check(&proven, &root, &key, Some(b"other"))),
        ProofError::Root
    );
    assert_eq!(
        wrong(chain.check(&proven, &root, "channelEnds/other", Some(&proven.value))),
        ProofError::Root
    );
    assert_eq!(
        wrong(chain.check(&proven, &root, &key, None)),
        ProofError::Shape,
        "presence is no absence"
    );
}

#[tokio::test]
async fn a_proof_of_absence_holds_for_what_is_absent_only() {
    let data = recorded("provider.json");
    let (root, absent) = (root(&data), data["absent"].clone());
    let chain = node(move |method, _| {
        Reply::Result(match method {
            "status" => recorded("provider.json")["status"].clone(),
            _ => absent.clone(),
        })
    });
    let missing = data["absent_key"].as_str().unwrap();
    let proven = chain.proven(missing, height(&data)).await.unwrap();
    assert!(proven.value.is_empty());
    chain.check(&proven, &root, missing, None).unwrap();
    let present = key(&data);
    assert!(
        chain.check(&proven, &root, &present, None).is_err(),
        "what is there is not absent"
    );
    assert!(
        chain.check(&proven, &root, missing, Some(b"")).is_err(),
        "absence is no presence"
    );
}

#[tokio::test]
async fn proofs_that_are_none_are_typed_errors() {
    type Change = fn(&mut Value);
    let spoil: [(&str, Change); 8] = [
        ("there is none", |answer| answer["response"]["proofOps"] = Value::Null),
        ("0 steps", |answer| answer["response"]["proofOps"]["ops"] = json!([])),
        ("1 steps", |answer| {
            drop(answer["response"]["proofOps"]["ops"].as_array_mut().unwrap().pop())
        }),
        ("is of kind", |answer| {
            answer["response"]["proofOps"]["ops"][0]["type"] = "\u{1b}[2J".into()
        }),
        ("no ICS-23 proof", |answer| {
            answer["response"]["proofOps"]["ops"][0]["data"] = "/////w==".into()
        }),
        ("are above", |answer| {
            answer["response"]["proofOps"]["ops"][0]["data"] = "A".repeat(400_000).into();
        }),
        ("of height", |answer| answer["response"]["height"] = "1".into()),
        ("code 9", |answer| {
            answer["response"]["code"] = 9.into();
            answer["response"]["log"] = "no\u{1b}[31m such".into();
        }),
    ];
    let data = recorded("provider.json");
    for (expected, change) in spoil {
        let chain = changed("abci_query", change);
        let error = chain.proven(&key(&data), height(&data)).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }
}

#[tokio::test]
async fn truncated_and_oversized_answers_are_typed_errors() {
    let data = recorded("provider.json");
    let status = json!({"jsonrpc": "2.0", "id": 1, "result": data["status"]})
        .to_string()
        .into_bytes();
    let whole = json!({"jsonrpc": "2.0", "id": 1, "result": data["present"]})
        .to_string()
        .into_bytes();
    let mut replies: Vec<Vec<u8>> = (0..whole.len()).step_by(97).map(|end| whole[..end].to_vec()).collect();
    replies.extend([
        b"null".to_vec(),
        b"[]".to_vec(),
        vec![0xff; 64],
        vec![b'['; 100_000],
        vec![b'{'; 17 << 20],
    ]);
    for reply in replies {
        let (status, length) = (status.clone(), reply.len());
        let chain = node(move |method, _| {
            Reply::Raw(if method == "status" {
                status.clone()
            } else {
                reply.clone()
            })
        });
        let error = chain.proven(&key(&data), height(&data)).await.unwrap_err();
        assert!(error.is_nodes_fault(), "{length} bytes: {error}");
    }
}

#[tokio::test]
async fn a_node_of_another_chain_is_refused_before_anything_else() {
    let chain = changed("status", |answer| answer["node_info"]["network"] = "other-7".into());
    let error = chain.tip().await.unwrap_err();
    assert!(error.needs_somebody(), "{error}");
    assert!(error.to_string().contains("other-7"), "{error}");
}

#[tokio::test]
async fn headers_of_other_blocks_and_chains_are_refused() {
    let data = recorded("provider.json");
    let height = height(&data) + 1;
    changed("", |_| {}).signed_header(height).await.unwrap();
    for (field, value) in [("height", "7"), ("chain_id", "consumer-1")] {
        let chain = changed("commit", move |answer| {
            answer["signed_header"]["header"][field] = value.into()
        });
        assert!(
            chain.signed_header(height).await.unwrap_err().is_nodes_fault(),
            "{field}"
        );
    }
    assert!(changed("", |_| {}).signed_header(u64::MAX).await.is_err());
}

#[tokio::test]
async fn validators_that_do_not_have_the_headers_hash_are_refused() {
    let data = recorded("provider.json");
    let height = height(&data) + 1;
    let hash = header(&data["commit"]).header.validators_hash;
    let headers = |chain| Headers::new(Arc::new(chain));
    headers(changed("", |_| {})).validators(height, hash).await.unwrap();
    type Change = fn(&mut Value);
    let spoil: [Change; 5] = [
        |answer| answer["validators"][0]["voting_power"] = "7".into(),
        |answer| answer["validators"] = json!([]),
        |answer| answer["total"] = "1000000000".into(),
        |answer| answer["total"] = "-1".into(),
        |answer| {
            for one in answer["validators"].as_array_mut().unwrap() {
                one["voting_power"] = i64::MAX.to_string().into();
            }
        },
    ];
    for (index, change) in spoil.into_iter().enumerate() {
        let error = headers(changed("validators", change))
            .validators(height, hash)
            .await
            .unwrap_err();
        assert!(error.is_nodes_fault(), "{index}: {error}");
    }
}

fn header(commit: &Value) -> SignedHeader {
    serde_json::from_value(commit["signed_header"].clone()).unwrap()
}

fn set(validators: &Value) -> Set {
    let infos: Vec<tendermint::validator::Info> = serde_json::from_value(validators["validators"].clone()).unwrap();
    Set::new(infos.clone(), infos.first().cloned())
}

fn trusted(data: &Value) -> Trusted {
    let header = header(&data["trusted_commit"]).header;
    Trusted {
        height: header.height.value(),
        time: header.time,
        next_validators_hash: header.next_validators_hash,
        root: header.app_hash.as_bytes().to_vec(),
    }
}

const RULES: Rules = Rules {
    trust_level: TrustThresholdFraction::ONE_THIRD,
    trusting_period: Duration::from_secs(1000),
    clock_drift: Duration::from_secs(10),
};

/// Verifies a changed copy of the recorded header.
fn verified(change: impl Fn(&mut Value), at: Duration) -> Result<(), String> {
    let mut data = recorded("provider.json");
    let now = (header(&data["commit"]).header.time + at).unwrap();
    change(&mut data);
    let changed: SignedHeader =
        serde_json::from_value(data["commit"]["signed_header"].clone()).map_err(|error| error.to_string())?;
    let sets = [set(&data["validators"]), set(&data["trusted_validators"])];
    verify(&changed, &sets[0], &trusted(&data), &sets[1], &RULES, now)
}

#[test]
fn a_true_header_follows_from_the_trusted_one() {
    verified(|_| {}, Duration::from_secs(1)).unwrap();
}

#[test]
fn forged_and_foreign_headers_are_refused() {
    let second = Duration::from_secs(1);
    let foreign = recorded("consumer.json");
    type Change<'a> = Box<dyn Fn(&mut Value) + 'a>;
    let forgeries: Vec<(&str, Change)> = vec![
        (
            "another state",
            Box::new(|data| {
                data["commit"]["signed_header"]["header"]["app_hash"] = "00".repeat(32).into();
            }),
        ),
        (
            "another time",
            Box::new(|data| {
                data["commit"]["signed_header"]["header"]["time"] = "2026-01-01T00:00:00Z".into();
            }),
        ),
        (
            "no signatures",
            Box::new(|data| data["commit"]["signed_header"]["commit"]["signatures"] = json!([])),
        ),
        (
            "spoiled signatures",
            Box::new(|data| {
                for one in data["commit"]["signed_header"]["commit"]["signatures"]
                    .as_array_mut()
                    .unwrap()
                {
                    one["signature"] = format!("{}==", "A".repeat(86)).into();
                }
            }),
        ),
        (
            "absent signers",
            Box::new(|data| {
                for one in data["commit"]["signed_header"]["commit"]["signatures"]
                    .as_array_mut()
                    .unwrap()
                {
                    *one = json!({"block_id_flag": 1, "validator_address": "", "timestamp": "0001-01-01T00:00:00Z", "signature": null});
                }
            }),
        ),
        (
            "another chain's header",
            Box::new(|data| data["commit"] = foreign["commit"].clone()),
        ),
        (
            "another chain's header and validators",
            Box::new(|data| {
                data["commit"] = foreign["commit"].clone();
                data["validators"] = foreign["validators"].clone();
            }),
        ),
        (
            "another chain, trusted too",
            Box::new(|data| {
                data["commit"] = foreign["commit"].clone();
                data["validators"] = foreign["validators"].clone();
                data["trusted_validators"] = foreign["validators"].clone();
            }),
        ),
        (
            "the trusted header again",
            Box::new(|data| data["commit"] = data["trusted_commit"].clone()),
        ),
        (
            "validators that nobody trusts",
            Box::new(|data| data["trusted_validators"] = foreign["validators"].clone()),
        ),
    ];
    for (what, change) in forgeries {
        let result = verified(change, second);
        assert!(result.is_err(), "{what} was taken");
    }
}

#[test]
fn headers_from_the_future_and_expired_trust_are_refused() {
    assert!(
        verified(|_| {}, Duration::from_secs(2000)).is_err(),
        "the trusting period is over"
    );
    let data = recorded("provider.json");
    let early: Time = (header(&data["commit"]).header.time - Duration::from_secs(60)).unwrap();
    let sets = [set(&data["validators"]), set(&data["trusted_validators"])];
    let result = verify(
        &header(&data["commit"]),
        &sets[0],
        &trusted(&data),
        &sets[1],
        &RULES,
        early,
    );
    assert!(result.is_err(), "a minute from now");
}

/// A node of which every block is the recorded one with another height; the last one is as high as it says.
fn tall(last: Arc<AtomicU64>) -> Chain {
    let data = recorded("provider.json");
    node(move |asked, params| {
        Reply::Result(match asked {
            "status" => data["status"].clone(),
            "abci_info" => json!({"response": {
                "data": "", "version": "", "app_version": "0", "last_block_app_hash": "",
                "last_block_height": last.load(Ordering::Relaxed).to_string(),
            }}),
            "commit" => {
                let mut commit = data["commit"].clone();
                commit["signed_header"]["header"]["height"] = params["height"].clone();
                commit["signed_header"]["commit"]["height"] = params["height"].clone();
                commit
            }
            "block_results" => results(params["height"].clone(), json!([])),
            _ => Value::Null,
        })
    })
}

fn results(height: Value, events: Value) -> Value {
    json!({
        "height": height, "txs_results": null, "finalize_block_events": events, "begin_block_events": null,
        "end_block_events": null, "validator_updates": null, "consensus_param_updates": null, "app_hash": "",
    })
}

#[tokio::test]
async fn a_height_that_is_none_is_believed_for_a_while_only() {
    let last = Arc::new(AtomicU64::new(1_000_000));
    let watched = Watched::start(Arc::new(Headers::new(Arc::new(tall(last.clone())))));
    let mut heights = watched.height();
    let mut blocks = watched.blocks();
    let mut reaches = async |height: u64| {
        let reached = heights.wait_for(|seen| *seen == height);
        let reached = tokio::time::timeout(Duration::from_secs(60), reached).await;
        reached.is_ok_and(|seen| seen.is_ok())
    };
    assert!(reaches(1_000_000).await);
    // Another node is asked, which does not lie.
    last.store(3230, Ordering::Relaxed);
    assert!(reaches(3230).await, "without anything else that tells of the lie");
    last.store(2_000_000, Ordering::Relaxed);
    assert!(reaches(2_000_000).await);
    last.store(3231, Ordering::Relaxed);
    watched.doubt();
    assert!(reaches(3231).await, "a header did not verify");
    let mut heard = Vec::new();
    while let Ok(block) = blocks.try_recv() {
        heard.push((block.height, block.gap));
    }
    assert_eq!(
        heard,
        [1_000_000, 3230, 2_000_000, 3231].map(|height| (height, true)),
        "chain state is to be scanned"
    );
}

/// A node that has an account, and refuses to try any transaction with these words.
fn refusing(words: &'static str, asked: Arc<AtomicU64>, address: String) -> Chain {
    let data = recorded("provider.json");
    node(move |method, params| {
        let answer = |value: Vec<u8>, code: u32, log: &str| {
            json!({"response": {
                "code": code, "log": log, "info": "", "index": "0", "key": null, "height": "5",
                "value": BASE64_STANDARD.encode(value), "proofOps": null, "codespace": if code == 0 { "" } else { "sdk" },
            }})
        };
        let path = params["path"].as_str().unwrap_or_default();
        Reply::Result(match path.rsplit('/').next() {
            _ if method == "status" => data["status"].clone(),
            Some("Bech32Prefix") => {
                let prefix = Bech32PrefixResponse {
                    bech32_prefix: "wasm".into(),
                };
                answer(prefix.encode_to_vec(), 0, "")
            }
            Some("AccountInfo") => {
                let info = BaseAccount {
                    address: address.clone(),
                    account_number: 3,
                    sequence: 6,
                    ..Default::default()
                };
                answer(QueryAccountInfoResponse { info: Some(info) }.encode_to_vec(), 0, "")
            }
            _ => {
                asked.fetch_add(1, Ordering::Relaxed);
                answer(vec![], 6, words)
            }
        })
    })
}

#[tokio::test]
async fn a_contract_cannot_speak_for_the_chain() {
    const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
    let tried = async |words: &'static str| {
        let key = Key::from_mnemonic(WORDS, DEFAULT_PATH).unwrap();
        let asked = Arc::new(AtomicU64::new(0));
        let chain = refusing(words, asked.clone(), key.address("wasm").unwrap().to_string());
        let wallet = Wallet::open(&chain, key).await.unwrap();
        let error = wallet.tried(&chain, &[]).await.unwrap_err();
        (error, asked.load(Ordering::Relaxed))
    };
    let (error, times) =
        tried("rpc error: code = Unknown desc = account sequence mismatch, expected 7, got 6: x").await;
    assert!(times > 1, "signed again with the number that the chain wants: {error}");
    let (error, times) = tried(
        "rpc error: code = Unknown desc = failed to execute message; message index: 1: account sequence mismatch, \
         expected 999, got 6: execute wasm contract failed",
    )
    .await;
    assert_eq!(times, 1, "{error}");
    let (error, _) = tried("rpc error: code = Unknown desc = 0stake is smaller than 5stake: insufficient funds").await;
    assert!(matches!(error, RelayError::Poor { .. }), "{error}");
    let (error, _) =
        tried("rpc error: code = Unknown desc = failed to execute message; message index: 0: insufficient funds: x")
            .await;
    assert!(!error.needs_somebody(), "{error}");
}

#[tokio::test]
async fn a_packet_that_no_transaction_sent_is_found_in_its_block() {
    let data = recorded("provider.json");
    let attributes: Vec<Value> = [
        ("packet_data_hex", "7b7d"),
        ("packet_timeout_height", "0-0"),
        ("packet_timeout_timestamp", "1000"),
        ("packet_sequence", "5"),
        ("packet_src_port", "transfer"),
        ("packet_src_channel", "channel-0"),
        ("packet_dst_port", "transfer"),
        ("packet_dst_channel", "channel-1"),
    ]
    .iter()
    .map(|(key, value)| json!({"key": key, "value": value, "index": true}))
    .collect();
    let chain = node(move |asked, params| {
        let signed = &data["commit"]["signed_header"];
        Reply::Result(match asked {
            "status" => data["status"].clone(),
            "tx_search" => json!({"txs": [], "total_count": "0"}),
            "block_search" => json!({"total_count": "1", "blocks": [{
                "block_id": signed["commit"]["block_id"],
                "block": {
                    "header": signed["header"], "data": {"txs": []}, "evidence": {"evidence": []},
                    "last_commit": signed["commit"],
                },
            }]}),
            _ => results(
                params["height"].clone(),
                json!([{"type": "send_packet", "attributes": attributes}]),
            ),
        })
    });
    let end = |channel: &str| End {
        port: "transfer".into(),
        channel: channel.into(),
    };
    let (packet, height) = chain.find_sent(&end("channel-0"), 5).await.unwrap();
    assert_eq!(
        (packet.destination, packet.data, height),
        (end("channel-1"), b"{}".to_vec(), 3230)
    );
    let error = chain.find_sent(&end("channel-0"), 6).await.unwrap_err();
    assert!(
        matches!(error, RelayError::NoEvent { .. }),
        "another packet's event: {error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever bytes of a proof are changed, it proves nothing, and nothing panics.
    #[test]
    fn a_spoiled_proof_proves_nothing(step in 0usize..2, at in any::<prop::sample::Index>(), flip in 1u8..) {
        let data = recorded("provider.json");
        let ops = &data["present"]["response"]["proofOps"]["ops"];
        let ops: tendermint::merkle::proof::ProofOps = serde_json::from_value(json!({"ops": ops})).unwrap();
        let mut spoiled = ops.clone();
        let bytes = &mut spoiled.ops[step].data;
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let value = aiinference_relay::proof::decode(Some(ops)).unwrap();
        if let Ok(proof) = aiinference_relay::proof::decode(Some(spoiled)) {
            let stored = base64_of(&data);
            let holds = aiinference_relay::proof::verify_value(&proof, &root(&data), key(&data).as_bytes(), &stored);
            // A change that decodes to the same proof changes nothing.
            prop_assert!(holds.is_err() || proof.encode_to_vec() == value.encode_to_vec(), "{holds:?}");
        }
    }

    #[test]
    fn any_bytes_are_a_proof_or_a_typed_error(a in prop::collection::vec(any::<u8>(), 0..200), b in prop::collection::vec(any::<u8>(), 0..200)) {
        let op = |kind: &str, data: Vec<u8>| tendermint::merkle::proof::ProofOp { field_type: kind.into(), key: vec![], data };
        let ops = tendermint::merkle::proof::ProofOps { ops: vec![op("ics23:iavl", a), op("ics23:simple", b)] };
        if let Ok(proof) = aiinference_relay::proof::decode(Some(ops)) {
            prop_assert!(aiinference_relay::proof::verify_value(&proof, &[1; 32], b"key", b"value").is_err());
            prop_assert!(aiinference_relay::proof::verify_absence(&proof, &[1; 32], b"key").is_err());
        }
    }

    /// Events are read or left, whatever is in them.
    #[test]
    fn any_event_is_read_or_left(
        kind in prop::sample::select(vec!["send_packet", "recv_packet", "write_acknowledgement", "acknowledge_packet", "other"]),
        values in prop::collection::vec(".{0,20}|[0-9a-f]{0,8}|[0-9]{1,20}|[0-9]{1,3}-[0-9]{1,3}", 9),
    ) {
        let names = ["packet_src_port", "packet_src_channel", "packet_dst_port", "packet_dst_channel", "packet_sequence",
            "packet_data_hex", "packet_timeout_height", "packet_timeout_timestamp", "packet_ack_hex"];
        let attributes: Vec<(String, String)> = names.iter().map(|name| name.to_string()).zip(values).collect();
        let event = tendermint::abci::Event::new(kind, attributes);
        if let Some(PacketEvent::Sent(packet)) = PacketEvent::read(&event) {
            prop_assert!(packet.source.port.len() <= 128 && packet.source.port.is_ascii());
        }
    }
}

/// The recorded value.
fn base64_of(data: &Value) -> Vec<u8> {
    let answer: tendermint_rpc::endpoint::abci_query::Response =
        serde_json::from_value(data["present"].clone()).unwrap();
    answer.response.value
}
