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
        complexity: "O(N), N being the commands",
        summary: "Describe every command to programs",
        subcommands: COMMAND,
        ..BASE
    },
    Spec {
        id: CommandId::SlowLog,
        name: "slowlog",
        arity: -2,
        since: "2.2.12",
        complexity: "See the subcommands",
        summary: "What took long on this node",
        subcommands: SLOWLOG,
        ..BASE
    },
    Spec {
        id: CommandId::Latency,
        name: "latency",
        arity: -2,
        since: "2.8.13",
        complexity: "See the subcommands",
        summary: "How long commands take",
        subcommands: LATENCY,
        ..BASE
    },
    Spec {
        id: CommandId::Module,
        name: "module",
        arity: -2,
        since: "4.0.0",
        complexity: "See the subcommands",
        summary: "Modules, of which there are none",
        subcommands: MODULE,
        ..BASE
    },
    Spec {
        id: CommandId::Acl,
        name: "acl",
        arity: -2,
        since: "6.0.0",
        complexity: "See the subcommands",
        summary: "Who may do what",
        subcommands: super::users::ACL,
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
        summary: "Tell how many commands there are",
        ..BASE
    },
    Spec {
        id: CommandId::CommandGetKeys,
        name: "command|getkeys",
        arity: -4,
        flags: LOADING | STALE,
        extra_categories: CONNECTION,
        since: "2.8.13",
        complexity: "O(N), N being its words",
        summary: "Find the keys in a whole request",
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
        complexity: "O(N), N being the commands",
        summary: "Name all commands, or those that a filter lets through",
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
        complexity: "O(N), N being the commands asked for",
        summary: "Document commands for programs: syntax, group, since when",
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
        complexity: "O(N), N being the commands asked for",
        summary: "Describe some commands to programs, or all of them",
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
        complexity: "O(N), N being its words",
        summary: "Find the keys in a whole request, and what it does with each",
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
        summary: "List the subcommands of COMMAND",
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
        complexity: "O(N), N being the requests shown",
        summary: "Show the requests that took longest of late",
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
        summary: "Count what the slow log holds",
        ..BASE
    },
    Spec {
        id: CommandId::SlowLogReset,
        name: "slowlog|reset",
        arity: 2,
        flags: ADMIN | LOADING | STALE,
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        since: "2.2.12",
        complexity: "O(N), N being what it holds",
        summary: "Empty the slow log",
        ..BASE
    },
    Spec {
        id: CommandId::SlowLogHelp,
        name: "slowlog|help",
        arity: 2,
        flags: LOADING | STALE,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "List the subcommands of SLOWLOG",
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
        summary: "Show the last spike of each kind; none are recorded",
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
        complexity: "O(N), N being the commands asked for",
        summary: "Show for commands how many calls took how long",
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
        summary: "Forget recorded spikes; none are recorded",
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
        summary: "List the subcommands of LATENCY",
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
        complexity: "O(1)",
        summary: "List loaded modules: always an empty list",
        ..BASE
    },
    Spec {
        id: CommandId::ModuleHelp,
        name: "module|help",
        arity: 2,
        flags: LOADING | STALE,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "List the subcommands of MODULE",
        ..BASE
    },
];
