//! CLIENT PAUSE and MONITOR on this node: who is held back until when, and who is shown what.
//!
//! Both are the node's own: clients of other nodes are neither held back nor shown.
//!
//! Invariant: every session has the [`Scrutiny`] that the worker has, but for the one that runs, which is given it by
//! whoever runs it.

use std::collections::BTreeSet;

use bytes::Bytes;
use repligo_core::time::Now;
use repligo_session::{Call, Pause, Scrutiny, Session};

use super::Worker;
use super::connection::Io;
use crate::session::monitored_line;

/// Who is held back, and who is shown what others ask.
#[derive(Debug, Default)]
pub struct Watching {
    pause: Pause,
    /// When the pause ends, by the clock in microseconds.
    until_us: u64,
    /// Slots of the connections that are shown it, and perhaps of some that want it no more.
    monitors: BTreeSet<u32>,
    /// What they have not been shown.
    lines: Vec<Bytes>,
}

impl Watching {
    /// What is done with the requests of every connection.
    pub fn scrutiny(&self) -> Scrutiny {
        Scrutiny {
            pause: self.pause,
            is_monitored: !self.monitors.is_empty(),
        }
    }

    /// Whether something waits to be shown.
    #[inline]
    pub fn has_lines(&self) -> bool {
        !self.lines.is_empty()
    }
}

impl Worker {
    /// Holds the requests of all clients back until then; a pause that is in force gets neither shorter nor weaker.
    pub(super) fn pause(&mut self, session: &mut Session, (pause, until_us): (Pause, u64)) {
        let watching = &mut self.watching;
        watching.until_us = match watching.pause {
            Pause::None => until_us,
            _ => watching.until_us.max(until_us),
        };
        watching.pause = watching.pause.max(pause);
        self.spread_scrutiny();
        session.set_scrutiny(self.watching.scrutiny(), self.clock.now().mono_us);
    }

    /// Ends a pause.
    pub(super) fn unpause(&mut self, session: &mut Session) {
        self.watching.pause = Pause::None;
        self.spread_scrutiny();
        session.set_scrutiny(self.watching.scrutiny(), self.clock.now().mono_us);
    }

    /// Shows the client of a session what all clients ask.
    pub(super) fn monitor(&mut self, session: &mut Session) {
        session.monitor();
        self.watching.monitors.insert(session.slot);
        self.spread_scrutiny();
        session.set_scrutiny(self.watching.scrutiny(), self.clock.now().mono_us);
    }

    /// Ends a pause whose time is over.
    pub(super) fn look_after_pause(&mut self, now: Now) {
        if self.watching.pause != Pause::None && now.mono_us > self.watching.until_us {
            self.watching.pause = Pause::None;
            self.spread_scrutiny();
        }
    }

    /// Clients whose next request waits for the end of a pause.
    pub(super) fn held_back(&self) -> usize {
        if self.watching.pause == Pause::None {
            return 0;
        }
        let sessions = self
            .connections
            .iter()
            .map(|connection| connection.session.is_held());
        sessions.filter(|is_held| *is_held).count()
    }

    fn spread_scrutiny(&mut self) {
        let (scrutiny, now_us) = (self.watching.scrutiny(), self.clock.now().mono_us);
        for connection in self.connections.iter_mut() {
            if connection.session.set_scrutiny(scrutiny, now_us) {
                connection.wake();
            }
        }
    }

    /// A command of this session is to be shown, with the next turn.
    pub(super) fn show(&mut self, session: &Session, io: &Io, call: Call<'_>) {
        let line = monitored_line((session, &io.endpoints), call, self.clock.wall_us());
        self.watching.lines.push(line.into());
        self.turn.request();
    }

    /// Shows what was asked since the last turn; whoever leaves too much unread gets nothing more, and is about to be
    /// disconnected.
    #[cold]
    pub(super) fn deliver_lines(&mut self) {
        let lines = std::mem::take(&mut self.watching.lines);
        let unsent_bytes_max = self.parameters.subscriber_output().hard_bytes;
        let (connections, pool, flush) = (&mut self.connections, &mut self.pool, &mut self.flush);
        self.watching.monitors.retain(|slot| {
            let Some(connection) = connections.get_mut(*slot) else {
                return false;
            };
            if !connection.session.is_monitor() {
                return false;
            }
            let mut unsent_bytes = connection.session.replies.pending_bytes();
            for line in &lines {
                if unsent_bytes > unsent_bytes_max {
                    break;
                }
                connection.session.replies.push_message(line, pool);
                unsent_bytes += line.len();
            }
            if !std::mem::replace(&mut connection.io.flush_due, true) {
                flush.push(*slot);
            }
            true
        });
        if self.watching.monitors.is_empty() {
            self.spread_scrutiny();
        }
    }
}
