//! Golden vectors, by both.

use std::fs;
use std::path::PathBuf;

use crate::common::LIMITS;
use crate::{agree, both};

/// A vector: a model, inputs, and what they give.
pub struct Golden {
    pub name: String,
    pub graph: Vec<u8>,
    pub weights: Vec<u8>,
    pub inputs: Vec<Vec<i32>>,
    pub outputs: Vec<Vec<i32>>,
}

/// All of them, in the order of their names.
pub fn golden() -> Vec<Golden> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder")
        .map(|file| file.expect("a file").path())
        .collect();
    paths.sort();
    let vectors = paths.iter().map(|path| {
        let text = fs::read_to_string(path).expect("a text");
        let lines = |key: &str| -> Vec<String> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(key));
            lines.map(|line| line.trim().to_owned()).collect()
        };
        let bytes = |key| -> Vec<u8> {
            let digits = lines(key).concat();
            (0..digits.len())
                .step_by(2)
                .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).expect("hex"))
                .collect()
        };
        let tensors = |key| {
            let lines = lines(key);
            lines
                .iter()
                .map(|line| line.split(' ').map(|n| n.parse().expect("a number")).collect())
                .collect()
        };
        Golden {
            name: path.file_stem().expect("a name").to_string_lossy().into(),
            graph: bytes("graph"),
            weights: bytes("weights"),
            inputs: tensors("input"),
            outputs: tensors("output"),
        }
    });
    vectors.collect()
}

#[test]
fn golden_vectors_follow_from_the_specification() {
    let golden = golden();
    assert!(golden.len() > 100);
    for Golden {
        name,
        graph,
        weights,
        inputs,
        outputs,
    } in &golden
    {
        let (program, model) = both(name, graph, weights, &LIMITS).expect("golden models are valid");
        assert_eq!(&agree(name, &program, &model, inputs), outputs, "{name}");
    }
}
