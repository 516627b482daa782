//! Nodes that answer what no honest one does. A few lines of HTTP on loopback stand for them.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
    thread,
};

use aiinference_client::{
    upload::{self, PackageError},
    Account, ClientError, Json, Key, Msg, Node, Options,
};
use aiinference_runtime::module;
use base64::prelude::{Engine as _, BASE64_STANDARD};
use cosmrs::proto::{
    cosmos::{
        auth::v1beta1::{BaseAccount, Bech32PrefixResponse, QueryAccountInfoResponse},
        base::{abci::v1beta1::GasInfo, node::v1beta1::ConfigResponse, query::v1beta1::PageResponse},
        tx::v1beta1::SimulateResponse,
    },
    cosmwasm::wasm::v1::{CodeInfoResponse, QueryCodeResponse, QueryCodesResponse},
    traits::Message,
};
use serde_json::{json, Value};
use sha2::{Digest, Sha256};

/// Answers every request by a function from its body to bytes of HTTP, on a port of its own, until the test ends.
fn serve(answer: impl Fn(&Value) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = read_request(&mut stream);
            // A client that has seen enough hangs up.
            let _ = stream.write_all(&answer(&request));
        }
    });
    url
}

fn read_request(stream: &mut TcpStream) -> Value {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length:").map(String::from));
            if body.len() >= length.unwrap().trim().parse().unwrap() {
                return serde_json::from_str(body).unwrap();
            }
        }
        let count = stream.read(&mut chunk).unwrap();
        assert!(count > 0, "the request is cut off");
        bytes.extend_from_slice(&chunk[..count]);
    }
}

fn http(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn result(value: Value) -> Vec<u8> {
    http(
        "200 OK",
        &json!({ "jsonrpc": "2.0", "id": 1, "result": value }).to_string(),
    )
}

fn status() -> Vec<u8> {
    let hash = "0".repeat(64);
    let time = "2026-01-01T00:00:00Z";
    result(json!({
        "node_info": {
            "protocol_version": { "p2p": "8", "block": "11", "app": "0" }, "id": "0".repeat(40),
            "listen_addr": "tcp://127.0.0.1:26656", "network": "hostile-1", "version": "0.38.21", "channels": "40",
            "moniker": "m", "other": { "tx_index": "on", "rpc_address": "tcp://127.0.0.1:26657" },
        },
        "sync_info": {
            "latest_block_hash": hash, "latest_app_hash": hash, "latest_block_height": "7", "latest_block_time": time,
            "earliest_block_hash": hash, "earliest_app_hash": hash, "earliest_block_height": "1",
            "earliest_block_time": time, "catching_up": false,
        },
        "validator_info": {
            "address": "0".repeat(40),
            "pub_key": { "type": "tendermint/PubKeyEd25519", "value": BASE64_STANDARD.encode([7; 32]) },
            "voting_power": "1",
        },
    }))
}

fn query_result(value: &impl Message) -> Vec<u8> {
    result(
        json!({ "response": { "code": 0, "value": BASE64_STANDARD.encode(value.encode_to_vec()), "height": "7", "index": "0" } }),
    )
}

/// A node that is honest about its status, and not about queries.
async fn liar(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Node {
    let url = serve(move |request| match request["method"].as_str().unwrap() {
        "status" => status(),
        _ => answer(request["params"]["path"].as_str().unwrap_or_default()),
    });
    Node::connect(&url, None).await.unwrap()
}

#[tokio::test]
async fn a_node_of_another_chain_is_refused() {
    let url = serve(|_| status());
    let node = Node::connect(&url, Some("hostile-1")).await.unwrap();
    assert_eq!(node.chain_id(), "hostile-1");
    let error = Node::connect(&url, Some("main-1")).await.unwrap_err();
    assert!(matches!(error, ClientError::OtherChain { .. }), "{error}");
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let url = serve(|_| {
        let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec();
        bytes.resize(17 << 20, b' ');
        bytes
    });
    let error = Node::connect(&url, None).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn what_is_no_answer_is_a_typed_error_that_cannot_steer_the_terminal() {
    for (answer, expected) in [
        (http("200 OK", "hello"), "ask another node"),
        (http("200 OK", "{}"), "ask another node"),
        (http("502 Bad Gateway", "<html>\u{1b}[2Jmoved</html>"), "502"),
        (http("302 Found", ""), "302"),
        (
            http(
                "200 OK",
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no \u001b[31m","data":"d"}}"#,
            ),
            "-32603",
        ),
        (b"".to_vec(), "check that it runs"),
    ] {
        let url = serve(move |_| answer.clone());
        let error = Node::connect(&url, None).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains('\u{1b}'), "{error}");
    }
}

#[tokio::test]
async fn a_prefix_that_is_none_is_refused() {
    let node = liar(|_| {
        query_result(&Bech32PrefixResponse {
            bech32_prefix: "Wasm\n1".into(),
        })
    })
    .await;
    let error = node.prefix().await.unwrap_err();
    assert!(matches!(error, ClientError::Answer { .. }), "{error}");
}

#[tokio::test]
async fn another_accounts_facts_are_refused() {
    let node = liar(|_| {
        query_result(&QueryAccountInfoResponse {
            info: Some(BaseAccount {
                address: "wasm1other".into(),
                ..Default::default()
            }),
        })
    })
    .await;
    let error = node.account("wasm1mine").await.unwrap_err();
    assert!(matches!(error, ClientError::Answer { .. }), "{error}");
}

#[tokio::test]
async fn code_whose_bytes_do_not_have_its_checksum_is_refused() {
    for (code_id, checksum_bytes) in [(1, 32), (2, 32), (1, 31)] {
        let node = liar(move |_| {
            query_result(&QueryCodeResponse {
                code_info: Some(CodeInfoResponse {
                    code_id,
                    data_hash: vec![1; checksum_bytes],
                    ..Default::default()
                }),
                data: b"\0asm".to_vec(),
            })
        })
        .await;
        let error = node.code(1).await.unwrap_err();
        assert!(matches!(error, ClientError::Answer { .. }), "{error}");
    }
}

#[tokio::test]
async fn shards_that_hold_more_than_their_manifest_states_are_not_all_fetched() {
    let shard = module::split(&[7; 10_000], 10_000).swap_remove(0);
    let checksum: [u8; 32] = Sha256::digest(&shard).into();
    // A hundred times the same large shard, for a model of ten bytes.
    let manifest = module::manifest(&[7; 10], vec![(2, checksum); 100]);
    let codes = [module::wrap_manifest(&manifest), shard];
    let fetched = Arc::new(AtomicUsize::new(0));
    let count = fetched.clone();
    let node = liar(move |_| {
        let code_id = count.fetch_add(1, Ordering::SeqCst).min(1);
        let data = codes[code_id].clone();
        query_result(&QueryCodeResponse {
            code_info: Some(CodeInfoResponse {
                code_id: code_id as u64 + 1,
                data_hash: Sha256::digest(&data).to_vec(),
                ..Default::default()
            }),
            data,
        })
    })
    .await;
    let error = upload::download(&node, 1, |_, _| ()).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Package(PackageError::Overfull(1))),
        "{error}"
    );
    // Room for 100 envelopes of 1 KiB is room for ten such shards.
    assert_eq!(fetched.load(Ordering::SeqCst), 1 + 11);
}

#[tokio::test]
async fn a_list_that_does_not_end_is_given_up() {
    let node = liar(|_| {
        query_result(&QueryCodesResponse {
            code_infos: vec![],
            pagination: Some(PageResponse {
                next_key: vec![1],
                total: 0,
            }),
        })
    })
    .await;
    let error = node.codes(|_| ()).await.unwrap_err();
    assert!(error.to_string().contains("do not end"), "{error}");
}

#[tokio::test]
async fn codes_out_of_order_are_refused() {
    let code = |code_id| CodeInfoResponse {
        code_id,
        data_hash: vec![0; 32],
        ..Default::default()
    };
    let list = QueryCodesResponse {
        code_infos: vec![code(2), code(2)],
        pagination: None,
    };
    let node = liar(move |_| query_result(&list)).await;
    let error = node.codes(|_| ()).await.unwrap_err();
    assert!(error.to_string().contains("out of order"), "{error}");
}

#[tokio::test]
async fn a_node_cannot_make_an_account_pay_for_gas_that_nothing_uses() {
    let key = || Key::from_hex(&"1".repeat(64)).unwrap();
    let address = key().address("wasm").unwrap().to_string();
    let mine = address.clone();
    let node = liar(move |path| match path.rsplit('/').next().unwrap() {
        "Bech32Prefix" => query_result(&Bech32PrefixResponse {
            bech32_prefix: "wasm".into(),
        }),
        "AccountInfo" => query_result(&QueryAccountInfoResponse {
            info: Some(BaseAccount {
                address: mine.clone(),
                ..Default::default()
            }),
        }),
        "Config" => query_result(&ConfigResponse {
            minimum_gas_price: "1stake".into(),
            ..Default::default()
        }),
        "Simulate" => query_result(&SimulateResponse {
            gas_info: Some(GasInfo {
                gas_wanted: 0,
                gas_used: u64::MAX,
            }),
            result: None,
        }),
        other => panic!("asked for {other}"),
    })
    .await;
    let account = Account::open(&node, key(), Options::default()).await.unwrap();
    let message = Msg::Execute {
        sender: address.clone(),
        contract: address,
        msg: Json::new("{}").unwrap(),
        funds: vec![],
    };
    let error = account.send(&[message]).await.unwrap_err();
    assert!(matches!(error, ClientError::Estimate { .. }), "{error}");
}

#[tokio::test]
async fn a_hash_that_is_none_is_refused_before_asking() {
    let node = liar(|_| panic!("asked")).await;
    for hash in ["", "00", "zz", &"0".repeat(63)] {
        let error = node.transaction(hash).await.unwrap_err();
        assert!(matches!(error, ClientError::Input { .. }), "{error}");
    }
}
