//! HyperLogLog: counts of different elements, about.

use super::prelude::*;

const BASE: Spec = Spec {
    extra_categories: category::HYPERLOGLOG,
    keys: ALL,
    ..row(Group::HyperLogLog)
};

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::new(450),
        name: "pfadd",
        arity: -2,
        flags: WRITE | DENYOOM | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "insert"])],
        since: "2.8.9",
        complexity: "O(1) an element",
        summary: "Let elements count; 1 if the estimate may be another one now",
        arguments: &[KEY, value("element", String).optional().multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::new(451),
        name: "pfcount",
        arity: -2,
        // Of one key it keeps what it has counted in the value.
        flags: READONLY | STATE_WRITE,
        key_uses: &[key_use(ALL, &["RW", "access"]).notes("of one key the count is kept in the value")],
        since: "2.8.9",
        complexity: "O(N), N being the keys",
        summary: "Estimate how many different elements were added to keys, together",
        arguments: &[KEY.multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::new(452),
        name: "pfmerge",
        arity: -2,
        flags: WRITE | DENYOOM,
        key_uses: &[
            key_use(ONE, &["RW", "access", "insert"]),
            key_use(
                KeySpec {
                    first: 2,
                    last: -1,
                    step: 1,
                },
                &["RO", "access"],
            ),
        ],
        since: "2.8.9",
        complexity: "O(N), N being the keys",
        summary: "Let one key count all that several keys have counted",
        arguments: &[value("destkey", Key(0)), value("sourcekey", Key(1)).multiple()],
        ..BASE
    },
];
