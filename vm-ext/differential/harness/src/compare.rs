//! One question to all platforms, and what to say where the answers are not one.

use std::fmt;

use aiinference_differential::{parse_digests, Kind, Request};

use crate::platform::{Failure, Platform};

/// A seed of which one backend makes something else than the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What differs.
    pub backend: String,
    /// The backend that it is held against: the first.
    pub reference: String,
    /// Which seed.
    pub seed: u64,
    /// Where it begins, and how.
    pub problem: Problem,
}

/// How two backends differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Another number.
    Element {
        /// Which node or output.
        of: String,
        /// The first that differs.
        element: usize,
        /// What this backend gives.
        found: String,
        /// What the reference gives.
        want: String,
    },
    /// No answer there, or none from the reference.
    Answer {
        /// From this backend.
        found: String,
        /// From the reference.
        want: String,
    },
    /// The numbers are the same when nothing else runs.
    Alone,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference {
            backend,
            reference,
            seed,
            problem,
        } = self;
        write!(f, "seed {seed} on {backend}: ")?;
        match problem {
            Problem::Element {
                of,
                element,
                found,
                want,
            } => write!(f, "{of}: element {element} is {found}, and {want} on {reference}"),
            Problem::Answer { found, want } => write!(f, "\"{found}\", and on {reference} \"{want}\""),
            Problem::Alone => write!(
                f,
                "differs from {reference}, but not when run alone: what ran before it matters, or beside it"
            ),
        }
    }
}

/// Platforms that are asked one after the other. Several lanes may work at once, each with platforms of its own.
pub struct Lane {
    platforms: Vec<Box<dyn Platform>>,
}

/// Kernels of a platform, and what they answered.
struct Answer {
    platform: usize,
    kernels: String,
    digest: String,
}

impl Lane {
    /// The first platform's first kernels are the reference.
    pub fn new(platforms: Vec<Box<dyn Platform>>) -> Self {
        Lane { platforms }
    }

    /// Every backend, found by asking all platforms.
    pub fn backends(&mut self) -> Result<Vec<String>, Failure> {
        let mut names = Vec::new();
        for platform in &mut self.platforms {
            let nothing = Request::Digests {
                kind: Kind::Operation,
                first: 0,
                count: 0,
            };
            let answer = platform.ask(&nothing)?;
            let digests = parse_digests(&answer).ok_or(Failure::Crashed(format!("answered {answer:?}")))?;
            names.extend(digests.keys().map(|kernels| format!("{} {kernels}", platform.name())));
        }
        Ok(names)
    }

    /// Compares all backends on so many seeds. At most `most` differences are looked for.
    pub fn compare(&mut self, kind: &Kind, first: u64, count: u64, most: usize) -> Vec<Difference> {
        let answers = self.ask(kind, first, count);
        let Some(reference) = answers.first() else {
            return vec![];
        };
        let differing: Vec<&Answer> = answers.iter().filter(|a| a.digest != reference.digest).collect();
        if differing.is_empty() || most == 0 {
            return vec![];
        }
        if count > 1 {
            let half = count / 2;
            let mut found = self.compare(kind, first, half, most);
            found.extend(self.compare(kind, first + half, count - half, most - found.len()));
            if !found.is_empty() {
                return found;
            }
            // Both halves agree: it takes more than one seed. The whole is told by its first.
        }
        let alone = count > 1;
        let differing = differing.into_iter().take(most);
        differing
            .map(|answer| Difference {
                backend: self.name(answer),
                reference: self.name(reference),
                seed: first,
                problem: if alone {
                    Problem::Alone
                } else {
                    self.explain(kind, first, reference, answer)
                },
            })
            .collect()
    }

    fn name(&self, answer: &Answer) -> String {
        format!("{} {}", self.platforms[answer.platform].name(), answer.kernels)
    }

    fn ask(&mut self, kind: &Kind, first: u64, count: u64) -> Vec<Answer> {
        let kind = kind.clone();
        let request = Request::Digests { kind, first, count };
        let mut answers = Vec::new();
        for (platform, asked) in self.platforms.iter_mut().enumerate() {
            let text = asked.ask(&request);
            let digests = text.as_deref().ok().and_then(parse_digests);
            match digests {
                Some(digests) => answers.extend(digests.into_iter().map(|(kernels, digest)| Answer {
                    platform,
                    kernels: kernels.into(),
                    digest: digest.into(),
                })),
                None => answers.push(Answer {
                    platform,
                    kernels: "kernels".into(),
                    digest: text.unwrap_or_else(|failure| failure.to_string()),
                }),
            }
        }
        // The order is by name, the reference is the portable set of the first platform.
        if let Some(scalar) = answers.iter().position(|a| a.platform == 0 && a.kernels == "scalar") {
            answers[..=scalar].rotate_right(1);
        }
        answers
    }

    fn explain(&mut self, kind: &Kind, seed: u64, reference: &Answer, answer: &Answer) -> Problem {
        let mut values = |answer: &Answer| {
            let (kernels, kind) = (answer.kernels.clone(), kind.clone());
            let request = Request::Values { kernels, kind, seed };
            let text = self.platforms[answer.platform].ask(&request);
            text.map_err(|_| answer.digest.clone())
        };
        let (want, found) = match (values(reference), values(answer)) {
            (Ok(want), Ok(found)) => (want, found),
            (want, found) => {
                let short = |text: Result<String, String>| text.map_or_else(|failure| failure, |_| "an answer".into());
                return Problem::Answer {
                    found: short(found),
                    want: short(want),
                };
            }
        };
        first_difference(&want, &found).unwrap_or(Problem::Alone)
    }
}

/// The first number that differs, of lines `NAME: NUMBERS`.
fn first_difference(want: &str, found: &str) -> Option<Problem> {
    let (want, found): (Vec<&str>, Vec<&str>) = (want.lines().collect(), found.lines().collect());
    for i in 0..want.len().max(found.len()) {
        let [want, found] = [&want, &found].map(|lines| lines.get(i).copied().unwrap_or("nothing"));
        if want == found {
            continue;
        }
        let parts = want.split_once(": ").zip(found.split_once(": "));
        let Some(((of, want), (other, found))) = parts.filter(|((a, _), (b, _))| a == b) else {
            let [found, want] = [found, want].map(String::from);
            return Some(Problem::Answer { found, want });
        };
        debug_assert_eq!(of, other);
        let (mut want, mut found) = (want.split(' '), found.split(' '));
        let mut element = 0;
        loop {
            let (want, found) = (want.next(), found.next());
            if want != found {
                return Some(Problem::Element {
                    of: of.into(),
                    element,
                    found: found.unwrap_or("missing").into(),
                    want: want.unwrap_or("missing").into(),
                });
            }
            element += 1;
        }
    }
    None
}
