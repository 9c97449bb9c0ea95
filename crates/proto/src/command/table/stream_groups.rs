//! Groups of consumers that share out the entries of a stream.

use super::prelude::*;

const BASE: Spec = Spec {
    extra_categories: category::STREAM,
    since: "5.0.0",
    ..row(Group::Stream)
};

const ID: Argument = value("id", String);
const GROUP: Argument = value("group", String);
const CONSUMER: Argument = value("consumer", String);
const COUNT: Argument = value("count", Integer).after("COUNT").optional();
const MIN_IDLE: Argument = value("min-idle-time", String);

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::new(530),
        name: "xgroup",
        arity: -2,
        extra_categories: 0,
        complexity: "See the subcommands",
        summary: "Look after the groups of a stream",
        subcommands: XGROUP,
        ..BASE
    },
    Spec {
        id: CommandId::XReadGroup,
        name: "xreadgroup",
        arity: -7,
        flags: WRITE | BLOCKING | MOVABLE_KEYS,
        key_uses: &[keys_behind("STREAMS", 4, &["RO", "access"])],
        complexity: "O(K log N + M log P), the streams, their entries, those that are told, and those that are pending",
        summary: "Read as a consumer what no other one of its group was given, or wait for it",
        arguments: &[
            block("group_consumer", &[GROUP, CONSUMER]).after("GROUP"),
            COUNT,
            value("milliseconds", Integer).after("BLOCK").optional(),
            token("noack", "NOACK").optional(),
            block("streams", &[KEY.multiple(), ID.multiple()]).after("STREAMS"),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(538),
        name: "xack",
        arity: -4,
        flags: WRITE | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "update"])],
        complexity: "O(M log P), the ids and what is pending",
        summary: "Say that entries are done with, so that they are pending no more",
        arguments: &[KEY, GROUP, ID.multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::new(539),
        name: "xpending",
        arity: -3,
        flags: READONLY,
        tips: &["nondeterministic_output"],
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        complexity: "O(log P + M), what is pending and what is looked at",
        summary: "Tell what a group was given and has not done with",
        arguments: &[
            KEY,
            GROUP,
            block(
                "filters",
                &[
                    value("min-idle-time", Integer)
                        .after("IDLE")
                        .since("6.2.0")
                        .optional(),
                    value("start", String),
                    value("end", String),
                    value("count", Integer),
                    CONSUMER.optional(),
                ],
            )
            .optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(540),
        name: "xclaim",
        arity: -6,
        flags: WRITE | FAST,
        tips: &["nondeterministic_output"],
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "update"])],
        complexity: "O(M log P), the ids and what is pending",
        summary: "Take pending entries over from other consumers",
        arguments: &[
            KEY,
            GROUP,
            CONSUMER,
            MIN_IDLE,
            ID.multiple(),
            value("ms", Integer).after("IDLE").optional(),
            value("unix-time-milliseconds", UnixTime).after("TIME").optional(),
            value("count", Integer).after("RETRYCOUNT").optional(),
            token("force", "FORCE").optional(),
            token("justid", "JUSTID").optional(),
            ID.after("LASTID").optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(541),
        name: "xautoclaim",
        arity: -6,
        flags: WRITE | FAST,
        tips: &["nondeterministic_output"],
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "delete"])],
        since: "6.2.0",
        complexity: "O(log P + M log P), what is pending and what is looked at",
        summary: "Take over entries that have been pending for long",
        arguments: &[
            KEY,
            GROUP,
            CONSUMER,
            MIN_IDLE,
            value("start", String),
            COUNT,
            token("justid", "JUSTID").optional(),
        ],
        ..BASE
    },
];

const KEY_AND_GROUP: [Argument; 2] = [KEY, value("groupname", String)];
const FROM: Argument = one_of("id", &[ID, token("new_id", "$")]);
const READ: Argument = value("entries_read", Integer).after("ENTRIESREAD").optional();

const XGROUP: &[Spec] = &[
    Spec {
        id: CommandId::new(531),
        name: "xgroup|create",
        arity: -5,
        flags: WRITE | DENYOOM,
        keys: SECOND,
        key_uses: &[key_use(SECOND, &["RW", "insert"])],
        complexity: "O(log N), the groups",
        summary: "Make a group that reads a stream from an id on",
        arguments: &[
            KEY_AND_GROUP[0],
            KEY_AND_GROUP[1],
            FROM,
            token("mkstream", "MKSTREAM").optional(),
            READ,
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(532),
        name: "xgroup|setid",
        arity: -5,
        flags: WRITE,
        keys: SECOND,
        key_uses: &[key_use(SECOND, &["RW", "update"])],
        complexity: "O(log N), the groups",
        summary: "Say from which id on a group reads",
        arguments: &[KEY_AND_GROUP[0], KEY_AND_GROUP[1], FROM, READ],
        ..BASE
    },
    Spec {
        id: CommandId::new(533),
        name: "xgroup|destroy",
        arity: 4,
        flags: WRITE,
        keys: SECOND,
        key_uses: &[key_use(SECOND, &["RW", "delete"])],
        complexity: "O(P), what is pending",
        summary: "Remove a group, its consumers, and what is pending",
        arguments: &KEY_AND_GROUP,
        ..BASE
    },
    Spec {
        id: CommandId::new(534),
        name: "xgroup|createconsumer",
        arity: 5,
        flags: WRITE | DENYOOM,
        keys: SECOND,
        key_uses: &[key_use(SECOND, &["RW", "insert"])],
        since: "6.2.0",
        complexity: "O(log N), the consumers",
        summary: "Make a consumer that has read nothing",
        arguments: &[KEY_AND_GROUP[0], KEY_AND_GROUP[1], value("consumername", String)],
        ..BASE
    },
    Spec {
        id: CommandId::new(535),
        name: "xgroup|delconsumer",
        arity: 5,
        flags: WRITE,
        keys: SECOND,
        key_uses: &[key_use(SECOND, &["RW", "delete"])],
        complexity: "O(P), what is pending for it",
        summary: "Remove a consumer and what is pending for it",
        arguments: &[KEY_AND_GROUP[0], KEY_AND_GROUP[1], value("consumername", String)],
        ..BASE
    },
    Spec {
        id: CommandId::new(536),
        name: "xgroup|help",
        arity: 2,
        flags: LOADING | STALE,
        complexity: "O(1)",
        summary: "List the subcommands of XGROUP",
        ..BASE
    },
];
