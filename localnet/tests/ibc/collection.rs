//! A collection on the stock chain whose pictures follow a model on the other one.

use std::time::Instant;

use aiinference_demo_models as models;
use aiinference_std::{testing::AiQuerier, Model, Receipt, Tensor};
use cosmwasm_std::{testing::MockQuerier, Empty, QuerierWrapper, SignedDecimal};
use cw721::msg::NftInfoResponse;
use remote_nft::msg::{Artwork, ExecuteMsg, QueryMsg};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{between::*, support::*};

const TRAITS: [&str; 8] = ["1.5", "3", "-4", "2", "1.5", "5", "0.7", "0.6"];
const TOKEN: &str = "1";

/// What the model says on this machine of a token that was minted today and changed hands so often.
fn local(model: u64, transfers: i64) -> (Vec<String>, Receipt) {
    let querier = AiQuerier::new(MockQuerier::<Empty>::new(&[])).with_model(model, &models::mood().unwrap());
    let traits: Vec<SignedDecimal> = TRAITS.iter().map(|number| number.parse().unwrap()).collect();
    let inputs = [
        Tensor::from_decimals(&traits).unwrap().named("market"),
        Tensor::from_i64s(&[0, transfers, 0]).named("owner"),
    ];
    let outputs = Model::new(model)
        .infer(QuerierWrapper::<Empty>::new(&querier), inputs)
        .unwrap();
    let mood: Vec<SignedDecimal> = outputs.get("mood").unwrap().to_decimals().unwrap();
    (
        mood.iter().map(ToString::to_string).collect(),
        outputs.receipt().clone(),
    )
}

#[tokio::test]
#[ignore = "needs the localnet: make test-ibc"]
async fn the_picture_of_a_token_follows_the_model_on_the_other_chain() {
    let between = Between::open().await;
    let module = models::mood().unwrap();
    let model = store(&between.there, &module).await;
    let checksum: [u8; 32] = Sha256::digest(&module).into();
    let code = store(&between.here, &models::contract("remote-nft").unwrap()).await;
    let asking = json!({
        "channel": between.facts.client_channel, "model": Model::new(model).with_checksum(checksum),
        "denom": between.facts.denom, "max_price": ANY_PRICE.to_string(), "gas_limit": QUERY_GAS,
        "callback_gas": 500_000, "timeout": 300,
    });
    let collection = instantiate(
        &between.here,
        code,
        "weather",
        &json!({ "name": "Weather", "symbol": "SKY", "client": between.facts.client, "asking": asking }),
    )
    .await;
    let owner = between.here.address();
    let tell = async |msg: &ExecuteMsg| execute(&between.here, &collection, msg).await.unwrap();
    let art = async || {
        let msg = QueryMsg::NftInfo { token_id: TOKEN.into() };
        let info: NftInfoResponse<Artwork> = query(&between.consumer, &collection, &msg, None).await.unwrap();
        assert_eq!(info.token_uri, None, "the picture is in the metadata");
        info.extension
    };
    tell(&ExecuteMsg::Mint {
        token_id: TOKEN.into(),
        owner: owner.into(),
        traits: TRAITS.iter().map(|number| number.parse().unwrap()).collect(),
    })
    .await;
    let blank = art().await;
    assert_eq!((blank.picture, blank.asked), (None, None));

    // It pays itself, with coins that travel.
    let _relayer = Relayer::start(&between.net);
    give(&between.here, &collection, 5_000_000).await;
    tell(&ExecuteMsg::Fund {
        host: between.facts.host.clone(),
        transfer_channel: between.facts.transfer.clone(),
        connection: between.facts.connection.clone(),
        recovery: between.there.address().into(),
        amount: serde_json::from_value(json!({ "denom": "stake", "amount": "5000000" })).unwrap(),
    })
    .await;
    let end = Instant::now() + SOON;
    while between.credit_of(&collection).await == 0 {
        assert!(Instant::now() < end, "the deposit does not arrive");
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }

    let refreshed = async || {
        tell(&ExecuteMsg::Refresh { token_id: TOKEN.into() }).await;
        let end = Instant::now() + SOON;
        loop {
            let art = art().await;
            if art.asked.is_none() {
                break art;
            }
            assert!(Instant::now() < end, "no answer");
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    };
    let mut images = vec![blank.image];
    let mut spent = 0;
    for transfers in 0..2 {
        if transfers > 0 {
            // The model is told how often the token changed hands: to another owner, of whom the creator asks for a picture.
            let recipient = between.net.plan().account("load5").unwrap().address.clone();
            let token_id = TOKEN.into();
            tell(&ExecuteMsg::TransferNft { recipient, token_id }).await;
        }
        let art = refreshed().await;
        assert_eq!(art.failure, None);
        let picture = art.picture.unwrap();
        let (mood, receipt) = local(model, transfers);
        let said: Vec<String> = picture.mood.iter().map(ToString::to_string).collect();
        assert_eq!(said, mood);
        // All but the gas, which counts what the chain takes to find the model.
        assert_eq!(picture.receipt.models, receipt.models);
        assert_eq!(picture.receipt.inputs_hash, receipt.inputs_hash);
        assert_eq!(picture.receipt.outputs_hash, receipt.outputs_hash);
        assert!(art.image.starts_with("data:image/svg+xml;base64,"));
        assert!(!images.contains(&art.image), "the picture changes with the answer");
        images.push(art.image);
        spent += picture.price.parse::<u128>().unwrap();
    }
    assert!(spent > 2 * PER_QUERY);
    assert_eq!(between.credit_of(&collection).await, 5_000_000 - spent);
}
