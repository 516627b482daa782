//! The two chains, linked: contracts stored, channels open, credit deposited; and the relayer.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use aiinference_client::{Account, Msg};
use aiinference_localnet::{Localnet, Node};
use aiinference_std::remote::{deposit_memo, Answer, AnswerResult, Ask, ClientMsg, Outcome, Query};
use cosmrs::proto::{
    cosmos::bank::v1beta1::MsgSend,
    traits::{Message, Name},
    Any,
};
use cosmwasm_std::{coin, Binary, CosmosMsg, Decimal, IbcMsg, Timestamp, Uint128, WasmMsg};
use ibc_model_client::msg as client_msg;
use ibc_model_host::msg as host_msg;
use serde_json::json;
use sha2::{Digest, Sha256};
use test_asker::{Noted, Reaction};
use tokio::sync::OnceCell;

use crate::support::*;

/// What the host of the tests asks.
pub const PER_QUERY: u128 = 100;
pub const PER_GIGAGAS: u128 = 1_000;
/// Enough for a query of the small models here.
pub const QUERY_GAS: u64 = 100_000_000_000;
/// Accepts any price that the tests meet.
pub const ANY_PRICE: u128 = 1_000_000;
/// The deposit at the start.
pub const DEPOSIT: u128 = 50_000_000;

static FACTS: OnceCell<Facts> = OnceCell::const_new();

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The answering contract, on the provider chain.
    pub host: String,
    /// The provider's connection to the consumer.
    pub connection: String,
    /// The asking contract on the consumer chain, and its end.
    pub client: String,
    pub client_channel: String,
    /// The contract that asks through it.
    pub asker: String,
    /// The consumer's end of the ICS-20 channel.
    pub transfer: String,
    /// The consumer's coin on the provider chain.
    pub denom: String,
}

pub struct Between {
    pub facts: Facts,
    pub net: Localnet,
    pub provider: Node,
    pub consumer: Node,
    /// An account on each: they stand for anybody.
    pub here: Account,
    pub there: Account,
}

impl Between {
    /// The chains, linked once for all tests.
    pub async fn open() -> Self {
        let net = localnet();
        let provider = validators(&net).swap_remove(0);
        let consumer = stock(&net);
        let here = account(&net, &consumer, "alice").await;
        let there = account(&net, &provider, "alice").await;
        let facts = FACTS
            .get_or_init(|| link(&net, &here, &there, &consumer, &provider))
            .await;
        Between {
            facts: facts.clone(),
            net,
            provider,
            consumer,
            here,
            there,
        }
    }

    /// The asker's credit.
    pub async fn credit(&self) -> u128 {
        self.credit_of(&self.facts.asker).await
    }

    /// The credit of anybody who asks through the same contract.
    pub async fn credit_of(&self, asker: &str) -> u128 {
        let msg = host_msg::QueryMsg::Account {
            account: host_msg::AccountKey {
                asker: asker.into(),
                ..account_key(&self.facts)
            },
        };
        let account: Option<host_msg::Account> = query(&self.provider, &self.facts.host, &msg, None).await.unwrap();
        let credit = account.map(|account| account.credit).unwrap_or_default();
        let mut coins = credit.iter().filter(|coin| coin.denom == self.facts.denom);
        coins.next().map_or(0, |coin| coin.amount.to_string().parse().unwrap())
    }

    /// A question to the asking contract.
    pub fn question(&self, queries: &[Query], reaction: &Reaction) -> Ask {
        let mut ask = Ask::new(&self.facts.client_channel)
            .denom(&self.facts.denom)
            .callback(json_binary(reaction), 1_000_000);
        for query in queries {
            ask = ask.query(query);
        }
        ask
    }

    /// The message that asks.
    pub fn message(&self, question: &Ask) -> CosmosMsg {
        to_contract(&self.facts.client, &ClientMsg::Ask(question.clone()))
    }

    /// Has the asker ask; the question's number.
    pub async fn ask(&self, question: &Ask) -> u64 {
        let included = self.send(vec![self.message(question)]).await.unwrap();
        included
            .attribute("wasm", "id")
            .expect("the event tells the question's number")
            .parse()
            .unwrap()
    }

    /// Has the asker send messages.
    pub async fn send(
        &self,
        messages: Vec<CosmosMsg>,
    ) -> Result<aiinference_client::Included, aiinference_client::ClientError> {
        execute(
            &self.here,
            &self.facts.asker,
            &test_asker::ExecuteMsg::Send { messages },
        )
        .await
    }

    /// What the asker was told of a question, once it was.
    pub async fn told(&self, id: u64) -> Noted {
        self.told_within(id, SOON).await.expect("an answer in time")
    }

    pub async fn told_within(&self, id: u64, limit: Duration) -> Option<Noted> {
        let end = Instant::now() + limit;
        loop {
            let msg = test_asker::QueryMsg::Answer { id };
            // A node that is restarted gives no answer for a while.
            if let Ok(Some(noted)) = query(&self.consumer, &self.facts.asker, &msg, None).await {
                return Some(noted);
            }
            if Instant::now() > end {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The question as the asking contract keeps it.
    pub async fn kept(&self, id: u64) -> Option<client_msg::QuestionResponse> {
        let msg = client_msg::QueryMsg::Question { id };
        query(&self.consumer, &self.facts.client, &msg, None).await.unwrap()
    }

    /// The outcome of a question that was asked without a callback, once it is there.
    pub async fn kept_outcome(&self, id: u64) -> Outcome {
        let end = Instant::now() + SOON;
        loop {
            if let Some(outcome) = self.kept(id).await.expect("it is not told").result {
                break outcome;
            }
            assert!(Instant::now() < end, "no answer");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Packets of the asking contract without an answer.
    pub async fn pending(&self) -> Vec<client_msg::PendingPacket> {
        let msg = client_msg::QueryMsg::Pending {
            channel: self.facts.client_channel.clone(),
            start_after: None,
            limit: Some(100),
        };
        query(&self.consumer, &self.facts.client, &msg, None).await.unwrap()
    }
}

pub fn to_contract(contract: &str, msg: &impl serde::Serialize) -> CosmosMsg {
    WasmMsg::Execute {
        contract_addr: contract.into(),
        msg: json_binary(msg),
        funds: vec![],
    }
    .into()
}

pub fn json_binary(value: &impl serde::Serialize) -> Binary {
    serde_json::to_vec(value).unwrap().into()
}

/// The answers of an outcome that has some.
pub fn answers(outcome: &Outcome) -> &[Answer] {
    match outcome {
        Outcome::Answered { answers, .. } => answers,
        other => panic!("{other:?}"),
    }
}

/// The code of an answer that is an error.
pub fn error_of(answer: &Answer) -> u32 {
    match &answer.result {
        AnswerResult::Error(failure) => failure.code,
        other => panic!("{other:?}"),
    }
}

/// The code of an outcome that is an error.
pub fn failure(outcome: &Outcome) -> u32 {
    match outcome {
        Outcome::Error(failure) => failure.code,
        other => panic!("{other:?}"),
    }
}

pub fn deposit(facts: &Facts, amount: u128, recovery: &str) -> CosmosMsg {
    let port = format!("wasm.{}", facts.client);
    let memo = deposit_memo(&facts.host, &facts.connection, port, &facts.asker, recovery);
    IbcMsg::Transfer {
        channel_id: facts.transfer.clone(),
        to_address: facts.host.clone(),
        amount: coin(amount, "stake"),
        timeout: in_ten_minutes().into(),
        memo: Some(serde_json::to_string(&memo).unwrap()),
    }
    .into()
}

fn in_ten_minutes() -> Timestamp {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    Timestamp::from_seconds(now.as_secs() + 600)
}

fn account_key(facts: &Facts) -> host_msg::AccountKey {
    host_msg::AccountKey {
        connection: facts.connection.clone(),
        port: format!("wasm.{}", facts.client),
        asker: facts.asker.clone(),
    }
}

pub async fn give(from: &Account, to: &str, amount: u128) {
    let send = MsgSend {
        from_address: from.address().into(),
        to_address: to.into(),
        amount: vec![cosmrs::proto::cosmos::base::v1beta1::Coin {
            denom: "stake".into(),
            amount: amount.to_string(),
        }],
    };
    let any = Any {
        type_url: MsgSend::type_url(),
        value: send.encode_to_vec(),
    };
    from.send(&[Msg::Any(any)]).await.unwrap();
}

async fn link(net: &Localnet, here: &Account, there: &Account, consumer: &Node, provider: &Node) -> Facts {
    write_config(net, consumer, provider);
    let transfer = link_ports(net, "transfer", "transfer", "ics20-1");
    let voucher = format!("transfer/{}/stake", transfer.provider);
    let denom = format!("ibc/{}", hex::encode_upper(Sha256::digest(voucher)));

    let contract = |name| aiinference_demo_models::contract(name).unwrap();
    let code = store(there, &contract("ibc-model-host")).await;
    let prices = vec![host_msg::Price {
        denom: denom.clone(),
        per_query: Uint128::new(PER_QUERY),
        per_gigagas: Uint128::new(PER_GIGAGAS),
        reward: Decimal::percent(50),
        min_deposit: None,
    }];
    let host = instantiate(there, code, "host", &json!({ "prices": prices })).await;
    let code = store(here, &contract("ibc-model-client")).await;
    let client = instantiate(here, code, "client", &json!({})).await;
    let code = store(here, &contract("test-asker")).await;
    let asker = instantiate(here, code, "asker", &json!({})).await;

    let ends = link_ports(net, &format!("wasm.{client}"), &format!("wasm.{host}"), "aiinference-1");
    let msg = host_msg::QueryMsg::Channels {
        start_after: None,
        limit: None,
    };
    let channels: Vec<host_msg::Channel> = query(provider, &host, &msg, None).await.unwrap();
    assert_eq!(channels.len(), 1);
    let facts = Facts {
        connection: channels[0].peer.connection.clone(),
        host,
        client,
        client_channel: ends.consumer,
        asker,
        transfer: transfer.consumer,
        denom,
    };

    // The asker pays for itself: its word on who may recover the credit beats others'.
    give(here, &facts.asker, 10 * DEPOSIT).await;
    let _relayer = Relayer::start(net);
    let send = test_asker::ExecuteMsg::Send {
        messages: vec![deposit(&facts, DEPOSIT, there.address())],
    };
    execute(here, &facts.asker, &send).await.unwrap();
    let msg = host_msg::QueryMsg::Account {
        account: account_key(&facts),
    };
    let end = Instant::now() + SOON;
    loop {
        let account: Option<host_msg::Account> = query(provider, &facts.host, &msg, None).await.unwrap();
        if account.is_some() {
            break facts;
        }
        assert!(Instant::now() < end, "the deposit does not arrive");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Both ends of a channel.
struct Ends {
    consumer: String,
    provider: String,
}

pub fn relay_folder(net: &Localnet) -> PathBuf {
    net.home().join("relay")
}

pub fn config_file(net: &Localnet) -> PathBuf {
    relay_folder(net).join("relay.toml")
}

fn write_config(net: &Localnet, consumer: &Node, provider: &Node) {
    fs::create_dir_all(relay_folder(net)).unwrap();
    let key = &net.plan().account("relayer").unwrap().mnemonic_file;
    let chain = |id: &str, node: &Node| {
        let url = &node.plan().rpc_url;
        format!("[[chains]]\nid = \"{id}\"\nrpc = [\"{url}\"]\nkey_file = {key:?}\ngas_price = \"0stake\"\n\n")
    };
    let text = chain(aiinference_localnet::CONSUMER, consumer) + &chain(aiinference_localnet::PROVIDER, provider);
    fs::write(config_file(net), text).unwrap();
}

fn link_ports(net: &Localnet, here: &str, there: &str, version: &str) -> Ends {
    let file = config_file(net);
    let here_at = format!("{}:{here}", aiinference_localnet::CONSUMER);
    let there = format!("{}:{there}", aiinference_localnet::PROVIDER);
    let options = ["--write", "--channel-version", version];
    let output = link_ends(&file, [&here_at, &there], &options);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let config: toml::Table = fs::read_to_string(file).unwrap().parse().unwrap();
    let channels = config["channels"].as_array().unwrap();
    let channel = channels
        .iter()
        .find(|channel| channel["a"]["port"].as_str() == Some(here))
        .unwrap();
    let end = |end: &str| channel[end]["channel"].as_str().unwrap().to_owned();
    Ends {
        consumer: end("a"),
        provider: end("b"),
    }
}

/// Runs the relayer's `link` on two ends, each CHAIN:PORT.
pub fn link_ends(config: &Path, ends: [&str; 2], options: &[&str]) -> Output {
    let mut command = relayer(config);
    command.arg("link").args(options).args(ends);
    command.output().unwrap()
}

/// Runs the relayer's program to its end.
pub fn relay(arguments: &[&str]) -> Output {
    let program = target().join("release/aiinference-relay");
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn relayer(config: &Path) -> Command {
    let mut command = Command::new(target().join("release/aiinference-relay"));
    command.arg("--config").arg(config).stdin(Stdio::null());
    command
}

/// The relayer's program; killed when it is dropped.
pub struct Relayer(Child);

impl Relayer {
    pub fn start(net: &Localnet) -> Self {
        Self::start_with(net, &config_file(net))
    }

    pub fn start_with(net: &Localnet, config: &Path) -> Self {
        let log: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(relay_folder(net).join("log"))
            .unwrap();
        let mut command = relayer(config);
        command.arg("start").stdout(Stdio::null()).stderr(log);
        Relayer(command.spawn().unwrap())
    }

    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// As a power cut would end it.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Relayer {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
