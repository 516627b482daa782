//! A collection on a chain with the stock VM whose pictures follow a model on another chain: every contract as real Wasm,
//! real models, packets over a simulated network.

use std::{sync::LazyLock, time::Duration};

use aiinference_demo_models as models;
use aiinference_multi_test::{
    cw_multi_test::{AppResponse, ContractWrapper, Executor},
    voucher_denom, Chain, ChainId, CodeStore, Link, Network, StoreOptions, SDK_GAS,
};
use aiinference_std::{testing::AiQuerier, Model, Receipt, Tensor};
use cosmwasm_std_3::{
    coins, testing::MockQuerier, to_json_binary, Addr, Binary, Deps, DepsMut, Empty, Env, MessageInfo, QuerierWrapper,
    Response, SignedDecimal, StdResult,
};
use cw721::msg::NftInfoResponse;
use remote_nft::msg::{Artwork, Asking, ExecuteMsg, InstantiateMsg, MarketSource, QueryMsg};
use serde_json::{json, Value};

static STOCK: LazyLock<CodeStore> = LazyLock::new(|| {
    let mut options = StoreOptions::default();
    options.capabilities.remove("aiinference_1");
    CodeStore::new(options).unwrap()
});
static EXTENDED: LazyLock<CodeStore> = LazyLock::new(|| CodeStore::new(StoreOptions::default()).unwrap());

const TRAITS: [&str; 8] = ["1.5", "3", "-4", "2", "1.5", "5", "0.7", "0.6"];
const MARKET: [&str; 8] = ["-9", "-20", "-35.25", "8", "7", "38", "0.1", "0.2"];

struct World {
    net: Network,
    here: ChainId,
    there: ChainId,
    client: Addr,
    collection: Addr,
    host: Addr,
    oracle: Addr,
    link: Link,
    mood: u64,
}

fn store(chain: &mut Chain, name: &str) -> u64 {
    chain.store_wasm(&models::contract(name).unwrap()).unwrap()
}

/// A contract of the answering chain that tells of the market.
fn oracle(chain: &mut Chain, owner: Addr) -> Addr {
    fn nothing(_: DepsMut, _: Env, _: MessageInfo, _: Empty) -> StdResult<Response> {
        Ok(Response::new())
    }
    fn query(_: Deps, _: Env, _: Empty) -> StdResult<Binary> {
        to_json_binary(&json!({ "market": MARKET, "volume": 12 }))
    }
    let code = chain.store_code(Box::new(ContractWrapper::new(nothing, nothing, query)));
    chain
        .instantiate_contract(code, owner, &Empty {}, &[], "oracle", None)
        .unwrap()
}

fn world(prices: Value) -> World {
    let mut net = Network::new();
    let here = net.add("asking-1", Chain::with_store(STOCK.clone()));
    let there = net.add("answering-2", Chain::with_store(EXTENDED.clone()));

    let chain = net.chain_mut(there);
    let owner = chain.account("owner");
    let mood = chain.store_wasm(&models::mood().unwrap()).unwrap();
    let code = store(chain, "ibc-model-host");
    let host = chain
        .instantiate_contract(code, owner.clone(), &json!({ "prices": prices }), &[], "host", None)
        .unwrap();
    let oracle = oracle(chain, owner);

    let chain = net.chain_mut(here);
    let creator = chain.account("creator");
    let code = store(chain, "ibc-model-client");
    let client = chain
        .instantiate_contract(code, creator.clone(), &json!({}), &[], "client", None)
        .unwrap();
    let code = store(chain, "remote-nft");
    let msg = InstantiateMsg {
        name: "Weather".to_owned(),
        symbol: "SKY".to_owned(),
        minter: None,
        creator: None,
        client: client.to_string(),
        asking: asking(mood),
    };
    let collection = chain
        .instantiate_contract(code, creator, &msg, &[], "weather", None)
        .unwrap();
    let link = net.link((here, &client), (there, &host), "aiinference-1").unwrap();
    let mut world = World {
        net,
        here,
        there,
        client,
        collection,
        host,
        oracle,
        link,
        mood,
    };
    world.execute(
        "creator",
        &ExecuteMsg::Mint {
            token_id: "1".to_owned(),
            owner: world.chain().account("ada").to_string(),
            traits: TRAITS.iter().map(|number| number.parse().unwrap()).collect(),
        },
    );
    world
}

fn asking(mood: u64) -> Asking {
    Asking {
        channel: "channel-0".to_owned(),
        model: Model::new(mood),
        market: None,
        denom: String::new(),
        max_price: 0u128.into(),
        gas_limit: 1_000_000_000,
        callback_gas: 500_000,
        timeout: 600,
    }
}

impl World {
    fn chain(&self) -> &Chain {
        self.net.chain(self.here)
    }

    fn execute(&mut self, sender: &str, msg: &ExecuteMsg) -> AppResponse {
        let chain = self.net.chain_mut(self.here);
        let sender = chain.account(sender);
        chain
            .execute_contract(sender, self.collection.clone(), msg, &[])
            .unwrap()
    }

    fn configure(&mut self, asking: Asking) {
        self.execute("creator", &ExecuteMsg::UpdateConfig { asking });
    }

    fn refresh(&mut self) {
        let token_id = "1".to_owned();
        self.execute("ada", &ExecuteMsg::Refresh { token_id });
    }

    /// Refreshes and lets the packets go to and fro.
    fn refreshed(&mut self) -> Artwork {
        self.refresh();
        self.net.relay_all().unwrap();
        self.art()
    }

    fn art(&self) -> Artwork {
        let token_id = "1".to_owned();
        let msg = QueryMsg::NftInfo { token_id };
        let info: NftInfoResponse<Artwork> = self.chain().wrap().query_wasm_smart(&self.collection, &msg).unwrap();
        info.extension
    }

    /// What the model says on this machine, in the same build of the engine.
    fn local(&self, market: [&str; 8]) -> (Vec<SignedDecimal>, Receipt) {
        let querier = AiQuerier::new(MockQuerier::<Empty>::new(&[])).with_model(self.mood, &models::mood().unwrap());
        let market: Vec<SignedDecimal> = market.iter().map(|number| number.parse().unwrap()).collect();
        let inputs = [
            Tensor::from_decimals(&market).unwrap().named("market"),
            Tensor::from_i64s(&[0, 0, 0]).named("owner"),
        ];
        let outputs = Model::new(self.mood)
            .infer(QuerierWrapper::<Empty>::new(&querier), inputs)
            .unwrap();
        let mood = outputs.get("mood").unwrap().to_decimals().unwrap();
        (mood, outputs.receipt().clone())
    }
}

#[test]
fn the_picture_follows_the_model_to_the_bit() {
    let mut world = world(json!([]));
    let picture = world.refreshed().picture.unwrap();
    let (mood, receipt) = world.local(TRAITS);
    let said: Vec<String> = picture.mood.iter().map(ToString::to_string).collect();
    assert_eq!(said, mood.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(picture.receipt.inputs_hash, receipt.inputs_hash);
    assert_eq!(picture.receipt.outputs_hash, receipt.outputs_hash);
    assert_eq!(picture.receipt.models, receipt.models);
    assert_eq!(picture.price, "0");
    assert!(world.art().image.starts_with("data:image/svg+xml;base64,"));
}

#[test]
fn the_market_is_read_on_the_answering_chain() {
    let mut world = world(json!([]));
    let market = MarketSource {
        contract: world.oracle.to_string(),
        query: b"{}".into(),
        pointer: "/market".to_owned(),
    };
    world.configure(Asking {
        market: Some(market.clone()),
        ..asking(world.mood)
    });
    let art = world.refreshed();
    assert_eq!(art.failure, None);
    let (_, receipt) = world.local(MARKET);
    assert_eq!(art.picture.unwrap().receipt.outputs_hash, receipt.outputs_hash);

    world.configure(Asking {
        market: Some(MarketSource {
            pointer: "/elsewhere".to_owned(),
            ..market
        }),
        ..asking(world.mood)
    });
    assert_eq!(world.refreshed().failure.unwrap().code, 46);
}

#[test]
fn failures_are_shown_and_another_try_mends_them() {
    let mut world = world(json!([]));
    // A code id that is no model there, a gas limit that is too low, and nobody to relay.
    world.configure(Asking {
        model: Model::new(99),
        ..asking(world.mood)
    });
    assert_eq!(world.refreshed().failure.unwrap().code, 10);
    world.configure(Asking {
        gas_limit: 1_000,
        ..asking(world.mood)
    });
    assert_eq!(world.refreshed().failure.unwrap().code, 30);
    world.configure(asking(world.mood));
    world.refresh();
    world.net.advance(Duration::from_secs(601));
    world.net.relay_all().unwrap();
    assert_eq!(world.art().failure.unwrap().code, 50);

    let art = world.refreshed();
    assert_eq!(art.failure, None);
    assert!(art.picture.is_some());
}

#[test]
fn pictures_are_paid_from_the_collections_credit() {
    let prices = json!([{ "denom": "stake", "per_query": "100", "per_gigagas": "1000", "reward": "0.5" }]);
    let mut world = world(prices);
    world.configure(Asking {
        denom: "stake".to_owned(),
        max_price: 5_000u128.into(),
        ..asking(world.mood)
    });
    assert_eq!(world.refreshed().failure.unwrap().code, 43);

    let deposit = json!({ "deposit": {
        "account": { "connection": "connection-0", "port": world.link.a_end.port_id, "asker": world.collection },
        "recovery": world.net.chain(world.there).account("recovery"),
    } });
    assert_eq!(world.link.a_end.port_id, format!("wasm.{}", world.client));
    let (host, there) = (world.host.clone(), world.there);
    let chain = world.net.chain_mut(there);
    let sponsor = chain.account("sponsor");
    chain.fund(&sponsor, coins(20_000, "stake")).unwrap();
    chain
        .execute_contract(sponsor, host.clone(), &deposit, &coins(20_000, "stake"))
        .unwrap();
    let picture = world.refreshed().picture.unwrap();
    let price: u128 = picture.price.parse().unwrap();
    assert!((101..5_000).contains(&price), "{price}");

    // What is left comes back, less the price of asking for it.
    let receiver = world.net.chain(there).account("mine");
    world.execute(
        "creator",
        &ExecuteMsg::Withdraw {
            receiver: receiver.to_string(),
            amount: None,
            max_price: Some(100u128.into()),
        },
    );
    world.net.relay_all().unwrap();
    let balance = world.net.chain(there).wrap().query_balance(&receiver, "stake").unwrap();
    assert_eq!(balance.amount.to_string(), (20_000 - price - 100).to_string());
}

#[test]
fn the_collections_own_coins_travel_and_become_its_credit() {
    let mut world = world(json!([]));
    let (here, there, host) = (world.here, world.there, world.host.clone());
    let transfer = world.net.link_transfer(here, there).unwrap();
    let denom = voucher_denom(&transfer.b_end.channel_id, "gold");
    let chain = world.net.chain_mut(there);
    let owner = chain.account("owner");
    let recovery = chain.account("recovery").to_string();
    let prices = json!({ "update_config": {
        "prices": [{ "denom": denom, "per_query": "100", "per_gigagas": "1000", "reward": "0" }]
    } });
    chain.execute_contract(owner, host.clone(), &prices, &[]).unwrap();
    world.configure(Asking {
        denom: denom.clone(),
        max_price: 5_000u128.into(),
        ..asking(world.mood)
    });

    let (collection, chain) = (world.collection.clone(), world.net.chain_mut(here));
    chain.fund(&collection, coins(20_000, "gold")).unwrap();
    world.execute(
        "creator",
        &ExecuteMsg::Fund {
            host: host.to_string(),
            transfer_channel: transfer.a_end.channel_id,
            connection: "connection-0".to_owned(),
            recovery,
            amount: cosmwasm_std::coin(15_000, "gold"),
        },
    );
    world.net.relay_all().unwrap();
    let held = |world: &World| {
        world
            .net
            .chain(there)
            .wrap()
            .query_balance(&host, &denom)
            .unwrap()
            .amount
            .to_string()
    };
    assert_eq!(held(&world), "15000");
    let art = world.refreshed();
    assert_eq!(art.failure, None);
    assert_ne!(art.picture.unwrap().price, "0");

    // What the host cannot take as a deposit comes back: a denom without a price.
    let chain = world.net.chain_mut(here);
    chain.fund(&collection, coins(7, "lead")).unwrap();
    world.execute(
        "creator",
        &ExecuteMsg::Fund {
            host: host.to_string(),
            transfer_channel: "channel-1".to_owned(),
            connection: "connection-0".to_owned(),
            recovery: "nobody".to_owned(),
            amount: cosmwasm_std::coin(7, "lead"),
        },
    );
    world.net.relay_all().unwrap();
    let back = world.net.chain(here).wrap().query_balance(&collection, "lead").unwrap();
    assert_eq!(back.amount.to_string(), "7");
    assert_eq!(held(&world), "15000");
}

#[test]
fn the_callback_takes_less_gas_than_the_readme_says_and_too_little_ends_nothing() {
    let mut world = world(json!([]));
    world.configure(Asking {
        callback_gas: 300_000,
        ..asking(world.mood)
    });
    world.refresh();
    let asked = world.chain().last_transaction();
    let receive = world.net.pending().unwrap().remove(0);
    let received = world.net.relay(&receive).unwrap().gas;
    let acknowledge = world.net.pending().unwrap().remove(0);
    // Less than the handler and the callback take: the transaction fails, and the question stays open.
    let mut refused = 0;
    let told = (20_000..)
        .step_by(20_000)
        .find_map(|gas| match world.net.relay_with_gas(&acknowledge, gas) {
            Ok(relayed) => Some(relayed.gas),
            Err(_) => {
                refused += 1;
                assert!(world.art().asked.is_some());
                None
            }
        })
        .unwrap();
    assert!(refused > 0);
    assert!(world.art().picture.is_some());

    let sdk = |gas: u64| gas.div_ceil(SDK_GAS);
    let callback: u64 = told.of(&world.collection).map(|call| sdk(call.used())).sum();
    println!(
        "SDK gas: ask {}, receive {}, acknowledge {}",
        asked.sdk_gas(),
        received.sdk_gas(),
        told.sdk_gas()
    );
    println!("SDK gas: of the acknowledgement, callback {callback}");
    assert!(callback < 300_000, "{callback}");
}
