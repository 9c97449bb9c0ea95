//! Strings as numbers.

use super::prelude::*;

const BASE: Spec = row(Group::String);

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::Incr,
        name: "incr",
        arity: 2,
        flags: WRITE | DENYOOM | FAST,
        extra_categories: STRING,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "access", "update"])],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Add one to a counter",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::Decr,
        name: "decr",
        arity: 2,
        flags: WRITE | DENYOOM | FAST,
        extra_categories: STRING,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "access", "update"])],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Take one from a counter",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::IncrBy,
        name: "incrby",
        arity: 3,
        flags: WRITE | DENYOOM | FAST,
        extra_categories: STRING,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "access", "update"])],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Add an integer to a counter",
        arguments: &[KEY, value("increment", Integer)],
        ..BASE
    },
    Spec {
        id: CommandId::DecrBy,
        name: "decrby",
        arity: 3,
        flags: WRITE | DENYOOM | FAST,
        extra_categories: STRING,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "access", "update"])],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Take an integer from a counter",
        arguments: &[KEY, value("decrement", Integer)],
        ..BASE
    },
    Spec {
        id: CommandId::IncrByFloat,
        name: "incrbyfloat",
        arity: 3,
        flags: WRITE | DENYOOM | FAST,
        extra_categories: STRING,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "access", "update"])],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Add a decimal or hexadecimal fraction to a number",
        arguments: &[KEY, value("increment", Double)],
        ..BASE
    },
];
