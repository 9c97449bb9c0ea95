//! ACL: users, and what they may do.

use super::prelude::*;

const BASE: Spec = row(Group::Server);

/// The words of ACL.
pub(super) const ACL: &[Spec] = &[
    Spec {
        id: CommandId::AclSetUser,
        name: "acl|setuser",
        arity: -3,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        since: "6.0.0",
        complexity: "O(N), N being the rules",
        summary: "Make a user, or change one, by rules that hold on every node",
        arguments: &[
            value("username", String),
            value("rule", String).optional().multiple(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::AclGetUser,
        name: "acl|getuser",
        arity: 3,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        since: "6.0.0",
        complexity: "O(N), N being the user's rules",
        summary: "Show how a user logs in and what it may do",
        arguments: &[value("username", String)],
        ..BASE
    },
    Spec {
        id: CommandId::AclList,
        name: "acl|list",
        arity: 2,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        since: "6.0.0",
        complexity: "O(N), N being the users",
        summary: "Show all users, one a line, as rules",
        ..BASE
    },
    Spec {
        id: CommandId::AclUsers,
        name: "acl|users",
        arity: 2,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        since: "6.0.0",
        complexity: "O(N), N being the users",
        summary: "Name all users",
        ..BASE
    },
    Spec {
        id: CommandId::AclDelUser,
        name: "acl|deluser",
        arity: -3,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        since: "6.0.0",
        complexity: "O(N), N being the users named",
        summary: "Delete users, whose connections end",
        arguments: &[value("username", String).multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::AclWhoAmI,
        name: "acl|whoami",
        arity: 2,
        flags: NOSCRIPT | LOADING | STALE,
        since: "6.0.0",
        complexity: "O(1)",
        summary: "Tell the user that this connection logged in as",
        ..BASE
    },
    Spec {
        id: CommandId::AclCat,
        name: "acl|cat",
        arity: -2,
        flags: NOSCRIPT | LOADING | STALE,
        since: "6.0.0",
        complexity: "O(N), N being the commands",
        summary: "Name the categories, or the commands of one",
        arguments: &[value("categoryname", String).optional()],
        ..BASE
    },
    Spec {
        id: CommandId::AclGenPass,
        name: "acl|genpass",
        arity: -2,
        flags: NOSCRIPT | LOADING | STALE,
        since: "6.0.0",
        complexity: "O(1)",
        summary: "Draw a password that nobody can guess",
        arguments: &[value("bits", Integer).optional()],
        ..BASE
    },
    Spec {
        id: CommandId::AclDryRun,
        name: "acl|dryrun",
        arity: -4,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        since: "7.0.0",
        complexity: "O(N), N being the words of the command",
        summary: "Tell whether a user may run a command, and do not run it",
        arguments: &[
            value("username", String),
            value("command", String),
            value("arg", String).optional().multiple(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::AclLoad,
        name: "acl|load",
        arity: 2,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        since: "6.0.0",
        complexity: "O(1)",
        summary: "Refused: the log is where users are kept",
        ..BASE
    },
    Spec {
        id: CommandId::AclLog,
        name: "acl|log",
        arity: -2,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        since: "6.0.0",
        complexity: "O(N), N being the entries shown",
        summary: "Show what was refused lately, or forget it",
        arguments: &[one_of("operation", &[value("count", Integer), token("reset", "RESET")]).optional()],
        ..BASE
    },
    Spec {
        id: CommandId::AclSave,
        name: "acl|save",
        arity: 2,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        since: "6.0.0",
        complexity: "O(1)",
        summary: "Refused: the log is where users are kept",
        ..BASE
    },
    Spec {
        id: CommandId::AclHelp,
        name: "acl|help",
        arity: 2,
        flags: LOADING | STALE,
        since: "6.0.0",
        complexity: "O(1)",
        summary: "List the subcommands of ACL",
        ..BASE
    },
];
