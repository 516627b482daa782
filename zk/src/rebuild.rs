//! Making a stored circuit again from its model and the SRS: nothing else shows whether it is what it says.

use std::{fmt, path::Path};

use aiinference_types::v1;
use aiinference_verifier::Circuit;
use sha2::{Digest, Sha256};

use crate::{
    ezkl::Tool,
    folder::{CircuitError, CircuitFolder, SetupOptions},
    hidden::Hidden,
};

/// A part of a circuit that is not as it was made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which part.
    pub part: String,
    /// As stored.
    pub stored: String,
    /// As made again.
    pub rebuilt: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: stored {}, rebuilt {}", self.part, self.stored, self.rebuilt)
    }
}

/// What a stored circuit differs in from the one that its model, its settings and an SRS make. Nothing, if it is reproducible.
///
/// Keys, a proof and all else go to a folder that is removed again; `TMPDIR` says where. Of the options, those of the SRS file
/// are looked at.
pub fn rebuild(
    tool: &Tool,
    stored: &v1::Circuit,
    model: &[u8],
    srs: &Path,
    options: &SetupOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Difference>, CircuitError> {
    Circuit::check(stored.clone())?;
    let mut differences = Differences::default();
    differences.add("reproducible, as its owner says", &stored.reproducible, &true);
    differences.add("number of models", &stored.models.len(), &1);
    let [named] = stored.models.as_slice() else {
        return Ok(differences.0);
    };
    let checksum = hex::encode(Sha256::digest(model));
    differences.add("checksum of the model", &hex::encode(&named.checksum), &checksum);
    if !differences.0.is_empty() {
        // What is not even said to be made of this model need not be made.
        return Ok(differences.0);
    }
    let folder = tempfile::Builder::new()
        .prefix("aiinference-rebuild-")
        .tempdir()
        .map_err(|source| CircuitError::File {
            doing: "making",
            path: std::env::temp_dir(),
            source,
        })?;
    let settings = stored.settings.unwrap_or_default();
    let options = SetupOptions {
        srs: Some(srs.into()),
        hidden: match (settings.input_visibility(), settings.param_visibility()) {
            (v1::Visibility::Hashed, _) => Hidden::Inputs,
            (_, v1::Visibility::Hashed) => Hidden::Weights,
            _ => Hidden::Nothing,
        },
        ..options.clone()
    };
    let (made, _) = CircuitFolder::setup(tool, model, folder.path(), &options, progress)?;
    let made = made.circuit(Some(named.code_id))?;
    compare(stored, &made, &mut differences);
    Ok(differences.0)
}

#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    fn add<T: PartialEq + fmt::Display>(&mut self, part: impl fmt::Display, stored: &T, rebuilt: &T) {
        if stored != rebuilt {
            self.0.push(Difference {
                part: part.to_string(),
                stored: stored.to_string(),
                rebuilt: rebuilt.to_string(),
            });
        }
    }
}

/// Everything that a circuit says. A field that this does not know of is found by the comparison of all at the end.
fn compare(stored: &v1::Circuit, made: &v1::Circuit, differences: &mut Differences) {
    let before = differences.0.len();
    differences.add("scheme", &stored.scheme, &made.scheme);
    differences.add("SRS", &hex::encode(&stored.srs), &hex::encode(&made.srs));
    settings(stored, made, differences);
    differences.add(
        "number of public values",
        &stored.instances.len(),
        &made.instances.len(),
    );
    for (index, (stored, made)) in stored.instances.iter().zip(&made.instances).enumerate() {
        differences.add(format!("public value {index}"), &value(stored), &value(made));
    }
    differences.add("bytes of a proof", &stored.proof_bytes, &made.proof_bytes);
    key(&stored.verifying_key, &made.verifying_key, differences);
    if stored != made && differences.0.len() == before {
        differences.add("encoding", &"one", &"another");
    }
}

fn settings(stored: &v1::Circuit, made: &v1::Circuit, differences: &mut Differences) {
    let (stored, made) = (stored.settings.unwrap_or_default(), made.settings.unwrap_or_default());
    differences.add("logarithm of rows", &stored.logrows, &made.logrows);
    differences.add("base of decompositions", &stored.decomp_base, &made.decomp_base);
    differences.add("digits of decompositions", &stored.decomp_legs, &made.decomp_legs);
    differences.add("inner columns", &stored.num_inner_cols, &made.num_inner_cols);
    for (part, stored, made) in [
        ("inputs", stored.input_visibility(), made.input_visibility()),
        ("outputs", stored.output_visibility(), made.output_visibility()),
        ("weights", stored.param_visibility(), made.param_visibility()),
    ] {
        differences.add(
            format!("visibility of {part}"),
            &stored.as_str_name(),
            &made.as_str_name(),
        );
    }
}

fn value(value: &v1::Instance) -> String {
    format!(
        "{} {:?} of shape {:?}, {} fraction bits, {} to {}",
        value.role().as_str_name(),
        value.name,
        value.shape,
        value.fraction_bits,
        value.low,
        value.high
    )
}

fn key(stored: &[u8], made: &[u8], differences: &mut Differences) {
    differences.add("bytes of the key", &stored.len(), &made.len());
    let words = stored.chunks(32).zip(made.chunks(32)).enumerate();
    let other: Vec<usize> = words.filter(|(_, (a, b))| a != b).map(|(word, _)| word).collect();
    if let Some(&first) = other.first() {
        let of = |key: &[u8]| key.chunks(32).nth(first).map(hex::encode).unwrap_or_default();
        let count = other.len();
        differences.add(
            format!("{count} words of the key, the first of them word {first}"),
            &of(stored),
            &of(made),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circuit() -> v1::Circuit {
        v1::Circuit {
            scheme: 1,
            verifying_key: vec![7; 30 * 32],
            proof_bytes: 3616,
            instances: vec![v1::Instance {
                name: "x".into(),
                role: v1::InstanceRole::Input.into(),
                shape: vec![1, 8],
                fraction_bits: 4,
                low: -9,
                high: 9,
            }],
            settings: Some(v1::CircuitSettings {
                logrows: 12,
                decomp_base: 128,
                decomp_legs: 3,
                num_inner_cols: 2,
                ..Default::default()
            }),
            srs: vec![1; 32],
            models: vec![v1::CircuitModel {
                code_id: 6,
                checksum: vec![2; 32],
            }],
            reproducible: true,
        }
    }

    fn parts(stored: &v1::Circuit) -> Vec<String> {
        let mut differences = Differences::default();
        compare(stored, &circuit(), &mut differences);
        differences.0.into_iter().map(|difference| difference.part).collect()
    }

    #[test]
    fn every_part_of_a_circuit_is_compared() {
        assert_eq!(parts(&circuit()), [""; 0]);
        type Change = fn(&mut v1::Circuit);
        let changes: [(Change, &str); 16] = [
            (|c| c.scheme = 2, "scheme"),
            (|c| c.srs[3] = 9, "SRS"),
            (|c| c.settings.as_mut().unwrap().logrows = 13, "logarithm of rows"),
            (
                |c| c.settings.as_mut().unwrap().decomp_base = 64,
                "base of decompositions",
            ),
            (
                |c| c.settings.as_mut().unwrap().decomp_legs = 4,
                "digits of decompositions",
            ),
            (|c| c.settings.as_mut().unwrap().num_inner_cols = 1, "inner columns"),
            (
                |c| c.settings.as_mut().unwrap().input_visibility = 3,
                "visibility of inputs",
            ),
            (|c| c.instances[0].name = "y".into(), "public value 0"),
            (|c| c.instances[0].shape = vec![8], "public value 0"),
            (|c| c.instances[0].fraction_bits = 5, "public value 0"),
            (|c| c.instances[0].low = -10, "public value 0"),
            (|c| c.instances.clear(), "number of public values"),
            (|c| c.proof_bytes = 3648, "bytes of a proof"),
            (|c| c.verifying_key.truncate(29 * 32), "bytes of the key"),
            (
                |c| c.verifying_key[25 * 32] = 8,
                "1 words of the key, the first of them word 25",
            ),
            (|c| c.models[0].code_id = 7, "encoding"),
        ];
        for (change, part) in changes {
            let mut other = circuit();
            change(&mut other);
            assert_eq!(parts(&other), [part]);
        }
    }
}
