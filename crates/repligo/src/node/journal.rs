//! The first line of a node's log: which program runs where, and on what.

use std::path::Path;

use repligo_core::contract::Durability;

use super::{NodeConfig, Ready};

/// Writes it.
pub(super) fn log_start(config: &NodeConfig, ready: &Ready) {
    let shown =
        |address: Option<std::net::SocketAddr>| address.map_or_else(|| "-".to_owned(), |a| a.to_string());
    let (durability, keeps) = match config.durability {
        Durability::None => ("none", false),
        Durability::Os => ("os", true),
        Durability::Fsync => ("fsync", true),
    };
    let dir = std::path::absolute(&config.data_dir);
    let dir = dir.as_deref().unwrap_or(&config.data_dir);
    let dir = if keeps { dir } else { Path::new("-") };
    let cluster: Vec<String> = config
        .cluster
        .iter()
        .map(|(name, address)| format!("{name}={address}"))
        .collect();
    tracing::info!(
        version = %env!("CARGO_PKG_VERSION"),
        name = %config.name,
        resp = %ready.resp,
        tls = %shown(ready.tls),
        peer = %shown(ready.peer),
        admin = %shown(ready.admin),
        data_dir = %dir.display(),
        durability = %durability,
        cluster = %if cluster.is_empty() { "-".to_owned() } else { cluster.join(",") },
        pid = ready.pid,
        "starting"
    );
}
