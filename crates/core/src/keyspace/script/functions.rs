//! FUNCTION and its subcommands: libraries are loaded, told, dumped, restored and removed.
//!
//! A library is run when it is loaded, to learn what it registers, within a budget that is one step or a few. RESTORE
//! takes one library after the other in, and puts the whole in place at its end, or nothing.

use bytes::Bytes;
use repligo_proto::glob::Glob;
use repligo_proto::rdb::{Reader, Unpacking, VERSION, checksum, split};
use repligo_proto::reply::ReplyWriter;
use repligo_proto::resp::{Args, RequestDecoder};
use repligo_proto::words;
use repligo_proto::words::script as texts;
use repligo_proto::words::values::{BAD_PAYLOAD, BAD_PAYLOAD_END};
use repligo_script::{FUNCTION_FLAGS, Limits, Progress, Registered, is_name};

use super::libraries::{Libraries, Library, NotAdded};
use super::task::Machines;
use crate::command::{Arguments, CommandError};
use crate::keyspace::Keyspace;
use crate::keyspace::dump::put_string;
use crate::keyspace::slices::steps_of;
use crate::limits::{
    INSTRUCTIONS_PER_STEP, LIBRARIES_BYTES_MAX, LIBRARY_INSTRUCTIONS_MAX, SCRIPT_MEMORY_BYTES_MAX,
    SCRIPT_TEXT_BYTES_MAX, STEP_BYTES,
};

const LIMITS: Limits = Limits {
    instructions: LIBRARY_INSTRUCTIONS_MAX,
    memory_bytes: SCRIPT_MEMORY_BYTES_MAX,
};
/// In front of each library in a payload.
const PAYLOAD_LIBRARY: u8 = 245;

/// Bytes of a payload that are summed for one step and a few.
const SUMMED_AT_ONCE: usize = 64 * STEP_BYTES;

/// How far RESTORE has come.
#[derive(Debug)]
pub(super) struct Restoring {
    /// What is there at its end.
    libraries: Libraries,
    replaces: bool,
    /// The payload without its end; how much of it is summed and read.
    body: Bytes,
    summed: usize,
    sum: u64,
    read: usize,
    /// What its end says of the sum; nothing if it is not to be looked at.
    expected: Option<u64>,
}

/// Executes a subcommand, or goes on with it; true when it is done. `work` grows by the steps that it has cost.
pub(super) fn execute(
    keyspace: &mut Keyspace,
    (name, arguments): (&str, Arguments<'_>),
    (restoring, work): (&mut Option<Box<Restoring>>, &mut usize),
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    *work += 1;
    match name {
        "function|load" => load(keyspace, arguments, work, reply)?,
        "function|delete" => {
            let name = arguments.iter().next().unwrap_or_default();
            if !keyspace.libraries.remove(name) {
                return Err(CommandError::fixed(texts::NO_LIBRARY));
            }
            reply.ok();
        }
        "function|flush" => flush(keyspace, arguments, reply)?,
        "function|list" => {
            *work += steps_of(keyspace.libraries.held_bytes());
            list(&keyspace.libraries, arguments, reply)?;
        }
        "function|dump" => {
            *work += steps_of(keyspace.libraries.held_bytes());
            reply.bulk(&dump(&keyspace.libraries));
        }
        "function|stats" => tell_counts(&keyspace.libraries, reply),
        _ => {
            if restoring.is_none() {
                *restoring = Some(Box::new(Restoring::begin(&keyspace.libraries, arguments)?));
                return Ok(false);
            }
            let state = restoring.as_mut().expect("it was begun");
            if !state.advance(&mut keyspace.machines, work)? {
                return Ok(false);
            }
            keyspace.libraries = std::mem::take(&mut state.libraries);
            reply.ok();
        }
    }
    Ok(true)
}

fn load(
    keyspace: &mut Keyspace,
    arguments: Arguments<'_>,
    work: &mut usize,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let mut replaces = false;
    for option in arguments.iter().take(arguments.len() - 1) {
        if !option.eq_ignore_ascii_case(b"replace") {
            return Err(composed(texts::UNKNOWN_LOAD_OPTION, option));
        }
        replaces = true;
    }
    let code = arguments.iter().last().unwrap_or_default();
    let (name, library) = read(&mut keyspace.machines, code, work)?;
    keyspace
        .libraries
        .add(&name, library, replaces)
        .map_err(|why| not_added(&name, why, true))?;
    reply.bulk(&name);
    Ok(())
}

/// What a library's first line says: its name, and where its body begins.
fn read_head(code: &[u8]) -> Result<(Vec<u8>, usize), CommandError> {
    if !code.starts_with(b"#!") {
        return Err(CommandError::fixed(texts::MISSING_METADATA));
    }
    let invalid = CommandError::fixed(texts::INVALID_METADATA);
    let Some(end) = code.iter().position(|&byte| byte == b'\n') else {
        return Err(invalid);
    };
    // Its words are divided and quoted as those of a request in a line are.
    let line = [&code[..end], b"\r\n"].concat();
    let mut args = Args::new();
    match RequestDecoder::default().decode(&line, &mut args) {
        Ok(Some(_)) => {}
        Ok(None) | Err(_) => return Err(invalid),
    }
    let words = args.view(&line);
    let (engine, mut name) = (&words.get(0)[2..], None);
    for word in (1..words.len()).map(|at| words.get(at)) {
        let value = word.split_at_checked(5);
        let Some((_, value)) = value.filter(|(key, _)| key.eq_ignore_ascii_case(b"name=")) else {
            return Err(composed(texts::INVALID_METADATA_VALUE, word));
        };
        if name.replace(value.to_vec()).is_some() {
            return Err(CommandError::fixed(texts::NAMES_GIVEN));
        }
    }
    let name = name.ok_or(CommandError::fixed(texts::NO_NAME))?;
    if !is_name(&name) {
        return Err(CommandError::fixed(texts::BAD_NAME));
    }
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err(CommandError::composed(
            [b"ERR Engine '", engine, b"' not found"].concat(),
        ));
    }
    Ok((name, end))
}

/// The name of a library and what it registers.
fn read(machines: &mut Machines, code: &[u8], work: &mut usize) -> Result<(Vec<u8>, Library), CommandError> {
    let (name, begin) = read_head(code)?;
    if code.len() > SCRIPT_TEXT_BYTES_MAX {
        return Err(CommandError::composed(texts::text_too_long(
            SCRIPT_TEXT_BYTES_MAX,
        )));
    }
    *work += steps_of(code.len());
    let mut machine = machines.take();
    let begun = machine.begin_library(&name, &code[begin..], LIMITS);
    let loaded = begun.and_then(|()| {
        let mut spent = 0;
        // It ends by its own budget; it calls nothing.
        let progress = machine.resume(u64::MAX, &mut spent);
        debug_assert_eq!(progress, Progress::Done, "a library calls no command");
        *work += (spent / INSTRUCTIONS_PER_STEP) as usize;
        let (error, functions) = (machine.reply(), machine.registered());
        match error.is_empty() {
            true => Ok(functions),
            false => Err(error),
        }
    });
    machines.give(machine);
    let functions = loaded.map_err(|error| CommandError::composed(plain(&error)))?;
    if functions.is_empty() {
        return Err(CommandError::fixed(texts::NO_FUNCTIONS));
    }
    let code = Bytes::copy_from_slice(code);
    Ok((name, Library { code, functions }))
}

/// The text of an error, which may be as it is sent.
fn plain(error: &[u8]) -> Vec<u8> {
    let text = error.strip_prefix(b"-").unwrap_or(error);
    text.strip_suffix(b"\r\n").unwrap_or(text).to_vec()
}

fn composed(text: &str, word: &[u8]) -> CommandError {
    CommandError::composed([text.as_bytes(), word].concat())
}

/// FUNCTION LOAD quotes the name of a library that is there, FUNCTION RESTORE does not.
fn not_added(name: &[u8], why: NotAdded, is_quoted: bool) -> CommandError {
    let quote: &[u8] = if is_quoted { b"'" } else { b"" };
    CommandError::composed(match why {
        NotAdded::Library => [b"ERR Library ", quote, name, quote, b" already exists"].concat(),
        NotAdded::Function(function) => [b"ERR Function ", &function[..], b" already exists"].concat(),
        NotAdded::Size => texts::libraries_too_large(LIBRARIES_BYTES_MAX).into_bytes(),
    })
}

fn flush(
    keyspace: &mut Keyspace,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let is_mode = |mode: &[u8]| mode.eq_ignore_ascii_case(b"sync") || mode.eq_ignore_ascii_case(b"async");
    if arguments.len() > 1 {
        return Err(composed_usage("FLUSH"));
    }
    if !arguments.iter().all(is_mode) {
        return Err(CommandError::fixed(texts::FUNCTION_FLUSH_MODE));
    }
    keyspace.libraries = Libraries::default();
    reply.ok();
    Ok(())
}

fn composed_usage(word: &str) -> CommandError {
    CommandError::composed(words::subcommand_syntax("FUNCTION", word.as_bytes()))
}

fn list(
    libraries: &Libraries,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let (mut pattern, mut with_code) = (None, false);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word.eq_ignore_ascii_case(b"withcode") && !with_code {
            with_code = true;
        } else if word.eq_ignore_ascii_case(b"libraryname") && pattern.is_none() {
            let text = words.next().ok_or(CommandError::fixed(texts::NO_PATTERN))?;
            pattern = Some(Glob::new(&text.to_ascii_lowercase()));
        } else {
            return Err(composed(texts::UNKNOWN_LIST_ARGUMENT, word));
        }
    }
    let is_asked = |name: &[u8]| {
        let name = name.to_ascii_lowercase();
        pattern.as_ref().is_none_or(|pattern| pattern.matches(&name))
    };
    let asked: Vec<_> = libraries.iter().filter(|(name, _)| is_asked(name)).collect();
    reply.array(asked.len());
    for (name, library) in asked {
        reply.map(if with_code { 4 } else { 3 });
        reply.bulk_str("library_name");
        reply.bulk(name);
        reply.bulk_str("engine");
        reply.bulk_str("LUA");
        reply.bulk_str("functions");
        reply.array(library.functions.len());
        library
            .functions
            .iter()
            .for_each(|function| tell(function, reply));
        if with_code {
            reply.bulk_str("library_code");
            reply.bulk(&library.code);
        }
    }
    Ok(())
}

fn tell(function: &Registered, reply: &mut ReplyWriter<'_>) {
    reply.map(3);
    reply.bulk_str("name");
    reply.bulk(&function.name);
    reply.bulk_str("description");
    match &function.description {
        Some(description) => reply.bulk(description),
        None => reply.null(),
    }
    reply.bulk_str("flags");
    let is_set = |bit: &usize| function.flags >> bit & 1 == 1;
    let flags: Vec<usize> = (0..FUNCTION_FLAGS.len()).filter(is_set).collect();
    reply.set(flags.len());
    flags
        .into_iter()
        .for_each(|bit| reply.simple(FUNCTION_FLAGS[bit]));
}

fn tell_counts(libraries: &Libraries, reply: &mut ReplyWriter<'_>) {
    let (library_count, function_count) = libraries.counts();
    reply.map(2);
    reply.bulk_str("running_script");
    reply.null();
    reply.bulk_str("engines");
    reply.map(1);
    reply.bulk_str("LUA");
    reply.map(2);
    reply.bulk_str("libraries_count");
    reply.integer(library_count as i64);
    reply.bulk_str("functions_count");
    reply.integer(function_count as i64);
}

fn dump(libraries: &Libraries) -> Vec<u8> {
    let mut payload = Vec::new();
    for (_, library) in libraries.iter() {
        payload.push(PAYLOAD_LIBRARY);
        put_string(&mut payload, &library.code);
    }
    payload.extend_from_slice(&VERSION.to_le_bytes());
    let sum = checksum(0, &payload);
    payload.extend_from_slice(&sum.to_le_bytes());
    payload
}

impl Restoring {
    fn begin(present: &Libraries, arguments: Arguments<'_>) -> Result<Self, CommandError> {
        let mut arguments = arguments.iter();
        let payload = arguments.next().unwrap_or_default();
        let policy = arguments.next().unwrap_or(b"append").to_ascii_lowercase();
        if arguments.next().is_some() {
            return Err(composed_usage("RESTORE"));
        }
        let (libraries, replaces) = match &policy[..] {
            b"append" => (present.clone(), false),
            b"replace" => (present.clone(), true),
            b"flush" => (Libraries::default(), false),
            _ => return Err(CommandError::fixed(texts::RESTORE_POLICY)),
        };
        let (body, sum) = split(payload).ok_or(CommandError::fixed(BAD_PAYLOAD_END))?;
        // Compression makes a text shorter, or is left out: a longer payload holds more than all libraries may take.
        if body.len() > 2 * LIBRARIES_BYTES_MAX {
            return Err(too_large());
        }
        Ok(Self {
            libraries,
            replaces,
            body: Bytes::copy_from_slice(&payload[..payload.len() - size_of::<u64>()]),
            summed: 0,
            sum: 0,
            read: 0,
            expected: (sum != 0).then_some(sum),
        })
    }

    /// Sums a part of the payload, or takes one library more in; true at the end.
    fn advance(&mut self, machines: &mut Machines, work: &mut usize) -> Result<bool, CommandError> {
        if let Some(expected) = self.expected {
            let end = self.body.len().min(self.summed + SUMMED_AT_ONCE);
            self.sum = checksum(self.sum, &self.body[self.summed..end]);
            *work += steps_of(end - self.summed) / 8;
            self.summed = end;
            if end < self.body.len() {
                return Ok(false);
            }
            if self.sum != expected {
                return Err(CommandError::fixed(BAD_PAYLOAD_END));
            }
            self.expected = None;
            return Ok(false);
        }
        // Behind the libraries is the version of the format.
        let end = self.body.len() - size_of_val(&VERSION);
        if self.read == end {
            return Ok(true);
        }
        let code = self.next(end).ok_or(CommandError::fixed(BAD_PAYLOAD))??;
        let (name, library) = read(machines, &code, work)?;
        self.libraries
            .add(&name, library, self.replaces)
            .map_err(|why| not_added(&name, why, false))?;
        Ok(self.read == end)
    }

    /// The text of the next library in the payload, if there is one; too long a one is not unpacked.
    fn next(&mut self, end: usize) -> Option<Result<Vec<u8>, CommandError>> {
        let mut reader = Reader {
            bytes: &self.body[..end],
            at: self.read,
        };
        if reader.byte().ok()? != PAYLOAD_LIBRARY {
            return None;
        }
        let mut unpacking = Unpacking::default();
        let code = reader.string(&mut unpacking, LIBRARIES_BYTES_MAX).ok()?;
        let text = code.map(std::borrow::Cow::into_owned);
        self.read = reader.at;
        Some(text.ok_or_else(too_large))
    }
}

fn too_large() -> CommandError {
    CommandError::composed(texts::libraries_too_large(LIBRARIES_BYTES_MAX).into_bytes())
}
