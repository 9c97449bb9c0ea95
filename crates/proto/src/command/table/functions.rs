//! The subcommands of FUNCTION.

use super::prelude::*;

/// What the subcommands have in common.
const BASE: Spec = Spec {
    flags: NOSCRIPT,
    extra_categories: category::SCRIPTING,
    since: "7.0.0",
    ..row(Group::Scripting)
};
const ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

pub(super) const FUNCTION: &[Spec] = &[
    Spec {
        id: CommandId::FunctionLoad,
        name: "function|load",
        arity: -3,
        flags: NOSCRIPT | WRITE | DENYOOM,
        tips: ALL_SHARDS,
        complexity: "O(N), N being the bytes of the library, and what it executes while it is loaded",
        summary: "Keep a library on every node",
        arguments: &[
            token("replace", "REPLACE").optional(),
            value("function-code", String),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::FunctionDelete,
        name: "function|delete",
        arity: 3,
        flags: NOSCRIPT | WRITE,
        tips: ALL_SHARDS,
        complexity: "O(N), N being the functions of the library",
        summary: "Forget a library and its functions",
        arguments: &[value("library-name", String)],
        ..BASE
    },
    Spec {
        id: CommandId::FunctionFlush,
        name: "function|flush",
        arity: -2,
        flags: NOSCRIPT | WRITE,
        tips: ALL_SHARDS,
        complexity: "O(N), N being the functions of all libraries",
        summary: "Forget all libraries",
        arguments: &[one_of("async", &[token("async", "ASYNC"), token("sync", "SYNC")]).optional()],
        ..BASE
    },
    Spec {
        id: CommandId::FunctionList,
        name: "function|list",
        arity: -2,
        flags: NOSCRIPT | STATE_READ,
        tips: &["nondeterministic_output_order"],
        complexity: "O(N), N being the functions of all libraries",
        summary: "Tell which libraries there are, and what is in them",
        arguments: &[
            value("library-name-pattern", String)
                .after("LIBRARYNAME")
                .optional(),
            token("withcode", "WITHCODE").optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::FunctionDump,
        name: "function|dump",
        arity: 2,
        flags: NOSCRIPT | STATE_READ,
        complexity: "O(N), N being the bytes of all libraries",
        summary: "Give all libraries as one payload",
        ..BASE
    },
    Spec {
        id: CommandId::FunctionRestore,
        name: "function|restore",
        arity: -3,
        flags: NOSCRIPT | WRITE | DENYOOM,
        tips: ALL_SHARDS,
        complexity: "O(N), N being the bytes of the payload, and what its libraries execute while they are loaded",
        summary: "Take in the libraries of a payload, all of them or none",
        arguments: &[
            value("serialized-value", String),
            one_of(
                "policy",
                &[
                    token("flush", "FLUSH"),
                    token("append", "APPEND"),
                    token("replace", "REPLACE"),
                ],
            )
            .optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::FunctionStats,
        name: "function|stats",
        arity: 2,
        flags: NOSCRIPT | ALLOW_BUSY | STATE_READ,
        tips: &[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ],
        complexity: "O(1)",
        summary: "Count libraries and functions",
        ..BASE
    },
    Spec {
        id: CommandId::FunctionKill,
        name: "function|kill",
        arity: 2,
        flags: NOSCRIPT | ALLOW_BUSY,
        tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
        complexity: "O(1)",
        summary: "Say that no function can be ended from outside: each ends by its budget",
        ..BASE
    },
    Spec {
        id: CommandId::FunctionHelp,
        name: "function|help",
        arity: 2,
        flags: LOADING | STALE,
        complexity: "O(1)",
        summary: "List the subcommands of FUNCTION",
        ..BASE
    },
];
