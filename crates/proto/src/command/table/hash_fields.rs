//! Deadlines of hash fields.

use super::prelude::*;

const BASE: Spec = Spec {
    extra_categories: category::HASH,
    keys: ONE,
    complexity: "O(N), the number of fields",
    ..row(Group::Hash)
};

const CONDITION: Argument = one_of(
    "condition",
    &[
        token("nx", "NX"),
        token("xx", "XX"),
        token("gt", "GT"),
        token("lt", "LT"),
    ],
)
.optional();

const FIELDS: Argument = block(
    "fields",
    &[value("numfields", Integer), value("field", String).multiple()],
)
.after("FIELDS");

const UPDATED: &[KeyUse] = &[key_use(ONE, &["RW", "update"])];
const READ: &[KeyUse] = &[key_use(ONE, &["RO", "access"])];

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::new(560),
        name: "hexpire",
        arity: -6,
        flags: WRITE | DENYOOM | FAST,
        key_uses: UPDATED,
        since: "7.4.0",
        summary: "Let fields of a hash end in so many seconds",
        arguments: &[KEY, value("seconds", Integer), CONDITION, FIELDS],
        ..BASE
    },
    Spec {
        id: CommandId::new(561),
        name: "hpexpire",
        arity: -6,
        flags: WRITE | DENYOOM | FAST,
        key_uses: UPDATED,
        since: "7.4.0",
        summary: "Let fields of a hash end in so many milliseconds",
        arguments: &[KEY, value("milliseconds", Integer), CONDITION, FIELDS],
        ..BASE
    },
    Spec {
        id: CommandId::new(562),
        name: "hexpireat",
        arity: -6,
        flags: WRITE | DENYOOM | FAST,
        key_uses: UPDATED,
        since: "7.4.0",
        summary: "Let fields of a hash end at a time in seconds",
        arguments: &[KEY, value("unix-time-seconds", UnixTime), CONDITION, FIELDS],
        ..BASE
    },
    Spec {
        id: CommandId::new(563),
        name: "hpexpireat",
        arity: -6,
        flags: WRITE | DENYOOM | FAST,
        key_uses: UPDATED,
        since: "7.4.0",
        summary: "Let fields of a hash end at a time in milliseconds",
        arguments: &[KEY, value("unix-time-milliseconds", UnixTime), CONDITION, FIELDS],
        ..BASE
    },
    Spec {
        id: CommandId::new(564),
        name: "httl",
        arity: -5,
        flags: READONLY | FAST,
        key_uses: READ,
        tips: &["nondeterministic_output"],
        since: "7.4.0",
        summary: "Tell how many seconds fields of a hash have left",
        arguments: &[KEY, FIELDS],
        ..BASE
    },
    Spec {
        id: CommandId::new(565),
        name: "hpttl",
        arity: -5,
        flags: READONLY | FAST,
        key_uses: READ,
        tips: &["nondeterministic_output"],
        since: "7.4.0",
        summary: "Tell how many milliseconds fields of a hash have left",
        arguments: &[KEY, FIELDS],
        ..BASE
    },
    Spec {
        id: CommandId::new(566),
        name: "hexpiretime",
        arity: -5,
        flags: READONLY | FAST,
        key_uses: READ,
        since: "7.4.0",
        summary: "Tell when fields of a hash end, in seconds",
        arguments: &[KEY, FIELDS],
        ..BASE
    },
    Spec {
        id: CommandId::new(567),
        name: "hpexpiretime",
        arity: -5,
        flags: READONLY | FAST,
        key_uses: READ,
        since: "7.4.0",
        summary: "Tell when fields of a hash end, in milliseconds",
        arguments: &[KEY, FIELDS],
        ..BASE
    },
    Spec {
        id: CommandId::new(568),
        name: "hpersist",
        arity: -5,
        flags: WRITE | FAST,
        key_uses: UPDATED,
        since: "7.4.0",
        summary: "Let fields of a hash last",
        arguments: &[KEY, FIELDS],
        ..BASE
    },
    Spec {
        id: CommandId::new(569),
        name: "hgetdel",
        arity: -5,
        flags: WRITE | FAST,
        key_uses: &[key_use(ONE, &["RW", "access", "delete"])],
        since: "8.0.0",
        summary: "Read fields of a hash and remove them",
        arguments: &[KEY, FIELDS],
        ..BASE
    },
    Spec {
        id: CommandId::new(570),
        name: "hgetex",
        arity: -5,
        flags: WRITE | FAST,
        key_uses: &[key_use(ONE, &["RW", "access", "update"])],
        since: "8.0.0",
        summary: "Read fields of a hash and change when they end",
        arguments: &[
            KEY,
            one_of(
                "expiration",
                &[
                    value("seconds", Integer).after("EX"),
                    value("milliseconds", Integer).after("PX"),
                    value("unix-time-seconds", UnixTime).after("EXAT"),
                    value("unix-time-milliseconds", UnixTime).after("PXAT"),
                    token("persist", "PERSIST"),
                ],
            )
            .optional(),
            FIELDS,
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(571),
        name: "hsetex",
        arity: -6,
        flags: WRITE | DENYOOM | FAST,
        key_uses: UPDATED,
        since: "8.0.0",
        summary: "Write fields of a hash and say when they end",
        arguments: &[
            KEY,
            one_of("condition", &[token("fnx", "FNX"), token("fxx", "FXX")]).optional(),
            one_of(
                "expiration",
                &[
                    value("seconds", Integer).after("EX"),
                    value("milliseconds", Integer).after("PX"),
                    value("unix-time-seconds", UnixTime).after("EXAT"),
                    value("unix-time-milliseconds", UnixTime).after("PXAT"),
                    token("keepttl", "KEEPTTL"),
                ],
            )
            .optional(),
            block(
                "fields",
                &[
                    value("numfields", Integer),
                    block("data", &[value("field", String), value("value", String)]).multiple(),
                ],
            )
            .after("FIELDS"),
        ],
        ..BASE
    },
];
