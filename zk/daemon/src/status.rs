//! What `aiinference prover status` shows. A running prover has its memory for itself, so that it writes down beside it how
//! things stand.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{ProverError, Result},
    job::Job,
    wallet::now,
};

/// The file in the data folder.
const FILE: &str = "status.json";
/// Bytes of the largest one that is read.
const MAX_FILE: u64 = 16 << 20;

/// How things stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The prover's address.
    pub prover: String,
    /// When this was written: seconds since 1970.
    pub written: u64,
    /// All jobs, by rising number.
    pub jobs: Vec<Line>,
}

/// A job without what is large.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The request's number.
    pub request: u64,
    /// How far it is.
    pub state: crate::job::State,
    /// SHA-256 of the circuit's module, as hex.
    pub circuit: String,
    /// What the requester pays.
    pub fee: String,
    /// When the window ends: seconds since 1970.
    pub until: u64,
    /// Proofs begun.
    pub attempts: u32,
    /// Seconds that the proof took.
    pub seconds: Option<f64>,
    /// The transaction under way, or the one that ended it.
    pub transaction: Option<String>,
    /// What went wrong last.
    pub error: Option<String>,
    /// The last change: seconds since 1970.
    pub changed: u64,
}

impl Line {
    fn of(job: &Job) -> Self {
        let under_way = job.sent.as_ref().map(|sent| sent.hash.clone());
        Line {
            request: job.request,
            state: job.state,
            circuit: job.circuit.clone(),
            fee: job.fee.clone(),
            until: job.until,
            attempts: job.attempts,
            seconds: job.seconds,
            transaction: under_way.or_else(|| job.transaction.clone()),
            error: job.error.clone(),
            changed: job.changed,
        }
    }
}

impl Snapshot {
    /// Of these jobs, now.
    pub fn of<'a>(prover: &str, jobs: impl Iterator<Item = &'a Job>) -> Self {
        Snapshot {
            prover: prover.into(),
            written: now(),
            jobs: jobs.map(Line::of).collect(),
        }
    }

    /// Writes it to a data folder; whoever reads meanwhile sees the old one or the new one.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let failed = |reason: String| error("writing", &path, reason);
        let text = serde_json::to_vec(self).map_err(|error| failed(error.to_string()))?;
        let new = folder.join(format!("{FILE}.new"));
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
        written.map_err(|error| failed(error.to_string()))
    }

    /// What was written last; None if nothing was.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let failed = |reason: String| error("reading", &path, reason);
        match fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
            Ok(facts) if facts.len() > MAX_FILE => return Err(failed(format!("it is above {MAX_FILE} bytes"))),
            Ok(_) => {}
        }
        let text = fs::read(&path).map_err(|error| failed(error.to_string()))?;
        let read = serde_json::from_slice(&text);
        read.map(Some).map_err(|error| failed(error.to_string()))
    }
}

fn error(doing: &'static str, path: &Path, reason: String) -> ProverError {
    ProverError::File {
        doing,
        path: PathBuf::from(path),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Sent, State};

    #[test]
    fn what_was_written_last_is_read_without_proofs_or_transactions() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Snapshot::read(folder.path()).unwrap(), None);
        let mut job = Job::new(3, "ab", "5stake".into());
        job.state = State::Submitting;
        job.sent = Some(Sent {
            hash: "CD".into(),
            sequence: 1,
            bytes: b"signed by the key".into(),
            at: 1,
        });
        Snapshot::of("me", [job.clone()].iter()).write(folder.path()).unwrap();
        job.end(State::Done, None);
        let last = Snapshot::of("me", [job].iter());
        last.write(folder.path()).unwrap();
        let read = Snapshot::read(folder.path()).unwrap().unwrap();
        assert_eq!(read, last);
        assert_eq!(read.jobs[0].state, State::Done);
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(Snapshot::read(folder.path()).is_err());
    }
}
