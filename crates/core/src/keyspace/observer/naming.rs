//! Under which names the changes of a command are told.

use bytes::Bytes;
use repligo_proto::command::category;

use super::EventClasses;
use crate::command::{Call, Command, Expiry, GetExpiry};

/// How a command's changes are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    /// Not at all, but for what has expired or was evicted.
    #[default]
    Silent,
    /// By the command's name, and as `expire` too; a key that is gone by `del` alone.
    Written { expires: bool },
    /// By the command's name, each time that the key is named.
    Each,
    /// By the command's name, and by `del` behind it for a key that is gone.
    Taken,
    /// One key's value goes to another.
    Renamed { from: Bytes },
    /// What was there is removed first, without a word: the key is new in any case.
    Copied,
    /// One database's key goes to another.
    Moved,
    /// An element of one key goes to another, whose name for that is `given`.
    Transferred {
        from: Bytes,
        given: &'static str,
        /// What was given is told before what was taken.
        is_given_first: bool,
    },
}

/// Under which names the changes of a command are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    pub(super) class: EventClasses,
    pub(super) name: &'static str,
    pub(super) form: Form,
}

impl Naming {
    /// A write to an origin that has become visible.
    pub(crate) const ORIGIN: Self = Self::new(EventClasses::STRING, "set", Form::Written { expires: false });

    const fn new(class: EventClasses, name: &'static str, form: Form) -> Self {
        Self { class, name, form }
    }

    const fn written(class: EventClasses, name: &'static str) -> Self {
        Self::new(class, name, Form::Written { expires: false })
    }

    /// Of a command.
    pub(crate) fn of(command: &Command<'_>) -> Self {
        let string = EventClasses::STRING;
        match command {
            Command::Set { expiry, .. } => {
                let expires = matches!(expiry, Expiry::In(_) | Expiry::At(_));
                Self::new(string, "set", Form::Written { expires })
            }
            Command::MSet { .. } | Command::MSetNx { .. } => Self::new(string, "set", Form::Each),
            Command::IncrBy { .. } => Self::written(string, "incrby"),
            Command::IncrByFloat { .. } => Self::written(string, "incrbyfloat"),
            Command::Append { .. } => Self::written(string, "append"),
            Command::SetRange { .. } => Self::written(string, "setrange"),
            Command::GetEx { expiry, .. } => Self::written(
                EventClasses::GENERIC,
                match expiry {
                    GetExpiry::Persist => "persist",
                    _ => "expire",
                },
            ),
            Command::Expire { .. } => Self::written(EventClasses::GENERIC, "expire"),
            Command::Del { .. } | Command::GetDel { .. } => Self::written(EventClasses::GENERIC, "del"),
            Command::Rename { from, .. } => {
                let from = Bytes::copy_from_slice(from);
                Self::new(EventClasses::GENERIC, "rename_from", Form::Renamed { from })
            }
            Command::Call(call) => of_call(call),
            _ => Self::default(),
        }
    }
}

fn of_call(call: &Call<'_>) -> Naming {
    let class = class_of(call);
    let word = |index| call.arguments.get(index).unwrap_or(b"");
    let written = |name| Naming::written(class, name);
    let taken = |name| Naming::new(class, name, Form::Taken);
    let moved = |from: &[u8], to: &[u8]| {
        let is_left = |side: &[u8]| side.eq_ignore_ascii_case(b"left");
        let form = Form::Transferred {
            from: Bytes::copy_from_slice(word(0)),
            given: if is_left(to) { "lpush" } else { "rpush" },
            is_given_first: true,
        };
        Naming::new(class, if is_left(from) { "lpop" } else { "rpop" }, form)
    };
    match call.spec.name {
        "lpushx" => written("lpush"),
        "rpushx" => written("rpush"),
        "hmset" | "hsetnx" => written("hset"),
        "zadd"
            if call
                .arguments
                .iter()
                .any(|word| word.eq_ignore_ascii_case(b"incr")) =>
        {
            written("zincr")
        }
        "zincrby" => written("zincr"),
        "setbit" | "bitfield" => written("setbit"),
        "bitop" => written("set"),
        "pfadd" | "pfmerge" => written("pfadd"),
        "geoadd" => written("zadd"),
        "georadius" | "georadiusbymember" => written("georadiusstore"),
        "copy" => Naming::new(class, "copy_to", Form::Copied),
        // What becomes of fields is told as it is known.
        "hexpire" | "hpexpire" | "hexpireat" | "hpexpireat" | "hpersist" | "hgetex" | "hsetex" => {
            Naming::default()
        }
        "hgetdel" => taken("hdel"),
        // What readers of a stream do is no event, nor is a count that is kept in its sketch.
        "pfcount" | "xreadgroup" | "xack" | "xclaim" | "xautoclaim" => Naming::default(),
        "xgroup|create" => written("xgroup-create"),
        "xgroup|setid" => written("xgroup-setid"),
        "xgroup|destroy" => written("xgroup-destroy"),
        "xgroup|createconsumer" => written("xgroup-createconsumer"),
        "xgroup|delconsumer" => written("xgroup-delconsumer"),
        "sort" => Naming::written(EventClasses::LIST, "sortstore"),
        "move" => Naming::new(class, "move_from", Form::Moved),
        "lpop" | "blpop" => taken("lpop"),
        "rpop" | "brpop" => taken("rpop"),
        "lmpop" | "blmpop" => taken(if takes(call, b"left") { "lpop" } else { "rpop" }),
        "zmpop" | "bzmpop" => taken(if takes(call, b"min") { "zpopmin" } else { "zpopmax" }),
        "zpopmin" | "bzpopmin" => taken("zpopmin"),
        "zpopmax" | "bzpopmax" => taken("zpopmax"),
        "lmove" | "blmove" => moved(word(2), word(3)),
        "rpoplpush" | "brpoplpush" => moved(b"right", b"left"),
        "smove" => {
            let form = Form::Transferred {
                from: Bytes::copy_from_slice(word(0)),
                given: "sadd",
                is_given_first: false,
            };
            Naming::new(class, "srem", form)
        }
        name @ ("lrem" | "ltrim" | "srem" | "spop" | "hdel" | "zrem" | "zremrangebyscore"
        | "zremrangebyrank" | "zremrangebylex") => taken(name),
        name => written(name),
    }
}

/// Whether the word behind the keys of a command that counts them is this one.
fn takes(call: &Call<'_>, side: &[u8]) -> bool {
    let mut key_count = 0;
    call.for_each_key(|_| key_count += 1);
    let before = usize::from(call.spec.name.starts_with('b')) + 1;
    call.arguments
        .get(before + key_count)
        .is_some_and(|word| word.eq_ignore_ascii_case(side))
}

fn class_of(call: &Call<'_>) -> EventClasses {
    let is_of = |categories| call.spec.extra_categories & categories != 0;
    let classes = [
        (category::LIST, EventClasses::LIST),
        (category::SET, EventClasses::SET),
        (category::HASH, EventClasses::HASH),
        (category::SORTEDSET | category::GEO, EventClasses::SORTED_SET),
        (category::STREAM, EventClasses::STREAM),
        (
            category::STRING | category::BITMAP | category::HYPERLOGLOG,
            EventClasses::STRING,
        ),
    ];
    let found = classes.into_iter().find(|(categories, _)| is_of(*categories));
    found.map_or(EventClasses::GENERIC, |(_, class)| class)
}
