//! What commands that a node answers of itself see of it.

use repligo_core::acl::Users;
use repligo_core::contract::{Identity, OriginsStatus, Role, Status, Unblock};
use repligo_core::membership::Refusal;
use repligo_core::replica::MemberRequest;
use repligo_core::time::Now;
use repligo_session::subscriptions::Subscriptions;
use repligo_session::{Pause, Session};

use super::{BackupAnswer, BackupRequest, Denial, Endpoints, ErrorStats, Guard, Parameters, Slowlog};
use crate::telemetry::rates::Rates;
use crate::telemetry::{DatabaseStatus, Facts, Metrics, NodeStatus, PeerStatus};

/// What the system and the buffers say of a client's connection.
#[derive(Clone, Copy, Debug)]
pub struct Socket<'a> {
    /// Both ends.
    pub endpoints: &'a Endpoints,
    /// Number of the socket, -1 without one.
    pub descriptor: i32,
    /// Bytes read and not executed, without those that are being executed.
    pub input_bytes: usize,
    /// Room behind them.
    pub free_bytes: usize,
    /// Memory that every connection takes.
    pub fixed_bytes: usize,
}

/// A client as CLIENT LIST shows it.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// Its session.
    pub session: &'a Session,
    /// Its socket.
    pub socket: Socket<'a>,
}

impl Client<'_> {
    /// Bytes read and not consumed, those of a request that is being executed included.
    pub fn input_bytes(&self) -> usize {
        self.socket.input_bytes + self.session.unread_bytes()
    }

    /// All memory that it takes.
    pub fn memory_bytes(&self) -> usize {
        self.socket.fixed_bytes + self.input_bytes() + self.socket.free_bytes + self.session.heap_bytes()
    }
}

/// Memory that counts against `maxmemory`, bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryUse {
    /// Now.
    pub used: u64,
    /// Most of it since start.
    pub peak: u64,
    /// What the process itself took when it started.
    pub startup: u64,
}

/// The node around a session, while a command of it runs.
pub trait NodeView {
    /// When the command was read.
    fn now(&self) -> Now;
    /// The wall clock, microseconds since the epoch.
    fn wall_us(&self) -> u64;
    /// What does not change after the start.
    fn facts(&self) -> &Facts;
    /// All users as this node has them.
    fn users(&self) -> &Users;
    /// Who subscribes to what.
    fn subscriptions(&self) -> &Subscriptions;
    /// Makes a session that of somebody who has just connected.
    fn begin_session(&mut self, session: &mut Session);
    /// Who this node is; zeroes before forming.
    fn identity(&self) -> Identity;
    /// True while data commands are refused, because the node has not formed its cluster yet.
    fn is_loading(&self) -> bool;
    /// What the replica says of itself.
    fn status(&self) -> Status;
    /// The replica's role as of the last tick.
    fn role(&self) -> Role;
    /// Every node of the cluster as this one knows it.
    fn nodes(&self) -> Vec<PeerStatus>;
    /// The members of the cluster as JSON, and who leads.
    fn members_json(&self) -> String;
    /// Carries out what an operator asks of the members.
    ///
    /// # Errors
    /// Why not, and what to do.
    fn change_members(&mut self, request: &MemberRequest) -> Result<(), Refusal>;
    /// Carries out what a client asks of a backup; who it is by its slot and number.
    fn backup(&mut self, client: (u32, u64), request: BackupRequest) -> BackupAnswer;
    /// Where clients reach the leader; empty while none is known.
    fn leader_address(&self) -> String;
    /// What the node tells other threads, brought up to date.
    fn fresh_status(&mut self) -> NodeStatus;
    /// What is known of the origins.
    fn origins(&self) -> &OriginsStatus;
    /// True while a script is in the middle of its execution.
    fn runs_script(&self) -> bool;
    /// Scripts that EVALSHA knows, libraries, and functions in them.
    fn script_counts(&self) -> [usize; 3];
    /// Size of a database.
    fn database(&self, number: u8) -> DatabaseStatus;
    /// Memory in use.
    fn memory(&self) -> MemoryUse;
    /// Bytes of requests of this node's clients that wait, bytes that other nodes have forwarded to it, and
    /// connections that wait for room.
    fn queued(&self) -> [usize; 3];
    /// Counters.
    fn metrics(&self) -> &Metrics;
    /// Rates of the last moments.
    fn rates(&self) -> &Rates;
    /// Error replies by their code words.
    fn errors(&self) -> &ErrorStats;
    /// CONFIG RESETSTAT.
    fn reset_statistics(&mut self);
    /// ACL LOG, failed logins, and the audit log.
    fn guard(&mut self) -> &mut Guard;
    /// Something of this client was refused.
    fn note_denial(&mut self, client: Client<'_>, denial: Denial<'_>);
    /// Memory of what logs keep of requests of clients, bytes.
    fn log_bytes(&self) -> usize;
    /// The slow log.
    fn slowlog(&mut self) -> &mut Slowlog;
    /// Parameters of CONFIG.
    fn parameters(&self) -> &Parameters;
    /// CONFIG SET of parameters and their values, all or none.
    ///
    /// # Errors
    /// The error text, if one of them is refused.
    fn set_parameters(&mut self, pairs: repligo_proto::resp::ArgSlice<'_>) -> Result<(), Vec<u8>>;
    /// Clients that are connected, the asking one included.
    fn client_count(&self) -> usize;
    /// Shows all clients but the asking one.
    fn for_each_other(&self, see: &mut dyn FnMut(Client<'_>));
    /// Clients that wait for keys, or for the end of a pause.
    fn blocked_clients(&self) -> usize;
    /// Ends the waiting of the client with this number; false if it is no other client that waits for a key.
    fn unblock(&mut self, id: u64, how: Unblock) -> bool;
    /// Holds requests of all clients back until then, by the clock in microseconds; the session is the one that runs.
    fn pause(&mut self, session: &mut Session, pause: (Pause, u64));
    /// Ends that.
    fn unpause(&mut self, session: &mut Session);
    /// Shows the client of this session, which runs, what all clients ask.
    fn monitor(&mut self, session: &mut Session);
    /// Ends the connections of other clients that are selected; how many.
    fn kill_others(&mut self, selects: &dyn Fn(Client<'_>) -> bool) -> usize;
}
