//! The contract as real Wasm on a chain with the stock VM, and contracts that ask through it.

use std::sync::LazyLock;

use aiinference_demo_models as models;
use aiinference_multi_test::{
    cw_multi_test::{ContractWrapper, Executor},
    Chain, ChainId, CodeStore, Link, Network, StoreOptions, Task,
};
use aiinference_std::{
    remote::{Ask, ClientMsg, ModelAnswer, Outcome, Query},
    ErrorCode, Model, Tensor,
};
use aiinference_types::ibc::VERSION;
use cosmwasm_schema::cw_serde;
use cosmwasm_std::{
    to_json_binary, Addr, Binary, Deps, DepsMut, Empty, Env, MessageInfo, Reply, Response, StdError, StdResult, SubMsg,
    WasmMsg,
};
use cw_storage_plus::Item;
use ibc_model_client::msg::{
    CallbackMsg, ExecuteMsg, InstantiateMsg, PendingPacket, QueryMsg, Question, QuestionResponse, State,
};
use serde_json::json;

/// What a chain without the extension has.
static STOCK: LazyLock<CodeStore> = LazyLock::new(|| {
    let mut options = StoreOptions::default();
    options.capabilities.remove("aiinference_1");
    CodeStore::new(options).unwrap()
});
static EXTENDED: LazyLock<CodeStore> = LazyLock::new(|| CodeStore::new(StoreOptions::default()).unwrap());

/// A contract that asks. What it does when it is called back, the message says that it gave along.
mod asker {
    use super::*;

    #[cw_serde]
    pub enum Msg {
        /// Sends this to the client.
        Send(ClientMsg),
        ModelAnswer(ModelAnswer),
    }

    pub const CLIENT: Item<Addr> = Item::new("client");
    pub const TOLD: Item<Vec<ModelAnswer>> = Item::new("told");
    /// What submessages failed with.
    pub const REFUSED: Item<Vec<String>> = Item::new("refused");

    pub fn instantiate(deps: DepsMut, _: Env, _: MessageInfo, client: String) -> StdResult<Response> {
        CLIENT.save(deps.storage, &Addr::unchecked(client))?;
        TOLD.save(deps.storage, &vec![])?;
        REFUSED.save(deps.storage, &vec![])?;
        Ok(Response::new())
    }

    pub fn execute(deps: DepsMut, _: Env, info: MessageInfo, msg: Msg) -> StdResult<Response> {
        let client = CLIENT.load(deps.storage)?;
        let to_client = |msg: &ClientMsg| -> StdResult<WasmMsg> {
            Ok(WasmMsg::Execute {
                contract_addr: client.to_string(),
                msg: to_json_binary(msg)?,
                funds: vec![],
            })
        };
        match msg {
            Msg::Send(msg) => Ok(Response::new().add_message(to_client(&msg)?)),
            Msg::ModelAnswer(answer) => {
                assert_eq!(info.sender, client);
                let id = answer.id;
                let then = answer.initiator_msg.to_vec();
                let mut told = TOLD.load(deps.storage)?;
                told.push(answer);
                TOLD.save(deps.storage, &told)?;
                let tries = match &then[..] {
                    b"fail" => return Err(StdError::msg("I do not want to know")),
                    b"meddle" => vec![
                        ClientMsg::Abandon { id },
                        ClientMsg::Deliver {
                            id,
                            gas_limit: 1_000_000,
                        },
                        ClientMsg::Discard { id },
                    ],
                    b"again" => vec![ClientMsg::Ask(question().callback(*b"note", 400_000))],
                    _ => vec![],
                };
                let tries = tries.iter().map(|msg| Ok(SubMsg::reply_on_error(to_client(msg)?, 1)));
                Ok(Response::new().add_submessages(tries.collect::<StdResult<Vec<_>>>()?))
            }
        }
    }

    pub fn reply(deps: DepsMut, _: Env, reply: Reply) -> StdResult<Response> {
        let error = reply.result.unwrap_err();
        let mut refused = REFUSED.load(deps.storage)?;
        refused.push(error);
        REFUSED.save(deps.storage, &refused)?;
        Ok(Response::new())
    }

    pub fn query(deps: Deps, _: Env, _: Empty) -> StdResult<Binary> {
        to_json_binary(&(TOLD.load(deps.storage)?, REFUSED.load(deps.storage)?))
    }
}

const CHANNEL: &str = "channel-0";

fn question() -> Ask {
    let query = Query::new()
        .step(&Model::new(1), [Tensor::from_i64s(&[1])])
        .gas_limit(1_000_000_000);
    Ask::new(CHANNEL).query(&query)
}

struct World {
    net: Network,
    here: ChainId,
    client: Addr,
    asker: Addr,
    link: Link,
}

/// The client on a stock chain, linked to a contract of the other chain that knows nothing of the protocol's packets: its
/// chain answers for it.
fn world() -> World {
    let mut net = Network::new();
    let here = net.add("asking-1", Chain::with_store(STOCK.clone()));
    let there = net.add("answering-2", Chain::with_store(EXTENDED.clone()));
    let chain = net.chain_mut(there);
    let code = chain.store_wasm(&models::contract("test-probe").unwrap()).unwrap();
    let owner = chain.account("owner");
    let probe = chain
        .instantiate_contract(code, owner, &json!({}), &[], "probe", None)
        .unwrap();

    let chain = net.chain_mut(here);
    let owner = chain.account("owner");
    let code = chain
        .store_wasm(&models::contract("ibc-model-client").unwrap())
        .unwrap();
    let msg = InstantiateMsg {
        owner: None,
        allowed: None,
        max_callback_gas: None,
        max_packet_bytes: None,
    };
    let client = chain
        .instantiate_contract(code, owner.clone(), &msg, &[], "client", None)
        .unwrap();
    let asker = ContractWrapper::new(asker::execute, asker::instantiate, asker::query).with_reply(asker::reply);
    let code = chain.store_code(Box::new(asker));
    let asker = chain
        .instantiate_contract(code, owner, &client.to_string(), &[], "asker", None)
        .unwrap();
    let link = net.link((here, &client), (there, &probe), VERSION).unwrap();
    assert_eq!(link.a_end.channel_id, CHANNEL);
    World {
        net,
        here,
        client,
        asker,
        link,
    }
}

impl World {
    fn chain(&self) -> &Chain {
        self.net.chain(self.here)
    }

    /// Has the contract ask, and be called back with this message.
    fn ask(&mut self, then: &[u8]) {
        self.send(ClientMsg::Ask(question().callback(then, 400_000))).unwrap();
    }

    fn send(&mut self, msg: ClientMsg) -> StdResult<()> {
        let chain = self.net.chain_mut(self.here);
        let anyone = chain.account("anyone");
        chain
            .execute_contract(anyone, self.asker.clone(), &asker::Msg::Send(msg), &[])
            .map(|_| ())
    }

    fn execute(&mut self, sender: &str, msg: &ExecuteMsg) -> StdResult<()> {
        let chain = self.net.chain_mut(self.here);
        let sender = chain.account(sender);
        chain
            .execute_contract(sender, self.client.clone(), msg, &[])
            .map(|_| ())
    }

    fn query<T: serde::de::DeserializeOwned>(&self, msg: &QueryMsg) -> T {
        self.chain().wrap().query_wasm_smart(&self.client, msg).unwrap()
    }

    fn question(&self, id: u64) -> Option<QuestionResponse> {
        self.query(&QueryMsg::Question { id })
    }

    fn pending(&self) -> Vec<PendingPacket> {
        self.query(&QueryMsg::Pending {
            channel: CHANNEL.to_owned(),
            start_after: None,
            limit: None,
        })
    }

    /// What the asker was told, and what it was refused.
    fn told(&self) -> (Vec<ModelAnswer>, Vec<String>) {
        self.chain().wrap().query_wasm_smart(&self.asker, &Empty {}).unwrap()
    }
}

fn code(outcome: &Outcome) -> Option<ErrorCode> {
    match outcome {
        Outcome::Error(failure) => failure.code(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stock_chain_takes_the_contract() {
    let wasm = models::contract("ibc-model-client").unwrap();
    let has = |name: &[u8]| wasm.windows(name.len()).any(|window| window == name);
    assert!(!has(b"requires_aiinference_1"));
    assert!(has(b"requires_stargate"));
    assert!(wasm.len() < 650_000, "{}", wasm.len());
}

#[test]
fn a_chain_that_answers_for_its_contract_is_quoted() {
    let mut world = world();
    world.ask(b"note");
    assert_eq!(world.pending(), [PendingPacket { sequence: 1, id: 1 }]);
    world.net.relay_all().unwrap();
    let (told, _) = world.told();
    assert_eq!(told.len(), 1);
    assert_eq!(code(&told[0].result), Some(ErrorCode::RefusedByChain));
    assert_eq!((told[0].id, &told[0].initiator_msg[..]), (1, &b"note"[..]));
    assert_eq!((world.question(1), world.pending()), (None, vec![]));
}

#[test]
fn a_packet_that_nobody_relays_times_out_once() {
    let mut world = world();
    world.ask(b"note");
    world.net.advance(std::time::Duration::from_secs(601));
    let tasks = world.net.pending().unwrap();
    assert!(matches!(&tasks[..], [Task::Timeout { .. }]));
    world.net.relay(&tasks[0]).unwrap();
    assert!(world.net.relay(&tasks[0]).map_or(true, |relayed| relayed.repeated));
    let (told, _) = world.told();
    assert_eq!((told.len(), code(&told[0].result)), (1, Some(ErrorCode::TimedOut)));
}

#[test]
fn a_callback_that_fails_stops_nothing_and_is_delivered_later() {
    let mut world = world();
    world.ask(b"fail");
    world.ask(b"note");
    world.net.relay_all().unwrap();
    assert_eq!(world.told().0.len(), 1);
    let QuestionResponse { question, result } = world.question(1).unwrap();
    let State::Undelivered { reason } = question.state else {
        panic!()
    };
    assert!(!reason.is_empty());
    assert_eq!(code(&result.unwrap()), Some(ErrorCode::RefusedByChain));
    assert!(world.pending().is_empty());

    // It fails again: all is as before.
    let deliver = ExecuteMsg::Deliver {
        id: 1,
        gas_limit: 400_000,
    };
    assert!(world.execute("anyone", &deliver).is_err());
    assert!(world.execute("owner", &deliver).is_err());
    let initiator = world.asker.to_string();
    let list = QueryMsg::Questions {
        initiator,
        start_after: None,
        limit: None,
    };
    assert_eq!(world.query::<Vec<Question>>(&list).len(), 1);
    // Its initiator forgets it.
    world.send(ClientMsg::Discard { id: 1 }).unwrap();
    assert!(world.query::<Vec<Question>>(&list).is_empty());
    assert_eq!(world.question(1), None);
}

#[test]
fn a_callback_can_ask_again_but_not_meddle_with_its_own_question() {
    let mut world = world();
    world.ask(b"meddle");
    world.net.relay_all().unwrap();
    let (told, refused) = world.told();
    assert_eq!((told.len(), refused.len()), (1, 3));
    assert_eq!(world.question(1), None);

    world.ask(b"again");
    // The second question and the one that its callback asks.
    world.net.relay_all().unwrap();
    let ids: Vec<u64> = world.told().0.iter().map(|answer| answer.id).collect();
    assert_eq!(ids, [1, 2, 3]);
}

#[test]
fn accounts_ask_too_and_fetch_what_was_kept() {
    let mut world = world();
    world.execute("alice", &ExecuteMsg::Ask(question())).unwrap();
    // An account cannot be called back.
    world
        .execute("alice", &ExecuteMsg::Ask(question().callback(*b"", 100_000)))
        .unwrap();
    world.net.relay_all().unwrap();
    let states: Vec<State> = (1..=2).map(|id| world.question(id).unwrap().question.state).collect();
    assert_eq!(states[0], State::Kept {});
    assert!(matches!(states[1], State::Undelivered { .. }));
    for id in 1..=2 {
        assert!(world.execute("owner", &ExecuteMsg::Discard { id }).is_err());
        world.execute("alice", &ExecuteMsg::Discard { id }).unwrap();
    }
}

#[test]
fn a_closed_channel_ends_its_questions() {
    let mut world = world();
    world.ask(b"note");
    let close = ExecuteMsg::CloseChannel {
        channel: CHANNEL.to_owned(),
    };
    assert!(world.execute("anyone", &close).is_err());
    world.execute("owner", &close).unwrap();
    assert!(world.execute("alice", &ExecuteMsg::Ask(question())).is_err());
    // The other end is closed first; what can no longer be received then times out.
    let close = world
        .net
        .pending()
        .unwrap()
        .into_iter()
        .find(|task| matches!(task, Task::Close { .. }));
    world.net.relay(&close.unwrap()).unwrap();
    world.net.relay_all().unwrap();
    assert_eq!(code(&world.told().0[0].result), Some(ErrorCode::TimedOut));
    assert!(world.pending().is_empty());
}

#[test]
fn a_question_whose_answer_cannot_come_any_more_is_abandoned() {
    let mut world = world();
    for then in [&b"note"[..], b"fail", b"meddle"] {
        world.ask(then);
    }
    // The packets are received and answered; then the channel is closed under the acknowledgements.
    for task in world.net.pending().unwrap() {
        world.net.relay(&task).unwrap();
    }
    world.send(ClientMsg::Abandon { id: 1 }).unwrap_err();
    let close = ExecuteMsg::CloseChannel {
        channel: CHANNEL.to_owned(),
    };
    let answered = world.net.pending().unwrap();
    assert_eq!(answered.len(), 3);
    world.execute("owner", &close).unwrap();
    for task in answered {
        assert!(matches!(task, Task::Acknowledge { .. }));
        world.net.relay(&task).unwrap_err();
    }
    assert_eq!((world.told().0.len(), world.pending().len()), (0, 3));

    world.execute("anyone", &ExecuteMsg::Abandon { id: 1 }).unwrap_err();
    world.send(ClientMsg::Abandon { id: 1 }).unwrap();
    // Its callback fails: the result is kept, as after any other end.
    world.execute("owner", &ExecuteMsg::Abandon { id: 2 }).unwrap();
    assert!(matches!(
        world.question(2).unwrap().question.state,
        State::Undelivered { .. }
    ));
    world.send(ClientMsg::Abandon { id: 3 }).unwrap();
    for id in 1..=3 {
        world.send(ClientMsg::Abandon { id }).unwrap_err();
    }
    let (told, refused) = world.told();
    let ends: Vec<_> = told.iter().map(|answer| (answer.id, code(&answer.result))).collect();
    assert_eq!(ends, [(1, Some(ErrorCode::Abandoned)), (3, Some(ErrorCode::Abandoned))]);
    assert_eq!(refused.len(), 3, "a callback does not meddle with its own question");
    assert!(world.pending().is_empty());

    // The other end is closed, too; nothing that is relayed then ends a question again.
    for task in world.net.pending().unwrap() {
        let _ = world.net.relay(&task);
    }
    assert_eq!(world.told().0.len(), 2);
}

#[test]
fn a_relayer_that_sends_too_little_gas_decides_nothing() {
    let mut world = world();
    world.ask(b"note");
    let receive = world.net.pending().unwrap().remove(0);
    world.net.relay(&receive).unwrap();
    let acknowledge = world.net.pending().unwrap().remove(0);
    assert!(matches!(acknowledge, Task::Acknowledge { .. }));
    let mut refused = 0;
    for gas in (500..).step_by(500) {
        match world.net.relay_with_gas(&acknowledge, gas) {
            Err(_) => {
                refused += 1;
                assert_eq!(world.told().0.len(), 0);
                assert_eq!(world.pending().len(), 1);
            }
            Ok(_) => break,
        }
    }
    assert!(refused > 0);
    assert_eq!(world.told().0.len(), 1);
    assert_eq!(world.question(1), None);
}

#[test]
fn channels_of_other_protocols_are_not_opened() {
    let mut world = world();
    let there = world.link.b;
    let probe = Addr::unchecked(world.link.b_end.port_id.trim_start_matches("wasm."));
    let refused = world
        .net
        .link((world.here, &world.client), (there, &probe), "ics20-1")
        .unwrap_err();
    assert!(refused.to_string().contains("aiinference-1"), "{refused}");
    // Nor from the other side.
    assert!(world
        .net
        .link((there, &probe), (world.here, &world.client), "ics20-1")
        .is_err());
    world
        .net
        .link((there, &probe), (world.here, &world.client), VERSION)
        .unwrap();
}

#[test]
fn callbacks_read_as_the_clients_message() {
    let answer = ModelAnswer {
        id: 1,
        initiator: "a".to_owned(),
        initiator_msg: vec![].into(),
        result: Outcome::RecoverySet {},
    };
    let sent = to_json_binary(&CallbackMsg::ModelAnswer(answer.clone())).unwrap();
    assert_eq!(
        cosmwasm_std::from_json::<asker::Msg>(sent).unwrap(),
        asker::Msg::ModelAnswer(answer)
    );
}
