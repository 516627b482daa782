//! Progress on stderr for whatever takes over a second.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that shows itself only once the work has lasted a second. Nothing is drawn where stderr is no terminal.
pub struct Progress {
    bar: ProgressBar,
    start: Instant,
    shown: bool,
}

impl Progress {
    /// No work done yet.
    pub fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        Progress {
            bar,
            start: Instant::now(),
            shown: false,
        }
    }

    /// `done` of `total` steps of a stage are done; a total of 0 stands for an unknown one.
    pub fn at(&mut self, stage: &str, done: u64, total: u64) {
        if !self.shown && self.start.elapsed() >= Duration::from_secs(1) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.shown = true;
        }
        // The templates are constants that parse; should one not, the bar keeps its default style.
        let template = if total == 0 {
            "{spinner} {msg}"
        } else {
            "{msg} [{bar:30}] {pos}/{len}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar.set_message(stage.to_string());
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
