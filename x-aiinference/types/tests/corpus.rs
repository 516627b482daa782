//! The fuzzer's corpus, replayed.

#[path = "../fuzz/body.rs"]
mod body;

use std::{fs, path::PathBuf};

use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/packet")
}

#[test]
fn the_corpus_holds() {
    let checked: Vec<(bool, bool)> = fs::read_dir(folder())
        .expect("the corpus")
        .map(|file| body::check(&fs::read(file.expect("a file").path()).expect("readable bytes")))
        .collect();
    // It reaches both decoders, and what they refuse.
    for kind in [(true, false), (false, true), (false, false)] {
        assert!(checked.contains(&kind), "no file is {kind:?}");
    }
}

#[test]
fn the_published_messages_hold() {
    let published: Value = serde_json::from_str(include_str!("../../../docs/spec/vectors/ibc.json")).unwrap();
    for vector in published["vectors"].as_array().unwrap() {
        let bytes = hex::decode(vector["bytes"].as_str().unwrap()).unwrap();
        let (packet, acknowledgement) = body::check(&bytes);
        let whole = if vector["kind"] == "packet" {
            packet
        } else {
            acknowledgement
        };
        assert_eq!(whole, vector["error"].is_null(), "{}", vector["name"]);
    }
}
