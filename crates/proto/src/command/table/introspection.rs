//! Introspection: the command table itself, slow commands, latency, modules and access.

use super::prelude::*;

const BASE: Spec = row(Group::Server);

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::Command,
        name: "command",
        arity: -1,
        flags: LOADING | STALE,
        extra_categories: CONNECTION,
        tips: &["nondeterministic_output_order"],
        since: "2.8.13",
        complexity: "O(N) where N is the total number of Redis commands",
        summary: "Get array of Redis command details",
        subcommands: COMMAND,
        ..BASE
    },
    Spec {
        id: CommandId::SlowLog,
        name: "slowlog",
        arity: -2,
        since: "2.2.12",
        complexity: "Depends on subcommand.",
        summary: "A container for slow log commands",
        subcommands: SLOWLOG,
        ..BASE
    },
    Spec {
        id: CommandId::Latency,
        name: "latency",
        arity: -2,
        since: "2.8.13",
        complexity: "Depends on subcommand.",
        summary: "A container for latency diagnostics commands",
        subcommands: LATENCY,
        ..BASE
    },
    Spec {
        id: CommandId::Module,
        name: "module",
        arity: -2,
        since: "4.0.0",
        complexity: "Depends on subcommand.",
        summary: "A container for module commands",
        subcommands: MODULE,
        ..BASE
    },
    Spec {
        id: CommandId::Acl,
        name: "acl",
        arity: -2,
        since: "6.0.0",
        complexity: "Depends on subcommand.",
        summary: "A container for Access List Control commands",
        subcommands: ACL,
        ..BASE
    },
];

const COMMAND: &[Spec] = &[
    Spec {
        id: CommandId::CommandCount,
        name: "command|count",
        arity: 2,
        flags: LOADING | STALE,
        extra_categories: CONNECTION,
        since: "2.8.13",
        complexity: "O(1)",
        summary: "Get total number of Redis commands",
        ..BASE
    },
    Spec {
        id: CommandId::CommandGetKeys,
        name: "command|getkeys",
        arity: -4,
        flags: LOADING | STALE,
        extra_categories: CONNECTION,
        since: "2.8.13",
        complexity: "O(N) where N is the number of arguments to the command",
        summary: "Extract keys given a full Redis command",
        ..BASE
    },
    Spec {
        id: CommandId::CommandList,
        name: "command|list",
        arity: -2,
        flags: LOADING | STALE,
        extra_categories: CONNECTION,
        tips: &["nondeterministic_output_order"],
        since: "7.0.0",
        complexity: "O(N) where N is the total number of Redis commands",
        summary: "Get an array of Redis command names",
        arguments: &[one_of(
            "filterby",
            &[
                value("module-name", String).after("MODULE"),
                value("category", String).after("ACLCAT"),
                value("pattern", Pattern).after("PATTERN"),
            ],
        )
        .after("FILTERBY")
        .optional()],
        ..BASE
    },
    Spec {
        id: CommandId::CommandDocs,
        name: "command|docs",
        arity: -2,
        flags: LOADING | STALE,
        extra_categories: CONNECTION,
        tips: &["nondeterministic_output_order"],
        since: "7.0.0",
        complexity: "O(N) where N is the number of commands to look up",
        summary: "Get array of specific Redis command documentation",
        arguments: &[value("command-name", String).optional().multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::CommandInfo,
        name: "command|info",
        arity: -2,
        flags: LOADING | STALE,
        extra_categories: CONNECTION,
        tips: &["nondeterministic_output_order"],
        since: "2.8.13",
        complexity: "O(N) where N is the number of commands to look up",
        summary: "Get array of specific Redis command details, or all when no argument is given.",
        history: &[(
            "7.0.0",
            "Allowed to be called with no argument to get info on all commands.",
        )],
        arguments: &[value("command-name", String).optional().multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::CommandGetKeysAndFlags,
        name: "command|getkeysandflags",
        arity: -4,
        flags: LOADING | STALE,
        extra_categories: CONNECTION,
        since: "7.0.0",
        complexity: "O(N) where N is the number of arguments to the command",
        summary: "Extract keys and access flags given a full Redis command",
        ..BASE
    },
    Spec {
        id: CommandId::CommandHelp,
        name: "command|help",
        arity: 2,
        flags: LOADING | STALE,
        extra_categories: CONNECTION,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Show helpful text about the different subcommands",
        ..BASE
    },
];

const SLOWLOG: &[Spec] = &[
    Spec {
        id: CommandId::SlowLogGet,
        name: "slowlog|get",
        arity: -2,
        flags: ADMIN | LOADING | STALE,
        tips: &["request_policy:all_nodes", "nondeterministic_output"],
        since: "2.2.12",
        complexity: "O(N) where N is the number of entries returned",
        summary: "Get the slow log's entries",
        history: &[("4.0.0", "Added client IP address, port and name to the reply.")],
        arguments: &[value("count", Integer).optional()],
        ..BASE
    },
    Spec {
        id: CommandId::SlowLogLen,
        name: "slowlog|len",
        arity: 2,
        flags: ADMIN | LOADING | STALE,
        tips: &[
            "request_policy:all_nodes",
            "response_policy:agg_sum",
            "nondeterministic_output",
        ],
        since: "2.2.12",
        complexity: "O(1)",
        summary: "Get the slow log's length",
        ..BASE
    },
    Spec {
        id: CommandId::SlowLogReset,
        name: "slowlog|reset",
        arity: 2,
        flags: ADMIN | LOADING | STALE,
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        since: "2.2.12",
        complexity: "O(N) where N is the number of entries in the slowlog",
        summary: "Clear all entries from the slow log",
        ..BASE
    },
    Spec {
        id: CommandId::SlowLogHelp,
        name: "slowlog|help",
        arity: 2,
        flags: LOADING | STALE,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Show helpful text about the different subcommands",
        ..BASE
    },
];

const LATENCY: &[Spec] = &[
    Spec {
        id: CommandId::LatencyLatest,
        name: "latency|latest",
        arity: 2,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        tips: &[
            "nondeterministic_output",
            "request_policy:all_nodes",
            "response_policy:special",
        ],
        since: "2.8.13",
        complexity: "O(1)",
        summary: "Return the latest latency samples for all events.",
        ..BASE
    },
    Spec {
        id: CommandId::LatencyHistogram,
        name: "latency|histogram",
        arity: -2,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        tips: &[
            "nondeterministic_output",
            "request_policy:all_nodes",
            "response_policy:special",
        ],
        since: "7.0.0",
        complexity: "O(N) where N is the number of commands with latency information being retrieved.",
        summary: "Return the cumulative distribution of latencies of a subset of commands or all.",
        arguments: &[value("command", String).optional().multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::LatencyReset,
        name: "latency|reset",
        arity: -2,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        since: "2.8.13",
        complexity: "O(1)",
        summary: "Reset latency data for one or more events.",
        arguments: &[value("event", String).optional().multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::LatencyHelp,
        name: "latency|help",
        arity: 2,
        flags: LOADING | STALE,
        since: "2.8.13",
        complexity: "O(1)",
        summary: "Show helpful text about the different subcommands.",
        ..BASE
    },
];

const MODULE: &[Spec] = &[
    Spec {
        id: CommandId::ModuleList,
        name: "module|list",
        arity: 2,
        flags: ADMIN | NOSCRIPT,
        tips: &["nondeterministic_output_order"],
        since: "4.0.0",
        complexity: "O(N) where N is the number of loaded modules.",
        summary: "List all modules loaded by the server",
        ..BASE
    },
    Spec {
        id: CommandId::ModuleHelp,
        name: "module|help",
        arity: 2,
        flags: LOADING | STALE,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Show helpful text about the different subcommands",
        ..BASE
    },
];

const ACL: &[Spec] = &[
    Spec {
        id: CommandId::AclWhoAmI,
        name: "acl|whoami",
        arity: 2,
        flags: NOSCRIPT | LOADING | STALE,
        since: "6.0.0",
        complexity: "O(1)",
        summary: "Return the name of the user associated to the current connection",
        ..BASE
    },
    Spec {
        id: CommandId::AclHelp,
        name: "acl|help",
        arity: 2,
        flags: LOADING | STALE,
        since: "6.0.0",
        complexity: "O(1)",
        summary: "Show helpful text about the different subcommands",
        ..BASE
    },
];
