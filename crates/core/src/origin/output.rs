//! What a flusher wants done: calls for the driver, ops for the log, answers for readers, words for people.

use bytes::Bytes;

use super::op::OriginOp;
use super::request::OriginRequest;

/// A load that failed: its readers get the error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedLoad {
    /// Position of the keyspace in the configuration.
    pub keyspace: u16,
    /// The whole key.
    pub key: Bytes,
    /// The whole error, code word first; not applied.
    pub error: String,
}

/// What the flusher wants done. Reused: the replica drains it.
#[derive(Debug, Default)]
pub struct FlusherOutput {
    /// For the driver, in order.
    pub requests: Vec<OriginRequest>,
    /// For the log, in order.
    pub proposals: Vec<OriginOp<'static>>,
    /// For readers that wait.
    pub failed_loads: Vec<FailedLoad>,
    /// For the operator, one sentence each.
    pub warnings: Vec<String>,
}
