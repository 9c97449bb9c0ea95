//! Lists.

use super::prelude::*;

const BASE: Spec = Spec {
    extra_categories: category::LIST,
    ..row(Group::List)
};

/// The end at which something is done, under a name of its own.
const fn end(name: &'static str) -> Argument {
    one_of(name, ENDS)
}

const ENDS: &[Argument] = &[token("left", "LEFT"), token("right", "RIGHT")];

const ELEMENTS: Argument = value("element", String).multiple();
const POP_COUNT: Argument = value("count", Integer).since("6.2.0").optional();
/// A command that takes one element off a list, or waits for it.
const WAITING_POP: Spec = Spec {
    arity: -3,
    flags: WRITE | NOSCRIPT | BLOCKING,
    ..BASE
};
const MOVED: &[KeyUse] = &[
    key_use(ONE, &["RW", "access", "delete"]),
    key_use(SECOND, &["RW", "insert"]),
];

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::new(352),
        name: "lpush",
        arity: -3,
        flags: WRITE | DENYOOM | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "insert"])],
        since: "1.0.0",
        complexity: "O(N), the number of elements",
        summary: "Put elements in front of a list, one after the other",
        arguments: &[KEY, ELEMENTS],
        ..BASE
    },
    Spec {
        id: CommandId::new(353),
        name: "rpush",
        arity: -3,
        flags: WRITE | DENYOOM | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "insert"])],
        since: "1.0.0",
        complexity: "O(N), the number of elements",
        summary: "Put elements behind a list",
        arguments: &[KEY, ELEMENTS],
        ..BASE
    },
    Spec {
        id: CommandId::new(354),
        name: "lpushx",
        arity: -3,
        flags: WRITE | DENYOOM | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "insert"])],
        since: "2.2.0",
        complexity: "O(N), the number of elements",
        summary: "Put elements in front of a list that is there",
        arguments: &[KEY, ELEMENTS],
        ..BASE
    },
    Spec {
        id: CommandId::new(355),
        name: "rpushx",
        arity: -3,
        flags: WRITE | DENYOOM | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "insert"])],
        since: "2.2.0",
        complexity: "O(N), the number of elements",
        summary: "Put elements behind a list that is there",
        arguments: &[KEY, ELEMENTS],
        ..BASE
    },
    Spec {
        id: CommandId::new(356),
        name: "lpop",
        arity: -2,
        flags: WRITE | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "access", "delete"])],
        since: "1.0.0",
        complexity: "O(N), how many are asked for",
        summary: "Take elements off the front of a list",
        arguments: &[KEY, POP_COUNT],
        ..BASE
    },
    Spec {
        id: CommandId::new(357),
        name: "rpop",
        arity: -2,
        flags: WRITE | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "access", "delete"])],
        since: "1.0.0",
        complexity: "O(N), how many are asked for",
        summary: "Take elements off the end of a list",
        arguments: &[KEY, POP_COUNT],
        ..BASE
    },
    Spec {
        id: CommandId::new(358),
        name: "llen",
        arity: 2,
        flags: READONLY | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO"])],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Count the elements of a list",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::new(359),
        name: "lrange",
        arity: 4,
        flags: READONLY,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        since: "1.0.0",
        complexity: "O(log N + M), the length of the list and how many are asked for",
        summary: "Read the elements between two positions of a list",
        arguments: &[KEY, value("start", Integer), value("stop", Integer)],
        ..BASE
    },
    Spec {
        id: CommandId::new(360),
        name: "lindex",
        arity: 3,
        flags: READONLY,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        since: "1.0.0",
        complexity: "O(log N), the length of the list",
        summary: "Read the element at one position of a list",
        arguments: &[KEY, value("index", Integer)],
        ..BASE
    },
    Spec {
        id: CommandId::new(361),
        name: "lset",
        arity: 4,
        flags: WRITE | DENYOOM,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "update"])],
        since: "1.0.0",
        complexity: "O(log N), the length of the list",
        summary: "Write another element at one position of a list",
        arguments: &[KEY, value("index", Integer), value("element", String)],
        ..BASE
    },
    Spec {
        id: CommandId::new(362),
        name: "linsert",
        arity: 5,
        flags: WRITE | DENYOOM,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "insert"])],
        since: "2.2.0",
        complexity: "O(N), the elements up to the one that is looked for",
        summary: "Put an element beside the first one that equals another",
        arguments: &[
            KEY,
            one_of("where", &[token("before", "BEFORE"), token("after", "AFTER")]),
            value("pivot", String),
            value("element", String),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(363),
        name: "lrem",
        arity: 4,
        flags: WRITE,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "delete"])],
        since: "1.0.0",
        complexity: "O(N), the length of the list",
        summary: "Remove elements that equal a given one, from either end on",
        arguments: &[KEY, value("count", Integer), value("element", String)],
        ..BASE
    },
    Spec {
        id: CommandId::new(364),
        name: "ltrim",
        arity: 4,
        flags: WRITE,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "delete"])],
        since: "1.0.0",
        complexity: "O(N), the number of elements that go",
        summary: "Remove what is outside of two positions of a list",
        arguments: &[KEY, value("start", Integer), value("stop", Integer)],
        ..BASE
    },
    Spec {
        id: CommandId::new(365),
        name: "lpos",
        arity: -3,
        flags: READONLY,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        since: "6.0.6",
        complexity: "O(N), the elements that are compared",
        summary: "Tell where a list has elements that equal a given one",
        arguments: &[
            KEY,
            value("element", String),
            value("rank", Integer).after("RANK").optional(),
            value("num-matches", Integer).after("COUNT").optional(),
            value("len", Integer).after("MAXLEN").optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(366),
        name: "lmove",
        arity: 5,
        flags: WRITE | DENYOOM,
        keys: BOTH,
        key_uses: MOVED,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Take an element from an end of one list to an end of another",
        arguments: &[
            value("source", Key(0)),
            value("destination", Key(1)),
            end("wherefrom"),
            end("whereto"),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(367),
        name: "rpoplpush",
        arity: 3,
        flags: WRITE | DENYOOM,
        keys: BOTH,
        key_uses: MOVED,
        since: "1.2.0",
        complexity: "O(1)",
        summary: "Take an element from the end of one list to the front of another",
        deprecated: Some(Deprecation {
            since: "6.2.0",
            replaced_by: "`LMOVE … RIGHT LEFT`",
        }),
        arguments: &[value("source", Key(0)), value("destination", Key(1))],
        ..BASE
    },
    Spec {
        id: CommandId::new(368),
        name: "lmpop",
        arity: -4,
        flags: WRITE | MOVABLE_KEYS,
        key_uses: &[counted_keys(1, 1, &["RW", "access", "delete"])],
        since: "7.0.0",
        complexity: "O(N + M), the number of keys and how many are asked for",
        summary: "Take elements off the first of several lists that has any",
        arguments: &[
            value("numkeys", Integer),
            KEY.multiple(),
            end("where"),
            value("count", Integer).after("COUNT").optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(369),
        name: "blpop",
        keys: BUT_LAST,
        key_uses: &[key_use(BUT_LAST, &["RW", "access", "delete"])],
        since: "2.0.0",
        complexity: "O(N), the number of keys",
        summary: "Take an element off the front of the first list that has one, or wait for one",
        arguments: &[KEY.multiple(), TIMEOUT],
        ..WAITING_POP
    },
    Spec {
        id: CommandId::new(370),
        name: "brpop",
        keys: BUT_LAST,
        key_uses: &[key_use(BUT_LAST, &["RW", "access", "delete"])],
        since: "2.0.0",
        complexity: "O(N), the number of keys",
        summary: "Take an element off the end of the first list that has one, or wait for one",
        arguments: &[KEY.multiple(), TIMEOUT],
        ..WAITING_POP
    },
    Spec {
        id: CommandId::new(371),
        name: "blmove",
        arity: 6,
        flags: WRITE | DENYOOM | NOSCRIPT | BLOCKING,
        keys: BOTH,
        key_uses: MOVED,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Take an element from an end of one list to an end of another, or wait for one",
        arguments: &[
            value("source", Key(0)),
            value("destination", Key(1)),
            end("wherefrom"),
            end("whereto"),
            TIMEOUT,
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(372),
        name: "brpoplpush",
        arity: 4,
        flags: WRITE | DENYOOM | NOSCRIPT | BLOCKING,
        keys: BOTH,
        key_uses: MOVED,
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Take an element from the end of one list to the front of another, or wait for one",
        deprecated: Some(Deprecation {
            since: "6.2.0",
            replaced_by: "`BLMOVE … RIGHT LEFT`",
        }),
        arguments: &[value("source", Key(0)), value("destination", Key(1)), TIMEOUT],
        ..BASE
    },
    Spec {
        id: CommandId::new(373),
        name: "blmpop",
        arity: -5,
        flags: WRITE | BLOCKING | MOVABLE_KEYS,
        key_uses: &[counted_keys(2, 1, &["RW", "access", "delete"])],
        since: "7.0.0",
        complexity: "O(N + M), the number of keys and how many are asked for",
        summary: "Take elements off the first of several lists that has any, or wait for one",
        arguments: &[
            TIMEOUT,
            value("numkeys", Integer),
            KEY.multiple(),
            end("where"),
            value("count", Integer).after("COUNT").optional(),
        ],
        ..BASE
    },
];
