//! Time to live of keys.

use super::prelude::*;

const BASE: Spec = row(Group::Generic);

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::Expire,
        name: "expire",
        arity: -3,
        flags: WRITE | FAST,
        extra_categories: KEYSPACE,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "update"])],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Let a key end in so many seconds",
        arguments: &[
            KEY,
            value("seconds", Integer),
            one_of(
                "condition",
                &[
                    token("nx", "NX"),
                    token("xx", "XX"),
                    token("gt", "GT"),
                    token("lt", "LT"),
                ],
            )
            .since("7.0.0")
            .optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::PExpire,
        name: "pexpire",
        arity: -3,
        flags: WRITE | FAST,
        extra_categories: KEYSPACE,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "update"])],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Let a key end in so many milliseconds",
        arguments: &[
            KEY,
            value("milliseconds", Integer),
            one_of(
                "condition",
                &[
                    token("nx", "NX"),
                    token("xx", "XX"),
                    token("gt", "GT"),
                    token("lt", "LT"),
                ],
            )
            .since("7.0.0")
            .optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::ExpireAt,
        name: "expireat",
        arity: -3,
        flags: WRITE | FAST,
        extra_categories: KEYSPACE,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "update"])],
        since: "1.2.0",
        complexity: "O(1)",
        summary: "Let a key end at a time given in seconds since 1970",
        arguments: &[
            KEY,
            value("unix-time-seconds", UnixTime),
            one_of(
                "condition",
                &[
                    token("nx", "NX"),
                    token("xx", "XX"),
                    token("gt", "GT"),
                    token("lt", "LT"),
                ],
            )
            .since("7.0.0")
            .optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::PExpireAt,
        name: "pexpireat",
        arity: -3,
        flags: WRITE | FAST,
        extra_categories: KEYSPACE,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "update"])],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Let a key end at a time given in milliseconds since 1970",
        arguments: &[
            KEY,
            value("unix-time-milliseconds", UnixTime),
            one_of(
                "condition",
                &[
                    token("nx", "NX"),
                    token("xx", "XX"),
                    token("gt", "GT"),
                    token("lt", "LT"),
                ],
            )
            .since("7.0.0")
            .optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::Ttl,
        name: "ttl",
        arity: 2,
        flags: READONLY | FAST,
        extra_categories: KEYSPACE,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        tips: &["nondeterministic_output"],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Tell how many seconds a key has left",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::PTtl,
        name: "pttl",
        arity: 2,
        flags: READONLY | FAST,
        extra_categories: KEYSPACE,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        tips: &["nondeterministic_output"],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Tell how many milliseconds a key has left",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::ExpireTime,
        name: "expiretime",
        arity: 2,
        flags: READONLY | FAST,
        extra_categories: KEYSPACE,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        since: "7.0.0",
        complexity: "O(1)",
        summary: "Tell when a key ends, in seconds since 1970",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::PExpireTime,
        name: "pexpiretime",
        arity: 2,
        flags: READONLY | FAST,
        extra_categories: KEYSPACE,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        since: "7.0.0",
        complexity: "O(1)",
        summary: "Tell when a key ends, in milliseconds since 1970",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::Persist,
        name: "persist",
        arity: 2,
        flags: WRITE | FAST,
        extra_categories: KEYSPACE,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "update"])],
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Take the time to live off a key",
        arguments: &[KEY],
        ..BASE
    },
];
