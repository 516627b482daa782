//! The collection run natively, message by message.

use aiinference_std::{
    remote::{Answer, AnswerResult, ClientMsg, Failure, ModelAnswer, Nanos, Outcome},
    Checksum, Model,
};
use aiinference_types::v1::{self, query::Operation, run_input::Source};
use base64::{engine::general_purpose::STANDARD, Engine};
use cosmwasm_std::{
    coin, from_json,
    testing::{message_info, mock_dependencies, mock_env, MockApi, MockQuerier, MockStorage},
    Addr, CosmosMsg, Env, IbcMsg, OwnedDeps, Response, SignedDecimal, WasmMsg,
};
use cw721::msg::NftInfoResponse;
use prost::Message;
use remote_nft::{
    contract,
    msg::{Artwork, Asking, ExecuteMsg, InstantiateMsg, MarketSource, MigrateMsg, QueryMsg},
    ContractError,
};

struct World {
    deps: OwnedDeps<MockStorage, MockApi, MockQuerier>,
    env: Env,
}

fn account(name: &str) -> Addr {
    MockApi::default().addr_make(name)
}

fn asking() -> Asking {
    Asking {
        channel: "channel-4".to_owned(),
        model: Model::new(6).with_checksum(Checksum::from([1; 32])),
        market: None,
        denom: "stake".to_owned(),
        max_price: 5_000u128.into(),
        gas_limit: 1_000_000,
        callback_gas: 300_000,
        timeout: 600,
    }
}

fn world() -> World {
    let mut world = World {
        deps: mock_dependencies(),
        env: mock_env(),
    };
    let msg = InstantiateMsg {
        name: "Weather".to_owned(),
        symbol: "SKY".to_owned(),
        minter: None,
        creator: None,
        client: account("client").to_string(),
        asking: asking(),
    };
    let info = message_info(&account("creator"), &[]);
    contract::instantiate(world.deps.as_mut(), mock_env(), info, msg).unwrap();
    world.execute("creator", mint("1", 8)).unwrap();
    world
}

fn mint(token_id: &str, traits: usize) -> ExecuteMsg {
    ExecuteMsg::Mint {
        token_id: token_id.to_owned(),
        owner: account("ada").to_string(),
        traits: vec![SignedDecimal::percent(-150); traits],
    }
}

fn refresh() -> ExecuteMsg {
    ExecuteMsg::Refresh {
        token_id: "1".to_owned(),
    }
}

fn mood(numbers: usize) -> Outcome {
    let outputs = vec![v1::Tensor::from_integers(
        "mood".to_owned(),
        vec![numbers as u32],
        4,
        -16,
        16,
        &vec![-8; numbers],
    )];
    let receipt = v1::Receipt {
        models: vec![],
        inputs_hash: vec![2; 32],
        outputs_hash: vec![3; 32],
        gas: 5,
        gas_schedule: 1,
        saturated: false,
    };
    let run = v1::RunAnswer {
        reads: vec![],
        infer: Some(v1::InferResponse {
            outputs,
            receipt: Some(receipt),
        }),
    };
    Outcome::Answered {
        height: 77,
        time: Nanos(9),
        answers: vec![Answer {
            price: "12".to_owned(),
            memo: vec![].into(),
            result: AnswerResult::Run(run.encode_to_vec().into()),
        }],
    }
}

fn failure() -> Outcome {
    Outcome::Error(Failure {
        code: 50,
        message: "m".repeat(600),
        step: 0,
    })
}

impl World {
    fn execute(&mut self, sender: &str, msg: ExecuteMsg) -> Result<Response, ContractError> {
        let info = message_info(&account(sender), &[]);
        contract::execute(self.deps.as_mut(), self.env.clone(), info, msg)
    }

    /// Asks for a picture; the message to the client.
    fn ask(&mut self) -> aiinference_std::remote::Ask {
        let response = self.execute("ada", refresh()).unwrap();
        let CosmosMsg::Wasm(WasmMsg::Execute { contract_addr, msg, .. }) = &response.messages[0].msg else {
            panic!()
        };
        assert_eq!(contract_addr, account("client").as_str());
        match from_json(msg).unwrap() {
            ClientMsg::Ask(ask) => ask,
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, msg: &[u8], result: Outcome) -> Response {
        self.try_answer("client", msg, result).unwrap()
    }

    fn try_answer(&mut self, sender: &str, msg: &[u8], result: Outcome) -> Result<Response, ContractError> {
        let answer = ModelAnswer {
            id: 1,
            initiator: self.env.contract.address.to_string(),
            initiator_msg: msg.to_vec().into(),
            result,
        };
        self.execute(sender, ExecuteMsg::ModelAnswer(answer))
    }

    fn art(&self) -> Artwork {
        let msg = QueryMsg::NftInfo {
            token_id: "1".to_owned(),
        };
        let info = contract::query(self.deps.as_ref(), self.env.clone(), msg).unwrap();
        from_json::<NftInfoResponse<Artwork>>(info).unwrap().extension
    }
}

fn action(response: &Response) -> &str {
    &response
        .attributes
        .iter()
        .find(|attribute| attribute.key == "action")
        .unwrap()
        .value
}

fn state(art: &Artwork) -> &str {
    &art.attributes[0].value
}

#[test]
fn a_refresh_asks_the_model_with_the_tokens_traits_and_history() {
    let mut world = world();
    let bob = account("bob").to_string();
    let token_id = "1".to_owned();
    world.env.block.time = world.env.block.time.plus_days(3);
    world
        .execute(
            "ada",
            ExecuteMsg::TransferNft {
                recipient: bob,
                token_id,
            },
        )
        .unwrap();
    world.env.block.time = world.env.block.time.plus_days(2);
    assert!(world.execute("ada", refresh()).is_err());
    // The creator may, too.
    let response = world.execute("creator", refresh()).unwrap();
    let CosmosMsg::Wasm(WasmMsg::Execute { msg, .. }) = &response.messages[0].msg else {
        panic!()
    };
    let ClientMsg::Ask(ask) = from_json(msg).unwrap() else {
        panic!()
    };
    assert_eq!(
        (ask.channel.as_str(), ask.denom.as_str(), ask.valid_for),
        ("channel-4", "stake", Some(600))
    );
    assert_eq!(ask.callback.as_ref().unwrap().gas_limit, 300_000);
    let query = v1::Query::decode(&ask.queries[0][..]).unwrap();
    assert_eq!((query.gas_limit, query.max_price.as_str()), (1_000_000, "5000"));
    let Some(Operation::Run(run)) = query.operation else {
        panic!()
    };
    assert_eq!(run.steps[0].model.as_ref().unwrap().checksum, [1; 32]);
    let integers = |input: usize| match &run.steps[0].inputs[input].source {
        Some(Source::Tensor(tensor)) => tensor.integers().unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(integers(0), [-1_500_000_000_000_000_000; 8]);
    // Days held, transfers, days old.
    assert_eq!(integers(1), [2, 1, 5]);
}

#[test]
fn a_market_on_the_answering_chain_is_read_there() {
    let mut world = world();
    let asking = Asking {
        market: Some(MarketSource {
            contract: "oracle".to_owned(),
            query: b"{}".into(),
            pointer: "/market".to_owned(),
        }),
        ..asking()
    };
    let update = ExecuteMsg::UpdateConfig { asking };
    assert!(matches!(
        world.execute("ada", update.clone()),
        Err(ContractError::Unauthorized { .. })
    ));
    world.execute("creator", update).unwrap();
    let query = v1::Query::decode(&world.ask().queries[0][..]).unwrap();
    let Some(Operation::Run(run)) = query.operation else {
        panic!()
    };
    assert_eq!(run.reads[0].contract, "oracle");
    assert!(matches!(&run.steps[0].inputs[0].source, Some(Source::ReadValue(_))));
}

#[test]
fn an_answer_becomes_the_picture() {
    let mut world = world();
    let blank = world.art();
    assert_eq!((state(&blank), &blank.picture), ("never asked for", &None));
    let ask = world.ask();
    assert_eq!(state(&world.art()), "an answer is awaited");
    let msg = ask.callback.unwrap().msg;
    assert_eq!(action(&world.answer(&msg, mood(8))), "picture");
    let art = world.art();
    assert_eq!((state(&art), &art.asked, &art.failure), ("up to date", &None, &None));
    let picture = art.picture.unwrap();
    assert_eq!(picture.mood, [SignedDecimal::percent(-50); 8]);
    assert_eq!(
        (picture.height, picture.price.as_str(), picture.receipt.gas),
        (77, "12", 5)
    );
    assert_ne!(art.image, blank.image);
    let svg = STANDARD
        .decode(art.image.strip_prefix("data:image/svg+xml;base64,").unwrap())
        .unwrap();
    assert!(svg.starts_with(b"<svg"));
    // The same answer a second time is none.
    assert_eq!(action(&world.answer(&msg, mood(8))), "stale");
}

#[test]
fn a_failure_is_shown_and_keeps_the_last_picture() {
    let mut world = world();
    let msg = world.ask().callback.unwrap().msg;
    world.answer(&msg, mood(8));
    let before = world.art().image;
    for (result, code) in [(failure(), 50), (mood(7), 0), (Outcome::RecoverySet {}, 0)] {
        let msg = world.ask().callback.unwrap().msg;
        assert_eq!(action(&world.answer(&msg, result)), "failure");
        let art = world.art();
        let failed = art.failure.unwrap();
        assert_eq!(failed.code, code);
        assert!(failed.message.len() <= 300 && !failed.message.is_empty());
        assert_eq!(art.image, before);
    }
    let msg = world.ask().callback.unwrap().msg;
    world.answer(&msg, mood(8));
    assert_eq!(world.art().failure, None);
}

#[test]
fn only_the_client_tells_answers() {
    let mut world = world();
    let msg = world.ask().callback.unwrap().msg;
    let refused = world.try_answer("ada", &msg, mood(8)).unwrap_err();
    assert!(matches!(refused, ContractError::Unauthorized { .. }));
    assert_eq!(world.art().picture, None);
}

#[test]
fn a_question_is_given_up_after_its_time_and_its_answer_is_stale_then() {
    let mut world = world();
    let first = world.ask().callback.unwrap().msg;
    let refused = world.execute("ada", refresh()).unwrap_err();
    assert!(matches!(refused, ContractError::Awaited { timeout: 600, .. }));
    world.env.block.time = world.env.block.time.plus_seconds(600);
    let second = world.ask().callback.unwrap().msg;
    assert_eq!(action(&world.answer(&first, mood(8))), "stale");
    assert_eq!(action(&world.answer(&second, mood(8))), "picture");
    // A burned token has no picture.
    let third = world.ask().callback.unwrap().msg;
    let token_id = "1".to_owned();
    world.execute("ada", ExecuteMsg::Burn { token_id }).unwrap();
    assert_eq!(action(&world.answer(&third, mood(8))), "stale");
}

#[test]
fn tokens_are_minted_with_eight_traits_by_the_minter() {
    let mut world = world();
    assert!(matches!(
        world.execute("creator", mint("2", 7)),
        Err(ContractError::Traits(7))
    ));
    assert!(matches!(
        world.execute("creator", mint("", 8)),
        Err(ContractError::TokenId(0))
    ));
    assert!(world.execute("ada", mint("2", 8)).is_err());
    assert!(world.execute("creator", mint("1", 8)).is_err());
    world.execute("creator", mint("2", 8)).unwrap();
}

#[test]
fn the_collections_coins_become_its_own_credit_and_come_back() {
    let mut world = world();
    let fund = ExecuteMsg::Fund {
        host: "wasm1host".to_owned(),
        transfer_channel: "channel-1".to_owned(),
        connection: "connection-3".to_owned(),
        recovery: "wasm1mine".to_owned(),
        amount: coin(70, "ustake"),
    };
    assert!(matches!(
        world.execute("ada", fund.clone()),
        Err(ContractError::Unauthorized { .. })
    ));
    let response = world.execute("creator", fund).unwrap();
    let CosmosMsg::Ibc(IbcMsg::Transfer {
        channel_id,
        to_address,
        amount,
        memo,
        ..
    }) = &response.messages[0].msg
    else {
        panic!()
    };
    assert_eq!(
        (channel_id.as_str(), to_address.as_str(), amount),
        ("channel-1", "wasm1host", &coin(70, "ustake"))
    );
    let memo: serde_json::Value = serde_json::from_str(memo.as_ref().unwrap()).unwrap();
    assert_eq!(memo["dest_callback"]["address"], "wasm1host");
    let deposit = &memo["aiinference_deposit"];
    assert_eq!(deposit["asker"], world.env.contract.address.as_str());
    assert_eq!(deposit["port"], format!("wasm.{}", account("client")));
    assert_eq!(
        (&deposit["connection"], &deposit["recovery"]),
        (&"connection-3".into(), &"wasm1mine".into())
    );

    let withdraw = ExecuteMsg::Withdraw {
        receiver: "wasm1mine".to_owned(),
        amount: None,
        max_price: Some(5u128.into()),
    };
    assert!(world.execute("ada", withdraw.clone()).is_err());
    let response = world.execute("creator", withdraw).unwrap();
    let CosmosMsg::Wasm(WasmMsg::Execute { msg, .. }) = &response.messages[0].msg else {
        panic!()
    };
    let ClientMsg::Withdraw(withdraw) = from_json(msg).unwrap() else {
        panic!()
    };
    assert_eq!((withdraw.denom.as_str(), &withdraw.amount), ("stake", &None));
    assert_eq!(withdraw.max_price.as_deref(), Some("5"));
    let amount = "69".to_owned();
    let response = world.answer(&withdraw.callback.unwrap().msg, Outcome::Withdrawn { amount });
    assert_eq!(
        (action(&response), response.attributes[2].value.as_str()),
        ("withdraw", "69")
    );
}

#[test]
fn another_contracts_state_is_not_migrated() {
    let mut world = world();
    contract::migrate(world.deps.as_mut(), mock_env(), MigrateMsg {}).unwrap();
    cw2::set_contract_version(&mut world.deps.storage, "someone:else", "0.0.1").unwrap();
    assert!(contract::migrate(world.deps.as_mut(), mock_env(), MigrateMsg {}).is_err());
}
