//! Handshake, authentication and the connection itself.

use super::prelude::*;

const BASE: Spec = row(Group::Connection);

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::Hello,
        name: "hello",
        arity: -1,
        flags: NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
        extra_categories: CONNECTION,
        since: "6.0.0",
        complexity: "O(1)",
        summary: "Handshake with Redis",
        history: &[(
            "6.2.0",
            "`protover` made optional; when called without arguments the command reports the current connection's context.",
        )],
        arguments: &[block(
            "arguments",
            &[
                value("protover", Integer),
                block(
                    "username_password",
                    &[value("username", String), value("password", String)],
                )
                .after("AUTH")
                .optional(),
                value("clientname", String).after("SETNAME").optional(),
            ],
        )
        .optional()],
        ..BASE
    },
    Spec {
        id: CommandId::Auth,
        name: "auth",
        arity: -2,
        flags: NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
        extra_categories: CONNECTION,
        since: "1.0.0",
        complexity: "O(N) where N is the number of passwords defined for the user",
        summary: "Authenticate to the server",
        history: &[("6.0.0", "Added ACL style (username and password).")],
        arguments: &[
            value("username", String).since("6.0.0").optional(),
            value("password", String),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::Ping,
        name: "ping",
        arity: -1,
        flags: FAST,
        extra_categories: CONNECTION,
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Ping the server",
        arguments: &[value("message", String).optional()],
        ..BASE
    },
    Spec {
        id: CommandId::Echo,
        name: "echo",
        arity: 2,
        flags: LOADING | STALE | FAST,
        extra_categories: CONNECTION,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Echo the given string",
        arguments: &[value("message", String)],
        ..BASE
    },
    Spec {
        id: CommandId::Select,
        name: "select",
        arity: 2,
        flags: LOADING | STALE | FAST,
        extra_categories: CONNECTION,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Change the selected database for the current connection",
        arguments: &[value("index", Integer)],
        ..BASE
    },
    Spec {
        id: CommandId::Quit,
        name: "quit",
        arity: -1,
        flags: NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
        extra_categories: CONNECTION,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Close the connection",
        ..BASE
    },
    Spec {
        id: CommandId::Reset,
        name: "reset",
        arity: 1,
        flags: NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
        extra_categories: CONNECTION,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Reset the connection",
        ..BASE
    },
    Spec {
        id: CommandId::Client,
        name: "client",
        arity: -2,
        since: "2.4.0",
        complexity: "Depends on subcommand.",
        summary: "A container for client connection commands",
        subcommands: CLIENT,
        ..BASE
    },
    Spec {
        id: CommandId::ReadOnly,
        name: "readonly",
        group: Group::Cluster,
        arity: 1,
        flags: LOADING | STALE | FAST,
        extra_categories: CONNECTION,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Enables read queries for a connection to a cluster replica node",
        ..BASE
    },
    Spec {
        id: CommandId::ReadWrite,
        name: "readwrite",
        group: Group::Cluster,
        arity: 1,
        flags: LOADING | STALE | FAST,
        extra_categories: CONNECTION,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Disables read queries for a connection to a cluster replica node",
        ..BASE
    },
];

const CLIENT: &[Spec] = &[
    Spec {
        id: CommandId::ClientKill,
        name: "client|kill",
        arity: -3,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        extra_categories: CONNECTION,
        since: "2.4.0",
        complexity: "O(N) where N is the number of client connections",
        summary: "Kill the connection of a client",
        history: &[
            ("2.8.12", "Added new filter format."),
            ("2.8.12", "`ID` option."),
            ("3.2.0", "More types for the `TYPE` option."),
            ("6.2.0", "`LADDR` option."),
        ],
        arguments: &[one_of(
            "filter",
            &[
                value("ip:port", String),
                one_of(
                    "new-format",
                    &[
                        value("client-id", Integer).after("ID").since("2.8.12").optional(),
                        value("client-type", String)
                            .after("TYPE")
                            .since("2.8.12")
                            .optional(),
                        value("username", String).after("USER").optional(),
                        value("ip:port", String).after("ADDR").optional(),
                        value("ip:port", String).after("LADDR").since("6.2.0").optional(),
                        value("yes/no", String).after("SKIPME").optional(),
                    ],
                )
                .multiple(),
            ],
        )],
        ..BASE
    },
    Spec {
        id: CommandId::ClientList,
        name: "client|list",
        arity: -2,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        extra_categories: CONNECTION,
        tips: &["nondeterministic_output"],
        since: "2.4.0",
        complexity: "O(N) where N is the number of client connections",
        summary: "Get the list of client connections",
        history: &[
            ("2.8.12", "Added unique client `id` field."),
            ("5.0.0", "Added optional `TYPE` filter."),
            ("6.0.0", "Added `user` field."),
            (
                "6.2.0",
                "Added `argv-mem`, `tot-mem`, `laddr` and `redir` fields and the optional `ID` filter.",
            ),
            ("7.0.0", "Added `resp`, `multi-mem`, `rbs` and `rbp` fields."),
            ("7.0.3", "Added `ssub` field."),
        ],
        arguments: &[
            value("client-type", String)
                .after("TYPE")
                .since("5.0.0")
                .optional(),
            block("id", &[value("client-id", Integer).multiple()])
                .after("ID")
                .since("6.2.0")
                .optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::ClientInfo,
        name: "client|info",
        arity: 2,
        flags: NOSCRIPT | LOADING | STALE,
        extra_categories: CONNECTION,
        tips: &["nondeterministic_output"],
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Returns information about the current client connection.",
        ..BASE
    },
    Spec {
        id: CommandId::ClientId,
        name: "client|id",
        arity: 2,
        flags: NOSCRIPT | LOADING | STALE,
        extra_categories: CONNECTION,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Returns the client ID for the current connection",
        ..BASE
    },
    Spec {
        id: CommandId::ClientReply,
        name: "client|reply",
        arity: 3,
        flags: NOSCRIPT | LOADING | STALE,
        extra_categories: CONNECTION,
        since: "3.2.0",
        complexity: "O(1)",
        summary: "Instruct the server whether to reply to commands",
        arguments: &[one_of(
            "on_off_skip",
            &[token("on", "ON"), token("off", "OFF"), token("skip", "SKIP")],
        )],
        ..BASE
    },
    Spec {
        id: CommandId::ClientGetName,
        name: "client|getname",
        arity: 2,
        flags: NOSCRIPT | LOADING | STALE,
        extra_categories: CONNECTION,
        since: "2.6.9",
        complexity: "O(1)",
        summary: "Get the current connection name",
        ..BASE
    },
    Spec {
        id: CommandId::ClientSetName,
        name: "client|setname",
        arity: 3,
        flags: NOSCRIPT | LOADING | STALE,
        extra_categories: CONNECTION,
        since: "2.6.9",
        complexity: "O(1)",
        summary: "Set the current connection name",
        arguments: &[value("connection-name", String)],
        ..BASE
    },
    Spec {
        id: CommandId::ClientNoEvict,
        name: "client|no-evict",
        arity: 3,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        extra_categories: CONNECTION,
        since: "7.0.0",
        complexity: "O(1)",
        summary: "Set client eviction mode for the current connection",
        arguments: &[one_of("enabled", &[token("on", "ON"), token("off", "OFF")])],
        ..BASE
    },
    Spec {
        id: CommandId::ClientSetInfo,
        name: "client|setinfo",
        arity: 4,
        flags: NOSCRIPT | LOADING | STALE,
        extra_categories: CONNECTION,
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        since: "7.2.0",
        complexity: "O(1)",
        summary: "Sets information specific to the client or connection.",
        arguments: &[one_of(
            "attr",
            &[
                value("libname", String).after("LIB-NAME"),
                value("libver", String).after("LIB-VER"),
            ],
        )],
        ..BASE
    },
    Spec {
        id: CommandId::ClientNoTouch,
        name: "client|no-touch",
        arity: 3,
        flags: NOSCRIPT | LOADING | STALE,
        extra_categories: CONNECTION,
        since: "7.2.0",
        complexity: "O(1)",
        summary: "Controls whether commands sent by the client affect the LRU/LFU of accessed keys.",
        arguments: &[one_of("enabled", &[token("on", "ON"), token("off", "OFF")])],
        ..BASE
    },
    Spec {
        id: CommandId::ClientHelp,
        name: "client|help",
        arity: 2,
        flags: LOADING | STALE,
        extra_categories: CONNECTION,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Show helpful text about the different subcommands",
        ..BASE
    },
];
