//! Errors that are said: the same one not again for a while, and never so many of a kind that others are lost among them.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::{error::RelayError, text::printable};

/// When the same is said again.
const AGAIN: Duration = Duration::from_secs(600);

/// Texts of one kind that are said within that time.
const TEXTS: usize = 20;

/// What was said lately.
#[derive(Debug, Default)]
pub struct Said {
    /// By the kind of error.
    kinds: BTreeMap<String, BTreeMap<String, Instant>>,
}

impl Said {
    /// Whether it is to be said now.
    fn is_due(&mut self, kind: String, text: &str, now: Instant) -> bool {
        let texts = self.kinds.entry(kind).or_default();
        texts.retain(|_, at| now.saturating_duration_since(*at) < AGAIN);
        if texts.contains_key(text) || texts.len() >= TEXTS {
            return false;
        }
        texts.insert(text.into(), now);
        true
    }

    /// Says an error, loudly if somebody has to do something; at debug level what was said lately.
    pub fn say(&mut self, subject: &str, error: &RelayError) {
        let text = printable(&error.to_string());
        match (self.is_due(error.kind(), &text, Instant::now()), error.needs_somebody()) {
            (true, true) => tracing::error!(of = subject, "{text}"),
            (true, false) => tracing::warn!(of = subject, "{text}"),
            (false, _) => tracing::debug!(of = subject, "{text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_again_after_a_while_only() {
        let (mut said, now) = (Said::default(), Instant::now());
        assert!(said.is_due("stopped".into(), "frozen", now));
        assert!(!said.is_due("stopped".into(), "frozen", now + AGAIN / 2));
        assert!(said.is_due("stopped".into(), "frozen", now + AGAIN));
    }

    #[test]
    fn many_of_a_kind_hide_none_of_another() {
        let (mut said, now) = (Said::default(), Instant::now());
        let due = (0..1000)
            .filter(|i| said.is_due("node".into(), &i.to_string(), now))
            .count();
        assert_eq!(due, TEXTS);
        assert!(said.is_due("stopped".into(), "frozen", now));
        assert!(
            said.is_due("node".into(), "another", now + AGAIN),
            "for ever is too long"
        );
    }
}
