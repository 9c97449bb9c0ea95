//! Commands that only Repligo has.

use super::prelude::*;

const BASE: Spec = row(Group::Repligo);

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::RepligoBackup,
        name: "repligo.backup",
        arity: -2,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        extra_categories: category::REPLIGO,
        tips: &["nondeterministic_output"],
        since: "0.1.0",
        complexity: "O(N), N being the bytes read",
        summary: "Read a snapshot of all data from this node (BEGIN, STATE, READ, END), for `repligo backup`",
        ..BASE
    },
    Spec {
        id: CommandId::RepligoCluster,
        name: "repligo.cluster",
        arity: -2,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        extra_categories: category::REPLIGO,
        tips: &["nondeterministic_output"],
        since: "0.1.0",
        complexity: "O(N), N being the members",
        summary: "Show the members of the cluster (NODES), or change them: ADD, REMOVE, REPLACE, TRANSFER",
        ..BASE
    },
    Spec {
        id: CommandId::RepligoConsistency,
        name: "repligo.consistency",
        arity: -1,
        flags: LOADING | STALE | FAST,
        extra_categories: CONNECTION | category::REPLIGO,
        since: "0.1.0",
        complexity: "O(1)",
        summary: "Tell at which level this connection reads (nothing, or GET), or choose it: READ bounded:200ms",
        ..BASE
    },
    Spec {
        id: CommandId::RepligoInvalidate,
        name: "repligo.invalidate",
        arity: -2,
        flags: WRITE,
        extra_categories: KEYSPACE | category::REPLIGO,
        keys: ALL,
        key_uses: &[key_use(ALL, &["RM", "delete"])],
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        since: "0.1.0",
        complexity: "O(N), N being the keys",
        summary: "Drop the cached copies of rows, so that the next read loads them from the database",
        arguments: &[KEY.multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::RepligoSession,
        name: "repligo.session",
        arity: -1,
        flags: NOSCRIPT | LOADING | STALE | FAST,
        extra_categories: CONNECTION | category::REPLIGO,
        tips: &["nondeterministic_output"],
        since: "0.1.0",
        complexity: "O(1)",
        summary: "Tell what this connection was told so far as a token (nothing), or read nothing older than a token from elsewhere",
        ..BASE
    },
    Spec {
        id: CommandId::RepligoStatus,
        name: "repligo.status",
        arity: 1,
        flags: LOADING | STALE,
        extra_categories: category::REPLIGO,
        tips: &["nondeterministic_output"],
        since: "0.1.0",
        complexity: "O(N), N being the nodes",
        summary: "Tell the state of all nodes as JSON",
        ..BASE
    },
];
