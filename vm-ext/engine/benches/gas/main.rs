//! Does every operation, at every shape, take no longer than it pays for?
//!
//! Times shapes that are known to be awkward, then searches the shapes of every operation for worse ones. Prints nanoseconds,
//! gas and their ratio: 1.00 means that 1,000 gas took a nanosecond. Ends with status 1 where a ratio is above 1. The kernels are
//! those for AVX2, which gas pays for, if the machine has them.
//!
//! ```text
//! cargo bench -p aiinference-engine --bench gas [-- [listed] [loading] [search] [OPERATION ..] [--kernels NAME] [--trials N] [--seed N]]
//! ```

#[path = "../common/mod.rs"]
mod common;
mod families;
mod listed;
mod loading;
mod search;

use std::collections::BTreeMap;
use std::process::ExitCode;

use aiinference_engine::graph::{Graph, Op};
use aiinference_engine::{Kernels, Program};
use common::LIMITS;
use families::FAMILIES;

/// Loading a model, which comes before its first run whether its bytes are in a cache or not, pays for what the caches do not
/// hold then (`docs/spec/gas.md`).
const LOADING: u64 = 60_000_000;

/// How often a node is run beside once, to tell what it takes without what surrounds it: so often that its runs come to half of what the
/// whole pays, as what disturbs the whole would else be taken for the node's; within these.
const TIMES: [u64; 2] = [4, 2048];

/// Time over gas of the only node of a graph, `ns` being that of the whole, without what is paid for inputs and outputs. None for
/// products, whose weights would lie in other memory each time, and for graphs of several nodes.
fn alone(
    graph: &Graph,
    inputs: &[&[i32]],
    ns: f64,
    kernels: &Kernels,
    time: fn(&mut dyn FnMut()) -> f64,
) -> Option<f64> {
    if matches!(graph.nodes[..], [Op::MatMul { .. } | Op::Conv2d { .. }]) {
        return None;
    }
    let once = Program::new(graph.clone(), &LIMITS).ok()?;
    let own = once.nodes().first()?.cost.gas.max(1);
    let times = (once.run_gas() / 2 / own).clamp(TIMES[0], TIMES[1]);
    let program = Program::new(common::repeated(graph, 1 + times as usize)?, &LIMITS).ok()?;
    let all = time(&mut || {
        std::hint::black_box(program.run(inputs, kernels).expect("inputs within their ranges"));
    });
    Some((all - ns) * 1000.0 / (own * times) as f64)
}

/// What the command line asks for.
struct Arguments {
    /// Operations or parts of their names; all if there are none.
    operations: Vec<String>,
    listed: bool,
    loading: bool,
    search: bool,
    kernels: Kernels,
    trials: usize,
    seed: u64,
}

impl Arguments {
    fn read() -> Self {
        let mut words = std::env::args().skip(1);
        let mut all = Arguments {
            operations: vec![],
            listed: false,
            loading: false,
            search: false,
            kernels: Kernels::by_name("avx2").unwrap_or(Kernels::auto()),
            trials: 100,
            seed: 1,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{word} wants a value"));
            match word.as_str() {
                "--bench" => {}
                "--kernels" => {
                    let name = value();
                    all.kernels = Kernels::by_name(&name).unwrap_or_else(|| panic!("no kernels {name} here"));
                }
                "--trials" => all.trials = value().parse().expect("a number of trials"),
                "--seed" => all.seed = value().parse().expect("a seed"),
                "listed" => all.listed = true,
                "loading" => all.loading = true,
                "search" => all.search = true,
                _ => all.operations.push(word),
            }
        }
        if !all.listed && !all.loading && !all.search {
            (all.listed, all.loading, all.search) = (true, true, true);
        }
        all
    }

    fn takes(&self, name: &str) -> bool {
        self.operations.is_empty() || self.operations.iter().any(|part| name.contains(part.as_str()))
    }
}

/// The largest ratios, by operation.
#[derive(Default)]
struct Worst(BTreeMap<String, (f64, String)>);

impl Worst {
    fn see(&mut self, operation: &str, ratio: f64, case: String) {
        let entry = self.0.entry(operation.into()).or_default();
        if ratio > entry.0 {
            *entry = (ratio, case);
        }
    }
}

fn listed(arguments: &Arguments, worst: &mut Worst) {
    println!(
        "{:<58} {:>12} {:>14} {:>6} {:>6} {:>6}",
        "case", "ns", "gas", "ratio", "alone", "cold"
    );
    for (name, graph) in listed::cases() {
        if !arguments.takes(&name) {
            continue;
        }
        let mut inputs = common::inputs(&graph.inputs);
        if name.contains("ascending") {
            inputs.iter_mut().for_each(|input| input.sort_unstable());
        }
        let views: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
        let program = Program::new(graph.clone(), &LIMITS).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut run = || {
            let results = program.run(&views, &arguments.kernels);
            std::hint::black_box(results.expect("inputs within their ranges"));
        };
        let gas = program.run_gas();
        let over = |ns: f64, gas: u64| ns * 1000.0 / gas as f64;
        let mut ns = common::quick(&mut run);
        if over(ns, gas) > 0.5 {
            ns = common::time(&mut run);
        }
        // What caches lack matters where there is much to fetch.
        let cold = match gas > LOADING {
            true => over(common::cold(&mut run), gas + LOADING),
            false => 0.0,
        };
        let ratio = over(ns, gas);
        let alone = alone(&graph, &views, ns, &arguments.kernels, common::quick).unwrap_or_default();
        let most = ratio.max(alone).max(cold);
        let mark = if most > 0.9 { " <-" } else { "" };
        println!("{name:<58} {ns:>12.0} {gas:>14} {ratio:>6.2} {alone:>6.2} {cold:>6.2}{mark}");
        let operation = name.split(' ').next().unwrap_or_default().to_string();
        worst.see(&operation, most, name);
    }
}

fn loading(arguments: &Arguments, worst: &mut Worst) {
    println!("{:<68} {:>12} {:>14} {:>6} {:>6}", "case", "ns", "gas", "ratio", "held");
    for (name, graph) in loading::cases() {
        if !arguments.takes(&name) {
            continue;
        }
        let (ns, gas, held) = loading::time(&graph);
        let ratio = ns * 1000.0 / gas as f64;
        println!("{name:<68} {ns:>12.0} {gas:>14} {ratio:>6.2} {held:>6.1}");
        worst.see("loading", ratio, name);
    }
}

fn search(arguments: &Arguments, worst: &mut Worst) {
    println!(
        "{:<16} {:>12} {:>14} {:>6}  worst shape",
        "operation", "ns", "gas", "ratio"
    );
    for family in FAMILIES.iter().filter(|family| arguments.takes(family.op)) {
        let Some(found) = family.search(arguments.seed, arguments.trials, &arguments.kernels) else {
            continue;
        };
        let shape = family.describe(&found.shape);
        let (op, ratio) = (family.op, found.ratio);
        println!("{op:<16} {:>12.0} {:>14} {ratio:>6.2}  {shape}", found.ns, found.gas);
        worst.see(op, ratio, format!("{op}: {shape}"));
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::read();
    println!("kernels: {}", arguments.kernels.name());
    let mut worst = Worst::default();
    if arguments.listed {
        listed(&arguments, &mut worst);
    }
    if arguments.loading {
        loading(&arguments, &mut worst);
    }
    if arguments.search {
        search(&arguments, &mut worst);
    }
    println!("\nlargest ratio by operation");
    for (op, (ratio, name)) in &worst.0 {
        println!("{op:<16} {ratio:>6.2}  {name}");
    }
    match worst.0.values().all(|(ratio, _)| *ratio <= 1.0) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
