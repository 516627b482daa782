//! The file: appended line by line, moved aside at a size, read with a limit on each line.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
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
    /// Opens a file, or goes on with it. A last line that a killed node left without its end is taken away.
    pub fn open(path: &Path, max_bytes: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let bytes = whole_lines(&mut file)?;
        if bytes < file.metadata()?.len() {
            file.set_len(bytes)?;
        }
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
            fs::rename(&self.path, aside(&self.path))?;
            *self = Writer::open(&self.path, self.max_bytes)?;
        }
        self.file.write_all(&line)?;
        self.bytes = self.bytes.saturating_add(line.len() as u64);
        Ok(())
    }
}

/// Where a full log is moved.
fn aside(path: &Path) -> PathBuf {
    let mut aside = path.to_path_buf().into_os_string();
    aside.push(".1");
    aside.into()
}

/// The length of a file up to the end of its last whole line.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    const BLOCK: usize = 64 << 10;
    let mut end = file.metadata()?.len();
    let mut block = vec![0; BLOCK];
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let held = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(held)?;
        if let Some(at) = held.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// The records of a log, one by one, in the order in which they were written: those of `FILE.1`, where a full log was
/// moved, come before those of `FILE`. A last line without an end, as a killed node leaves, is left out. After an error
/// there is nothing more.
#[derive(Debug)]
pub struct Reader {
    files: VecDeque<(PathBuf, BufReader<File>)>,
    line: usize,
    bytes_read: u64,
    bytes: u64,
}

impl Reader {
    /// Opens a log.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let mut reader = Reader {
            files: VecDeque::new(),
            line: 0,
            bytes_read: 0,
            bytes: 0,
        };
        let older = aside(path);
        if older.is_file() {
            reader.add(older)?;
        }
        reader.add(path.to_path_buf())?;
        Ok(reader)
    }

    fn add(&mut self, path: PathBuf) -> Result<(), LogError> {
        let open = || {
            let file = File::open(&path)?;
            let bytes = file.metadata()?.len();
            Ok((file, bytes))
        };
        let (file, bytes) = open().map_err(|source| io_error(&path, source))?;
        self.bytes = self.bytes.saturating_add(bytes);
        self.files.push_back((path, BufReader::new(file)));
        Ok(())
    }

    /// Bytes of the log when it was opened.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that have been read of it.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The next line, without its end; none at the end of all files.
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, LogError> {
        while let Some((path, reader)) = self.files.front_mut() {
            let mut bytes = Vec::new();
            let read = reader.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut bytes);
            read.map_err(|source| io_error(path, source))?;
            self.bytes_read = self.bytes_read.saturating_add(bytes.len() as u64);
            self.line += 1;
            if bytes.len() as u64 > MAX_LINE_BYTES {
                return Err(LogError::TooLong {
                    path: path.display().to_string(),
                    line: self.line,
                });
            }
            if bytes.pop() == Some(b'\n') {
                return Ok(Some(bytes));
            }
            self.files.pop_front();
            self.line = 0;
        }
        Ok(None)
    }

    fn parse(&self, line: &[u8]) -> Result<Record, LogError> {
        serde_json::from_slice(line).map_err(|source| LogError::Malformed {
            path: self
                .files
                .front()
                .map(|(path, _)| path.display().to_string())
                .unwrap_or_default(),
            line: self.line,
            source,
        })
    }
}

impl Iterator for Reader {
    type Item = Result<Record, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.next_line().transpose()?;
        let record = line.and_then(|line| self.parse(&line));
        if record.is_err() {
            self.files.clear();
        }
        Some(record)
    }
}

fn io_error(path: &Path, source: io::Error) -> LogError {
    LogError::Io {
        path: path.display().to_string(),
        source,
    }
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
        let back: Vec<_> = Reader::open(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(back, (0..5).map(record).collect::<Vec<_>>());
    }

    #[test]
    fn a_full_log_is_moved_aside_and_read_before_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace.jsonl");
        let line = serde_json::to_vec(&record(0)).unwrap().len() as u64 + 1;
        let mut writer = Writer::open(&path, 2 * line).unwrap();
        for height in 0..5 {
            writer.write(&record(height)).unwrap();
        }
        let heights = |path: &Path| -> Vec<u64> {
            let records = Reader::open(path).unwrap();
            records.map(|record| record.unwrap().position.height).collect()
        };
        assert_eq!(heights(&path), [2, 3, 4]);
        assert_eq!(heights(&dir.path().join("trace.jsonl.1")), [2, 3]);
        let mut reader = Reader::open(&path).unwrap();
        assert_eq!((reader.bytes_read(), reader.bytes()), (0, 3 * line));
        assert_eq!(reader.by_ref().count(), 3);
        assert_eq!(reader.bytes_read(), 3 * line);
    }

    #[test]
    fn what_is_cut_short_is_left_out_and_what_is_broken_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace.jsonl");
        Writer::open(&path, 1 << 20).unwrap().write(&record(1)).unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], &whole[..whole.len() - 1]].concat()).unwrap();
        assert_eq!(Reader::open(&path).unwrap().count(), 1);
        // Whoever goes on with it leaves no half line in the middle.
        Writer::open(&path, 1 << 20).unwrap().write(&record(2)).unwrap();
        let back = Reader::open(&path)
            .unwrap()
            .map(|record| record.unwrap().position.height);
        assert_eq!(back.collect::<Vec<_>>(), [1, 2]);
        fs::write(&path, [&whole[..], b"{}\n"].concat()).unwrap();
        let last = Reader::open(&path).unwrap().last().unwrap();
        assert!(matches!(last, Err(LogError::Malformed { line: 2, .. })), "{last:?}");
        fs::write(&path, vec![b'a'; MAX_LINE_BYTES as usize + 2]).unwrap();
        let last = Reader::open(&path).unwrap().last().unwrap();
        assert!(matches!(last, Err(LogError::TooLong { line: 1, .. })), "{last:?}");
    }
}
