//! Inputs that a request names by their hash, where this prover is the one that holds them.

use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use aiinference_zk::Opening;

use crate::rules::Leave;

/// Bytes of the largest file that is read.
const MAX_FILE: u64 = 4 << 20;

/// A folder with a file for each input: its salted hash as 64 hexadecimal digits and `.json`, holding what
/// `aiinference prove commit` writes.
#[derive(Clone, Debug, Default)]
pub struct PrivateInputs {
    folder: Option<PathBuf>,
}

impl PrivateInputs {
    /// The ones in a folder, if there is one.
    pub fn new(folder: Option<PathBuf>) -> Self {
        PrivateInputs { folder }
    }

    /// The input of a hash, with its salt.
    pub fn find(&self, hash: &[u8]) -> Result<Opening, Leave> {
        let folder = self.folder.as_deref().ok_or(Leave::Hidden)?;
        // Another length is no hash, and no name for a file.
        let hash: [u8; 32] = hash.try_into().map_err(|_| Leave::Hidden)?;
        let path = folder.join(format!("{}.json", hex::encode(hash)));
        let opening = read(&path)?.ok_or(Leave::Hidden)?;
        let found = opening.hash().map_err(|error| Leave::Input(error.to_string()))?;
        if found != hash {
            let reason = format!("{} holds the input of another hash", path.display());
            return Err(Leave::Input(reason));
        }
        Ok(opening)
    }
}

fn read(path: &Path) -> Result<Option<Opening>, Leave> {
    let wrong = |reason: String| Leave::Input(format!("reading {}: {reason}", path.display()));
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
        Ok(file) => file,
    };
    let facts = file.metadata().map_err(|error| wrong(error.to_string()))?;
    if facts.permissions().mode() & 0o077 != 0 {
        return Err(wrong("others may read it; run chmod 600".into()));
    }
    let mut text = Vec::new();
    file.take(MAX_FILE + 1)
        .read_to_end(&mut text)
        .map_err(|error| wrong(error.to_string()))?;
    if text.len() as u64 > MAX_FILE {
        return Err(wrong(format!("it is above {MAX_FILE} bytes")));
    }
    // What serde says could quote the input.
    let opening = serde_json::from_slice(&text);
    opening
        .map(Some)
        .map_err(|_| wrong("it is no input with its salt, as JSON".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(folder: &Path, name: &str, opening: &Opening, mode: u32) {
        let path = folder.join(name);
        fs::write(&path, serde_json::to_vec(opening).unwrap()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn an_input_is_found_by_its_hash_alone() {
        let folder = tempfile::tempdir().unwrap();
        let inputs = PrivateInputs::new(Some(folder.path().into()));
        let opening = Opening::new(vec![vec![1, -2, 3]]).unwrap();
        let hash = opening.hash().unwrap();
        assert_eq!(inputs.find(&hash).unwrap_err(), Leave::Hidden);
        assert_eq!(inputs.find(b"../../etc/passwd").unwrap_err(), Leave::Hidden);
        let name = format!("{}.json", hex::encode(hash));
        keep(folder.path(), &name, &opening, 0o600);
        assert!(inputs.find(&hash).unwrap() == opening);
        assert_eq!(PrivateInputs::default().find(&hash).unwrap_err(), Leave::Hidden);
        // A file under the name of another hash is not taken for it.
        let other = Opening::new(vec![vec![4]]).unwrap();
        let name = format!("{}.json", hex::encode(other.hash().unwrap()));
        keep(folder.path(), &name, &opening, 0o600);
        assert_eq!(inputs.find(&other.hash().unwrap()).unwrap_err().name(), "input");
    }

    #[test]
    fn files_that_others_may_read_or_that_hold_something_else_are_not_used_nor_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let inputs = PrivateInputs::new(Some(folder.path().into()));
        let opening = Opening::new(vec![vec![98765]]).unwrap();
        let hash = opening.hash().unwrap();
        let name = format!("{}.json", hex::encode(hash));
        keep(folder.path(), &name, &opening, 0o644);
        let error = inputs.find(&hash).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        let path = folder.path().join(&name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "{\"inputs\":\"98765\"}").unwrap();
        let error = inputs.find(&hash).unwrap_err().to_string();
        assert!(error.contains("no input") && !error.contains("\"inputs\""), "{error}");
    }
}
