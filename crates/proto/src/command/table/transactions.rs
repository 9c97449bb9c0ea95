//! MULTI and its relatives.

use super::prelude::*;

const BASE: Spec = row(Group::Transactions);

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::Multi,
        name: "multi",
        arity: 1,
        flags: NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY,
        extra_categories: TRANSACTION,
        since: "1.2.0",
        complexity: "O(1)",
        summary: "Begin to collect commands that are to run as one",
        ..BASE
    },
    Spec {
        id: CommandId::Exec,
        name: "exec",
        arity: 1,
        flags: NOSCRIPT | LOADING | STALE | SKIP_SLOWLOG,
        extra_categories: TRANSACTION,
        since: "1.2.0",
        complexity: "That of the commands",
        summary: "Run what MULTI collected as one",
        ..BASE
    },
    Spec {
        id: CommandId::Discard,
        name: "discard",
        arity: 1,
        flags: NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY,
        extra_categories: TRANSACTION,
        since: "2.0.0",
        complexity: "O(N), N being the commands",
        summary: "Drop what MULTI collected",
        ..BASE
    },
    Spec {
        id: CommandId::Watch,
        name: "watch",
        arity: -2,
        flags: NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY,
        extra_categories: TRANSACTION,
        keys: ALL,
        key_uses: &[key_use(ALL, &["RO"])],
        since: "2.2.0",
        complexity: "O(N), N being the keys",
        summary: "Let the next EXEC do nothing if one of these keys changes before",
        arguments: &[KEY.multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::Unwatch,
        name: "unwatch",
        arity: 1,
        flags: NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY,
        extra_categories: TRANSACTION,
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Take every WATCH of this connection back",
        ..BASE
    },
];
