//! `aiinference trace` on logs that a real model's answers make: the MLP of contracts/credit-score.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use aiinference_engine::Kernels;
use aiinference_runtime::{Chain, ChainError, NodeFault, Runtime, Settings};
use aiinference_trace::{Asked, Outcome, Position, Record, Said, Writer};
use aiinference_types::{abi::MAGIC, v1};
use prost::Message;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../demo/models/tests/golden/mlp.wasm");
const CODE_ID: u64 = 4;
const QUERY_GAS: u64 = 178_640_000;

/// A node's home with the model stored in it, and a folder for logs.
struct Desk {
    folder: TempDir,
}

/// The chain that the node is part of.
struct Live {
    module: Vec<u8>,
    asked: Vec<Asked>,
}

impl Chain for Live {
    fn code_checksum(&mut self, code_id: u64, _gas_left: u64) -> (Result<[u8; 32], ChainError>, u64) {
        let answer = match code_id {
            CODE_ID => Ok(Sha256::digest(&self.module).into()),
            _ => Err(ChainError::NoSuchCode),
        };
        self.asked.push(Asked {
            code_id,
            said: Said::from(&answer),
            gas: QUERY_GAS,
        });
        (answer, QUERY_GAS)
    }
    fn own_checksum(&self) -> [u8; 32] {
        [7; 32]
    }
    fn module_size(&self, _checksum: &[u8; 32]) -> Result<u64, NodeFault> {
        Ok(self.module.len() as u64)
    }
    fn module_bytes(&self, _checksum: &[u8; 32]) -> Result<Vec<u8>, NodeFault> {
        Ok(self.module.clone())
    }
}

fn request(code_id: u64, applicant: i32) -> Vec<u8> {
    let tensor = v1::Tensor::from_integers(String::new(), vec![18], 0, -100, 100, &[applicant; 18]);
    let step = v1::Step {
        model: Some(v1::ModelRef {
            reference: Some(v1::model_ref::Reference::CodeId(code_id)),
            checksum: vec![],
        }),
        inputs: vec![v1::Input {
            name: "applicant".into(),
            source: Some(v1::input::Source::Tensor(tensor)),
        }],
    };
    let infer = v1::InferRequest {
        steps: vec![step],
        ..Default::default()
    };
    let request = v1::Request {
        operation: Some(v1::request::Operation::Infer(infer)),
    };
    [MAGIC.as_slice(), &request.encode_to_vec()].concat()
}

/// What a node logs of such a request.
fn record(height: u64, request: Vec<u8>, gas_left: u64) -> Record {
    let mut chain = Live {
        module: fs::read(MODEL).unwrap(),
        asked: vec![],
    };
    let kernels = Kernels::auto();
    let runtime = Runtime::new(Settings {
        kernels,
        ..Settings::default()
    });
    let answer = runtime.answer(&request, gas_left, &mut chain);
    Record {
        position: Position {
            height,
            transaction: Some(0),
            contract: "wasm1score".into(),
            entry_point: "execute".into(),
        },
        caller: [7; 32],
        request,
        gas_left,
        asked: chain.asked,
        outcome: Outcome::from(&answer),
        kernels: kernels.name().into(),
        version: "aiinference test".into(),
    }
}

/// A result, a refusal, and too little gas.
fn honest() -> Vec<Record> {
    vec![
        record(10, request(CODE_ID, 1), u64::MAX),
        record(11, request(CODE_ID + 1, 1), u64::MAX),
        record(12, request(CODE_ID, 2), QUERY_GAS + 100_000_000),
        record(13, request(CODE_ID, 3), u64::MAX),
    ]
}

/// The same with one output element of the last answer one higher.
fn with_another_element() -> Vec<Record> {
    let mut records = honest();
    let Outcome::Done { response, .. } = &mut records[3].outcome else {
        panic!("it is answered")
    };
    let mut decoded = v1::Response::decode(response.as_slice()).unwrap();
    let Some(v1::response::Result::Infer(infer)) = &mut decoded.result else {
        panic!("it is a result")
    };
    infer.outputs[0].data[0] ^= 1;
    *response = decoded.encode_to_vec();
    records
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let modules = folder.path().join("home/wasm/wasm/state/wasm");
        fs::create_dir_all(&modules).unwrap();
        let name = hex::encode(Sha256::digest(fs::read(MODEL).unwrap()));
        fs::copy(MODEL, modules.join(name)).unwrap();
        Desk { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self, name: &str, records: &[Record]) {
        let mut writer = Writer::open(&self.path(name), 1 << 20).unwrap();
        records.iter().for_each(|record| writer.write(record).unwrap());
    }

    fn trace(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aiinference"));
        let command = command.current_dir(&self.folder).arg("trace").args(arguments);
        command.output().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(done: &Output) -> serde_json::Value {
    serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", text(&done.stderr)))
}

#[test]
fn an_honest_log_is_replayed_the_same_on_all_kernels() {
    let desk = Desk::new();
    desk.log("log", &honest());
    for kernels in Kernels::available() {
        let done = desk.trace(&[
            "replay",
            "log",
            "--modules",
            "home",
            "--kernels",
            kernels.name(),
            "--json",
        ]);
        assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
        let told = json(&done);
        assert_eq!(
            (&told["same"], &told["different"], &told["unable"]),
            (&4.into(), &0.into(), &0.into())
        );
        assert_eq!(told["kernels"], kernels.name());
    }
}

#[test]
fn an_answer_that_was_not_computed_so_is_found_to_the_element() {
    let desk = Desk::new();
    desk.log("log", &with_another_element());
    let done = desk.trace(&["replay", "log", "--modules", "home"]);
    assert_eq!(done.status.code(), Some(6));
    let said = text(&done.stdout);
    for part in [
        "same 3, different 1, unable 0",
        "height 13, transaction 0",
        "code 4: applicant",
        "element 0: ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let told = json(&desk.trace(&["replay", "log", "--modules", "home", "--json"]));
    assert_eq!(told["differences"][0]["record"]["height"], 13);
    assert_eq!(told["differences"][0]["here"]["kind"], "done");
}

#[test]
fn gas_that_was_not_charged_so_is_found() {
    let desk = Desk::new();
    let mut records = honest();
    if let Outcome::Done { gas, .. } = &mut records[0].outcome {
        *gas += 1;
    }
    desk.log("log", &records);
    let done = desk.trace(&["replay", "log", "--modules", "home"]);
    assert_eq!(done.status.code(), Some(6));
    assert!(text(&done.stdout).contains("differs   gas: "), "{}", text(&done.stdout));
}

#[test]
fn what_cannot_be_replayed_is_no_difference_and_no_success() {
    let desk = Desk::new();
    desk.log("log", &honest());
    fs::create_dir(desk.path("empty")).unwrap();
    let done = desk.trace(&["replay", "log", "--modules", "empty", "--json"]);
    assert_eq!(done.status.code(), Some(1));
    // The refusal of an unknown code needs no module.
    let told = json(&done);
    assert_eq!(
        (&told["same"], &told["different"], &told["unable"]),
        (&1.into(), &0.into(), &3.into())
    );
    assert!(text(&done.stderr).contains("no such file"), "{}", text(&done.stderr));
    let gone = desk.trace(&["replay", "log", "--modules", "gone"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(text(&gone.stderr).contains("no such folder"), "{}", text(&gone.stderr));
}

#[test]
fn nodes_that_agree_compare_alike_whatever_else_they_logged() {
    let desk = Desk::new();
    desk.log("a", &honest());
    desk.log("b", &honest()[1..]);
    desk.log("c", &honest()[..3]);
    let done = desk.trace(&["compare", "a", "b", "c", "--json"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let told = json(&done);
    assert_eq!(
        (&told["compared"], &told["alone"], &told["different"]),
        (&4.into(), &0.into(), &0.into())
    );
    assert_eq!(told["logs"][1]["requests"], 3);
}

#[test]
fn the_first_place_where_nodes_part_is_told_and_whether_in_state_or_computing() {
    let desk = Desk::new();
    desk.log("a", &honest());
    desk.log("computed", &with_another_element());
    let done = desk.trace(&["compare", "a", "a", "computed"]);
    assert_eq!(done.status.code(), Some(6));
    let said = text(&done.stdout);
    for part in [
        "different 1",
        "height 13",
        "computing differs",
        "differs   output probability, element 0: ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }

    let mut records = with_another_element();
    records[1].asked[0].said = Said::Failed("another state".into());
    desk.log("state", &records);
    let told = json(&desk.trace(&["compare", "a", "state", "--json"]));
    assert_eq!(told["different"], 2);
    assert_eq!(told["differences"].as_array().unwrap().len(), 1);
    assert_eq!(
        (
            &told["differences"][0]["kind"],
            &told["differences"][0]["position"]["height"]
        ),
        (&"state".into(), &11.into())
    );

    let mut faulty = honest();
    faulty[3].outcome = Outcome::Abort {
        gas: 1,
        external: QUERY_GAS,
        fault: Some("no such file".into()),
    };
    desk.log("faulty", &faulty);
    let done = desk.trace(&["compare", "a", "faulty"]);
    assert_eq!(done.status.code(), Some(6));
    let said = text(&done.stdout);
    assert!(
        said.contains("cannot read its own files") && said.contains("no such file"),
        "{said}"
    );

    records.remove(1);
    records[0].gas_left -= 1;
    desk.log("gas", &records);
    let told = json(&desk.trace(&["compare", "a", "gas", "--json"]));
    assert_eq!(
        (
            &told["differences"][0]["kind"],
            &told["differences"][0]["position"]["height"]
        ),
        (&"request".into(), &10.into())
    );
    assert_eq!(told["differences"][0]["records"].as_array().unwrap().len(), 2);
}

#[test]
fn a_log_is_shown_by_height_as_lines() {
    let desk = Desk::new();
    desk.log("log", &honest());
    let lines = |arguments: &[&str]| -> Vec<String> {
        let done = desk.trace(&[&["show", "log"], arguments].concat());
        assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
        text(&done.stdout).lines().map(String::from).collect()
    };
    let all = lines(&[]);
    assert_eq!(all.len(), 4);
    assert!(
        all[0].contains("applicant [18] = 1, 1,") && all[0].contains("probability"),
        "{}",
        all[0]
    );
    assert!(all[1].contains("UnknownCodeId (10)"), "{}", all[1]);
    assert!(all[2].contains("out of gas"), "{}", all[2]);
    assert_eq!(lines(&["--height", "12"]), [all[2].clone()]);
    assert_eq!(lines(&["--limit", "2"]), all[..2]);
    let first: serde_json::Value = serde_json::from_str(&lines(&["--json"])[0]).unwrap();
    assert_eq!(first["request"]["infer"]["steps"][0]["model"]["code_id"], CODE_ID);
    assert_eq!(
        first["outcome"]["response"]["infer"]["outputs"][0]["name"],
        "probability"
    );
}

#[test]
fn a_file_that_is_no_log_is_refused_by_name_and_line() {
    let desk = Desk::new();
    desk.log("log", &honest());
    let mut bytes = fs::read(desk.path("log")).unwrap();
    bytes.extend_from_slice(b"{\"height\":1}\n");
    fs::write(desk.path("broken"), bytes).unwrap();
    for arguments in [
        &["show", "broken"][..],
        &["replay", "broken", "--modules", "home"],
        &["compare", "log", "broken"],
    ] {
        let done = desk.trace(arguments);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(said.contains("broken") && said.contains("line 5"), "{said}");
    }
    assert_eq!(desk.trace(&["show", "gone"]).status.code(), Some(1));
    assert_eq!(desk.trace(&["compare", "log"]).status.code(), Some(2));
}
