//! The hashes of a receipt: SHA-256 over tagged names, shapes and integers. `docs/spec/receipts.md` states the bytes.

use sha2::{Digest, Sha256};

use crate::v1::Tensor;

/// Tag of the hash over what the models were given from outside.
pub const INPUTS_TAG: &str = "aiinference/1/inputs";
/// Tag of the hash over what was returned.
pub const OUTPUTS_TAG: &str = "aiinference/1/outputs";

/// Hashes tensors one by one, in order.
pub struct TensorHasher(Sha256);

impl TensorHasher {
    /// A hash under a tag: one byte of length, then the tag.
    pub fn new(tag: &str) -> Self {
        let mut sha = Sha256::new();
        debug_assert!(tag.len() < 256);
        sha.update([tag.len() as u8]);
        sha.update(tag.as_bytes());
        TensorHasher(sha)
    }

    /// Adds a tensor in canonical encoding, belonging to `step` of the plan. All numbers are 4 bytes, little endian:
    /// step, length of the name, name, data type, fraction bits, rank, extents, length of the data, data.
    pub fn add(&mut self, step: u32, tensor: &Tensor) {
        self.0.update(step.to_le_bytes());
        self.0.update((tensor.name.len() as u32).to_le_bytes());
        self.0.update(tensor.name.as_bytes());
        self.0.update(tensor.data_type.to_le_bytes());
        self.0.update(tensor.fraction_bits.to_le_bytes());
        self.0.update((tensor.shape.len() as u32).to_le_bytes());
        for extent in &tensor.shape {
            self.0.update(extent.to_le_bytes());
        }
        self.0.update((tensor.data.len() as u32).to_le_bytes());
        self.0.update(&tensor.data);
    }

    /// The 32 bytes.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::ToString, vec};

    #[test]
    fn every_part_of_a_tensor_changes_the_hash() {
        let base = Tensor::from_integers("x".to_string(), vec![2], 3, -5, 5, &[1, 2]);
        let hash = |tag: &str, step: u32, t: &Tensor| {
            let mut hasher = TensorHasher::new(tag);
            hasher.add(step, t);
            hasher.finish()
        };
        let want = hash(INPUTS_TAG, 0, &base);
        assert_ne!(want, hash(OUTPUTS_TAG, 0, &base));
        assert_ne!(want, hash(INPUTS_TAG, 1, &base));
        for change in [
            |t: &mut Tensor| t.name = "y".to_string(),
            |t: &mut Tensor| t.data_type = 2,
            |t: &mut Tensor| t.fraction_bits = 4,
            |t: &mut Tensor| t.shape = vec![1, 2],
            |t: &mut Tensor| t.data[1] = 3,
        ] {
            let mut changed = base.clone();
            change(&mut changed);
            assert_ne!(want, hash(INPUTS_TAG, 0, &changed));
        }
    }

    #[test]
    fn the_documents_example_has_the_hash_that_it_states() {
        let page = include_str!("../../../docs/spec/receipts.md");
        let mut hasher = TensorHasher::new(INPUTS_TAG);
        hasher.add(0, &Tensor::from_integers("x".to_string(), vec![2], 3, -5, 5, &[1, -2]));
        let hex = hasher.finish().into_iter().map(|byte| alloc::format!("{byte:02x}"));
        let hex: alloc::string::String = hex.collect();
        assert!(page.contains(&hex), "{hex}");
    }
}
