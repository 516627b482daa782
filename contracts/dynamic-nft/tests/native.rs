//! The collection run natively against the real engine and the models that it ships with.

use aiinference_demo_models as models;
use aiinference_std::{
    testing::{std2::mock_dependencies, AiQuerier},
    Checksum,
};
use cosmwasm_std::{
    from_json,
    testing::{message_info, mock_env, MockApi, MockQuerier, MockStorage},
    Addr, Binary, Decimal, Env, Event, OwnedDeps, Response, Timestamp,
};
use cw721::msg::{NftInfoResponse, NumTokensResponse, OwnerOfResponse};
use dynamic_nft::{
    contract::{execute, instantiate, migrate, query},
    msg::{
        ArtConfig, Artwork, CollectionMsg, CollectionQuery, ExecuteMsg, FeedResponse, Inputs, InstantiateMsg,
        MigrateMsg, ModelSource, MomentsResponse, QueryMsg,
    },
    ContractError,
};
use serde::de::DeserializeOwned;

const MOOD: u64 = 1;
const PAINTER: u64 = 2;
const DAY: u64 = 86_400;
const START: u64 = 1_700_000_000;

struct Collection {
    deps: OwnedDeps<MockStorage, MockApi, AiQuerier<MockQuerier>>,
    time: u64,
}

type Answer = Result<Response, ContractError>;

impl Collection {
    fn new() -> Self {
        let mut collection = Self::empty();
        collection.start(message()).unwrap();
        collection
    }

    fn empty() -> Self {
        let models = [(MOOD, models::mood().unwrap()), (PAINTER, models::painter().unwrap())];
        let models = models.each_ref().map(|(id, wasm)| (*id, wasm.as_slice()));
        Collection {
            deps: mock_dependencies(&models),
            time: START,
        }
    }

    fn env(&self) -> Env {
        let mut env = mock_env();
        env.block.time = Timestamp::from_seconds(self.time);
        env
    }

    fn start(&mut self, msg: InstantiateMsg) -> Answer {
        let (env, info) = (self.env(), message_info(&address("creator"), &[]));
        instantiate(self.deps.as_mut(), env, info, msg)
    }

    fn execute(&mut self, sender: &str, msg: ExecuteMsg) -> Answer {
        let (env, info) = (self.env(), message_info(&address(sender), &[]));
        execute(self.deps.as_mut(), env, info, msg)
    }

    fn mint(&mut self, token_id: &str, owner: &str) -> Answer {
        let (token_id, owner) = (token_id.to_owned(), address(owner).to_string());
        self.execute(
            "creator",
            ExecuteMsg::Mint {
                token_id,
                owner,
                token_uri: None,
                extension: None,
            },
        )
    }

    fn transfer(&mut self, token_id: &str, from: &str, to: &str) -> Answer {
        let (token_id, recipient) = (token_id.to_owned(), address(to).to_string());
        self.execute(from, ExecuteMsg::TransferNft { recipient, token_id })
    }

    fn post(&mut self, sender: &str, price: &str) -> Answer {
        let price = price.parse().unwrap();
        self.execute(
            sender,
            ExecuteMsg::UpdateExtension {
                msg: CollectionMsg::PostPrice { price },
            },
        )
    }

    fn raw(&self, msg: QueryMsg) -> Result<Binary, ContractError> {
        query(self.deps.as_ref(), self.env(), msg)
    }

    fn ask<T: DeserializeOwned>(&self, msg: QueryMsg) -> T {
        from_json(self.raw(msg).unwrap()).unwrap()
    }

    fn extension<T: DeserializeOwned>(&self, msg: CollectionQuery) -> Result<T, ContractError> {
        self.raw(QueryMsg::Extension { msg })
            .map(|answer| from_json(answer).unwrap())
    }

    fn art(&self, token_id: &str) -> Artwork {
        let info: NftInfoResponse<Artwork> = self.ask(QueryMsg::NftInfo {
            token_id: token_id.to_owned(),
        });
        info.extension
    }

    fn art_at(&self, token_id: &str, time: u64) -> Result<Artwork, ContractError> {
        self.extension(CollectionQuery::ImageAt {
            token_id: token_id.to_owned(),
            time,
        })
    }

    fn inputs(&self, token_id: &str) -> Inputs {
        self.extension(CollectionQuery::Inputs {
            token_id: token_id.to_owned(),
            time: None,
        })
        .unwrap()
    }
}

fn address(name: &str) -> Addr {
    MockApi::default().addr_make(name)
}

fn message() -> InstantiateMsg {
    InstantiateMsg {
        name: "Landscapes".to_owned(),
        symbol: "LAND".to_owned(),
        collection_info_extension: None,
        minter: None,
        creator: None,
        withdraw_address: None,
        mood: ModelSource {
            code_id: MOOD,
            checksum: None,
        },
        painter: ModelSource {
            code_id: PAINTER,
            checksum: None,
        },
        oracle: Some(address("oracle").to_string()),
        post_interval: 60,
    }
}

/// The pixels of a picture, by another implementation of PNG.
fn pixels(art: &Artwork) -> Vec<u8> {
    use base64::{engine::general_purpose::STANDARD, Engine};
    let file = STANDARD
        .decode(art.image.strip_prefix("data:image/png;base64,").unwrap())
        .unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(
        (info.width, info.height, info.color_type),
        (64, 64, png::ColorType::Rgb)
    );
    pixels
}

/// Mean difference of two pictures' pixel values.
fn distance(a: &Artwork, b: &Artwork) -> f64 {
    let (a, b) = (pixels(a), pixels(b));
    a.iter().zip(&b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

fn event<'a>(response: &'a Response, name: &str) -> Option<&'a Event> {
    response.events.iter().find(|event| event.ty == name)
}

#[test]
fn a_picture_is_drawn_by_both_models_in_one_call() {
    let mut collection = Collection::new();
    collection.mint("1", "ada").unwrap();
    let art = collection.art("1");
    assert_eq!(art.name, "Landscapes 1");
    let pixels = pixels(&art);
    let (low, high) = (pixels.iter().min().unwrap(), pixels.iter().max().unwrap());
    assert!(high - low > 100, "a picture in shades from {low} to {high}");
    let drawn_by: Vec<_> = art
        .receipt
        .models
        .iter()
        .map(|model| (model.code_id, Some(model.checksum)))
        .collect();
    let querier = &collection.deps.querier;
    assert_eq!(
        drawn_by,
        [(MOOD, querier.checksum(MOOD)), (PAINTER, querier.checksum(PAINTER))]
    );
    let config: ArtConfig = collection.extension(CollectionQuery::Config {}).unwrap();
    assert_eq!(Some(config.mood.checksum), querier.checksum(MOOD));
    assert_eq!(Some(config.painter.checksum), querier.checksum(PAINTER));
}

#[test]
fn pictures_differ_by_token_market_and_history() {
    let mut collection = Collection::new();
    collection.mint("1", "ada").unwrap();
    collection.mint("2", "ada").unwrap();
    let (calm, other) = (collection.art("1"), collection.art("2"));
    assert!(distance(&calm, &other) > 8.0);

    for price in ["100", "90", "96", "80", "70", "75", "60"] {
        collection.time += DAY;
        collection.post("oracle", price).unwrap();
    }
    let crash = collection.art("1");
    assert!(distance(&calm, &crash) > 8.0);

    for price in [
        "61", "62", "63", "64", "65", "66", "67", "68", "69", "70", "71", "72", "73", "74", "75", "76", "77", "78",
        "79", "80", "81",
    ] {
        collection.time += 20 * DAY;
        collection.post("oracle", price).unwrap();
    }
    let held = collection.art("1");
    assert!(distance(&crash, &held) > 8.0);
    collection.time += DAY;
    collection.transfer("1", "ada", "bob").unwrap();
    let sold = collection.art("1");
    assert_eq!(sold.inputs.transfers, 1);
    assert!(distance(&held, &sold) > 2.0);
}

#[test]
fn every_past_picture_can_be_drawn_again() {
    let mut collection = Collection::new();
    collection.mint("1", "ada").unwrap();
    let mut seen = vec![(collection.time, collection.art("1"))];
    for (step, price) in ["100", "97", "104", "104", "88"].into_iter().enumerate() {
        collection.time += 3 * DAY;
        match step {
            2 => collection.transfer("1", "ada", "bob").unwrap(),
            _ => collection.post("oracle", price).unwrap(),
        };
        seen.push((collection.time, collection.art("1")));
    }
    collection.time += 30 * DAY;
    // Nothing has happened since, so the picture is still the last one.
    assert_eq!(collection.art("1").image, seen.last().unwrap().1.image);
    for (time, art) in &seen {
        assert_eq!(&collection.art_at("1", *time).unwrap(), art);
        assert_eq!(&collection.art_at("1", time + 2 * DAY).unwrap(), art);
    }
    let all = CollectionQuery::Moments {
        token_id: "1".to_owned(),
        start_after: None,
        limit: None,
    };
    let moments: MomentsResponse = collection.extension(all).unwrap();
    assert_eq!(moments.moments, seen.iter().map(|(time, _)| *time).collect::<Vec<_>>());
    let page = CollectionQuery::Moments {
        token_id: "1".to_owned(),
        start_after: Some(seen[1].0),
        limit: Some(2),
    };
    let moments: MomentsResponse = collection.extension(page).unwrap();
    assert_eq!(moments.moments, [seen[2].0, seen[3].0]);

    for time in [START - 1, collection.time + 1] {
        assert!(matches!(
            collection.art_at("1", time),
            Err(ContractError::NoPicture { .. })
        ));
    }
}

#[test]
fn days_and_transfers_are_counted_to_the_last_event() {
    let mut collection = Collection::new();
    collection.mint("1", "ada").unwrap();
    collection.time += 10 * DAY;
    collection.transfer("1", "ada", "bob").unwrap();
    // To oneself is no change of hands.
    collection.time += DAY;
    let response = collection.transfer("1", "bob", "bob").unwrap();
    assert!(event(&response, "metadata_update").is_none());
    collection.time += 4 * DAY - 1;
    collection.post("oracle", "5").unwrap();
    collection.time += 100 * DAY;
    let inputs = collection.inputs("1");
    assert_eq!((inputs.days_held, inputs.transfers, inputs.days_old), (4, 1, 14));
    assert_eq!(inputs.since, collection.time - 100 * DAY);
    assert_eq!(inputs.price, Some("5".parse().unwrap()));
}

#[test]
fn changes_of_the_art_are_announced_to_indexers() {
    let mut collection = Collection::new();
    collection.mint("1", "ada").unwrap();
    let posted = collection.post("oracle", "5").unwrap();
    let batch = Event::new("batch_metadata_update").add_attribute("tokens", "all");
    assert_eq!(
        event(&posted, "batch_metadata_update"),
        Some(&batch.add_attribute("time", START.to_string()))
    );

    let moved = collection.transfer("1", "ada", "bob").unwrap();
    let one = Event::new("metadata_update")
        .add_attribute("token_id", "1")
        .add_attribute("time", START.to_string());
    let stargaze = Event::new("update_update_token_metadata").add_attribute("sender", address("ada"));
    assert_eq!(moved.events, [one.clone(), stargaze.add_attribute("token_id", "1")]);
    assert_eq!(moved.attributes[0].value, "transfer_nft");

    let announce = |ids: Vec<String>| ExecuteMsg::UpdateExtension {
        msg: CollectionMsg::Announce { token_ids: ids },
    };
    let announced = collection.execute("anyone", announce(vec!["1".to_owned()])).unwrap();
    assert_eq!(announced.events[0], one);
    collection
        .execute("anyone", announce(vec!["none".to_owned()]))
        .unwrap_err();
    let refused = collection
        .execute("anyone", announce(vec!["1".to_owned(); 51]))
        .unwrap_err();
    assert!(matches!(refused, ContractError::TooManyTokens { max: 50, actual: 51 }));
}

#[test]
fn ownership_never_runs_a_model() {
    let mut collection = Collection::new();
    let before = collection.deps.querier.gas_used();
    collection.mint("1", "ada").unwrap();
    collection.post("oracle", "5").unwrap();
    collection.transfer("1", "ada", "bob").unwrap();
    let token_id = "1".to_owned();
    let owner: OwnerOfResponse = collection.ask(QueryMsg::OwnerOf {
        token_id: token_id.clone(),
        include_expired: None,
    });
    assert_eq!(owner.owner, address("bob").as_str());
    let count: NumTokensResponse = collection.ask(QueryMsg::NumTokens {});
    assert_eq!(count.count, 1);
    collection.inputs("1");
    assert_eq!(collection.deps.querier.gas_used(), before);
    let art = collection.art("1");
    assert_eq!(collection.deps.querier.gas_used(), before + art.receipt.gas);
}

#[test]
fn a_burned_token_keeps_its_past_and_its_id() {
    let mut collection = Collection::new();
    collection.mint("1", "ada").unwrap();
    let art = collection.art("1");
    collection.time += DAY;
    collection
        .execute(
            "ada",
            ExecuteMsg::Burn {
                token_id: "1".to_owned(),
            },
        )
        .unwrap();
    assert!(collection
        .raw(QueryMsg::NftInfo {
            token_id: "1".to_owned()
        })
        .is_err());
    assert_eq!(collection.art_at("1", START).unwrap(), art);
    assert!(matches!(
        collection.art_at("1", collection.time),
        Err(ContractError::NoPicture { .. })
    ));
    assert!(matches!(
        collection.mint("1", "ada"),
        Err(ContractError::TokenIdUsed(_))
    ));
}

#[test]
fn only_the_oracle_posts_and_not_too_often() {
    let mut collection = Collection::new();
    assert!(matches!(
        collection.post("creator", "5"),
        Err(ContractError::Unauthorized { role: "oracle", .. })
    ));
    collection.post("oracle", "5").unwrap();
    collection.time += 59;
    assert!(matches!(
        collection.post("oracle", "5"),
        Err(ContractError::TooSoon {
            since: 59,
            interval: 60
        })
    ));
    collection.time += 1;
    for price in ["0", "0.000000999999999999", "1000000000000.000000000000000001"] {
        assert!(matches!(
            collection.post("oracle", price),
            Err(ContractError::PriceOutOfRange(_))
        ));
    }
    for price in ["0.000001", "1000000000000"] {
        collection.post("oracle", price).unwrap();
        collection.time += 60;
    }

    let set = |oracle: &str| CollectionMsg::SetOracle {
        oracle: address(oracle).to_string(),
    };
    let refused = collection
        .execute("oracle", ExecuteMsg::UpdateExtension { msg: set("oracle") })
        .unwrap_err();
    assert!(matches!(refused, ContractError::Unauthorized { role: "creator", .. }));
    collection
        .execute("creator", ExecuteMsg::UpdateExtension { msg: set("other") })
        .unwrap();
    collection.post("other", "5").unwrap();
    assert!(collection.post("oracle", "5").is_err());
}

#[test]
fn the_window_of_prices_is_bounded() {
    let mut collection = Collection::new();
    for price in 1..=30 {
        collection.post("oracle", &price.to_string()).unwrap();
        collection.time += 60;
    }
    let feed: FeedResponse = collection.extension(CollectionQuery::Feed {}).unwrap();
    assert_eq!((feed.posts, feed.time), (30, Some(collection.time - 60)));
    assert_eq!(
        feed.window,
        (10..=30).map(|p| Decimal::percent(100 * p)).collect::<Vec<_>>()
    );
}

#[test]
fn metadata_cannot_be_set_or_searched() {
    let mut collection = Collection::new();
    let (token_id, owner) = ("1".to_owned(), address("ada").to_string());
    let uri = Some("ipfs://x".to_owned());
    let mint = ExecuteMsg::Mint {
        token_id: token_id.clone(),
        owner,
        token_uri: uri.clone(),
        extension: None,
    };
    assert!(matches!(
        collection.execute("creator", mint),
        Err(ContractError::MetadataIsDrawn(_))
    ));
    collection.mint("1", "ada").unwrap();
    let update = ExecuteMsg::UpdateNftInfo {
        token_id,
        token_uri: uri,
        extension: None,
    };
    assert!(matches!(
        collection.execute("creator", update),
        Err(ContractError::MetadataIsDrawn(_))
    ));
    let search = QueryMsg::GetNftByExtension {
        extension: collection.art("1"),
        start_after: None,
        limit: None,
    };
    assert!(matches!(collection.raw(search), Err(ContractError::MetadataIsDrawn(_))));
}

#[test]
fn token_ids_have_a_length() {
    let mut collection = Collection::new();
    collection.mint(&"x".repeat(128), "ada").unwrap();
    for id in [String::new(), "x".repeat(129)] {
        assert!(matches!(
            collection.mint(&id, "ada"),
            Err(ContractError::TokenId { .. })
        ));
    }
}

#[test]
fn models_that_do_not_fit_are_refused() {
    let swapped = InstantiateMsg {
        mood: message().painter,
        painter: message().mood,
        ..message()
    };
    let wrong = ModelSource {
        code_id: MOOD,
        checksum: Some(Checksum::from([7; 32])),
    };
    let wrong = InstantiateMsg {
        mood: wrong,
        ..message()
    };
    let unknown = InstantiateMsg {
        painter: ModelSource {
            code_id: 9,
            checksum: None,
        },
        ..message()
    };
    let start = |msg| Collection::empty().start(msg).unwrap_err();
    assert!(matches!(
        start(swapped),
        ContractError::WrongSignature { part: "mood", .. }
    ));
    assert!(matches!(
        start(wrong),
        ContractError::ChecksumMismatch { part: "mood", .. }
    ));
    assert!(matches!(start(unknown), ContractError::Std(_)));
    assert!(matches!(
        start(InstantiateMsg {
            post_interval: 0,
            ..message()
        }),
        ContractError::ZeroInterval
    ));
}

#[test]
fn another_contracts_state_is_not_migrated() {
    let mut collection = Collection::empty();
    cw2::set_contract_version(collection.deps.as_mut().storage, "someone:else", "0.0.1").unwrap();
    let env = collection.env();
    let refused = migrate(collection.deps.as_mut(), env, MigrateMsg {}).unwrap_err();
    assert!(refused.to_string().contains("someone:else"), "{refused}");
}

#[test]
fn features_are_computed_as_the_model_was_trained() {
    let inputs: serde_json::Value = serde_json::from_str(include_str!("../model/inputs.json")).unwrap();
    let features = inputs["mood.onnx"]["inputs"]["market"]["features"].as_array().unwrap();
    let collection = {
        let mut collection = Collection::new();
        collection.mint("1", "ada").unwrap();
        collection
    };
    let ours = serde_json::to_value(collection.inputs("1").market).unwrap();
    assert_eq!(ours.as_object().unwrap().len(), features.len());
    for feature in features {
        assert!(ours.get(feature["name"].as_str().unwrap()).is_some(), "{feature}");
    }
}
