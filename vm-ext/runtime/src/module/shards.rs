//! A model that one transaction cannot carry: its module cut into slices, each stored as a module of its own, and a
//! manifest that names them in order.

use aiinference_types::{
    abi::{MANIFEST_SECTION, SHARD_SECTION},
    limits, v1,
};
use prost::Message;
use sha2::{Digest, Sha256};

use super::{carried, envelope, Carried, ModuleError};

/// One shard as a manifest names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Where it is stored.
    pub code_id: u64,
    /// SHA-256 of its module.
    pub checksum: [u8; 32],
}

/// A manifest that has been checked for all that can be checked without the shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// In the order in which their slices are joined; 1 to [`limits::MAX_SHARDS`].
    pub shards: Vec<Shard>,
    /// SHA-256 of the model's module.
    pub checksum: [u8; 32],
    /// Bytes of the model's module; 1 to [`limits::MAX_MODEL_BYTES`].
    pub size: u64,
}

/// Why a manifest and its shards make no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// The manifest is longer than any that is valid.
    #[error("reading a manifest: {0} bytes are above the limit of {max}", max = limits::MAX_MANIFEST_BYTES)]
    ManifestTooLarge(u64),
    /// The manifest's bytes are not the encoding of one.
    #[error("reading a manifest: it is no aiinference.v1.Manifest in its shortest encoding")]
    Malformed,
    /// The manifest names no shards, or too many.
    #[error("reading a manifest: it names {0} shards, allowed are 1 to {max}", max = limits::MAX_SHARDS)]
    Count(u64),
    /// A checksum in the manifest is none.
    #[error("reading a manifest: a checksum has {0} bytes instead of 32")]
    ChecksumLength(u64),
    /// The size that the manifest states is not one of a model.
    #[error("reading a manifest: its model has {0} bytes, allowed are 1 to {max}", max = limits::MAX_MODEL_BYTES)]
    Size(u64),
    /// A module that should carry a manifest carries none.
    #[error("reading a manifest: the module carries none")]
    NoManifest,
    /// Another number of shards than the manifest names.
    #[error("joining shards: {given} are given, the manifest names {named}")]
    Number {
        /// How many there are.
        given: u64,
        /// How many the manifest names.
        named: u64,
    },
    /// A shard's module is another one than the manifest names.
    #[error("joining shards: the module of shard {0} has another checksum than the manifest states")]
    Other(u64),
    /// A shard's module cannot be read.
    #[error("joining shards: shard {index}: {error}")]
    Module {
        /// Which, from 0.
        index: u64,
        /// Why.
        error: ModuleError,
    },
    /// A module that the manifest names carries no shard.
    #[error("joining shards: the code of shard {0} carries no shard")]
    NoShard(u64),
    /// The slices have not the bytes that the manifest states.
    #[error("joining shards: they hold {held} bytes up to shard {index}, the manifest states {stated} in all")]
    Length {
        /// The last shard that was read, from 0.
        index: u64,
        /// Bytes up to it.
        held: u64,
        /// The manifest's size.
        stated: u64,
    },
    /// The joined bytes are other ones than the manifest states.
    #[error("joining shards: the joined bytes have another checksum than the manifest states")]
    Checksum,
    /// The joined bytes are a module without a model, a manifest say.
    #[error("joining shards: the joined module carries no model; a manifest names shards of a model alone")]
    NoModel,
}

/// Modules that carry the bytes of `model` in slices of at most `shard_bytes` (at least 1), in order.
pub fn split(model: &[u8], shard_bytes: usize) -> Vec<Vec<u8>> {
    let slices = model.chunks(shard_bytes.max(1));
    slices.map(|slice| envelope(&[(SHARD_SECTION, slice)])).collect()
}

/// The manifest of the model whose module is `model`, from the code ids and checksums of its shards, in order.
pub fn manifest(model: &[u8], shards: impl IntoIterator<Item = (u64, [u8; 32])>) -> v1::Manifest {
    let shards = shards.into_iter().map(|(code_id, checksum)| v1::Shard {
        code_id,
        checksum: checksum.to_vec(),
    });
    v1::Manifest {
        shards: shards.collect(),
        checksum: Sha256::digest(model).to_vec(),
        size: model.len() as u64,
    }
}

/// The module that carries a manifest. By its code id the model is named.
pub fn wrap_manifest(manifest: &v1::Manifest) -> Vec<u8> {
    envelope(&[(MANIFEST_SECTION, &manifest.encode_to_vec())])
}

/// The model's module, from the modules of all shards, in order, each of which is checked against the manifest.
pub fn join(manifest: &Manifest, shards: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, ShardError> {
    if shards.len() != manifest.shards.len() {
        return Err(ShardError::Number {
            given: shards.len() as u64,
            named: manifest.shards.len() as u64,
        });
    }
    let stored = shards.iter().map(|shard| shard.as_ref().len() as u64).sum();
    let mut joiner = Joiner::new(manifest, stored)?;
    for (index, (module, shard)) in shards.iter().zip(&manifest.shards).enumerate() {
        if Sha256::digest(module).as_slice() != shard.checksum {
            return Err(ShardError::Other(index as u64));
        }
        joiner.push(module.as_ref())?;
    }
    joiner.finish()
}

impl Manifest {
    /// Reads the contents of a manifest's section. A manifest has exactly one encoding; every other is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, ShardError> {
        if bytes.len() > limits::MAX_MANIFEST_BYTES {
            return Err(ShardError::ManifestTooLarge(bytes.len() as u64));
        }
        let manifest = v1::Manifest::decode(bytes).map_err(|_| ShardError::Malformed)?;
        if manifest.encode_to_vec() != bytes {
            return Err(ShardError::Malformed);
        }
        if manifest.shards.is_empty() || manifest.shards.len() > limits::MAX_SHARDS {
            return Err(ShardError::Count(manifest.shards.len() as u64));
        }
        if manifest.size == 0 || manifest.size > limits::MAX_MODEL_BYTES {
            return Err(ShardError::Size(manifest.size));
        }
        let checksum =
            |bytes: &[u8]| <[u8; 32]>::try_from(bytes).map_err(|_| ShardError::ChecksumLength(bytes.len() as u64));
        let shards = manifest.shards.iter().map(|shard| {
            Ok(Shard {
                code_id: shard.code_id,
                checksum: checksum(&shard.checksum)?,
            })
        });
        Ok(Manifest {
            shards: shards.collect::<Result<_, _>>()?,
            checksum: checksum(&manifest.checksum)?,
            size: manifest.size,
        })
    }
}

/// Joins shards one by one, so that no more than one of them is held beside the model.
#[derive(Debug)]
pub struct Joiner<'a> {
    manifest: &'a Manifest,
    joined: Vec<u8>,
    /// How many have been pushed.
    count: u64,
}

impl<'a> Joiner<'a> {
    /// Takes the memory that the manifest states, if the shards' modules, of so many bytes in all, can fill it.
    pub fn new(manifest: &'a Manifest, stored_bytes: u64) -> Result<Self, ShardError> {
        if manifest.size > stored_bytes {
            return Err(ShardError::Length {
                index: (manifest.shards.len() as u64).saturating_sub(1),
                held: stored_bytes,
                stated: manifest.size,
            });
        }
        Ok(Joiner {
            manifest,
            joined: Vec::with_capacity(manifest.size as usize), // at most MAX_MODEL_BYTES
            count: 0,
        })
    }

    /// Adds the slice that the next shard's module carries. The caller has checked the module's checksum.
    pub fn push(&mut self, wasm: &[u8]) -> Result<(), ShardError> {
        let index = self.count;
        let slice = match carried(wasm) {
            Ok(Carried::Shard(slice)) => slice,
            Ok(_) => return Err(ShardError::NoShard(index)),
            Err(error) => return Err(ShardError::Module { index, error }),
        };
        let held = self.held().saturating_add(slice.len() as u64);
        if held > self.manifest.size {
            return Err(self.length(index, held));
        }
        self.joined.extend_from_slice(slice);
        self.count += 1;
        Ok(())
    }

    /// The model's module, if it is the one that the manifest states.
    pub fn finish(self) -> Result<Vec<u8>, ShardError> {
        if self.held() != self.manifest.size {
            return Err(self.length(self.count.saturating_sub(1), self.held()));
        }
        if Sha256::digest(&self.joined).as_slice() != self.manifest.checksum {
            return Err(ShardError::Checksum);
        }
        Ok(self.joined)
    }

    fn held(&self) -> u64 {
        self.joined.len() as u64
    }

    fn length(&self, index: u64, held: u64) -> ShardError {
        ShardError::Length {
            index,
            held,
            stated: self.manifest.size,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(bytes: &[u8]) -> [u8; 32] {
        Sha256::digest(bytes).into()
    }

    /// Shards, and the manifest of them as a chain would give code ids.
    fn store(model: &[u8], shard_bytes: usize) -> (Vec<Vec<u8>>, v1::Manifest) {
        let shards = split(model, shard_bytes);
        let named = shards.iter().enumerate();
        let manifest = manifest(model, named.map(|(id, shard)| (id as u64, digest(shard))));
        (shards, manifest)
    }

    fn read(module: &[u8]) -> Result<Manifest, ShardError> {
        match carried(module) {
            Ok(Carried::Manifest(bytes)) => Manifest::decode(bytes),
            other => panic!("no manifest: {other:?}"),
        }
    }

    #[test]
    fn the_envelopes_keep_their_bytes() {
        // Checksums cover them, and whoever splits a model again must get the shards that a chain has already.
        let shard = split(b"slice", 5).remove(0);
        let manifest = wrap_manifest(&manifest(b"slice", [(7, digest(&shard))]));
        let facts = [&shard, &manifest].map(|wasm| {
            wasmparser::Validator::new().validate_all(wasm).unwrap();
            let hex: String = digest(wasm).iter().map(|b| format!("{b:02x}")).collect();
            (wasm.len(), hex)
        });
        assert_eq!(
            facts,
            [
                (
                    131,
                    "41c4640d06d3e0ebe45d4e8e3086ce44df38e8a8cb6498d828a6279f29e80260".to_string()
                ),
                (
                    203,
                    "52bb1d9b6be3c3fdcde143abe000be86ba4752d9a12df9be42506ba8f4b9f788".to_string()
                )
            ]
        );
    }

    #[test]
    fn the_largest_manifest_is_within_the_limit_of_bytes() {
        let shard = v1::Shard {
            code_id: u64::MAX,
            checksum: vec![0xff; 32],
        };
        let largest = v1::Manifest {
            shards: vec![shard; limits::MAX_SHARDS],
            checksum: vec![0xff; 32],
            size: limits::MAX_MODEL_BYTES,
        };
        let bytes = largest.encode_to_vec();
        assert!(bytes.len() <= limits::MAX_MANIFEST_BYTES);
        assert_eq!(Manifest::decode(&bytes).unwrap().shards.len(), limits::MAX_SHARDS);
    }

    #[test]
    fn the_largest_model_fits_in_shards() {
        // Slices as large as they must be: what wraps them is within the allowance of MAX_SHARDED_BYTES.
        let slice = vec![0; limits::MAX_MODEL_BYTES as usize / limits::MAX_SHARDS];
        let shard = split(&slice, slice.len()).remove(0).len() as u64;
        assert!(shard * limits::MAX_SHARDS as u64 <= limits::MAX_SHARDED_BYTES);
    }

    #[test]
    fn a_module_that_is_not_the_one_named_is_refused_though_it_carries_the_slice() {
        let (mut shards, manifest) = store(b"model", 2);
        let manifest = read(&wrap_manifest(&manifest)).unwrap();
        // An empty custom section more.
        shards[1].extend([0, 1, 0]);
        assert_eq!(carried(&shards[1]), Ok(Carried::Shard(b"de")));
        assert_eq!(join(&manifest, &shards), Err(ShardError::Other(1)));
    }

    proptest! {
        #[test]
        fn what_is_split_is_joined_again(model in prop::collection::vec(any::<u8>(), 1..2_000), parts in 1..=limits::MAX_SHARDS) {
            let shard_bytes = model.len().div_ceil(parts);
            let (shards, manifest) = store(&model, shard_bytes);
            prop_assert!(shards.len() <= parts);
            let manifest = read(&wrap_manifest(&manifest)).unwrap();
            prop_assert_eq!(join(&manifest, &shards), Ok(model));
        }

        #[test]
        fn shards_in_any_other_order_or_number_are_refused(
            model in prop::collection::vec(any::<u8>(), 2..500), shard_bytes in 4..100usize, a: prop::sample::Index, b: prop::sample::Index,
        ) {
            let (shards, manifest) = store(&model, shard_bytes);
            let manifest = read(&wrap_manifest(&manifest)).unwrap();
            let (a, b) = (a.index(shards.len()), b.index(shards.len()));
            let mut swapped = shards.clone();
            swapped.swap(a, b);
            prop_assert_eq!(join(&manifest, &swapped).is_ok(), shards[a] == shards[b]);
            let mut fewer = shards.clone();
            fewer.remove(a);
            prop_assert!(join(&manifest, &fewer).is_err());
            // Also where the manifest agrees with the order: then the joined bytes are wrong.
            let mut agreeing = manifest.clone();
            agreeing.shards.swap(a, b);
            prop_assert_eq!(join(&agreeing, &swapped).is_ok(), shards[a] == shards[b]);
        }

        #[test]
        fn a_manifest_that_decodes_is_the_one_that_was_encoded(bytes in prop::collection::vec(any::<u8>(), 0..200), code_ids in prop::collection::vec(any::<u64>(), 1..9)) {
            // Arbitrary bytes are practically never one; they must not panic.
            prop_assert!(Manifest::decode(&bytes).is_err());
            let named = code_ids.iter().map(|id| (*id, digest(&id.to_le_bytes())));
            let stated = manifest(b"model", named.clone());
            let decoded = Manifest::decode(&stated.encode_to_vec()).unwrap();
            let shards: Vec<(u64, [u8; 32])> = decoded.shards.iter().map(|shard| (shard.code_id, shard.checksum)).collect();
            prop_assert_eq!(shards, named.collect::<Vec<_>>());
            prop_assert_eq!((decoded.size, decoded.checksum), (5, digest(b"model")));
        }
    }
}
