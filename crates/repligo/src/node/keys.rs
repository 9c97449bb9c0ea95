//! Keys of the listeners, and the audit log: opened before anything else is touched, again on request.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};

use super::{NodeConfig, NodeError};
use crate::telemetry::CertificateStatus;
use crate::telemetry::audit::Audit;
use crate::telemetry::problems::CERTIFICATE_DAYS;
use crate::tls::clients::{ClientKeyStore, ClientTls};
use crate::tls::keys::{KeyStore, OwnKeys};
use crate::tls::watched::{FileTrouble, Watched};
use crate::worker::Thread;

/// Distance of two looks at when certificates end.
const LOOK_AT_ENDS: Duration = Duration::from_secs(2);
/// Days before its end at which a certificate is warned of.
const WARN_AT_DAYS: [i64; 3] = [CERTIFICATE_DAYS, 7, 1];

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

/// Tells the status when certificates end, and warns of those that do so soon.
pub async fn watch_ends(thread: Rc<Thread>, admin: Option<Arc<ClientKeyStore>>) {
    let mut warned = BTreeMap::new();
    loop {
        let of_clients = |shown_to, keys: &ClientKeyStore| {
            let ends_s = keys.current().end()?;
            Some(CertificateStatus {
                shown_to,
                ends_s,
                renews_itself: false,
            })
        };
        let clients = thread.client_keys.as_deref();
        let peers = thread.peer_keys.as_deref().map(|keys| {
            let keys = keys.current();
            CertificateStatus {
                shown_to: "nodes",
                ends_s: keys.end,
                renews_itself: keys.renews_itself(),
            }
        });
        let clients = clients.and_then(|keys| of_clients("clients", keys));
        let admin = admin.as_deref().and_then(|keys| of_clients("admin", keys));
        let found: Vec<CertificateStatus> = [clients, peers, admin].into_iter().flatten().collect();
        let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        for certificate in found.iter().filter(|certificate| !certificate.renews_itself) {
            let days = certificate.days_left(since_1970.as_millis() as u64);
            if is_worse(&mut warned, certificate.shown_to, days) {
                let shown_to = certificate.shown_to;
                tracing::warn!(
                    days,
                    "the certificate that is shown to {shown_to} {}",
                    ending(days)
                );
            }
        }
        thread.worker.borrow().shared.status().certificates = found;
        tokio::time::sleep(LOOK_AT_ENDS).await;
    }
}

/// Whether a certificate with so many days left is nearer to its end than when it was last warned of.
fn is_worse(warned: &mut BTreeMap<&'static str, usize>, shown_to: &'static str, days: i64) -> bool {
    let bounds = WARN_AT_DAYS.iter().chain(&[0]);
    let passed = bounds.filter(|bound| days < **bound).count();
    let before = warned.insert(shown_to, passed).unwrap_or(0);
    passed > before
}

fn ending(days: i64) -> String {
    match days {
        ..0 => "has ended: whoever checks it is refused; give a new one, which is read while the node runs"
            .to_owned(),
        _ => format!(
            "ends within {} days; give a new one, which is read while the node runs",
            days + 1
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_warned_of_once_at_each_bound_and_anew_after_a_new_one() {
        let mut warned = BTreeMap::new();
        let days = [100, 30, 29, 20, 6, 6, 1, 0, 0, -1, -5, 90, 29];
        let expect = [0, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 0, 1];
        for (at, (days, expect)) in days.into_iter().zip(expect).enumerate() {
            assert_eq!(
                is_worse(&mut warned, "clients", days),
                expect == 1,
                "{at}: {days}"
            );
        }
        assert!(is_worse(&mut warned, "admin", 3), "each for itself");
        assert!(ending(-1).contains("has ended") && ending(29).contains("within 30 days"));
    }
}
