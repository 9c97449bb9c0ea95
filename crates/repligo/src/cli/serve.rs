//! `repligo serve`: configuration → logs → one node, until it stops.

use std::path::Path;
use std::process::ExitCode;

use clap::ArgMatches;
use repligo_core::eviction::EvictionPolicy;

use crate::admin;
use crate::config::{self, NodeSettings};
use crate::net::options::ListenError;
use crate::node::{self, NodeConfig, NodeError, Ready};
use crate::origin::{OriginConfig, Places};
use crate::telemetry::process;
use crate::tls::watched::Watched;

/// `repligo serve …`.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let sources = match super::args::node_sources(matches) {
        Ok(sources) => sources,
        Err(text) => return super::fail(super::WRONG_USAGE, text),
    };
    let (settings, layered) = match config::load(&sources) {
        Ok(loaded) => loaded,
        Err(problems) => return super::fail(super::WRONG_USAGE, problems),
    };
    super::logs::start(settings.log_format, &settings.log_level);
    for warning in &layered.warnings {
        tracing::warn!("{warning}");
    }
    warn_about(&settings);
    if !settings.core_dumps
        && let Err(error) = process::forbid_core_dumps()
    {
        tracing::warn!(%error, "core dumps cannot be turned off: a crash may leave data and secrets in a file");
    }
    let config = match node_config(settings) {
        Ok(config) => config,
        Err(text) => return super::fail(super::WRONG_USAGE, text),
    };
    match node::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        // As `config check` has it: the configuration is wrong, and starting again does not help.
        Err(error @ (NodeError::Keys(_) | NodeError::Origin(_))) => super::fail(super::WRONG_USAGE, error),
        Err(error) => super::fail(super::FAILED, explain(&error)),
    }
}

/// The node's own words, and who holds the port where that is the trouble.
fn explain(error: &NodeError) -> String {
    let holder = match error {
        NodeError::Listen(ListenError { address, source, .. })
            if source.kind() == std::io::ErrorKind::AddrInUse =>
        {
            address.parse().ok().and_then(super::holder::of_address)
        }
        _ => None,
    };
    match holder {
        Some(holder) => format!("{error}\n  held by: {holder}"),
        None => error.to_string(),
    }
}

/// What is allowed and yet worth a line in the log.
fn warn_about(settings: &NodeSettings) {
    let members = settings.members.len();
    if members > 0 && members.is_multiple_of(2) {
        tracing::warn!(
            members,
            "an even number of nodes survives no more failures than one node less; three or five are usual"
        );
    }
    let is_exposed = |address: std::net::SocketAddr| !address.ip().is_loopback();
    if is_exposed(settings.listen) && settings.requirepass.is_none() {
        tracing::warn!(
            "--insecure: clients of other machines are served in plain text and without a password; anybody who \
             reaches {} can read and change everything",
            settings.listen
        );
    }
    if is_exposed(settings.admin_listen) && settings.admin_token.is_none() {
        tracing::warn!(
            "--insecure: anybody who reaches {} can read metrics and the status of the cluster; \
             --admin-token-file guards them",
            settings.admin_listen
        );
    }
    if is_exposed(settings.admin_listen) && settings.admin_token.is_some() && settings.admin_tls.is_none() {
        tracing::warn!(
            "--insecure: the token of admin HTTP passes the network in plain text to {}; --admin-tls-cert and \
             --admin-tls-key encrypt it",
            settings.admin_listen
        );
    }
    if settings.memory.bytes_max == 0 && settings.memory.policy != EvictionPolicy::NoEviction {
        tracing::warn!("a maxmemory-policy does nothing without maxmemory");
    }
}

/// The databases as their drivers want them.
pub(super) fn origin_configs(settings: &NodeSettings) -> Vec<OriginConfig> {
    let file = settings
        .config_file
        .as_deref()
        .unwrap_or(Path::new("the configuration"));
    let at = |line: usize| format!("{}:{line}", file.display());
    let keyspaces = |origin: &str| {
        let sections = settings.origins.keyspaces.iter();
        let mine = sections.filter(|keyspace| keyspace.origin == origin);
        mine.map(|keyspace| {
            (
                keyspace.name.clone(),
                [at(keyspace.line), at(keyspace.table_line)],
            )
        })
        .collect()
    };
    let origins = settings.origins.origins.iter();
    origins
        .map(|origin| OriginConfig {
            name: origin.name.clone(),
            url: origin.url.clone(),
            statement_timeout: origin.statement_timeout,
            places: Places {
                origin: at(origin.line),
                keyspaces: keyspaces(&origin.name),
            },
        })
        .collect()
}

/// The same as the node wants it.
///
/// # Errors
/// A file of admin HTTP cannot be used.
fn node_config(settings: NodeSettings) -> Result<NodeConfig, String> {
    let admin_keys = settings.admin_tls.clone().map(Watched::open).transpose();
    let admin_keys =
        admin_keys.map_err(|(path, what, remedy)| format!("{}: {what}\n  do: {remedy}", path.display()))?;
    let door = admin::Door {
        token: settings.admin_token.clone(),
        keys: admin_keys.clone(),
    };
    let origins = origin_configs(&settings);
    let cluster = settings
        .members
        .iter()
        .map(|member| (member.name.clone(), member.address()))
        .collect();
    Ok(NodeConfig {
        name: settings.name,
        listen: settings.listen.to_string(),
        tls_listen: settings
            .tls_listen
            .map(|(address, tls)| (address.to_string(), tls)),
        unix_socket: settings.unix_socket,
        peer_listen: settings.peer_listen.to_string(),
        admin_listen: Some(settings.admin_listen.to_string()),
        advertise: settings.advertise,
        requirepass: settings.requirepass,
        needs_password: settings.needs_password,
        data_dir: settings.data_dir,
        durability: settings.durability,
        cluster,
        join: settings.join,
        peer_source: settings.peer_source,
        insecure_peers: settings.insecure_peers,
        memory: settings.memory,
        maxclients: settings.maxclients,
        audit_log: settings.audit_log,
        clients: settings.clients,
        workers: settings.workers,
        workers_busy_percent: settings.workers_busy_percent,
        output_bytes_max: settings.output_bytes_max,
        output_stall_seconds: settings.output_stall_seconds,
        proto_max_bulk_bytes: settings.proto_max_bulk_bytes,
        origin: settings.origins.map.clone(),
        origins,
        config_file: settings
            .config_file
            .map(|path| path.display().to_string())
            .unwrap_or_default(),
        admin_keys,
        admin_hook: Some(Box::new(move |listener, shared| {
            admin::start(listener, shared, &door);
        })),
        ready_hook: Some(Box::new(print_ready)),
        ..NodeConfig::default()
    })
}

/// The one line that scripts wait for.
fn print_ready(ready: &Ready) {
    let shown =
        |address: Option<std::net::SocketAddr>| address.map_or_else(|| "-".to_string(), |a| a.to_string());
    super::print(format_args!(
        "repligo ready name={} resp={} peer={} admin={} pid={}{}\n",
        ready.name,
        ready.resp,
        shown(ready.peer),
        shown(ready.admin),
        ready.pid,
        ready
            .tls
            .map_or_else(String::new, |address| format!(" tls={address}"))
    ));
}
