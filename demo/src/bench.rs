//! What a model costs through the host's import, and in guest Wasm: the same integers, asserted equal.

use std::time::{Duration, Instant};

use aiinference_demo_models as models;
use aiinference_engine::Program;
use aiinference_runtime::{engine_limits, module};
use aiinference_types::{
    quantize::DECIMAL_UNIT,
    v1::{DataType, OutOfRange, Tensor},
};
use anyhow::{anyhow, ensure, Context, Result};
use cosmwasm_std::{Addr, Binary, Decimal, Uint128};
use credit_score::{
    msg::{ModelKind, QueryMsg as CreditQuery, ScoreResponse},
    Applicant,
};
use cw721::msg::NftInfoResponse;
use dynamic_nft::msg::{Artwork, QueryMsg as NftQuery};
use in_guest::msg::{ExecuteMsg, InstantiateMsg, Part, QueryMsg, RunResponse};
use serde::{de::DeserializeOwned, Serialize};

use crate::{
    credit::{Credit, APPLICANTS},
    gallery::Gallery,
    sheet,
    stage::{grouped, sdk, Stage},
};

/// One comparison. Gas is CosmWasm gas.
pub struct Row {
    pub what: &'static str,
    /// Multiplications, 0 for trees.
    pub macs: u64,
    /// What the import charges.
    pub price: u64,
    /// The whole query that contains it.
    pub call: Cost,
    /// The query that runs the model inside.
    pub guest: Cost,
}

/// Gas, and the best time of several.
#[derive(Clone, Copy)]
pub struct Cost {
    pub gas: u64,
    pub time: Duration,
}

impl std::ops::Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost {
            gas: self.gas + other.gas,
            time: self.time + other.time,
        }
    }
}

pub fn run(stage: &mut Stage, credit: &Credit, gallery: &Gallery) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let applicant = Applicant::from_values(APPLICANTS[0].1);
    for (kind, source, output, what) in [
        (ModelKind::Trees, models::GBDT, "probabilities", "credit: 120 trees"),
        (ModelKind::Mlp, models::MLP, "probability", "credit: neural network"),
    ] {
        let msg = CreditQuery::Score {
            applicant: applicant.clone(),
            model: Some(kind),
        };
        let (answer, call): (ScoreResponse, _) = timed(stage, &credit.contract, &msg)?;
        let guest = Guest::new(stage, source)?;
        let (outputs, cost) = guest.run(stage, &[integers("applicant", &applicant.values())])?;
        let (index, info) = guest.output(output)?;
        let score = outputs[index]
            .last()
            .map(|&q| decimal(q, info.fraction_bits))
            .unwrap_or_default();
        ensure!(
            score == answer.score,
            "{what}: {score} in the guest, {} by the import",
            answer.score
        );
        rows.push(Row {
            what,
            macs: guest.program.macs(),
            price: answer.receipt.gas,
            call,
            guest: cost,
        });
    }

    let frame = gallery.frames.last().context("no picture was drawn")?;
    let msg = NftQuery::NftInfo {
        token_id: frame.token.to_owned(),
    };
    let (answer, call): (NftInfoResponse<Artwork>, _) = timed(stage, &gallery.contract, &msg)?;
    let inputs = &answer.extension.inputs;
    let (mood, painter) = (Guest::new(stage, models::MOOD)?, Guest::new(stage, models::PAINTER)?);
    let market: Vec<i128> = inputs.market.values().iter().map(|v| v.atomics().i128()).collect();
    let owner = [inputs.days_held as i64, inputs.transfers as i64, inputs.days_old as i64];
    let given = [decimals("market", &market), integers("owner", &owner)];
    let (moods, first) = mood.run(stage, &given)?;
    let (index, info) = mood.output("mood")?;
    let latent = Tensor::from_integers(
        "mood".into(),
        info.shape.clone(),
        info.fraction_bits,
        info.low,
        info.high,
        &moods[index],
    );
    let seed: Vec<i128> = inputs.seed.iter().map(|v| v.atomics().i128()).collect();
    let (pixels, second) = painter.run(stage, &[latent, decimals("seed", &seed)])?;
    let (index, info) = painter.output("pixels")?;
    let planes = &pixels[index];
    let count = planes.len() / 3;
    let level = |q: i32| {
        let half = if info.fraction_bits > 0 {
            1 << (info.fraction_bits - 1)
        } else {
            0
        };
        ((i64::from(q) * 255 + half) >> info.fraction_bits).clamp(0, 255) as u8
    };
    let drawn: Vec<u8> = (0..3 * count).map(|i| level(planes[i % 3 * count + i / 3])).collect();
    ensure!(
        drawn == sheet::decode(&frame.png)?,
        "the picture drawn in the guest is another one"
    );
    rows.push(Row {
        what: "picture: mood and painter",
        macs: mood.program.macs() + painter.program.macs(),
        price: answer.extension.receipt.gas,
        call,
        guest: first + second,
    });
    Ok(rows)
}

pub fn print(rows: &[Row]) {
    println!("  The same integers from both. SDK gas = CosmWasm gas / 140,000.");
    println!(
        "  {:<26} {:>9} {:>11} {:>12} {:>9} {:>13} {:>9} {:>8}",
        "", "products", "inference", "whole call", "", "guest Wasm", "", "ratio"
    );
    println!(
        "  {:<26} {:>9} {:>11} {:>12} {:>9} {:>13} {:>9} {:>8}",
        "", "", "SDK gas", "SDK gas", "ms", "SDK gas", "ms", "of gas"
    );
    for row in rows {
        println!(
            "  {:<26} {:>9} {:>11} {:>12} {:>9.2} {:>13} {:>9.2} {:>7.1}x",
            row.what,
            if row.macs == 0 {
                "-".to_owned()
            } else {
                grouped(row.macs)
            },
            grouped(sdk(row.price)),
            grouped(sdk(row.call.gas)),
            row.call.time.as_secs_f64() * 1e3,
            grouped(sdk(row.guest.gas)),
            row.guest.time.as_secs_f64() * 1e3,
            row.ratio(),
        );
    }
}

impl Row {
    /// How much more gas the guest takes.
    pub fn ratio(&self) -> f64 {
        self.guest.gas as f64 / self.call.gas.max(1) as f64
    }
}

/// A model inside a contract of its own.
struct Guest {
    contract: Addr,
    program: Program,
}

impl Guest {
    fn new(stage: &mut Stage, source: models::Source) -> Result<Self> {
        let wasm = source.module()?;
        let sections = module::sections(&wasm)?.ok_or_else(|| anyhow!("{} carries no model", source.name))?;
        let program = Program::load(sections.graph, sections.weights, &engine_limits()).map_err(|e| anyhow!("{e}"))?;
        let contract = stage.instantiate("in-guest", "owner", &InstantiateMsg {})?;
        for (part, bytes) in [(Part::Graph, sections.graph), (Part::Weights, sections.weights)] {
            for piece in bytes.chunks(100_000) {
                let data = Binary::from(piece);
                stage.execute("owner", &contract, &ExecuteMsg::Append { part, data })?;
            }
        }
        Ok(Guest { contract, program })
    }

    /// Runs the model on named tensors; each output's integers.
    fn run(&self, stage: &Stage, given: &[Tensor]) -> Result<(Vec<Vec<i32>>, Cost)> {
        let mut inputs = Vec::new();
        for input in self.program.inputs() {
            let tensor = given.iter().find(|tensor| tensor.name == input.name);
            let tensor = tensor.ok_or_else(|| anyhow!("nothing is given for input {}", input.name))?;
            let policy = if input.saturate {
                OutOfRange::Saturate
            } else {
                OutOfRange::Refuse
            };
            let (values, _) = tensor.quantize(input.fraction_bits, input.low, input.high, policy)?;
            inputs.push(Binary::from(
                values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>(),
            ));
        }
        let (answer, cost): (RunResponse, _) = timed(stage, &self.contract, &QueryMsg::Run { inputs })?;
        let integers = |bytes: &Binary| bytes.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b)).collect();
        Ok((answer.outputs.iter().map(integers).collect(), cost))
    }

    /// Place and format of an output.
    fn output(&self, name: &str) -> Result<(usize, &aiinference_engine::OutputInfo)> {
        let found = self
            .program
            .outputs()
            .iter()
            .enumerate()
            .find(|(_, output)| output.name == name);
        found.ok_or_else(|| anyhow!("the model has no output {name}"))
    }
}

/// A query's answer, its gas, and its best time of three.
fn timed<T: DeserializeOwned>(stage: &Stage, contract: &Addr, msg: &impl Serialize) -> Result<(T, Cost)> {
    let mut time = Duration::MAX;
    let mut last = None;
    for _ in 0..3 {
        let begun = Instant::now();
        last = Some(stage.query(contract, msg)?);
        time = time.min(begun.elapsed());
    }
    let (answer, gas) = last.context("no query was made")?;
    Ok((answer, Cost { gas, time }))
}

fn integers(name: &str, values: &[i64]) -> Tensor {
    Tensor {
        name: name.into(),
        data_type: DataType::Int64.into(),
        shape: vec![values.len() as u32],
        fraction_bits: 0,
        data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

fn decimals(name: &str, atomics: &[i128]) -> Tensor {
    Tensor {
        name: name.into(),
        data_type: DataType::Decimal.into(),
        shape: vec![atomics.len() as u32],
        fraction_bits: 0,
        data: atomics.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

/// `q * 2^-bits`, as aiinference-std reads it.
fn decimal(q: i32, bits: i32) -> Decimal {
    let half = if bits > 0 { 1 << (bits - 1) } else { 0 };
    let atomics = (i128::from(q) * DECIMAL_UNIT + half) >> bits;
    Decimal::new(Uint128::new(atomics.try_into().unwrap_or_default()))
}
