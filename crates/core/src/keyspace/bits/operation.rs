//! BITOP: the bits of several strings combined, and stored.
//!
//! At first all keys are looked at, then the result is computed and written piece by piece, each from all strings. The
//! destination may be one of the sources: it is no longer than the result, and what is written of it was read.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words::SYNTAX;
use repligo_proto::words::bits as words;

use super::refused;
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::{Changed, ReadContext, WriteContext};
use crate::keyspace::handlers::Slice;
use crate::keyspace::slices::steps_of;
use crate::limits::STEP_BYTES;

/// Bytes of the result that are computed or written at once.
const PIECE_BYTES: usize = 16 * STEP_BYTES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

impl Operation {
    fn combine(self, result: &mut [u8], bytes: &[u8]) {
        let pairs = result.iter_mut().zip(bytes);
        match self {
            Self::And => pairs.for_each(|(result, byte)| *result &= byte),
            Self::Or => pairs.for_each(|(result, byte)| *result |= byte),
            Self::Xor => pairs.for_each(|(result, byte)| *result ^= byte),
            Self::Not => pairs.for_each(|(result, byte)| *result = !byte),
        }
    }
}

/// Takes the operation; destination and sources are left.
fn parse(arguments: &mut Arguments<'_>) -> Result<Operation, CommandError> {
    let operations = [
        ("and", Operation::And),
        ("or", Operation::Or),
        ("xor", Operation::Xor),
        ("not", Operation::Not),
    ];
    let named = operations.iter().find(|(word, _)| arguments.take_word(word));
    let Some((_, operation)) = named else {
        return refused(SYNTAX);
    };
    match operation {
        Operation::Not if arguments.len() != 2 => refused(words::BITOP_NOT_ONE),
        operation => Ok(*operation),
    }
}

/// Refuses what is no BITOP.
pub(super) fn check(mut arguments: Arguments<'_>) -> Result<(), CommandError> {
    parse(&mut arguments).map(|_| ())
}

/// About how many bytes are read, in steps.
pub(super) fn weigh(context: &ReadContext<'_>, mut arguments: Arguments<'_>) -> usize {
    arguments.skip(2);
    let lens = arguments.iter().map(|key| context.string_bytes(key).unwrap_or(0));
    lens.map(steps_of).sum()
}

/// How far a command has come.
#[derive(Debug, Default)]
struct Progress {
    /// Length of the longest source, and of the result.
    len: usize,
    is_looked: bool,
    written: usize,
}

/// The next piece of the result.
fn piece(
    context: &ReadContext<'_>,
    mut sources: Arguments<'_>,
    operation: Operation,
    progress: &Progress,
) -> Result<Vec<u8>, CommandError> {
    let start = progress.written;
    let end = progress.len.min(start + PIECE_BYTES);
    let mut result = vec![0; end - start];
    let mut is_first = true;
    while !sources.is_empty() {
        let value = context.find_string(sources.take())?.unwrap_or(b"");
        let bytes = value.get(start..end.min(value.len())).unwrap_or(b"");
        if is_first && operation != Operation::Not {
            result[..bytes.len()].copy_from_slice(bytes);
        } else {
            // A source that is shorter goes on with zeros.
            let (with, behind) = result.split_at_mut(bytes.len());
            operation.combine(with, bytes);
            if operation == Operation::And {
                behind.fill(0);
            }
        }
        is_first = false;
        context.spend(steps_of(bytes.len()));
    }
    Ok(result)
}

/// `operation destination key [key ...]`: length of the result.
pub(super) fn bitop(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let Slice { all, rest, kept } = slice;
    let mut sources = *all;
    let operation = parse(&mut sources)?;
    let destination = sources.take();
    if !kept.begun {
        *rest = sources;
    }
    let progress = kept.state_or(|| Ok::<_, CommandError>(Progress::default()))?;
    while !progress.is_looked {
        if context.is_spent() {
            return Ok(None);
        }
        let key = rest.take();
        let value =
            context.looking(|context| context.find_string(key).map(|value| value.map(<[u8]>::len)))?;
        progress.len = progress.len.max(value.unwrap_or(0));
        progress.is_looked = rest.is_empty();
        context.spend(1);
    }
    if progress.len == 0 {
        reply.integer(0);
        return Ok(Some(context.remove(destination)));
    }
    while progress.written < progress.len {
        if context.is_spent() {
            return Ok(None);
        }
        let bytes = context.looking(|context| piece(context, sources, operation, progress))?;
        match progress.written {
            0 if context.exists(destination) && sources.iter().any(|key| key == destination) => {
                if context.deadline_ms(destination).is_some() {
                    context.put_deadline(destination, None);
                }
                context.overwrite_string(destination, (0, &bytes));
            }
            0 => context.replace_string(destination, &bytes, progress.len),
            start => context.overwrite_string(destination, (start, &bytes)),
        }
        progress.written += bytes.len();
    }
    reply.integer(progress.len as i64);
    Ok(Some(Changed::Something))
}
