//! From a request to a [`Command`]: what the arguments say, checked in the order in which Redis 7.0
//! checks it, with its error texts. The command's name has been looked up already.
//!
//! [`parse`] is one `match` that builds the common commands in place; options are parsed by the
//! functions of `set_options` and `key_options`.

mod key_options;
mod set_options;

use repligo_proto::command::{CommandId, Spec};
use repligo_proto::glob::PATTERN_BYTES_MAX;
use repligo_proto::resp::ArgSlice;
use repligo_proto::words;

pub use key_options::scan_cursor;
pub use set_options::WriteOptions;

use super::options::{ObjectField, SetCondition, SetReply, TtlForm};
use super::{Call, Command, CommandError, Expiry, Keys, Pairs, number::parse_i64};

/// What may be wrong with arguments.
mod text {
    use super::{CommandError, words};

    pub const SYNTAX: CommandError = CommandError::fixed(words::SYNTAX);
    pub const NOT_AN_INTEGER: CommandError = CommandError::fixed(words::NOT_AN_INTEGER);
    pub const OFFSET: CommandError = CommandError::fixed(words::OFFSET_OUT_OF_RANGE);
    pub const DECREMENT: CommandError = CommandError::fixed(words::DECREMENT_OVERFLOW);
    pub const PATTERN: CommandError = CommandError::fixed(words::PATTERN_TOO_LONG);
    pub const CURSOR: CommandError = CommandError::fixed(words::INVALID_CURSOR);
    pub const NX_WITH_OTHERS: CommandError = CommandError::fixed(words::EXPIRE_NX_WITH_OTHERS);
    pub const GT_WITH_LT: CommandError = CommandError::fixed(words::EXPIRE_GT_WITH_LT);
}

/// The unit in which a client gave a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Seconds,
    Milliseconds,
}

/// Parses a request for the data command of `spec`; `args` begins with its name, for a subcommand with
/// its container's.
///
/// # Errors
/// The error that the client gets, also for a number of arguments that does not fit and for a command
/// that is not one of the keyspace.
#[inline]
pub fn parse<'a>(spec: &'static Spec, db: u8, args: ArgSlice<'a>) -> Result<Command<'a>, CommandError> {
    if !spec.check_arity(args.len()) {
        return Err(wrong_arity(spec));
    }
    match spec.id {
        CommandId::Get => Ok(Command::Get { db, key: args.get(1) }),
        CommandId::Set if args.len() == 3 => Ok(plain_set(db, args.get(1), args.get(2))),
        _ => parse_string_command(spec, db, args),
    }
}

#[inline]
fn plain_set<'a>(db: u8, key: &'a [u8], value: &'a [u8]) -> Command<'a> {
    Command::Set {
        db,
        key,
        value,
        expiry: Expiry::Never,
        condition: SetCondition::Always,
        reply: SetReply::Ok,
    }
}

fn parse_string_command<'a>(
    spec: &'static Spec,
    db: u8,
    args: ArgSlice<'a>,
) -> Result<Command<'a>, CommandError> {
    let argument = |index| args.get(index);
    Ok(match spec.id {
        CommandId::Set => set_options::parse_set(db, args)?,
        CommandId::SetEx => set_options::parse_set_with_time(db, args, (Unit::Seconds, spec))?,
        CommandId::PSetEx => set_options::parse_set_with_time(db, args, (Unit::Milliseconds, spec))?,
        CommandId::SetNx => Command::Set {
            db,
            key: argument(1),
            value: argument(2),
            expiry: Expiry::Never,
            condition: SetCondition::IfAbsent,
            reply: SetReply::Flag,
        },
        CommandId::GetSet => Command::Set {
            db,
            key: argument(1),
            value: argument(2),
            expiry: Expiry::Never,
            condition: SetCondition::Always,
            reply: SetReply::Old,
        },
        CommandId::GetDel => Command::GetDel { db, key: argument(1) },
        CommandId::GetEx => set_options::parse_get_and_expire(db, args)?,
        CommandId::MGet => Command::MGet {
            db,
            keys: Keys::new(args.skip(1)),
        },
        CommandId::MSet | CommandId::MSetNx => {
            if args.len().is_multiple_of(2) {
                return Err(wrong_arity(spec));
            }
            let pairs = Pairs::new(args.skip(1));
            match spec.id {
                CommandId::MSet => Command::MSet { db, pairs },
                _ => Command::MSetNx { db, pairs },
            }
        }
        CommandId::Incr => Command::IncrBy {
            db,
            key: argument(1),
            delta: 1,
        },
        CommandId::Decr => Command::IncrBy {
            db,
            key: argument(1),
            delta: -1,
        },
        CommandId::IncrBy => Command::IncrBy {
            db,
            key: argument(1),
            delta: integer(argument(2))?,
        },
        CommandId::DecrBy => {
            let delta = integer(argument(2))?.checked_neg().ok_or(text::DECREMENT)?;
            Command::IncrBy {
                db,
                key: argument(1),
                delta,
            }
        }
        CommandId::IncrByFloat => Command::IncrByFloat {
            db,
            key: argument(1),
            increment: argument(2),
        },
        CommandId::Append => Command::Append {
            db,
            key: argument(1),
            value: argument(2),
        },
        CommandId::StrLen => Command::StrLen { db, key: argument(1) },
        CommandId::GetRange | CommandId::SubStr => Command::GetRange {
            db,
            key: argument(1),
            start: integer(argument(2))?,
            end: integer(argument(3))?,
        },
        CommandId::SetRange => {
            let offset = u64::try_from(integer(argument(2))?).map_err(|_| text::OFFSET)?;
            Command::SetRange {
                db,
                key: argument(1),
                offset,
                value: argument(3),
            }
        }
        _ => return parse_key_command(spec, db, args),
    })
}

fn parse_key_command<'a>(
    spec: &'static Spec,
    db: u8,
    args: ArgSlice<'a>,
) -> Result<Command<'a>, CommandError> {
    let argument = |index| args.get(index);
    let keys = || Keys::new(args.skip(1));
    let ttl = |form| Command::Ttl {
        db,
        key: args.get(1),
        form,
    };
    let object = |field| Command::Object {
        db,
        key: args.get(2),
        field,
    };
    let rename = |only_if_absent| Command::Rename {
        db,
        from: args.get(1),
        to: args.get(2),
        only_if_absent,
    };
    Ok(match spec.id {
        CommandId::Del | CommandId::Unlink => Command::Del { db, keys: keys() },
        CommandId::RepligoInvalidate => Command::Invalidate { db, keys: keys() },
        CommandId::Exists => Command::Exists { db, keys: keys() },
        CommandId::Touch => Command::Touch { db, keys: keys() },
        CommandId::Watch => Command::Watch { db, keys: keys() },
        CommandId::Expire | CommandId::PExpire | CommandId::ExpireAt | CommandId::PExpireAt => {
            key_options::parse_expire(spec, db, args)?
        }
        CommandId::Ttl => ttl(TtlForm::Seconds),
        CommandId::PTtl => ttl(TtlForm::Milliseconds),
        CommandId::ExpireTime => ttl(TtlForm::DeadlineSeconds),
        CommandId::PExpireTime => ttl(TtlForm::DeadlineMilliseconds),
        CommandId::Type => Command::Type { db, key: argument(1) },
        CommandId::Keys => Command::Keys {
            db,
            pattern: pattern(argument(1))?,
        },
        CommandId::Scan => key_options::parse_scan(db, args)?,
        CommandId::RandomKey => Command::RandomKey { db },
        CommandId::Rename => rename(false),
        CommandId::RenameNx => rename(true),
        CommandId::ObjectEncoding => object(ObjectField::Encoding),
        CommandId::ObjectRefCount => object(ObjectField::RefCount),
        CommandId::ObjectIdleTime => object(ObjectField::IdleTime),
        CommandId::ObjectFreq => object(ObjectField::Frequency),
        CommandId::DbSize => Command::DbSize { db },
        CommandId::FlushDb => {
            key_options::check_flush_mode(args)?;
            Command::FlushDb { db }
        }
        CommandId::FlushAll => {
            key_options::check_flush_mode(args)?;
            Command::FlushAll
        }
        _ if Call::is_data(spec) => Command::Call(Call::new(spec, db, args)),
        _ => {
            return Err(CommandError::composed(
                format!("ERR '{}' is no data command", spec.name).into_bytes(),
            ));
        }
    })
}

/// A pattern whose compiled form is not too much for one request.
fn pattern(text: &[u8]) -> Result<&[u8], CommandError> {
    if text.len() > PATTERN_BYTES_MAX {
        return Err(text::PATTERN);
    }
    Ok(text)
}

fn integer(text: &[u8]) -> Result<i64, CommandError> {
    parse_i64(text).ok_or(text::NOT_AN_INTEGER)
}

#[cold]
fn wrong_arity(spec: &Spec) -> CommandError {
    CommandError::composed(words::wrong_arity(spec.name).into_bytes())
}

#[cold]
fn invalid_expire_time(command: &str) -> CommandError {
    CommandError::composed(words::invalid_expire_time(command).into_bytes())
}
