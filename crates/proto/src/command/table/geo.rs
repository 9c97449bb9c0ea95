//! Places as members of sorted sets.

use super::prelude::*;

const BASE: Spec = Spec {
    extra_categories: category::GEO,
    keys: ONE,
    since: "3.2.0",
    ..row(Group::Geo)
};
/// A command that looks at one sorted set.
const READ: Spec = Spec {
    flags: READONLY,
    key_uses: &[key_use(ONE, &["RO", "access"])],
    ..BASE
};
/// A command that searches.
const SEARCH: Spec = Spec {
    complexity: "O(log N + M log M), the members of the sorted set and those in the cells that are looked at",
    ..READ
};
/// A search with a radius, which may store.
const RADIUS: Spec = Spec {
    flags: WRITE | DENYOOM | MOVABLE_KEYS,
    ..SEARCH
};

const fn stored(word: &'static KeyWord) -> KeyUse {
    word_key(word, &["OW", "update"])
}

const fn key_word(word: &'static str, start: u8) -> KeyWord {
    KeyWord {
        word,
        start,
        others: &[("store", 1), ("storedist", 1), ("count", 1)],
        is_unknown: false,
    }
}

const STORE: [KeyWord; 2] = [key_word("store", 6), key_word("storedist", 6)];
const MEMBER_STORE: [KeyWord; 2] = [key_word("store", 5), key_word("storedist", 5)];

const MEMBER: Argument = value("member", String);
const LONGITUDE: Argument = value("longitude", Double);
const LATITUDE: Argument = value("latitude", Double);
const UNIT: Argument = one_of(
    "unit",
    &[
        token("m", "M"),
        token("km", "KM"),
        token("ft", "FT"),
        token("mi", "MI"),
    ],
);
const RADIUS_OF: Argument = value("radius", Double);
const WITHCOORD: Argument = token("withcoord", "WITHCOORD").optional();
const WITHDIST: Argument = token("withdist", "WITHDIST").optional();
const WITHHASH: Argument = token("withhash", "WITHHASH").optional();
const ORDER: Argument = one_of("order", &[token("asc", "ASC"), token("desc", "DESC")]).optional();
const COUNT_ANY: Argument = block(
    "count",
    &[
        value("count", Integer).after("COUNT"),
        token("any", "ANY").optional(),
    ],
)
.optional();
/// Where ANY came later than the command.
const COUNT_NEWER_ANY: Argument = block(
    "count",
    &[
        value("count", Integer).after("COUNT"),
        token("any", "ANY").since("6.2.0").optional(),
    ],
)
.optional();
const FROM: Argument = one_of(
    "from",
    &[
        MEMBER.after("FROMMEMBER"),
        block("longitude_latitude", &[LONGITUDE, LATITUDE]).after("FROMLONLAT"),
    ],
);
const BY: Argument = one_of(
    "by",
    &[
        block("circle", &[RADIUS_OF.after("BYRADIUS"), UNIT]),
        block(
            "box",
            &[
                value("width", Double).after("BYBOX"),
                value("height", Double),
                UNIT,
            ],
        ),
    ],
);
const STORED: Argument = value("key", Key(1)).after("STORE").optional();
const STORED_DISTANCES: Argument = value("key", Key(2)).after("STOREDIST").optional();

const fn replaced(replaced_by: &'static str) -> Option<Deprecation> {
    Some(Deprecation {
        since: "6.2.0",
        replaced_by,
    })
}

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::new(470),
        name: "geoadd",
        arity: -5,
        flags: WRITE | DENYOOM,
        key_uses: &[key_use(ONE, &["RW", "update"])],
        complexity: "O(log N) for each place, the size of the sorted set",
        summary: "Give members of a sorted set their places",
        arguments: &[
            KEY,
            one_of("condition", &[token("nx", "NX"), token("xx", "XX")])
                .since("6.2.0")
                .optional(),
            token("change", "CH").since("6.2.0").optional(),
            block("longitude_latitude_member", &[LONGITUDE, LATITUDE, MEMBER]).multiple(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(471),
        name: "geopos",
        arity: -2,
        complexity: "O(log N) for each member, the size of the sorted set",
        summary: "Tell longitude and latitude of members",
        arguments: &[KEY, MEMBER.multiple()],
        ..READ
    },
    Spec {
        id: CommandId::new(472),
        name: "geodist",
        arity: -4,
        complexity: "O(log N), the size of the sorted set",
        summary: "Tell how far two members are from each other",
        arguments: &[
            KEY,
            value("member1", String),
            value("member2", String),
            UNIT.optional(),
        ],
        ..READ
    },
    Spec {
        id: CommandId::new(473),
        name: "geohash",
        arity: -2,
        complexity: "O(log N) for each member, the size of the sorted set",
        summary: "Tell the places of members as the texts that others use, too",
        arguments: &[KEY, MEMBER.multiple()],
        ..READ
    },
    Spec {
        id: CommandId::new(474),
        name: "geosearch",
        arity: -7,
        since: "6.2.0",
        summary: "Name the members with places in a circle or a box",
        arguments: &[KEY, FROM, BY, ORDER, COUNT_ANY, WITHCOORD, WITHDIST, WITHHASH],
        ..SEARCH
    },
    Spec {
        id: CommandId::new(475),
        name: "geosearchstore",
        arity: -8,
        flags: WRITE | DENYOOM,
        keys: BOTH,
        key_uses: &[
            key_use(ONE, &["OW", "update"]),
            key_use(SECOND, &["RO", "access"]),
        ],
        since: "6.2.0",
        summary: "Store the members with places in a circle or a box",
        arguments: &[
            value("destination", Key(0)),
            value("source", Key(1)),
            FROM,
            BY,
            ORDER,
            COUNT_ANY,
            token("storedist", "STOREDIST").optional(),
        ],
        ..SEARCH
    },
    Spec {
        id: CommandId::new(476),
        name: "georadius",
        arity: -6,
        key_uses: &[
            key_use(ONE, &["RO", "access"]),
            stored(&STORE[0]),
            stored(&STORE[1]),
        ],
        summary: "Name or store the members with places near one",
        deprecated: replaced("`GEOSEARCH … BYRADIUS` and `GEOSEARCHSTORE … BYRADIUS`"),
        arguments: &[
            KEY,
            LONGITUDE,
            LATITUDE,
            RADIUS_OF,
            UNIT,
            WITHCOORD,
            WITHDIST,
            WITHHASH,
            COUNT_NEWER_ANY,
            ORDER,
            STORED,
            STORED_DISTANCES,
        ],
        ..RADIUS
    },
    Spec {
        id: CommandId::new(477),
        name: "georadius_ro",
        arity: -6,
        since: "3.2.10",
        summary: "Name the members with places near one",
        deprecated: replaced("`GEOSEARCH … BYRADIUS`"),
        arguments: &[
            KEY,
            LONGITUDE,
            LATITUDE,
            RADIUS_OF,
            UNIT,
            WITHCOORD,
            WITHDIST,
            WITHHASH,
            COUNT_NEWER_ANY,
            ORDER,
        ],
        ..SEARCH
    },
    Spec {
        id: CommandId::new(478),
        name: "georadiusbymember",
        arity: -5,
        key_uses: &[
            key_use(ONE, &["RO", "access"]),
            stored(&MEMBER_STORE[0]),
            stored(&MEMBER_STORE[1]),
        ],
        summary: "Name or store the members near one of them",
        deprecated: replaced(
            "`GEOSEARCH … FROMMEMBER … BYRADIUS` and `GEOSEARCHSTORE … FROMMEMBER … BYRADIUS`",
        ),
        arguments: &[
            KEY,
            MEMBER,
            RADIUS_OF,
            UNIT,
            WITHCOORD,
            WITHDIST,
            WITHHASH,
            COUNT_ANY,
            ORDER,
            STORED,
            STORED_DISTANCES,
        ],
        ..RADIUS
    },
    Spec {
        id: CommandId::new(479),
        name: "georadiusbymember_ro",
        arity: -5,
        since: "3.2.10",
        summary: "Name the members near one of them",
        deprecated: replaced("`GEOSEARCH … FROMMEMBER … BYRADIUS`"),
        arguments: &[
            KEY, MEMBER, RADIUS_OF, UNIT, WITHCOORD, WITHDIST, WITHHASH, COUNT_ANY, ORDER,
        ],
        ..SEARCH
    },
];
