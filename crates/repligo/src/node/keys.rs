//! Keys of the peer links: found before anything else is touched, read again on request.

use std::rc::Rc;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::{Node, NodeConfig, NodeError};
use crate::tls::keys::KeyStore;

/// The keys of a node of a cluster; `None` for a single node, and where plain links are allowed.
///
/// # Errors
/// A file cannot be used; or a cluster has no keys and the operator has not allowed that.
pub fn open(config: &NodeConfig, is_cluster: bool) -> Result<Option<Arc<KeyStore>>, NodeError> {
    if !is_cluster {
        return Ok(None);
    }
    match &config.peer_source {
        Some(source) => {
            let store = KeyStore::open(source.clone(), &config.name);
            let store = store.map_err(|(path, what, remedy)| {
                NodeError::Keys(format!("{}: {what}\n  do: {remedy}", path.display()))
            })?;
            Ok(Some(store))
        }
        None if config.insecure_peers => {
            tracing::warn!(
                "--insecure-peers: peer links are plain text and anybody who reaches the peer port is taken for a \
                 node; anybody can destroy this cluster. Give --cluster-secret-file instead"
            );
            Ok(None)
        }
        None => {
            let text = "a cluster needs --cluster-secret-file FILE: make one with `repligo secret new FILE`, and give \
                        every node a copy";
            Err(NodeError::Keys(text.to_owned()))
        }
    }
}

/// Reads the files again when the operator says so (SIGHUP), beside looking at them every second.
pub async fn reload_on_hangup(node: Rc<Node>) {
    let Some(store) = node.peer_keys.clone() else {
        return;
    };
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        tracing::warn!("SIGHUP cannot be listened for: files are read again when they change");
        return;
    };
    while hangup.recv().await.is_some() {
        store.look_now();
    }
}
