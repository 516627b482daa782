//! Kinds of machines that answer requests.

use std::io::{self, BufRead, BufReader, Write};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use aiinference_differential::{answer, answer_on_threads, Request, RequestError};
use wasmer::{imports, Engine, Instance, Memory, Module, Singlepass, Store, TypedFunction};

/// Why a platform gave no answer. Compared with answers like one: a crash on one machine alone is a difference.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The engine refused there what is valid.
    #[error("{0}")]
    Refused(String),
    /// It panicked or was trapped.
    #[error("crashed: {0}")]
    Crashed(String),
    /// A process could not be started, or ended.
    #[error("running {command}: {source}; check that it starts by hand")]
    Process {
        /// The command.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// The module is none that answers requests.
    #[error("loading the guest: {0}; build it with scripts/build-contracts.sh vm-ext/differential")]
    Guest(String),
}

impl From<RequestError> for Failure {
    fn from(problem: RequestError) -> Self {
        Failure::Refused(problem.to_string())
    }
}

/// One kind of machine, asked one thing after the other.
pub trait Platform {
    /// Its name.
    fn name(&self) -> &str;

    /// The answer to a request ([`aiinference_differential::answer`]).
    fn ask(&mut self, request: &Request) -> Result<String, Failure>;
}

/// This machine.
pub struct Native;

impl Platform for Native {
    fn name(&self) -> &str {
        std::env::consts::ARCH
    }

    fn ask(&mut self, request: &Request) -> Result<String, Failure> {
        caught(|| answer(request))
    }
}

/// This machine, every model run by so many threads at once.
pub struct Threads(pub usize);

impl Platform for Threads {
    fn name(&self) -> &str {
        "threads"
    }

    fn ask(&mut self, request: &Request) -> Result<String, Failure> {
        caught(|| answer_on_threads(request, self.0))
    }
}

fn caught(f: impl FnOnce() -> Result<String, RequestError>) -> Result<String, Failure> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(answer) => Ok(answer?),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied());
            Err(Failure::Crashed(text.unwrap_or("a panic").into()))
        }
    }
}

/// A compiled guest: the same engine as Wasm, for the compiler that chains use. Gives any number of platforms.
#[derive(Clone)]
pub struct Machine {
    engine: Engine,
    module: Module,
}

impl Machine {
    /// Compiles the module.
    pub fn new(wasm: &[u8]) -> Result<Self, Failure> {
        aiinference_probestack::address();
        let engine: Engine = Singlepass::new().into();
        let module = Module::new(&engine, wasm).map_err(|e| Failure::Guest(e.to_string()))?;
        Ok(Machine { engine, module })
    }
}

/// An instance of the guest.
pub struct Guest {
    machine: Machine,
    running: Running,
}

struct Running {
    store: Store,
    memory: Memory,
    allocate: TypedFunction<i32, i32>,
    respond: TypedFunction<(i32, i32), i64>,
    release: TypedFunction<(i32, i32), ()>,
}

impl Guest {
    /// A new instance.
    pub fn new(machine: &Machine) -> Result<Self, Failure> {
        Ok(Guest {
            machine: machine.clone(),
            running: Running::new(machine)?,
        })
    }
}

impl Running {
    fn new(machine: &Machine) -> Result<Self, Failure> {
        let wrong = |e: &dyn std::fmt::Display| Failure::Guest(e.to_string());
        let mut store = Store::new(machine.engine.clone());
        let instance = Instance::new(&mut store, &machine.module, &imports! {}).map_err(|e| wrong(&e))?;
        let exports = &instance.exports;
        Ok(Running {
            memory: exports.get_memory("memory").map_err(|e| wrong(&e))?.clone(),
            allocate: exports.get_typed_function(&store, "allocate").map_err(|e| wrong(&e))?,
            respond: exports.get_typed_function(&store, "respond").map_err(|e| wrong(&e))?,
            release: exports.get_typed_function(&store, "release").map_err(|e| wrong(&e))?,
            store,
        })
    }

    fn ask(&mut self, request: &Request) -> Result<String, Failure> {
        let crashed = |e: &dyn std::fmt::Display| Failure::Crashed(e.to_string());
        let line = request.to_string();
        let length = i32::try_from(line.len()).map_err(|e| crashed(&e))?;
        let room = self.allocate.call(&mut self.store, length).map_err(|e| crashed(&e))?;
        let memory = self.memory.view(&self.store);
        memory
            .write(room as u32 as u64, line.as_bytes())
            .map_err(|e| crashed(&e))?;
        let answered = self
            .respond
            .call(&mut self.store, room, length)
            .map_err(|e| crashed(&e))? as u64;
        let (place, length) = (answered as u32, (answered >> 32) as u32);
        let mut text = vec![0; length as usize];
        let memory = self.memory.view(&self.store);
        memory.read(place.into(), &mut text).map_err(|e| crashed(&e))?;
        self.release
            .call(&mut self.store, place as i32, length as i32)
            .map_err(|e| crashed(&e))?;
        String::from_utf8(text).map_err(|e| crashed(&e))
    }
}

impl Platform for Guest {
    fn name(&self) -> &str {
        "wasm32"
    }

    fn ask(&mut self, request: &Request) -> Result<String, Failure> {
        let answered = self.running.ask(request);
        if answered.is_err() {
            // What a trap leaves behind is not used again.
            self.running = Running::new(&self.machine)?;
        }
        told(answered?)
    }
}

/// Another program that answers requests (`differential-worker`), wherever it runs.
pub struct Worker {
    name: String,
    command: Vec<String>,
    running: Option<(Child, ChildStdin, BufReader<ChildStdout>)>,
}

impl Worker {
    /// Named so, started by that command when it is first asked.
    pub fn new(name: impl Into<String>, command: Vec<String>) -> Self {
        Worker {
            name: name.into(),
            command,
            running: None,
        }
    }

    fn exchange(&mut self, request: &Request) -> io::Result<String> {
        let (_, input, output) = match &mut self.running {
            Some(running) => running,
            none => {
                let (program, arguments) = self.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
                let mut child = Command::new(program)
                    .args(arguments)
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()?;
                let ends = child.stdin.take().zip(child.stdout.take());
                let (input, output) = ends.ok_or(io::ErrorKind::BrokenPipe)?;
                none.insert((child, input, BufReader::new(output)))
            }
        };
        writeln!(input, "{request}")?;
        input.flush()?;
        let mut text = String::new();
        loop {
            let start = text.len();
            if output.read_line(&mut text)? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it ended before it answered",
                ));
            }
            if text[start..].trim_end().is_empty() {
                text.truncate(start);
                return Ok(text);
            }
        }
    }

    fn stop(&mut self) {
        if let Some((mut child, input, _)) = self.running.take() {
            // It ends at the end of its input; one that hangs is not waited for.
            drop(input);
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Platform for Worker {
    fn name(&self) -> &str {
        &self.name
    }

    fn ask(&mut self, request: &Request) -> Result<String, Failure> {
        match self.exchange(request) {
            Ok(text) => told(text),
            Err(source) => {
                self.stop();
                let command = self.command.join(" ");
                Err(Failure::Process { command, source })
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An answer, unless it tells a problem.
fn told(text: String) -> Result<String, Failure> {
    match text.strip_prefix("error ") {
        Some(problem) => Err(Failure::Refused(problem.trim_end().into())),
        None => Ok(text),
    }
}
