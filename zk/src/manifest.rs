//! `circuit.json`: what a circuit is, beside its keys.

use serde::{Deserialize, Serialize};

use crate::{exact::Exact, hidden::Hidden, srs::Srs};

/// The choices that, with the model, what is hidden and the SRS, decide every byte of a circuit's data. All else is fixed:
/// scales are 0, outputs public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The circuit has 2^logrows rows.
    pub logrows: u32,
    /// Numbers are taken apart into digits of this base.
    pub decomp_base: u64,
    /// How many digits.
    pub decomp_legs: u32,
    /// Width of the circuit.
    pub num_inner_cols: u32,
}

/// An input or output, in the order of the circuit's instances: inputs first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// As in the model.
    pub name: String,
    /// Row-major extents.
    pub shape: Vec<u32>,
    /// An integer q stands for `q * 2^-fraction_bits`.
    pub fraction_bits: i32,
    /// Least integer.
    pub low: i32,
    /// Largest integer.
    pub high: i32,
}

/// How long a step of the setup took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Which step.
    pub name: String,
    /// Wall-clock time.
    pub seconds: f64,
    /// Time of all cores together.
    pub cpu_seconds: f64,
    /// Most memory so far, in KiB.
    pub peak_kib: u64,
}

/// A circuit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// 1: ezkl, Halo2 with KZG on BN254.
    pub scheme: u32,
    /// Version of ezkl.
    pub ezkl: String,
    /// SHA-256 of the model's module.
    pub model_checksum: String,
    /// SHA-256 of the exported ONNX file.
    pub onnx_sha256: String,
    /// What only the prover knows.
    #[serde(default)]
    pub hidden: Hidden,
    /// Hidden weights: their hash, a field element, big endian.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_hash: Option<String>,
    /// Choices.
    pub settings: Settings,
    /// What a run takes.
    pub inputs: Vec<Port>,
    /// What it gives.
    pub outputs: Vec<Port>,
    /// Bytes of every proof.
    pub proof_bytes: u64,
    /// The SRS.
    pub srs: Srs,
    /// SHA-256 of the circuit's data, as in `vka.bin`.
    pub vka_sha256: String,
}

impl Port {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().map(|extent| *extent as usize).product()
    }
}

impl Settings {
    /// For an exact model; the number of rows is not known yet.
    pub(crate) fn of(exact: &Exact, logrows: u32) -> Self {
        Settings {
            logrows,
            decomp_base: 1 << exact.base_bits,
            decomp_legs: exact.legs,
            num_inner_cols: 2,
        }
    }
}
