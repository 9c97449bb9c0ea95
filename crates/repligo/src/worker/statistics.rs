//! What a worker counts and tells of itself: statistics of commands, the slow log, and the status that
//! other threads see.
//!
//! Nothing here changes what a client is answered.

use std::sync::Arc;

use repligo_core::contract::{Input, Ticket};
use repligo_core::limits::DATABASES;
use repligo_core::replica::Replica;
use repligo_core::time::Now;
use repligo_proto::command::{CommandId, Spec, flag};
use repligo_session::tracked::{LOCAL_ITEM, Tracked, Words};
use repligo_session::window::may_stand_out;
use repligo_session::{Call, Session};

use super::Worker;
use super::connection::{Connection, Io};
use crate::session::{Slow, kept_arguments};
use crate::telemetry::clock::boottime_ns;
use crate::telemetry::status::{DatabaseStatus, PeerStatus, Phase};

/// EXEC is logged as a whole, although Redis would log its commands instead: here they are one op.
fn is_logged(spec: &Spec) -> bool {
    !spec.has(flag::SKIP_SLOWLOG) || spec.id == CommandId::Exec
}

/// A session and the rest of its connection: who sent what is told of.
pub(super) type Sender<'a> = (&'a Session, &'a Io);

/// What the slow log says of a MULTI block.
pub(super) fn block_words(sender: Sender<'_>) -> Words {
    said(sender, vec![b"EXEC".to_vec()])
}

fn words(sender: Sender<'_>, call: Call<'_>) -> Words {
    let secret = matches!(
        call.spec.id,
        CommandId::Auth | CommandId::Hello | CommandId::ConfigSet | CommandId::AclSetUser
    );
    said(sender, kept_arguments(call.request, secret))
}

fn said((session, io): Sender<'_>, arguments: Vec<Vec<u8>>) -> Words {
    Words {
        address: io.endpoints.peer(),
        name: session.name.clone(),
        arguments,
    }
}

impl Worker {
    /// Ends the statistics of a batch of requests; its end by the boot clock, in nanoseconds.
    #[inline]
    pub fn end_batch(&mut self, began_ns: u64) -> u64 {
        let ended_ns = boottime_ns();
        self.busy
            .end("requests", (began_ns, ended_ns), &self.shared.metrics.busy);
        if !self.batch.is_empty() {
            self.batch
                .end(ended_ns.saturating_sub(began_ns), &self.shared.metrics);
        }
        ended_ns
    }

    /// Counts a reply of a session command.
    #[inline]
    pub fn count_reply(&mut self, id: CommandId, reply: &[u8]) {
        if reply.first() == Some(&b'-') {
            self.shared.metrics.commands[id.index()].failed.add(1);
            self.count_error(reply);
        }
    }

    /// Counts the core's answer to a request: alone with the time of its slices, if it had any, else with its
    /// share of the turn.
    #[inline]
    pub fn count_answer(&mut self, id: u16, tracked: Option<Tracked>, reply: &[u8]) {
        // A WATCH is answered with raw versions, whose first byte may be a dash; they end in zeroes.
        if reply.first() == Some(&b'-') && reply.ends_with(b"\r\n") {
            self.shared.metrics.commands[id as usize].failed.add(1);
            self.count_error(reply);
        }
        match tracked {
            Some(tracked) if tracked.spent_ns > 0 => {
                self.answered.count_timed(id, tracked.spent_ns);
                if let Some(words) = tracked.words {
                    self.note_words(tracked.spent_ns / 1000, words);
                }
            }
            tracked => {
                self.answered.count_id(id);
                self.candidates.extend(tracked.and_then(|tracked| tracked.words));
            }
        }
    }

    /// Counts the commands of a block that the core has executed, the time of its slices shared evenly.
    pub fn count_items(&mut self, tracked: &Tracked) {
        let count = tracked.items.iter().filter(|&&id| id != LOCAL_ITEM).count() as u64;
        let metrics = &self.shared.metrics;
        for run in tracked
            .items
            .chunk_by(|a, b| a == b)
            .filter(|run| run[0] != LOCAL_ITEM)
        {
            if tracked.spent_ns > 0 {
                metrics.commands[run[0] as usize].record(run.len() as u64, tracked.spent_ns / count);
                metrics.commands_processed.add(run.len() as u64);
            } else {
                run.iter().for_each(|&id| self.answered.count_id(id));
            }
        }
    }

    /// Counts an item of a block that failed.
    pub fn count_failure(&mut self, items: &[u16], index: usize, error: &[u8]) {
        if let Some(&id) = items.get(index)
            && id != LOCAL_ITEM
        {
            self.shared.metrics.commands[id as usize].failed.add(1);
            self.count_error(error);
        }
    }

    /// Counts an error reply by its code word.
    #[cold]
    pub fn count_error(&mut self, reply: &[u8]) {
        self.shared.metrics.error_replies.add(1);
        self.errors.count(reply);
    }

    /// Keeps a command that took long, by what its own timer showed.
    pub(super) fn note_slow(&mut self, took_ns: u64, sender: Sender<'_>, call: Call<'_>) {
        let microseconds = took_ns / 1000;
        if self.slowlog.takes(microseconds) && is_logged(call.spec) {
            self.note_words(microseconds, words(sender, call));
        }
    }

    /// Keeps a command in the slow log if it took long enough.
    pub fn note_words(&mut self, microseconds: u64, words: Words) {
        if self.slowlog.takes(microseconds) {
            let slow = Slow {
                wall_seconds: self.clock.wall_us() / 1_000_000,
                microseconds,
                client_address: &words.address,
                client_name: &words.name,
            };
            self.slowlog.record(slow, words.arguments);
        }
    }

    /// Remembers a request that was given to the core, if there may be more to tell of it than its call. What its
    /// words took to be decoded, typed and encoded counts in this turn; its execution counts in later ones.
    #[inline]
    pub(super) fn track(&mut self, ticket: Ticket, sender: Sender<'_>, call: Call<'_>) {
        let precise = (0..1000).contains(&self.slowlog.threshold_us);
        if precise || may_stand_out(call.spec, call.request.len()) {
            self.allowance.charge_words(call.request.len());
            if !self.tracking.has_room() {
                return;
            }
            let words = is_logged(call.spec).then(|| words(sender, call));
            let tracked = Tracked {
                words,
                ..Tracked::default()
            };
            self.tracking.begin(ticket, tracked);
        }
    }

    /// Remembers a MULTI block that was given to the core, and the commands in it.
    pub(super) fn track_block(&mut self, ticket: Ticket, sender: Sender<'_>, items: Vec<u16>) {
        let tracked = Tracked {
            words: Some(block_words(sender)),
            items: items.into(),
            spent_ns: 0,
        };
        self.tracking.begin(ticket, tracked);
    }

    /// CONFIG SET has changed parameters.
    pub fn parameters_changed(&mut self) {
        let number = |name| self.parameters.value(name).and_then(|value| value.parse().ok());
        self.slowlog.threshold_us = number("slowlog-log-slower-than").unwrap_or(-1);
        self.slowlog.entries_max = number("slowlog-max-len").unwrap_or(0) as usize;
        self.guard.log.entries_max = number("acllog-max-len").unwrap_or(0) as usize;
        self.guard.log.trim();
        let keys_max = number("tracking-table-max-keys").unwrap_or(0) as usize;
        self.subscriptions.tracking_mut().limit_keys(keys_max);
        self.tell_memory();
        self.follow_events();
    }

    /// CONFIG RESETSTAT.
    pub fn reset_statistics(&mut self) {
        self.shared.metrics.reset();
        self.errors.reset();
        if let Some(replica) = &mut self.replica {
            replica.forget_reclaim_lag();
            let counters = replica.keyspace().counters();
            self.keyspace_base = (counters.hits, counters.misses, counters.expired);
            self.expired_fields_base = counters.expired_fields;
            self.evicted_base = replica.memory().evicted_keys;
        }
    }

    /// What counts against `maxmemory`, as of now, and what clients hold.
    pub fn used_memory_bytes(&self) -> u64 {
        self.replica.as_ref().map_or(0, Replica::count_memory) + self.client_memory_bytes()
    }

    /// Most of it since start.
    pub fn used_memory_peak_bytes(&self) -> u64 {
        self.used_memory_peak_bytes.max(self.used_memory_bytes())
    }

    /// Size of a database.
    pub fn database(&self, number: u8) -> DatabaseStatus {
        let summary = self
            .replica
            .as_ref()
            .map(|replica| replica.keyspace().summary(number));
        let summary = summary.unwrap_or_default();
        DatabaseStatus {
            database: number,
            keys: summary.keys,
            volatile_keys: summary.volatile_keys,
        }
    }

    /// Every node of the cluster as this one knows it.
    pub fn nodes(&self) -> Vec<PeerStatus> {
        self.shared.status().nodes.clone()
    }

    /// The regular tick: core time, statistics, status for other threads.
    pub fn tick(&mut self) {
        self.clock.measure();
        self.heap.advise(self.parameters.memory().bytes_max);
        let began_ns = boottime_ns();
        self.busy.begin(began_ns);
        let now = self.clock.at(began_ns / 1000);
        self.step(now, Input::Tick);
        self.look_after_pause(now);
        self.look_after_clients(now);
        self.look_after_memory(now);
        self.rates.sample(now.mono_us, &self.shared.metrics);
        self.links.tick(now);
        self.heal_addresses(now);
        self.look_after_backup(now);
        self.close_idle(now);
        self.look_at_sockets(now);
        self.look_after_placement(now.mono_us);
        self.publish(now);
        self.tell_waiting(now);
        self.busy.end_now("tick", began_ns, &self.shared.metrics.busy);
    }

    /// While nobody leads, looks how much stands in the sockets from which nothing is read: what came when decides
    /// when it is refused.
    fn look_at_sockets(&mut self, now: Now) {
        const LOOK_EVERY_US: u64 = 250_000;
        let is_leaderless = |replica: &Replica| replica.leaderless_us().is_some();
        if self.replica.as_ref().is_some_and(is_leaderless) {
            if now.mono_us.saturating_sub(self.sockets_seen_us) >= LOOK_EVERY_US {
                self.sockets_seen_us = now.mono_us;
                let connections = self.connections.iter_mut();
                connections.for_each(|connection| connection.look_at_socket(now.mono_us));
            }
        } else if std::mem::take(&mut self.sockets_seen_us) != 0 {
            self.connections.iter_mut().for_each(Connection::forget_standing);
        }
    }

    /// Disconnects clients that have been idle for longer than `timeout`, or that read nothing of what
    /// they asked for; looks about once a second.
    fn close_idle(&mut self, now: Now) {
        const LOOK_EVERY_US: u64 = 1_000_000;
        // As in Redis.
        const PEAK_PERIOD_US: u64 = 5_000_000;
        if now.mono_us.saturating_sub(self.idle_checked_us) < LOOK_EVERY_US {
            return;
        }
        let ages_peaks = now.mono_us / PEAK_PERIOD_US != self.idle_checked_us / PEAK_PERIOD_US;
        self.idle_checked_us = now.mono_us;
        let idle_us_max = match self.parameters.timeout_seconds() {
            0 => u64::MAX,
            seconds => seconds * 1_000_000,
        };
        let stalls_max = match self.parameters.output_stall_seconds() {
            0 => u64::MAX,
            seconds => seconds,
        };
        for connection in self.connections.iter_mut() {
            if ages_peaks {
                connection.session.replies.age_peak();
            }
            if connection.session.is_idle(now.mono_us, idle_us_max) {
                connection.kill();
            }
            if connection.is_over_soft_limit(self.parameters.subscriber_output(), now.mono_us) {
                self.shared.metrics.output_limit_disconnections.add(1);
                tracing::warn!(
                    client = %connection.io.endpoints.peer(),
                    bytes = connection.session.replies.pending_bytes(),
                    "subscriber does not read its messages: disconnected (soft output limit)"
                );
                connection.kill();
            }
            if connection.has_stalled(stalls_max) {
                self.shared.metrics.output_limit_disconnections.add(1);
                tracing::warn!(
                    client = %connection.io.endpoints.peer(),
                    bytes = connection.session.replies.pending_bytes(),
                    seconds = stalls_max,
                    "client reads none of its replies: disconnected (output-stall-seconds)"
                );
                connection.kill();
            }
        }
    }

    /// Tells the log and other threads what has changed about the origins.
    fn look_after_origins(&mut self, now: Now, version: u64) {
        if let Some(replica) = self
            .replica
            .as_ref()
            .filter(|_| self.origins_version != Some(version))
        {
            self.origins = Arc::new(replica.origins());
            self.origins_version = Some(version);
        }
        for notice in self.origin_watch.observe(now.mono_us, &self.origins) {
            notice.log();
        }
    }

    /// Replaces the status that other threads see.
    pub fn publish(&mut self, now: Now) {
        let status = self.status(now);
        self.last_role = status.role;
        self.used_memory_bytes = self.used_memory_bytes();
        self.used_memory_peak_bytes = self.used_memory_peak_bytes.max(self.used_memory_bytes);
        if let Some(replica) = &self.replica {
            let counters = replica.keyspace().counters();
            let (metrics, base) = (&self.shared.metrics, self.keyspace_base);
            metrics.keyspace_hits.set(counters.hits.saturating_sub(base.0));
            metrics
                .keyspace_misses
                .set(counters.misses.saturating_sub(base.1));
            metrics.expired_keys.set(counters.expired.saturating_sub(base.2));
            let expired_fields = counters.expired_fields;
            metrics
                .expired_fields
                .set(expired_fields.saturating_sub(self.expired_fields_base));
            metrics.clients_waiting.set(status.requests_waiting);
            let lag = &counters.reclaim_lag;
            metrics
                .reclaim_lag
                .iter()
                .zip(lag.counts)
                .for_each(|(counter, count)| counter.set(count));
            metrics.reclaim_lag_ms_sum.set(lag.sum_ms);
            metrics.reclaim_lag_ms_max.set(lag.max_ms);
            metrics.reclaim_lag_ms_p99.set(lag.percentile_ms(0.99));
            let evicted = replica.memory().evicted_keys;
            metrics
                .evicted_keys
                .set(evicted.saturating_sub(self.evicted_base));
        }
        self.look_after_origins(now, status.origins_version);
        let databases = (0..DATABASES as u8)
            .map(|number| self.database(number))
            .filter(|d| d.keys > 0)
            .collect();
        let serving = self.phase == Phase::Running && status.serving;
        if serving {
            self.served_us = Some(now.mono_us);
        }
        let unserved_ms = self.served_us.map(|at| now.mono_us.saturating_sub(at) / 1000);
        let own = self
            .links
            .announce(now, &status, serving, &self.facts.client_address);
        let nodes = self.links.nodes(now, own);
        self.shared.publish(now.mono_us, |target| {
            target.name.clone_from(&self.facts.name);
            target.peer = self.links.own_peer();
            target.cluster_id = self.identity.cluster_id;
            target.generation = self.identity.generation;
            target.incarnation = self.identity.incarnation;
            target.run_id.clone_from(&self.facts.run_id);
            target.client_address.clone_from(&self.facts.client_address);
            target.tls_address.clone_from(&self.facts.tls_address);
            target.phase.clone_from(&self.phase);
            target.origins = Arc::clone(&self.origins);
            target.replica = status;
            target.unserved_ms = unserved_ms;
            target.nodes = nodes;
            target.refused = self.links.refused_strangers();
            target.databases = databases;
            target.used_memory_bytes = self.used_memory_bytes;
            target.used_memory_peak_bytes = self.used_memory_peak_bytes;
            target.maxmemory_bytes = self.parameters.memory().bytes_max;
            target.maxclients = self.parameters.maxclients() as u64;
            target.started_wall_ms = self.facts.started_wall_ms;
            target.uptime_ms = self.facts.uptime_ms(now.mono_us);
            target.errors = self.errors.to_vec();
        });
    }
}
