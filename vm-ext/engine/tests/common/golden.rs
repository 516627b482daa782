//! The files of golden vectors.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

/// Where the files are.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// One file: lines `graph HEX`, `weights HEX`, then `input NUMBERS..` and `output NUMBERS..`, in order.
pub struct Vector {
    pub graph: Vec<u8>,
    pub weights: Vec<u8>,
    pub inputs: Vec<Vec<i32>>,
    pub outputs: Vec<Vec<i32>>,
}

impl Vector {
    fn read(text: &str) -> Self {
        let mut vector = Vector {
            graph: vec![],
            weights: vec![],
            inputs: vec![],
            outputs: vec![],
        };
        for line in text.lines() {
            let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
            let bytes = || -> Vec<u8> {
                (0..rest.len() / 2)
                    .map(|i| u8::from_str_radix(&rest[2 * i..2 * i + 2], 16).expect("hex"))
                    .collect()
            };
            let numbers = || rest.split_whitespace().map(|n| n.parse().expect("a number")).collect();
            match key {
                "graph" => vector.graph = bytes(),
                "weights" => vector.weights = bytes(),
                "input" => vector.inputs.push(numbers()),
                "output" => vector.outputs.push(numbers()),
                _ => panic!("unknown line {key:?}"),
            }
        }
        vector
    }

    pub fn write(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |s, b| s + &format!("{b:02x}"));
        let mut text = format!("graph {}\nweights {}\n", hex(&self.graph), hex(&self.weights));
        for (key, lists) in [("input", &self.inputs), ("output", &self.outputs)] {
            for list in lists {
                let numbers: Vec<String> = list.iter().map(i32::to_string).collect();
                writeln!(text, "{key} {}", numbers.join(" ")).expect("a string");
            }
        }
        text
    }
}

/// All files by their names.
pub fn vectors() -> BTreeMap<String, Vector> {
    let files = fs::read_dir(folder()).expect("the folder of golden vectors");
    files
        .map(|file| {
            let path = file.expect("a file").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, Vector::read(&fs::read_to_string(&path).expect("a text file")))
        })
        .collect()
}
