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
        summary: "Get information and statistics about the server",
        history: &[("7.0.0", "Added support for taking multiple section arguments.")],
        arguments: &[value("section", String).optional().multiple()],
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
        summary: "Return the number of keys in the selected database",
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
        complexity: "O(N) where N is the number of keys in the selected database",
        summary: "Remove all keys from the current database",
        history: &[
            ("4.0.0", "Added the `ASYNC` flushing mode modifier."),
            ("6.2.0", "Added the `SYNC` flushing mode modifier."),
        ],
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
        complexity: "O(N) where N is the total number of keys in all databases",
        summary: "Remove all keys from all databases",
        history: &[
            ("4.0.0", "Added the `ASYNC` flushing mode modifier."),
            ("6.2.0", "Added the `SYNC` flushing mode modifier."),
        ],
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
        id: CommandId::Time,
        name: "time",
        arity: 1,
        flags: LOADING | STALE | FAST,
        tips: &["nondeterministic_output"],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Return the current server time",
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
        summary: "Return the role of the instance in the context of replication",
        ..BASE
    },
    Spec {
        id: CommandId::Config,
        name: "config",
        arity: -2,
        since: "2.0.0",
        complexity: "Depends on subcommand.",
        summary: "A container for server configuration commands",
        subcommands: CONFIG,
        ..BASE
    },
    Spec {
        id: CommandId::Memory,
        name: "memory",
        arity: -2,
        since: "4.0.0",
        complexity: "Depends on subcommand.",
        summary: "A container for memory diagnostics commands",
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
        complexity: "O(N) when N is the number of configuration parameters provided",
        summary: "Get the values of configuration parameters",
        history: &[(
            "7.0.0",
            "Added the ability to pass multiple pattern parameters in one call",
        )],
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
        complexity: "O(N) when N is the number of configuration parameters provided",
        summary: "Set configuration parameters to the given values",
        history: &[(
            "7.0.0",
            "Added the ability to set multiple parameters in one call.",
        )],
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
        summary: "Reset the stats returned by INFO",
        ..BASE
    },
    Spec {
        id: CommandId::ConfigHelp,
        name: "config|help",
        arity: 2,
        flags: LOADING | STALE,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Show helpful text about the different subcommands",
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
        complexity: "O(N) where N is the number of samples.",
        summary: "Estimate the memory usage of a key",
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
        summary: "Show helpful text about the different subcommands",
        ..BASE
    },
];
