//! When the next turn is due, and who runs it.
//!
//! Everything that gave something to the core since the last turn asks for one; the turn task is woken
//! once and runs after the tasks that are ready now, so that they share one entry and one flush.

use std::task::{Context, Waker};

/// The turn's state.
#[derive(Debug, Default)]
pub struct TurnSignal {
    due: bool,
    waker: Option<Waker>,
    number: u64,
    began_ns: u64,
}

impl TurnSignal {
    /// Asks for a turn.
    #[inline]
    pub fn request(&mut self) {
        if !self.due {
            self.due = true;
            if let Some(waker) = &self.waker {
                waker.wake_by_ref();
            }
        }
    }

    /// Whether a turn was asked for and has not run.
    #[inline]
    pub fn is_due(&self) -> bool {
        self.due
    }

    /// Counts turns; requests given in under one number leave together.
    #[inline]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The turn begins: what asks from now on asks for the next one.
    pub fn begin(&mut self, now_ns: u64) {
        self.due = false;
        self.number += 1;
        self.began_ns = now_ns;
    }

    /// When the present turn began, nanoseconds.
    pub fn began_ns(&self) -> u64 {
        self.began_ns
    }

    /// Who is to be woken.
    pub fn set_waker(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }
}
