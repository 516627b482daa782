//! Having proofs checked: a model too heavy for every node is run by one, who proves what it gave.

use aiinference_types::v1;
use serde::{Deserialize, Serialize};

use crate::{wire, Checksum, Error, Host, Model, ModelReference, Output, Tensor};

/// Which circuit, by which proofs speak about a model. Store it in the contract's state and take it in its messages; in JSON as a
/// [`Model`] is.
///
/// A circuit's owner can make anything verify, unless its key was rebuilt from its models: `aiinference verify-circuit`. So take
/// circuits from nobody who is not trusted, and name them with their checksum.
///
/// ```
/// # use aiinference_std::{Circuit, Claim, Error, Host, Tensor};
/// # fn check(host: impl Host, circuit: &Circuit, proof: Vec<u8>) -> Result<bool, Error> {
/// let claim = Claim::new(proof)
///     .input(Tensor::from_i64s(&[3, -7]).named("x"))
///     .output(Tensor::from_i64s(&[41]).named("y"));
/// Ok(circuit.verify(host, claim)?.valid)
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(feature = "std2", feature = "std3"), derive(schemars::JsonSchema))]
#[cfg_attr(feature = "std3", derive(cw_schema::Schemaifier))]
#[cfg_attr(feature = "std3", schemaifier(mute_warnings))]
#[serde(deny_unknown_fields)]
pub struct Circuit {
    /// Where it is.
    pub reference: ModelReference,
    /// The module that must be behind the reference, by its SHA-256; without, any is taken.
    pub checksum: Option<Checksum>,
}

impl Circuit {
    /// The circuit stored under a code id.
    pub fn new(code_id: u64) -> Self {
        Circuit {
            reference: ModelReference::CodeId(code_id),
            checksum: None,
        }
    }

    /// This circuit only with exactly these bytes: other code behind the reference is refused with
    /// [`ChecksumMismatch`](crate::ErrorCode::ChecksumMismatch).
    pub fn with_checksum(mut self, checksum: impl Into<Checksum>) -> Self {
        self.checksum = Some(checksum.into());
        self
    }

    /// Whether the claim's proof shows what it claims. A proof that does not is no error: see [`Verdict::valid`].
    ///
    /// Runs out of gas, ending the transaction, where the price is above the gas left.
    #[inline(always)]
    pub fn verify(&self, host: impl Host, claim: Claim) -> Result<Verdict, Error> {
        let response = host.check_proof(&self.request(claim))?;
        Verdict::from_response(&response)
    }

    #[inline(never)]
    fn request(&self, claim: Claim) -> Vec<u8> {
        let mut verify = claim.0;
        let module = Model {
            reference: self.reference.clone(),
            checksum: self.checksum,
        };
        verify.circuit = Some(module.to_message());
        wire::request(&wire::VerifyQuestion { verify: Some(verify) })
    }
}

/// A proof with what it is to show, and what its reader takes.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a claim does nothing until `Circuit::verify`"]
pub struct Claim(v1::VerifyRequest);

impl Claim {
    /// A proof. Values may be left unnamed where the circuit has just one of their kind.
    pub fn new(proof: impl Into<Vec<u8>>) -> Self {
        Claim(v1::VerifyRequest {
            proof: proof.into(),
            ..Default::default()
        })
    }

    /// An input of the model, converted as [`Model::infer`] converts it; a value out of range is refused.
    pub fn input(mut self, tensor: Tensor) -> Self {
        self.0.inputs.push(tensor.0);
        self
    }

    /// The hash of inputs, or of weights, that only the prover knows: 32 bytes, big endian, as the prover writes it.
    pub fn hash(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.0.hashes.push(v1::InstanceHash {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// An output of the model. It must be exact in the circuit's format: a rounded one would not be what was proven.
    pub fn output(mut self, tensor: Tensor) -> Self {
        self.0.outputs.push(tensor.0);
        self
    }

    /// Trusts this structured reference string, by its id, and no other one that was not named so. Without, the perpetual
    /// powers of tau alone are trusted. Who made a development SRS can forge every proof.
    pub fn accepting_srs(mut self, id: impl Into<Checksum>) -> Self {
        let id: Checksum = id.into();
        self.0.accepted_srs.push(id.as_bytes().to_vec());
        self
    }

    /// Takes a circuit, too, that nobody but its owner can rebuild. The owner is trusted then.
    pub fn accepting_unreproducible(mut self) -> Self {
        self.0.accept_unreproducible = true;
        self
    }

    /// The largest price accepted, in CosmWasm gas. A higher one is refused with
    /// [`GasLimitExceeded`](crate::ErrorCode::GasLimitExceeded).
    pub fn gas_limit(mut self, gas: u64) -> Self {
        self.0.gas_limit = Some(gas);
        self
    }
}

/// What came of checking a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// Whether the proof shows what was claimed. If not, nothing is known: the claim may be true all the same.
    pub valid: bool,
    /// SHA-256 of the circuit's module.
    pub circuit_checksum: Checksum,
    /// Code ids and checksums of the models that the circuit says it stands for.
    pub models: Vec<(u64, Checksum)>,
    /// Whether the circuit says that anyone can rebuild it.
    pub reproducible: bool,
    /// Id of the structured reference string.
    pub srs: Checksum,
    /// The price charged, in CosmWasm gas.
    pub gas: u64,
    /// The outputs claimed, as a run of the model would have given them: by the circuit's names and in its format, however the
    /// claim gave them. Read these where somebody else wrote the claim. None where the proof is not valid.
    pub outputs: Vec<Output>,
}

impl Verdict {
    #[inline(never)]
    fn from_response(response: &[u8]) -> Result<Self, Error> {
        const WRONG: Error = Error::InvalidAnswer("a checksum in it has not 32 bytes");
        let checksum = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).map(Checksum::from).map_err(|_| WRONG);
        let answer = wire::verify_answer(response)?;
        let models = answer.models.iter();
        Ok(Verdict {
            valid: answer.valid,
            circuit_checksum: checksum(&answer.circuit_checksum)?,
            models: models
                .map(|model| Ok((model.code_id, checksum(&model.checksum)?)))
                .collect::<Result<_, Error>>()?,
            reproducible: answer.reproducible,
            srs: checksum(&answer.srs)?,
            gas: answer.gas,
            outputs: answer
                .outputs
                .into_iter()
                .map(Output::from_message)
                .collect::<Result<_, _>>()?,
        })
    }
}
