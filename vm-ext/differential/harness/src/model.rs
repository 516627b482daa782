//! Models from files.

use std::path::{Path, PathBuf};
use std::{fs, io};

use aiinference_differential::Kind;
use aiinference_types::abi::{GRAPH_SECTION, WEIGHTS_SECTION};
use wasmparser::{Parser, Payload};

/// Why a file gives no model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file.
    #[error("reading model {0}: {1}")]
    File(PathBuf, io::Error),
    /// Its contents.
    #[error("reading model {0}: it has no section or line with a graph; give modules as `aiinference convert` writes them, or golden vectors")]
    NoGraph(PathBuf),
}

/// A model, and where it came from.
#[derive(Clone)]
pub struct Model {
    /// The file's name.
    pub name: String,
    /// Its two sections.
    pub kind: Kind,
}

impl Model {
    /// Reads a module as a chain stores it, or a golden vector of the engine's tests.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let bytes = fs::read(path).map_err(|e| ModelError::File(path.into(), e))?;
        let sections = if bytes.starts_with(b"\0asm") {
            of_module(&bytes)
        } else {
            of_vector(&bytes)
        };
        let (graph, weights) = sections.ok_or_else(|| ModelError::NoGraph(path.into()))?;
        Ok(Model {
            name: path.to_string_lossy().into_owned(),
            kind: Kind::Model { graph, weights },
        })
    }

    /// All of some files and folders, in the order of their names.
    pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Self>, ModelError> {
        let mut models = Vec::new();
        for path in paths {
            if !path.is_dir() {
                models.push(Model::read(path)?);
                continue;
            }
            let entries = fs::read_dir(path).map_err(|e| ModelError::File(path.clone(), e))?;
            let files = entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<Result<Vec<_>, _>>();
            let mut files = files.map_err(|e| ModelError::File(path.clone(), e))?;
            files.retain(|file| file.extension().is_some_and(|e| e == "wasm" || e == "txt"));
            files.sort();
            for file in files {
                match Model::read(&file) {
                    Ok(model) => models.push(model),
                    // A text may be anything.
                    Err(ModelError::NoGraph(_)) if file.extension().is_some_and(|e| e == "txt") => {}
                    Err(problem) => return Err(problem),
                }
            }
        }
        Ok(models)
    }
}

fn of_module(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (mut graph, mut weights) = (None, Vec::new());
    for payload in Parser::new(0).parse_all(bytes) {
        if let Payload::CustomSection(section) = payload.ok()? {
            match section.name() {
                GRAPH_SECTION => graph = Some(section.data().to_vec()),
                WEIGHTS_SECTION => weights = section.data().to_vec(),
                _ => {}
            }
        }
    }
    Some((graph?, weights))
}

fn of_vector(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let line = |key| text.lines().find_map(|line| line.strip_prefix(key));
    let hex = |digits: &str| hex::decode(digits.trim()).ok();
    Some((hex(line("graph")?)?, hex(line("weights")?)?))
}
