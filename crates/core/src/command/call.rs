//! A command in the one layout that all commands share: the number of its row, its database, its arguments.
//!
//! What can be said of such a command without its handler follows from the row: whether it writes, whether it may
//! add memory, which keys it names. A command that is a row and a handler is nothing else here. The layouts of
//! their own in [`super::encoding`] are for commands that are measured to gain from them.
//!
//! Invariant: the arguments fit the arity of the row, since both a request and the bytes of an op are checked.

use std::iter::StepBy;
use std::ops::Range;

use repligo_proto::command::{CommandId, KeyUse, Spec, flag, numbered};
use repligo_proto::resp::ArgSlice;

use super::Arguments;
use crate::keyspace::{copied_elsewhere, exchanged, moved_elsewhere, says_no_writes};
use crate::packed::{Corrupt, Sink, corrupt, put_varint, take_varint};

/// A command of the table with its arguments.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Its row.
    pub spec: &'static Spec,
    /// Database.
    pub db: u8,
    /// What follows the name; for a subcommand, its word.
    pub arguments: Arguments<'a>,
}

impl<'a> Call<'a> {
    /// The call of a request that begins with the name, for a subcommand with its container's; its arity is that of
    /// the row.
    pub(super) fn new(spec: &'static Spec, db: u8, args: ArgSlice<'a>) -> Self {
        Self {
            spec,
            db,
            arguments: Arguments::new(args.skip(names(spec))),
        }
    }

    /// True for a row whose commands are calls if no other layout has them.
    pub(super) fn is_data(spec: &Spec) -> bool {
        spec.is_data()
    }

    /// True when executing it may change the replicated state: as its row says, but for a script that says in its
    /// first line that it only reads.
    pub fn is_write(&self) -> bool {
        let is_script = self.spec.id == CommandId::Eval;
        self.spec.is_write() && !(is_script && self.arguments.get(0).is_some_and(says_no_writes))
    }

    /// Calls `visit` with every key, in the order in which the row names them, duplicates included.
    pub fn for_each_key(&self, mut visit: impl FnMut(&'a [u8])) {
        let before = names(self.spec);
        let [key_use] = self.spec.key_uses else {
            return self.for_each_key_in_turn(visit);
        };
        let mut positions = self.positions(key_use);
        // One way through the arguments, however many of them are keys.
        let mut next = positions.next();
        for (index, argument) in self.arguments.iter().enumerate() {
            let Some(position) = next else { return };
            if index + before == position {
                visit(argument);
                next = positions.next();
            }
        }
    }

    /// As [`Call::for_each_key`] for a row that names keys in several places.
    fn for_each_key_in_turn(&self, mut visit: impl FnMut(&'a [u8])) {
        let before = names(self.spec);
        for key_use in self.spec.key_uses {
            let positions = self.positions(key_use);
            let count = positions.len();
            let Some(first) = positions.clone().next() else {
                continue;
            };
            let step = usize::from(key_use.keys.step.unsigned_abs()).max(1);
            let keys = self.arguments.iter().skip(first - before).step_by(step);
            keys.take(count).for_each(&mut visit);
        }
    }

    /// How many keys it names.
    pub fn key_count(&self) -> usize {
        let of = |key_use: &KeyUse| self.positions(key_use).len();
        self.spec.key_uses.iter().map(of).sum()
    }

    /// Positions of the keys of one use, the words of the name counted.
    fn positions(&self, key_use: &KeyUse) -> StepBy<Range<usize>> {
        let before = names(self.spec);
        match key_use.word {
            // One way through the arguments, where each look at one would begin anew.
            Some(word) => {
                let behind = usize::from(word.start).saturating_sub(before);
                word.find(self.arguments.iter().skip(behind)).step_by(1)
            }
            None => {
                let argument = |index: usize| self.arguments.get(index.checked_sub(before)?);
                key_use.positions(self.arguments.len() + before, argument)
            }
        }
    }

    /// True if it looks at keys that follow from what another key holds.
    pub(crate) fn looks_further(&self) -> bool {
        let leads_on = |key_use: &KeyUse| key_use.word.is_some_and(|word| word.word.is_empty());
        self.spec.key_uses.iter().any(leads_on)
    }

    /// The key of another database that it writes.
    pub(crate) fn key_elsewhere(&self) -> Option<(u8, &'a [u8])> {
        match self.spec.id {
            CommandId::Copy => copied_elsewhere(self.arguments),
            CommandId::Move => moved_elsewhere(self.arguments),
            _ => None,
        }
    }

    /// The databases that it exchanges.
    pub(crate) fn exchanged(&self) -> Option<[u8; 2]> {
        match self.spec.id {
            CommandId::SwapDb => exchanged(self.arguments),
            _ => None,
        }
    }

    /// False if a count of keys is none or says more than there is: such a call names no key, and is not executed.
    pub(crate) fn has_its_keys(&self) -> bool {
        let needs_none = self.spec.has(flag::NO_MANDATORY_KEYS);
        (self.spec.key_uses.iter())
            .all(|key_use| needs_none || key_use.count_at == 0 || self.positions(key_use).len() > 0)
    }

    /// Appends the number of the row, the database and the arguments.
    pub(super) fn encode(&self, out: &mut impl Sink) {
        debug_assert_eq!(self.arguments.taken(), 0, "a call is whole while it travels");
        out.push(self.db);
        put_varint(out, u64::from(self.spec.id.number()));
        self.arguments.encode(out);
    }

    /// Takes what [`Call::encode`] wrote behind the database off the front of `input`.
    pub(super) fn decode(db: u8, input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        let Some(spec) = numbered(take_varint(input)?).filter(|spec| Self::is_data(spec)) else {
            return corrupt("the number of a data command");
        };
        let arguments = Arguments::decode(input)?;
        if !spec.check_arity(arguments.len() + names(spec)) {
            return corrupt("as many arguments as the command takes");
        }
        Ok(Self { spec, db, arguments })
    }
}

impl PartialEq for Call<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.spec.id, self.db, self.arguments) == (other.spec.id, other.db, other.arguments)
    }
}

impl Eq for Call<'_> {}

/// Words of a request that name the command: the container's is one.
fn names(spec: &Spec) -> usize {
    if spec.name.contains('|') { 2 } else { 1 }
}
