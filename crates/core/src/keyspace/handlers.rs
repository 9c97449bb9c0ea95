//! From the row of a command to its handler.
//!
//! A handler is one function in the file of its family, listed there under the name of its row. A read is given a
//! [`ReadContext`], through which nothing can be written; a write a [`WriteContext`], whose functions do what every
//! write owes (version, digest, memory, deadline, marks of use). Handlers are total: they are given what a peer has
//! sent, of which only the arity and the places of the keys were checked.

use std::any::Any;

use repligo_proto::command::{CommandId, named_at_compile_time};
use repligo_proto::reply::ReplyWriter;

use super::contexts::{Changed, ReadContext, WriteContext};
use super::{
    bits, copy, dump, fields, geo, hash, hyperloglog, keys, list, script, set, sort, sorted_set, stream,
    strings, swap,
};
use crate::command::{Arguments, CommandError};

/// A read that is never long.
pub(super) type Read = fn(&ReadContext<'_>, Arguments<'_>, &mut ReplyWriter<'_>) -> Result<(), CommandError>;
/// A read that may be long: false when the steps of its context are spent before it is done.
pub(super) type LongRead =
    fn(&ReadContext<'_>, &mut Slice<'_>, &mut ReplyWriter<'_>) -> Result<bool, CommandError>;
/// A write that is never long.
pub(super) type Write =
    fn(&mut WriteContext<'_>, Arguments<'_>, &mut ReplyWriter<'_>) -> Result<Changed, CommandError>;
/// A write that may be long: `None` when the steps of its context are spent before it is done.
pub(super) type LongWrite =
    fn(&mut WriteContext<'_>, &mut Slice<'_>, &mut ReplyWriter<'_>) -> Result<Option<Changed>, CommandError>;
/// Refuses arguments whatever the state is, before anything is proposed.
pub(super) type Check = fn(Arguments<'_>) -> Result<(), CommandError>;
/// About how many steps a command takes.
pub(super) type Weigh = fn(&ReadContext<'_>, Arguments<'_>) -> usize;

/// Where a long command stands between two slices.
#[derive(Debug)]
pub(super) struct Slice<'a> {
    /// All arguments.
    pub all: Arguments<'a>,
    /// Those that are not done, which the handler takes; at first all.
    pub rest: Arguments<'a>,
    /// What lasts from slice to slice.
    pub kept: &'a mut Kept,
}

/// What a long command keeps from slice to slice.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// False in the first slice.
    pub begun: bool,
    /// A count, for whatever is counted.
    pub tally: i64,
    /// What the handler itself keeps.
    pub state: Option<Box<dyn Any + Send>>,
    /// The hash of the collection that the command has changed, and the version that it gave it.
    pub version: Option<(u64, u64)>,
    /// It does not look at the keyspace any more: others may write past it, and be answered in between.
    pub is_detached: bool,
}

impl Kept {
    /// What the handler keeps, made by `make` at first; true if it was made just now.
    pub fn state_or<T: Any + Send, E>(&mut self, make: impl FnOnce() -> Result<T, E>) -> Result<&mut T, E> {
        if !self.state.as_ref().is_some_and(|state| state.is::<T>()) {
            self.state = Some(Box::new(make()?));
        }
        let state = self.state.as_mut().and_then(|state| state.downcast_mut());
        Ok(state.expect("it was made above"))
    }
}

/// How a command is executed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Run {
    Read(Read),
    LongRead(LongRead),
    Write(Write),
    LongWrite(LongWrite),
    /// By a task of its own.
    Script,
}

/// The handler of one row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handler {
    /// Name of the row.
    pub name: &'static str,
    pub run: Run,
    pub check: Option<Check>,
    /// Set for a long one.
    pub weigh: Option<Weigh>,
}

impl Handler {
    const fn new(name: &'static str, run: Run) -> Self {
        Self {
            name,
            run,
            check: None,
            weigh: None,
        }
    }

    /// Refuses some arguments before anything is proposed. What it refuses the handler must refuse, too: a peer's
    /// ops did not come by here.
    pub const fn checked(self, check: Check) -> Self {
        Self {
            check: Some(check),
            ..self
        }
    }

    /// True for one that only looks.
    pub fn is_read(&self) -> bool {
        matches!(self.run, Run::Read(_) | Run::LongRead(_))
    }
}

/// The handler of a read that is never long.
pub(super) const fn read(name: &'static str, run: Read) -> Handler {
    Handler::new(name, Run::Read(run))
}

/// The handler of a read that may be long.
pub(super) const fn long_read(name: &'static str, run: LongRead, weigh: Weigh) -> Handler {
    Handler {
        weigh: Some(weigh),
        ..Handler::new(name, Run::LongRead(run))
    }
}

/// The handler of a write that is never long.
pub(super) const fn write(name: &'static str, run: Write) -> Handler {
    Handler::new(name, Run::Write(run))
}

/// The handler of a write that may be long.
pub(super) const fn long_write(name: &'static str, run: LongWrite, weigh: Weigh) -> Handler {
    Handler {
        weigh: Some(weigh),
        ..Handler::new(name, Run::LongWrite(run))
    }
}

/// The handler of a command of the scripting family.
pub(super) const fn script(name: &'static str) -> Handler {
    Handler::new(name, Run::Script)
}

/// As many steps as there are arguments.
pub(super) fn by_arguments(_: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    arguments.len()
}

/// The handlers of every family.
const FAMILIES: &[&[Handler]] = &[
    keys::HANDLERS,
    strings::HANDLERS,
    bits::HANDLERS,
    copy::HANDLERS,
    dump::HANDLERS,
    hyperloglog::HANDLERS,
    sort::HANDLERS,
    hash::HANDLERS,
    fields::HANDLERS,
    list::HANDLERS,
    set::HANDLERS,
    sorted_set::HANDLERS,
    geo::HANDLERS,
    stream::HANDLERS,
    script::HANDLERS,
    swap::HANDLERS,
];

/// The handler of each number.
static BY_NUMBER: [Option<Handler>; CommandId::COUNT] = {
    let mut handlers = [None; CommandId::COUNT];
    let mut family = 0;
    while family < FAMILIES.len() {
        let mut at = 0;
        while at < FAMILIES[family].len() {
            let handler = FAMILIES[family][at];
            let Some(row) = named_at_compile_time(handler.name) else {
                panic!("a handler has no row")
            };
            assert!(handlers[row.id.index()].is_none(), "two handlers have one row");
            handlers[row.id.index()] = Some(handler);
            at += 1;
        }
        family += 1;
    }
    handlers
};

/// The handler of the command with this number.
#[inline]
pub(super) fn of(id: CommandId) -> Option<&'static Handler> {
    BY_NUMBER[id.index()].as_ref()
}
