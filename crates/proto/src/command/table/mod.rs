//! The rows of the command table, by chapter.
//!
//! The rows are data only; who executes a command is decided elsewhere, by its [`CommandId`].

mod bitmap;
mod connection;
mod counters;
mod expiry;
mod functions;
mod geo;
mod hash;
mod hash_fields;
mod hyperloglog;
mod introspection;
mod keys;
mod list;
mod pubsub;
mod repligo;
mod scripting;
mod server;
mod set;
mod sorted_set;
mod sorted_set_algebra;
mod sorted_set_ranges;
mod stream;
mod stream_groups;
mod strings;
mod transactions;
mod users;
mod values;

use super::CommandId;
use super::channels::ChannelUse;
use super::keyword::KeyWord;
use super::spec::{Argument, ArgumentKind, Group, KeySpec, KeyUse, Spec};

/// What every chapter needs to write its rows.
mod prelude {
    pub(super) use super::super::CommandId;
    pub(super) use super::super::channels::ChannelUse;
    pub(super) use super::super::keyword::KeyWord;
    pub(super) use super::super::spec::ArgumentKind::*;
    pub(super) use super::super::spec::category;
    pub(super) use super::super::spec::category::{CONNECTION, DANGEROUS, KEYSPACE, STRING, TRANSACTION};
    pub(super) use super::super::spec::flag::*;
    pub(super) use super::super::spec::{Argument, Deprecation, Group, KeySpec, KeyUse, Spec};
    pub(super) use super::{
        ALL, BOTH, BUT_LAST, KEY, ONE, PAIRS, SECOND, TIMEOUT, block, counted_keys, key_use, keys_behind,
        one_of, row, token, value, word_key,
    };
}

/// The only key is argument 1.
const ONE: KeySpec = KeySpec {
    first: 1,
    last: 1,
    step: 1,
};
/// The only key is argument 2.
const SECOND: KeySpec = KeySpec {
    first: 2,
    last: 2,
    step: 1,
};
/// Arguments 1 and 2 are keys.
const BOTH: KeySpec = KeySpec {
    first: 1,
    last: 2,
    step: 1,
};
/// All arguments but the last are keys.
const BUT_LAST: KeySpec = KeySpec {
    first: 1,
    last: -2,
    step: 1,
};
/// All arguments are keys.
const ALL: KeySpec = KeySpec {
    first: 1,
    last: -1,
    step: 1,
};
/// Keys and values in turn.
const PAIRS: KeySpec = KeySpec {
    first: 1,
    last: -1,
    step: 2,
};

/// The argument `key`.
const KEY: Argument = value("key", ArgumentKind::Key(0));
/// How long a command waits, in seconds; 0 for ever.
const TIMEOUT: Argument = value("timeout", ArgumentKind::Double);

const CHAPTERS: [&[Spec]; 24] = [
    connection::COMMANDS,
    server::COMMANDS,
    introspection::COMMANDS,
    keys::COMMANDS,
    values::COMMANDS,
    expiry::COMMANDS,
    strings::COMMANDS,
    bitmap::COMMANDS,
    hyperloglog::COMMANDS,
    counters::COMMANDS,
    hash::COMMANDS,
    hash_fields::COMMANDS,
    list::COMMANDS,
    set::COMMANDS,
    sorted_set::COMMANDS,
    sorted_set_ranges::COMMANDS,
    sorted_set_algebra::COMMANDS,
    geo::COMMANDS,
    stream::COMMANDS,
    stream_groups::COMMANDS,
    pubsub::COMMANDS,
    transactions::COMMANDS,
    scripting::COMMANDS,
    repligo::COMMANDS,
];

const COUNT: usize = {
    let mut count = 0;
    let mut chapter = 0;
    while chapter < CHAPTERS.len() {
        count += CHAPTERS[chapter].len();
        chapter += 1;
    }
    count
};

/// All commands in one array, so that the index can name them by number.
static TABLE: [Spec; COUNT] = {
    let mut table = [CHAPTERS[0][0]; COUNT];
    let (mut at, mut chapter) = (0, 0);
    while chapter < CHAPTERS.len() {
        let rows = CHAPTERS[chapter];
        let mut index = 0;
        while index < rows.len() {
            table[at] = rows[index];
            at += 1;
            index += 1;
        }
        chapter += 1;
    }
    table
};

/// Every command, subcommands inside their containers.
pub static COMMANDS: &[Spec] = &TABLE;

/// The row of each number, subcommands too.
static BY_NUMBER: [Option<&Spec>; CommandId::COUNT] = {
    let mut rows = [None; CommandId::COUNT];
    let mut at = 0;
    while at < TABLE.len() {
        rows[TABLE[at].id.index()] = place(&rows, &TABLE[at]);
        let subcommands = TABLE[at].subcommands;
        let mut inner = 0;
        while inner < subcommands.len() {
            rows[subcommands[inner].id.index()] = place(&rows, &subcommands[inner]);
            inner += 1;
        }
        at += 1;
    }
    rows
};

const fn place<'a>(rows: &[Option<&'a Spec>], row: &'a Spec) -> Option<&'a Spec> {
    assert!(rows[row.id.index()].is_none(), "two rows have one number");
    Some(row)
}

/// The row of a command or subcommand, if the number is one's.
#[inline]
pub fn numbered(number: u64) -> Option<&'static Spec> {
    BY_NUMBER.get(usize::try_from(number).ok()?).copied().flatten()
}

/// The row of this name, subcommands too, for tables that are made when the program is compiled.
pub const fn named_at_compile_time(name: &str) -> Option<&'static Spec> {
    let mut at = 0;
    while at < TABLE.len() {
        if is_equal(TABLE[at].name, name) {
            return Some(&TABLE[at]);
        }
        let subcommands = TABLE[at].subcommands;
        let mut inner = 0;
        while inner < subcommands.len() {
            if is_equal(subcommands[inner].name, name) {
                return Some(&subcommands[inner]);
            }
            inner += 1;
        }
        at += 1;
    }
    None
}

const fn is_equal(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut at = 0;
    while at < left.len() && at < right.len() && left[at] == right[at] {
        at += 1;
    }
    at == left.len() && at == right.len()
}

/// A row with everything left out that may be.
const fn row(group: Group) -> Spec {
    Spec {
        id: CommandId::Ping,
        name: "",
        arity: 0,
        flags: 0,
        extra_categories: 0,
        keys: KeySpec::NONE,
        key_uses: &[],
        channels: ChannelUse::NONE,
        tips: &[],
        group,
        since: "",
        complexity: "",
        summary: "",
        deprecated: None,
        arguments: &[],
        subcommands: &[],
    }
}

const fn key_use(keys: KeySpec, flags: &'static [&'static str]) -> KeyUse {
    KeyUse {
        keys,
        count_at: 0,
        keyword: "",
        word: None,
        flags,
        notes: "",
    }
}

/// So many keys, `step` apart, as argument `count_at` says, right behind it.
const fn counted_keys(count_at: u8, step: i8, flags: &'static [&'static str]) -> KeyUse {
    let keys = KeySpec {
        first: count_at as i8 + 1,
        last: 0,
        step,
    };
    KeyUse {
        count_at,
        ..key_use(keys, flags)
    }
}

/// As many keys as other arguments behind them, after this word, which stands at `from` or later.
const fn keys_behind(keyword: &'static str, from: i8, flags: &'static [&'static str]) -> KeyUse {
    let keys = KeySpec {
        first: from,
        last: -1,
        step: 1,
    };
    KeyUse {
        keyword,
        ..key_use(keys, flags)
    }
}

/// The key that a word says.
const fn word_key(word: &'static KeyWord, flags: &'static [&'static str]) -> KeyUse {
    KeyUse {
        word: Some(word),
        ..key_use(KeySpec::NONE, flags)
    }
}

impl KeyUse {
    const fn notes(self, notes: &'static str) -> KeyUse {
        KeyUse { notes, ..self }
    }
}

const fn value(name: &'static str, kind: ArgumentKind) -> Argument {
    Argument {
        name,
        kind,
        token: "",
        since: "",
        optional: false,
        multiple: false,
        multiple_token: false,
        arguments: &[],
    }
}

const fn token(name: &'static str, word: &'static str) -> Argument {
    value(name, ArgumentKind::PureToken).after(word)
}

const fn one_of(name: &'static str, arguments: &'static [Argument]) -> Argument {
    Argument {
        arguments,
        ..value(name, ArgumentKind::OneOf)
    }
}

const fn block(name: &'static str, arguments: &'static [Argument]) -> Argument {
    Argument {
        arguments,
        ..value(name, ArgumentKind::Block)
    }
}

impl Argument {
    const fn after(self, token: &'static str) -> Argument {
        Argument { token, ..self }
    }

    const fn since(self, since: &'static str) -> Argument {
        Argument { since, ..self }
    }

    const fn optional(self) -> Argument {
        Argument {
            optional: true,
            ..self
        }
    }

    const fn multiple(self) -> Argument {
        Argument {
            multiple: true,
            ..self
        }
    }

    /// Repeated with its word.
    const fn multiple_with_token(self) -> Argument {
        Argument {
            multiple: true,
            multiple_token: true,
            ..self
        }
    }
}
