//! Proves, one run at a time, beside everything else.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aiinference_registry::msg::Input;
use aiinference_zk::{samples, Cancel, Hidden, Opening, Salt, Tool};
use prost::Message;
use tokio::{sync::oneshot, task};

use crate::{
    circuit::{Given, Provable},
    job::Answer,
};

/// What is proven.
#[derive(Clone, Debug)]
pub enum Task {
    /// A request, whose job waits for it.
    Request {
        /// Its number.
        id: u64,
        /// As the registry has it.
        input: Input,
        /// The same for the engine.
        given: Given,
    },
    /// Some input, to learn how long a proof takes and that one can be made at all.
    Trial,
}

/// How a proof ended.
#[derive(Debug)]
pub struct Proven {
    /// Of what.
    pub task: Task,
    /// The circuit's code id.
    pub circuit: u64,
    /// The answer, or why there is none.
    pub answer: Result<Answer, String>,
    /// How long it took.
    pub took: Duration,
}

/// A proof that is being made.
#[derive(Debug)]
pub struct Worker {
    /// What is proven.
    pub task: Task,
    /// The circuit's code id.
    pub circuit: u64,
    begun: Instant,
    cancel: Cancel,
    done: oneshot::Receiver<Result<Answer, String>>,
}

impl Worker {
    /// Begins a proof.
    pub fn start(tool: &Tool, circuit: &Arc<Provable>, task: Task) -> Self {
        let (tell, done) = oneshot::channel();
        let cancel = Cancel::default();
        let (tool, of) = (tool.cancelled_by(&cancel), circuit.clone());
        let doing = task.clone();
        task::spawn_blocking(move || {
            // Whoever waited may have gone.
            let _ = tell.send(prove(&tool, &of, &doing));
        });
        Worker {
            task,
            circuit: circuit.offer.code_id,
            begun: Instant::now(),
            cancel,
            done,
        }
    }

    /// Whether it proves this request.
    pub fn is_for(&self, request: u64) -> bool {
        matches!(self.task, Task::Request { id, .. } if id == request)
    }

    /// Ends it, and the process that makes the proof.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Waits for the end; may be given up and waited for again.
    pub async fn ended(&mut self) -> Result<Answer, String> {
        let lost = || Err("the proof's thread ended without a word".into());
        (&mut self.done).await.unwrap_or_else(|_| lost())
    }

    /// What came of it.
    pub fn into_proven(self, answer: Result<Answer, String>) -> Proven {
        Proven {
            took: self.begun.elapsed(),
            task: self.task,
            circuit: self.circuit,
            answer,
        }
    }
}

fn prove(tool: &Tool, circuit: &Provable, task: &Task) -> Result<Answer, String> {
    let folder = &circuit.folder;
    let trial = || {
        let inputs = samples(folder.program().inputs(), 1).pop().unwrap_or_default();
        match folder.manifest().hidden {
            Hidden::Inputs => {
                let salt = Salt::from_bytes([0; Salt::BYTES]);
                Given::Hidden(Opening { inputs, salt })
            }
            Hidden::Nothing | Hidden::Weights => Given::Open(inputs),
        }
    };
    let given = match task {
        Task::Request { given, .. } => given.clone(),
        Task::Trial => trial(),
    };
    let mut progress = |stage: &str| tracing::debug!(stage, "proving");
    let proven = match &given {
        Given::Open(inputs) => folder.prove(tool, inputs, &mut progress),
        Given::Hidden(opening) => folder.prove_hidden(tool, opening, &mut progress),
    };
    let (proof, _) = proven.map_err(|error| error.to_string())?;
    let bytes = proof.checked_bytes(folder.manifest());
    let outputs = folder.outputs(&proof).into_iter();
    let answer = Answer {
        proof: bytes.map_err(|error| error.to_string())?.into(),
        outputs: outputs.map(|tensor| tensor.encode_to_vec().into()).collect(),
    };
    // Nothing is submitted that the chain would refuse.
    if let Task::Request { input, .. } = task {
        if !circuit.accepts(input, &answer)? {
            return Err("the chain's verifier refuses the proof".into());
        }
    }
    Ok(answer)
}
