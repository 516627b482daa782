//! A circuit that this prover can prove: a folder on disk, and the very same circuit as code on the chain.

use std::sync::Arc;

use aiinference_client::Node;
use aiinference_registry::msg::Input;
use aiinference_runtime::module::{self, Carried};
use aiinference_types::v1::{InstanceHash, Tensor};
use aiinference_verifier::{instances, Circuit, Claim};
use aiinference_zk::{CircuitFolder, Hidden, Opening, Port};
use cosmwasm_std::Binary;
use prost::Message;

use crate::{
    error::{ProverError, Result},
    job::Answer,
    private::PrivateInputs,
    rules::{Leave, Offer, Rules},
};

/// What is proven.
#[derive(Clone, Debug)]
pub enum Given {
    /// Per input of the model, the engine's integers.
    Open(Vec<Vec<i32>>),
    /// The same with a salt, behind a hash.
    Hidden(Opening),
}

/// A circuit that can be proven.
#[derive(Debug)]
pub struct Provable {
    /// What requests must name.
    pub offer: Offer,
    /// What they must offer.
    pub rules: Rules,
    /// With its keys.
    pub folder: Arc<CircuitFolder>,
    /// As the chain has it.
    circuit: Circuit,
}

impl Provable {
    /// The circuit under a code id, where a folder makes exactly that code.
    pub async fn find(node: &Node, code_id: u64, folder: Arc<CircuitFolder>, rules: Rules) -> Result<Self> {
        let failed = |reason: String| ProverError::Local {
            doing: "comparing a circuit with the chain's",
            reason: format!("code {code_id}: {reason}"),
        };
        let (info, wasm) = node.code(code_id).await?;
        let carried = module::carried(&wasm).map_err(|error| failed(error.to_string()))?;
        let Carried::Circuit(bytes) = carried else {
            return Err(failed(
                "it is no circuit; name the code id of the circuit, not of the model".into(),
            ));
        };
        let circuit = Circuit::decode(bytes).map_err(|error| failed(error.to_string()))?;
        let model = circuit.models().first().map(|model| model.code_id);
        let ours = folder.checksum(model).map_err(|error| failed(error.to_string()))?;
        if ours != info.checksum {
            return Err(failed(
                "it is another circuit than the folder's; name the code id under which the folder's circuit is stored"
                    .into(),
            ));
        }
        Ok(Provable {
            offer: Offer {
                code_id,
                checksum: info.checksum,
                development_srs: folder.manifest().srs.development,
            },
            rules,
            folder,
            circuit,
        })
    }

    /// Its checksum, as hex.
    pub fn name(&self) -> String {
        hex::encode(self.offer.checksum)
    }

    /// What is to be proven of a request's input: whatever cannot be is told now.
    pub fn given(&self, input: &Input, private: &PrivateInputs) -> Result<Given, Leave> {
        let manifest = self.folder.manifest();
        let wrong = |reason: String| Leave::Input(reason);
        let hash = || match &input.hashes[..] {
            [hash] => Ok(hash.value.as_slice()),
            hashes => Err(wrong(format!("it has {} hashes, not 1", hashes.len()))),
        };
        let open = || {
            let integers = self.folder.inputs(&tensors(input)?);
            integers.map_err(|error| wrong(error.to_string()))
        };
        match manifest.hidden {
            Hidden::Nothing if input.hashes.is_empty() => Ok(Given::Open(open()?)),
            Hidden::Nothing => Err(wrong("it has hashes, and the circuit hides nothing".into())),
            Hidden::Inputs if !input.tensors.is_empty() => {
                Err(wrong("it has tensors, and the circuit hides them".into()))
            }
            Hidden::Inputs => {
                let opening = private.find(hash()?)?;
                check(&manifest.inputs, &opening.inputs)?;
                Ok(Given::Hidden(opening))
            }
            Hidden::Weights => {
                let ours = manifest.weights_hash.as_deref().unwrap_or_default();
                if hex::encode(hash()?) != ours {
                    return Err(wrong(format!("its weights are not those of this prover, {ours}")));
                }
                Ok(Given::Open(open()?))
            }
        }
    }

    /// Whether the chain will take an answer: the same check, on the request's own input and the chain's own circuit.
    pub fn accepts(&self, input: &Input, answer: &Answer) -> Result<bool, String> {
        let inputs = tensors(input).map_err(|error| error.to_string())?;
        let hash = |hash: &aiinference_registry::msg::NamedHash| InstanceHash {
            name: hash.name.clone(),
            value: hash.value.to_vec(),
        };
        let hashes: Vec<InstanceHash> = input.hashes.iter().map(hash).collect();
        let outputs = decoded(&answer.outputs).map_err(|error| error.to_string())?;
        let claim = Claim {
            inputs: &inputs,
            hashes: &hashes,
            outputs: &outputs,
        };
        let words = instances(&self.circuit, &claim).map_err(|error| error.to_string())?;
        let verdict = aiinference_verifier::verify(&self.circuit, &answer.proof, &words);
        Ok(verdict.map_err(|error| error.to_string())?.valid)
    }
}

fn tensors(input: &Input) -> Result<Vec<Tensor>, Leave> {
    decoded(&input.tensors).map_err(|error| Leave::Input(error.to_string()))
}

fn decoded(tensors: &[Binary]) -> Result<Vec<Tensor>, prost::DecodeError> {
    tensors.iter().map(|bytes| Tensor::decode(bytes.as_slice())).collect()
}

/// Whether a kept input is one of the circuit's: what is kept may be of another one.
fn check(ports: &[Port], inputs: &[Vec<i32>]) -> Result<(), Leave> {
    let fits = |(port, values): (&Port, &Vec<i32>)| {
        values.len() == port.elements() && values.iter().all(|value| (port.low..=port.high).contains(value))
    };
    match ports.len() == inputs.len() && ports.iter().zip(inputs).all(fits) {
        true => Ok(()),
        false => Err(Leave::Input(
            "the input that is kept for its hash is of another shape or out of range".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_tensor_are_left() {
        let input = Input {
            tensors: vec![vec![0xff; 9].into()],
            hashes: vec![],
        };
        assert_eq!(tensors(&input).unwrap_err().name(), "input");
    }

    #[test]
    fn kept_inputs_must_fit_the_circuit() {
        let port = Port {
            name: "a".into(),
            shape: vec![1, 2],
            fraction_bits: 0,
            low: -10,
            high: 10,
        };
        let ports = [port];
        check(&ports, &[vec![-10, 10]]).unwrap();
        for wrong in [
            vec![],
            vec![vec![1]],
            vec![vec![1, 11]],
            vec![vec![-11, 1]],
            vec![vec![1, 1], vec![]],
        ] {
            assert_eq!(check(&ports, &wrong).unwrap_err().name(), "input", "{wrong:?}");
        }
    }
}
