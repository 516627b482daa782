//! What the daemon remembers of a request that it took, or wants to take.

use cosmwasm_std::Binary;
use serde::{Deserialize, Serialize};

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A transaction that takes the request is on its way.
    Taking,
    /// The request is ours; its proof waits for its turn.
    Taken,
    /// It is being proven.
    Proving,
    /// There is a proof.
    Proven,
    /// A transaction with the proof is on its way.
    Submitting,
    /// The chain has accepted the proof.
    Done,
    /// Somebody else took the request, it was withdrawn, or its time was over.
    Lost,
    /// It was given up.
    Failed,
}

impl State {
    /// Whether nothing more is to be done.
    pub fn is_over(self) -> bool {
        matches!(self, State::Done | State::Lost | State::Failed)
    }

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            State::Taking => "taking",
            State::Taken => "taken",
            State::Proving => "proving",
            State::Proven => "proven",
            State::Submitting => "submitting",
            State::Done => "done",
            State::Lost => "lost",
            State::Failed => "failed",
        }
    }
}

/// A transaction, remembered before any node hears of it: as long as its sequence number is free, the very same bytes may
/// be sent again, and no others are signed for the same end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Its hash.
    pub hash: String,
    /// Its sequence number.
    pub sequence: u64,
    /// All of it, signed.
    pub bytes: Binary,
    /// When it was signed: seconds since 1970.
    pub at: u64,
}

/// What is submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The model's outputs, each an encoded `aiinference.v1.Tensor`.
    pub outputs: Vec<Binary>,
    /// The proof.
    pub proof: Binary,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The request's number in the registry.
    pub request: u64,
    /// SHA-256 of the circuit's module, as hex.
    pub circuit: String,
    /// How far it is.
    pub state: State,
    /// What the requester pays.
    pub fee: String,
    /// When the taker's window ends: seconds since 1970, by the chain's clock; 0 before the request is taken.
    pub until: u64,
    /// The callback's gas limit; 0 where there is no callback.
    pub callback_gas: u64,
    /// A transaction that may still get into a block.
    pub sent: Option<Sent>,
    /// Once it is proven.
    pub answer: Option<Answer>,
    /// Seconds that the proof took.
    pub seconds: Option<f64>,
    /// Proofs begun.
    pub attempts: u32,
    /// Failures of its transactions in a row.
    pub refusals: u32,
    /// Those of them that were outside blocks: in a trial, or at a node's door.
    #[serde(default)]
    pub trials: u32,
    /// Whether the proof is submitted without the callback, which anybody may deliver then.
    #[serde(default)]
    pub defer: bool,
    /// Nothing is tried before: seconds since 1970.
    pub not_before: u64,
    /// The last change: seconds since 1970.
    pub changed: u64,
    /// The transaction that ended it.
    pub transaction: Option<String>,
    /// What went wrong last.
    pub error: Option<String>,
}

impl Job {
    /// A request that is to be taken.
    pub fn new(request: u64, circuit: &str, fee: String) -> Self {
        Job {
            request,
            circuit: circuit.into(),
            state: State::Taking,
            fee,
            until: 0,
            callback_gas: 0,
            sent: None,
            answer: None,
            seconds: None,
            attempts: 0,
            refusals: 0,
            trials: 0,
            defer: false,
            not_before: 0,
            changed: 0,
            transaction: None,
            error: None,
        }
    }

    /// Failures of its transactions within blocks, which are paid for.
    pub fn failures(&self) -> u32 {
        self.refusals.saturating_sub(self.trials)
    }

    /// Ends it: what is only needed on the way goes.
    pub fn end(&mut self, state: State, error: Option<String>) {
        self.state = state;
        self.sent = None;
        self.answer = None;
        if error.is_some() {
            self.error = error;
        }
    }
}
