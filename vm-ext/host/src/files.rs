//! The folder of uploaded Wasm that cosmwasm-vm keeps, `<base_dir>/state/wasm`: one file a checksum.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use aiinference_runtime::NodeFault;
use cosmwasm_std::Checksum;

/// Access to the stored modules of a node, by checksum.
#[derive(Debug)]
pub struct WasmFiles {
    modules: PathBuf,
    /// Where files are written before they are moved into place. On the same file system.
    drafts: PathBuf,
}

impl WasmFiles {
    /// The files of the cosmwasm-vm cache at `base_dir`. Drafts go to `drafts`, which is created.
    pub(crate) fn new(base_dir: &Path, drafts: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&drafts)?;
        Ok(WasmFiles {
            modules: base_dir.join("state").join("wasm"),
            drafts,
        })
    }

    /// The name that cosmwasm-vm gives the file today.
    fn path(&self, checksum: &Checksum) -> PathBuf {
        self.modules.join(checksum.to_hex()).with_extension("wasm")
    }

    /// The file, under today's name or under the one that early versions of cosmwasm-vm gave it.
    fn find(&self, checksum: &Checksum) -> io::Result<(PathBuf, fs::Metadata)> {
        let path = self.path(checksum);
        let older = self.modules.join(checksum.to_hex());
        let with_metadata = |path: PathBuf| fs::metadata(&path).map(|metadata| (path, metadata));
        with_metadata(path).or_else(|error| with_metadata(older).map_err(|_| error))
    }

    /// Whether exactly these bytes are stored. Reads the file.
    pub(crate) fn holds(&self, checksum: &Checksum, wasm: &[u8]) -> bool {
        self.find(checksum)
            .and_then(|(path, _)| fs::read(path))
            .is_ok_and(|stored| stored == wasm)
    }

    /// Whether a file is there, whatever it holds.
    pub(crate) fn exists(&self, checksum: &Checksum) -> bool {
        self.find(checksum).is_ok()
    }

    /// Size in bytes of a stored module.
    pub(crate) fn size(&self, checksum: &Checksum) -> Result<u64, NodeFault> {
        let (_, metadata) = self.find(checksum).map_err(|error| fault(checksum, error))?;
        Ok(metadata.len())
    }

    /// A stored module, whose bytes have been checked against the checksum.
    pub(crate) fn read(&self, checksum: &Checksum) -> Result<Vec<u8>, NodeFault> {
        let bytes = self
            .find(checksum)
            .and_then(|(path, _)| fs::read(path))
            .map_err(|error| fault(checksum, error))?;
        if Checksum::generate(&bytes) != *checksum {
            return Err(fault(checksum, "the file holds other bytes"));
        }
        Ok(bytes)
    }

    /// Stores a module as cosmwasm-vm would, without compiling it: written aside, then moved into place, so that no
    /// reader and no crash ever sees half a file.
    pub(crate) fn write(&self, wasm: &[u8]) -> io::Result<Checksum> {
        static DRAFT: AtomicU64 = AtomicU64::new(0);
        let checksum = Checksum::generate(wasm);
        let number = DRAFT.fetch_add(1, Ordering::Relaxed);
        let draft = self
            .drafts
            .join(format!("{}-{}-{number}", checksum.to_hex(), std::process::id()));
        let written = File::create(&draft).and_then(|mut file| {
            file.write_all(wasm)?;
            file.sync_all()?;
            fs::rename(&draft, self.path(&checksum))
        });
        if written.is_err() {
            // Best effort: the failure to be told is the first one.
            let _ = fs::remove_file(&draft);
        }
        written.map(|()| checksum)
    }
}

fn fault(checksum: &Checksum, reason: impl std::fmt::Display) -> NodeFault {
    NodeFault(format!(
        "{}: {reason}; restore the node's wasm folder from a snapshot or by state sync",
        checksum.to_hex()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, WasmFiles) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("state/wasm")).unwrap();
        let files = WasmFiles::new(dir.path(), dir.path().join("drafts")).unwrap();
        (dir, files)
    }

    #[test]
    fn what_was_written_is_read_back_and_no_draft_remains() {
        let (dir, files) = files();
        let checksum = files.write(b"module").unwrap();
        assert_eq!(files.write(b"module").unwrap(), checksum);
        assert_eq!(files.size(&checksum), Ok(6));
        assert_eq!(files.read(&checksum), Ok(b"module".to_vec()));
        assert!(files.holds(&checksum, b"module") && !files.holds(&checksum, b"other"));
        assert_eq!(fs::read_dir(dir.path().join("drafts")).unwrap().count(), 0);
    }

    #[test]
    fn a_file_without_extension_is_found() {
        let (dir, files) = files();
        let checksum = Checksum::generate(b"old");
        fs::write(dir.path().join("state/wasm").join(checksum.to_hex()), b"old").unwrap();
        assert_eq!(files.read(&checksum), Ok(b"old".to_vec()));
    }

    #[test]
    fn a_missing_or_changed_file_is_a_fault_of_the_node() {
        let (dir, files) = files();
        let checksum = Checksum::generate(b"gone");
        assert!(files.size(&checksum).is_err() && files.read(&checksum).is_err() && !files.exists(&checksum));
        let path = dir
            .path()
            .join("state/wasm")
            .join(checksum.to_hex())
            .with_extension("wasm");
        fs::write(path, b"else").unwrap();
        assert_eq!(files.size(&checksum), Ok(4));
        let NodeFault(text) = files.read(&checksum).unwrap_err();
        assert!(
            text.contains("other bytes") && text.contains(&checksum.to_hex()),
            "{text}"
        );
    }
}
