//! The nodes' logs, shown and followed.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{IoContext, Result};
use crate::plan::NodePlan;
use crate::process::tail;

const POLL: Duration = Duration::from_millis(250);

/// Writes the last lines of each log, and, when following, what comes after, until the writer fails or the program is ended.
pub async fn show(nodes: &[NodePlan], lines: usize, follow: bool, out: &mut impl Write) -> Result<()> {
    let mut logs: Vec<Log> = nodes.iter().map(|node| Log::new(node, nodes.len() > 1)).collect();
    let written = |result: io::Result<()>| result.context("writing", "the standard output");
    for log in &mut logs {
        let text = match tail(&log.path, lines) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other.context("reading", &log.path)?,
        };
        log.position = fs::metadata(&log.path).map(|found| found.len()).unwrap_or_default();
        written(log.write(&text, out))?;
    }
    if !follow {
        return Ok(());
    }
    loop {
        for log in &mut logs {
            let text = log.grown().context("reading", &log.path)?;
            written(log.write(&text, out))?;
        }
        written(out.flush())?;
        tokio::time::sleep(POLL).await;
    }
}

struct Log {
    path: PathBuf,
    position: u64,
    /// Stands before each line where several logs are shown.
    prefix: String,
    /// The beginning of a line whose end is not yet there.
    part: Vec<u8>,
}

impl Log {
    fn new(node: &NodePlan, named: bool) -> Self {
        let prefix = if named {
            format!("{}: ", node.name)
        } else {
            String::new()
        };
        Self {
            path: node.log_file.clone(),
            position: 0,
            prefix,
            part: Vec::new(),
        }
    }

    fn write(&self, text: &str, out: &mut impl Write) -> io::Result<()> {
        text.lines().try_for_each(|line| writeln!(out, "{}{line}", self.prefix))
    }

    /// The whole lines that were added since it was last read. A log that became shorter was begun anew.
    fn grown(&mut self) -> io::Result<String> {
        const CHUNK: u64 = 1 << 20;
        let mut file = match fs::File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            other => other?,
        };
        if file.metadata()?.len() < self.position {
            self.position = 0;
            self.part.clear();
        }
        file.seek(SeekFrom::Start(self.position))?;
        self.position += file.take(CHUNK).read_to_end(&mut self.part)? as u64;
        let whole = self
            .part
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.part.drain(..whole).collect();
        Ok(String::from_utf8_lossy(&lines).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_followed_log_gives_whole_lines_and_starts_over_when_the_file_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Log {
            path: path.clone(),
            position: 0,
            prefix: String::new(),
            part: Vec::new(),
        };
        assert_eq!(log.grown().unwrap(), "");
        fs::write(&path, "one\ntw").unwrap();
        assert_eq!(log.grown().unwrap(), "one\n");
        fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(log.grown().unwrap(), "two\n");
        fs::write(&path, "new\n").unwrap();
        assert_eq!(log.grown().unwrap(), "new\n");
    }
}
