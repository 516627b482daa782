//! Tells the crate which converter it was built with, so that models kept on disk are never those of another one.

use std::{
    collections::hash_map::DefaultHasher,
    env, fs,
    hash::{Hash, Hasher},
    io,
    path::{Path, PathBuf},
};

/// Everything that decides what the converter writes.
const SOURCES: [&str; 3] = ["vm-ext/convert/src", "vm-ext/engine/src", "x-aiinference/types/src"];

fn main() -> io::Result<()> {
    // Where the sources lie now, which may not be where this script was compiled.
    let here = env::var_os("CARGO_MANIFEST_DIR").ok_or_else(|| io::Error::other("CARGO_MANIFEST_DIR is not set"))?;
    let root = Path::new(&here).join("../..");
    // Same process, same algorithm: good enough to notice a change.
    let mut hasher = DefaultHasher::new();
    for source in SOURCES {
        let folder = root.join(source);
        println!("cargo::rerun-if-changed={}", folder.display());
        let mut files = Vec::new();
        list(&folder, &mut files)?;
        files.sort();
        for file in files {
            fs::read(file)?.hash(&mut hasher);
        }
    }
    println!("cargo::rustc-env=CONVERTER={:016x}", hasher.finish());
    Ok(())
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
