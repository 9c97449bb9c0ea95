//! What of a node does not change after its start.

use std::sync::Arc;

use repligo_core::origin::OriginMap;

/// What does not change after the start.
#[derive(Debug)]
pub struct Facts {
    /// Name of the node.
    pub name: String,
    /// Random per start, 40 hex digits.
    pub run_id: String,
    /// Port of the RESP listener.
    pub client_port: u16,
    /// What clients and other nodes are told.
    pub client_address: String,
    /// Where clients connect over TLS; empty where they cannot.
    pub tls_address: String,
    /// How clients connect, as INFO tells it: `name=…,bind=…,port=…`.
    pub listeners: Vec<String>,
    /// For INFO.
    pub config_file: String,
    /// Wall clock at start.
    pub started_wall_ms: u64,
    /// Boot clock at start.
    pub started_us: u64,
    /// Keys with an origin.
    pub origin: Arc<OriginMap>,
}

impl Facts {
    /// Milliseconds since the node started, at this time of the boot clock.
    pub fn uptime_ms(&self, now_us: u64) -> u64 {
        now_us.saturating_sub(self.started_us) / 1000
    }
}
