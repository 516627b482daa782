//! A folder with a circuit: the model, its export, ezkl's keys, and `circuit.json`. Setup, proofs, checks.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use aiinference_engine::{format, Kernels, Program, RunError};
use aiinference_runtime::{engine_limits, module, LoadedModel, ModelError};
use aiinference_types::{
    limits,
    tensor::{same_shape, TensorError},
    v1,
};
use aiinference_verifier::{Circuit, VerifyError};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    exact::{Exact, Step},
    ezkl::{Stage, Tool, ToolError, EZKL_VERSION},
    hidden::{HashError, Hidden, Opening, Salt},
    lower::{lower, NotProvable},
    manifest::{Manifest, Port, Settings, Timing},
    onnx,
    proof::{Proof, ProofError},
    samples::samples,
    srs::{key_of, Srs},
};

const MODEL: &str = "model.wasm";
const ONNX: &str = "circuit.onnx";
const MANIFEST: &str = "circuit.json";
const SETTINGS: &str = "settings.json";
const COMPILED: &str = "circuit.compiled";
const VK: &str = "vk.key";
const PK: &str = "pk.key";
const VKA: &str = "vka.bin";
const SRS: &str = "kzg.srs";

/// Names of the hashes among a circuit's public values.
const INPUTS_HASH: &str = "inputs";
const WEIGHTS_HASH: &str = "weights";

/// Runs that a setup compares with the engine before it makes keys.
const CHECKS: usize = 12;
/// ezkl, Halo2 with KZG.
const SCHEME: u32 = v1::ProofScheme::EzklHalo2Kzg as u32;
/// Rows that setups go up to by default: 2^20 take some 15 GB.
const MAX_LOGROWS: u32 = 20;

/// Why a circuit was not set up, proven or checked.
#[derive(Debug, thiserror::Error)]
pub enum CircuitError {
    /// The module is no valid model.
    #[error("setting up a circuit: {0}")]
    Model(#[from] ModelError),
    /// The model cannot be proven.
    #[error(transparent)]
    NotProvable(#[from] NotProvable),
    /// ezkl.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A file.
    #[error("{doing} {path}: {source}", path = .path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A folder that belongs to something else.
    #[error("setting up a circuit: {path} holds something else already; name a new folder", path = .path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// A folder without a usable circuit.
    #[error("opening the circuit in {path}: {reason}; make it again with `aiinference prove setup`", path = .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The SRS file is not the one expected.
    #[error("reading the SRS {path}: {reason}", path = .path.display())]
    Srs {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The circuit hides inputs, or does not, other than the call.
    #[error("proving: the circuit {takes}")]
    Hidden {
        /// What it takes.
        takes: &'static str,
    },
    /// More values in the open than a circuit may have.
    #[error("setting up a circuit: {0} values of inputs and outputs would be in the open, below {max} are allowed; hide the inputs, or end the model where it gives fewer", max = limits::MAX_INSTANCES)]
    TooManyValues(usize),
    /// No salt, or no hash.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// A circuit of hidden weights, for a model that is on the chain.
    #[error("writing the circuit's module: its weights are hidden, so it stands for no model that is stored; write it as unpublished")]
    Unpublished,
    /// Another number of inputs, or names that the model does not have.
    #[error("reading inputs: {0}")]
    Inputs(String),
    /// A tensor that an input does not take.
    #[error("reading input {name:?}: {source}")]
    Tensor {
        /// Which.
        name: String,
        /// Why.
        source: TensorError,
    },
    /// The engine refuses the inputs.
    #[error("running the model: {0}")]
    Run(#[from] RunError),
    /// The proof is not about this circuit.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The circuit is none that a chain would take.
    #[error(transparent)]
    Circuit(#[from] aiinference_verifier::CircuitError),
    /// The verifier came to no answer.
    #[error(transparent)]
    Verifier(#[from] VerifyError),
    /// The circuit gave what it should not.
    #[error("proving: {0}; nothing was handed out, report it with the model")]
    Unsound(String),
}

/// How to set up.
#[derive(Clone, Debug, Default)]
pub struct SetupOptions {
    /// The public SRS; without it a development SRS is made, whose proofs no chain accepts by default.
    pub srs: Option<PathBuf>,
    /// SHA-256 that the SRS file must have.
    pub srs_sha256: Option<[u8; 32]>,
    /// Take an SRS that is not the perpetual powers of tau.
    pub any_srs: bool,
    /// What only the prover is to know.
    pub hidden: Hidden,
}

/// A circuit on disk.
#[derive(Debug)]
pub struct CircuitFolder {
    path: PathBuf,
    manifest: Manifest,
    program: Program,
}

/// What a setup says.
#[derive(Deserialize)]
struct Made {
    logrows: u32,
    stages: Vec<Stage>,
}

/// What proving says.
#[derive(Deserialize)]
struct Proven {
    proof: String,
    instances: Vec<String>,
    stages: Vec<Stage>,
}

#[derive(Deserialize)]
struct Verified {
    valid: bool,
}

#[derive(Deserialize)]
struct Done {}

fn file_error<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> CircuitError + 'a {
    move |source| CircuitError::File {
        doing,
        path: path.into(),
        source,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CircuitError> {
    fs::read(path).map_err(file_error("reading", path))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CircuitError> {
    fs::write(path, bytes).map_err(file_error("writing", path))
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn timings(stages: Vec<Stage>) -> Vec<Timing> {
    let timing = |s: Stage| Timing {
        name: s.name,
        seconds: s.seconds,
        cpu_seconds: s.cpu_seconds,
        peak_kib: s.peak_kib,
    };
    stages.into_iter().map(timing).collect()
}

/// A stored model and its restatement.
fn open_model(wasm: &[u8], hidden: Hidden) -> Result<(Program, Exact), CircuitError> {
    let program = LoadedModel::load(Sha256::digest(wasm).into(), wasm)?.program;
    let sections = module::sections(wasm)
        .map_err(ModelError::from)?
        .ok_or(ModelError::NotAModel)?;
    let limits = engine_limits();
    let graph = format::decode(sections.graph, sections.weights, &limits).map_err(ModelError::from)?;
    let exact = lower(&graph, &limits, hidden)?;
    Ok((program, exact))
}

fn ports(program: &Program) -> (Vec<Port>, Vec<Port>) {
    let inputs = program.inputs().iter().map(|p| Port {
        name: p.name.clone(),
        shape: p.shape.clone(),
        fraction_bits: p.fraction_bits,
        low: p.low,
        high: p.high,
    });
    let outputs = program.outputs().iter().map(|p| Port {
        name: p.name.clone(),
        shape: p.shape.clone(),
        fraction_bits: p.fraction_bits,
        low: p.low,
        high: p.high,
    });
    (inputs.collect(), outputs.collect())
}

fn run(program: &Program, inputs: &[Vec<i32>]) -> Result<Vec<Vec<i32>>, RunError> {
    let slices: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
    program.run(&slices, &Kernels::auto())
}

impl CircuitFolder {
    /// The restatement of a stored model, without any tool: whether it can be proven, and how large its numbers grow.
    pub fn restate(wasm: &[u8], hidden: Hidden) -> Result<Exact, CircuitError> {
        Ok(open_model(wasm, hidden)?.1)
    }

    /// Makes the circuit of a model in a new folder, or again in one that holds a circuit. Ends with a first proof, by
    /// which the length of all others is known.
    pub fn setup(
        tool: &Tool,
        wasm: &[u8],
        path: &Path,
        options: &SetupOptions,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(Self, Vec<Timing>), CircuitError> {
        progress("restating the model");
        let hidden = options.hidden;
        let (program, exact) = open_model(wasm, hidden)?;
        let (inputs, outputs) = ports(&program);
        storable((&inputs, &outputs), hidden)?;
        prepare(path)?;
        let onnx = onnx::encode(&exact);
        write(&path.join(MODEL), wasm)?;
        write(&path.join(ONNX), &onnx)?;
        let srs = path.join(SRS);
        let mut srs_logrows = MAX_LOGROWS;
        if let Some(source) = &options.srs {
            copy_srs(source, &srs, options.srs_sha256)?;
            let found = Srs::of_file(&srs).map_err(file_error("reading", &srs))?;
            let (found, rows) = found.ok_or_else(|| CircuitError::Srs {
                path: source.clone(),
                reason: "it is no SRS as ezkl writes it, or not all of one; download it again".into(),
            })?;
            public_unless_asked(&found, source, options)?;
            srs_logrows = rows;
        }
        let settings = Settings::of(&exact, 0);
        let compared = compared(&program, hidden, CHECKS)?;
        let request = json!({
            "onnx": path.join(ONNX),
            "settings": {
                "decomp_base": settings.decomp_base,
                "decomp_legs": settings.decomp_legs,
                "num_inner_cols": settings.num_inner_cols,
                "input_visibility": if hidden == Hidden::Inputs { "hashed" } else { "public" },
                "param_visibility": if hidden == Hidden::Weights { "hashed" } else { "fixed" },
                // What ezkl hashes it checks in no proof, but refuses in its witness, a salt for one.
                "ignore_range_check_inputs_outputs": hidden == Hidden::Inputs,
            },
            "floors": exact.count(|step| matches!(step, Step::Shift { .. })),
            "relus": exact.count(|step| matches!(step, Step::Relu { .. })) + onnx::relus_of_checks(&exact),
            "settings_file": path.join(SETTINGS),
            "compiled": path.join(COMPILED),
            "samples": compared,
            "max_logrows": srs_logrows.min(MAX_LOGROWS),
            "srs": srs,
            "make_srs": options.srs.is_none(),
            "vk": path.join(VK),
            "pk": path.join(PK),
            "vka": path.join(VKA),
        });
        let made: Made = tool.call("setup", request, progress)?;
        let vka = read(&path.join(VKA))?;
        let folder_error = |reason: &str| CircuitError::Folder {
            path: path.into(),
            reason: reason.into(),
        };
        let key = key_of(&vka).ok_or_else(|| folder_error("ezkl wrote a key of an unknown layout"))?;
        let of_vka = Srs::of_key(key)?;
        if let Some(source) = &options.srs {
            public_unless_asked(&of_vka, source, options)?;
        }
        let manifest = Manifest {
            scheme: SCHEME,
            ezkl: EZKL_VERSION.into(),
            model_checksum: sha256(wasm),
            onnx_sha256: sha256(&onnx),
            hidden,
            weights_hash: None,
            settings: Settings::of(&exact, made.logrows),
            inputs,
            outputs,
            proof_bytes: 0,
            srs: of_vka,
            vka_sha256: sha256(&vka),
        };
        let mut folder = CircuitFolder {
            path: path.into(),
            manifest,
            program,
        };
        let mut stages = timings(made.stages);
        let first = samples(folder.program.inputs(), 1).swap_remove(0);
        let (proof, proving) = folder.attempt(tool, &first, &trial_salt(0), folder.files(), progress)?;
        stages.extend(proving);
        folder.manifest.weights_hash = proof.weights_hash.clone();
        // All proofs of a circuit have one length.
        folder.manifest.proof_bytes = proof.proof.len() as u64 / 2;
        folder.confirm(&proof)?;
        // Written last: a folder without it holds no circuit.
        let text = serde_json::to_string_pretty(&folder.manifest).map_err(|e| folder_error(&e.to_string()))?;
        let mut whole = tempfile::Builder::new();
        whole.permissions(fs::Permissions::from_mode(0o644));
        let mut whole = whole.tempfile_in(path).map_err(file_error("writing to", path))?;
        let target = path.join(MANIFEST);
        let written = whole
            .write_all(text.as_bytes())
            .and_then(|()| whole.as_file().sync_all());
        written.map_err(file_error("writing", &target))?;
        whole
            .persist(&target)
            .map_err(|e| file_error("writing", &target)(e.error))?;
        Ok((folder, stages))
    }

    /// A circuit that was set up before.
    pub fn open(path: &Path) -> Result<Self, CircuitError> {
        let fail = |reason: String| CircuitError::Folder {
            path: path.into(),
            reason,
        };
        let text = read(&path.join(MANIFEST))?;
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| fail(format!("{MANIFEST}: {e}")))?;
        if manifest.ezkl != EZKL_VERSION {
            return Err(fail(format!("it was made by ezkl {}", manifest.ezkl)));
        }
        let named = |name: &str, want: &str| {
            let bytes = read(&path.join(name))?;
            if sha256(&bytes) != want {
                return Err(fail(format!("{name} is not the file that {MANIFEST} names")));
            }
            Ok(bytes)
        };
        let wasm = named(MODEL, &manifest.model_checksum)?;
        named(ONNX, &manifest.onnx_sha256)?;
        let vka = named(VKA, &manifest.vka_sha256)?;
        let (program, exact) = open_model(&wasm, manifest.hidden)?;
        let (inputs, outputs) = ports(&program);
        let srs = key_of(&vka).map(Srs::of_key).transpose()?;
        if srs.as_ref() != Some(&manifest.srs) {
            return Err(fail(format!("{VKA} was made with another SRS than {MANIFEST} states")));
        }
        if manifest.scheme != SCHEME
            || manifest.settings != Settings::of(&exact, manifest.settings.logrows)
            || (&inputs, &outputs) != (&manifest.inputs, &manifest.outputs)
            || sha256(&onnx::encode(&exact)) != manifest.onnx_sha256
        {
            return Err(fail("it is not the circuit of its model".into()));
        }
        Ok(CircuitFolder {
            path: path.into(),
            manifest,
            program,
        })
    }

    /// What the circuit is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The model.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The circuit's data, as a verifier takes it.
    pub fn vka(&self) -> Result<Vec<u8>, CircuitError> {
        read(&self.path.join(VKA))
    }

    /// SHA-256 of [`module`](Self::module): what a chain says of the code id under which it stores this circuit.
    pub fn checksum(&self, model_code_id: Option<u64>) -> Result<[u8; 32], CircuitError> {
        Ok(Sha256::digest(self.module(model_code_id)?).into())
    }

    /// The model's integers of tensors from a request, by the rules of claims: every input once, its name left out where
    /// there is just one, converted as the model does, nothing out of range.
    pub fn inputs(&self, tensors: &[v1::Tensor]) -> Result<Vec<Vec<i32>>, CircuitError> {
        let ports = &self.manifest.inputs;
        if tensors.len() != ports.len() {
            let message = format!("{} tensors are given, the model takes {}", tensors.len(), ports.len());
            return Err(CircuitError::Inputs(message));
        }
        let one = |port: &Port| {
            let unnamed = ports.len() == 1;
            let given = tensors
                .iter()
                .find(|t| t.name == port.name || unnamed && t.name.is_empty());
            let given = given.ok_or_else(|| CircuitError::Inputs(format!("{:?} is missing", port.name)))?;
            let failed = |source| CircuitError::Tensor {
                name: port.name.clone(),
                source,
            };
            given.validate().map_err(failed)?;
            if !same_shape(&given.shape, &port.shape) {
                let message = format!(
                    "the shape of {:?} is {:?}, not {:?}",
                    port.name, given.shape, port.shape
                );
                return Err(CircuitError::Inputs(message));
            }
            let refuse = v1::OutOfRange::Refuse;
            let (integers, _) = given
                .quantize(port.fraction_bits, port.low, port.high, refuse)
                .map_err(failed)?;
            Ok(integers)
        };
        ports.iter().map(one).collect()
    }

    /// The outputs of a proof as tensors of a claim.
    pub fn outputs(&self, proof: &Proof) -> Vec<v1::Tensor> {
        let tensor = |(port, values): (&Port, &Vec<i32>)| {
            let (name, shape) = (port.name.clone(), port.shape.clone());
            v1::Tensor::from_integers(name, shape, port.fraction_bits, port.low, port.high, values)
        };
        self.manifest.outputs.iter().zip(&proof.outputs).map(tensor).collect()
    }

    /// Runs the model and proves the run. The proof is handed out only if it verifies and is about the very integers that
    /// the engine took and gave. An error if the circuit hides its inputs.
    pub fn prove(
        &self,
        tool: &Tool,
        inputs: &[Vec<i32>],
        progress: &mut dyn FnMut(&str),
    ) -> Result<(Proof, Vec<Timing>), CircuitError> {
        if self.manifest.hidden == Hidden::Inputs {
            let takes = "hides its inputs: prove with an opening of their hash";
            return Err(CircuitError::Hidden { takes });
        }
        self.proven(tool, inputs, &trial_salt(0), progress)
    }

    /// The same for a circuit that hides its inputs: the proof holds their salted hash instead of them.
    pub fn prove_hidden(
        &self,
        tool: &Tool,
        opening: &Opening,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(Proof, Vec<Timing>), CircuitError> {
        if self.manifest.hidden != Hidden::Inputs {
            let takes = "has its inputs in the open: prove with them, and no opening";
            return Err(CircuitError::Hidden { takes });
        }
        self.proven(tool, &opening.inputs, &opening.salt, progress)
    }

    fn proven(
        &self,
        tool: &Tool,
        inputs: &[Vec<i32>],
        salt: &Salt,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(Proof, Vec<Timing>), CircuitError> {
        let (proof, timings) = self.attempt(tool, inputs, salt, self.files(), progress)?;
        self.confirm(&proof)?;
        Ok((proof, timings))
    }

    /// What a dishonest prover would hand in: a run of this circuit, with its real witness, proven by the key of another
    /// circuit of the same layout. It verifies there if nothing in that circuit tells the two apart. For tests.
    #[doc(hidden)]
    pub fn forge(&self, of: &Self, tool: &Tool, opening: &Opening) -> Result<Proof, CircuitError> {
        let mut request = of.files();
        request["compiled"] = self.files()["compiled"].clone();
        request["unverified"] = true.into();
        let (proof, _) = self.attempt(tool, &opening.inputs, &opening.salt, request, &mut |_| {})?;
        Ok(Proof {
            model_checksum: of.manifest.model_checksum.clone(),
            vka_sha256: of.manifest.vka_sha256.clone(),
            ..proof
        })
    }

    /// Has ezkl prove integers that the engine was not asked about. For tests.
    #[doc(hidden)]
    pub fn prove_unchecked(&self, tool: &Tool, opening: &Opening) -> Result<(), CircuitError> {
        let mut request = self.files();
        let inputs = data(self.manifest.hidden, &opening.inputs, &opening.salt);
        request["sample"] = json!({ "inputs": inputs, "outputs": null });
        let Done {} = tool.call("prove", request, &mut |_| {})?;
        Ok(())
    }

    /// An error where the chain's verifier would not take a proof of ours.
    fn confirm(&self, proof: &Proof) -> Result<(), CircuitError> {
        if self.verify(proof)? {
            return Ok(());
        }
        Err(CircuitError::Unsound("the chain's verifier refuses the proof".into()))
    }

    /// A proof about the engine's integers, not verified yet.
    fn attempt(
        &self,
        tool: &Tool,
        inputs: &[Vec<i32>],
        salt: &Salt,
        mut request: serde_json::Value,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(Proof, Vec<Timing>), CircuitError> {
        let hidden = self.manifest.hidden;
        let outputs = run(&self.program, inputs)?;
        request["sample"] = json!({ "inputs": data(hidden, inputs, salt), "outputs": outputs });
        let proven: Proven = tool.call("prove", request, progress)?;
        let mut proof = Proof {
            model_checksum: self.manifest.model_checksum.clone(),
            vka_sha256: self.manifest.vka_sha256.clone(),
            inputs: vec![],
            inputs_hash: None,
            weights_hash: None,
            outputs,
            proof: proven.proof,
        };
        match hidden {
            Hidden::Nothing => proof.inputs = inputs.to_vec(),
            Hidden::Inputs => {
                let (inputs, salt) = (inputs.to_vec(), salt.clone());
                proof.inputs_hash = Some(hex::encode(Opening { inputs, salt }.hash()?));
            }
            Hidden::Weights => {
                proof.inputs = inputs.to_vec();
                // Which hash it is, the first proof tells; all others must have the same.
                let told = proven.instances.first().and_then(|word| big_endian(word));
                proof.weights_hash = self.manifest.weights_hash.clone().or(told);
            }
        }
        if little_endian(&proof.instances()?) != proven.instances {
            return Err(CircuitError::Unsound(
                "ezkl proved other integers than the engine's".into(),
            ));
        }
        Ok((proof, timings(proven.stages)))
    }

    /// Whether a proof is valid, by the verifier that chains run. An error if it is not about this circuit at all.
    pub fn verify(&self, proof: &Proof) -> Result<bool, CircuitError> {
        let bytes = proof.checked_bytes(&self.manifest)?;
        // Where the model is stored plays no part.
        let circuit = Circuit::check(self.circuit(None)?)?;
        Ok(aiinference_verifier::verify(&circuit, &bytes, &proof.instances()?)?.valid)
    }

    /// The module that a chain stores, for a model that it stores under this code id. None for a model that is not
    /// published: nobody can rebuild the circuit then, and its owner is trusted.
    pub fn module(&self, model_code_id: Option<u64>) -> Result<Vec<u8>, CircuitError> {
        let circuit = self.circuit(model_code_id)?;
        Circuit::check(circuit.clone())?;
        Ok(module::wrap_circuit(&circuit))
    }

    /// What that module holds.
    pub fn circuit(&self, model_code_id: Option<u64>) -> Result<v1::Circuit, CircuitError> {
        if model_code_id.is_some() && self.manifest.hidden == Hidden::Weights {
            return Err(CircuitError::Unpublished);
        }
        let fail = |reason: &str| CircuitError::Folder {
            path: self.path.clone(),
            reason: reason.into(),
        };
        let vka = self.vka()?;
        let key = key_of(&vka).ok_or_else(|| fail("its key has an unknown layout"))?;
        let instance = |port: &Port, role: v1::InstanceRole| v1::Instance {
            name: port.name.clone(),
            role: role as i32,
            shape: port.shape.clone(),
            fraction_bits: port.fraction_bits,
            low: port.low.into(),
            high: port.high.into(),
        };
        let manifest = &self.manifest;
        let hash = |name: &str, role: v1::InstanceRole| v1::Instance {
            name: name.into(),
            role: role as i32,
            ..v1::Instance::default()
        };
        let in_the_open = manifest
            .inputs
            .iter()
            .map(|port| instance(port, v1::InstanceRole::Input));
        let (input_visibility, param_visibility) = match manifest.hidden {
            Hidden::Nothing => (v1::Visibility::Public, v1::Visibility::Fixed),
            Hidden::Inputs => (v1::Visibility::Hashed, v1::Visibility::Fixed),
            Hidden::Weights => (v1::Visibility::Public, v1::Visibility::Hashed),
        };
        // Hashes come first.
        let inputs: Vec<v1::Instance> = match manifest.hidden {
            Hidden::Nothing => in_the_open.collect(),
            Hidden::Inputs => vec![hash(INPUTS_HASH, v1::InstanceRole::InputHash)],
            Hidden::Weights => std::iter::once(hash(WEIGHTS_HASH, v1::InstanceRole::WeightsHash))
                .chain(in_the_open)
                .collect(),
        };
        let models = match model_code_id {
            Some(code_id) => vec![v1::CircuitModel {
                code_id,
                checksum: hex::decode(&manifest.model_checksum).map_err(|_| fail("the model's checksum is no hex"))?,
            }],
            None => vec![],
        };
        let outputs = manifest
            .outputs
            .iter()
            .map(|port| instance(port, v1::InstanceRole::Output));
        let settings = &manifest.settings;
        let small = |v: u64| u32::try_from(v).map_err(|_| fail("a setting is too large"));
        Ok(v1::Circuit {
            scheme: v1::ProofScheme::EzklHalo2Kzg as i32,
            verifying_key: key.to_vec(),
            proof_bytes: small(manifest.proof_bytes)?,
            instances: inputs.into_iter().chain(outputs).collect(),
            settings: Some(v1::CircuitSettings {
                logrows: settings.logrows,
                decomp_base: small(settings.decomp_base)?,
                decomp_legs: settings.decomp_legs,
                num_inner_cols: settings.num_inner_cols,
                input_visibility: input_visibility as i32,
                output_visibility: v1::Visibility::Public as i32,
                param_visibility: param_visibility as i32,
            }),
            srs: hex::decode(&manifest.srs.id).map_err(|_| fail("the id of its SRS is no hex"))?,
            reproducible: !models.is_empty(),
            models,
        })
    }

    /// Whether a proof is valid, by ezkl: a second opinion.
    pub fn verify_by_ezkl(
        &self,
        tool: &Tool,
        proof: &Proof,
        progress: &mut dyn FnMut(&str),
    ) -> Result<bool, CircuitError> {
        proof.checked_bytes(&self.manifest)?;
        let mut request = self.files();
        request["proof"] = proof.proof.as_str().into();
        request["instances"] = little_endian(&proof.instances()?).into();
        let verified: Verified = tool.call("verify", request, progress)?;
        Ok(verified.valid)
    }

    /// Compares so many runs of the circuit with the engine's, without proving them: the witness must give the engine's
    /// very outputs.
    pub fn compare(&self, tool: &Tool, runs: usize, progress: &mut dyn FnMut(&str)) -> Result<(), CircuitError> {
        let mut request = self.files();
        request["samples"] = compared(&self.program, self.manifest.hidden, runs)?.into();
        let Done {} = tool.call("witnesses", request, progress)?;
        Ok(())
    }

    fn files(&self) -> serde_json::Value {
        json!({
            "compiled": self.path.join(COMPILED),
            "settings_file": self.path.join(SETTINGS),
            "vk": self.path.join(VK),
            "pk": self.path.join(PK),
            "srs": self.path.join(SRS),
        })
    }
}

/// Inputs as ezkl takes them: each by itself, or all hidden ones and their salt in one tensor.
fn data(hidden: Hidden, inputs: &[Vec<i32>], salt: &Salt) -> serde_json::Value {
    if hidden != Hidden::Inputs {
        return json!(inputs);
    }
    let integers = inputs.iter().flatten().map(|v| json!(v));
    let row: Vec<_> = integers.chain([json!(salt.element())]).collect();
    json!([row])
}

/// Salts of runs that nobody keeps secret.
fn trial_salt(run: usize) -> Salt {
    Salt::from_bytes([run as u8; Salt::BYTES])
}

/// Runs with what the engine gives.
fn compared(program: &Program, hidden: Hidden, runs: usize) -> Result<Vec<serde_json::Value>, RunError> {
    let samples = samples(program.inputs(), runs);
    let compared = samples.iter().enumerate().map(|(index, inputs)| {
        let taken = data(hidden, inputs, &trial_salt(index));
        Ok(json!({ "inputs": taken, "outputs": run(program, inputs)? }))
    });
    compared.collect()
}

/// A field element as everyone but ezkl writes it.
fn big_endian(word: &str) -> Option<String> {
    let mut bytes = hex::decode(word).ok()?;
    bytes.reverse();
    Some(hex::encode(bytes))
}

/// Field elements as ezkl writes them.
fn little_endian(instances: &[[u8; 32]]) -> Vec<String> {
    let reversed = |word: &[u8; 32]| {
        let mut word = *word;
        word.reverse();
        hex::encode(word)
    };
    instances.iter().map(reversed).collect()
}

/// A folder that is new, empty, or an earlier setup's, whose circuit goes.
fn prepare(path: &Path) -> Result<(), CircuitError> {
    fs::create_dir_all(path).map_err(file_error("making", path))?;
    let known = [MODEL, ONNX, MANIFEST, SETTINGS, COMPILED, VK, PK, VKA, SRS];
    for entry in fs::read_dir(path).map_err(file_error("reading", path))? {
        let name = entry.map_err(file_error("reading", path))?.file_name();
        if !known.iter().any(|k| name == *k) {
            return Err(CircuitError::Occupied { path: path.into() });
        }
    }
    let manifest = path.join(MANIFEST);
    if manifest.exists() {
        fs::remove_file(&manifest).map_err(file_error("removing", &manifest))?;
    }
    Ok(())
}

fn public_unless_asked(srs: &Srs, source: &Path, options: &SetupOptions) -> Result<(), CircuitError> {
    if srs.development && !options.any_srs {
        return Err(CircuitError::Srs {
            path: source.into(),
            reason: "it is not the perpetual powers of tau, so whoever made it may forge proofs; take a file of the public ceremony, or accept this one by name".into(),
        });
    }
    Ok(())
}

/// What chains would refuse, before hours are spent on it.
fn storable(manifest_ports: (&[Port], &[Port]), hidden: Hidden) -> Result<(), CircuitError> {
    let (inputs, outputs) = manifest_ports;
    let shown = match hidden {
        Hidden::Inputs => &[],
        Hidden::Nothing | Hidden::Weights => inputs,
    };
    let values: usize = shown.iter().chain(outputs).map(Port::elements).sum();
    if values >= limits::MAX_INSTANCES {
        return Err(CircuitError::TooManyValues(values));
    }
    Ok(())
}

fn copy_srs(source: &Path, target: &Path, want: Option<[u8; 32]>) -> Result<(), CircuitError> {
    // The folder's own SRS may be named again.
    let same = fs::canonicalize(source)
        .ok()
        .is_some_and(|s| fs::canonicalize(target).ok() == Some(s));
    if !same {
        fs::copy(source, target).map_err(file_error("copying", source))?;
    }
    if let Some(want) = want {
        let mut hash = Sha256::new();
        // What was copied is what is used.
        let mut file = fs::File::open(target).map_err(file_error("reading", target))?;
        io::copy(&mut file, &mut hash).map_err(file_error("reading", target))?;
        let found: [u8; 32] = hash.finalize().into();
        if found != want {
            return Err(CircuitError::Srs {
                path: source.into(),
                reason: format!(
                    "its SHA-256 is {}, not the one asked for; download it again",
                    hex::encode(found)
                ),
            });
        }
    }
    Ok(())
}
