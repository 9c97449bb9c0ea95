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
        summary: "Mark the start of a transaction block",
        ..BASE
    },
    Spec {
        id: CommandId::Exec,
        name: "exec",
        arity: 1,
        flags: NOSCRIPT | LOADING | STALE | SKIP_SLOWLOG,
        extra_categories: TRANSACTION,
        since: "1.2.0",
        complexity: "Depends on commands in the transaction",
        summary: "Execute all commands issued after MULTI",
        ..BASE
    },
    Spec {
        id: CommandId::Discard,
        name: "discard",
        arity: 1,
        flags: NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY,
        extra_categories: TRANSACTION,
        since: "2.0.0",
        complexity: "O(N), when N is the number of queued commands",
        summary: "Discard all commands issued after MULTI",
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
        complexity: "O(1) for every key.",
        summary: "Watch the given keys to determine execution of the MULTI/EXEC block",
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
        summary: "Forget about all watched keys",
        ..BASE
    },
];
