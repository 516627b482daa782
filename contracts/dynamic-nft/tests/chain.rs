//! The collection and its models as real Wasm on the embedded chain.

use aiinference_demo_models as models;
use aiinference_multi_test::{cw_multi_test::Executor, Chain};
use cosmwasm_std_3::{Addr, Event};
use cw721::msg::NftInfoResponse;
use dynamic_nft::msg::{Artwork, CollectionMsg, CollectionQuery, ExecuteMsg, InstantiateMsg, ModelSource, QueryMsg};
use serde_json::{json, Value};

struct World {
    chain: Chain,
    collection: Addr,
}

fn world() -> World {
    let mut chain = Chain::new().unwrap();
    let mood = chain.store_wasm(&models::mood().unwrap()).unwrap();
    let painter = chain.store_wasm(&models::painter().unwrap()).unwrap();
    let code = chain.store_wasm(&models::contract("dynamic-nft").unwrap()).unwrap();
    let creator = chain.account("creator");
    let source = |code_id| ModelSource {
        code_id,
        checksum: None,
    };
    let msg = InstantiateMsg {
        name: "Landscapes".to_owned(),
        symbol: "LAND".to_owned(),
        collection_info_extension: None,
        minter: None,
        creator: None,
        withdraw_address: None,
        mood: source(mood),
        painter: source(painter),
        oracle: None,
        post_interval: 1,
    };
    let collection = chain
        .instantiate_contract(code, creator, &msg, &[], "landscapes", None)
        .unwrap();
    World { chain, collection }
}

impl World {
    fn pass(&mut self, seconds: u64) {
        self.chain.update_block(|block| {
            block.time = block.time.plus_seconds(seconds);
            block.height += seconds / 5 + 1;
        });
    }

    fn execute(&mut self, sender: &str, msg: &ExecuteMsg) -> aiinference_multi_test::cw_multi_test::AppResponse {
        let sender = self.chain.account(sender);
        self.chain
            .execute_contract(sender, self.collection.clone(), msg, &[])
            .unwrap()
    }

    fn mint(&mut self, token_id: &str, owner: &str) {
        let owner = self.chain.account(owner).to_string();
        let token_id = token_id.to_owned();
        self.execute(
            "creator",
            &ExecuteMsg::Mint {
                token_id,
                owner,
                token_uri: None,
                extension: None,
            },
        );
    }

    fn post(&mut self, price: &str) {
        let msg = CollectionMsg::PostPrice {
            price: price.parse().unwrap(),
        };
        self.execute("creator", &ExecuteMsg::UpdateExtension { msg });
    }

    fn art(&self, token_id: &str) -> Artwork {
        let msg = QueryMsg::NftInfo {
            token_id: token_id.to_owned(),
        };
        let info: NftInfoResponse<Artwork> = self.chain.wrap().query_wasm_smart(&self.collection, &msg).unwrap();
        info.extension
    }
}

#[test]
fn pictures_follow_the_feed_and_the_past_stays() {
    let mut world = world();
    world.mint("1", "ada");
    let first = (world.chain.block_info().time.seconds(), world.art("1"));
    let gas = world.chain.last_query();
    // Inference is paid as the contract's own work, and one call runs both models.
    assert!(gas.calls[0].used_internally > first.1.receipt.gas);
    assert_eq!(first.1.receipt.models.len(), 2);

    for price in ["100", "80", "90", "70"] {
        world.pass(86_400);
        world.post(price);
    }
    assert_ne!(world.art("1").image, first.1.image);
    let msg = CollectionQuery::ImageAt {
        token_id: "1".to_owned(),
        time: first.0,
    };
    let past: Artwork = world
        .chain
        .wrap()
        .query_wasm_smart(&world.collection, &QueryMsg::Extension { msg })
        .unwrap();
    assert_eq!(past, first.1);
}

#[test]
fn transfers_are_announced_and_run_no_model() {
    let mut world = world();
    world.mint("1", "ada");
    let price = world.art("1").receipt.gas;
    let bob = world.chain.account("bob");
    let msg = ExecuteMsg::TransferNft {
        recipient: bob.to_string(),
        token_id: "1".to_owned(),
    };
    let response = world.execute("ada", &msg);
    let gas = world.chain.last_transaction();
    assert!(response.has_event(&Event::new("wasm-metadata_update").add_attribute("token_id", "1")));
    assert!(response.has_event(&Event::new("wasm-update_update_token_metadata").add_attribute("token_id", "1")));
    assert!(gas.calls[0].used_internally < price, "{gas:?} {price}");
}

#[test]
fn wallets_find_what_cw721_promises() {
    let mut world = world();
    world.mint("1", "ada");
    world.mint("2", "ada");
    let ask = |msg: Value| -> Value { world.chain.wrap().query_wasm_smart(&world.collection, &msg).unwrap() };
    let ada = world.chain.account("ada").to_string();
    assert_eq!(ask(json!({ "owner_of": { "token_id": "1" } }))["owner"], ada.as_str());
    assert_eq!(ask(json!({ "tokens": { "owner": ada } }))["tokens"], json!(["1", "2"]));
    assert_eq!(ask(json!({ "num_tokens": {} }))["count"], 2);
    assert_eq!(ask(json!({ "contract_info": {} }))["name"], "Landscapes");
    let all = ask(json!({ "all_nft_info": { "token_id": "1" } }));
    assert_eq!(all["access"]["owner"], ada.as_str());
    assert!(all["info"]["extension"]["image"]
        .as_str()
        .unwrap()
        .starts_with("data:image/png;base64,iVBORw0KGgo"));
}
