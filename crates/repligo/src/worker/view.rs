//! The node as commands see it that it answers of itself.

use repligo_core::acl::Users;
use repligo_core::command::parse_i64;
use repligo_core::contract::{Identity, OriginsStatus, Role, Status, Unblock};
use repligo_core::membership::Refusal;
use repligo_core::replica::MemberRequest;
use repligo_core::time::Now;
use repligo_proto::resp::ArgSlice;
use repligo_proto::words;
use repligo_session::subscriptions::Subscriptions;
use repligo_session::{Pause, Session};

use super::Worker;
use crate::session::{
    BackupAnswer, BackupRequest, Client, Denial, ErrorStats, Guard, MemoryUse, NodeView, Parameters, Slowlog,
    note_denial,
};
use crate::telemetry::descriptors;
use crate::telemetry::rates::Rates;
use crate::telemetry::{DatabaseStatus, Facts, Metrics, NodeStatus, PeerStatus};

/// More clients need more open files, and the system may refuse them.
fn check_maxclients(pairs: ArgSlice<'_>) -> Result<(), Vec<u8>> {
    const NAME: &[u8] = b"maxclients";
    let mut names = pairs.iter().step_by(2);
    let asked = names.position(|name| name.eq_ignore_ascii_case(NAME));
    let asked = asked.and_then(|position| parse_i64(pairs.get(2 * position + 1)));
    // What is no such number is refused with the others' words.
    let Some(asked) = asked
        .and_then(|asked| u32::try_from(asked).ok())
        .filter(|asked| *asked > 0)
    else {
        return Ok(());
    };
    match descriptors::fit(asked as usize) {
        Ok(fit) if fit >= asked as usize => Ok(()),
        fit => {
            let text = words::too_many_descriptors(fit.unwrap_or(0));
            Err(words::config_set_failed(NAME, &text))
        }
    }
}

/// A worker while one of its sessions runs, whose connection has been taken out.
pub struct WorkerView<'a> {
    /// The worker.
    pub worker: &'a mut Worker,
    /// When the command was read.
    pub now: Now,
}

impl NodeView for WorkerView<'_> {
    fn now(&self) -> Now {
        self.now
    }

    fn wall_us(&self) -> u64 {
        self.worker.clock.wall_us()
    }

    fn facts(&self) -> &Facts {
        &self.worker.facts
    }

    fn users(&self) -> &Users {
        self.worker.users()
    }

    fn subscriptions(&self) -> &Subscriptions {
        &self.worker.subscriptions
    }

    fn begin_session(&mut self, session: &mut Session) {
        self.worker.begin_session(session);
    }

    fn identity(&self) -> Identity {
        self.worker.identity()
    }

    fn is_loading(&self) -> bool {
        self.worker.refusal().is_some()
    }

    fn status(&self) -> Status {
        self.worker.status(self.now)
    }

    fn role(&self) -> Role {
        self.worker.role()
    }

    fn nodes(&self) -> Vec<PeerStatus> {
        self.worker.nodes()
    }

    fn members_json(&self) -> String {
        self.worker.members_json(self.now)
    }

    fn change_members(&mut self, request: &MemberRequest) -> Result<(), Refusal> {
        self.worker.change_members(self.now, request)
    }

    fn backup(&mut self, client: (u32, u64), request: BackupRequest) -> BackupAnswer {
        self.worker.back_up(self.now, client, request)
    }

    fn leader_address(&self) -> String {
        self.worker.client_address_of(self.worker.leader(self.now))
    }

    fn fresh_status(&mut self) -> NodeStatus {
        self.worker.publish(self.now);
        self.worker.shared.status().clone()
    }

    fn origins(&self) -> &OriginsStatus {
        &self.worker.origins
    }

    fn runs_script(&self) -> bool {
        let replica = self.worker.replica.as_ref();
        replica.is_some_and(|replica| replica.keyspace().runs_script())
    }

    fn script_counts(&self) -> [usize; 3] {
        self.worker.replica.as_ref().map_or([0; 3], |replica| {
            let (libraries, functions, _) = replica.keyspace().known_functions();
            [replica.keyspace().known_scripts().0, libraries, functions]
        })
    }

    fn database(&self, number: u8) -> DatabaseStatus {
        self.worker.database(number)
    }

    fn memory(&self) -> MemoryUse {
        MemoryUse {
            used: self.worker.used_memory_bytes(),
            peak: self.worker.used_memory_peak_bytes(),
            startup: self.worker.startup_memory_bytes(),
        }
    }

    fn queued(&self) -> [usize; 3] {
        self.worker.queued()
    }

    fn metrics(&self) -> &Metrics {
        &self.worker.shared.metrics
    }

    fn rates(&self) -> &Rates {
        &self.worker.rates
    }

    fn errors(&self) -> &ErrorStats {
        &self.worker.errors
    }

    fn reset_statistics(&mut self) {
        self.worker.reset_statistics();
    }

    fn guard(&mut self) -> &mut Guard {
        &mut self.worker.guard
    }

    fn note_denial(&mut self, client: Client<'_>, denial: Denial<'_>) {
        let Worker { guard, shared, .. } = &mut *self.worker;
        note_denial(guard, &shared.metrics, client, (denial, self.now));
    }

    fn log_bytes(&self) -> usize {
        self.worker.slowlog.bytes() + self.worker.guard.log.bytes()
    }

    fn slowlog(&mut self) -> &mut Slowlog {
        &mut self.worker.slowlog
    }

    fn parameters(&self) -> &Parameters {
        &self.worker.parameters
    }

    fn set_parameters(&mut self, pairs: ArgSlice<'_>) -> Result<(), Vec<u8>> {
        let names_password = |name: &[u8]| name.eq_ignore_ascii_case(b"requirepass");
        let asked = pairs.iter().step_by(2).find(|name| names_password(name));
        if let Some(name) = asked.filter(|_| self.worker.users().default_user().is_told()) {
            return Err(words::config_set_failed(name, words::acl::PASSWORDS_IN_LOG));
        }
        check_maxclients(pairs)?;
        self.worker.parameters.set(pairs)?;
        self.worker.parameters_changed();
        Ok(())
    }

    fn client_count(&self) -> usize {
        self.worker.connections.len()
    }

    fn for_each_other(&self, see: &mut dyn FnMut(Client<'_>)) {
        for connection in self.worker.connections.iter() {
            see(connection.client());
        }
    }

    fn blocked_clients(&self) -> usize {
        self.worker.blocked_clients()
    }

    fn unblock(&mut self, id: u64, how: Unblock) -> bool {
        let mut sessions = self
            .worker
            .connections
            .iter()
            .map(|connection| &connection.session);
        let ticket = sessions
            .find(|session| session.id == id)
            .and_then(Session::blocked);
        drop(sessions);
        if let Some(ticket) = ticket {
            self.worker.unblock(ticket, how);
        }
        ticket.is_some()
    }

    fn pause(&mut self, session: &mut Session, pause: (Pause, u64)) {
        self.worker.pause(session, pause);
    }

    fn unpause(&mut self, session: &mut Session) {
        self.worker.unpause(session);
    }

    fn monitor(&mut self, session: &mut Session) {
        self.worker.monitor(session);
    }

    fn kill_others(&mut self, selects: &dyn Fn(Client<'_>) -> bool) -> usize {
        let mut count = 0;
        for connection in self.worker.connections.iter_mut() {
            if selects(connection.client()) {
                connection.kill();
                count += 1;
            }
        }
        count
    }
}
