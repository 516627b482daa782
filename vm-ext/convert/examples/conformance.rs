//! Runs the ONNX node tests: `conformance [--float] FOLDER [OP..]`, where FOLDER is `onnx/backend/test/data/node` of
//! PyPI's `onnx`. The runner says how.
//!
//! It fails where a case fails that is not among `tests/conformance/failing.txt`, and where all cases are run and fewer are
//! right than [`WANTED`] says.

#[path = "../tests/conformance/runner.rs"]
mod runner;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use aiinference_convert::proto::ModelProto;
use prost::Message;
use runner::{Case, Leg, Verdict};

/// Cases that there are, and how many must be right: in integers, and in doubles.
const CASES: usize = 1288;
const WANTED: [usize; 2] = [1167, 1222];

/// Cases that are known to fail in integers, a line each, under the reasons.
const FAILING: &str = include_str!("../tests/conformance/failing.txt");

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = arguments.len();
    arguments.retain(|a| a != "--float");
    let leg = if arguments.len() < count {
        Leg::Float
    } else {
        Leg::Integer
    };
    let [folder, wanted @ ..] = arguments.as_slice() else {
        return Err("give the folder onnx/backend/test/data/node, and operators to see only those".into());
    };
    let wanted_all = wanted.is_empty();
    let mut tests: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    tests.sort();
    // A panic is a fault of the importer: it counts as a failure and says where it was.
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|l| format!(" at {}:{}", l.file(), l.line()));
        println!("panicked{}", place.unwrap_or_default());
    }));
    let mut by_op: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let known: BTreeSet<&str> = FAILING.lines().filter(|l| l.starts_with("test_")).collect();
    let mut fell: Vec<String> = vec![];
    let mut rose: Vec<String> = vec![];
    let (mut right, mut constant, mut total) = (0, 0, 0);
    for test in &tests {
        let Some(case) = case_in(test) else {
            continue;
        };
        let name = case.name.clone();
        let model = ModelProto::decode(case.model.as_slice())?;
        let op = operator(&model, &name);
        if !wanted.is_empty() && !wanted.contains(&op) {
            continue;
        }
        total += 1;
        let verdict = catch_unwind(AssertUnwindSafe(|| case.check(leg)))
            .unwrap_or_else(|_| Verdict::Failed("the importer panicked".into()));
        let failed = matches!(verdict, Verdict::Failed(_));
        match (failed, known.contains(name.as_str())) {
            (true, false) => fell.push(name.clone()),
            (false, true) => rose.push(name.clone()),
            _ => {}
        }
        let count = by_op.entry(op).or_default();
        count.1 += 1;
        match verdict {
            Verdict::Right => {
                right += 1;
                count.0 += 1;
            }
            Verdict::Constant => {
                constant += 1;
                count.0 += 1;
            }
            Verdict::Failed(reason) => {
                println!("{name}: {reason}");
                *reasons.entry(kind_of(&reason)).or_default() += 1;
            }
        }
    }
    println!("\nby operator:");
    for (op, (good, all)) in &by_op {
        println!("{op:32} {good:3} of {all:3}");
    }
    println!("\nwhat failed, by reason:");
    for (reason, count) in &reasons {
        println!("{count:5} {reason}");
    }
    println!("\n{right} run, {constant} computed while importing");
    let good = right + constant;
    if leg == Leg::Integer && !rose.is_empty() {
        println!("right now (take them out of failing.txt): {}", rose.join(" "));
    }
    println!("onnx node tests: {good} of {total}");
    if leg == Leg::Integer && !fell.is_empty() {
        return Err(format!("fell: {}", fell.join(" ")).into());
    }
    let wanted = WANTED[usize::from(leg == Leg::Float)];
    if wanted_all && (total != CASES || good < wanted) {
        return Err(format!("{good} of {total} are right, and {wanted} of {CASES} must be").into());
    }
    Ok(())
}

/// The case in a folder, if it is one.
fn case_in(folder: &Path) -> Option<Case> {
    let name = folder.file_name()?.to_string_lossy();
    Case::read(&name, |path| std::fs::read(folder.join(path)).ok())
}

/// The operator that a test is about: of its nodes, or of its name where it is spelt out in others.
fn operator(model: &ModelProto, name: &str) -> String {
    let nodes = model.graph.as_ref().map(|g| g.node.as_slice()).unwrap_or_default();
    match nodes {
        [node] => node.op_type.clone(),
        _ => {
            let plain = name.trim_start_matches("test_");
            let end = plain.find("_expanded").unwrap_or(plain.len());
            let words = plain[..end].split('_').next().unwrap_or(plain);
            format!("{words} (spelt out)")
        }
    }
}

/// A reason without names and numbers, to count alike ones together.
fn kind_of(reason: &str) -> String {
    let tail = reason.rsplit("): ").next().unwrap_or(reason);
    let plain: String = tail.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
    plain.split(';').next().unwrap_or_default().chars().take(90).collect()
}
