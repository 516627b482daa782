//! A log answered anew, on this machine.

use std::{
    fs,
    path::{Path, PathBuf},
};

use aiinference_runtime::{Chain, ChainError, NodeFault, Runtime};
use sha2::{Digest, Sha256};

use crate::{Asked, Outcome, Record};

/// Stored modules in folders, a file a checksum: `<hex>.wasm`, or `<hex>` as early nodes wrote them.
#[derive(Clone, Debug)]
pub struct ModuleFolder {
    folders: Vec<PathBuf>,
}

impl ModuleFolder {
    /// Modules in `folder`, or below it where a node or its wasm folder keeps them.
    pub fn new(folder: &Path) -> Self {
        let places = ["", "state/wasm", "wasm/state/wasm", "wasm/wasm/state/wasm"];
        ModuleFolder {
            folders: places.iter().map(|place| folder.join(place)).collect(),
        }
    }

    fn find(&self, checksum: &[u8; 32]) -> Result<PathBuf, NodeFault> {
        let name = hex::encode(checksum);
        let candidates = self
            .folders
            .iter()
            .flat_map(|folder| [folder.join(&name).with_extension("wasm"), folder.join(&name)]);
        candidates
            .into_iter()
            .find(|path| path.is_file())
            .ok_or_else(|| NodeFault(format!("{name}: no such file in the folder of modules")))
    }
}

/// Answers records as a node would.
#[derive(Debug)]
pub struct Replayer {
    runtime: Runtime,
    modules: ModuleFolder,
}

/// What came of replaying a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The same answer and gas.
    Same,
    /// Another answer or gas: this one.
    Different(Outcome),
    /// It cannot be replayed here, and why: a module is missing, or the node that logged it was at fault.
    Unable(String),
}

impl Replayer {
    /// Answers with `runtime`'s kernels, from `modules`.
    pub fn new(runtime: Runtime, modules: ModuleFolder) -> Self {
        Replayer { runtime, modules }
    }

    /// Answers a record's request with what the chain said then.
    pub fn replay(&self, record: &Record) -> Replayed {
        if let Outcome::Abort { fault: Some(fault), .. } = &record.outcome {
            return Replayed::Unable(format!("the node that logged it was at fault: {fault}"));
        }
        let mut chain = Then {
            record,
            modules: &self.modules,
            next: 0,
        };
        let answer = self.runtime.answer(&record.request, record.gas_left, &mut chain);
        match Outcome::from(&answer) {
            Outcome::Abort { fault: Some(fault), .. } => Replayed::Unable(fault),
            outcome if outcome == record.outcome => Replayed::Same,
            outcome => Replayed::Different(outcome),
        }
    }
}

/// The chain as a record tells of it.
struct Then<'a> {
    record: &'a Record,
    modules: &'a ModuleFolder,
    next: usize,
}

impl Chain for Then<'_> {
    fn code_checksum(&mut self, code_id: u64, _gas_left: u64) -> (Result<[u8; 32], ChainError>, u64) {
        let asked = self.record.asked.get(self.next);
        self.next += 1;
        match asked {
            Some(Asked {
                code_id: then,
                said,
                gas,
            }) if *then == code_id => (said.into(), *gas),
            // It asks other things than then; that is a difference, and this answer shows it.
            _ => (
                Err(ChainError::Failed(format!(
                    "code id {code_id} was not asked for when this was logged"
                ))),
                0,
            ),
        }
    }

    fn own_checksum(&self) -> [u8; 32] {
        self.record.caller
    }

    fn module_size(&self, checksum: &[u8; 32]) -> Result<u64, NodeFault> {
        let path = self.modules.find(checksum)?;
        let metadata = fs::metadata(&path).map_err(|error| NodeFault(error.to_string()))?;
        Ok(metadata.len())
    }

    fn module_bytes(&self, checksum: &[u8; 32]) -> Result<Vec<u8>, NodeFault> {
        let path = self.modules.find(checksum)?;
        let bytes = fs::read(&path).map_err(|error| NodeFault(error.to_string()))?;
        if Sha256::digest(&bytes)[..] != checksum[..] {
            return Err(NodeFault(format!(
                "{}: the file holds other bytes",
                hex::encode(checksum)
            )));
        }
        Ok(bytes)
    }
}
