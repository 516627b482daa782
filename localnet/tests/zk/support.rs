//! A circuit, its registry on the chain, and the prover's program as a process.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use aiinference_client::{
    upload::{upload, CodeIndex, Package, SHARD_BYTES},
    Account, Coin, Gas, Included, Json, Key, Msg, Options, DEFAULT_PATH,
};
use aiinference_engine::{
    format,
    graph::{Array, Graph, Input as GraphInput, Op, Output, Rescale},
};
use aiinference_localnet::{Localnet, Node, PROVIDER};
use aiinference_registry::msg::{
    Callback, Code, ExecuteMsg, HeavyRequest, Input, InstantiateMsg, Mode, ModelName, NamedHash, Proven, QueryMsg,
    RegisterCircuit, RegisterModel, RequestResponse, Sample, Terms, Version,
};
use aiinference_runtime::module;
use aiinference_types::v1::Tensor;
use aiinference_zk::{CircuitFolder, Hidden, Opening, SetupOptions, Tool};
use cosmrs::proto::cosmwasm::wasm::v1::MsgInstantiateContractResponse;
use cosmwasm_std::{to_json_binary, Binary, CosmosMsg, WasmMsg};
use prost::Message;
use serde::{de::DeserializeOwned, Serialize};
use sha2::{Digest, Sha256};
use test_requester::Told;

/// All that is awaited is there within this, on a loaded machine too.
pub const SOON: Duration = Duration::from_secs(120);

/// What a request pays, and what its taker deposits.
pub const FEE: u128 = 1000;
pub const BOND: u128 = 500;

const DENOM: &str = "stake";
const INPUTS: u32 = 6;
const LIMIT: i32 = 100;

fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"))
}

fn localnet() -> Localnet {
    let home = std::env::var_os("LOCALNET_HOME").map_or_else(|| target().join("localnet"), PathBuf::from);
    // Tests of one package run in its folder, the variable is relative to the root.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let home = root
        .join(home)
        .canonicalize()
        .expect("a localnet is up: make localnet-up");
    Localnet::open(home).expect("a localnet is up: make localnet-up")
}

/// A perceptron so small that a proof of it takes a second or two.
fn model() -> Vec<u8> {
    let mut graph = Graph::new();
    let mut x = graph.input(GraphInput {
        name: "x".into(),
        shape: vec![1, INPUTS],
        fraction_bits: 0,
        low: -LIMIT,
        high: LIMIT,
        saturate: false,
    });
    for (rows, columns, low) in [(INPUTS as i32, 4, 0), (4, 3, -32767)] {
        let weight = |i: i32| ((i * 37 + columns * 11) % 101 - 50) as i8;
        x = graph.push(Op::MatMul {
            x,
            weights: Array::I8((0..rows * columns).map(weight).collect()),
            bias: (0..columns).map(|i| i64::from(i * 100 - 150)).collect(),
            rescale: Rescale {
                multipliers: vec![1],
                shifts: vec![7],
                low,
                high: 32767,
            },
        });
    }
    graph.outputs.push(Output {
        name: "y".into(),
        value: x,
        fraction_bits: 0,
        labels: vec![],
    });
    let file = format::encode(&graph);
    module::wrap(&file.graph, &file.weights)
}

/// The circuit of that model, and any proof of it; made once for all tests.
struct Circuit {
    folder: tempfile::TempDir,
    circuit: CircuitFolder,
    sample: Sample,
}

fn circuit(hidden: Hidden) -> &'static Circuit {
    static OPEN: OnceLock<Circuit> = OnceLock::new();
    static HIDING: OnceLock<Circuit> = OnceLock::new();
    let of = if hidden == Hidden::Inputs { &HIDING } else { &OPEN };
    of.get_or_init(|| {
        let mut say = |step: &str| eprintln!("{step}");
        let tool = Tool::prepare(&mut say).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let options = SetupOptions {
            hidden,
            ..SetupOptions::default()
        };
        let (circuit, _) = CircuitFolder::setup(&tool, &model(), folder.path(), &options, &mut say).unwrap();
        let given = vec![1, -2, 3, -4, 5, -6];
        let opening = Opening::new(vec![given.clone()]).unwrap();
        let (input, proof) = match hidden {
            Hidden::Inputs => (hashed(&opening), circuit.prove_hidden(&tool, &opening, &mut say)),
            _ => (input(&given), circuit.prove(&tool, &[given], &mut say)),
        };
        let (proof, _) = proof.unwrap();
        let outputs = circuit.outputs(&proof).into_iter();
        let sample = Sample {
            input,
            outputs: outputs.map(|tensor| tensor.encode_to_vec().into()).collect(),
            proof: proof.checked_bytes(circuit.manifest()).unwrap().into(),
        };
        Circuit {
            folder,
            circuit,
            sample,
        }
    })
}

fn tensor(name: &str, integers: &[i32]) -> Binary {
    let shape = vec![1, integers.len() as u32];
    let tensor = Tensor::from_integers(name.into(), shape, 0, i32::MIN, i32::MAX, integers);
    tensor.encode_to_vec().into()
}

pub fn input(integers: &[i32]) -> Input {
    Input {
        tensors: vec![tensor("x", integers)],
        hashes: vec![],
    }
}

/// An input that only its holder knows.
pub fn hashed(opening: &Opening) -> Input {
    let hash = NamedHash {
        name: String::new(),
        value: opening.hash().unwrap().into(),
    };
    Input {
        tensors: vec![],
        hashes: vec![hash],
    }
}

/// What the engine makes of an input.
pub fn expected(integers: &[i32]) -> Vec<i32> {
    let kernels = aiinference_engine::Kernels::auto();
    let outputs = circuit(Hidden::Nothing)
        .circuit
        .program()
        .run(&[integers], &kernels)
        .unwrap();
    outputs.into_iter().next().unwrap()
}

/// The integers of an output as the registry tells it.
pub fn integers(output: &Binary) -> Vec<i32> {
    let tensor = Tensor::decode(output.as_slice()).unwrap();
    let integers = tensor.integers().unwrap();
    integers.into_iter().map(|v| i32::try_from(v).unwrap()).collect()
}

fn stake(amount: u128) -> Vec<Coin> {
    vec![Coin {
        denom: DENOM.into(),
        amount,
    }]
}

fn json(msg: &impl Serialize) -> Json {
    Json::new(serde_json::to_vec(msg).unwrap()).unwrap()
}

/// The chain with a registry, the circuit in it, and a contract that requests.
pub struct Stage {
    net: Localnet,
    alice: Account,
    registry: String,
    requester: String,
    circuit: Code,
    srs: aiinference_registry::msg::Checksum,
    hidden: Hidden,
}

impl Stage {
    pub async fn open() -> Self {
        Self::of(Hidden::Nothing).await
    }

    /// The same with a circuit that hides its inputs.
    pub async fn hiding() -> Self {
        Self::of(Hidden::Inputs).await
    }

    async fn of(hidden: Hidden) -> Self {
        let made = circuit(hidden);
        let net = localnet();
        let node = net.nodes_of(PROVIDER).unwrap().swap_remove(0);
        let alice = account(&net, &node, "alice").await;
        let model = store(&alice, &model()).await;
        let module = made.circuit.module(Some(model.code_id)).unwrap();
        let circuit_code = store(&alice, &module).await;
        let mut contracts = Vec::new();
        for name in ["registry", "test-requester"] {
            let wasm = aiinference_demo_models::contract(name).unwrap();
            contracts.push(store(&alice, &wasm).await.code_id);
        }
        let terms = Terms {
            denom: DENOM.into(),
            min_fee: 1u128.into(),
            min_bond: 1u128.into(),
        };
        let begin = InstantiateMsg {
            admin: None,
            terms: vec![terms],
            max_requests: None,
            max_callback_gas: None,
            max_lifetime: None,
        };
        let registry = instantiate(&alice, contracts[0], &begin).await;
        let requester = instantiate(&alice, contracts[1], &cosmwasm_std::Empty {}).await;
        let name = ModelName {
            name: "tiny".into(),
            version: Some("1.0.0".parse::<Version>().unwrap()),
        };
        let srs = hex::decode(&made.circuit.manifest().srs.id).unwrap();
        let srs: [u8; 32] = srs.try_into().unwrap();
        let stage = Stage {
            net,
            alice,
            registry,
            requester,
            circuit: circuit_code.clone(),
            srs: srs.into(),
            hidden,
        };
        let register = ExecuteMsg::RegisterModel(RegisterModel {
            name: name.name.clone(),
            version: name.version.unwrap(),
            code: Some(model),
            description: String::new(),
        });
        stage.execute(&stage.registry, &register, 0).await;
        let sample = made.sample.clone();
        let register = ExecuteMsg::RegisterCircuit(RegisterCircuit {
            model: name,
            code: circuit_code,
            sample,
            srs: Some(stage.srs),
        });
        stage.execute(&stage.registry, &register, 0).await;
        stage
    }

    async fn execute(&self, contract: &str, msg: &impl Serialize, funds: u128) -> Included {
        let funds = if funds > 0 { stake(funds) } else { vec![] };
        let msg = Msg::Execute {
            sender: self.alice.address().into(),
            contract: contract.into(),
            msg: json(msg),
            funds,
        };
        self.alice.send(&[msg]).await.unwrap()
    }

    /// Has the requester request a run; the number of the request.
    pub async fn request(&self, integers: &[i32], take_window: u64) -> u64 {
        self.request_on(input(integers), take_window).await
    }

    /// The same on any input.
    pub async fn request_on(&self, input: Input, take_window: u64) -> u64 {
        let request = ExecuteMsg::Request(HeavyRequest {
            model: ModelName {
                name: "tiny".into(),
                version: None,
            },
            checksum: None,
            input,
            mode: Mode::Proven(Proven {
                circuit: self.circuit.code_id,
                checksum: Some(self.circuit.checksum),
                accept_unapproved: true,
                accept_unreproducible: false,
                accept_srs: vec![self.srs],
            }),
            prover: None,
            take_window,
            lifetime: 600,
            bond: Some(BOND.into()),
            callback: Some(Callback {
                msg: Binary::default(),
                gas_limit: 400_000,
            }),
        });
        let send = test_requester::ExecuteMsg::Send {
            messages: vec![CosmosMsg::Wasm(WasmMsg::Execute {
                contract_addr: self.registry.clone(),
                msg: to_json_binary(&request).unwrap(),
                funds: vec![cosmwasm_std::coin(FEE, DENOM)],
            })],
        };
        let done = self.execute(&self.requester, &send, FEE).await;
        let id = done
            .events
            .iter()
            .filter(|event| event.kind == "wasm")
            .find_map(|event| {
                let get = |name: &str| event.attributes.iter().find(|(key, _)| key == name);
                let is_request = get("action").is_some_and(|(_, value)| value == "request");
                is_request.then(|| get("id").unwrap().1.parse().unwrap())
            });
        id.unwrap()
    }

    async fn query<T: DeserializeOwned>(&self, contract: &str, msg: &impl Serialize) -> T {
        let answer = self.alice.node().smart(contract, &json(msg), None).await.unwrap();
        serde_json::from_slice(&answer).unwrap()
    }

    /// What the registry has of a request.
    pub async fn found(&self, id: u64) -> Option<RequestResponse> {
        self.query(&self.registry, &QueryMsg::Request { id }).await
    }

    /// What the requester was told.
    pub async fn told(&self, id: u64) -> Option<Told> {
        self.query(&self.requester, &test_requester::QueryMsg::Result { id })
            .await
    }

    /// Waits until the requester is told.
    pub async fn wait_told(&self, id: u64) -> Told {
        let end = Instant::now() + SOON;
        loop {
            if let Some(told) = self.told(id).await {
                return told;
            }
            assert!(
                Instant::now() < end,
                "request {id} is not answered: {:?}",
                self.found(id).await
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits for some blocks, so that what was to be sent twice would have been.
    pub async fn wait_blocks(&self, count: u64) {
        let height = self.alice.node().status().await.unwrap().height;
        self.node(0).wait_height(height + count, SOON).await.unwrap();
    }

    pub fn node(&self, index: usize) -> Node {
        self.net.nodes_of(PROVIDER).unwrap().swap_remove(index)
    }

    /// What the requesting contract has: fees that came back, and bonds of those who were late.
    pub async fn requester_has(&self) -> u128 {
        self.balance(&self.requester).await
    }

    /// What an account has.
    pub async fn balance(&self, address: &str) -> u128 {
        let coins = self.alice.node().balances(address, None).await.unwrap();
        coins
            .iter()
            .find(|coin| coin.denom == DENOM)
            .map_or(0, |coin| coin.amount)
    }

    /// How many transactions an account has sent, and what it has.
    pub async fn account(&self, name: &str) -> (u64, u128) {
        let address = self.address(name);
        let sequence = self.alice.node().account(&address).await.unwrap().sequence;
        (sequence, self.balance(&address).await)
    }

    pub fn address(&self, name: &str) -> String {
        let key = aiinference_localnet::accounts::key(name).unwrap();
        key.address("wasm").unwrap().to_string()
    }

    /// Has `aiinference verify-circuit` tell whether the stored circuit is its model's, by code ids alone; its exit code and what it
    /// printed.
    pub fn verify_circuit(&self) -> (Option<i32>, String) {
        let srs = circuit(self.hidden).folder.path().join("kzg.srs");
        let done = Command::new(target().join("release/aiinference"))
            .args([
                "verify-circuit",
                &self.circuit.code_id.to_string(),
                "--any-srs",
                "--node",
            ])
            .arg(&self.node(1).plan().rpc_url)
            .arg("--srs")
            .arg(srs)
            .output()
            .expect("the program is built: make build");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (done.status.code(), text(&done.stdout) + &text(&done.stderr))
    }

    /// A prover with an account's key, which asks the node of this number.
    pub fn prover(&self, name: &str, node: usize) -> Program {
        let folder = tempfile::tempdir().unwrap();
        let words = &self.net.plan().account(name).unwrap().mnemonic_file;
        let key = folder.path().join("key");
        fs::copy(words, &key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let text = format!(
            "data = \"data\"\npoll_seconds = 1\nprivate_inputs = \".\"\n\
             [chain]\nid = \"{PROVIDER}\"\nrpc = [{rpc:?}]\nregistry = {registry:?}\nkey_file = \"key\"\ngas_price = \"0{DENOM}\"\n\
             [rules]\nmaximum_bond = \"{BOND}{DENOM}\"\nminimum_fee = \"{FEE}{DENOM}\"\npatience = 1.0\nmargin_seconds = 3\n\
             development_srs = true\n\
             [[circuits]]\nfolder = {circuit:?}\ncode_id = {code_id}\n",
            rpc = self.node(node).plan().rpc_url,
            registry = self.registry,
            circuit = circuit(self.hidden).folder.path(),
            code_id = self.circuit.code_id,
        );
        fs::write(folder.path().join("prover.toml"), text).unwrap();
        Program { folder }
    }
}

async fn account(net: &Localnet, node: &Node, name: &str) -> Account {
    let words = fs::read_to_string(&net.plan().account(name).unwrap().mnemonic_file).unwrap();
    let key = Key::from_mnemonic(words.trim(), DEFAULT_PATH).unwrap();
    let node = aiinference_client::Node::connect(&node.plan().rpc_url, None)
        .await
        .unwrap();
    let options = Options {
        timeout: SOON,
        // What contracts use is not the same in every block.
        gas: Gas::Estimate(1.5),
        ..Options::default()
    };
    Account::open(&node, key, options).await.unwrap()
}

/// Stores code, unless it is there.
async fn store(account: &Account, file: &[u8]) -> Code {
    let package = Package::new(file.to_vec(), SHARD_BYTES).expect("a module");
    let mut index = CodeIndex::read(account.node(), |_| {}).await.unwrap();
    let uploaded = upload(account, &package, &mut index, None, |_| {}).await.unwrap();
    let checksum: [u8; 32] = Sha256::digest(file).into();
    Code {
        code_id: uploaded.code_id,
        checksum: checksum.into(),
    }
}

async fn instantiate(account: &Account, code_id: u64, msg: &impl Serialize) -> String {
    let done = account
        .send(&[Msg::Instantiate {
            sender: account.address().into(),
            admin: None,
            code_id,
            label: "zk".into(),
            msg: json(msg),
            funds: vec![],
        }])
        .await
        .unwrap();
    done.response::<MsgInstantiateContractResponse>(0).unwrap().address
}

/// The prover's program, with a folder for its configuration, memory and logs.
pub struct Program {
    folder: tempfile::TempDir,
}

impl Program {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(target().join("release/aiinference"));
        command
            .arg("prover")
            .arg("--config")
            .arg(self.folder.path().join("prover.toml"))
            .args(arguments)
            .env("RUST_LOG", "warn,aiinference_prover=debug");
        command
    }

    /// Gives it an input with its salt.
    pub fn keep(&self, opening: &Opening) {
        let name = format!("{}.json", hex::encode(opening.hash().unwrap()));
        let path = self.folder.path().join(name);
        fs::write(&path, serde_json::to_vec(opening).unwrap()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Runs it to its end; what it printed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let done = self
            .command(arguments)
            .output()
            .expect("the program is built: make build");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
        text(&done.stdout)
    }

    /// The states of all its jobs, by request.
    pub fn states(&self) -> Vec<(u64, String)> {
        let shown: serde_json::Value = serde_json::from_str(&self.run(&["status", "--all", "--json"])).unwrap();
        let jobs = shown["jobs"].as_array().unwrap().iter();
        jobs.map(|job| (job["request"].as_u64().unwrap(), job["state"].as_str().unwrap().into()))
            .collect()
    }

    pub fn start(&self) -> Running {
        self.start_with(&[])
    }

    pub fn start_with(&self, arguments: &[&str]) -> Running {
        let log = tempfile::NamedTempFile::new_in(self.folder.path())
            .unwrap()
            .keep()
            .unwrap()
            .1;
        let child = self
            .command(&["run"])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn();
        Running {
            child: child.expect("the program is built: make build"),
            log,
        }
    }
}

/// A process that ends with its owner.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the prover's log:\n{}", self.log());
        }
    }
}

impl Running {
    /// SIGKILL.
    pub fn kill(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM; whether it ended well, and soon.
    pub fn terminate(&mut self) -> bool {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until its log says something.
    pub async fn said(&self, what: &str) {
        let end = Instant::now() + SOON;
        while !self.log().contains(what) {
            assert!(Instant::now() < end, "it never says {what:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
