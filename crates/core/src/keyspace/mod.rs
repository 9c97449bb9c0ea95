//! The keyspace: sixteen databases and shard time.

/// Sixteen databases and shard time.
#[derive(Debug, Default)]
pub struct Keyspace {}
