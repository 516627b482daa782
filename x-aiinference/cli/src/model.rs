//! Reading a model's module from a file.

use std::{fs, path::Path};

use aiinference_runtime::LoadedModel;
use anyhow::{bail, Context, Result};
use sha2::{Digest, Sha256};

/// The model in a file, checked as a chain checks it.
pub fn load(path: &Path) -> Result<LoadedModel> {
    let size = fs::metadata(path)
        .with_context(|| format!("reading {}", path.display()))?
        .len();
    if size > aiinference_types::limits::MAX_MODEL_BYTES {
        bail!(
            "reading {}: {size} bytes are above the limit of {} for a model",
            path.display(),
            aiinference_types::limits::MAX_MODEL_BYTES
        );
    }
    let wasm = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    if wasm.starts_with(&[0x1f, 0x8b]) {
        bail!("reading {}: it is gzipped; gunzip it first", path.display());
    }
    if !wasm.starts_with(b"\0asm") {
        bail!(
            "reading {}: it is no Wasm module; make one with `aiinference convert`",
            path.display()
        );
    }
    let checksum = Sha256::digest(&wasm).into();
    LoadedModel::load(checksum, &wasm).with_context(|| format!("reading {}", path.display()))
}

/// `"name"`, quoted for messages, one after another.
pub fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("{name:?}")).collect();
    quoted.join(", ")
}
