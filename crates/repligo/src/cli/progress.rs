//! One line on standard error while something long goes on.
//!
//! On a terminal only, where it is written over itself; nothing of it reaches standard output.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(250);

/// The line.
pub struct Progress {
    is_terminal: bool,
    label: String,
    shown: Option<Instant>,
    is_dirty: bool,
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::new()
    }
}

impl Progress {
    /// Nothing is shown where standard error is no terminal.
    pub fn new() -> Progress {
        Progress {
            is_terminal: std::io::stderr().is_terminal(),
            label: String::new(),
            shown: None,
            is_dirty: false,
        }
    }

    /// What stands in front of the line from now on.
    pub fn label(&mut self, label: impl Into<String>) {
        self.label = label.into();
    }

    /// Shows the line that `compose` makes, if it is time.
    pub fn show(&mut self, compose: impl FnOnce() -> String) {
        if !self.is_terminal || self.shown.is_some_and(|shown| shown.elapsed() < EVERY) {
            return;
        }
        self.shown = Some(Instant::now());
        self.is_dirty = true;
        let _ = write!(std::io::stderr(), "\r\x1b[K{}{}", self.label, compose());
    }

    /// Says something that stays, on a terminal or not.
    pub fn note(&mut self, text: &str) {
        self.clear();
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// Removes the line.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.is_dirty) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        self.shown = None;
    }
}
