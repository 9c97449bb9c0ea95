//! Streams: what is done with their entries.

use super::prelude::*;

const BASE: Spec = Spec {
    extra_categories: category::STREAM,
    since: "5.0.0",
    ..row(Group::Stream)
};

const ID: Argument = value("id", String);
const COUNT: Argument = value("count", Integer).after("COUNT").optional();

const TRIM: &[Argument] = &[
    one_of(
        "strategy",
        &[token("maxlen", "MAXLEN"), token("minid", "MINID").since("6.2.0")],
    ),
    one_of("operator", &[token("equal", "="), token("approximately", "~")]).optional(),
    value("threshold", String),
    value("count", Integer).after("LIMIT").since("6.2.0").optional(),
];

const FIELDS: Argument = block("field_value", &[value("field", String), value("value", String)]).multiple();

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::new(512),
        name: "xadd",
        arity: -5,
        flags: WRITE | DENYOOM | FAST,
        tips: &["nondeterministic_output"],
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "update"]).notes("It may trim what is there, so it updates")],
        complexity: "O(log N + M), the entries of the stream and those that are trimmed",
        summary: "Append an entry to a stream, and trim that if it is asked for",
        arguments: &[
            KEY,
            token("nomkstream", "NOMKSTREAM").since("6.2.0").optional(),
            block("trim", TRIM).optional(),
            one_of("id_or_auto", &[token("auto_id", "*"), ID]),
            FIELDS,
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(513),
        name: "xlen",
        arity: 2,
        flags: READONLY | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO"])],
        complexity: "O(1)",
        summary: "Count the entries of a stream",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::new(514),
        name: "xrange",
        arity: -4,
        flags: READONLY,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        complexity: "O(log N + M), the entries of the stream and those that are told",
        summary: "Read the entries of a stream between two ids",
        arguments: &[KEY, value("start", String), value("end", String), COUNT],
        ..BASE
    },
    Spec {
        id: CommandId::new(515),
        name: "xrevrange",
        arity: -4,
        flags: READONLY,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        complexity: "O(log N + M), the entries of the stream and those that are told",
        summary: "Read the entries of a stream between two ids, the last one first",
        arguments: &[KEY, value("end", String), value("start", String), COUNT],
        ..BASE
    },
    Spec {
        id: CommandId::new(516),
        name: "xdel",
        arity: -3,
        flags: WRITE | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "delete"])],
        complexity: "O(M log N), the ids and the entries of the stream",
        summary: "Delete entries of a stream by their ids",
        arguments: &[KEY, ID.multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::new(517),
        name: "xtrim",
        arity: -4,
        flags: WRITE,
        tips: &["nondeterministic_output"],
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "delete"])],
        complexity: "O(M), the entries that go",
        summary: "Delete the oldest entries of a stream",
        arguments: &[KEY, block("trim", TRIM)],
        ..BASE
    },
    Spec {
        id: CommandId::new(518),
        name: "xsetid",
        arity: -3,
        flags: WRITE | DENYOOM | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "update"])],
        complexity: "O(1)",
        summary: "Say which id a stream has given last",
        arguments: &[
            KEY,
            value("last-id", String),
            value("entries_added", Integer)
                .after("ENTRIESADDED")
                .since("7.0.0")
                .optional(),
            value("max_deleted_entry_id", String)
                .after("MAXDELETEDID")
                .since("7.0.0")
                .optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::XRead,
        name: "xread",
        arity: -4,
        flags: READONLY | BLOCKING | MOVABLE_KEYS,
        key_uses: &[keys_behind("STREAMS", 1, &["RO", "access"])],
        complexity: "O(K log N + M), the streams, their entries, and those that are told",
        summary: "Read the entries of streams behind given ids, or wait for some",
        arguments: &[
            COUNT,
            value("milliseconds", Integer).after("BLOCK").optional(),
            block("streams", &[KEY.multiple(), ID.multiple()]).after("STREAMS"),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(520),
        name: "xinfo",
        arity: -2,
        extra_categories: 0,
        complexity: "See the subcommands",
        summary: "Tell what is known of a stream",
        subcommands: XINFO,
        ..BASE
    },
];

const XINFO: &[Spec] = &[
    Spec {
        id: CommandId::new(521),
        name: "xinfo|stream",
        arity: -3,
        flags: READONLY,
        keys: SECOND,
        key_uses: &[key_use(SECOND, &["RO", "access"])],
        complexity: "O(1), with FULL as much as is told",
        summary: "Tell what a stream consists of",
        arguments: &[KEY, block("full", &[COUNT]).after("FULL").optional()],
        ..BASE
    },
    Spec {
        id: CommandId::new(522),
        name: "xinfo|groups",
        arity: 3,
        flags: READONLY,
        keys: SECOND,
        key_uses: &[key_use(SECOND, &["RO", "access"])],
        complexity: "O(N), the groups",
        summary: "Tell which groups a stream has",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::new(523),
        name: "xinfo|consumers",
        arity: 4,
        flags: READONLY,
        tips: &["nondeterministic_output"],
        keys: SECOND,
        key_uses: &[key_use(SECOND, &["RO", "access"])],
        complexity: "O(N), the consumers",
        summary: "Tell which consumers a group has",
        arguments: &[KEY, value("groupname", String)],
        ..BASE
    },
    Spec {
        id: CommandId::new(524),
        name: "xinfo|help",
        arity: 2,
        flags: LOADING | STALE,
        complexity: "O(1)",
        summary: "List the subcommands of XINFO",
        ..BASE
    },
];
