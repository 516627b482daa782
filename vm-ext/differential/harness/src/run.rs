//! A whole run: tasks that lanes take one after the other.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Mutex;
use std::thread;

use aiinference_differential::Kind;

use crate::compare::{Difference, Lane};
use crate::platform::Failure;

/// Differences that are looked into before a run gives up.
const MOST: usize = 20;

/// Seeds that are compared together.
#[derive(Clone)]
pub struct Task {
    /// What they are called.
    pub name: String,
    /// What they stand for.
    pub kind: Kind,
    /// The first.
    pub first: u64,
    /// How many.
    pub count: u64,
}

impl Task {
    /// So many seeds, as tasks of `each`.
    pub fn all(name: &str, kind: &Kind, first: u64, count: u64, each: u64) -> Vec<Self> {
        let starts = (0..count).step_by(each.max(1) as usize);
        let task = |start| Task {
            name: name.into(),
            kind: kind.clone(),
            first: first + start,
            count: each.min(count - start),
        };
        starts.map(task).collect()
    }
}

/// A difference, and the task that met it.
#[derive(Clone)]
pub struct Found {
    /// The task's name.
    pub name: String,
    /// What the seed stands for.
    pub kind: Kind,
    /// What differs.
    pub difference: Difference,
}

/// Works through all tasks. `finished` is told how many from the first on are done; a run can go on from there.
pub fn run(
    tasks: &[Task],
    lanes: usize,
    make: impl Fn() -> Result<Lane, Failure> + Sync,
    finished: impl Fn(usize) + Sync,
) -> Result<Vec<Found>, Failure> {
    let next = AtomicUsize::new(0);
    let enough = AtomicBool::new(false);
    let found = Mutex::new(Vec::<Found>::new());
    let done = Mutex::new(BTreeSet::new());
    let work = || {
        let mut lane = make()?;
        while !enough.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = tasks.get(index) else { break };
            let differences = lane.compare(&task.kind, task.first, task.count, MOST);
            let mut found = found.lock().unwrap_or_else(|e| e.into_inner());
            found.extend(differences.into_iter().map(|difference| Found {
                name: task.name.clone(),
                kind: task.kind.clone(),
                difference,
            }));
            enough.fetch_or(found.len() >= MOST, Ordering::Relaxed);
            drop(found);
            let mut done = done.lock().unwrap_or_else(|e| e.into_inner());
            done.insert(index);
            let first_open = (0..).find(|i| !done.contains(i)).unwrap_or(0);
            finished(first_open);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..lanes.max(1)).map(|_| scope.spawn(work)).collect();
        let ended = running.into_iter().map(|lane| match lane.join() {
            Ok(result) => result,
            Err(_) => Err(Failure::Crashed("the harness".into())),
        });
        ended.collect::<Vec<_>>().into_iter().collect::<Result<(), _>>()
    })?;
    Ok(found.into_inner().unwrap_or_else(|e| e.into_inner()))
}
