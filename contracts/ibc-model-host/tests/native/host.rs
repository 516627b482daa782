//! The contract run natively against the real engine, with what a chain does around it: submessages and their replies.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use aiinference_demo_models as models;
use aiinference_std::testing::{std3::mock_dependencies, AiQuerier};
use aiinference_types::{
    ibc,
    v1::{self, acknowledgement, packet_data::Operation},
    ErrorCode,
};
use cosmwasm_std::{
    from_json,
    testing::{message_info, mock_env, mock_ibc_channel, MockApi, MockQuerier, MockStorage},
    Addr, BankMsg, Binary, Coin, ContractResult, CosmosMsg, Decimal, Env, IbcChannel, IbcChannelOpenMsg, IbcEndpoint,
    IbcOrder, IbcPacket, IbcPacketReceiveMsg, IbcReceiveResponse, MsgResponse, OwnedDeps, Reply, Response, SubMsg,
    SubMsgResponse, SubMsgResult, SystemError, SystemResult, Timestamp, Uint128, WasmMsg, WasmQuery,
};
use ibc_model_host::{
    contract, ibc as entry,
    msg::{AccountKey, ExecuteMsg, InstantiateMsg, Price, QueryMsg, RewardResponse, Totals},
    ContractError,
};
use prost::Message;

pub use crate::queries::*;
use serde::de::DeserializeOwned;

pub const MOOD: u64 = 5;
pub const CHANNEL: &str = "channel-0";
pub const CONNECTION: &str = "connection-2";
pub const PORT: &str = "wasm.client";
pub const DENOM: &str = "ucoin";
type Deps = OwnedDeps<MockStorage, MockApi, AiQuerier<MockQuerier>>;

/// What contracts of the chain answer, by address: to smart queries and to raw ones.
type State = Rc<RefCell<BTreeMap<String, String>>>;

pub struct Host {
    pub deps: Deps,
    pub env: Env,
    pub state: State,
    /// SDK gas that each call to itself uses.
    pub call_gas: u64,
    /// Whether replies are told so.
    pub tells_gas: bool,
    /// What a call that is stopped is told, if calls are stopped.
    pub stop: Option<String>,
    /// Whether the bank refuses to pay.
    pub bank_refuses: bool,
    /// What the contract holds.
    pub held: BTreeMap<String, u128>,
    pub events: Vec<(String, String)>,
}

/// What it answers with.
#[derive(Clone, PartialEq, Message)]
struct ExecuteResponse {
    #[prost(bytes = "vec", tag = "1")]
    data: Vec<u8>,
}

pub fn address(name: &str) -> Addr {
    MockApi::default().addr_make(name)
}

pub fn price(per_query: u128, per_gigagas: u128) -> Price {
    Price {
        denom: DENOM.to_string(),
        per_query: Uint128::new(per_query),
        per_gigagas: Uint128::new(per_gigagas),
        reward: Decimal::percent(10),
        min_deposit: None,
    }
}

pub fn channel(id: &str, connection: &str, port: &str) -> IbcChannel {
    let mut channel = mock_ibc_channel(id, IbcOrder::Unordered, ibc::VERSION);
    channel.connection_id = connection.to_string();
    channel.counterparty_endpoint.port_id = port.to_string();
    channel
}

impl Host {
    pub fn new(prices: Vec<Price>) -> Self {
        let msg = InstantiateMsg {
            owner: Some(address("owner").into()),
            prices,
            allowed: None,
            max_packet_gas: None,
            gas_multiplier: None,
            recovery_delay: None,
            transfers: None,
        };
        Host::with(msg)
    }

    pub fn with(msg: InstantiateMsg) -> Self {
        let mut deps = mock_dependencies(&[(MLP, &models::mlp().unwrap()), (MOOD, &models::mood().unwrap())]);
        let state = State::default();
        let known = state.clone();
        deps.querier.inner_mut().update_wasm(move |query| {
            let (contract_addr, key) = match query {
                WasmQuery::Smart { contract_addr, msg } => (contract_addr, String::from_utf8_lossy(msg).into_owned()),
                WasmQuery::Raw { contract_addr, key } => (contract_addr, String::from_utf8_lossy(key).into_owned()),
                _ => panic!("{query:?}"),
            };
            match (known.borrow().get(contract_addr), query) {
                (Some(text), _) if key == "{}" => SystemResult::Ok(ContractResult::Ok(text.as_bytes().into())),
                (Some(_), WasmQuery::Raw { .. }) => SystemResult::Ok(ContractResult::Ok(Binary::default())),
                (Some(_), _) => SystemResult::Ok(ContractResult::Err("unknown question".to_string())),
                (None, _) => SystemResult::Err(SystemError::NoSuchContract {
                    addr: contract_addr.clone(),
                }),
            }
        });
        let mut env = mock_env();
        env.contract.address = address("host");
        let mut host = Host {
            deps,
            env,
            state,
            call_gas: 1_000,
            tells_gas: true,
            stop: None,
            bank_refuses: false,
            held: BTreeMap::new(),
            events: vec![],
        };
        let info = message_info(&address("creator"), &[]);
        contract::instantiate(host.deps.as_mut(), host.env.clone(), info, msg).unwrap();
        host.connect(channel(CHANNEL, CONNECTION, PORT)).unwrap();
        host
    }

    pub fn connect(&mut self, channel: IbcChannel) -> Result<(), ContractError> {
        let open = IbcChannelOpenMsg::new_try(channel.clone(), ibc::VERSION);
        entry::ibc_channel_open(self.deps.as_mut(), self.env.clone(), open)?;
        let connect = cosmwasm_std::IbcChannelConnectMsg::new_confirm(channel);
        entry::ibc_channel_connect(self.deps.as_mut(), self.env.clone(), connect).map(|_| ())
    }

    pub fn close(&mut self, channel: IbcChannel) -> Result<(), ContractError> {
        let close = cosmwasm_std::IbcChannelCloseMsg::new_confirm(channel);
        entry::ibc_channel_close(self.deps.as_mut(), self.env.clone(), close).map(|_| ())
    }

    pub fn execute(&mut self, sender: &Addr, msg: ExecuteMsg, funds: &[Coin]) -> Result<Response, ContractError> {
        let info = message_info(sender, funds);
        let response = contract::execute(self.deps.as_mut(), self.env.clone(), info, msg)?;
        for coin in funds {
            *self.held.entry(coin.denom.clone()).or_default() += Uint128::try_from(coin.amount).unwrap().u128();
        }
        for message in &response.messages {
            self.pay(message).unwrap();
        }
        self.check_owed();
        Ok(response)
    }

    /// Pays a bank message out of what the contract holds.
    fn pay(&mut self, message: &SubMsg) -> Result<(), String> {
        let CosmosMsg::Bank(BankMsg::Send { amount, .. }) = &message.msg else {
            panic!("{message:?}")
        };
        if self.bank_refuses {
            return Err("codespace: sdk, code: 4".to_string());
        }
        for coin in amount {
            let held = self.held.entry(coin.denom.clone()).or_default();
            *held = held
                .checked_sub(Uint128::try_from(coin.amount).unwrap().u128())
                .unwrap();
        }
        Ok(())
    }

    /// The contract holds exactly what it owes.
    pub fn check_owed(&self) {
        for (denom, held) in &self.held {
            let Totals {
                credits,
                rewards,
                takings,
            } = self.totals(denom);
            assert_eq!(credits.u128() + rewards.u128() + takings.u128(), *held, "{denom}");
        }
    }

    pub fn query<T: DeserializeOwned>(&self, msg: QueryMsg) -> T {
        from_json(contract::query(self.deps.as_ref(), self.env.clone(), msg).unwrap()).unwrap()
    }

    pub fn totals(&self, denom: &str) -> Totals {
        let denom = denom.to_string();
        self.query(QueryMsg::Totals { denom })
    }

    pub fn credit(&self, asker: &str) -> u128 {
        let account = key(asker);
        let account: Option<ibc_model_host::msg::Account> = self.query(QueryMsg::Account { account });
        let credit = account.map(|account| account.credit).unwrap_or_default();
        let coin = credit.iter().find(|coin| coin.denom == DENOM);
        coin.map_or(0, |coin| Uint128::try_from(coin.amount).unwrap().u128())
    }

    pub fn rewards(&self, relayer: &Addr) -> Vec<Coin> {
        let relayer = relayer.to_string();
        self.query::<RewardResponse>(QueryMsg::Rewards {
            relayer,
            start_after: None,
        })
        .reward
    }

    pub fn reward(&self, operation: Operation) -> Vec<Coin> {
        let msg = QueryMsg::Reward {
            channel: CHANNEL.to_string(),
            data: ibc::encode_packet(operation).into(),
        };
        self.query::<RewardResponse>(msg).reward
    }

    pub fn deposit(&mut self, asker: &str, amount: u128) {
        let msg = ExecuteMsg::Deposit {
            account: key(asker),
            recovery: address("recovery").into(),
        };
        self.execute(&address("anyone"), msg, &[Coin::new(amount, DENOM)])
            .unwrap();
    }

    /// Delivers a packet, and does for the contract what a chain does: the acknowledgement.
    pub fn deliver(&mut self, channel: &str, data: impl Into<Binary>) -> Vec<u8> {
        let src = IbcEndpoint {
            port_id: PORT.to_string(),
            channel_id: "channel-9".to_string(),
        };
        let dest = IbcEndpoint {
            port_id: "wasm.host".to_string(),
            channel_id: channel.to_string(),
        };
        let timeout = Timestamp::from_seconds(2_000_000_000).into();
        let packet = IbcPacket::new(data, src, dest, 1, timeout);
        let msg = IbcPacketReceiveMsg::new(packet, address("relayer"));
        let response = entry::ibc_packet_receive(self.deps.as_mut(), self.env.clone(), msg).unwrap();
        let IbcReceiveResponse {
            mut acknowledgement,
            messages,
            attributes,
            ..
        } = response;
        self.events = attributes.into_iter().map(|a| (a.key, a.value)).collect();
        for message in messages {
            let reply = self.submessage(message);
            let response = entry::reply(self.deps.as_mut(), self.env.clone(), reply).unwrap();
            assert!(response.messages.is_empty());
            acknowledgement = response.data.or(acknowledgement);
            self.events
                .extend(response.attributes.into_iter().map(|a| (a.key, a.value)));
        }
        self.check_owed();
        acknowledgement.unwrap().into()
    }

    fn submessage(&mut self, message: SubMsg) -> Reply {
        let (gas_used, result) = match &message.msg {
            CosmosMsg::Bank(_) => (50_000, self.pay(&message).map(|()| vec![])),
            CosmosMsg::Wasm(WasmMsg::Execute {
                contract_addr,
                msg,
                funds,
            }) => {
                assert_eq!(
                    (contract_addr, funds.len()),
                    (&self.env.contract.address.to_string(), 0)
                );
                let limit = message.gas_limit.unwrap();
                if self.call_gas > limit {
                    (limit, Err("codespace: sdk, code: 11".to_string()))
                } else if let Some(error) = &self.stop {
                    (self.call_gas, Err(error.clone()))
                } else {
                    let info = message_info(&self.env.contract.address, &[]);
                    let msg = from_json(msg).unwrap();
                    let response = contract::execute(self.deps.as_mut(), self.env.clone(), info, msg).unwrap();
                    let data = response.data.unwrap_or_default().into();
                    (self.call_gas, Ok(ExecuteResponse { data }.encode_to_vec()))
                }
            }
            other => panic!("{other:?}"),
        };
        #[allow(deprecated)]
        let result = match result {
            Err(error) => SubMsgResult::Err(error),
            Ok(value) => SubMsgResult::Ok(SubMsgResponse {
                events: vec![],
                data: None,
                msg_responses: vec![MsgResponse {
                    type_url: "/cosmwasm.wasm.v1.MsgExecuteContractResponse".to_string(),
                    value: value.into(),
                }],
            }),
        };
        Reply {
            id: message.id,
            payload: message.payload,
            gas_used: if self.tells_gas { gas_used } else { 0 },
            result,
        }
    }

    pub fn send(&mut self, operation: Operation) -> acknowledgement::Result {
        let data = ibc::encode_packet(operation);
        let acknowledgement = ibc::decode_acknowledgement(&self.deliver(CHANNEL, data)).unwrap();
        assert_eq!(
            (acknowledgement.height, acknowledgement.time),
            (self.env.block.height, self.env.block.time.nanos())
        );
        acknowledgement.result.unwrap()
    }

    /// The answers to queries of the asker "asker".
    pub fn ask(&mut self, queries: Vec<v1::Query>) -> Vec<v1::Answer> {
        match self.send(ask(queries)) {
            acknowledgement::Result::Answers(answers) => answers.answers,
            other => panic!("{other:?}"),
        }
    }

    /// The code of a packet's refusal.
    pub fn refused(&mut self, operation: Operation) -> ErrorCode {
        match self.send(operation) {
            acknowledgement::Result::Error(error) => ErrorCode::from_number(error.code).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// What the model says of an applicant, by a run of its own.
    pub fn score(&self, features: &[i64]) -> v1::InferResponse {
        let mut request = aiinference_types::abi::MAGIC.to_vec();
        let input = v1::Input {
            name: String::new(),
            source: Some(v1::input::Source::Tensor(whole(features))),
        };
        let infer = v1::InferRequest {
            steps: vec![v1::Step {
                model: Some(model(MLP)),
                inputs: vec![input],
            }],
            ..Default::default()
        };
        let operation = Some(v1::request::Operation::Infer(infer));
        v1::Request { operation }.encode(&mut request).unwrap();
        use cosmwasm_std::Querier;
        let SystemResult::Ok(ContractResult::Ok(answer)) = self.deps.querier.raw_query(&request) else {
            panic!()
        };
        match v1::Response::decode(answer.as_slice()).unwrap().result {
            Some(v1::response::Result::Infer(response)) => response,
            other => panic!("{other:?}"),
        }
    }
}

pub fn key(asker: &str) -> AccountKey {
    AccountKey {
        connection: CONNECTION.to_string(),
        port: PORT.to_string(),
        asker: asker.to_string(),
    }
}

pub fn ask(queries: Vec<v1::Query>) -> Operation {
    Operation::Ask(v1::Ask {
        asker: "asker".to_string(),
        valid_until: 0,
        denom: DENOM.to_string(),
        queries,
    })
}
