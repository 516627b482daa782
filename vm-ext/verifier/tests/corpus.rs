//! The fuzzer's corpus, replayed.

#[path = "../fuzz/body.rs"]
mod body;
mod common;

use std::{fs, path::PathBuf};

use common::*;
use prost::Message;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/circuit")
}

#[test]
fn the_corpus_holds() {
    let mut circuits = 0;
    let mut count = 0;
    for file in fs::read_dir(folder()).expect("the corpus") {
        circuits += usize::from(body::check(
            &fs::read(file.expect("a file").path()).expect("readable bytes"),
        ));
        count += 1;
    }
    assert!(
        count >= seeds().len() && circuits >= 3,
        "{circuits} circuits in {count} files"
    );
}

/// Circuits to start from, sound and not.
fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let public = fixture("public").message();
    let hashed = fixture("hashed").message();
    let mut short = public.clone();
    short.verifying_key.truncate(24 * 32);
    let mut unreproducible = public.clone();
    unreproducible.reproducible = false;
    unreproducible.models.clear();
    let mut generators = public.clone();
    generators.verifying_key[14 * 32] = 1;
    vec![
        ("public", public.encode_to_vec()),
        ("hashed", hashed.encode_to_vec()),
        ("short-key", short.encode_to_vec()),
        ("unreproducible", unreproducible.encode_to_vec()),
        ("generators", generators.encode_to_vec()),
        ("cut", public.encode_to_vec()[..100].to_vec()),
    ]
}

/// Writes the seeds that are missing: `cargo test --workspace --release --test corpus -- --ignored write_missing_seeds`.
#[test]
#[ignore = "writes files"]
fn write_missing_seeds() {
    fs::create_dir_all(folder()).unwrap();
    for (name, bytes) in seeds() {
        let path = folder().join(name);
        if !path.exists() {
            fs::write(path, bytes).unwrap();
        }
    }
}
