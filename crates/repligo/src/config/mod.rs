//! Configuration: flags, environment, file and defaults become [`NodeSettings`], or a list of problems.
//!
//! The layers ([`layers`]) know where each value came from; the refusals ([`refusals`]) know which
//! values must not stand together. Nothing here opens a socket or touches the data directory.

mod clients;
pub mod cluster;
pub mod error;
pub mod file;
mod join;
pub mod keys;
pub mod layers;
pub mod origin;
mod peers;
pub mod redis;
pub mod refusals;
mod secret;
pub mod show;
mod tls;
pub mod units;
mod unix_socket;
pub mod url;
pub mod value;
mod workers;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use repligo_core::eviction::MemoryLimit;

use repligo_core::contract::Durability;

use cluster::Member;
use error::Problems;
use layers::{Layered, Sources};
use origin::Origins;

use crate::tls::clients::ClientTls;
use crate::tls::keys::PeerSource;

pub use clients::{ClientLimits, ClientMemory};
pub use unix_socket::{PATH_BYTES_MAX, UnixSocket};
pub use workers::default_workers;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// A configuration that was checked as a whole.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Name of this node.
    pub name: String,
    /// RESP listener.
    pub listen: SocketAddr,
    /// Listener for clients over TLS and its files; the address of `listen` takes its place.
    pub tls_listen: Option<(SocketAddr, ClientTls)>,
    /// Socket file for clients of this machine.
    pub unix_socket: Option<UnixSocket>,
    /// Peer listener; used in a cluster only.
    pub peer_listen: SocketAddr,
    /// Admin HTTP listener.
    pub admin_listen: SocketAddr,
    /// What admin HTTP asks for, if anything.
    pub admin_token: Option<String>,
    /// Files of admin HTTP over TLS; `None` where it is plain.
    pub admin_tls: Option<ClientTls>,
    /// Host that clients are told, if it is not the host of `listen`.
    pub advertise: Option<String>,
    /// Password of the default user.
    pub requirepass: Option<String>,
    /// True if the node must have one: strangers can connect, and `insecure` is not given.
    pub needs_password: bool,
    /// Where the keys of the peer links come from.
    pub peer_source: Option<PeerSource>,
    /// True if peer links may be plain text.
    pub insecure_peers: bool,
    /// Directory of this node.
    pub data_dir: PathBuf,
    /// What acknowledgements wait for.
    pub durability: Durability,
    /// All nodes, sorted by name; empty for a single node.
    pub members: Vec<Member>,
    /// Whom to ask to become a member of a running cluster; this node alone is in `members` then. Empty otherwise.
    pub join: Vec<String>,
    /// What data and buffers may use, and what is evicted then.
    pub memory: MemoryLimit,
    /// Client connections at most.
    pub maxclients: usize,
    /// What clients may take together.
    pub clients: ClientLimits,
    /// Threads that serve clients: the one that executes, and I/O threads beside it.
    pub workers: usize,
    /// Load of the executing thread, percent of a core, from which on connections move to others.
    pub workers_busy_percent: u64,
    /// True if a crash may leave the memory in a file.
    pub core_dumps: bool,
    /// Where audit lines go.
    pub audit_log: Option<PathBuf>,
    /// Form of log lines.
    pub log_format: LogFormat,
    /// Least important level that is logged: error, warn, info, debug or trace.
    pub log_level: String,
    /// Longest single argument of a command.
    pub proto_max_bulk_bytes: usize,
    /// Unread reply bytes of one connection at most.
    pub output_bytes_max: usize,
    /// Seconds after which a client that reads none of its replies is disconnected; 0: never.
    pub output_stall_seconds: u64,
    /// Origins and the keyspaces mapped to them.
    pub origins: Origins,
    /// The configuration file, if there is one.
    pub config_file: Option<PathBuf>,
}

/// Reads all layers and checks the whole.
///
/// # Errors
/// Everything that is wrong, each with its place and remedy.
pub fn load(sources: &Sources) -> Result<(NodeSettings, Layered), Problems> {
    let layered = Layered::read(sources)?;
    let settings = refusals::settle(&layered)?;
    Ok((settings, layered))
}

/// Checks one file by itself, over the defaults.
///
/// # Errors
/// As [`load`].
pub fn check_file(path: &Path) -> Result<NodeSettings, Problems> {
    let layered = Layered::of_file(path)?;
    refusals::settle(&layered)
}
