//! The memory of jobs under SIGKILL.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use aiinference_prover::{
    job::{Answer, Job, State},
    store::{Owner, Store},
};

const FOLDER: &str = "PROVER_TEST_FOLDER";

fn owner() -> Owner {
    Owner::new("test-1", "registry", "prover")
}

fn job(request: u64) -> Job {
    let mut job = Job::new(request, "ab", "1stake".into());
    job.state = State::Proven;
    job.answer = Some(Answer {
        outputs: vec![vec![request as u8; 40].into()],
        proof: vec![request as u8; 4000].into(),
    });
    job
}

/// Not a test of its own: what the test below starts and kills. It says each number once its job is written.
#[test]
fn writes_until_it_is_killed() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let store = Store::open(Path::new(&folder), &owner()).unwrap();
    for request in store.jobs().unwrap().len() as u64.. {
        store.put(&job(request)).unwrap();
        println!("\nwritten {request}");
    }
}

#[test]
fn a_process_killed_while_it_writes_has_lost_nothing_that_it_said_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = None;
    for lines in [1, 2, 5, 11, 3] {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "writes_until_it_is_killed", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let written = said.map_while(Result::ok).filter_map(|line| {
            let number = line.strip_prefix("written ")?;
            number.parse::<u64>().ok()
        });
        let reached = written.take(lines).last().expect("it writes");
        // It is in the middle of the next one, or just after.
        child.kill().unwrap();
        child.wait().unwrap();
        let store = Store::open(folder.path(), &owner()).unwrap();
        let jobs = store.jobs().unwrap();
        assert!(jobs.len() as u64 > reached, "{} of {reached}", jobs.len());
        for (request, found) in (0..).zip(jobs) {
            assert_eq!(found, job(request));
        }
        assert!(last.is_none_or(|last| reached > last), "it goes on where it was");
        last = Some(reached);
    }
}
