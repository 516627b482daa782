//! A slice of what `make differential` runs, on this machine and in the guest; and what a difference looks like.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use aiinference_differential::{Kind, Request};
use aiinference_differential_harness::{
    run, Failure, Guest, Lane, Machine, Model, Native, Platform, Task, Threads, Worker,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn guest() -> Machine {
    let path = root().join("target/contracts/differential.wasm");
    let wasm = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; run `make contracts`", path.display()));
    Machine::new(&wasm).expect("a guest")
}

fn lane() -> Result<Lane, Failure> {
    Ok(Lane::new(vec![
        Box::new(Native),
        Box::new(Threads(3)),
        Box::new(Guest::new(&guest())?),
    ]))
}

#[test]
fn kernels_threads_and_the_guest_agree_on_random_operations_and_graphs() {
    let mut tasks = Task::all("operation", &Kind::Operation, 1 << 40, 4000, 1000);
    tasks.extend(Task::all("graph", &Kind::Graph, 1 << 40, 150, 50));
    let done = AtomicUsize::new(0);
    let finished = |tasks| {
        done.fetch_max(tasks, Ordering::Relaxed);
    };
    let found = run(&tasks, 2, lane, finished).expect("backends");
    let found: Vec<String> = found.iter().map(|f| format!("{}: {}", f.name, f.difference)).collect();
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(done.into_inner(), tasks.len());
}

#[test]
fn kernels_threads_and_the_guest_agree_on_the_shipped_models() {
    let shipped = [root().join("demo/models/tests/golden")];
    let models = Model::read_all(&shipped).expect("models");
    assert!(models.len() >= 4);
    let mut lane = lane().expect("backends");
    for model in models {
        let found = lane.compare(&model.kind, 0, 4, 9);
        assert!(found.is_empty(), "{}: {found:?}", model.name);
    }
}

#[test]
fn every_backend_is_named() {
    let names = lane().expect("backends").backends().expect("answers");
    for name in [
        format!("{} scalar", std::env::consts::ARCH),
        "threads scalar".into(),
        "wasm32 scalar".into(),
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
}

/// This machine, with a fault in its answers.
struct Faulty(fn(&Request, String) -> Result<String, Failure>);

impl Platform for Faulty {
    fn name(&self) -> &str {
        "faulty"
    }

    fn ask(&mut self, request: &Request) -> Result<String, Failure> {
        self.0(request, Native.ask(request)?)
    }
}

/// One set of kernels that computes node 0 of operation 345 wrongly.
fn one_element(request: &Request, answer: String) -> Result<String, Failure> {
    const BAD: u64 = 345;
    match request {
        Request::Digests { first, count, .. } if (*first..first + count).contains(&BAD) => Ok(answer
            .lines()
            .map(|line| match line.split_once(' ') {
                Some(("sse2" | "neon", _)) => format!("{} 0123456789abcdef\n", &line[..4]),
                _ => format!("{line}\n"),
            })
            .collect()),
        Request::Values { seed: BAD, .. } => {
            let line = answer.lines().find(|line| line.starts_with("node 0")).expect("a node");
            let (name, numbers) = line.split_once(": ").expect("numbers");
            let mut numbers: Vec<String> = numbers.split(' ').map(String::from).collect();
            let last = numbers.last_mut().expect("an element");
            *last = "1234567".into();
            Ok(answer.replace(line, &format!("{name}: {}", numbers.join(" "))))
        }
        _ => Ok(answer),
    }
}

#[test]
fn one_wrong_element_is_found_and_named() {
    let mut lane = Lane::new(vec![Box::new(Native), Box::new(Faulty(one_element))]);
    let found = lane.compare(&Kind::Operation, 0, 1000, 9);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].seed, 345);
    let text = found[0].to_string();
    let set = if cfg!(target_arch = "x86_64") { "sse2" } else { "neon" };
    assert!(
        text.starts_with(&format!("seed 345 on faulty {set}: node 0, ")),
        "{text}"
    );
    assert!(text.contains(" is 1234567, and "), "{text}");
}

#[test]
fn a_crash_is_a_difference() {
    let crash: fn(&Request, String) -> Result<String, Failure> = |request, answer| match request {
        Request::Digests { first, count, .. } if (*first..first + count).contains(&77) => {
            Err(Failure::Crashed("unreachable".into()))
        }
        _ => Ok(answer),
    };
    let mut lane = Lane::new(vec![Box::new(Native), Box::new(Faulty(crash))]);
    let found = lane.compare(&Kind::Graph, 0, 100, 9);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].seed, 77);
    assert!(found[0].to_string().contains("crashed: unreachable"), "{}", found[0]);
}

#[test]
fn what_depends_on_the_seeds_before_is_told_apart() {
    let history: fn(&Request, String) -> Result<String, Failure> = |request, answer| match request {
        Request::Digests { count: 8.., .. } => Ok("scalar 0000000000000000\n".into()),
        _ => Ok(answer),
    };
    let mut lane = Lane::new(vec![Box::new(Native), Box::new(Faulty(history))]);
    let found = lane.compare(&Kind::Operation, 0, 8, 9);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].to_string().contains("not when run alone"), "{}", found[0]);
}

#[test]
fn a_machine_that_cannot_be_asked_is_an_error_that_names_its_command() {
    let absent = Worker::new("absent", vec!["no-such-program".into(), "x".into()]);
    let error = Lane::new(vec![Box::new(Native), Box::new(absent)])
        .backends()
        .unwrap_err();
    assert!(error.to_string().starts_with("running no-such-program x: "), "{error}");
}
