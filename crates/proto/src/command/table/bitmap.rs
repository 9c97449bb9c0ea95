//! Strings as arrays of bits.

use super::prelude::*;

const BASE: Spec = Spec {
    extra_categories: category::BITMAP,
    keys: ONE,
    ..row(Group::Bitmap)
};

const READ: &[KeyUse] = &[key_use(ONE, &["RO", "access"])];

const UNIT: Argument = one_of("index_unit", &[token("byte", "BYTE"), token("bit", "BIT")])
    .since("7.0.0")
    .optional();

const GET_FIELD: Argument = block(
    "encoding_offset",
    &[value("encoding", String), value("offset", Integer)],
)
.after("GET");

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::new(440),
        name: "setbit",
        arity: 4,
        flags: WRITE | DENYOOM,
        key_uses: &[key_use(ONE, &["RW", "access", "update"])],
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Set or clear one bit of a string and answer what it was",
        arguments: &[KEY, value("offset", Integer), value("value", Integer)],
        ..BASE
    },
    Spec {
        id: CommandId::new(441),
        name: "getbit",
        arity: 3,
        flags: READONLY | FAST,
        key_uses: READ,
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Read one bit of a string",
        arguments: &[KEY, value("offset", Integer)],
        ..BASE
    },
    Spec {
        id: CommandId::new(442),
        name: "bitcount",
        arity: -2,
        flags: READONLY,
        key_uses: READ,
        since: "2.6.0",
        complexity: "O(N), the bytes of the range",
        summary: "How many bits of a string, or of a part of it, are set",
        arguments: &[
            KEY,
            block("index", &[value("start", Integer), value("end", Integer), UNIT]).optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(443),
        name: "bitpos",
        arity: -3,
        flags: READONLY,
        key_uses: READ,
        since: "2.8.7",
        complexity: "O(N), the bytes of the range",
        summary: "Where the first bit of a string that is set, or clear, is",
        arguments: &[
            KEY,
            value("bit", Integer),
            block(
                "index",
                &[
                    value("start", Integer),
                    block("end_index", &[value("end", Integer), UNIT]).optional(),
                ],
            )
            .optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(444),
        name: "bitop",
        arity: -4,
        flags: WRITE | DENYOOM,
        keys: KeySpec {
            first: 2,
            last: -1,
            step: 1,
        },
        key_uses: &[
            key_use(SECOND, &["OW", "update"]),
            key_use(
                KeySpec {
                    first: 3,
                    last: -1,
                    step: 1,
                },
                &["RO", "access"],
            ),
        ],
        since: "2.6.0",
        complexity: "O(N), the bytes of the strings together",
        summary: "Combine the bits of strings and store the result",
        arguments: &[
            value("operation", String),
            value("destkey", Key(0)),
            value("key", Key(1)).multiple(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::BitField,
        name: "bitfield",
        arity: -2,
        flags: WRITE | DENYOOM,
        key_uses: &[key_use(ONE, &["RW", "access", "update", "variable_flags"])
            .notes("writes only where SET or INCRBY is given")],
        since: "3.2.0",
        complexity: "O(N), the fields that are named",
        summary: "Read and change integers of any width in a string",
        arguments: &[
            KEY,
            one_of(
                "operation",
                &[
                    GET_FIELD,
                    block(
                        "write",
                        &[
                            one_of(
                                "wrap_sat_fail",
                                &[token("wrap", "WRAP"), token("sat", "SAT"), token("fail", "FAIL")],
                            )
                            .after("OVERFLOW")
                            .optional(),
                            one_of(
                                "write_operation",
                                &[
                                    block(
                                        "encoding_offset_value",
                                        &[
                                            value("encoding", String),
                                            value("offset", Integer),
                                            value("value", Integer),
                                        ],
                                    )
                                    .after("SET"),
                                    block(
                                        "encoding_offset_increment",
                                        &[
                                            value("encoding", String),
                                            value("offset", Integer),
                                            value("increment", Integer),
                                        ],
                                    )
                                    .after("INCRBY"),
                                ],
                            ),
                        ],
                    ),
                ],
            )
            .optional()
            .multiple(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(446),
        name: "bitfield_ro",
        arity: -2,
        flags: READONLY | FAST,
        key_uses: READ,
        since: "6.0.0",
        complexity: "O(N), the fields that are named",
        summary: "Read integers of any width in a string",
        arguments: &[KEY, GET_FIELD.optional().multiple_with_token()],
        ..BASE
    },
];
