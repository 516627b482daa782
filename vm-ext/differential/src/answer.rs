//! Requests and answers, as lines of text: `KIND FIRST COUNT` asks for digests of so many seeds, `values KERNELS KIND SEED`
//! for the numbers of one. A kind is `operation`, `graph` or `model GRAPH WEIGHTS`, two sections as hex.

use std::collections::BTreeMap;
use std::fmt;
use std::thread;

use aiinference_engine::{Kernels, LoadError, Workspace};

use crate::case::Case;
use crate::digest::Digest;

/// What seeds stand for.
#[derive(Clone, PartialEq, Eq)]
pub enum Kind {
    /// A model of one node.
    Operation,
    /// A model of several.
    Graph,
    /// Inputs of this model.
    Model {
        /// Its graph section.
        graph: Vec<u8>,
        /// Its weights section.
        weights: Vec<u8>,
    },
}

/// What is asked for.
#[derive(Clone, PartialEq, Eq)]
pub enum Request {
    /// One digest for each set of kernels, of all that they make of the seeds.
    Digests {
        /// What the seeds stand for.
        kind: Kind,
        /// The first.
        first: u64,
        /// How many.
        count: u64,
    },
    /// The numbers themselves.
    Values {
        /// Name of the set.
        kernels: String,
        /// What the seed stands for.
        kind: Kind,
        /// Which.
        seed: u64,
    },
}

/// Why there is no answer.
#[derive(Debug)]
pub enum RequestError {
    /// The line is none of the two.
    Malformed,
    /// This machine has no such kernels.
    NoKernels(String),
    /// A model that the engine does not take.
    Load(u64, LoadError),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Malformed => write!(f, "answering a request: it is malformed"),
            RequestError::NoKernels(name) => {
                write!(f, "answering a request: this machine has no kernels called {name}")
            }
            RequestError::Load(seed, problem) => write!(f, "answering a request: seed {seed}: {problem}"),
        }
    }
}

impl std::error::Error for RequestError {}

impl Kind {
    /// The case of a seed.
    pub fn case(&self, seed: u64) -> Result<Case, RequestError> {
        let case = match self {
            Kind::Operation => Case::operation(seed),
            Kind::Graph => Case::graph(seed),
            Kind::Model { graph, weights } => Case::model(graph, weights, seed),
        };
        case.map_err(|problem| RequestError::Load(seed, problem))
    }

    fn parse<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Self> {
        Some(match words.next()? {
            "operation" => Kind::Operation,
            "graph" => Kind::Graph,
            "model" => Kind::Model {
                graph: bytes(words.next()?)?,
                weights: bytes(words.next()?)?,
            },
            _ => return None,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Operation => write!(f, "operation"),
            Kind::Graph => write!(f, "graph"),
            Kind::Model { graph, weights } => {
                write!(f, "model ")?;
                hex(f, graph)?;
                write!(f, " ")?;
                hex(f, weights)
            }
        }
    }
}

impl Request {
    /// Reads what the other way round is written by `to_string`.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.trim_end().split(' ').peekable();
        let request = match words.peek() {
            Some(&"values") => {
                words.next();
                Request::Values {
                    kernels: words.next()?.into(),
                    kind: Kind::parse(&mut words)?,
                    seed: words.next()?.parse().ok()?,
                }
            }
            _ => Request::Digests {
                kind: Kind::parse(&mut words)?,
                first: words.next()?.parse().ok()?,
                count: words.next()?.parse().ok()?,
            },
        };
        words.next().is_none().then_some(request)
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Digests { kind, first, count } => write!(f, "{kind} {first} {count}"),
            Request::Values { kernels, kind, seed } => write!(f, "values {kernels} {kind} {seed}"),
        }
    }
}

/// Answers with the kernels of this machine: lines `KERNELS DIGEST`, or the numbers.
pub fn answer(request: &Request) -> Result<String, RequestError> {
    match request {
        Request::Digests { kind, first, count } => {
            let mut workspace = Workspace::new();
            digests(kind, *first, *count, |case, kernels| {
                case.digest(kernels, &mut workspace)
            })
        }
        Request::Values { kernels, kind, seed } => {
            let set = Kernels::by_name(kernels).ok_or_else(|| RequestError::NoKernels(kernels.clone()))?;
            Ok(kind.case(*seed)?.lines(&set))
        }
    }
}

/// The same, where several threads at once run each loaded model: if they disagree, so does the digest.
pub fn answer_on_threads(request: &Request, threads: usize) -> Result<String, RequestError> {
    let Request::Digests { kind, first, count } = request else {
        return answer(request);
    };
    let on_one = |case: &Case, kernels: &Kernels| case.digest(kernels, &mut Workspace::new());
    digests(kind, *first, *count, |case, kernels| {
        let found: Vec<Option<u64>> = thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(|| on_one(case, kernels))).collect();
            running.into_iter().map(|thread| thread.join().ok()).collect()
        });
        match found.first() {
            Some(Some(digest)) if found.iter().all(|other| *other == Some(*digest)) => *digest,
            // No digest of a single thread comes out as this one, but for chance.
            _ => found.iter().fold(1, |all, one| all ^ one.unwrap_or(2).rotate_left(9)),
        }
    })
}

fn digests(
    kind: &Kind,
    first: u64,
    count: u64,
    mut digest: impl FnMut(&Case, &Kernels) -> u64,
) -> Result<String, RequestError> {
    let sets = Kernels::available();
    let mut all = vec![Digest::new(); sets.len()];
    for seed in first..first.saturating_add(count) {
        let case = kind.case(seed)?;
        for (kernels, all) in sets.iter().zip(&mut all) {
            all.add(digest(&case, kernels));
        }
    }
    let lines = sets.iter().zip(&all);
    Ok(lines
        .map(|(kernels, digest)| format!("{} {:016x}\n", kernels.name(), digest.value()))
        .collect())
}

/// What an answer with digests says, by the names of kernels; `None` if it is none.
pub fn parse_digests(answer: &str) -> Option<BTreeMap<&str, &str>> {
    let digests: Option<BTreeMap<_, _>> = answer.lines().map(|line| line.split_once(' ')).collect();
    digests.filter(|digests| !digests.is_empty())
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |d: u8| char::from(d).to_digit(16);
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let byte = |[high, low]: &[u8; 2]| Some((digit(*high)? << 4 | digit(*low)?) as u8);
    pairs.iter().map(byte).collect()
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_they_were_written() {
        let model = Kind::Model {
            graph: vec![0, 255, 16],
            weights: vec![],
        };
        for kind in [Kind::Operation, Kind::Graph, model] {
            let digests = Request::Digests {
                kind: kind.clone(),
                first: 7,
                count: u64::MAX,
            };
            let values = Request::Values {
                kernels: "avx2".into(),
                kind,
                seed: 9,
            };
            for request in [digests, values] {
                let line = format!("{request}\n");
                assert!(Request::parse(&line) == Some(request), "{line}");
            }
        }
        for line in [
            "",
            "operation",
            "operation 1",
            "operation 1 2 3",
            "graph x 1",
            "model 0 00 1 1",
            "values scalar",
        ] {
            assert!(Request::parse(line).is_none(), "{line}");
        }
    }
}
