//! TLS: who a node is, whom it believes, and encrypted streams.
//!
//! What is trusted ([`secret`], [`authority`], [`verify`]) is apart from how bytes move ([`stream`]) and
//! from when files are read again ([`watched`]). Nothing here knows frames or commands.
//!
//! Invariants: a peer link is TLS 1.3 with a certificate on both sides; a certificate is a node's only by
//! both its usages and its name; private keys and secrets are in no log line and no error.

pub mod authority;
pub mod clients;
pub mod identity;
pub mod keys;
pub mod pem;
pub mod reason;
pub mod secret;
pub mod stream;
pub mod subject;
pub mod validity;
pub mod verify;
pub mod watched;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The implementation of the cryptography, the same for everything.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    PROVIDER
        .get_or_init(|| Arc::new(rustls::crypto::ring::default_provider()))
        .clone()
}
