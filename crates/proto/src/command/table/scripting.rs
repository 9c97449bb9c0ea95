//! Scripts, the cache that knows them by their SHA-1, and libraries of functions.

use super::prelude::*;

const BASE: Spec = row(Group::Scripting);

const KEYS: Argument = KEY.optional().multiple();
const ARGUMENTS: Argument = value("arg", String).optional().multiple();
const BY_TEXT: &[Argument] = &[
    value("script", String),
    value("numkeys", Integer),
    KEYS,
    ARGUMENTS,
];
const BY_SHA1: &[Argument] = &[value("sha1", String), value("numkeys", Integer), KEYS, ARGUMENTS];
const BY_FUNCTION: &[Argument] = &[
    value("function", String),
    value("numkeys", Integer),
    KEYS,
    ARGUMENTS,
];

/// What all forms have in common.
const RUNS: Spec = Spec {
    arity: -3,
    flags: NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS | MOVABLE_KEYS,
    extra_categories: category::SCRIPTING,
    complexity: "That of what the script does",
    ..BASE
};

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::Eval,
        name: "eval",
        flags: RUNS.flags | STATE_WRITE,
        key_uses: &[counted_keys(2, 1, &["RW", "access", "update"])
            .notes("We cannot tell how the keys will be used so we assume the worst, RW and UPDATE")],
        since: "2.6.0",
        summary: "Run a script on every node, as one command",
        arguments: BY_TEXT,
        ..RUNS
    },
    Spec {
        id: CommandId::EvalSha,
        name: "evalsha",
        flags: RUNS.flags | STATE_WRITE,
        key_uses: &[counted_keys(2, 1, &["RW", "access", "update"])],
        since: "2.6.0",
        summary: "Run a script that the cache knows",
        arguments: BY_SHA1,
        ..RUNS
    },
    Spec {
        id: CommandId::EvalRo,
        name: "eval_ro",
        flags: RUNS.flags | READONLY,
        key_uses: &[counted_keys(2, 1, &["RO", "access"])
            .notes("We cannot tell how the keys will be used so we assume the worst, RO and ACCESS")],
        since: "7.0.0",
        summary: "Run a script that only reads, on this node",
        arguments: BY_TEXT,
        ..RUNS
    },
    Spec {
        id: CommandId::EvalShaRo,
        name: "evalsha_ro",
        flags: RUNS.flags | READONLY,
        key_uses: &[counted_keys(2, 1, &["RO", "access"])],
        since: "7.0.0",
        summary: "Run a script that the cache knows and that only reads",
        arguments: BY_SHA1,
        ..RUNS
    },
    Spec {
        id: CommandId::Script,
        name: "script",
        arity: -2,
        since: "2.6.0",
        complexity: "See the subcommands",
        summary: "Look after the cache of scripts",
        subcommands: SCRIPT,
        ..BASE
    },
    Spec {
        id: CommandId::FCall,
        name: "fcall",
        flags: RUNS.flags | STATE_WRITE,
        key_uses: &[counted_keys(2, 1, &["RW", "access", "update"])
            .notes("We cannot tell how the keys will be used so we assume the worst, RW and UPDATE")],
        since: "7.0.0",
        summary: "Call a function on every node, as one command",
        arguments: BY_FUNCTION,
        ..RUNS
    },
    Spec {
        id: CommandId::FCallRo,
        name: "fcall_ro",
        flags: RUNS.flags | READONLY,
        key_uses: &[counted_keys(2, 1, &["RO", "access"])
            .notes("We cannot tell how the keys will be used so we assume the worst, RO and ACCESS")],
        since: "7.0.0",
        summary: "Call a function that only reads, on this node",
        arguments: BY_FUNCTION,
        ..RUNS
    },
    Spec {
        id: CommandId::Function,
        name: "function",
        arity: -2,
        since: "7.0.0",
        complexity: "See the subcommands",
        summary: "Look after libraries of functions",
        subcommands: super::functions::FUNCTION,
        ..BASE
    },
];

const SCRIPT: &[Spec] = &[
    Spec {
        id: CommandId::ScriptLoad,
        name: "script|load",
        arity: 3,
        flags: NOSCRIPT | STALE | STATE_WRITE,
        extra_categories: category::SCRIPTING,
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        since: "2.6.0",
        complexity: "O(N), N being the bytes of the script",
        summary: "Keep a script on every node without running it",
        arguments: &[value("script", String)],
        ..BASE
    },
    Spec {
        id: CommandId::ScriptExists,
        name: "script|exists",
        arity: -3,
        flags: NOSCRIPT | STATE_READ,
        extra_categories: category::SCRIPTING,
        tips: &["request_policy:all_shards", "response_policy:agg_logical_and"],
        since: "2.6.0",
        complexity: "O(N), N being the names",
        summary: "Tell which scripts the cache knows",
        arguments: &[value("sha1", String).multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::ScriptFlush,
        name: "script|flush",
        arity: -2,
        flags: NOSCRIPT | STATE_WRITE,
        extra_categories: category::SCRIPTING,
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        since: "2.6.0",
        complexity: "O(N), N being the scripts in the cache",
        summary: "Forget all scripts on every node",
        arguments: &[one_of("async", &[token("async", "ASYNC"), token("sync", "SYNC")])
            .since("6.2.0")
            .optional()],
        ..BASE
    },
    Spec {
        id: CommandId::ScriptKill,
        name: "script|kill",
        arity: 2,
        flags: NOSCRIPT | ALLOW_BUSY,
        extra_categories: category::SCRIPTING,
        tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Say that no script can be ended from outside: each ends by its budget",
        ..BASE
    },
    Spec {
        id: CommandId::ScriptHelp,
        name: "script|help",
        arity: 2,
        flags: LOADING | STALE,
        extra_categories: category::SCRIPTING,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "List the subcommands of SCRIPT",
        ..BASE
    },
];
