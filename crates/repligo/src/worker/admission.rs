//! Who may stay connected: all clients together have a budget of memory, which is not that of the data, and who has
//! not logged in although that is needed has little of it, and seconds.
//!
//! Nothing that a client holds evicts a key or refuses a write. Beyond the budget the clients that hold most are
//! closed. Of connections that have not logged in, the oldest makes way when there are too many: an honest one logs
//! in within milliseconds, so a crowd of strangers pushes itself out.

use std::collections::VecDeque;

use repligo_core::limits::STRANGERS_BYTES_MAX;
use repligo_core::time::Now;
use repligo_session::Session;

use super::Worker;
use super::connection::Connection;
use crate::net::link_log::LinkLog;
use crate::telemetry::process;

/// Distance between two counts where there is room.
const COUNT_EVERY_US: u64 = 100_000;
/// What logs may keep of requests, as a part of the budget of clients.
const LOGS_DIVISOR: u64 = 8;
/// Places of strangers that have gone or logged in are dropped when there are more of them than this and than twice
/// the connections.
const STALE_MAX: usize = 1024;

/// A connection that has to log in.
#[derive(Clone, Copy, Debug)]
struct Stranger {
    slot: u32,
    /// Number of its client: the slot may have a new tenant.
    client: u64,
    since_us: u64,
}

/// What the worker knows of the memory of clients, and of strangers; see the module.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// The oldest first; some have logged in or ended since.
    strangers: VecDeque<Stranger>,
    /// Bytes of all clients, as last counted.
    bytes: u64,
    counted_us: u64,
    /// What is closed, in few lines.
    log: LinkLog,
}

/// What one count has found.
#[derive(Default)]
struct Counted {
    bytes: u64,
    /// Those that have not logged in, without what every connection takes.
    strangers_bytes: usize,
}

impl Worker {
    /// Memory that clients hold, as last counted, bytes.
    pub fn client_memory_bytes(&self) -> u64 {
        self.admission.bytes
    }

    /// What clients may take together, `None` for no limit.
    fn client_budget(&self) -> Option<u64> {
        let data_bytes_max = self.parameters.memory().bytes_max;
        let memory = self.parameters.client_memory();
        memory.bytes_max(data_bytes_max, process::system_memory_bytes())
    }

    /// The session has to log in from now on. Who was a stranger before gets no more time.
    pub(super) fn expect_login(&mut self, session: &Session) {
        if !session.is_authenticated() {
            return;
        }
        let admission = &mut self.admission;
        if admission.strangers.len() > STALE_MAX.max(2 * self.connections.len()) {
            let connections = &self.connections;
            admission.strangers.retain(|stranger| {
                let connection = connections.get(stranger.slot);
                connection.is_some_and(|connection| is_stranger(&connection.session, stranger.client))
            });
        }
        // The newest client has no place yet.
        if session.id + 1 < self.next_client {
            admission
                .strangers
                .retain(|stranger| stranger.client != session.id);
        }
        admission.strangers.push_back(Stranger {
            slot: session.slot,
            client: session.id,
            since_us: self.clock.now().mono_us,
        });
    }

    /// All places are taken: the oldest connection that has not logged in makes way. False if there is none.
    pub(super) fn make_way(&mut self) -> bool {
        while let Some(stranger) = self.admission.strangers.pop_front() {
            if self.close_stranger(stranger, "too many connections that have not logged in") {
                return true;
            }
        }
        false
    }

    /// With every tick: closes who has not logged in in time, and whoever holds most where all hold too much.
    pub(super) fn look_after_clients(&mut self, now: Now) {
        self.close_late_strangers(now);
        self.call_logins(now);
        let budget = self.client_budget();
        let is_close = budget.is_some_and(|budget| self.admission.bytes > budget / 2);
        let has_strangers = !self.admission.strangers.is_empty();
        let waited_us = now.mono_us.saturating_sub(self.admission.counted_us);
        if waited_us < COUNT_EVERY_US && !is_close && !has_strangers {
            return;
        }
        self.admission.counted_us = now.mono_us;
        let logs_bytes_max = budget.map_or(u64::MAX, |budget| budget / LOGS_DIVISOR);
        let logs_bytes_max = usize::try_from(logs_bytes_max).unwrap_or(usize::MAX);
        self.slowlog.bytes_max = logs_bytes_max;
        self.guard.log.bytes_max = logs_bytes_max;
        let mut counted = self.count_clients();
        if counted.strangers_bytes > STRANGERS_BYTES_MAX {
            let excess = (counted.strangers_bytes - STRANGERS_BYTES_MAX) as u64;
            let is_chosen = |connection: &Connection| !connection.session.is_authenticated();
            counted.bytes -= self.close_largest(excess, is_chosen);
        }
        if let Some(excess) = budget.and_then(|budget| counted.bytes.checked_sub(budget)) {
            counted.bytes -= self.close_largest(excess, |connection| !connection.session.no_evict);
        }
        self.admission.bytes = counted.bytes;
        self.shared.metrics.client_memory_bytes.set(counted.bytes);
    }

    /// Lets logins be judged that had to wait because others of their address have failed.
    fn call_logins(&mut self, now: Now) {
        for (slot, client) in self.guard.logins.due(now.mono_us) {
            match self.connections.get_mut(slot) {
                Some(connection) if connection.session.id == client => connection.call(),
                _ => self.guard.logins.forget((slot, client)),
            }
        }
    }

    fn count_clients(&self) -> Counted {
        let mut counted = Counted {
            bytes: (self.slowlog.bytes() + self.guard.log.bytes()) as u64,
            ..Counted::default()
        };
        for connection in self.connections.iter() {
            // Those that end have given up what they hold within this turn.
            if connection.session.killed {
                continue;
            }
            let bytes = connection.memory_bytes();
            counted.bytes += bytes as u64;
            if !connection.session.is_authenticated() {
                counted.strangers_bytes += bytes - connection.io.socket().fixed_bytes;
            }
        }
        counted
    }

    /// Closes those of the chosen clients that hold most, until as much is free as is too much; returns how much is.
    fn close_largest(&mut self, excess: u64, is_chosen: impl Fn(&Connection) -> bool) -> u64 {
        let chosen = self.connections.iter().filter(|connection| is_chosen(connection));
        let mut sizes: Vec<(usize, u32)> = chosen
            .filter(|connection| !connection.session.killed)
            .map(|connection| (connection.memory_bytes(), connection.session.slot))
            .collect();
        sizes.sort_unstable();
        let mut freed = 0;
        while freed < excess
            && let Some((bytes, slot)) = sizes.pop()
        {
            let Some(connection) = self.connections.get_mut(slot) else {
                continue;
            };
            connection.kill();
            freed += bytes as u64;
            self.shared.metrics.evicted_clients.add(1);
            if self.admission.log.admits() {
                tracing::warn!(
                    client = %connection.io.endpoints.peer(),
                    bytes,
                    "closed: clients together hold more memory than they may, and this one held most \
                     (maxmemory-clients)"
                );
            }
        }
        freed
    }

    fn close_late_strangers(&mut self, now: Now) {
        let patience_us = match self.parameters.login_seconds() {
            0 => u64::MAX,
            seconds => seconds * 1_000_000,
        };
        while let Some(stranger) = self.admission.strangers.front().copied() {
            let is_known = self
                .connections
                .get(stranger.slot)
                .is_some_and(|connection| is_stranger(&connection.session, stranger.client));
            let is_late = now.mono_us.saturating_sub(stranger.since_us) >= patience_us;
            if is_known && !is_late {
                return;
            }
            self.admission.strangers.pop_front();
            self.close_stranger(stranger, "it has not logged in in time (login-seconds)");
        }
    }

    /// Ends a connection if it still has not logged in; whether it had not.
    fn close_stranger(&mut self, stranger: Stranger, why: &str) -> bool {
        let connection = self.connections.get_mut(stranger.slot);
        let Some(connection) =
            connection.filter(|connection| is_stranger(&connection.session, stranger.client))
        else {
            return false;
        };
        connection.kill();
        self.shared.metrics.login_timeouts.add(1);
        if self.admission.log.admits() {
            tracing::warn!(client = %connection.io.endpoints.peer(), "closed: {why}");
        }
        true
    }
}

fn is_stranger(session: &Session, client: u64) -> bool {
    session.id == client && !session.killed && !session.is_authenticated()
}
