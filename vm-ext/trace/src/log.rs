//! The file: appended line by line, moved aside at a size, read with a limit on each line.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use crate::Record;

/// Longest line read: the largest request and the largest answer in base64, and room for the rest.
const MAX_LINE_BYTES: u64 = 4 << 20;

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be read.
    #[error("reading the trace {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// A line is too long.
    #[error("reading the trace {path}: line {line} is longer than {max} bytes", max = MAX_LINE_BYTES)]
    TooLong {
        /// The file.
        path: String,
        /// Its line, from 1.
        line: usize,
    },
    /// A line is no record.
    #[error("reading the trace {path}: line {line} is no record: {source}; was it written by another version?")]
    Malformed {
        /// The file.
        path: String,
        /// Its line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Appends records to a file. At a size, the file is moved to `FILE.1`, over an older one, and a new one is begun: a trace
/// takes at most twice that size.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
}

impl Writer {
    /// Opens a file, or goes on with it.
    pub fn open(path: &Path, max_bytes: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Writer {
            path: path.to_path_buf(),
            file,
            bytes,
            max_bytes,
        })
    }

    /// Writes one line, whole: a record is in the file when this returns.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        if self.bytes > 0 && self.bytes.saturating_add(line.len() as u64) > self.max_bytes {
            let mut aside = self.path.clone().into_os_string();
            aside.push(".1");
            fs::rename(&self.path, aside)?;
            *self = Writer::open(&self.path, self.max_bytes)?;
        }
        self.file.write_all(&line)?;
        self.bytes = self.bytes.saturating_add(line.len() as u64);
        Ok(())
    }
}

/// The records of a log, one by one. A last line without an end, as a killed node leaves, is left out.
pub fn read(path: &Path) -> Result<impl Iterator<Item = Result<Record, LogError>>, LogError> {
    let shown = path.display().to_string();
    let io_error = {
        let path = shown.clone();
        move |source| LogError::Io {
            path: path.clone(),
            source,
        }
    };
    let mut reader = BufReader::new(File::open(path).map_err(&io_error)?);
    let mut line = 0;
    let mut ended = false;
    Ok(std::iter::from_fn(move || {
        if ended {
            return None;
        }
        line += 1;
        let mut bytes = Vec::new();
        let result = reader.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut bytes);
        let record = match result {
            Err(error) => Err(io_error(error)),
            Ok(_) if bytes.len() as u64 > MAX_LINE_BYTES => Err(LogError::TooLong {
                path: shown.clone(),
                line,
            }),
            Ok(_) if bytes.last() != Some(&b'\n') => {
                ended = true;
                return None;
            }
            Ok(_) => serde_json::from_slice(&bytes).map_err(|source| LogError::Malformed {
                path: shown.clone(),
                line,
                source,
            }),
        };
        ended = record.is_err();
        Some(record)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Asked, Outcome, Position, Said};

    fn record(height: u64) -> Record {
        Record {
            position: Position {
                height,
                transaction: Some(3),
                contract: "wasm1contract".into(),
                entry_point: "execute".into(),
            },
            caller: [7; 32],
            request: b"\0aiinf\0\x01body".to_vec(),
            gas_left: u64::MAX,
            asked: vec![
                Asked {
                    code_id: 4,
                    said: Said::Checksum([9; 32]),
                    gas: 5,
                },
                Asked {
                    code_id: 5,
                    said: Said::Failed("no".into()),
                    gas: 6,
                },
            ],
            outcome: Outcome::Done {
                response: vec![1, 2, 255],
                gas: 10,
                external: 11,
            },
            kernels: "avx2".into(),
            version: "test".into(),
        }
    }

    #[test]
    fn records_come_back_as_they_were_written_and_a_log_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace.jsonl");
        for half in [0..3, 3..5] {
            let mut writer = Writer::open(&path, 1 << 20).unwrap();
            for height in half {
                writer.write(&record(height)).unwrap();
            }
        }
        let back: Vec<_> = read(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(back, (0..5).map(record).collect::<Vec<_>>());
    }

    #[test]
    fn a_full_log_is_moved_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace.jsonl");
        let line = serde_json::to_vec(&record(0)).unwrap().len() as u64 + 1;
        let mut writer = Writer::open(&path, 2 * line).unwrap();
        for height in 0..5 {
            writer.write(&record(height)).unwrap();
        }
        let heights = |path: &Path| -> Vec<u64> {
            let records = read(path).unwrap();
            records.map(|record| record.unwrap().position.height).collect()
        };
        assert_eq!(heights(&path), [4]);
        assert_eq!(heights(&dir.path().join("trace.jsonl.1")), [2, 3]);
    }

    #[test]
    fn what_is_cut_short_is_left_out_and_what_is_broken_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace.jsonl");
        Writer::open(&path, 1 << 20).unwrap().write(&record(1)).unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], &whole[..whole.len() - 1]].concat()).unwrap();
        assert_eq!(read(&path).unwrap().count(), 1);
        fs::write(&path, [&whole[..], b"{}\n"].concat()).unwrap();
        let last = read(&path).unwrap().last().unwrap();
        assert!(matches!(last, Err(LogError::Malformed { line: 2, .. })), "{last:?}");
        fs::write(&path, vec![b'a'; MAX_LINE_BYTES as usize + 2]).unwrap();
        let last = read(&path).unwrap().last().unwrap();
        assert!(matches!(last, Err(LogError::TooLong { line: 1, .. })), "{last:?}");
    }
}
