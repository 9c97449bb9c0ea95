//! What commands over the elements of a collection share, whatever its type.

use repligo_proto::glob::Glob;
use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use crate::command::{Arguments, CommandError, scan_cursor};

/// Elements that one call of a scan shows at most, about: COUNT is a hint, and the client calls again.
const SCANNED_MAX: i64 = 512;

/// A number below `end` from a draw, evenly enough; 0 where `end` is.
pub(super) fn below(draw: u64, end: u64) -> u64 {
    ((u128::from(draw) * u128::from(end)) >> 64) as u64
}

/// Takes the cursor of a scan.
pub(super) fn take_cursor(arguments: &mut Arguments<'_>) -> Result<u64, CommandError> {
    scan_cursor(arguments.take()).ok_or(CommandError::fixed(words::INVALID_CURSOR))
}

/// What HSCAN and its relatives say behind key and cursor. Redis looks at the key before it looks at this.
pub(super) struct ScanOptions<'a> {
    pub count: usize,
    pattern: Option<&'a [u8]>,
}

impl<'a> ScanOptions<'a> {
    /// Takes them, to the end.
    pub fn take(arguments: &mut Arguments<'a>) -> Result<Self, CommandError> {
        let mut options = Self {
            count: 10,
            pattern: None,
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
            } else {
                return Err(CommandError::fixed(words::SYNTAX));
            }
        }
        Ok(options)
    }

    /// What says whether an element matches.
    pub fn matcher(&self) -> impl Fn(&[u8]) -> bool + use<> {
        let glob = self.pattern.filter(|pattern| *pattern != b"*").map(Glob::new);
        move |text| glob.as_ref().is_none_or(|glob| glob.matches(text))
    }
}

/// The page of a scan: the next cursor, and so many elements that are encoded.
pub(super) fn tell_page(next: u64, (count, elements): (usize, &[u8]), reply: &mut ReplyWriter<'_>) {
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(count);
    reply.raw(elements);
}
