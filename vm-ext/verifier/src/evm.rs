//! The one fixed verifier code, run by a machine of which every input is pinned here.

use std::{convert::Infallible, sync::LazyLock};

use aiinference_types::circuit::FIELD_ORDER;
use revm::{
    bytecode::Bytecode,
    context::{result::ExecutionResult, BlockEnv, Context, TxEnv},
    primitives::{hardfork::SpecId, keccak256, Address, Bytes, TxKind, B256, U256},
    state::AccountInfo,
    Database, ExecuteEvm, MainBuilder, MainContext,
};

use crate::circuit::{Circuit, Word};

/// What `scripts/verifier-code.sh` compiles from the Solidity source beside it.
const CODE: &[u8] = include_bytes!("../code/Halo2VerifierReusable.bin");

/// SHA-256 of the code.
pub const CODE_SHA256: &str = "b0dd90cfb16bae591a367e3bccf7b8d68427cbf5faa156dc99256554fe9ac747";

/// The rules of the machine. Later ones change gas, and so what a proof costs: a consensus-breaking release.
const SPEC: SpecId = SpecId::CANCUN;

/// `verifyProof(bytes,uint256[],bytes32[])`.
const SELECTOR: [u8; 4] = [0x34, 0x09, 0xfc, 0x9f];

/// Where the code lies, and who calls it: any two addresses that differ, and are none of the machine's own.
const VERIFIER: Address = Address::repeat_byte(0x11);
const CALLER: Address = Address::repeat_byte(0x22);

/// The machine's gas for the code itself: half as much again as proofs of all measured circuits take.
const GAS: u64 = 10_000;
const GAS_PROOF_BYTE: u64 = 250;
const GAS_INSTANCE: u64 = 1_900;
const GAS_KEY_WORD: u64 = 300;

/// Less than this is left where the gas ran out within a precompile, which the code takes for a failure of its own and reverts:
/// a call hands on all but a 64th of what is left, and the dearest, the pairing, takes 113,000.
const GAS_RUN_OUT: u64 = 20_000;

/// What the machine charges for a call before any code runs.
const GAS_CALL: u64 = 21_000;
const GAS_ZERO_BYTE: u64 = 4;
const GAS_OTHER_BYTE: u64 = 16;

/// What came of a check that was carried to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the proof is valid.
    pub valid: bool,
    /// The machine's gas that the code used, the call itself aside.
    pub evm_gas: u64,
}

/// Why nothing can be said of a proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Not a proof of this circuit, by its length.
    #[error("checking a proof: it has {given} bytes, proofs of this circuit have {wanted}")]
    ProofLength {
        /// Bytes given.
        given: usize,
        /// Bytes of every proof of the circuit.
        wanted: usize,
    },
    /// Another number of public values than the circuit has.
    #[error("checking a proof: {given} public values are given, the circuit has {wanted}")]
    InstanceCount {
        /// Values given.
        given: usize,
        /// Values of the circuit.
        wanted: usize,
    },
    /// A public value that is no field element in its one form.
    #[error("checking a proof: public value {0} is not below the field's order")]
    InstanceTooLarge(usize),
    /// The verifier's code did not come to an end. No circuit that ezkl makes does that.
    #[error("checking a proof: the verifier halted: {0}; the circuit's key is damaged or hostile")]
    Halted(String),
}

/// The machine's gas that checking one proof may use beside the call itself: a function of lengths alone. A hostile key
/// makes the code run up to here, and not further.
pub fn evm_gas_limit(circuit: &Circuit) -> u64 {
    let by = |gas: u64, count: usize| gas.saturating_mul(count as u64);
    GAS.saturating_add(by(GAS_PROOF_BYTE, circuit.proof_bytes))
        .saturating_add(by(GAS_INSTANCE, circuit.count))
        .saturating_add(by(GAS_KEY_WORD, circuit.key.len()))
}

/// Whether a proof shows that a circuit holds for these public values, in the order of [`Circuit::values`].
pub fn verify(circuit: &Circuit, proof: &[u8], instances: &[Word]) -> Result<Verdict, VerifyError> {
    if proof.len() != circuit.proof_bytes {
        return Err(VerifyError::ProofLength {
            given: proof.len(),
            wanted: circuit.proof_bytes,
        });
    }
    if instances.len() != circuit.count {
        return Err(VerifyError::InstanceCount {
            given: instances.len(),
            wanted: circuit.count,
        });
    }
    if let Some(index) = instances.iter().position(|instance| *instance >= FIELD_ORDER) {
        return Err(VerifyError::InstanceTooLarge(index));
    }
    run(circuit, proof, instances, evm_gas_limit(circuit))
}

/// Runs the code with so much gas for itself.
fn run(circuit: &Circuit, proof: &[u8], instances: &[Word], limit: u64) -> Result<Verdict, VerifyError> {
    let data = calldata(proof, instances, &circuit.key);
    let zeros = data.iter().filter(|byte| **byte == 0).count() as u64;
    let call = GAS_CALL + GAS_ZERO_BYTE * zeros + GAS_OTHER_BYTE * (data.len() as u64 - zeros);
    let transaction = TxEnv {
        caller: CALLER,
        kind: TxKind::Call(VERIFIER),
        gas_limit: call.saturating_add(limit),
        gas_price: 0,
        data: data.into(),
        ..TxEnv::default()
    };
    let mut context = Context::mainnet()
        .with_db(World::new(&circuit.key))
        .with_block(BlockEnv {
            number: U256::ZERO,
            beneficiary: Address::ZERO,
            timestamp: U256::ZERO,
            basefee: 0,
            difficulty: U256::ZERO,
            prevrandao: Some(B256::ZERO),
            ..BlockEnv::default()
        });
    context.cfg.set_spec_and_mainnet_gas_params(SPEC);
    let result = context.build_mainnet().transact_one(transaction);
    let result = result.map_err(|error| VerifyError::Halted(error.to_string()))?;
    let evm_gas = result.tx_gas_used().saturating_sub(call);
    match result {
        ExecutionResult::Success { output, .. } => Ok(Verdict {
            valid: output.data().first_chunk::<32>() == Some(&ONE),
            evm_gas,
        }),
        ExecutionResult::Revert { .. } if limit.saturating_sub(evm_gas) < GAS_RUN_OUT => {
            Err(VerifyError::Halted("out of gas in a precompile".into()))
        }
        ExecutionResult::Revert { .. } => Ok(Verdict { valid: false, evm_gas }),
        ExecutionResult::Halt { reason, .. } => Err(VerifyError::Halted(reason.to_string())),
    }
}

/// The word 1.
const ONE: Word = {
    let mut one = [0; 32];
    one[31] = 1;
    one
};

/// The call in its one canonical form: offsets that the caller chose could make the code hash other bytes than it reads.
fn calldata(proof: &[u8], instances: &[Word], key: &[Word]) -> Vec<u8> {
    let proof_at = 3 * 32;
    // Circuits whose proofs are not whole words do not exist, so nothing is padded.
    let instances_at = proof_at + 32 + proof.len();
    let key_at = instances_at + 32 + 32 * instances.len();
    let mut data = Vec::with_capacity(4 + key_at + 32 + 32 * key.len());
    data.extend_from_slice(&SELECTOR);
    for offset in [proof_at, instances_at, key_at] {
        data.extend_from_slice(&number(offset));
    }
    data.extend_from_slice(&number(proof.len()));
    data.extend_from_slice(proof);
    for words in [instances, key] {
        data.extend_from_slice(&number(words.len()));
        data.extend_from_slice(words.as_flattened());
    }
    data
}

fn number(value: usize) -> Word {
    U256::from(value).to_be_bytes()
}

/// All there is: the code, and in its storage the one key, registered.
#[derive(Debug)]
struct World {
    registered: U256,
}

impl World {
    fn new(key: &[Word]) -> Self {
        // Where Solidity keeps the entry of a mapping that lies in slot 0: the hash of its key and the slot.
        let digest = keccak256(key.as_flattened());
        let entry = [digest.0, [0; 32]].concat();
        World {
            registered: keccak256(entry).into(),
        }
    }
}

/// The code, looked through once for where it may jump to.
static BYTECODE: LazyLock<Bytecode> = LazyLock::new(|| Bytecode::new_raw(Bytes::from_static(CODE)));

impl Database for World {
    type Error = Infallible;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        Ok((address == VERIFIER).then(|| AccountInfo {
            nonce: 1,
            code_hash: BYTECODE.hash_slow(),
            code: Some(BYTECODE.clone()),
            ..AccountInfo::default()
        }))
    }

    fn code_by_hash(&mut self, _hash: B256) -> Result<Bytecode, Infallible> {
        Ok(Bytecode::default())
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Infallible> {
        let registered = address == VERIFIER && slot == self.registered;
        Ok(U256::from(u8::from(registered)))
    }

    fn block_hash(&mut self, _number: u64) -> Result<B256, Infallible> {
        Ok(B256::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common;

    #[test]
    fn too_little_gas_is_never_an_invalid_proof() {
        let fixture = common::fixture("public");
        let (circuit, values) = (fixture.circuit(), fixture.instances(0));
        let proof = fixture.proofs[0].bytes();
        let run = |limit| run(&circuit, &proof, &values, limit);
        let used = run(evm_gas_limit(&circuit)).unwrap().evm_gas;
        // Every 64th that a call keeps back is needed, too, and no more than that.
        let enough = used + 20_000;
        let ample = enough..enough + 100_000;
        for limit in ample.step_by(9_973) {
            assert_eq!(
                run(limit),
                Ok(Verdict {
                    valid: true,
                    evm_gas: used
                })
            );
        }
        // The pairing, the last precompile, takes 113,000; before it, products of points take 6,000 each.
        let pairing = (used - 120_000..enough).step_by(1_021);
        let others = (0..used - 120_000).step_by(7_919);
        for limit in pairing.chain(others) {
            match run(limit) {
                Ok(verdict) => assert!(verdict.valid, "{limit} of {used}"),
                Err(error) => assert!(matches!(error, VerifyError::Halted(_)), "{limit} of {used}: {error}"),
            }
        }
    }

    #[test]
    fn an_invalid_proof_is_told_long_before_the_limit() {
        for name in ["public", "hashed", "many"] {
            let fixture = common::fixture(name);
            let circuit = fixture.circuit();
            let mut values = fixture.instances(0);
            values[0] = [0; 32];
            let verdict = verify(&circuit, &fixture.proofs[0].bytes(), &values).unwrap();
            assert!(!verdict.valid);
            assert!(
                verdict.evm_gas + 2 * GAS_RUN_OUT < evm_gas_limit(&circuit),
                "{name}: {verdict:?}"
            );
        }
    }
}
