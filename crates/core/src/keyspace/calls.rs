//! Executing commands that are a row and a handler: at once, or in slices.
//!
//! This is the one place between a command and its handler. A call whose row has no handler, or whose count of keys
//! is none, changes nothing; an error takes back what was written of the reply.

use bytes::Bytes;
use repligo_proto::command::flag;
use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::contexts::{Changed, ReadContext, WriteContext};
use super::handlers::{self, Handler, Kept, Run, Slice};
use super::{Keyspace, ReadClock, ReadOutcome};
use crate::bugs::Bug;
use crate::command::{Arguments, Call, CommandError};
use crate::limits::{READ_AT_ONCE_BYTES, SLICE_STEPS, STEP_BYTES};

/// Steps that a read may take before it is executed in slices.
const AT_ONCE_STEPS: usize = SLICE_STEPS + READ_AT_ONCE_BYTES / STEP_BYTES;

/// A long call and how far it has come.
#[derive(Debug)]
pub(super) struct CallTask {
    handler: &'static Handler,
    db: u8,
    all: (usize, Bytes),
    rest: (usize, Bytes),
    kept: Kept,
}

impl CallTask {
    /// The call, decoded from `source`.
    ///
    /// # Panics
    /// If its handler is not one of a long command.
    pub fn new(call: &Call<'_>, source: &Bytes) -> Self {
        let handler = handlers::of(call.spec.id).filter(|handler| handler.weigh.is_some());
        let (count, bytes) = call.arguments.encoded();
        let all = (count, source.slice_ref(bytes));
        Self {
            handler: handler.expect("only long commands are executed in slices"),
            db: call.db,
            rest: all.clone(),
            all,
            kept: Kept::default(),
        }
    }

    pub fn is_read(&self) -> bool {
        self.handler.is_read()
    }

    /// It does not look at the keyspace any more.
    pub fn is_detached(&self) -> bool {
        self.kept.is_detached || self.is_read() && Bug::WritesIntoLongRead.is_in_force()
    }

    /// Goes on and takes the steps off; true when it is done and answered.
    pub fn advance(
        &mut self,
        keyspace: &mut Keyspace,
        steps: &mut usize,
        reply: &mut ReplyWriter<'_>,
    ) -> bool {
        if *steps == 0 {
            return false;
        }
        let mut slice = Slice {
            all: Arguments::from_encoded((self.all.0, &self.all.1)),
            rest: Arguments::from_encoded((self.rest.0, &self.rest.1)),
            kept: &mut self.kept,
        };
        let (is_done, left) = match self.handler.run {
            Run::LongRead(run) => {
                let context = ReadContext::new(keyspace, self.db, *steps);
                (run(&context, &mut slice, reply), context.steps())
            }
            Run::LongWrite(run) => {
                let version = slice.kept.version.take();
                let mut context = WriteContext::new(keyspace, self.db, *steps).with_version(version);
                let changed = run(&mut context, &mut slice, reply).map(|changed| changed.is_some());
                let left = context.steps();
                slice.kept.version = context.into_version();
                (changed, left)
            }
            Run::Read(_) | Run::Write(_) | Run::Script => unreachable!("only long commands are made tasks"),
        };
        let (count, bytes) = slice.rest.encoded();
        let bytes = self.all.1.slice_ref(bytes);
        self.rest = (count, bytes);
        self.kept.begun = true;
        // Whatever it did, it is not to be called again in this turn without an end.
        *steps = left.min(*steps - 1);
        is_done.unwrap_or_else(|error| {
            reply.error_bytes(error.as_bytes());
            true
        })
    }
}

impl Keyspace {
    /// Why the arguments of a call cannot be executed whatever the state is.
    ///
    /// # Errors
    /// The error that the client gets.
    pub fn check_call(call: &Call<'_>) -> Result<(), CommandError> {
        let Some(handler) = handlers::of(call.spec.id) else {
            return Err(CommandError::fixed(words::MALFORMED_OP));
        };
        if let Some(check) = handler.check {
            check(call.arguments)?;
        }
        match call.has_its_keys() {
            true => Ok(()),
            false => Err(CommandError::fixed(words::SYNTAX)),
        }
    }

    /// The handler of a call that can be executed.
    fn handler_of(call: &Call<'_>) -> Result<&'static Handler, CommandError> {
        if !call.has_its_keys() {
            Self::check_call(call)?;
        }
        handlers::of(call.spec.id).ok_or(CommandError::fixed(words::MALFORMED_OP))
    }

    /// True for a call that is to be executed in slices.
    pub(super) fn is_wide_call(&self, call: &Call<'_>) -> bool {
        if is_script(call) {
            return true;
        }
        let Ok(Handler {
            weigh: Some(weigh), ..
        }) = Self::handler_of(call)
        else {
            return false;
        };
        let context = ReadContext::new(self, call.db, usize::MAX);
        weigh(&context, call.arguments) > SLICE_STEPS
    }

    /// True for a call that may come to be executed in slices, by what is there when its turn comes.
    pub(super) fn may_be_long_call(call: &Call<'_>) -> bool {
        is_script(call) || Self::handler_of(call).is_ok_and(|handler| handler.weigh.is_some())
    }

    /// Answers a read at once, unless that takes long.
    pub(super) fn read_call_at_once(
        &self,
        call: &Call<'_>,
        clock: ReadClock,
        reply: &mut ReplyWriter<'_>,
    ) -> ReadOutcome {
        if is_script(call) {
            return ReadOutcome::Long;
        }
        let begin = reply.position();
        let now_ms = clock.now_ms.max(clock.leader_ms);
        let context = ReadContext::new(self, call.db, AT_ONCE_STEPS).at(now_ms);
        let is_done = Self::run_read(&context, call, reply);
        let finds_nothing = is_done && call.spec.has(flag::BLOCKING) && {
            let mut nothing = Vec::new();
            ReplyWriter::new(&mut nothing, reply.is_resp3()).null_array();
            reply.written_since(begin) == nothing && Self::call_waits(call)
        };
        if is_done && !finds_nothing {
            return ReadOutcome::Done;
        }
        reply.rewind(begin);
        match finds_nothing {
            true => ReadOutcome::Waits,
            false => ReadOutcome::Long,
        }
    }

    /// Answers a read; false if it was not done within the steps.
    fn run_read(context: &ReadContext<'_>, call: &Call<'_>, reply: &mut ReplyWriter<'_>) -> bool {
        let begin = reply.position();
        let is_done = Self::handler_of(call).and_then(|handler| match handler.run {
            Run::Read(run) => run(context, call.arguments, reply).map(|()| true),
            Run::LongRead(run) => run(context, &mut whole(call, &mut Kept::default()), reply),
            Run::Write(_) | Run::LongWrite(_) | Run::Script => Err(CommandError::fixed(words::MALFORMED_OP)),
        });
        is_done.unwrap_or_else(|error| {
            reply.rewind(begin);
            reply.error_bytes(error.as_bytes());
            true
        })
    }

    /// Executes a call of an entry at once, a read as well as a write.
    pub(super) fn apply_call(&mut self, call: &Call<'_>, reply: &mut ReplyWriter<'_>) {
        if is_script(call) {
            return self.run_script(call, reply);
        }
        if !call.spec.is_write() {
            // Where nobody waits for the reply of a read there is nothing to do.
            if !reply.is_discard() {
                let context = ReadContext::new(self, call.db, usize::MAX);
                Self::run_read(&context, call, reply);
            }
            return;
        }
        let begin = reply.position();
        let digest_before = cfg!(debug_assertions).then(|| self.digest());
        let mut context = WriteContext::new(self, call.db, usize::MAX);
        let changed = Self::handler_of(call).and_then(|handler| match handler.run {
            Run::Write(run) => run(&mut context, call.arguments, reply),
            Run::LongWrite(run) => {
                let changed = run(&mut context, &mut whole(call, &mut Kept::default()), reply)?;
                Ok(changed.expect("no slice ends before its steps"))
            }
            Run::Read(_) | Run::LongRead(_) | Run::Script => Err(CommandError::fixed(words::MALFORMED_OP)),
        });
        let spent = usize::MAX - context.steps();
        self.work_steps = self.work_steps.saturating_add(spent);
        let changed = changed.unwrap_or_else(|error| {
            reply.rewind(begin);
            reply.error_bytes(error.as_bytes());
            Changed::Nothing
        });
        debug_assert!(
            digest_before.is_none_or(|before| (before != self.digest()) == (changed == Changed::Something)),
            "{} says that it changed {changed:?}",
            call.spec.name
        );
    }
}

/// True for a command of the scripting family.
pub(super) fn is_script(call: &Call<'_>) -> bool {
    handlers::of(call.spec.id).is_some_and(|handler| matches!(handler.run, Run::Script))
}

/// All of a call as one slice.
fn whole<'a>(call: &Call<'a>, kept: &'a mut Kept) -> Slice<'a> {
    Slice {
        all: call.arguments,
        rest: call.arguments,
        kept,
    }
}
