//! The fixtures that `testdata/make.py` made with ezkl. Tests of other crates of this folder include this file, too.
#![allow(dead_code)] // each test file uses its part

use std::{fs, path::Path};

use aiinference_types::v1::{self, InstanceRole, Visibility};
use aiinference_verifier::{element, instances, key_srs, verify, Circuit, Claim, Verdict, VerifyError, Word};
use serde::Deserialize;

#[derive(Clone, Deserialize)]
pub struct Fixture {
    pub low: i32,
    pub high: i32,
    pub bound: i32,
    pub shift: u32,
    pub w1: Vec<Vec<i64>>,
    pub b1: Vec<i64>,
    pub w2: Vec<Vec<i64>>,
    pub b2: Vec<i64>,
    pub settings: Settings,
    pub verifying_key: String,
    pub proofs: Vec<Proof>,
}

#[derive(Clone, Deserialize)]
pub struct Settings {
    pub logrows: u32,
    pub decomp_base: u32,
    pub decomp_legs: u32,
    pub num_inner_cols: u32,
}

#[derive(Clone, Deserialize)]
pub struct Proof {
    pub inputs: Vec<i32>,
    pub outputs: Vec<i32>,
    pub proof: String,
    pub hash: Option<String>,
}

impl Proof {
    pub fn bytes(&self) -> Vec<u8> {
        hex::decode(&self.proof).unwrap()
    }

    pub fn hash(&self) -> Vec<u8> {
        hex::decode(self.hash.as_ref().unwrap()).unwrap()
    }
}

pub fn fixture(name: &str) -> Fixture {
    // This file is compiled into tests of crates in several folders.
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut paths = folders.map(|folder| folder.join(format!("vm-ext/verifier/testdata/{name}.json")));
    let path = paths.find(|path| path.is_file()).unwrap();
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

impl Fixture {
    /// The circuit as a module would carry it.
    pub fn message(&self) -> v1::Circuit {
        let hashed = self.proofs[0].hash.is_some();
        let tensor = |name: &str, role: InstanceRole, count: usize, low: i32, high: i32| v1::Instance {
            name: name.into(),
            role: role.into(),
            shape: vec![1, count as u32],
            fraction_bits: 0,
            low: low.into(),
            high: high.into(),
        };
        let given = if hashed {
            v1::Instance {
                name: "x".into(),
                role: InstanceRole::InputHash.into(),
                ..Default::default()
            }
        } else {
            tensor("x", InstanceRole::Input, self.w1[0].len(), self.low, self.high)
        };
        let verifying_key = hex::decode(&self.verifying_key).unwrap();
        v1::Circuit {
            scheme: v1::ProofScheme::EzklHalo2Kzg.into(),
            proof_bytes: self.proofs[0].bytes().len() as u32,
            instances: vec![
                given,
                tensor("y", InstanceRole::Output, self.w2.len(), -self.bound, self.bound),
            ],
            settings: Some(v1::CircuitSettings {
                logrows: self.settings.logrows,
                decomp_base: self.settings.decomp_base,
                decomp_legs: self.settings.decomp_legs,
                num_inner_cols: self.settings.num_inner_cols,
                input_visibility: if hashed { Visibility::Hashed } else { Visibility::Public }.into(),
                output_visibility: Visibility::Public.into(),
                param_visibility: Visibility::Fixed.into(),
            }),
            srs: key_srs(&verifying_key).unwrap().to_vec(),
            verifying_key,
            models: vec![v1::CircuitModel {
                code_id: 7,
                checksum: vec![1; 32],
            }],
            reproducible: true,
        }
    }

    pub fn circuit(&self) -> Circuit {
        Circuit::check(self.message()).unwrap()
    }

    /// What the network gives, by plain integers.
    pub fn run(&self, inputs: &[i32]) -> Vec<i64> {
        let dot = |row: &Vec<i64>, x: &[i64]| row.iter().zip(x).map(|(w, x)| w * x).sum::<i64>();
        let x: Vec<i64> = inputs.iter().map(|&x| x.into()).collect();
        let hidden = self
            .w1
            .iter()
            .zip(&self.b1)
            .map(|(row, b)| ((dot(row, &x) + b) >> self.shift).max(0));
        let hidden: Vec<i64> = hidden.collect();
        self.w2
            .iter()
            .zip(&self.b2)
            .map(|(row, b)| dot(row, &hidden) + b)
            .collect()
    }

    /// The public values of one of the proofs.
    pub fn instances(&self, proof: usize) -> Vec<Word> {
        let proof = &self.proofs[proof];
        let hashes: Vec<_> = proof.hash.iter().map(|_| hash("x", &proof.hash())).collect();
        let inputs: Vec<_> = match proof.hash {
            Some(_) => vec![],
            None => vec![tensor("x", &proof.inputs)],
        };
        let claim = Claim {
            inputs: &inputs,
            hashes: &hashes,
            outputs: &[tensor("y", &proof.outputs)],
        };
        instances(&self.circuit(), &claim).unwrap()
    }

    /// Checks one of the proofs against these public values.
    pub fn check(&self, proof: usize, instances: &[Word]) -> Result<Verdict, VerifyError> {
        verify(&self.circuit(), &self.proofs[proof].bytes(), instances)
    }
}

pub fn tensor(name: &str, values: &[i32]) -> v1::Tensor {
    let (low, high) = (values.iter().min().unwrap(), values.iter().max().unwrap());
    v1::Tensor::from_integers(name.into(), vec![values.len() as u32], 0, *low, *high, values)
}

pub fn hash(name: &str, value: &[u8]) -> v1::InstanceHash {
    v1::InstanceHash {
        name: name.into(),
        value: value.to_vec(),
    }
}

pub fn words(values: &[i32]) -> Vec<Word> {
    values.iter().map(|&value| element(value)).collect()
}

/// A circuit whose key keeps the verifier multiplying points, its dearest work, until the gas runs out, and what it is given.
pub struct Endless {
    pub message: v1::Circuit,
    pub proof: Vec<u8>,
    pub inputs: Vec<i32>,
    pub outputs: Vec<i32>,
}

impl Endless {
    /// The shortest key, the shortest proof and the fewest public values that do it.
    pub const LEAST: (usize, usize, usize) = (48, 24, 2);

    /// With so many words of key and proof, and so many public values.
    ///
    /// The numbers are places in the verifier's code: it keeps the key in its memory from 0xa0 on, and finds the proof in its
    /// calldata from 0x84 on. All steps but the last are left out, as far as they can be.
    pub fn new((key_words, proof_words, values): (usize, usize, usize)) -> Self {
        let number = |value: usize| {
            let mut word = [0; 32];
            word[24..].copy_from_slice(&(value as u64).to_be_bytes());
            word
        };
        let place = |word: usize| 0xa0 + 32 * word;
        let mut message = fixture("public").message();
        let mut key = vec![[0u8; 32]; key_words];
        for (word, honest) in key[10..24].iter_mut().zip(message.verifying_key.chunks(32).skip(10)) {
            word.copy_from_slice(honest);
        }
        // The public values and so many words of the proof are laid one after another behind the key and a hash. The challenges
        // are said to lie so that the last of these words is the factor of all products.
        let evaluations = 20;
        let challenges = 32 * (values + evaluations) - 0x160;
        let (zeros, steps, pairing) = (34, 36, 41);
        for (word, value) in [
            (1, 0xc0),
            (2, values),
            (3, evaluations),
            (4, challenges),
            (5, 4),
            (24, 0x40),
            (25, 0x40),
            (26, place(zeros)),
            (27, place(zeros)),
            (28, place(zeros)),
            (29, place(steps)),
            (pairing, 1),
        ] {
            key[word] = number(value);
        }
        // So many bytes of what to add up follow, in one word.
        key[pairing][18] = 0x20;
        // The first point, and four loops over the calldata downwards. What lies between the two places is 0, be it as public
        // values or behind the end: the point that adds nothing. Before each, the sum is multiplied.
        let point = 0x84 + 32 * evaluations;
        let values_at = 0x84 + 32 * proof_words + 0x20;
        let end = match values {
            ..2048 => values_at + 32 * (values + 1 + key_words),
            _ => values_at,
        };
        let start = 0xffff - (0xffff - end) % 64;
        let packed = |number: usize| u16::try_from(number).unwrap().to_le_bytes();
        let turns = [[1, 0], packed(start), packed(end)].concat().repeat(4);
        let sum = [packed(point), packed(point + 32)].concat();
        for (byte, value) in key[pairing + 1].iter_mut().rev().zip([sum, turns].concat()) {
            *byte = value;
        }

        let mut heavy = [0xff; 32];
        heavy[0] = 0x2f; // below the order, and almost all ones
        let mut proof = vec![[0u8; 32]; proof_words];
        proof[..evaluations].fill(heavy);
        for (word, value) in proof[evaluations..].iter_mut().zip([1, 2, 1, 2]) {
            *word = number(value); // the generator, twice
        }
        message.verifying_key = key.concat();
        message.proof_bytes = 32 * proof_words as u32;
        message.settings.as_mut().unwrap().logrows = 4;
        message.instances[0].shape = vec![values as u32 - 1];
        message.instances[1].shape = vec![1];
        Endless {
            message,
            proof: proof.concat(),
            inputs: vec![0; values - 1],
            outputs: vec![0],
        }
    }
}
