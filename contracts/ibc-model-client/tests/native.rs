//! The contract run natively, message by message.

use aiinference_std::{remote, Model, Tensor};
use aiinference_types::{
    v1::{self, acknowledgement::Result as Ended, answer, packet_data::Operation as Payload},
    ErrorCode,
};
use cosmwasm_std::{
    from_json,
    testing::{message_info, mock_dependencies, mock_env, MockApi, MockQuerier, MockStorage},
    to_json_binary, Addr, Binary, CosmosMsg, Empty, Env, IbcAcknowledgement, IbcBasicResponse, IbcChannel,
    IbcChannelCloseMsg, IbcChannelConnectMsg, IbcChannelOpenMsg, IbcEndpoint, IbcMsg, IbcOrder, IbcPacket,
    IbcPacketAckMsg, IbcPacketTimeoutMsg, IbcTimeout, IbcTimeoutBlock, MsgResponse, OwnedDeps, Reply, ReplyOn,
    Response, SubMsg, SubMsgResponse, SubMsgResult, Timestamp, WasmMsg,
};
use ibc_model_client::{
    contract,
    msg::{
        Allowed, Ask, Callback, CallbackMsg, Channel, Config, ExecuteMsg, Height, InstantiateMsg, MigrateMsg,
        ModelAnswer, Outcome, Peer, PendingPacket, QueryMsg, Question, QuestionResponse, Sent, SetRecovery, State,
        Timeout, Withdraw,
    },
    ContractError,
};
use proptest::prelude::*;
use prost::Message;

const CHANNEL: &str = "channel-4";

struct World {
    deps: OwnedDeps<MockStorage, MockApi, MockQuerier>,
    env: Env,
    packets: Vec<IbcPacket>,
}

fn owner() -> Addr {
    MockApi::default().addr_make("owner")
}

fn asker() -> Addr {
    MockApi::default().addr_make("asker")
}

fn instantiate_msg() -> InstantiateMsg {
    InstantiateMsg {
        owner: None,
        allowed: None,
        max_callback_gas: None,
        max_packet_bytes: None,
    }
}

fn peer() -> Peer {
    Peer {
        connection: "connection-1".to_owned(),
        port: "wasm.host".to_owned(),
    }
}

fn channel(version: &str, order: IbcOrder) -> IbcChannel {
    let here = IbcEndpoint {
        port_id: "wasm.client".to_owned(),
        channel_id: CHANNEL.to_owned(),
    };
    let there = IbcEndpoint {
        port_id: peer().port,
        channel_id: "channel-9".to_owned(),
    };
    IbcChannel::new(here, there, order, version, peer().connection)
}

fn good_channel() -> IbcChannel {
    channel("aiinference-1", IbcOrder::Unordered)
}

/// A contract with an open channel.
fn world() -> World {
    let mut world = unconnected(instantiate_msg());
    let msg = IbcChannelConnectMsg::new_ack(good_channel(), "aiinference-1");
    contract::ibc_channel_connect(world.deps.as_mut(), mock_env(), msg).unwrap();
    world
}

fn unconnected(msg: InstantiateMsg) -> World {
    let mut deps = mock_dependencies();
    contract::instantiate(deps.as_mut(), mock_env(), message_info(&owner(), &[]), msg).unwrap();
    World {
        deps,
        env: mock_env(),
        packets: vec![],
    }
}

fn query() -> remote::Query {
    remote::Query::new()
        .step(&Model::new(7), [Tensor::from_i64s(&[1, 2, 3])])
        .gas_limit(1_000_000)
        .memo(*b"note")
}

fn callback() -> Callback {
    Callback {
        msg: b"token 5".to_vec().into(),
        gas_limit: 300_000,
    }
}

fn question(queries: usize, callback: Option<Callback>) -> Ask {
    let ask = Ask::new(CHANNEL).denom("uatom");
    Ask {
        queries: vec![query().encode().into(); queries],
        callback,
        ..ask
    }
}

fn ask(queries: usize, callback: Option<Callback>) -> ExecuteMsg {
    ExecuteMsg::Ask(question(queries, callback))
}

fn infer_response() -> v1::InferResponse {
    v1::InferResponse {
        outputs: vec![v1::Tensor::from_integers("y".to_owned(), vec![2], 4, -9, 9, &[1, -2])],
        receipt: Some(v1::Receipt {
            models: vec![v1::ModelUsed {
                code_id: 7,
                checksum: vec![1; 32],
                op_set: 0,
            }],
            inputs_hash: vec![2; 32],
            outputs_hash: vec![3; 32],
            gas: 12_345,
            gas_schedule: 1,
            saturated: false,
        }),
    }
}

fn run_answer() -> v1::Answer {
    v1::Answer {
        price: "17".to_owned(),
        memo: b"note".to_vec(),
        result: Some(answer::Result::Run(v1::RunAnswer {
            reads: vec![],
            infer: Some(infer_response()),
        })),
    }
}

fn acknowledgement(result: Ended) -> Vec<u8> {
    v1::Acknowledgement {
        version: 1,
        height: 55,
        time: 1_700_000_000_000_000_000,
        result: Some(result),
    }
    .encode_to_vec()
}

fn answers(count: usize) -> Vec<u8> {
    acknowledgement(Ended::Answers(v1::Answers {
        answers: vec![run_answer(); count],
    }))
}

impl World {
    fn execute(&mut self, sender: &Addr, msg: ExecuteMsg) -> Result<Response, ContractError> {
        contract::execute(self.deps.as_mut(), self.env.clone(), message_info(sender, &[]), msg)
    }

    /// Executes and lets the chain take the packet; the question's number.
    fn send(&mut self, msg: ExecuteMsg) -> Result<u64, ContractError> {
        let response = self.execute(&asker(), msg)?;
        let Sent { id } = from_json(response.data.unwrap()).unwrap();
        let [SubMsg {
            id: reply_id,
            payload,
            msg,
            reply_on: ReplyOn::Success,
            ..
        }] = &response.messages[..]
        else {
            panic!("{:?}", response.messages)
        };
        let CosmosMsg::Ibc(IbcMsg::SendPacket {
            channel_id,
            data,
            timeout,
        }) = msg
        else {
            panic!()
        };
        let sequence = self.packets.len() as u64 + 1;
        let end = |port_id: &str, channel_id: &str| IbcEndpoint {
            port_id: port_id.to_owned(),
            channel_id: channel_id.to_owned(),
        };
        let (src, dest) = (end("wasm.client", channel_id), end("wasm.host", "channel-9"));
        self.packets
            .push(IbcPacket::new(data.clone(), src, dest, sequence, timeout.clone()));
        // MsgIBCSendResponse { sequence }
        let told = MsgResponse {
            type_url: "/cosmwasm.wasm.v1.MsgIBCSendResponse".to_owned(),
            value: vec![8, sequence as u8].into(),
        };
        let reply = self.reply(*reply_id, payload.clone(), Ok(vec![told])).unwrap();
        assert!(reply.data.is_none(), "the number in the data must stay");
        Ok(id)
    }

    fn reply(
        &mut self,
        id: u64,
        payload: Binary,
        result: Result<Vec<MsgResponse>, &str>,
    ) -> Result<Response, ContractError> {
        #[allow(deprecated)]
        let result = match result {
            Ok(msg_responses) => SubMsgResult::Ok(SubMsgResponse {
                events: vec![],
                data: None,
                msg_responses,
            }),
            Err(text) => SubMsgResult::Err(text.to_owned()),
        };
        let reply = Reply {
            id,
            payload,
            gas_used: 0,
            result,
        };
        contract::reply(self.deps.as_mut(), self.env.clone(), reply)
    }

    fn acknowledge(&mut self, packet: usize, data: impl Into<Binary>) -> IbcBasicResponse {
        let packet = self.packets[packet].clone();
        let msg = IbcPacketAckMsg::new(IbcAcknowledgement::new(data), packet, Addr::unchecked("relayer"));
        contract::ibc_packet_ack(self.deps.as_mut(), self.env.clone(), msg).unwrap()
    }

    fn time_out(&mut self, packet: usize) -> IbcBasicResponse {
        let msg = IbcPacketTimeoutMsg::new(self.packets[packet].clone(), Addr::unchecked("relayer"));
        contract::ibc_packet_timeout(self.deps.as_mut(), self.env.clone(), msg).unwrap()
    }

    fn ask_query<T: serde::de::DeserializeOwned>(&self, msg: QueryMsg) -> T {
        from_json(contract::query(self.deps.as_ref(), self.env.clone(), msg).unwrap()).unwrap()
    }

    fn question(&self, id: u64) -> Option<QuestionResponse> {
        self.ask_query(QueryMsg::Question { id })
    }

    fn pending(&self) -> Vec<PendingPacket> {
        self.ask_query(QueryMsg::Pending {
            channel: CHANNEL.to_owned(),
            start_after: None,
            limit: None,
        })
    }

    /// Everything that is stored, but for what stays for ever.
    fn stored(&self) -> usize {
        use cosmwasm_std::{Order, Storage};
        self.deps.storage.range(None, None, Order::Ascending).count()
    }
}

/// The one callback among the messages.
fn called(response: &IbcBasicResponse) -> (&SubMsg, ModelAnswer) {
    let [message] = &response.messages[..] else {
        panic!("{response:?}")
    };
    (message, told(&message.msg))
}

fn told(message: &CosmosMsg<Empty>) -> ModelAnswer {
    let CosmosMsg::Wasm(WasmMsg::Execute {
        contract_addr,
        msg,
        funds,
    }) = message
    else {
        panic!("{message:?}")
    };
    assert_eq!((contract_addr.as_str(), funds.len()), (asker().as_str(), 0));
    let CallbackMsg::ModelAnswer(answer) = from_json(msg).unwrap();
    answer
}

fn failure(outcome: &Outcome) -> (Option<ErrorCode>, &str) {
    match outcome {
        Outcome::Error(failure) => (failure.code(), &failure.message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_question_becomes_a_packet_of_the_sender() {
    let mut world = world();
    let id = world.send(ask(2, Some(callback()))).unwrap();
    let data = v1::PacketData::decode(&world.packets[0].data[..]).unwrap();
    let Some(Payload::Ask(packet)) = data.operation else {
        panic!()
    };
    assert_eq!(data.version, 1);
    assert_eq!(
        (packet.asker.as_str(), packet.denom.as_str()),
        (asker().as_str(), "uatom")
    );
    assert_eq!((packet.queries.len(), packet.valid_until), (2, 0));
    assert_eq!(packet.queries[0].encode_to_vec(), query().encode());
    let later = mock_env().block.time.plus_seconds(600);
    assert_eq!(world.packets[0].timeout, IbcTimeout::with_timestamp(later));

    let question = world.question(id).unwrap();
    assert_eq!(question.question.state, State::Sent {});
    assert_eq!((question.question.sequence, question.result), (1, None));
    assert_eq!(world.pending(), [PendingPacket { sequence: 1, id }]);
}

#[test]
fn timeouts_and_times_to_live_are_as_asked_for() {
    let mut world = world();
    let block = IbcTimeoutBlock {
        revision: 3,
        height: 900,
    };
    let height = Height {
        revision: 3,
        height: 900,
    };
    let now = mock_env().block.time;
    let with = |seconds, height| {
        ExecuteMsg::Ask(Ask {
            timeout: Timeout { seconds, height },
            ..question(1, None).valid_for(60)
        })
    };
    for (msg, timeout) in [
        (with(Some(5), None), IbcTimeout::with_timestamp(now.plus_seconds(5))),
        (with(None, Some(height)), IbcTimeout::with_block(block)),
        (
            with(Some(5), Some(height)),
            IbcTimeout::with_both(block, now.plus_seconds(5)),
        ),
    ] {
        world.send(msg).unwrap();
        let packet = world.packets.last().unwrap();
        assert_eq!(packet.timeout, timeout);
        let Some(Payload::Ask(ask)) = v1::PacketData::decode(&packet.data[..]).unwrap().operation else {
            panic!()
        };
        assert_eq!(ask.valid_until, now.plus_seconds(60).nanos());
    }
    for seconds in [0, u64::MAX, 1 << 40] {
        let refused = world.send(with(Some(seconds), None)).unwrap_err();
        assert!(matches!(refused, ContractError::Duration { .. }), "{refused}");
    }
}

#[test]
fn an_answer_is_told_once_and_leaves_nothing() {
    let mut world = world();
    let before = world.stored();
    let id = world.send(ask(1, Some(callback()))).unwrap();
    let response = world.acknowledge(0, answers(1));
    let (message, answer) = called(&response);
    assert_eq!(message.gas_limit, Some(300_000));
    assert_eq!((answer.id, answer.initiator.as_str()), (id, asker().as_str()));
    assert_eq!(&answer.initiator_msg[..], b"token 5");
    let Outcome::Answered {
        height: 55,
        answers: list,
        ..
    } = answer.result
    else {
        panic!()
    };
    assert_eq!((list[0].price.as_str(), &list[0].memo[..]), ("17", &b"note"[..]));
    let outputs = list[0].outputs().unwrap();
    assert_eq!(outputs.get("y").unwrap().integers().collect::<Vec<_>>(), [1, -2]);
    assert_eq!(outputs.receipt().gas, 12_345);

    // The number of the last question is all that is new.
    assert_eq!(world.stored(), before + 1);
    assert_eq!((world.question(id), world.pending()), (None, vec![]));
    // A second acknowledgement or a timeout, which no chain sends, does nothing.
    assert!(world.acknowledge(0, answers(1)).messages.is_empty());
    assert!(world.time_out(0).messages.is_empty());
}

#[test]
fn a_failed_callback_is_kept_and_delivered_again_once() {
    let mut world = world();
    for big in [false, true] {
        let before = world.stored();
        let id = world.send(ask(1, Some(callback()))).unwrap();
        let mut answer = run_answer();
        if let (true, Some(answer::Result::Run(run))) = (big, &mut answer.result) {
            run.reads = vec![vec![7; 200_000]];
        }
        let data = acknowledgement(Ended::Answers(v1::Answers { answers: vec![answer] }));
        let packet = world.packets.len() - 1;
        let response = world.acknowledge(packet, data);
        let (message, first) = called(&response);
        assert!(matches!(first.result, Outcome::Answered { .. }));
        // While the callback runs nobody can touch the question.
        assert_eq!(world.question(id), None);
        let deliver = ExecuteMsg::Deliver { id, gas_limit: 1 };
        for msg in [deliver.clone(), ExecuteMsg::Discard { id }] {
            let refused = world.execute(&asker(), msg).unwrap_err();
            assert!(matches!(refused, ContractError::Question { .. }), "{refused}");
        }
        world
            .reply(message.id, message.payload.clone(), Err("codespace: sdk, code: 11"))
            .unwrap();

        let QuestionResponse { question, result } = world.question(id).unwrap();
        let State::Undelivered { reason } = question.state else {
            panic!()
        };
        assert!(reason.contains("gas limit of 300000"), "{reason}");
        assert_eq!(result.unwrap(), first.result);

        let stranger = MockApi::default().addr_make("stranger");
        let refused = world.execute(&stranger, deliver.clone()).unwrap_err();
        assert!(matches!(refused, ContractError::Unauthorized { .. }));
        let response = world
            .execute(&owner(), ExecuteMsg::Deliver { id, gas_limit: 900_000 })
            .unwrap();
        let [message] = &response.messages[..] else { panic!() };
        assert_eq!((message.gas_limit, &message.reply_on), (Some(900_000), &ReplyOn::Never));
        assert_eq!(told(&message.msg), first);
        assert!(world.execute(&asker(), deliver).is_err());
        assert_eq!(world.question(id), None);
        assert_eq!(world.stored(), before + usize::from(!big));
    }
}

#[test]
fn a_large_result_leaves_nothing_after_its_callback() {
    let mut world = world();
    let id = world.send(ask(1, Some(callback()))).unwrap();
    let before = world.stored();
    let mut answer = run_answer();
    if let Some(answer::Result::Run(run)) = &mut answer.result {
        run.reads = vec![vec![7; 200_000]];
    }
    let response = world.acknowledge(
        0,
        acknowledgement(Ended::Answers(v1::Answers { answers: vec![answer] })),
    );
    let (message, told) = called(&response);
    assert_eq!(told.result.answers().unwrap()[0].run().unwrap().reads[0].len(), 200_000);
    // What a chain promises to carry.
    assert!(message.payload.len() <= 128 << 10);
    assert_eq!(message.reply_on, ReplyOn::Always);
    world.reply(message.id, message.payload.clone(), Ok(vec![])).unwrap();
    assert_eq!(world.question(id), None);
    // Question, index and pending entry are gone.
    assert_eq!(world.stored(), before - 3);
}

#[test]
fn without_a_callback_the_result_is_kept_until_discarded() {
    let mut world = world();
    let before = world.stored();
    let id = world.send(ask(1, None)).unwrap();
    assert!(matches!(
        world.execute(&asker(), ExecuteMsg::Discard { id }),
        Err(ContractError::Question { .. })
    ));
    let response = world.acknowledge(0, answers(1));
    assert!(response.messages.is_empty());
    let QuestionResponse { question, result } = world.question(id).unwrap();
    assert_eq!(question.state, State::Kept {});
    assert!(matches!(result, Some(Outcome::Answered { .. })));
    let listed: Vec<Question> = world.ask_query(QueryMsg::Questions {
        initiator: asker().to_string(),
        start_after: None,
        limit: None,
    });
    assert_eq!(listed, [question]);
    assert!(world
        .execute(&asker(), ExecuteMsg::Deliver { id, gas_limit: 1 })
        .is_err());
    assert!(matches!(
        world.execute(&owner(), ExecuteMsg::Discard { id }),
        Err(ContractError::Unauthorized { .. })
    ));
    world.execute(&asker(), ExecuteMsg::Discard { id }).unwrap();
    assert_eq!(world.stored(), before + 1);
}

#[test]
fn a_timeout_is_told_as_such() {
    let mut world = world();
    world.send(ask(1, Some(callback()))).unwrap();
    let response = world.time_out(0);
    assert_eq!(failure(&called(&response).1.result).0, Some(ErrorCode::TimedOut));
    assert!(world.pending().is_empty());
}

#[test]
fn an_answer_that_comes_too_late_is_not_handed_on() {
    let mut world = world();
    for late in [false, true] {
        world.env = mock_env();
        let msg = question(1, Some(callback())).valid_for(60);
        world.send(ExecuteMsg::Ask(msg)).unwrap();
        let packet = world.packets.len() - 1;
        let until = mock_env().block.time.plus_seconds(60);
        world.env.block.time = if late { until.plus_nanos(1) } else { until };
        let response = world.acknowledge(packet, answers(1));
        match called(&response).1.result {
            Outcome::Answered { .. } => assert!(!late),
            other => assert_eq!((late, failure(&other).0), (true, Some(ErrorCode::Expired))),
        }
    }
}

#[test]
fn credit_is_withdrawn_and_recovered_in_the_senders_name() {
    let mut world = world();
    let withdraw = ExecuteMsg::Withdraw(Withdraw {
        channel: CHANNEL.to_owned(),
        denom: "uatom".to_owned(),
        amount: Some("50".to_owned()),
        receiver: "wasm1there".to_owned(),
        max_price: Some("007".to_owned()),
        timeout: Timeout::default(),
        callback: Some(callback()),
    });
    let recovery = ExecuteMsg::SetRecovery(SetRecovery {
        channel: CHANNEL.to_owned(),
        recovery: "wasm1mine".to_owned(),
        denom: String::new(),
        max_price: None,
        timeout: Timeout::default(),
        callback: Some(callback()),
    });
    world.send(withdraw).unwrap();
    world.send(recovery).unwrap();
    let payload = |packet: &IbcPacket| v1::PacketData::decode(&packet.data[..]).unwrap().operation.unwrap();
    let Payload::Withdraw(withdraw) = payload(&world.packets[0]) else {
        panic!()
    };
    assert_eq!(
        (
            withdraw.asker.as_str(),
            withdraw.amount.as_str(),
            withdraw.max_price.as_str()
        ),
        (asker().as_str(), "50", "7")
    );
    let Payload::SetRecovery(recovery) = payload(&world.packets[1]) else {
        panic!()
    };
    assert_eq!(
        (
            recovery.asker.as_str(),
            recovery.recovery.as_str(),
            recovery.max_price.as_str()
        ),
        (asker().as_str(), "wasm1mine", "")
    );

    let amount = "50".to_owned();
    let paid = acknowledgement(Ended::Withdrawn(v1::Withdrawn { amount: amount.clone() }));
    // An answer to another kind of question is none.
    assert_eq!(
        failure(&called(&world.acknowledge(1, paid.clone())).1.result).0,
        Some(ErrorCode::MalformedAnswer)
    );
    assert_eq!(
        called(&world.acknowledge(0, paid)).1.result,
        Outcome::Withdrawn { amount }
    );
}

#[test]
fn the_answering_chains_own_refusals_are_told_with_their_text() {
    let mut world = world();
    world.send(ask(1, Some(callback()))).unwrap();
    let response = world.acknowledge(
        0,
        br#"{"error":"ABCI code: 5: error\u0007 handling packet: see events"}"#,
    );
    let answer = called(&response).1;
    let (code, text) = failure(&answer.result);
    assert_eq!(code, Some(ErrorCode::RefusedByChain));
    assert_eq!(text, "ABCI code: 5: error  handling packet: see events");

    world.send(ask(1, Some(callback()))).unwrap();
    let error = v1::Error {
        code: ErrorCode::GasLimitTooHigh as u32,
        message: "x".repeat(2_000),
        step: 0,
    };
    let response = world.acknowledge(1, acknowledgement(Ended::Error(error)));
    let answer = called(&response).1;
    let (code, text) = failure(&answer.result);
    assert_eq!((code, text.len()), (Some(ErrorCode::GasLimitTooHigh), 512));
}

#[test]
fn what_is_no_answer_is_told_as_malformed() {
    let answered = |change: fn(&mut v1::Answer)| {
        let mut answer = run_answer();
        change(&mut answer);
        acknowledgement(Ended::Answers(v1::Answers { answers: vec![answer] }))
    };
    let mut versioned = answers(1);
    versioned[1] = 2;
    let cases = [
        vec![],
        b"AQ==".to_vec(),
        vec![0xff; 40],
        br#"{"result":"AQ=="}"#.to_vec(),
        br#"{"error":1}"#.to_vec(),
        br#"{"error":"a","result":"b"}"#.to_vec(),
        [b"{\"error\":".to_vec(), vec![b'['; 200_000]].concat(),
        vec![b'{'; 300_000],
        versioned,
        answers(0),
        answers(2),
        answered(|answer| answer.memo = b"other".to_vec()),
        answered(|answer| answer.price = "-1".to_owned()),
        answered(|answer| answer.result = None),
        answered(|answer| answer.result = Some(answer::Result::Run(v1::RunAnswer::default()))),
        answered(|answer| answer.result = Some(answer::Result::Description(v1::Description::default()))),
        acknowledgement(Ended::RecoverySet(v1::RecoverySet {})),
    ];
    for case in cases {
        let mut world = world();
        world.send(ask(1, Some(callback()))).unwrap();
        let shown = format!("{:.80?}", case);
        let response = world.acknowledge(0, case);
        let answer = called(&response).1;
        assert_eq!(failure(&answer.result).0, Some(ErrorCode::MalformedAnswer), "{shown}");
    }
}

#[test]
fn what_cannot_be_asked_is_refused_before_it_is_sent() {
    type Check = fn(&ContractError) -> bool;
    let changed = |change: fn(&mut Ask)| {
        let mut msg = question(1, Some(callback()));
        change(&mut msg);
        ExecuteMsg::Ask(msg)
    };
    let gas = |gas_limit| {
        let callback = Callback {
            gas_limit,
            ..callback()
        };
        ask(1, Some(callback))
    };
    let large = Tensor::from_u8s(&[1; 60_000]);
    let large = remote::Query::new().step(&Model::new(1), [large]);
    let large = (0..5).fold(Ask::new(CHANNEL), |ask, _| ask.query(&large));
    let withdraw = |amount: Option<&str>, max_price: Option<&str>| {
        ExecuteMsg::Withdraw(Withdraw {
            channel: CHANNEL.to_owned(),
            denom: "uatom".to_owned(),
            amount: amount.map(str::to_owned),
            receiver: "wasm1there".to_owned(),
            max_price: max_price.map(str::to_owned),
            timeout: Timeout::default(),
            callback: None,
        })
    };
    let cases: [(ExecuteMsg, Check); 11] = [
        (ask(0, None), |e| matches!(e, ContractError::QueryCount(0))),
        (ask(257, None), |e| matches!(e, ContractError::QueryCount(257))),
        (changed(|msg| msg.queries.push(vec![0xff].into())), |e| {
            matches!(e, ContractError::Query { index: 1, .. })
        }),
        (ExecuteMsg::Ask(large), |e| {
            matches!(e, ContractError::PacketTooLarge { max: 262_144, .. })
        }),
        (changed(|msg| msg.denom = "d".repeat(129)), |e| {
            matches!(e, ContractError::Length { .. })
        }),
        (gas(0), |e| matches!(e, ContractError::CallbackGas { .. })),
        (gas(5_000_001), |e| {
            matches!(e, ContractError::CallbackGas { max: 5_000_000, .. })
        }),
        (
            ExecuteMsg::Ask(question(1, None).callback(vec![0; (16 << 10) + 1], 1)),
            |e| matches!(e, ContractError::CallbackMsg { .. }),
        ),
        (changed(|msg| msg.channel = "channel-5".to_owned()), |e| {
            matches!(e, ContractError::UnknownChannel(_))
        }),
        (withdraw(Some("-5"), None), |e| {
            matches!(e, ContractError::Amount { name: "amount", .. })
        }),
        (withdraw(None, Some("1.5")), |e| {
            matches!(e, ContractError::Amount { name: "max_price", .. })
        }),
    ];
    let mut world = world();
    let before = world.stored();
    for (msg, check) in cases {
        let error = world.send(msg).unwrap_err();
        assert!(check(&error), "{error}");
    }
    assert_eq!(world.stored(), before);
}

#[test]
fn a_question_on_a_closed_channel_is_abandoned_once() {
    for told in [true, false] {
        let mut world = world();
        let id = world.send(ask(1, told.then(callback))).unwrap();
        let abandon = |id| ExecuteMsg::Abandon { id };
        // Not while an answer may come, and not a question that was never asked.
        assert!(matches!(
            world.execute(&asker(), abandon(id)),
            Err(ContractError::OpenChannel(channel)) if channel == CHANNEL
        ));
        assert!(matches!(
            world.execute(&asker(), abandon(id + 1)),
            Err(ContractError::Question { .. })
        ));
        let close = IbcChannelCloseMsg::new_confirm(good_channel());
        contract::ibc_channel_close(world.deps.as_mut(), mock_env(), close).unwrap();
        let stranger = MockApi::default().addr_make("stranger");
        assert!(matches!(
            world.execute(&stranger, abandon(id)),
            Err(ContractError::Unauthorized { .. })
        ));
        let by = if told { asker() } else { owner() };
        let response = world.execute(&by, abandon(id)).unwrap();
        assert!(world.pending().is_empty());
        if told {
            let [message] = &response.messages[..] else {
                panic!("{response:?}")
            };
            assert_eq!(
                (message.reply_on.clone(), message.gas_limit),
                (ReplyOn::Error, Some(300_000))
            );
            let answer = self::told(&message.msg);
            assert_eq!(failure(&answer.result).0, Some(ErrorCode::Abandoned));
            assert_eq!(world.question(id), None);
        } else {
            assert!(response.messages.is_empty());
            let kept = world.question(id).unwrap();
            assert_eq!(kept.question.state, State::Kept {});
            assert_eq!(failure(&kept.result.unwrap()).0, Some(ErrorCode::Abandoned));
        }
        // No second end, whoever asks for it and whatever comes.
        assert!(matches!(
            world.execute(&by, abandon(id)),
            Err(ContractError::Question { .. })
        ));
        for response in [world.time_out(0), world.acknowledge(0, answers(1))] {
            assert!(response.messages.is_empty());
            assert_eq!(response.attributes[0].value, "unknown");
        }
    }
}

#[test]
fn channels_are_of_this_protocol_and_of_whom_the_owner_allows() {
    let open = |world: &mut World, channel: IbcChannel| {
        contract::ibc_channel_open(world.deps.as_mut(), mock_env(), IbcChannelOpenMsg::new_init(channel))
    };
    let mut world = unconnected(instantiate_msg());
    open(&mut world, good_channel()).unwrap();
    assert!(matches!(
        open(&mut world, channel("ics20-1", IbcOrder::Unordered)),
        Err(ContractError::Version(_))
    ));
    assert!(matches!(
        open(&mut world, channel("aiinference-1", IbcOrder::Ordered)),
        Err(ContractError::Ordered)
    ));
    let other = IbcChannelOpenMsg::new_try(good_channel(), "aiinference-2");
    assert!(contract::ibc_channel_open(world.deps.as_mut(), mock_env(), other).is_err());
    let other = IbcChannelConnectMsg::new_ack(good_channel(), "aiinference-2");
    assert!(contract::ibc_channel_connect(world.deps.as_mut(), mock_env(), other).is_err());

    let elsewhere = Peer {
        connection: "connection-2".to_owned(),
        ..peer()
    };
    for (allowed, taken) in [(peer(), true), (elsewhere.clone(), false)] {
        let allowed = Some(vec![allowed]);
        let mut world = unconnected(InstantiateMsg {
            allowed,
            ..instantiate_msg()
        });
        assert_eq!(open(&mut world, good_channel()).is_ok(), taken);
        let connect = IbcChannelConnectMsg::new_confirm(good_channel());
        assert_eq!(
            contract::ibc_channel_connect(world.deps.as_mut(), mock_env(), connect).is_ok(),
            taken
        );
    }

    // Who falls from grace is not asked any more.
    let mut world = self::world();
    let update = |allowed| ExecuteMsg::UpdateConfig {
        owner: None,
        allowed: Some(allowed),
        max_callback_gas: None,
        max_packet_bytes: None,
    };
    world
        .execute(&owner(), update(Allowed::These(vec![elsewhere])))
        .unwrap();
    assert!(matches!(
        world.send(ask(1, None)),
        Err(ContractError::NotAllowed { .. })
    ));
    world.execute(&owner(), update(Allowed::Any {})).unwrap();
    world.send(ask(1, None)).unwrap();
    let channels: Vec<Channel> = world.ask_query(QueryMsg::Channels {
        start_after: None,
        limit: None,
    });
    assert_eq!(
        (channels[0].peer.clone(), channels[0].counterparty_channel.as_str()),
        (peer(), "channel-9")
    );
}

#[test]
fn only_the_owner_closes_channels_and_questions_on_them_still_end() {
    let mut world = world();
    world.send(ask(1, Some(callback()))).unwrap();
    let init = || IbcChannelCloseMsg::new_init(good_channel());
    // ibc-go lets anybody submit this.
    let refused = contract::ibc_channel_close(world.deps.as_mut(), mock_env(), init()).unwrap_err();
    assert!(matches!(refused, ContractError::ForeignClose(_)));
    let close = ExecuteMsg::CloseChannel {
        channel: CHANNEL.to_owned(),
    };
    assert!(matches!(
        world.execute(&asker(), close.clone()),
        Err(ContractError::Unauthorized { .. })
    ));
    let response = world.execute(&owner(), close.clone()).unwrap();
    assert!(
        matches!(&response.messages[0].msg, CosmosMsg::Ibc(IbcMsg::CloseChannel { channel_id }) if channel_id == CHANNEL)
    );
    contract::ibc_channel_close(world.deps.as_mut(), mock_env(), init()).unwrap();
    assert!(contract::ibc_channel_close(world.deps.as_mut(), mock_env(), init()).is_err());
    assert!(matches!(world.send(ask(1, None)), Err(ContractError::ClosedChannel(_))));
    assert!(world.execute(&owner(), close).is_err());
    let response = world.time_out(0);
    assert_eq!(failure(&called(&response).1.result).0, Some(ErrorCode::TimedOut));

    // The other end may always close.
    let mut world = self::world();
    let confirm = IbcChannelCloseMsg::new_confirm(good_channel());
    contract::ibc_channel_close(world.deps.as_mut(), mock_env(), confirm).unwrap();
    assert!(matches!(world.send(ask(1, None)), Err(ContractError::ClosedChannel(_))));
}

#[test]
fn only_the_owner_configures_within_the_limits() {
    let mut world = world();
    let update = |owner: Option<String>, gas, bytes| ExecuteMsg::UpdateConfig {
        owner,
        allowed: None,
        max_callback_gas: gas,
        max_packet_bytes: bytes,
    };
    let refused = world.execute(&asker(), update(None, Some(1), None)).unwrap_err();
    assert!(matches!(refused, ContractError::Unauthorized { .. }));
    for (gas, bytes) in [
        (Some(0), None),
        (Some(u64::MAX), None),
        (None, Some(0)),
        (None, Some(262_145)),
    ] {
        let refused = world.execute(&owner(), update(None, gas, bytes)).unwrap_err();
        assert!(matches!(refused, ContractError::Setting { .. }));
    }
    world
        .execute(&owner(), update(Some(asker().to_string()), Some(1_000), Some(40)))
        .unwrap();
    let config: Config = world.ask_query(QueryMsg::Config {});
    assert_eq!(
        (config.owner, config.max_callback_gas, config.max_packet_bytes),
        (asker(), 1_000, 40)
    );
    assert!(world.execute(&owner(), update(None, Some(5), None)).is_err());
    assert!(matches!(
        world.send(ask(1, None)),
        Err(ContractError::PacketTooLarge { max: 40, .. })
    ));
}

#[test]
fn lists_come_in_pages() {
    let mut world = world();
    for _ in 0..5 {
        world.send(ask(1, None)).unwrap();
    }
    let page = |start_after| QueryMsg::Questions {
        initiator: asker().to_string(),
        start_after,
        limit: Some(2),
    };
    let ids = |list: Vec<Question>| list.iter().map(|question| question.id).collect::<Vec<_>>();
    assert_eq!(ids(world.ask_query(page(None))), [1, 2]);
    assert_eq!(ids(world.ask_query(page(Some(4)))), [5]);
    let packets: Vec<PendingPacket> = world.ask_query(QueryMsg::Pending {
        channel: CHANNEL.to_owned(),
        start_after: Some(1),
        limit: Some(2),
    });
    assert_eq!(packets.iter().map(|packet| packet.sequence).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn another_contracts_state_is_not_migrated() {
    let mut world = world();
    let response = contract::migrate(world.deps.as_mut(), mock_env(), MigrateMsg {}).unwrap();
    assert_eq!(response.attributes[0].value, "migrate");
    cw2::set_contract_version(&mut world.deps.storage, "someone:else", "0.0.1").unwrap();
    assert!(contract::migrate(world.deps.as_mut(), mock_env(), MigrateMsg {}).is_err());
}

#[test]
fn messages_read_as_documented() {
    let msg: ExecuteMsg = from_json(br#"{"ask":{"channel":"channel-4","queries":["CgA="]}}"#).unwrap();
    let expected = Ask {
        queries: vec![vec![10, 0].into()],
        ..Ask::new(CHANNEL)
    };
    assert_eq!(msg, ExecuteMsg::Ask(expected.clone()));
    // What contracts send is what this one takes.
    let sent = to_json_binary(&remote::ClientMsg::Ask(expected)).unwrap();
    assert_eq!(from_json::<ExecuteMsg>(sent).unwrap(), msg);
    assert!(from_json::<ExecuteMsg>(br#"{"ask":{"channel":"channel-4","queries":[],"memo":""}}"#).is_err());
    let answer = CallbackMsg::ModelAnswer(ModelAnswer {
        id: 7,
        initiator: "me".to_owned(),
        initiator_msg: vec![1].into(),
        result: Outcome::Answered {
            height: 9,
            time: Timestamp::from_nanos(5).into(),
            answers: vec![],
        },
    });
    let expected = r#"{"model_answer":{"id":7,"initiator":"me","initiator_msg":"AQ==","result":{"answered":{"height":9,"time":"5","answers":[]}}}}"#;
    assert_eq!(to_json_binary(&answer).unwrap(), Binary::from(expected.as_bytes()));
}

proptest! {
    #[test]
    fn damaged_acknowledgements_are_told_and_never_fail(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        tail in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut world = world();
        let id = world.send(ask(2, Some(callback()))).unwrap();
        let mut data = answers(2);
        for (at, byte) in damage {
            let at = at.index(data.len());
            data[at] = byte;
        }
        data.truncate(cut.index(data.len() * 2));
        data.extend(tail);
        let response = world.acknowledge(0, data);
        let (message, first) = called(&response);
        prop_assert_eq!(first.id, id);
        if let Outcome::Answered { answers, .. } = &first.result {
            for answer in answers {
                let _ = (answer.outputs(), answer.description());
            }
        }
        // Kept and told again, it says the same.
        world.reply(message.id, message.payload.clone(), Err("no")).unwrap();
        prop_assert_eq!(world.question(id).unwrap().result.unwrap(), first.result);
    }

    #[test]
    fn any_bytes_are_told_as_an_error(data in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut world = world();
        world.send(ask(1, Some(callback()))).unwrap();
        let response = world.acknowledge(0, data);
        let answer = called(&response).1;
        prop_assert!(failure(&answer.result).0.is_some());
    }

    #[test]
    fn any_text_of_a_chain_is_told_clean_and_short(text in "\\PC*|.{0,600}") {
        let mut world = world();
        world.send(ask(1, Some(callback()))).unwrap();
        let response = world.acknowledge(0, to_json_binary(&serde_json::json!({ "error": text })).unwrap());
        let answer = called(&response).1;
        let (code, shown) = failure(&answer.result);
        prop_assert_eq!(code, Some(ErrorCode::RefusedByChain));
        prop_assert!(shown.len() <= 512 && !shown.chars().any(char::is_control));
    }
}
