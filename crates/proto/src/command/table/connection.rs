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
        summary: "Choose the protocol version; may log in and name the connection as well",
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
        complexity: "O(1)",
        summary: "Log in with a password, or with a user's name and password",
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
        summary: "Answer PONG, or the text that was sent, to show that the node is there",
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
        complexity: "O(N), N being its bytes",
        summary: "Send the text back",
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
        summary: "Use another of the sixteen databases on this connection",
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
        summary: "Answer what is under way, then hang up",
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
        summary: "Bring this connection back to the state of a new one",
        ..BASE
    },
    Spec {
        id: CommandId::Client,
        name: "client",
        arity: -2,
        since: "2.4.0",
        complexity: "See the subcommands",
        summary: "What concerns client connections",
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
        summary: "Let this node answer the connection's reads itself, from a state that may lag",
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
        summary: "Take READONLY back, and what its user starts with: reads of this connection are linearizable",
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
        complexity: "O(N), N being the connections",
        summary: "Hang up on every client that fits the filters",
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
        complexity: "O(N), N being the connections",
        summary: "Describe the connections of this node, one a line",
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
        summary: "Describe this connection in one line",
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
        summary: "Tell the number of this connection",
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
        summary: "Switch replies of this connection off and on, or leave out the next one",
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
        summary: "Tell the name that this connection was given",
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
        summary: "Give this connection a name for lists and logs",
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
        summary: "Accepted for compatibility: no client is dropped because memory is short",
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
        summary: "Note name or version of the client library",
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
        summary: "Choose whether this connection's reads count as uses of a key",
        arguments: &[one_of("enabled", &[token("on", "ON"), token("off", "OFF")])],
        ..BASE
    },
    Spec {
        id: CommandId::ClientUnblock,
        name: "client|unblock",
        arity: -3,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        extra_categories: CONNECTION,
        since: "5.0.0",
        complexity: "O(N), the number of clients",
        summary: "End the waiting of a client that waits for a key",
        arguments: &[
            value("client-id", Integer),
            one_of(
                "timeout_error",
                &[token("timeout", "TIMEOUT"), token("error", "ERROR")],
            )
            .optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::ClientPause,
        name: "client|pause",
        arity: -3,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        extra_categories: CONNECTION,
        since: "2.9.50",
        complexity: "O(N), the number of clients",
        summary: "Hold requests of all clients of this node back for a while",
        arguments: &[
            value("timeout", Integer),
            one_of("mode", &[token("write", "WRITE"), token("all", "ALL")])
                .since("6.2.0")
                .optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::ClientUnpause,
        name: "client|unpause",
        arity: 2,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        extra_categories: CONNECTION,
        since: "6.2.0",
        complexity: "O(N), the number of clients",
        summary: "Execute requests again that a pause holds back",
        ..BASE
    },
    Spec {
        id: CommandId::ClientTracking,
        name: "client|tracking",
        arity: -3,
        flags: NOSCRIPT | LOADING | STALE,
        extra_categories: CONNECTION,
        since: "6.0.0",
        complexity: "O(1)",
        summary: "Be told when keys change that this connection has read, or that begin so",
        arguments: &[
            one_of("status", &[token("on", "ON"), token("off", "OFF")]),
            value("client-id", Integer).after("REDIRECT").optional(),
            value("prefix", String)
                .after("PREFIX")
                .optional()
                .multiple_with_token(),
            token("bcast", "BCAST").optional(),
            token("optin", "OPTIN").optional(),
            token("optout", "OPTOUT").optional(),
            token("noloop", "NOLOOP").optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::ClientCaching,
        name: "client|caching",
        arity: 3,
        flags: NOSCRIPT | LOADING | STALE,
        extra_categories: CONNECTION,
        since: "6.0.0",
        complexity: "O(1)",
        summary: "Say whether what the next request reads will be cached",
        arguments: &[one_of("mode", &[token("yes", "YES"), token("no", "NO")])],
        ..BASE
    },
    Spec {
        id: CommandId::ClientTrackingInfo,
        name: "client|trackinginfo",
        arity: 2,
        flags: NOSCRIPT | LOADING | STALE,
        extra_categories: CONNECTION,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Tell how this connection is told of changes of keys",
        ..BASE
    },
    Spec {
        id: CommandId::ClientGetRedir,
        name: "client|getredir",
        arity: 2,
        flags: NOSCRIPT | LOADING | STALE,
        extra_categories: CONNECTION,
        since: "6.0.0",
        complexity: "O(1)",
        summary: "Tell which other connection is told of changes of keys in place of this one",
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
        summary: "List the subcommands of CLIENT",
        ..BASE
    },
];
