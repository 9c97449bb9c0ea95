//! Long work in slices: commands with thousands of keys, KEYS, and MULTI blocks, so that whoever executes
//! them can do something else in between.
//!
//! A [`Task`] is such a command and how far it has come. Between two slices of a task its effects are
//! visible in half, so the caller must let nobody read, and nothing else write. The exception is a walk
//! (KEYS): it only looks, goes by the hash of the keys, and gives each key that is there from its begin to
//! its end exactly once, whatever is written in between.
//!
//! A slice is counted in steps: one per key that is looked at or written, and one more for each
//! [`STEP_BYTES`] of a value. Ends and results depend on the task alone, never on how it was cut.

mod block;

use bytes::Bytes;
use repligo_proto::reply::ReplyWriter;

use super::Keyspace;
use super::calls::{CallTask, is_script};
use super::long_strings::{Copying, LongString};
use super::script::{ScriptRights, ScriptTask};
use super::stretch::{Stretch, may_stretch};
use super::walk::Walk;
use super::write::NewValue;
use crate::command::Command;
use crate::contract::Failure;
use crate::limits::{SLICE_STEPS, STEP_BYTES, VALUE_AT_ONCE_BYTES};
use crate::op::{Item, Transaction};
use crate::packed::take_bytes;
use crate::pieces::Pieces;
use block::Block;

/// A MULTI block of no more bytes is executed at once: it cannot name many keys.
const WIDE_BYTES: usize = if cfg!(feature = "bugs") { 12 } else { 4096 };

/// Byte strings with their length in front, of which some are done.
#[derive(Clone, Debug)]
struct List {
    bytes: Bytes,
    at: usize,
    rest: usize,
}

impl List {
    fn new(source: &Bytes, (count, bytes): (usize, &[u8])) -> Self {
        Self {
            bytes: source.slice_ref(bytes),
            at: 0,
            rest: count,
        }
    }

    fn next(&mut self) -> Option<Bytes> {
        self.rest = self.rest.checked_sub(1)?;
        let mut bytes = &self.bytes[self.at..];
        let item = take_bytes(&mut bytes).expect("the list was checked when it was decoded");
        self.at = self.bytes.len() - bytes.len();
        Some(self.bytes.slice_ref(item))
    }
}

/// What is done with each key of a list.
#[derive(Clone, Copy, Debug)]
enum Each {
    Delete,
    Count,
    Get,
    Version,
}

#[derive(Debug)]
enum Kind {
    Keys {
        db: u8,
        each: Each,
        keys: List,
        tally: i64,
        /// The value that MGET is in the middle of.
        copying: Option<Copying>,
    },
    /// With `looking`: first none of the keys may exist.
    Set {
        db: u8,
        pairs: List,
        looking: Option<List>,
        only_if_absent: bool,
        /// The value that it is in the middle of.
        writing: Option<Box<LongString>>,
    },
    /// With `alone` the reply is taken with [`Task::into_found`] instead of being copied.
    Walk {
        walk: Box<Walk<Bytes>>,
        alone: bool,
    },
    Stretch(Box<Stretch>),
    Long(Box<LongString>),
    Call(Box<CallTask>),
    Script(Box<ScriptTask>),
    Block(Box<Block>),
}

/// A command that is executed in slices; see the module.
#[derive(Debug)]
pub struct Task(Kind);

impl Task {
    /// Says by what the commands of its scripts are judged; without that they may do everything.
    pub fn set_rights(&mut self, rights: &ScriptRights) {
        match &mut self.0 {
            Kind::Script(script) => script.set_rights(rights.clone()),
            Kind::Block(block) => block.rights = Some(Box::new(rights.clone())),
            _ => {}
        }
    }

    /// True for a task that others may write past.
    pub fn is_walk(&self) -> bool {
        match &self.0 {
            Kind::Walk { .. } => true,
            Kind::Call(call) => call.is_detached(),
            _ => false,
        }
    }

    /// The same task; if it is a walk, its reply is to be taken with [`Task::into_found`].
    pub fn alone(mut self) -> Self {
        if let Kind::Walk { alone, .. } = &mut self.0 {
            *alone = true;
        }
        self
    }

    /// True while it is in the middle of a single key that takes long: others may come first.
    pub fn gives_way(&self) -> bool {
        match &self.0 {
            Kind::Walk { walk, .. } => walk.is_in_key(),
            Kind::Call(call) => call.is_detached(),
            _ => false,
        }
    }

    /// True for one that changes nothing.
    pub fn is_read(&self) -> bool {
        match &self.0 {
            Kind::Keys { each, .. } => !matches!(each, Each::Delete),
            Kind::Walk { .. } => true,
            Kind::Call(call) => call.is_read(),
            Kind::Long(long) => long.is_read(),
            Kind::Script(script) => script.is_read(),
            Kind::Set { .. } | Kind::Stretch(_) | Kind::Block(_) => false,
        }
    }

    /// Bytes of memory that it holds beside its command and its reply.
    pub fn held_bytes(&self) -> usize {
        match &self.0 {
            Kind::Walk { walk, .. } => walk.held_bytes(),
            _ => 0,
        }
    }

    /// Bytes of its reply that are not yet with the caller.
    pub fn found_bytes(&self) -> usize {
        match &self.0 {
            Kind::Walk { walk, .. } => walk.found_bytes(),
            _ => 0,
        }
    }

    /// Which items of a block failed so far.
    pub fn take_failures(&mut self) -> Vec<Failure> {
        match &mut self.0 {
            Kind::Block(block) => std::mem::take(&mut block.failures),
            _ => Vec::new(),
        }
    }

    /// The reply of a walk that is done and was executed [`Task::alone`].
    pub fn into_found(self) -> Option<Pieces> {
        match self.0 {
            Kind::Walk { walk, .. } => Some(walk.into_found()),
            _ => None,
        }
    }
}

/// The steps that a value costs.
#[inline]
pub fn steps_of(bytes: usize) -> usize {
    1 + bytes / STEP_BYTES
}

impl Keyspace {
    /// True for a command that is to be executed in slices: it looks at more keys than one slice has
    /// steps.
    #[inline]
    pub fn is_wide(&self, command: &Command<'_>) -> bool {
        match command {
            // Whether it is long is found out when it is read.
            Command::Get { .. } => false,
            Command::Set { .. }
            | Command::GetDel { .. }
            | Command::GetEx { .. }
            | Command::GetRange { .. } => self.is_long(command),
            Command::Del { keys, .. }
            | Command::MGet { keys, .. }
            | Command::Exists { keys, .. }
            | Command::Touch { keys, .. }
            | Command::Watch { keys, .. } => keys.len() > SLICE_STEPS,
            Command::MSet { pairs, .. } | Command::MSetNx { pairs, .. } => {
                pairs.len() > SLICE_STEPS || pairs.exceed(VALUE_AT_ONCE_BYTES)
            }
            Command::Keys { db, .. } => self
                .database(*db)
                .is_some_and(|database| database.table().len() > SLICE_STEPS),
            Command::Scan { count, .. } => *count > SLICE_STEPS as u64,
            Command::SetRange { .. } | Command::Append { .. } => {
                self.stretches_far(command) || self.copies_first(command)
            }
            Command::Call(call) => self.is_wide_call(call),
            _ => false,
        }
    }

    /// True for a command that is to be executed as a task wherever that is possible.
    pub(super) fn may_take_long(&self, command: &Command<'_>) -> bool {
        self.is_wide(command) || self.may_be_long(command)
    }

    /// True for a part of a block that is to be executed in slices: it is wide, or what it reads may be long.
    fn may_be_long(&self, command: &Command<'_>) -> bool {
        match command {
            Command::Get { .. } => self.is_long(command),
            Command::MGet { .. } | Command::Keys { .. } | Command::Scan { .. } => true,
            Command::Call(call) => Self::may_be_long_call(call),
            _ => self.is_wide(command),
        }
    }

    /// True for a block that is to be executed in slices. Nobody who waits for no reply needs its reads. What a
    /// SETRANGE writes is known only when its turn comes: what is before it may delete the key.
    pub fn is_wide_block(&self, transaction: &Transaction<'_>, bytes: usize, replies: bool) -> bool {
        let wide = |item| match item {
            // It may be read by its other name.
            Item::Command(Command::Rename { db, from, .. }) => self.has_long_string(db, from),
            // Nor is it known what is there.
            Item::Command(Command::Call(call)) if call.exchanged().is_some() => true,
            Item::Command(command) if replies || command.is_write() => {
                may_stretch(&command) || self.may_be_long(&command)
            }
            _ => false,
        };
        bytes > WIDE_BYTES || transaction.items().any(wide)
    }

    /// Steps that commands took since the last call beside what their arguments and replies tell.
    #[inline]
    pub fn take_work_steps(&mut self) -> usize {
        std::mem::take(&mut self.work_steps)
    }

    /// A command that [`Keyspace::is_wide`], or whose reply was [`super::ReadOutcome::Long`], decoded from
    /// `source`, as a task.
    ///
    /// # Panics
    /// If the command does not borrow from `source`, or is not one of these.
    pub fn begin(command: &Command<'_>, source: &Bytes) -> Task {
        let list = |keys: crate::command::Keys<'_>| List::new(source, keys.encoded());
        let keys = |db, each, keys| Kind::Keys {
            db,
            each,
            keys: list(keys),
            tally: 0,
            copying: None,
        };
        Task(match *command {
            Command::MGet { db, keys: names } => keys(db, Each::Get, names),
            Command::Del { db, keys: names } => keys(db, Each::Delete, names),
            Command::Exists { db, keys: names } | Command::Touch { db, keys: names } => {
                keys(db, Each::Count, names)
            }
            Command::Watch { db, keys: names } => keys(db, Each::Version, names),
            Command::MSet { db, pairs } => Kind::Set {
                db,
                pairs: List::new(source, pairs.encoded()),
                looking: None,
                only_if_absent: false,
                writing: None,
            },
            Command::MSetNx { db, pairs } => {
                let pairs = List::new(source, pairs.encoded());
                Kind::Set {
                    db,
                    looking: Some(pairs.clone()),
                    pairs,
                    only_if_absent: true,
                    writing: None,
                }
            }
            Command::Keys { .. } | Command::Scan { .. } => Kind::Walk {
                walk: Box::new(
                    Walk::new(command, |pattern| source.slice_ref(pattern)).expect("only KEYS and SCAN walk"),
                ),
                alone: false,
            },
            Command::SetRange { .. } | Command::Append { .. } => Kind::Stretch(Box::new(
                Stretch::new(command, source).expect("only SETRANGE and APPEND stretch"),
            )),
            Command::Call(ref call) if is_script(call) => {
                Kind::Script(Box::new(ScriptTask::new(call, source)))
            }
            Command::Call(ref call) => Kind::Call(Box::new(CallTask::new(call, source))),
            Command::Get { .. }
            | Command::Set { .. }
            | Command::GetDel { .. }
            | Command::GetEx { .. }
            | Command::GetRange { .. } => Kind::Long(Box::new(
                LongString::new(command, source).expect("these work on one string"),
            )),
            _ => panic!("{} is never executed in slices", command.name()),
        })
    }

    /// A MULTI … EXEC block, decoded from `source`, as a task.
    ///
    /// # Panics
    /// If the block does not borrow from `source`.
    pub fn begin_block(&self, transaction: &Transaction<'_>, source: &Bytes) -> Option<Task> {
        if self.has_changed(transaction) {
            return None;
        }
        Some(Task(Kind::Block(Box::new(Block {
            source: source.clone(),
            items: source.slice_ref(transaction.encoded_items()),
            at: 0,
            index: 0,
            count: transaction.len(),
            begun: false,
            current: None,
            failures: Vec::new(),
            rights: None,
        }))))
    }

    /// Executes up to `steps` steps, or a few more, and takes them off; true when the task is done and its
    /// reply complete. `locals` is asked as in [`Keyspace::transaction`].
    pub fn advance(
        &mut self,
        task: &mut Task,
        steps: &mut usize,
        reply: &mut ReplyWriter<'_>,
        locals: &mut dyn FnMut(usize, &mut ReplyWriter<'_>),
    ) -> bool {
        match &mut task.0 {
            Kind::Block(block) => self.advance_block(block, steps, reply, locals),
            Kind::Walk { walk, alone } => {
                let is_done = walk.advance(self, steps);
                if is_done && !*alone {
                    walk.found().iter().for_each(|piece| reply.raw(piece));
                }
                is_done
            }
            Kind::Stretch(stretch) => stretch.advance(self, steps, reply),
            Kind::Call(call) => call.advance(self, steps, reply),
            Kind::Long(long) => long.advance(self, steps, reply),
            Kind::Script(script) => script.advance(self, steps, reply),
            Kind::Set { .. } => self.advance_set(&mut task.0, steps, reply),
            Kind::Keys { .. } => self.advance_keys(&mut task.0, steps, reply),
        }
    }

    fn advance_keys(&mut self, kind: &mut Kind, steps: &mut usize, reply: &mut ReplyWriter<'_>) -> bool {
        let Kind::Keys {
            db,
            each,
            keys,
            tally,
            copying,
        } = kind
        else {
            unreachable!("dispatched by kind")
        };
        if keys.at == 0 && *steps > 0 && matches!(each, Each::Get) {
            reply.array(keys.rest);
        }
        while *steps > 0 {
            if let Some(copied) = copying {
                if copied.advance(self, steps, reply) {
                    *copying = None;
                }
                continue;
            }
            let Some(key) = keys.next() else {
                match each {
                    Each::Delete | Each::Count => reply.integer(*tally),
                    Each::Get | Each::Version => {}
                }
                return true;
            };
            let mut cost = 1;
            match each {
                Each::Delete => *tally += i64::from(self.erase(*db, &key)),
                Each::Count => *tally += i64::from(self.find_counted(*db, &key).is_some()),
                Each::Version => reply.raw(&self.version_of(*db, &key).to_le_bytes()),
                Each::Get => match self.find_counted(*db, &key) {
                    Some(entry) if super::kind::is_string(entry.kind) => {
                        if reply.bulk_up_to(entry.value, VALUE_AT_ONCE_BYTES) {
                            cost = steps_of(entry.value.len());
                        } else {
                            let whole = 0..entry.value.len();
                            *copying = Some(Copying::begin(*db, key.clone(), whole, reply));
                        }
                    }
                    _ => reply.null(),
                },
            }
            *steps = steps.saturating_sub(cost);
        }
        false
    }

    fn advance_set(&mut self, kind: &mut Kind, steps: &mut usize, reply: &mut ReplyWriter<'_>) -> bool {
        let Kind::Set {
            db,
            pairs,
            looking,
            only_if_absent,
            writing,
        } = kind
        else {
            unreachable!("dispatched by kind")
        };
        while let Some(unseen) = looking {
            if *steps == 0 {
                return false;
            }
            let (key, _) = (unseen.next(), unseen.next());
            match key {
                Some(key) if self.find(*db, &key).is_some() => {
                    reply.integer(0);
                    return true;
                }
                Some(_) => *steps -= 1,
                None => *looking = None,
            }
        }
        while *steps > 0 {
            if let Some(long) = writing {
                if long.advance(self, steps, &mut ReplyWriter::discard()) {
                    *writing = None;
                }
                continue;
            }
            let (Some(key), Some(value)) = (pairs.next(), pairs.next()) else {
                if *only_if_absent {
                    reply.integer(1);
                } else {
                    reply.ok();
                }
                return true;
            };
            if value.len() > VALUE_AT_ONCE_BYTES {
                *writing = Some(Box::new(LongString::set(*db, key, value)));
                continue;
            }
            self.put(*db, &key, NewValue::string(&value, None));
            *steps = steps.saturating_sub(steps_of(value.len()));
        }
        false
    }
}
