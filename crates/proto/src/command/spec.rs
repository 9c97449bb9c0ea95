//! The shape of one row of the command table.
//!
//! Names of flags, categories, groups and key uses are those that `COMMAND INFO` and `COMMAND DOCS` of
//! Redis 7.0 report.

use std::iter::StepBy;
use std::ops::Range;

use super::CommandId;
use super::channels::ChannelUse;
use super::keyword::KeyWord;

/// A set of command flags, combined with `|` of [`flag`] constants.
pub type Flags = u32;

/// Command flags.
pub mod flag {
    use super::Flags;

    /// May change the keyspace.
    pub const WRITE: Flags = 1 << 0;
    /// Reads the keyspace and never changes it.
    pub const READONLY: Flags = 1 << 1;
    /// May need memory, so it is refused when memory is used up.
    pub const DENYOOM: Flags = 1 << 2;
    /// For administrators.
    pub const ADMIN: Flags = 1 << 3;
    /// Refused inside scripts.
    pub const NOSCRIPT: Flags = 1 << 4;
    /// Allowed while the node loads its data.
    pub const LOADING: Flags = 1 << 5;
    /// Allowed on a replica whose data is stale.
    pub const STALE: Flags = 1 << 6;
    /// Never in the slow log.
    pub const SKIP_SLOWLOG: Flags = 1 << 7;
    /// Constant or logarithmic time.
    pub const FAST: Flags = 1 << 8;
    /// Allowed before authentication.
    pub const NO_AUTH: Flags = 1 << 9;
    /// Allowed while a script blocks the server.
    pub const ALLOW_BUSY: Flags = 1 << 10;
    /// May wait for something to be there.
    pub const BLOCKING: Flags = 1 << 11;
    /// An argument says how many keys there are.
    pub const MOVABLE_KEYS: Flags = 1 << 12;
    /// May name no key at all.
    pub const NO_MANDATORY_KEYS: Flags = 1 << 13;
    /// Publishes, subscribes, or tells of it.
    pub const PUBSUB: Flags = 1 << 20;

    /// Never shown to MONITOR.
    pub const SKIP_MONITOR: Flags = 1 << 14;
    /// Changes the replicated state, though Redis does not call it a write; not reported.
    pub const STATE_WRITE: Flags = 1 << 30;
    /// Reads the replicated state, though Redis does not call it a read; not reported.
    pub const STATE_READ: Flags = 1 << 31;
    /// A command of one of these is for the core.
    pub const DATA: Flags = WRITE | READONLY | STATE_WRITE | STATE_READ;

    /// Every flag with the name that Redis reports, in its order.
    pub(crate) const NAMES: &[(Flags, &str)] = &[
        (WRITE, "write"),
        (READONLY, "readonly"),
        (DENYOOM, "denyoom"),
        (ADMIN, "admin"),
        (PUBSUB, "pubsub"),
        (NOSCRIPT, "noscript"),
        (BLOCKING, "blocking"),
        (LOADING, "loading"),
        (STALE, "stale"),
        (SKIP_MONITOR, "skip_monitor"),
        (SKIP_SLOWLOG, "skip_slowlog"),
        (FAST, "fast"),
        (NO_AUTH, "no_auth"),
        (NO_MANDATORY_KEYS, "no_mandatory_keys"),
        (MOVABLE_KEYS, "movablekeys"),
        (ALLOW_BUSY, "allow_busy"),
    ];
}

/// A set of ACL categories, combined with `|` of [`category`] constants. Another width than [`Flags`], so that
/// the compiler refuses one where the other belongs.
pub type Categories = u64;

/// ACL categories.
pub mod category {
    use super::Categories;

    /// `@keyspace`: generic commands on keys.
    pub const KEYSPACE: Categories = 1 << 0;
    /// `@read`: implied by [`super::flag::READONLY`].
    pub const READ: Categories = 1 << 1;
    /// `@write`: implied by [`super::flag::WRITE`].
    pub const WRITE: Categories = 1 << 2;
    /// `@set`.
    pub const SET: Categories = 1 << 3;
    /// `@sortedset`.
    pub const SORTEDSET: Categories = 1 << 4;
    /// `@list`.
    pub const LIST: Categories = 1 << 5;
    /// `@hash`.
    pub const HASH: Categories = 1 << 6;
    /// `@string`.
    pub const STRING: Categories = 1 << 7;
    /// `@bitmap`.
    pub const BITMAP: Categories = 1 << 8;
    /// `@hyperloglog`.
    pub const HYPERLOGLOG: Categories = 1 << 9;
    /// `@geo`.
    pub const GEO: Categories = 1 << 10;
    /// `@stream`.
    pub const STREAM: Categories = 1 << 11;
    /// `@pubsub`.
    pub const PUBSUB: Categories = 1 << 12;
    /// `@admin`: implied by [`super::flag::ADMIN`].
    pub const ADMIN: Categories = 1 << 13;
    /// `@fast`: implied by [`super::flag::FAST`].
    pub const FAST: Categories = 1 << 14;
    /// `@slow`: implied by the absence of [`super::flag::FAST`].
    pub const SLOW: Categories = 1 << 15;
    /// `@blocking`: implied by [`super::flag::BLOCKING`].
    pub const BLOCKING: Categories = 1 << 16;
    /// `@dangerous`: implied by [`super::flag::ADMIN`].
    pub const DANGEROUS: Categories = 1 << 17;
    /// `@connection`.
    pub const CONNECTION: Categories = 1 << 18;
    /// `@transaction`.
    pub const TRANSACTION: Categories = 1 << 19;
    /// `@scripting`.
    pub const SCRIPTING: Categories = 1 << 20;
    /// `@repligo`: commands that only Repligo has.
    pub const REPLIGO: Categories = 1 << 21;

    /// Every category with its name, in the order of Redis.
    pub(crate) const NAMES: &[(Categories, &str)] = &[
        (KEYSPACE, "keyspace"),
        (READ, "read"),
        (WRITE, "write"),
        (SET, "set"),
        (SORTEDSET, "sortedset"),
        (LIST, "list"),
        (HASH, "hash"),
        (STRING, "string"),
        (BITMAP, "bitmap"),
        (HYPERLOGLOG, "hyperloglog"),
        (GEO, "geo"),
        (STREAM, "stream"),
        (PUBSUB, "pubsub"),
        (ADMIN, "admin"),
        (FAST, "fast"),
        (SLOW, "slow"),
        (BLOCKING, "blocking"),
        (DANGEROUS, "dangerous"),
        (CONNECTION, "connection"),
        (TRANSACTION, "transaction"),
        (SCRIPTING, "scripting"),
        (REPLIGO, "repligo"),
    ];

    /// The category of this name, whatever its case.
    pub fn named(name: &[u8]) -> Option<Categories> {
        let fits = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
        NAMES.iter().find(|(_, known)| fits(known)).map(|(bit, _)| *bit)
    }

    /// The names of all categories.
    pub fn names() -> impl ExactSizeIterator<Item = &'static str> {
        NAMES.iter().map(|(_, name)| *name)
    }
}

/// Chapter of the documentation that a command belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Keys of any type.
    Generic,
    /// Strings.
    String,
    /// Strings as bits.
    Bitmap,
    /// Counts of different elements.
    HyperLogLog,
    /// Hashes.
    Hash,
    /// Lists.
    List,
    /// Sets.
    Set,
    /// Sorted sets.
    SortedSet,
    /// Places as members of sorted sets.
    Geo,
    /// Streams.
    Stream,
    /// Publish and subscribe.
    PubSub,
    /// MULTI and its relatives.
    Transactions,
    /// Scripts.
    Scripting,
    /// The connection itself.
    Connection,
    /// The server and its introspection.
    Server,
    /// Cluster topology.
    Cluster,
    /// Commands that only Repligo has.
    Repligo,
}

impl Group {
    /// The name in `COMMAND DOCS`.
    pub fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::Bitmap => "bitmap",
            Group::HyperLogLog => "hyperloglog",
            Group::Hash => "hash",
            Group::List => "list",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Geo => "geo",
            Group::Stream => "stream",
            Group::PubSub => "pubsub",
            Group::Transactions => "transactions",
            Group::Scripting => "scripting",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Cluster => "cluster",
            Group::Repligo => "repligo",
        }
    }
}

/// Where the keys of a command are among its arguments; the name of the command is argument 0, and for
/// a subcommand the name of its container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// First key, 0 if there is none.
    pub first: i8,
    /// Last key; negative values count from the end, -1 being the last argument.
    pub last: i8,
    /// Distance from one key to the next.
    pub step: i8,
}

impl KeySpec {
    /// No keys.
    pub const NONE: KeySpec = KeySpec {
        first: 0,
        last: 0,
        step: 0,
    };

    /// Positions of the keys in a request of `argument_count` arguments.
    pub fn positions(&self, argument_count: usize) -> impl Iterator<Item = usize> + use<> {
        (self.first as usize..self.end(argument_count)).step_by((self.step as usize).max(1))
    }

    /// The position behind the last key in a request of `argument_count` arguments; 0 if there is no key.
    fn end(&self, argument_count: usize) -> usize {
        let last = match self.last {
            last if last < 0 => argument_count as i64 + i64::from(last),
            last => i64::from(last).min(argument_count as i64 - 1),
        };
        if self.first == 0 {
            0
        } else {
            usize::try_from(last + 1).unwrap_or(0)
        }
    }
}

/// How a command uses one range of keys, as `COMMAND INFO` reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// Where the keys are. Behind a count only first and step say something.
    pub keys: KeySpec,
    /// Argument that says how many keys follow it; 0 where [`KeyUse::keys`] says where the last one is.
    pub count_at: u8,
    /// Word behind which the keys begin, at [`KeySpec::first`] or later, and behind them as many other arguments; empty
    /// where they have a fixed place.
    pub keyword: &'static str,
    /// Set where a word says where the key is.
    pub word: Option<&'static KeyWord>,
    /// `RO`, `RW`, `OW` or `RM`, then what is done with the value.
    pub flags: &'static [&'static str],
    /// A remark, or empty.
    pub notes: &'static str,
}

impl KeyUse {
    /// Positions of its keys in a request of `argument_count` arguments, of which `argument` gives each. A count that
    /// is no positive number, or says more than there is, gives none.
    pub fn positions<'a>(
        &self,
        argument_count: usize,
        argument: impl Fn(usize) -> Option<&'a [u8]>,
    ) -> StepBy<Range<usize>> {
        if !self.keyword.is_empty() {
            return self.behind_keyword(argument_count, argument).step_by(1);
        }
        if let Some(word) = self.word {
            let behind = usize::from(word.start)..argument_count;
            return word.find(behind.map_while(argument)).step_by(1);
        }
        let (first, step) = (self.keys.first as usize, (self.keys.step as usize).max(1));
        let end = if self.count_at == 0 {
            self.keys.end(argument_count)
        } else {
            let count = argument(usize::from(self.count_at)).and_then(count_of);
            count
                .map(|count| first + count * step)
                .filter(|&end| end <= argument_count)
                .unwrap_or(0)
        };
        (first..end).step_by(step)
    }
}

/// A positive decimal number as Redis takes it: no sign, no zero in front.
fn count_of(text: &[u8]) -> Option<usize> {
    const DIGITS_MAX: usize = 9;
    let is_number = text.iter().all(u8::is_ascii_digit) && text.len() <= DIGITS_MAX;
    (is_number && !matches!(text, [] | [b'0', ..])).then(|| {
        text.iter()
            .fold(0, |count, digit| count * 10 + usize::from(digit - b'0'))
    })
}

/// A deprecated command's remarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deprecation {
    /// Version since which it is deprecated.
    pub since: &'static str,
    /// What to use, in Markdown.
    pub replaced_by: &'static str,
}

/// One row of the command table.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// For matching.
    pub id: CommandId,
    /// Lower case; a subcommand is `container|word`.
    pub name: &'static str,
    /// Count of arguments with the name (and container): exact if positive, else the minimum negated.
    pub arity: i32,
    /// What kind of command it is.
    pub flags: Flags,
    /// Categories beyond those that the flags imply; see [`Spec::categories`].
    pub extra_categories: Categories,
    /// Its keys, in one range; [`KeySpec::NONE`] if it has none.
    pub keys: KeySpec,
    /// Its keys by use.
    pub key_uses: &'static [KeyUse],
    /// The channels that its user must be allowed to use.
    pub channels: ChannelUse,
    /// Hints for clients of many nodes.
    pub tips: &'static [&'static str],
    /// Chapter of the documentation.
    pub group: Group,
    /// Version of Redis (or Repligo) that had it first.
    pub since: &'static str,
    /// Running time.
    pub complexity: &'static str,
    /// One short sentence of our own: `tests/differential` refuses one that Redis' documentation has.
    pub summary: &'static str,
    /// Set if it should not be used any more.
    pub deprecated: Option<Deprecation>,
    /// Its arguments after the name.
    pub arguments: &'static [Argument],
    /// The words of a container; empty for a command that is none.
    pub subcommands: &'static [Spec],
}

/// Type of an argument, as `COMMAND DOCS` reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    /// Any bytes.
    String,
    /// A decimal integer.
    Integer,
    /// A floating-point number.
    Double,
    /// A key; the number says which of [`Spec::key_uses`].
    Key(u8),
    /// A glob pattern.
    Pattern,
    /// What keys are made from; the number says which of [`Spec::key_uses`].
    PatternOfKeys(u8),
    /// Seconds or milliseconds since the epoch.
    UnixTime,
    /// A word that stands for itself.
    PureToken,
    /// One of the nested arguments.
    OneOf,
    /// All of the nested arguments.
    Block,
}

/// One argument of a command's syntax.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// Name in the documentation.
    pub name: &'static str,
    /// Type.
    pub kind: ArgumentKind,
    /// Word before the argument, or empty.
    pub token: &'static str,
    /// Version that had it first, or empty for the version of the command.
    pub since: &'static str,
    /// May be left out.
    pub optional: bool,
    /// May be repeated.
    pub multiple: bool,
    /// What is repeated begins with the word each time.
    pub multiple_token: bool,
    /// Nested arguments.
    pub arguments: &'static [Argument],
}

impl Spec {
    /// True if a request of `argument_count` arguments (with the name and, for a subcommand, the
    /// container) fits.
    #[inline]
    pub fn check_arity(&self, argument_count: usize) -> bool {
        let required = self.arity.unsigned_abs() as usize;
        argument_count == required || (self.arity < 0 && argument_count > required)
    }

    /// True if all of `flags` are set.
    #[inline]
    pub fn has(&self, flags: Flags) -> bool {
        self.flags & flags == flags
    }

    /// True for a command that may change the replicated state.
    #[inline]
    pub fn is_write(&self) -> bool {
        self.flags & (flag::WRITE | flag::STATE_WRITE) != 0
    }

    /// True for a command that is executed by the core, whatever it does there.
    #[inline]
    pub fn is_data(&self) -> bool {
        self.flags & flag::DATA != 0
    }

    /// Calls `visit` with the position of every key in a request of `argument_count` arguments, of which `argument`
    /// gives each, in the order in which the row names them.
    pub fn for_each_key<'a>(
        &self,
        argument_count: usize,
        argument: impl Fn(usize) -> Option<&'a [u8]>,
        mut visit: impl FnMut(usize),
    ) {
        for key_use in self.key_uses {
            key_use.positions(argument_count, &argument).for_each(&mut visit);
        }
    }

    /// The last word of the name: that of the subcommand, or the whole name.
    pub fn word(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, word)| word)
    }

    /// ACL categories, with those that the flags imply.
    pub const fn categories(&self) -> Categories {
        let mut categories = self.extra_categories;
        if self.flags & flag::WRITE != 0 {
            categories |= category::WRITE;
        }
        // As in Redis, where the rows of scripts say all of their categories.
        if self.flags & flag::READONLY != 0 && self.extra_categories & category::SCRIPTING == 0 {
            categories |= category::READ;
        }
        if self.flags & flag::BLOCKING != 0 {
            categories |= category::BLOCKING;
        }
        if self.flags & flag::ADMIN != 0 {
            categories |= category::ADMIN | category::DANGEROUS;
        }
        categories
            | if self.flags & flag::FAST != 0 {
                category::FAST
            } else {
                category::SLOW
            }
    }
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
