//! Keys of the listeners, and the audit log: opened before anything else is touched, again on request.

use std::rc::Rc;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::{NodeConfig, NodeError};
use crate::telemetry::audit::Audit;
use crate::tls::clients::ClientTls;
use crate::tls::keys::{KeyStore, OwnKeys};
use crate::tls::watched::{FileTrouble, Watched};
use crate::worker::Thread;

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
            let own = OwnKeys {
                source: source.clone(),
                name: config.name.clone(),
            };
            KeyStore::open(own).map(Some).map_err(refused)
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

/// The keys of the listener for clients over TLS, if there is one.
///
/// # Errors
/// A file cannot be used.
pub fn open_for_clients(config: &NodeConfig) -> Result<Option<Arc<Watched<ClientTls>>>, NodeError> {
    let Some((_, tls)) = &config.tls_listen else {
        return Ok(None);
    };
    let opened = Watched::open(tls.clone());
    opened.map(Some).map_err(refused)
}

fn refused((path, what, remedy): FileTrouble) -> NodeError {
    NodeError::Keys(format!("{}: {what}\n  do: {remedy}", path.display()))
}

/// The audit log, if there is to be one.
///
/// # Errors
/// Its file cannot be opened.
pub fn open_audit(config: &NodeConfig) -> Result<Audit, NodeError> {
    let Some(path) = &config.audit_log else {
        return Ok(Audit::default());
    };
    Audit::open(path, &config.name).map_err(|error| {
        NodeError::Keys(format!(
            "audit-log {}: {error}\n  do: name a file in a folder that this user may write to",
            path.display()
        ))
    })
}

/// Reads the files again when the operator says so (SIGHUP), beside looking at them every second.
pub async fn reload_on_hangup(thread: Rc<Thread>) {
    let has_audit = thread.worker.borrow().guard.audit.is_on();
    if thread.peer_keys.is_none() && thread.client_keys.is_none() && !has_audit {
        return;
    }
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        tracing::warn!("SIGHUP cannot be listened for: files are read again when they change");
        return;
    };
    while hangup.recv().await.is_some() {
        thread.worker.borrow().guard.audit.reopen();
        if let Some(keys) = &thread.peer_keys {
            keys.look_now();
        }
        if let Some(keys) = &thread.client_keys {
            keys.look_now();
        }
    }
}
