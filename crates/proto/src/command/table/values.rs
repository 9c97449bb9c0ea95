//! Whole values, whatever their type: copied, moved, sorted, as bytes.

use super::prelude::*;

const BASE: Spec = Spec {
    extra_categories: KEYSPACE,
    keys: ONE,
    ..row(Group::Generic)
};

const SORT: Spec = Spec {
    arity: -2,
    extra_categories: category::SET | category::SORTEDSET | category::LIST | DANGEROUS,
    complexity: "O(N*log(N)), N being the elements",
    ..BASE
};

const SORTED: KeyUse = key_use(ONE, &["RO", "access"]);

/// What BY and GET lead to.
const FOUND: KeyUse = word_key(
    &KeyWord {
        word: "",
        start: 2,
        others: &[],
        is_unknown: true,
    },
    &["RO", "access"],
)
.notes("BY and GET name keys by what the sorted key holds");

const STORED: KeyUse = word_key(
    &KeyWord {
        word: "store",
        start: 2,
        others: &[("limit", 2), ("get", 1), ("by", 1)],
        is_unknown: true,
    },
    &["OW", "update"],
)
.notes("STORE may stand anywhere behind the key");

const LIMIT: Argument = block(
    "offset_count",
    &[value("offset", Integer), value("count", Integer)],
)
.after("LIMIT")
.optional();

const BY: Argument = value("pattern", PatternOfKeys(1)).after("BY").optional();

const GET: Argument = value("pattern", PatternOfKeys(1))
    .after("GET")
    .optional()
    .multiple_with_token();

const ORDER: Argument = one_of("order", &[token("asc", "ASC"), token("desc", "DESC")]).optional();

const ALPHA: Argument = token("sorting", "ALPHA").optional();

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::Copy,
        name: "copy",
        arity: -3,
        flags: WRITE | DENYOOM,
        keys: BOTH,
        key_uses: &[
            key_use(ONE, &["RO", "access"]),
            key_use(SECOND, &["OW", "update"]),
        ],
        since: "6.2.0",
        complexity: "O(1) for a large collection, O(N) for N bytes of anything else",
        summary: "Write a value under another name, too, with its time to live",
        arguments: &[
            value("source", Key(0)),
            value("destination", Key(1)),
            value("destination-db", Integer).after("DB").optional(),
            token("replace", "REPLACE").optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::Move,
        name: "move",
        arity: 3,
        flags: WRITE | FAST,
        key_uses: &[key_use(ONE, &["RW", "access", "update"])],
        since: "1.0.0",
        complexity: "O(1) for a large collection, O(N) for N bytes of anything else",
        summary: "Take a key to another database, unless that has one of this name",
        arguments: &[KEY, value("db", Integer)],
        ..BASE
    },
    Spec {
        id: CommandId::new(462),
        name: "sort",
        flags: WRITE | DENYOOM | MOVABLE_KEYS,
        key_uses: &[SORTED, FOUND, STORED],
        since: "1.0.0",
        summary: "Tell or store the elements of a list, set or sorted set in another order",
        arguments: &[
            KEY,
            BY,
            LIMIT,
            GET,
            ORDER,
            ALPHA,
            value("destination", Key(2)).after("STORE").optional(),
        ],
        ..SORT
    },
    Spec {
        id: CommandId::new(463),
        name: "sort_ro",
        flags: READONLY | MOVABLE_KEYS,
        key_uses: &[SORTED, FOUND],
        since: "7.0.0",
        summary: "Tell the elements of a list, set or sorted set in another order",
        arguments: &[KEY, BY, LIMIT, GET, ORDER, ALPHA],
        ..SORT
    },
    Spec {
        id: CommandId::new(464),
        name: "dump",
        arity: 2,
        flags: READONLY,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        tips: &["nondeterministic_output"],
        since: "2.6.0",
        complexity: "O(N), N being the bytes of the value",
        summary: "Tell a value as bytes that RESTORE takes, here and in Redis",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::new(465),
        name: "restore",
        arity: -4,
        flags: WRITE | DENYOOM,
        extra_categories: KEYSPACE | DANGEROUS,
        key_uses: &[key_use(ONE, &["OW", "update"])],
        since: "2.6.0",
        complexity: "O(N), N being the bytes of the value",
        summary: "Write a value from the bytes that DUMP told of it, here or in Redis",
        arguments: &[
            KEY,
            value("ttl", Integer),
            value("serialized-value", String),
            token("replace", "REPLACE").since("3.0.0").optional(),
            token("absttl", "ABSTTL").since("5.0.0").optional(),
            value("seconds", Integer)
                .after("IDLETIME")
                .since("5.0.0")
                .optional(),
            value("frequency", Integer)
                .after("FREQ")
                .since("5.0.0")
                .optional(),
        ],
        ..BASE
    },
];
