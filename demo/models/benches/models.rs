//! Each shipped model by itself, through the host import, and as guest Wasm: time, gas, and the time that a unit of gas pays
//! for. The three give the same integers, which is checked.
//!
//! *native* is `Program::run`; *import* the query of a Wasm contract that asks the host (`contracts/test-probe`), *guest* that
//! of one that carries the engine (`contracts/in-guest`). Both contracts take and give integers as base64 in JSON, so
//! that the two rows compare. 1 ns is worth 1,000 gas: a ratio above 1 is time that nobody paid for.
//!
//! Last, what a product takes in a guest that does nothing else, as fast as it can be made to (`in-guest`'s query `multiply`).
//!
//! Where `BENCH_FIGURES` names a file, that figure is added to it as a line of JSON. Where `BENCH_MODELS` names a folder, each model gets one in it, with its module and these figures: `scripts/bench.py` times them
//! beside another runtime.

use std::{
    fs,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use aiinference_demo_models::{self as models, Source};
use aiinference_engine::{graph::Input, Kernels};
use aiinference_multi_test::{cw_multi_test::Executor, Chain, GasLimits, SDK_GAS};
use aiinference_runtime::{module, LoadedModel};
use anyhow::{ensure, Context, Error, Result};
use cosmwasm_std::{Addr, Binary};
use in_guest::product::Product;
use serde::Deserialize;
use serde_json::{json, Value};

fn main() -> Result<()> {
    println!(
        "{:<9} {:<14} {:>12} {:>16} {:>8}",
        "model", "path", "ns", "gas", "ns/gas"
    );
    let mut chain = Chain::new()?;
    // Running a model in guest Wasm takes more than any chain allows.
    chain.set_gas_limits(GasLimits {
        query: 100_000_000 * SDK_GAS,
        ..GasLimits::default()
    });
    let owner = chain.account("owner");
    let probe = chain.store_wasm(&models::contract("test-probe")?)?;
    let probe = chain
        .instantiate_contract(probe, owner.clone(), &json!({}), &[], "probe", None)
        .map_err(Error::msg)?;
    let guest = chain.store_wasm(&models::contract("in-guest")?)?;
    for source in models::ALL {
        let wasm = source.module()?;
        let model = LoadedModel::load([0; 32], &wasm)?;
        let (inputs, _) = source.sample(&model, 0)?;

        let slices: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
        let mut want = Vec::new();
        for kernels in Kernels::available() {
            let took = time(|| {
                want = model.program.run(&slices, &kernels)?;
                Ok(())
            })?;
            row(
                source.name,
                &format!("native {}", kernels.name()),
                took,
                model.program.run_gas(),
            );
        }

        let code_id = chain.store_wasm(&wasm)?;
        let given: Vec<Value> = model
            .program
            .inputs()
            .iter()
            .zip(&inputs)
            .map(|(port, q)| given(port, q))
            .collect();
        let (outputs, took): (Vec<Binary>, _) = query(
            &chain,
            &probe,
            &json!({ "run": { "code_id": code_id, "inputs": given } }),
        )?;
        ensure!(
            outputs == want.iter().map(|q| bytes(q)).collect::<Vec<_>>(),
            "the import gives other integers"
        );
        let import = (took, chain.last_query().used);
        row(source.name, "import", import.0, import.1);

        let contract = chain
            .instantiate_contract(guest, owner.clone(), &json!({}), &[], "guest", None)
            .map_err(Error::msg)?;
        let sections = module::sections(&wasm)?.context("the module carries no model")?;
        for (part, data) in [("graph", sections.graph), ("weights", sections.weights)] {
            for piece in data.chunks(100_000) {
                let append = json!({ "append": { "part": part, "data": Binary::from(piece) } });
                chain
                    .execute_contract(owner.clone(), contract.clone(), &append, &[])
                    .map_err(Error::msg)?;
            }
        }
        let packed: Vec<Binary> = inputs.iter().map(|q| bytes(q)).collect();
        let (answer, took): (Outputs, _) = query(&chain, &contract, &json!({ "run": { "inputs": packed } }))?;
        ensure!(answer.outputs == outputs, "the guest gives other integers");
        let guest = (took, chain.last_query().used);
        row(source.name, "guest", guest.0, guest.1);
        if let Ok(folder) = std::env::var("BENCH_MODELS") {
            keep(&Path::new(&folder).join(source.name), source, &wasm, import, guest)?;
        }
    }
    let contract = chain
        .instantiate_contract(guest, owner, &json!({}), &[], "guest", None)
        .map_err(Error::msg)?;
    products(&chain, &contract)
}

/// Rows, products in a sum and columns of a layer.
const PRODUCT: [u32; 3] = [128, 384, 384];

/// What multiplying takes in a guest, beside making the numbers and asking.
fn products(chain: &Chain, contract: &Addr) -> Result<()> {
    let [rows, k, columns] = PRODUCT;
    let want = Product::new(rows as usize, k as usize, columns as usize).checksum();
    let multiply = |times: u32| -> Result<(Duration, u64)> {
        let msg = json!({ "multiply": { "rows": rows, "k": k, "columns": columns, "times": times } });
        let (checksum, took): (u32, _) = query(chain, contract, &msg)?;
        ensure!(checksum == want, "the guest's product is another");
        Ok((took, chain.last_query().used))
    };
    let (once, often) = (multiply(1)?, multiply(5)?);
    let macs = 4.0 * PRODUCT.map(f64::from).iter().product::<f64>();
    let ns = (often.0 - once.0).as_nanos() as f64 / macs;
    let gas = (often.1 - once.1) as f64 / macs;
    println!("a product in a guest, 16-bit activations, 8-bit weights: {ns:.3} ns, {gas:.0} gas");
    if let Ok(path) = std::env::var("BENCH_FIGURES") {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path)?;
        writeln!(file, "{}", json!({ "guest_ns_per_mac": ns, "guest_gas_per_mac": gas }))?;
    }
    Ok(())
}

/// Writes what times a model elsewhere.
fn keep(folder: &Path, source: Source, wasm: &[u8], import: (Duration, u64), guest: (Duration, u64)) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("model.wasm"), wasm)?;
    let case = json!({
        "title": source.name,
        "model": source.onnx_path(),
        "data": source.calibration_path(),
        "import_ns": import.0.as_nanos() as u64,
        "import_gas": import.1,
        "guest_ns": guest.0.as_nanos() as u64,
        "guest_gas": guest.1,
    });
    fs::write(folder.join("case.json"), case.to_string())?;
    Ok(())
}

#[derive(Deserialize)]
struct Outputs {
    outputs: Vec<Binary>,
}

/// Least time of one run, over at least 5 runs and a fifth of a second.
fn time(mut run: impl FnMut() -> Result<()>) -> Result<Duration> {
    run()?;
    let (start, mut least, mut count) = (Instant::now(), Duration::MAX, 0);
    while count < 5 || start.elapsed() < Duration::from_millis(200) {
        let begin = Instant::now();
        run()?;
        least = least.min(begin.elapsed());
        count += 1;
    }
    Ok(least)
}

fn query<T: serde::de::DeserializeOwned>(chain: &Chain, contract: &Addr, msg: &Value) -> Result<(T, Duration)> {
    let mut answer = None;
    let took = time(|| {
        answer = Some(chain.wrap().query_wasm_smart(contract, msg).map_err(Error::msg)?);
        Ok(())
    })?;
    Ok((answer.context("nothing was asked")?, took))
}

fn row(model: &str, path: &str, took: Duration, gas: u64) {
    let ns = took.as_nanos();
    println!(
        "{model:<9} {path:<14} {ns:>12} {gas:>16} {:>8.3}",
        ns as f64 * 1000.0 / gas as f64
    );
}

fn given(port: &Input, integers: &[i32]) -> Value {
    json!({ "name": port.name, "shape": port.shape, "fraction_bits": port.fraction_bits, "integers": bytes(integers) })
}

fn bytes(integers: &[i32]) -> Binary {
    integers.iter().flat_map(|q| q.to_le_bytes()).collect::<Vec<_>>().into()
}
