//! `make proto`: writes the Rust of the messages into `aiinference-types`. The result is checked in, so that contract
//! authors build without a protobuf compiler; the test here holds it against the .proto files.

use std::{fs, path::Path, path::PathBuf};

use anyhow::{Context, Result};

const SOURCES: [&str; 3] = [
    "aiinference/v1/aiinference.proto",
    "aiinference/v1/circuit.proto",
    "aiinference/v1/ibc.proto",
];

/// Where the generated file is kept.
fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../types/src/generated/aiinference.v1.rs")
}

/// The Rust that the .proto files stand for.
fn generate() -> Result<String> {
    let files = protox::compile(SOURCES, [env!("CARGO_MANIFEST_DIR")]).context("compiling the .proto files")?;
    let out = tempfile::tempdir().context("making a temporary folder")?;
    prost_build::Config::new()
        .out_dir(out.path())
        .compile_fds(files)
        .context("generating Rust")?;
    fs::read_to_string(out.path().join("aiinference.v1.rs")).context("reading the generated Rust")
}

fn main() -> Result<()> {
    let path = kept();
    fs::write(&path, generate()?).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checked_in_messages_match_the_proto_files() {
        let kept = std::fs::read_to_string(super::kept()).unwrap();
        assert!(
            kept == super::generate().unwrap(),
            "the generated messages are out of date: run `make proto`"
        );
    }
}
