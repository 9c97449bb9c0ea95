//! What a node needs to know before it starts, and why it may refuse to.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use repligo_core::contract::Durability;
use repligo_core::eviction::MemoryLimit;
use repligo_core::origin::OriginMap;

use crate::config::{ClientLimits, UnixSocket};
use crate::origin::OriginConfig;
use crate::telemetry::Shared;
use crate::tls::clients::{ClientKeyStore, ClientTls};
use crate::tls::keys::PeerSource;

/// Serves admin HTTP on the given, already bound listener, on a thread of its own. It gets the shared
/// status and counters of the node and must never block the worker. Called once, before forming.
pub type AdminHook = Box<dyn FnOnce(TcpListener, Arc<Shared>) + Send>;

/// Called once, on the worker, when the node can serve its first request.
pub type ReadyHook = Box<dyn FnOnce(&Ready) + Send>;

/// The addresses that were really bound (ports of 0 resolved), for the readiness line.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Name of the node.
    pub name: String,
    /// Where clients connect.
    pub resp: SocketAddr,
    /// Where clients connect over TLS; `None` where they cannot.
    pub tls: Option<SocketAddr>,
    /// Where other nodes connect; `None` on a single node.
    pub peer: Option<SocketAddr>,
    /// Admin HTTP; `None` when it is off.
    pub admin: Option<SocketAddr>,
    /// This process.
    pub pid: u32,
}

impl Ready {
    /// How clients connect, a text for each way as INFO has it. Where TLS takes the place of plain text there is no
    /// other.
    pub fn listeners(&self, unix_socket: Option<&UnixSocket>) -> Vec<String> {
        let of = |name: &str, address: SocketAddr| {
            format!("name={name},bind={},port={}", address.ip(), address.port())
        };
        let plain = (self.tls != Some(self.resp)).then(|| of("tcp", self.resp));
        let tls = self.tls.map(|address| of("tls", address));
        let unix = unix_socket.map(|socket| format!("name=unix,bind={}", socket.path.display()));
        plain.into_iter().chain(unix).chain(tls).collect()
    }
}

/// Initial settings of SLOWLOG; `CONFIG SET` can change them.
#[derive(Clone, Copy, Debug)]
pub struct SlowlogConfig {
    /// Commands that take longer are kept, microseconds; negative: none, 0: all.
    pub threshold_us: i64,
    /// Entries kept.
    pub entries_max: usize,
}

impl Default for SlowlogConfig {
    fn default() -> Self {
        Self {
            threshold_us: 10_000,
            entries_max: 128,
        }
    }
}

/// Everything that one node needs. All values are checked and resolved by the caller, but addresses are
/// still text so that a failure to bind can name what the operator wrote.
pub struct NodeConfig {
    /// Name of this node; one of the names in `cluster` unless that is empty.
    pub name: String,
    /// RESP listener, `host:port`; port 0 takes a free one.
    pub listen: String,
    /// Listener for clients over TLS, `host:port`, and its files; the address of `listen` takes its place, so that no
    /// client is served in plain text. `None` for none.
    pub tls_listen: Option<(String, ClientTls)>,
    /// Socket file for clients of this machine, beside `listen`; `None` for none.
    pub unix_socket: Option<UnixSocket>,
    /// Listener for other nodes; used only with a non-empty `cluster`.
    pub peer_listen: String,
    /// Admin HTTP listener; `None` leaves it off.
    pub admin_listen: Option<String>,
    /// What admin HTTP shows over TLS; `None` where it is plain.
    pub admin_keys: Option<Arc<ClientKeyStore>>,
    /// Host that clients are told (ROLE, INFO, STATUS); `None` tells the host of `listen`.
    pub advertise: Option<String>,
    /// Password of the default user; `None` lets everybody in.
    pub requirepass: Option<String>,
    /// True if the password must not be taken away: strangers can connect, and nobody called that all right.
    pub needs_password: bool,
    /// Directory of this node; created if absent. Not touched with [`Durability::None`].
    pub data_dir: PathBuf,
    /// What acknowledgements wait for.
    pub durability: Durability,
    /// `(name, peer address)` of every node, this one included; empty for a single node.
    pub cluster: Vec<(String, String)>,
    /// Peer addresses of members of a running cluster that this node is to join; `cluster` has this node alone then.
    pub join: Vec<String>,
    /// Where the keys of the peer links come from; used in a cluster only.
    pub peer_source: Option<PeerSource>,
    /// True if a cluster may do without, with plain peer links.
    pub insecure_peers: bool,
    /// What data and buffers may use, and what is evicted then; CONFIG SET changes it.
    pub memory: MemoryLimit,
    /// Most client connections at once.
    pub maxclients: usize,
    /// The file of audit lines; `None` where nothing is audited.
    pub audit_log: Option<PathBuf>,
    /// What clients may take together.
    pub clients: ClientLimits,
    /// Threads that serve clients: the one that executes, and I/O threads beside it.
    pub workers: usize,
    /// Load of the executing thread, percent of a core, from which on connections move to the others; 0: all are there.
    pub workers_busy_percent: u64,
    /// Unsent reply bytes above which a client is disconnected; 0 for no limit.
    pub output_bytes_max: usize,
    /// Seconds after which a client that reads none of its replies is disconnected; 0: never.
    pub output_stall_seconds: u64,
    /// Longest bulk string that a request may hold.
    pub proto_max_bulk_bytes: usize,
    /// Which keys are mapped to an origin; equal on all nodes.
    pub origin: Arc<OriginMap>,
    /// The origins that the keyspaces name, paths resolved.
    pub origins: Vec<OriginConfig>,
    /// Initial SLOWLOG settings.
    pub slowlog: SlowlogConfig,
    /// Configuration file as `CONFIG`/INFO report it; empty for none.
    pub config_file: String,
    /// Starts admin HTTP.
    pub admin_hook: Option<AdminHook>,
    /// Told when the node serves.
    pub ready_hook: Option<ReadyHook>,
    /// Stops the node like SIGTERM when it becomes true; for running a node inside another program.
    pub stop: Option<Arc<AtomicBool>>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            name: "n1".to_owned(),
            listen: "127.0.0.1:6379".to_owned(),
            tls_listen: None,
            unix_socket: None,
            peer_listen: "127.0.0.1:16379".to_owned(),
            admin_listen: None,
            admin_keys: None,
            advertise: None,
            requirepass: None,
            needs_password: false,
            data_dir: PathBuf::from("repligo-data"),
            durability: Durability::Os,
            cluster: Vec::new(),
            join: Vec::new(),
            peer_source: None,
            insecure_peers: false,
            memory: MemoryLimit::default(),
            maxclients: 10_000,
            audit_log: None,
            clients: ClientLimits::default(),
            workers: 1,
            workers_busy_percent: 50,
            output_bytes_max: 256 << 20,
            output_stall_seconds: 20,
            proto_max_bulk_bytes: 512 << 20,
            origin: Arc::new(OriginMap::default()),
            origins: Vec::new(),
            slowlog: SlowlogConfig::default(),
            config_file: String::new(),
            admin_hook: None,
            ready_hook: None,
            stop: None,
        }
    }
}
