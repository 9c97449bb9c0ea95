//! What a block may hold: SELECT, then entries, and nothing else.

use repligo_proto::resp::{ARGUMENT_OVERHEAD_BYTES, Args, Limits, RequestDecoder};

use super::{BLOCK_BYTES_MAX, COLLECTIONS_VERSION, Entry, STRINGS_VERSION};
use crate::cli::transfer::content::{Content, Kind, PIECE_PARTS};
use crate::cli::transfer::stream;

/// Words of the longest request of a collection: a piece, behind command and key.
const WORDS_MAX: usize = PIECE_PARTS + 2;
/// An entry of a stream may have more, each of which takes some of the block.
const STREAM_WORDS_MAX: usize = 1 << 20;

/// The entries of a body, which begins with SELECT of this database; `None` if it holds anything else, or something
/// that files of this version do not have.
pub(super) fn entries_of(body: &[u8], db: u32, version: u32) -> Option<Vec<Entry>> {
    let has_streams = version > COLLECTIONS_VERSION;
    let words_max = if has_streams { STREAM_WORDS_MAX } else { WORDS_MAX };
    let mut decoder = RequestDecoder::new(Limits {
        arguments_max: words_max,
        request_bytes_max: BLOCK_BYTES_MAX as usize + words_max * ARGUMENT_OVERHEAD_BYTES,
        ..Limits::default()
    });
    let mut args = Args::new();
    let mut rest = body;
    let mut parser = Parser {
        has_collections: version > STRINGS_VERSION,
        has_streams,
        ..Parser::default()
    };
    let mut is_selected = false;
    while !rest.is_empty() {
        // Inline requests have no place here.
        if rest[0] != b'*' {
            return None;
        }
        let taken = decoder.decode(rest, &mut args).ok()??;
        let words: Vec<&[u8]> = args.view(rest).iter().collect();
        match words.as_slice() {
            [b"SELECT", number] if !is_selected && *number == db.to_string().as_bytes() => is_selected = true,
            words if is_selected => parser.take(words)?,
            _ => return None,
        }
        rest = &rest[taken..];
    }
    parser.close()?;
    Some(parser.entries)
}

/// The codes of the libraries of functions in a body; `None` if it holds anything else.
pub(super) fn libraries_of(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut decoder = RequestDecoder::new(Limits {
        request_bytes_max: BLOCK_BYTES_MAX as usize + WORDS_MAX * ARGUMENT_OVERHEAD_BYTES,
        ..Limits::default()
    });
    let mut args = Args::new();
    let mut libraries = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        // Inline requests have no place here.
        if rest[0] != b'*' {
            return None;
        }
        let taken = decoder.decode(rest, &mut args).ok()??;
        let words: Vec<&[u8]> = args.view(rest).iter().collect();
        let [b"FUNCTION", b"LOAD", b"REPLACE", code] = words.as_slice() else {
            return None;
        };
        libraries.push(code.to_vec());
        rest = &rest[taken..];
    }
    Some(libraries)
}

#[derive(Default)]
struct Parser {
    has_collections: bool,
    has_streams: bool,
    entries: Vec<Entry>,
    /// Key and content of a collection that is not whole yet; its type follows from its first request.
    open: Option<(Vec<u8>, Option<Content>)>,
}

impl Parser {
    /// The next request; `None` if it has no place here.
    fn take(&mut self, words: &[&[u8]]) -> Option<()> {
        match words {
            [b"SET", key, value] => self.string(key, value, None),
            [b"SET", key, value, b"PXAT", deadline] => self.string(key, value, Some(deadline_of(deadline)?)),
            [b"DEL", key] if self.has_collections => {
                self.close()?;
                self.open = Some((key.to_vec(), None));
                Some(())
            }
            [b"PEXPIREAT", key, deadline] => {
                let deadline_ms = deadline_of(deadline)?;
                let is_open = self.open.as_ref().is_some_and(|(open, _)| open == key);
                (is_open && self.close()?).then_some(())?;
                self.entries.last_mut()?.deadline_ms = Some(deadline_ms);
                Some(())
            }
            words if self.has_streams && stream::key_place(words).is_some() => self.stream(words),
            [name, key, parts @ ..] => self.piece(Kind::written_by(name)?, key, parts),
            _ => None,
        }
    }

    /// A request of a stream, as it is kept: the number of its words, and these without the key.
    fn stream(&mut self, words: &[&[u8]]) -> Option<()> {
        let place = stream::key_place(words)?;
        let (_, content) = self
            .open
            .as_mut()
            .filter(|(open, _)| Some(&open.as_slice()) == words.get(place))?;
        let content = content.get_or_insert(Content {
            kind: Kind::Stream,
            parts: Vec::new(),
        });
        (content.kind == Kind::Stream).then_some(())?;
        content.parts.push((words.len() - 1).to_string().into_bytes());
        let others = words.iter().enumerate().filter(|(at, _)| *at != place);
        content.parts.extend(others.map(|(_, word)| word.to_vec()));
        Some(())
    }

    fn string(&mut self, key: &[u8], value: &[u8], deadline_ms: Option<u64>) -> Option<()> {
        self.close()?;
        self.entries.push(Entry {
            key: key.to_vec(),
            content: Content::string(value.to_vec()),
            deadline_ms,
        });
        Some(())
    }

    fn piece(&mut self, kind: Kind, key: &[u8], parts: &[&[u8]]) -> Option<()> {
        let (open, content) = self.open.as_mut().filter(|(open, _)| open == key)?;
        debug_assert_eq!(open, key);
        let content = content.get_or_insert(Content {
            kind,
            parts: Vec::new(),
        });
        let is_whole = !parts.is_empty() && parts.len().is_multiple_of(kind.parts_per_element());
        (content.kind == kind && is_whole).then_some(())?;
        content.parts.extend(parts.iter().map(|part| part.to_vec()));
        Some(())
    }

    /// Ends a collection, if one is open: true then. `None` if it has no elements.
    fn close(&mut self) -> Option<bool> {
        let Some((key, content)) = self.open.take() else {
            return Some(false);
        };
        let content = content?;
        if content.kind == Kind::Stream {
            stream::split(&content.parts)
                .last()
                .is_some_and(|request| stream::is_last(request))
                .then_some(())?;
        }
        self.entries.push(Entry {
            key,
            content,
            deadline_ms: None,
        });
        Some(true)
    }
}

/// A deadline that a signed number of milliseconds can say.
fn deadline_of(text: &[u8]) -> Option<u64> {
    let deadline_ms = std::str::from_utf8(text).ok()?.parse().ok()?;
    (1..=i64::MAX as u64)
        .contains(&deadline_ms)
        .then_some(deadline_ms)
}
