//! What commands over the elements of a collection share, whatever its type: `T` is a [`Typed`] one.

use repligo_proto::glob::Glob;
use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::contexts::{Changed, ReadContext, WriteContext};
use super::handlers::Slice;
use super::slices::steps_of;
use super::typed::{Typed, TypedRef};
use crate::bugs::Bug;
use crate::command::{Arguments, CommandError, scan_cursor};
use crate::limits::STRING_BYTES_MAX;
use crate::table::HashSeed;

/// Elements that one call of a scan shows at most, about: COUNT is a hint, and the client calls again.
const SCANNED_MAX: i64 = 512;

/// A number below `end` from a draw, evenly enough; 0 where `end` is.
pub(super) fn below(draw: u64, end: u64) -> u64 {
    ((u128::from(draw) * u128::from(end)) >> 64) as u64
}

/// `key`: number of elements.
pub(super) fn count<T: Typed>(
    context: &ReadContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let found: Option<T::Ref<'_>> = context.find(arguments.take())?;
    reply.integer(found.map_or(0, |collection| collection.count() as i64));
    Ok(())
}

/// As many steps as the collection of the first argument has elements.
pub(super) fn weigh_all<T: Typed>(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let found: Option<T::Ref<'_>> = context.look(arguments.peek());
    found.map_or(0, |collection| collection.count() as usize)
}

/// `key element [element ...]`: an array with what `tell` says of each; it returns how many bytes that were.
pub(super) fn tell_each<T: Typed>(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
    tell: impl for<'a> Fn(Option<T::Ref<'a>>, &[u8], &mut ReplyWriter<'_>) -> usize,
) -> Result<bool, CommandError> {
    let found: Option<T::Ref<'_>> = context.find(slice.all.peek())?;
    if !slice.kept.begun {
        slice.rest.skip(1);
        reply.array(slice.rest.len());
    }
    while !slice.rest.is_empty() {
        if context.is_spent() {
            return Ok(false);
        }
        let bytes = tell(found, slice.rest.take(), reply);
        context.spend(steps_of(bytes));
    }
    Ok(true)
}

/// `key element [element ...]`: for how many of them `change` says that it changed something.
pub(super) fn change_each<T: Typed>(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
    change: fn(&mut T, &[u8], HashSeed) -> bool,
) -> Result<Option<Changed>, CommandError> {
    let Slice { all, rest, kept } = slice;
    if !kept.begun {
        rest.skip(1);
    }
    context.change(all.peek(), |collection: &mut T, seed, steps| {
        let before = kept.tally;
        while !rest.is_empty() && *steps > 0 {
            let element = rest.take();
            kept.tally += i64::from(change(collection, element, seed));
            *steps = steps.saturating_sub(steps_of(element.len()));
        }
        if Bug::SliceSkipsElement.is_in_force() && rest.len() > 1 {
            rest.skip(1);
        }
        ((), Changed::from(kept.tally > before))
    })?;
    if !rest.is_empty() {
        return Ok(None);
    }
    reply.integer(kept.tally);
    Ok(Some(Changed::from(kept.tally > 0)))
}

/// Puts a collection in the place of whatever the key holds, or removes that if it is empty; tells how many elements
/// it has.
pub(super) fn store_in<T: Typed>(
    context: &mut WriteContext<'_>,
    key: &[u8],
    collection: T,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    let mut changed = context.remove(key);
    let len = collection.count();
    if len > 0 {
        context.change(key, |stored: &mut T, _, _| {
            *stored = collection;
            ((), Changed::Something)
        })?;
        changed = Changed::Something;
    }
    reply.integer(len as i64);
    Ok(changed)
}

/// Takes the cursor of a scan.
fn take_cursor(arguments: &mut Arguments<'_>) -> Result<u64, CommandError> {
    scan_cursor(arguments.take()).ok_or(CommandError::fixed(words::INVALID_CURSOR))
}

/// What HSCAN and its relatives say behind key and cursor. Redis looks at the key before it looks at this.
struct ScanOptions<'a> {
    count: usize,
    pattern: Option<&'a [u8]>,
    /// Of each element only what it is called is told.
    names_only: bool,
}

impl<'a> ScanOptions<'a> {
    /// Takes them, to the end.
    fn take(arguments: &mut Arguments<'a>, has_values: bool) -> Result<Self, CommandError> {
        let mut options = Self {
            count: 10,
            pattern: None,
            names_only: false,
        };
        while !arguments.is_empty() {
            if arguments.len() > 1 && arguments.take_word("count") {
                let count = arguments.take_integer()?;
                if count < 1 {
                    return Err(CommandError::fixed(words::SYNTAX));
                }
                options.count = count.min(SCANNED_MAX) as usize;
            } else if arguments.len() > 1 && arguments.take_word("match") {
                options.pattern = Some(arguments.take());
            } else if has_values && arguments.take_word("novalues") {
                options.names_only = true;
            } else {
                return Err(CommandError::fixed(words::SYNTAX));
            }
        }
        Ok(options)
    }

    /// What says whether an element matches.
    fn matcher(&self) -> impl Fn(&[u8]) -> bool + use<> {
        let glob = self.pattern.filter(|pattern| *pattern != b"*").map(Glob::new);
        move |text| glob.as_ref().is_none_or(|glob| glob.matches(text))
    }
}

/// A type that HSCAN or a relative goes through.
pub(super) trait Scanned<'a>: TypedRef<'a> {
    /// Whether what belongs to an element may be left out.
    const HAS_VALUES: bool = false;

    /// Shows about `count` elements from a cursor on, each as what it is called and what belongs to it; returns the
    /// next cursor, 0 at the end.
    fn scan_parts(self, cursor: u64, count: usize, show: &mut dyn FnMut(&[&[u8]])) -> u64;
}

/// `key cursor [MATCH pattern] [COUNT count] [NOVALUES]`: the next cursor, and the parts of elements in turn.
pub(super) fn scan<T>(
    context: &ReadContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError>
where
    T: Typed,
    for<'a> T::Ref<'a>: Scanned<'a>,
{
    let key = arguments.take();
    let cursor = take_cursor(&mut arguments)?;
    let found: Option<T::Ref<'_>> = context.find(key)?;
    let Some(collection) = found else {
        tell_page(0, (0, &[]), reply);
        return Ok(());
    };
    let options = ScanOptions::take(&mut arguments, <T::Ref<'_> as Scanned<'_>>::HAS_VALUES)?;
    let matches = options.matcher();
    let (mut page, mut bytes, mut count) = (Vec::new(), 0, 0);
    let mut writer = ReplyWriter::new(&mut page, reply.is_resp3());
    let next = collection.scan_parts(cursor, options.count, &mut |parts| {
        if matches(parts[0]) && bytes <= STRING_BYTES_MAX {
            let told = if options.names_only { &parts[..1] } else { parts };
            for part in told {
                writer.bulk(part);
                bytes += part.len();
                count += 1;
            }
        }
    });
    context.spend(steps_of(bytes) + count);
    tell_page(next, (count, &page), reply);
    Ok(())
}

/// The page of a scan: the next cursor, and so many elements that are encoded.
fn tell_page(next: u64, (count, elements): (usize, &[u8]), reply: &mut ReplyWriter<'_>) {
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(count);
    reply.raw(elements);
}
