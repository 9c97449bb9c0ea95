//! The server: its state, its settings, and dropping all data.

use super::prelude::*;

const BASE: Spec = row(Group::Server);

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::Info,
        name: "info",
        arity: -1,
        flags: LOADING | STALE,
        extra_categories: DANGEROUS,
        tips: &[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Report on the node, section by section",
        arguments: &[value("section", String).optional().multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::Monitor,
        name: "monitor",
        arity: 1,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        since: "1.0.0",
        complexity: "O(1); each request costs its length for each client that is shown it",
        summary: "Show the requests of this node's clients, without secrets",
        ..BASE
    },
    Spec {
        id: CommandId::DbSize,
        name: "dbsize",
        arity: 1,
        flags: READONLY | FAST,
        extra_categories: KEYSPACE,
        tips: &["request_policy:all_shards", "response_policy:agg_sum"],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Count the keys of the database",
        ..BASE
    },
    Spec {
        id: CommandId::FlushDb,
        name: "flushdb",
        arity: -1,
        flags: WRITE,
        extra_categories: KEYSPACE | DANGEROUS,
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        since: "1.0.0",
        complexity: "O(1); memory is given back in slices",
        summary: "Empty the database in use",
        arguments: &[one_of(
            "async",
            &[
                token("async", "ASYNC").since("4.0.0"),
                token("sync", "SYNC").since("6.2.0"),
            ],
        )
        .optional()],
        ..BASE
    },
    Spec {
        id: CommandId::FlushAll,
        name: "flushall",
        arity: -1,
        flags: WRITE,
        extra_categories: KEYSPACE | DANGEROUS,
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        since: "1.0.0",
        complexity: "O(1); memory is given back in slices",
        summary: "Empty all sixteen databases",
        arguments: &[one_of(
            "async",
            &[
                token("async", "ASYNC").since("4.0.0"),
                token("sync", "SYNC").since("6.2.0"),
            ],
        )
        .optional()],
        ..BASE
    },
    Spec {
        id: CommandId::SwapDb,
        name: "swapdb",
        arity: 3,
        flags: WRITE | FAST,
        extra_categories: KEYSPACE | DANGEROUS,
        since: "4.0.0",
        complexity: "O(1), however much the databases hold",
        summary: "Exchange two databases",
        arguments: &[value("index1", Integer), value("index2", Integer)],
        ..BASE
    },
    Spec {
        id: CommandId::Time,
        name: "time",
        arity: 1,
        flags: LOADING | STALE | FAST,
        tips: &["nondeterministic_output"],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Tell the node's wall clock",
        ..BASE
    },
    Spec {
        id: CommandId::Role,
        name: "role",
        arity: 1,
        flags: NOSCRIPT | LOADING | STALE | FAST,
        extra_categories: category::ADMIN | DANGEROUS,
        since: "2.8.12",
        complexity: "O(1)",
        summary: "Tell whether this node leads or follows, and whom",
        ..BASE
    },
    Spec {
        id: CommandId::Config,
        name: "config",
        arity: -2,
        since: "2.0.0",
        complexity: "See the subcommands",
        summary: "Parameters while the node runs",
        subcommands: CONFIG,
        ..BASE
    },
    Spec {
        id: CommandId::Memory,
        name: "memory",
        arity: -2,
        since: "4.0.0",
        complexity: "See the subcommands",
        summary: "What memory is used for",
        subcommands: MEMORY,
        ..BASE
    },
];

const CONFIG: &[Spec] = &[
    Spec {
        id: CommandId::ConfigGet,
        name: "config|get",
        arity: -3,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        since: "2.0.0",
        complexity: "O(N), N being the parameters",
        summary: "Show parameters whose names fit the patterns",
        arguments: &[block("parameter", &[value("parameter", String)]).multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::ConfigSet,
        name: "config|set",
        arity: -4,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        since: "2.0.0",
        complexity: "O(N), N being the parameters given",
        summary: "Change parameters at once, all of them or none",
        arguments: &[block(
            "parameter_value",
            &[value("parameter", String), value("value", String)],
        )
        .multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::ConfigResetStat,
        name: "config|resetstat",
        arity: 2,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Start the counters of INFO over",
        ..BASE
    },
    Spec {
        id: CommandId::ConfigHelp,
        name: "config|help",
        arity: 2,
        flags: LOADING | STALE,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "List the subcommands of CONFIG",
        ..BASE
    },
];

const MEMORY: &[Spec] = &[
    Spec {
        id: CommandId::MemoryUsage,
        name: "memory|usage",
        arity: -3,
        flags: READONLY,
        keys: SECOND,
        key_uses: &[key_use(SECOND, &["RO"])],
        since: "4.0.0",
        complexity: "O(1)",
        summary: "Tell how many bytes a key with its value takes",
        arguments: &[KEY, value("count", Integer).after("SAMPLES").optional()],
        ..BASE
    },
    Spec {
        id: CommandId::MemoryHelp,
        name: "memory|help",
        arity: 2,
        flags: LOADING | STALE,
        since: "4.0.0",
        complexity: "O(1)",
        summary: "List the subcommands of MEMORY",
        ..BASE
    },
];
