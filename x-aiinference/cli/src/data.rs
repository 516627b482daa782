//! Arrays in files: what `run` reads and writes.

use std::{
    ffi::OsStr,
    fs,
    io::{Cursor, Write},
    path::Path,
};

use aiinference_convert::Dataset;
use anyhow::{bail, Context, Result};
use npyz::WriterBuilder;
use zip::{write::SimpleFileOptions, CompressionMethod, DateTime, ZipWriter};

/// Named arrays from an .npz or .csv file.
pub fn read(path: &Path) -> Result<Dataset> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let data = match path.extension().and_then(OsStr::to_str) {
        Some("npz") => Dataset::from_npz(&bytes),
        Some("csv") => Dataset::from_csv(&bytes),
        _ => bail!("reading {}: the name must end in .npz or .csv", path.display()),
    };
    data.with_context(|| format!("reading {}", path.display()))
}

/// Elements to be written.
pub enum Elements {
    /// Integers of an engine.
    Int32(Vec<i32>),
    /// Whole numbers.
    Int64(Vec<i64>),
    /// Real numbers.
    Float64(Vec<f64>),
}

/// Writes arrays as .npz, all or nothing. Equal arrays give equal files.
pub fn write_npz(path: &Path, arrays: &[(String, Vec<u64>, Elements)]) -> Result<()> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default());
    for (name, shape, elements) in arrays {
        let mut npy = Vec::new();
        match elements {
            Elements::Int32(values) => write_npy(&mut npy, shape, values),
            Elements::Int64(values) => write_npy(&mut npy, shape, values),
            Elements::Float64(values) => write_npy(&mut npy, shape, values),
        }
        .with_context(|| format!("encoding array {name:?}"))?;
        archive.start_file(format!("{name}.npy"), options)?;
        archive.write_all(&npy)?;
    }
    let bytes = archive.finish()?.into_inner();
    write(path, &bytes)
}

fn write_npy<T: npyz::Serialize + npyz::AutoSerialize>(
    out: &mut Vec<u8>,
    shape: &[u64],
    values: &[T],
) -> std::io::Result<()> {
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(shape)
        .writer(out)
        .begin_nd()?;
    writer.extend(values)?;
    writer.finish()
}

/// Writes a file, all or nothing: an interrupted run leaves no half of one.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        // Temporary files are private; results are as readable as any file.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644))?;
        }
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| {
        format!(
            "writing {}; check that its folder exists and can be written",
            path.display()
        )
    })
}
