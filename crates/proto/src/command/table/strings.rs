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
        summary: "Read a string",
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
            .notes("reads the old value where GET is given")],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Write a string; options decide on time to live, condition and reply",
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
        summary: "Write a string that lives so many seconds",
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
        summary: "Write a string that lives so many milliseconds",
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
        summary: "Write a string if its key is not there",
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
        summary: "Write a string and answer the one before",
        deprecated: Some(Deprecation {
            since: "6.2.0",
            replaced_by: "`SET … GET`",
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
        summary: "Read a string and remove its key",
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
        key_uses: &[key_use(ONE, &["RW", "access", "update"]).notes("writes since it may move the deadline")],
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Read a string and change or take off its time to live",
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
        complexity: "O(N), N being the keys",
        summary: "Read several strings at once",
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
        complexity: "O(N), N being the keys",
        summary: "Write several strings at once",
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
        complexity: "O(N), N being the keys",
        summary: "Write several strings if none of their keys is there",
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
        complexity: "O(1) amortized",
        summary: "Put bytes behind the end of a string",
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
        summary: "Tell how many bytes a string has",
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
        complexity: "O(N), N being the bytes read",
        summary: "Read a part of a string",
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
        complexity: "O(N), N being the bytes read",
        summary: "The old name of GETRANGE",
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
        complexity: "O(N), N being the bytes written; O(M) where the string gets longer, M being its length",
        summary: "Write over a part of a string from an offset on, zeros filling a gap",
        arguments: &[KEY, value("offset", Integer), value("value", String)],
        ..BASE
    },
];
