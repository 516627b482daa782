//! A chain with the registry, a model, its circuits, and those who use them.

use aiinference_multi_test::{
    cw_multi_test::{
        no_init, App, AppBuilder, AppResponse, BankKeeper, BankSudo, DistributionKeeper, Executor, FailingModule,
        GovFailingModule, IbcFailingModule, StakeKeeper, StargateFailing, SudoMsg,
    },
    CodeStore, EmbeddedVm, GasLimits, GasScopes, MeteredWasm, StoreOptions,
};
use aiinference_registry::msg::{
    Callback, Code, ExecuteMsg, HeavyRequest, Input, InstantiateMsg, Mode, ModelName, NamedHash, Proven, QueryMsg,
    RegisterCircuit, RegisterModel, Request, RequestResponse, Requested, Sample, Terms, Version,
};
use aiinference_std::Checksum;
use aiinference_types::v1;
use aiinference_vm::runtime::module;
use cosmwasm_std::{
    from_json,
    testing::{MockApi, MockStorage},
    to_json_binary, Addr, Binary, Coin, Empty, Event, StdResult, Uint256, WasmMsg,
};
use prost::Message;
use serde::{de::DeserializeOwned, Serialize};
use test_requester::{Reaction, Told};

use crate::{
    bank::{Blocked, RefusingBank},
    fixtures::{fixture, tensor, Fixture},
};

pub const DENOM: &str = "ucoin";
pub const MIN_FEE: u128 = 100;
pub const MIN_BOND: u128 = 50;
pub const NAME: &str = "lab/credit";
/// What everybody has at first.
pub const PURSE: u128 = 1_000_000;
pub const WINDOW: u64 = 60;
pub const LIFETIME: u64 = 600;

type TestApp = App<
    RefusingBank,
    MockApi,
    MockStorage,
    FailingModule<Empty, Empty, Empty>,
    MeteredWasm<Empty, Empty>,
    StakeKeeper,
    DistributionKeeper,
    IbcFailingModule,
    GovFailingModule,
    GasScopes<StargateFailing>,
>;

/// A circuit on the chain, with proofs of it.
pub struct Known {
    pub fixture: Fixture,
    pub code: Code,
}

pub struct World {
    pub app: TestApp,
    pub vm: EmbeddedVm,
    pub blocked: Blocked,
    pub registry: Addr,
    /// A contract that requests.
    pub contract: Addr,
    pub admin: Addr,
    pub owner: Addr,
    pub alice: Addr,
    pub prover: Addr,
    pub rival: Addr,
    pub model: Code,
    pub public: Known,
    pub hashed: Known,
}

pub fn version(text: &str) -> Version {
    text.parse().unwrap()
}

pub fn model_name(name: &str, version: &str) -> ModelName {
    ModelName {
        name: name.to_owned(),
        version: Some(self::version(version)),
    }
}

pub fn the_model() -> ModelName {
    model_name(NAME, "1.0.0")
}

pub fn coins(amount: u128) -> Vec<Coin> {
    vec![coin(amount)]
}

pub fn coin(amount: u128) -> Coin {
    Coin::new(amount, DENOM)
}

pub fn encoded(name: &str, values: &[i32]) -> Binary {
    tensor(name, values).encode_to_vec().into()
}

/// What the model is given, as one of the proofs says.
pub fn input(fixture: &Fixture, proof: usize) -> Input {
    let proof = &fixture.proofs[proof];
    match &proof.hash {
        None => Input {
            tensors: vec![encoded("x", &proof.inputs)],
            hashes: vec![],
        },
        Some(_) => Input {
            tensors: vec![],
            hashes: vec![NamedHash {
                name: "x".to_owned(),
                value: proof.hash().into(),
            }],
        },
    }
}

pub fn outputs(fixture: &Fixture, proof: usize) -> Vec<Binary> {
    vec![encoded("y", &fixture.proofs[proof].outputs)]
}

pub fn sample(fixture: &Fixture, proof: usize) -> Sample {
    Sample {
        input: input(fixture, proof),
        outputs: outputs(fixture, proof),
        proof: fixture.proofs[proof].bytes().into(),
    }
}

pub fn srs(fixture: &Fixture) -> Checksum {
    let id: [u8; 32] = fixture.message().srs.try_into().unwrap();
    id.into()
}

/// The events of the registry, by their action.
pub fn actions(response: &AppResponse) -> Vec<String> {
    let wasm = response.events.iter().filter(|event| event.ty == "wasm");
    wasm.filter_map(|event| attribute(event, "action")).collect()
}

pub fn attribute(event: &Event, key: &str) -> Option<String> {
    let found = event.attributes.iter().find(|attribute| attribute.key == key);
    found.map(|attribute| attribute.value.clone())
}

/// An attribute of the event of this action.
pub fn told(response: &AppResponse, action: &str, key: &str) -> Option<String> {
    let named = |event: &&Event| attribute(event, "action").as_deref() == Some(action);
    response
        .events
        .iter()
        .find(named)
        .and_then(|event| attribute(event, key))
}

impl World {
    /// Everything registered, and the circuit `public` approved.
    pub fn new() -> Self {
        let mut world = World::bare();
        world.register_model("1.0.0");
        for circuit in [world.public.register(the_model()), world.hashed.register(the_model())] {
            world.must(&world.owner.clone(), &ExecuteMsg::RegisterCircuit(circuit), &[]);
        }
        world.approve(true);
        world
    }

    /// Code is stored, nothing is registered.
    pub fn bare() -> Self {
        let vm = EmbeddedVm::new(CodeStore::new(StoreOptions::default()).unwrap(), GasLimits::default());
        let blocked = Blocked::default();
        let bank = RefusingBank {
            inner: BankKeeper::new(),
            blocked: blocked.clone(),
        };
        let mut app = AppBuilder::new()
            .with_bank(bank)
            .with_wasm(vm.wasm())
            .with_stargate(vm.stargate(StargateFailing))
            .build(no_init);
        let [admin, owner, alice, prover, rival] =
            ["admin", "owner", "alice", "prover", "rival"].map(|name| app.api().addr_make(name));
        for account in [&alice, &prover, &rival] {
            mint(&mut app, account, PURSE);
        }
        let mut store = |wasm: &[u8]| app.store_code(vm.store(wasm).unwrap());
        let registry = store(&aiinference_demo_models::contract("registry").unwrap());
        let requester = store(&aiinference_demo_models::contract("test-requester").unwrap());
        let model = aiinference_demo_models::mlp().unwrap();
        let model = Code {
            code_id: store(&model),
            checksum: cosmwasm_std::Checksum::generate(&model).into(),
        };
        let mut known = |name: &str| {
            let fixture = fixture(name);
            let wasm = circuit_module(&fixture, &model);
            let code = Code {
                code_id: store(&wasm),
                checksum: cosmwasm_std::Checksum::generate(&wasm).into(),
            };
            Known { fixture, code }
        };
        let (public, hashed) = (known("public"), known("hashed"));
        let msg = InstantiateMsg {
            admin: Some(admin.to_string()),
            terms: vec![Terms {
                denom: DENOM.to_owned(),
                min_fee: MIN_FEE.into(),
                min_bond: MIN_BOND.into(),
            }],
            max_requests: Some(40),
            max_callback_gas: None,
            max_lifetime: None,
        };
        let registry = app
            .instantiate_contract(registry, admin.clone(), &msg, &[], "registry", Some(admin.to_string()))
            .unwrap();
        let contract = app
            .instantiate_contract(requester, alice.clone(), &Empty {}, &[], "requester", None)
            .unwrap();
        mint(&mut app, &contract, PURSE);
        World {
            app,
            vm,
            blocked,
            registry,
            contract,
            admin,
            owner,
            alice,
            prover,
            rival,
            model,
            public,
            hashed,
        }
    }

    pub fn store(&mut self, wasm: &[u8]) -> Code {
        Code {
            code_id: self.app.store_code(self.vm.store(wasm).unwrap()),
            checksum: cosmwasm_std::Checksum::generate(wasm).into(),
        }
    }

    /// Another circuit on the chain, as a fixture has it, for the model.
    pub fn known(&mut self, name: &str) -> Known {
        let fixture = fixture(name);
        let code = self.store(&circuit_module(&fixture, &self.model.clone()));
        Known { fixture, code }
    }

    pub fn register_model(&mut self, version: &str) {
        let msg = RegisterModel {
            name: NAME.to_owned(),
            version: self::version(version),
            code: Some(self.model.clone()),
            description: "says who pays back".to_owned(),
        };
        self.must(&self.owner.clone(), &ExecuteMsg::RegisterModel(msg), &[]);
    }

    pub fn approve(&mut self, approved: bool) {
        let msg = ExecuteMsg::ApproveCircuit {
            model: the_model(),
            circuit: self.public.code.code_id,
            checksum: None,
            approved,
        };
        self.must(&self.admin.clone(), &msg, &[]);
    }

    pub fn execute<T: Serialize + std::fmt::Debug>(
        &mut self,
        sender: &Addr,
        msg: &T,
        funds: &[Coin],
    ) -> StdResult<AppResponse> {
        self.app
            .execute_contract(sender.clone(), self.registry.clone(), msg, funds)
    }

    pub fn must(&mut self, sender: &Addr, msg: &ExecuteMsg, funds: &[Coin]) -> AppResponse {
        self.execute(sender, msg, funds).unwrap()
    }

    /// What is said where it is refused, as it must be.
    pub fn refused(&mut self, sender: &Addr, msg: &ExecuteMsg, funds: &[Coin]) -> String {
        let error = self.execute(sender, msg, funds).unwrap_err();
        format!("{error:?} {error}")
    }

    pub fn query<T: DeserializeOwned>(&self, msg: &QueryMsg) -> T {
        self.app.wrap().query_wasm_smart(&self.registry, msg).unwrap()
    }

    /// What is said to a question that is refused, as it must be.
    pub fn refused_query(&self, msg: &QueryMsg) -> String {
        let answer = self
            .app
            .wrap()
            .query_wasm_smart::<serde_json::Value>(&self.registry, msg);
        format!("{:?}", answer.unwrap_err())
    }

    pub fn balance(&self, account: &Addr) -> u128 {
        let amount = self.app.wrap().query_balance(account, DENOM).unwrap().amount;
        amount.to_string().parse().unwrap()
    }

    pub fn pass(&mut self, seconds: u64) {
        self.app.update_block(|block| {
            block.time = block.time.plus_seconds(seconds);
            block.height += 1;
        });
    }

    /// A request on the input of one of the public proofs.
    pub fn heavy(&self, proof: usize) -> HeavyRequest {
        HeavyRequest {
            model: ModelName {
                name: NAME.to_owned(),
                version: None,
            },
            checksum: None,
            input: input(&self.public.fixture, proof),
            mode: Mode::Proven(Proven {
                circuit: self.public.code.code_id,
                checksum: None,
                accept_unapproved: false,
                accept_unreproducible: false,
                accept_srs: vec![srs(&self.public.fixture)],
            }),
            prover: None,
            take_window: WINDOW,
            lifetime: LIFETIME,
            bond: None,
            callback: None,
        }
    }

    /// Alice requests.
    pub fn request(&mut self, msg: HeavyRequest) -> u64 {
        let response = self.must(&self.alice.clone(), &ExecuteMsg::Request(msg), &coins(MIN_FEE));
        requested(response)
    }

    /// The contract requests, and is to be called back.
    pub fn request_with_callback(&mut self, proof: usize, reaction: &Reaction) -> u64 {
        let msg = HeavyRequest {
            callback: Some(Callback {
                msg: to_json_binary(reaction).unwrap(),
                gas_limit: 500_000,
            }),
            ..self.heavy(proof)
        };
        let response = self.send(&ExecuteMsg::Request(msg), coins(MIN_FEE)).unwrap();
        told(&response, "request", "id").unwrap().parse().unwrap()
    }

    /// The requesting contract sends a message to the registry.
    pub fn send(&mut self, msg: &ExecuteMsg, funds: Vec<Coin>) -> StdResult<AppResponse> {
        let message = WasmMsg::Execute {
            contract_addr: self.registry.to_string(),
            msg: to_json_binary(msg)?,
            funds,
        };
        let send = test_requester::ExecuteMsg::Send {
            messages: vec![message.into()],
        };
        self.app
            .execute_contract(self.alice.clone(), self.contract.clone(), &send, &[])
    }

    pub fn take(&mut self, id: u64) -> AppResponse {
        self.must(&self.prover.clone(), &take(id), &coins(MIN_BOND))
    }

    /// The true message of who has taken a request with the circuit `public`.
    pub fn fulfilment(&self, id: u64, proof: usize) -> ExecuteMsg {
        ExecuteMsg::Fulfil {
            id,
            outputs: outputs(&self.public.fixture, proof),
            proof: self.public.fixture.proofs[proof].bytes().into(),
            defer: false,
        }
    }

    pub fn fulfil(&mut self, id: u64, proof: usize) -> AppResponse {
        let msg = self.fulfilment(id, proof);
        self.must(&self.prover.clone(), &msg, &[])
    }

    pub fn see(&self, id: u64) -> Option<RequestResponse> {
        self.query(&QueryMsg::Request { id })
    }

    pub fn pending(&self) -> Vec<Request> {
        self.query(&QueryMsg::Pending {
            circuit: self.public.code.code_id,
            start_after: None,
            limit: Some(100),
        })
    }

    /// What the requesting contract was told.
    pub fn noted(&self, id: u64) -> Option<Told> {
        let msg = test_requester::QueryMsg::Result { id };
        self.app.wrap().query_wasm_smart(&self.contract, &msg).unwrap()
    }

    pub fn claimable(&self, account: &Addr) -> u128 {
        let coins: Vec<Coin> = self.query(&QueryMsg::Claimable {
            account: account.to_string(),
            start_after: None,
            limit: None,
        });
        let amounts = coins
            .iter()
            .map(|coin| coin.amount.to_string().parse::<u128>().unwrap());
        amounts.sum()
    }

    pub fn block(&self, account: &Addr, blocked: bool) {
        let mut list = self.blocked.0.borrow_mut();
        if blocked {
            list.insert(account.to_string());
        } else {
            list.remove(account.as_str());
        }
    }
}

impl Known {
    pub fn register(&self, model: ModelName) -> RegisterCircuit {
        RegisterCircuit {
            model,
            code: self.code.clone(),
            sample: sample(&self.fixture, 0),
            srs: Some(srs(&self.fixture)),
        }
    }
}

/// The module of a fixture's circuit, which stands for the model.
pub fn circuit_module(fixture: &Fixture, model: &Code) -> Vec<u8> {
    let mut message = fixture.message();
    message.models = vec![v1::CircuitModel {
        code_id: model.code_id,
        checksum: model.checksum.as_bytes().to_vec(),
    }];
    module::wrap_circuit(&message)
}

pub fn take(id: u64) -> ExecuteMsg {
    ExecuteMsg::Take { id, min_seconds: None }
}

pub fn expire(id: u64) -> ExecuteMsg {
    ExecuteMsg::Expire { id, defer: false }
}

/// The same end with the callback left out.
pub fn deferred(mut end: ExecuteMsg) -> ExecuteMsg {
    if let ExecuteMsg::Fulfil { defer, .. } | ExecuteMsg::Expire { defer, .. } = &mut end {
        *defer = true;
    }
    end
}

pub fn requested(response: AppResponse) -> u64 {
    let data: Requested = from_json(response.data.unwrap()).unwrap();
    data.id
}

pub fn uint(coin: &Coin) -> u128 {
    coin.amount.to_string().parse().unwrap()
}

pub fn amount(amount: u128) -> Uint256 {
    Uint256::from(amount)
}

fn mint(app: &mut TestApp, account: &Addr, amount: u128) {
    let mint = BankSudo::Mint {
        to_address: account.to_string(),
        amount: coins(amount),
    };
    app.sudo(SudoMsg::Bank(mint)).unwrap();
}
