//! Proofs of what a chain's state holds: two steps of ICS-23, from the key to the root of the IBC store, and from there to
//! the app hash of a header.

use ibc_proto::ibc::core::commitment::v1::MerkleProof;
use ics23::{
    calculate_existence_root, commitment_proof::Proof, iavl_spec, tendermint_spec, verify_membership,
    verify_non_membership, CommitmentProof, ExistenceProof, HostFunctionsManager, ProofSpec,
};
use tendermint::merkle::proof::ProofOps;

use crate::proto::Message;

/// The store in which chains keep what IBC proves.
pub const STORE: &[u8] = b"ibc";

/// Bytes of the longest proof that is taken: honest ones have a few kilobytes.
const MAX_PROOF: usize = 64 * 1024;

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    #[error("there is none")]
    Missing,
    #[error("it has {0} steps, not 2")]
    Steps(usize),
    #[error("its {0} bytes are above {MAX_PROOF}")]
    TooLong(usize),
    #[error("a step is of kind {0:?}")]
    Kind(String),
    #[error("a step is no ICS-23 proof")]
    NotAProof,
    #[error("a step is not the proof that such a place in the tree has")]
    Shape,
    #[error("it does not lead from the value to the root")]
    Root,
}

/// The specifications of the two trees, as light clients state them.
pub fn specs() -> [ProofSpec; 2] {
    [iavl_spec(), tendermint_spec()]
}

/// Reads what a node calls a proof.
pub fn decode(ops: Option<ProofOps>) -> Result<MerkleProof, ProofError> {
    let ops = ops.ok_or(ProofError::Missing)?.ops;
    if ops.len() != 2 {
        return Err(ProofError::Steps(ops.len()));
    }
    let bytes = ops.iter().map(|op| op.data.len()).sum();
    if bytes > MAX_PROOF {
        return Err(ProofError::TooLong(bytes));
    }
    let mut proofs = Vec::with_capacity(2);
    for (op, kind) in ops.iter().zip(["ics23:iavl", "ics23:simple"]) {
        if op.field_type != kind {
            let shown: String = op.field_type.chars().filter(|c| !c.is_control()).take(40).collect();
            return Err(ProofError::Kind(shown));
        }
        proofs.push(CommitmentProof::decode(op.data.as_slice()).map_err(|_| ProofError::NotAProof)?);
    }
    Ok(MerkleProof { proofs })
}

/// Checks that a key of the IBC store has a value under a root.
pub fn verify_value(proof: &MerkleProof, root: &[u8], key: &[u8], value: &[u8]) -> Result<(), ProofError> {
    let (lower, upper) = steps(proof)?;
    let Some(Proof::Exist(exists)) = &lower.proof else {
        return Err(ProofError::Shape);
    };
    let store = store_root(exists)?;
    let holds = verify_membership::<HostFunctionsManager>(lower, &iavl_spec(), &store, key, value);
    in_store(upper, root, &store, holds)
}

/// Checks that a key of the IBC store has no value under a root.
pub fn verify_absence(proof: &MerkleProof, root: &[u8], key: &[u8]) -> Result<(), ProofError> {
    let (lower, upper) = steps(proof)?;
    let Some(Proof::Nonexist(absent)) = &lower.proof else {
        return Err(ProofError::Shape);
    };
    let neighbour = absent.left.as_ref().or(absent.right.as_ref());
    let store = store_root(neighbour.ok_or(ProofError::Shape)?)?;
    let holds = verify_non_membership::<HostFunctionsManager>(lower, &iavl_spec(), &store, key);
    in_store(upper, root, &store, holds)
}

fn steps(proof: &MerkleProof) -> Result<(&CommitmentProof, &CommitmentProof), ProofError> {
    match &proof.proofs[..] {
        [lower, upper] => Ok((lower, upper)),
        other => Err(ProofError::Steps(other.len())),
    }
}

fn store_root(proof: &ExistenceProof) -> Result<Vec<u8>, ProofError> {
    calculate_existence_root::<HostFunctionsManager>(proof).map_err(|_| ProofError::Root)
}

fn in_store(upper: &CommitmentProof, root: &[u8], store: &[u8], lower_holds: bool) -> Result<(), ProofError> {
    if !matches!(upper.proof, Some(Proof::Exist(_))) {
        return Err(ProofError::Shape);
    }
    let upper_holds =
        verify_membership::<HostFunctionsManager>(upper, &tendermint_spec(), &root.to_vec(), STORE, store);
    match lower_holds && upper_holds {
        true => Ok(()),
        false => Err(ProofError::Root),
    }
}
