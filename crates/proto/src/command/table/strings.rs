//! Strings as bytes.

use super::prelude::*;

const BASE: Spec = row(Group::String);

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::Get,
        name: "get",
        arity: 2,
        flags: READONLY | FAST,
        extra_categories: STRING,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Get the value of a key",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::Set,
        name: "set",
        arity: -3,
        flags: WRITE | DENYOOM,
        extra_categories: STRING,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "access", "update", "variable_flags"])
            .notes("RW and ACCESS due to the optional `GET` argument")],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Set the string value of a key",
        history: &[
            ("2.6.12", "Added the `EX`, `PX`, `NX` and `XX` options."),
            ("6.0.0", "Added the `KEEPTTL` option."),
            ("6.2.0", "Added the `GET`, `EXAT` and `PXAT` option."),
            ("7.0.0", "Allowed the `NX` and `GET` options to be used together."),
        ],
        arguments: &[
            KEY,
            value("value", String),
            one_of("condition", &[token("nx", "NX"), token("xx", "XX")])
                .since("2.6.12")
                .optional(),
            token("get", "GET").since("6.2.0").optional(),
            one_of(
                "expiration",
                &[
                    value("seconds", Integer).after("EX").since("2.6.12"),
                    value("milliseconds", Integer).after("PX").since("2.6.12"),
                    value("unix-time-seconds", UnixTime).after("EXAT").since("6.2.0"),
                    value("unix-time-milliseconds", UnixTime)
                        .after("PXAT")
                        .since("6.2.0"),
                    token("keepttl", "KEEPTTL").since("6.0.0"),
                ],
            )
            .optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::SetEx,
        name: "setex",
        arity: 4,
        flags: WRITE | DENYOOM,
        extra_categories: STRING,
        keys: ONE,
        key_uses: &[key_use(ONE, &["OW", "update"])],
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Set the value and expiration of a key",
        arguments: &[KEY, value("seconds", Integer), value("value", String)],
        ..BASE
    },
    Spec {
        id: CommandId::PSetEx,
        name: "psetex",
        arity: 4,
        flags: WRITE | DENYOOM,
        extra_categories: STRING,
        keys: ONE,
        key_uses: &[key_use(ONE, &["OW", "update"])],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Set the value and expiration in milliseconds of a key",
        arguments: &[KEY, value("milliseconds", Integer), value("value", String)],
        ..BASE
    },
    Spec {
        id: CommandId::SetNx,
        name: "setnx",
        arity: 3,
        flags: WRITE | DENYOOM | FAST,
        extra_categories: STRING,
        keys: ONE,
        key_uses: &[key_use(ONE, &["OW", "insert"])],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Set the value of a key, only if the key does not exist",
        arguments: &[KEY, value("value", String)],
        ..BASE
    },
    Spec {
        id: CommandId::GetSet,
        name: "getset",
        arity: 3,
        flags: WRITE | DENYOOM | FAST,
        extra_categories: STRING,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "access", "update"])],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Set the string value of a key and return its old value",
        deprecated: Some(Deprecation {
            since: "6.2.0",
            replaced_by: "`SET` with the `!GET` argument",
        }),
        arguments: &[KEY, value("value", String)],
        ..BASE
    },
    Spec {
        id: CommandId::GetDel,
        name: "getdel",
        arity: 2,
        flags: WRITE | FAST,
        extra_categories: STRING,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "access", "delete"])],
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Get the value of a key and delete the key",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::GetEx,
        name: "getex",
        arity: -2,
        flags: WRITE | FAST,
        extra_categories: STRING,
        keys: ONE,
        key_uses: &[
            key_use(ONE, &["RW", "access", "update"]).notes("RW and UPDATE because it changes the TTL")
        ],
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Get the value of a key and optionally set its expiration",
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
        ],
        ..BASE
    },
    Spec {
        id: CommandId::MGet,
        name: "mget",
        arity: -2,
        flags: READONLY | FAST,
        extra_categories: STRING,
        keys: ALL,
        key_uses: &[key_use(ALL, &["RO", "access"])],
        tips: &["request_policy:multi_shard"],
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys to retrieve.",
        summary: "Get the values of all the given keys",
        arguments: &[KEY.multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::MSet,
        name: "mset",
        arity: -3,
        flags: WRITE | DENYOOM,
        extra_categories: STRING,
        keys: PAIRS,
        key_uses: &[key_use(PAIRS, &["OW", "update"])],
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys to set.",
        summary: "Set multiple keys to multiple values",
        arguments: &[block("key_value", &[KEY, value("value", String)]).multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::MSetNx,
        name: "msetnx",
        arity: -3,
        flags: WRITE | DENYOOM,
        extra_categories: STRING,
        keys: PAIRS,
        key_uses: &[key_use(PAIRS, &["OW", "insert"])],
        tips: &["request_policy:multi_shard", "response_policy:agg_min"],
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys to set.",
        summary: "Set multiple keys to multiple values, only if none of the keys exist",
        arguments: &[block("key_value", &[KEY, value("value", String)]).multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::Append,
        name: "append",
        arity: 3,
        flags: WRITE | DENYOOM | FAST,
        extra_categories: STRING,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "insert"])],
        since: "2.0.0",
        complexity: "O(1). The amortized time complexity is O(1) assuming the appended value is small and the already present value is of any size, since the dynamic string library used by Redis will double the free space available on every reallocation.",
        summary: "Append a value to a key",
        arguments: &[KEY, value("value", String)],
        ..BASE
    },
    Spec {
        id: CommandId::StrLen,
        name: "strlen",
        arity: 2,
        flags: READONLY | FAST,
        extra_categories: STRING,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO"])],
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Get the length of the value stored in a key",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::GetRange,
        name: "getrange",
        arity: 4,
        flags: READONLY,
        extra_categories: STRING,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        since: "2.4.0",
        complexity: "O(N) where N is the length of the returned string. The complexity is ultimately determined by the returned length, but because creating a substring from an existing string is very cheap, it can be considered O(1) for small strings.",
        summary: "Get a substring of the string stored at a key",
        arguments: &[KEY, value("start", Integer), value("end", Integer)],
        ..BASE
    },
    Spec {
        id: CommandId::SubStr,
        name: "substr",
        arity: 4,
        flags: READONLY,
        extra_categories: STRING,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        since: "1.0.0",
        complexity: "O(N) where N is the length of the returned string. The complexity is ultimately determined by the returned length, but because creating a substring from an existing string is very cheap, it can be considered O(1) for small strings.",
        summary: "Get a substring of the string stored at a key",
        deprecated: Some(Deprecation {
            since: "2.0.0",
            replaced_by: "`GETRANGE`",
        }),
        arguments: &[KEY, value("start", Integer), value("end", Integer)],
        ..BASE
    },
    Spec {
        id: CommandId::SetRange,
        name: "setrange",
        arity: 4,
        flags: WRITE | DENYOOM,
        extra_categories: STRING,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "update"])],
        since: "2.2.0",
        complexity: "O(1), not counting the time taken to copy the new string in place. Usually, this string is very small so the amortized complexity is O(1). Otherwise, complexity is O(M) with M being the length of the value argument.",
        summary: "Overwrite part of a string at key starting at the specified offset",
        arguments: &[KEY, value("offset", Integer), value("value", String)],
        ..BASE
    },
];
