//! The daemon's memory: jobs in an embedded database, so that a crash at any point loses nothing.
//!
//! Every change is one transaction that is on disk when the call returns.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{de::DeserializeOwned, Deserialize, Serialize};

use crate::job::Job;

/// The file in the data folder.
const FILE: &str = "jobs.redb";
/// The version of what is in it.
const FORMAT: u32 = 1;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const JOBS: TableDefinition<u64, &[u8]> = TableDefinition::new("jobs");
const TIMINGS: TableDefinition<&str, &[u8]> = TableDefinition::new("timings");
/// The key of [`Owner`] in META.
const OWNER: &str = "owner";

/// Why something was not remembered.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error("opening {path}: another prover uses it; stop that one, or give this one a data folder of its own", path = .0.display())]
    Locked(PathBuf),
    /// It is the memory of another daemon.
    #[error("opening {path}: it holds jobs of {found}, not of {wanted}; give this prover a data folder of its own", path = .path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// The disk, or the database.
    #[error("{doing} {path}: {reason}; what was remembered before stays", path = .path.display())]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        reason: String,
    },
}

/// Whose jobs these are. Requests of one registry mean nothing to another, and transactions signed by one key nothing to
/// another account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The chain.
    pub chain: String,
    /// The registry's address.
    pub registry: String,
    /// The prover's address.
    pub prover: String,
    /// The version of the records.
    pub format: u32,
}

impl Owner {
    /// The owner of the records that this version writes.
    pub fn new(chain: &str, registry: &str, prover: &str) -> Self {
        Owner {
            chain: chain.into(),
            registry: registry.into(),
            prover: prover.into(),
            format: FORMAT,
        }
    }

    fn shown(&self) -> String {
        let Owner {
            chain,
            registry,
            prover,
            format,
        } = self;
        format!("prover {prover} at registry {registry} on {chain} (format {format})")
    }
}

/// How long proofs of a circuit take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// How many were measured.
    pub proofs: u64,
    /// The longest of late, which fades slowly.
    pub seconds: f64,
}

impl Measured {
    /// With one more proof.
    pub fn and(self, seconds: f64) -> Self {
        Measured {
            proofs: self.proofs.saturating_add(1),
            seconds: seconds.max(self.seconds * 0.9),
        }
    }
}

/// The memory.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    database: Database,
}

impl Store {
    /// The memory in a data folder, made if there is none.
    pub fn open(folder: &Path, owner: &Owner) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        let mut builder = fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed("making the folder of", &path))?;
        let database = Database::create(&path).map_err(|error| open_error(&path, error))?;
        let store = Store { path, database };
        store.claim(owner)?;
        Ok(store)
    }

    /// Makes the tables, and sees whose they are.
    fn claim(&self, owner: &Owner) -> Result<(), StoreError> {
        let doing = "opening";
        let write = self.database.begin_write().map_err(self.failed(doing))?;
        {
            write.open_table(JOBS).map_err(self.failed(doing))?;
            write.open_table(TIMINGS).map_err(self.failed(doing))?;
            let mut meta = write.open_table(META).map_err(self.failed(doing))?;
            let found = meta.get(OWNER).map_err(self.failed(doing))?;
            let found: Option<Owner> = found.map(|bytes| self.read(bytes.value())).transpose()?;
            match found {
                Some(found) if found != *owner => {
                    return Err(StoreError::Other {
                        path: self.path.clone(),
                        found: found.shown(),
                        wanted: owner.shown(),
                    })
                }
                Some(_) => {}
                None => {
                    let bytes = self.bytes(owner)?;
                    meta.insert(OWNER, bytes.as_slice()).map_err(self.failed(doing))?;
                }
            }
        }
        write.commit().map_err(self.failed(doing))
    }

    /// Remembers a job as it is now.
    pub fn put(&self, job: &Job) -> Result<(), StoreError> {
        let doing = "writing a job to";
        let bytes = self.bytes(job)?;
        let write = self.database.begin_write().map_err(self.failed(doing))?;
        {
            let mut jobs = write.open_table(JOBS).map_err(self.failed(doing))?;
            jobs.insert(job.request, bytes.as_slice()).map_err(self.failed(doing))?;
        }
        write.commit().map_err(self.failed(doing))
    }

    /// All jobs, by rising number.
    pub fn jobs(&self) -> Result<Vec<Job>, StoreError> {
        let doing = "reading the jobs of";
        let read = self.database.begin_read().map_err(self.failed(doing))?;
        let table = read.open_table(JOBS).map_err(self.failed(doing))?;
        let mut jobs = Vec::new();
        for entry in table.iter().map_err(self.failed(doing))? {
            let (_, bytes) = entry.map_err(self.failed(doing))?;
            jobs.push(self.read(bytes.value())?);
        }
        Ok(jobs)
    }

    /// Forgets the oldest of the jobs that are over, but for so many; which.
    pub fn prune(&self, keep: usize) -> Result<Vec<u64>, StoreError> {
        let doing = "removing old jobs of";
        let over: Vec<u64> = self
            .jobs()?
            .iter()
            .filter(|job| job.state.is_over())
            .map(|job| job.request)
            .collect();
        let old = &over[..over.len().saturating_sub(keep)];
        if old.is_empty() {
            return Ok(Vec::new());
        }
        let write = self.database.begin_write().map_err(self.failed(doing))?;
        {
            let mut jobs = write.open_table(JOBS).map_err(self.failed(doing))?;
            for request in old {
                jobs.remove(request).map_err(self.failed(doing))?;
            }
        }
        write.commit().map_err(self.failed(doing))?;
        Ok(old.to_vec())
    }

    /// How long proofs of a circuit take on this machine.
    pub fn measured(&self, circuit: &str) -> Result<Measured, StoreError> {
        let doing = "reading the timings of";
        let read = self.database.begin_read().map_err(self.failed(doing))?;
        let table = read.open_table(TIMINGS).map_err(self.failed(doing))?;
        let found = table.get(circuit).map_err(self.failed(doing))?;
        found.map_or(Ok(Measured::default()), |bytes| self.read(bytes.value()))
    }

    /// Remembers how long one more proof took.
    pub fn measure(&self, circuit: &str, seconds: f64) -> Result<Measured, StoreError> {
        let doing = "writing timings to";
        let now = self.measured(circuit)?.and(seconds);
        let bytes = self.bytes(&now)?;
        let write = self.database.begin_write().map_err(self.failed(doing))?;
        {
            let mut table = write.open_table(TIMINGS).map_err(self.failed(doing))?;
            table.insert(circuit, bytes.as_slice()).map_err(self.failed(doing))?;
        }
        write.commit().map_err(self.failed(doing))?;
        Ok(now)
    }

    fn bytes<T: Serialize>(&self, record: &T) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(record).map_err(self.failed("writing a record of"))
    }

    fn read<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, StoreError> {
        serde_json::from_slice(bytes).map_err(self.failed("reading a record of"))
    }

    fn failed<E: std::fmt::Display>(&self, doing: &'static str) -> impl Fn(E) -> StoreError + '_ {
        failed(doing, &self.path)
    }
}

fn failed<'a, E: std::fmt::Display>(doing: &'static str, path: &'a Path) -> impl Fn(E) -> StoreError + 'a {
    move |error| StoreError::Failed {
        doing,
        path: path.into(),
        reason: error.to_string(),
    }
}

fn open_error(path: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::Locked(path.into()),
        error => failed("opening", path)(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Answer, Sent, State};

    fn owner() -> Owner {
        Owner::new("test-1", "registry", "prover")
    }

    fn job(request: u64, state: State) -> Job {
        let mut job = Job::new(request, "ab", "5stake".into());
        job.state = state;
        job
    }

    #[test]
    fn every_state_of_a_job_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let states = [
            State::Taking,
            State::Taken,
            State::Proving,
            State::Proven,
            State::Submitting,
            State::Done,
            State::Lost,
            State::Failed,
        ];
        let mut want = Vec::new();
        for (request, state) in (1..).zip(states) {
            let mut job = job(request, state);
            job.seconds = Some(1.5);
            job.sent = Some(Sent {
                hash: "AB".into(),
                sequence: 3,
                bytes: vec![0, 255, 7].into(),
                at: 9,
            });
            job.answer = Some(Answer {
                outputs: vec![vec![5, 250].into()],
                proof: (0..=255).collect::<Vec<u8>>().into(),
            });
            // Opened anew for each: the process ends between any two steps.
            let store = Store::open(folder.path(), &owner()).unwrap();
            store.put(&job).unwrap();
            want.push(job);
        }
        let store = Store::open(folder.path(), &owner()).unwrap();
        assert_eq!(store.jobs().unwrap(), want);
        // The last word counts.
        let mut last = want[2].clone();
        last.end(State::Failed, Some("why".into()));
        store.put(&last).unwrap();
        assert_eq!(store.jobs().unwrap()[2], last);
        assert!(last.answer.is_none() && last.sent.is_none());
    }

    #[test]
    fn one_process_at_a_time_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Store::open(folder.path(), &owner()).unwrap();
        let second = Store::open(folder.path(), &owner()).unwrap_err();
        assert!(matches!(second, StoreError::Locked(_)), "{second}");
    }

    #[test]
    fn the_jobs_of_another_key_registry_or_chain_are_not_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        Store::open(folder.path(), &owner()).unwrap();
        for other in [
            Owner::new("test-2", "registry", "prover"),
            Owner::new("test-1", "other", "prover"),
            Owner::new("test-1", "registry", "other"),
        ] {
            let error = Store::open(folder.path(), &other).unwrap_err();
            assert!(matches!(error, StoreError::Other { .. }), "{error}");
        }
        Store::open(folder.path(), &owner()).unwrap();
    }

    #[test]
    fn old_jobs_go_and_open_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &owner()).unwrap();
        store.put(&job(1, State::Proven)).unwrap();
        for request in 2..12 {
            store.put(&job(request, State::Done)).unwrap();
        }
        assert_eq!(store.prune(10).unwrap(), [0; 0]);
        assert_eq!(store.prune(7).unwrap(), [2, 3, 4]);
        let left: Vec<u64> = store.jobs().unwrap().iter().map(|job| job.request).collect();
        assert_eq!(left, [1, 5, 6, 7, 8, 9, 10, 11]);
    }

    #[test]
    fn the_time_of_a_proof_is_the_longest_of_late() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &owner()).unwrap();
        assert_eq!(store.measured("ab").unwrap(), Measured::default());
        store.measure("ab", 2.0).unwrap();
        assert_eq!(store.measure("ab", 1.0).unwrap().seconds, 1.8);
        assert_eq!(store.measure("ab", 5.0).unwrap().seconds, 5.0);
        assert_eq!(store.measured("cd").unwrap().proofs, 0);
        drop(store);
        let again = Store::open(folder.path(), &owner()).unwrap();
        assert_eq!(again.measured("ab").unwrap().proofs, 3);
    }

    #[test]
    fn a_file_that_is_no_database_is_an_error_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::write(&path, b"something else that somebody keeps here").unwrap();
        let error = Store::open(folder.path(), &owner()).unwrap_err();
        assert!(matches!(error, StoreError::Failed { .. }), "{error}");
        assert!(fs::read(&path).unwrap().starts_with(b"something else"));
    }
}
