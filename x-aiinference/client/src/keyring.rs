//! Keys as files, one a key, that only their owner may read.

use std::{
    env, fs,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::key::{Key, KeyError};

/// Bytes of the longest secret that is read: 24 words, with room for spaces.
const MAX_SECRET: u64 = 4096;

/// How the file of a key ends.
const EXTENSION: &str = "key";

/// Why a key could not be read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    #[error("finding the keys folder: neither XDG_DATA_HOME nor HOME is set; name a folder with --keys")]
    NoHome,
    #[error("naming a key: {0:?} is no name; take 1 to 64 of a-z, A-Z, 0-9, - and _")]
    Name(String),
    #[error("adding key {0}: there is one of that name; delete it first, or take another name")]
    Exists(String),
    #[error("looking for key {name}: there is none in {}; `aiinference keys list` shows which there are", .folder.display())]
    Unknown { name: String, folder: PathBuf },
    #[error("reading {}: others may read it (mode {mode:o}); run: chmod 600 {}", .path.display(), .path.display())]
    Readable { path: PathBuf, mode: u32 },
    #[error("reading {}: it is no file with a secret", .0.display())]
    NotASecret(PathBuf),
    #[error("reading {}: {source}", .path.display())]
    Key { path: PathBuf, source: KeyError },
    #[error("{doing} {}: {source}", .path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// A folder of keys.
#[derive(Clone, Debug)]
pub struct Keyring {
    folder: PathBuf,
}

impl Keyring {
    /// The keys in a folder, which need not exist yet.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Keyring { folder: folder.into() }
    }

    /// The user's keys: `aiinference/keys` in the folder for data (`XDG_DATA_HOME`, or else `~/.local/share`).
    pub fn default_folder() -> Result<PathBuf, KeyringError> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
        Ok(data.ok_or(KeyringError::NoHome)?.join("aiinference/keys"))
    }

    /// Whether a key could be added under this name: it is one, and none is there.
    pub fn check_new(&self, name: &str) -> Result<(), KeyringError> {
        match self.path(name)?.exists() {
            true => Err(KeyringError::Exists(name.into())),
            false => Ok(()),
        }
    }

    /// Keeps a key under a new name.
    pub fn add(&self, name: &str, key: &Key) -> Result<PathBuf, KeyringError> {
        let path = self.path(name)?;
        match write_secret(&path, key.to_line().as_bytes()) {
            Err(KeyringError::File { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                Err(KeyringError::Exists(name.into()))
            }
            done => done.map(|()| path),
        }
    }

    /// The key of a name.
    pub fn get(&self, name: &str) -> Result<Key, KeyringError> {
        let path = self.path(name)?;
        if !path.exists() {
            return Err(KeyringError::Unknown {
                name: name.into(),
                folder: self.folder.clone(),
            });
        }
        let text = read_secret(&path)?;
        Key::from_hex(&text).map_err(|source| KeyringError::Key { path, source })
    }

    /// The names of all keys, sorted.
    pub fn names(&self) -> Result<Vec<String>, KeyringError> {
        let failed = |source| KeyringError::File {
            doing: "reading",
            path: self.folder.clone(),
            source,
        };
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                names.extend(path.file_stem().and_then(|stem| stem.to_str()).map(String::from));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Removes a key for good.
    pub fn delete(&self, name: &str) -> Result<(), KeyringError> {
        let path = self.path(name)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(KeyringError::Unknown {
                name: name.into(),
                folder: self.folder.clone(),
            }),
            done => done.map_err(|source| KeyringError::File {
                doing: "deleting",
                path,
                source,
            }),
        }
    }

    fn path(&self, name: &str) -> Result<PathBuf, KeyringError> {
        let good = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !good {
            return Err(KeyringError::Name(crate::error::printable(name)));
        }
        Ok(self.folder.join(format!("{name}.{EXTENSION}")))
    }
}

/// The text of a file that nobody but its owner may read.
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, KeyringError> {
    let failed = |source| KeyringError::File {
        doing: "reading",
        path: path.into(),
        source,
    };
    let file = fs::File::open(path).map_err(failed)?;
    let facts = file.metadata().map_err(failed)?;
    if !facts.is_file() || facts.len() > MAX_SECRET {
        return Err(KeyringError::NotASecret(path.into()));
    }
    let mode = facts.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyringError::Readable {
            path: path.into(),
            mode,
        });
    }
    read_text(file)
        .map_err(failed)?
        .ok_or_else(|| KeyringError::NotASecret(path.into()))
}

/// A secret from a pipe; None if it is no text, or more than any secret.
pub fn read_text(from: impl Read) -> io::Result<Option<Zeroizing<String>>> {
    // Room for all of it at once, so that no half of a secret stays behind in memory that was given back.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SECRET as usize + 1));
    from.take(MAX_SECRET + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_SECRET {
        return Ok(None);
    }
    Ok(std::str::from_utf8(&bytes)
        .ok()
        .map(|text| Zeroizing::new(text.to_string())))
}

/// Writes a new file of mode 0600, and its folder with mode 0700; never over a file that is there.
pub fn write_secret(path: &Path, secret: &[u8]) -> Result<(), KeyringError> {
    let failed = |source| KeyringError::File {
        doing: "writing",
        path: path.into(),
        source,
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    file.write_all(secret).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: &str) -> Key {
        Key::from_hex(&digit.repeat(64)).unwrap()
    }

    #[test]
    fn keys_are_kept_listed_found_and_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let ring = Keyring::at(folder.path().join("keys"));
        assert!(ring.names().unwrap().is_empty());
        ring.add("bob", &key("2")).unwrap();
        let path = ring.add("alice", &key("1")).unwrap();
        assert_eq!(ring.names().unwrap(), ["alice", "bob"]);
        assert_eq!(ring.get("alice").unwrap().public_key(), key("1").public_key());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert!(matches!(ring.add("alice", &key("3")), Err(KeyringError::Exists(_))));
        assert_eq!(ring.get("alice").unwrap().public_key(), key("1").public_key());
        ring.delete("alice").unwrap();
        assert!(matches!(ring.get("alice"), Err(KeyringError::Unknown { .. })));
        assert!(matches!(ring.delete("alice"), Err(KeyringError::Unknown { .. })));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let ring = Keyring::at(folder.path());
        let path = ring.add("alice", &key("1")).unwrap();
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = ring.get("alice").unwrap_err();
            assert!(error.to_string().contains("chmod 600"), "{error}");
            assert!(!error.to_string().contains("1111"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        ring.get("alice").unwrap();
    }

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        let ring = Keyring::at("/nowhere");
        for name in ["", "../alice", "a/b", "a.b", "ä", &"a".repeat(65)] {
            assert!(matches!(ring.get(name), Err(KeyringError::Name(_))), "{name}");
        }
    }

    #[test]
    fn files_that_hold_no_secret_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big");
        write_secret(&path, &[b'a'; MAX_SECRET as usize + 1]).unwrap();
        assert!(matches!(read_secret(&path), Err(KeyringError::NotASecret(_))));
        assert!(matches!(read_secret(folder.path()), Err(KeyringError::NotASecret(_))));
        let path = folder.path().join("binary");
        write_secret(&path, &[0xff; 10]).unwrap();
        assert!(matches!(read_secret(&path), Err(KeyringError::NotASecret(_))));
        assert!(read_text(&[b'1'; MAX_SECRET as usize + 1][..]).unwrap().is_none());
    }
}
