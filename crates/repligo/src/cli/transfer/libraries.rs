//! Libraries of functions that a file or a server holds beside its keys.
//!
//! They belong to no database, so they are loaded whatever database was asked for. A name that the target has is treated
//! as a key that it has.

use std::collections::BTreeMap;

use repligo_proto::resp::{Args, RequestDecoder, Value};

use super::server::{Requests, Server};
use super::summary::Summary;
use super::target::Existing;
use super::{Halt, Outcome};
use crate::cli::failure::Failure;

const LIST: [&str; 3] = ["FUNCTION", "LIST", "WITHCODE"];

/// The name that a library gives itself in its first line, whose words are those of a request in a line; empty if that
/// is none, which the target will say.
fn name_of(code: &[u8]) -> Vec<u8> {
    let first = code.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = [first, b"\r\n"].concat();
    let mut args = Args::new();
    let Ok(Some(_)) = RequestDecoder::default().decode(&line, &mut args) else {
        return Vec::new();
    };
    let words = args.view(&line);
    let named = |word: &[u8]| {
        let (key, value) = word.split_at_checked(5)?;
        key.eq_ignore_ascii_case(b"name=").then(|| value.to_vec())
    };
    words.iter().find_map(named).unwrap_or_default()
}

/// Codes of the libraries that the target has, by their names.
fn loaded(server: &mut Server) -> Outcome<BTreeMap<Vec<u8>, Vec<u8>>> {
    let listed = server.ask_one(0, &LIST);
    let listed = listed.map_err(|halt| match halt {
        Halt::Failed(failure) => Halt::Failed(Failure::new(
            format!(
                "{}; there are libraries of functions to load, and nothing was imported",
                failure.what
            ),
            failure.remedy,
        )),
        Halt::Interrupted => Halt::Interrupted,
    })?;
    Ok(listed_codes(&listed))
}

/// Codes of all libraries that a source has, in the order of their names. What cannot be read is noted as not
/// transferred; a server that knows no functions has none.
///
/// # Errors
/// As [`Server::ask`].
pub(super) fn read(server: &mut Server, summary: &mut Summary) -> Outcome<Vec<Vec<u8>>> {
    let replies = server.ask(Requests {
        db: 0,
        count: 1,
        width: 1,
        push: &|_, connection| connection.push(&LIST),
    })?;
    match replies[0].value().as_error() {
        None => Ok(listed_codes(replies[0].value()).into_values().collect()),
        Some(text) if text.to_ascii_lowercase().starts_with("err unknown command") => Ok(Vec::new()),
        Some(text) => {
            summary.refusals.note(format!(
                "libraries of functions: {text}; give a user that may run FUNCTION LIST, or load them with `redis-cli -x \
                 FUNCTION LOAD REPLACE < LIBRARY`"
            ));
            Ok(Vec::new())
        }
    }
}

/// Codes by names, from the reply to FUNCTION LIST WITHCODE.
fn listed_codes(listed: &Value) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let libraries = listed.as_array().unwrap_or_default();
    let told = |library: &Value, what: &[u8]| {
        let mut pairs = library.as_array()?.chunks_exact(2);
        let pair = pairs.find(|pair| pair[0].as_bytes() == Some(what))?;
        pair[1].as_bytes().map(<[u8]>::to_vec)
    };
    libraries
        .iter()
        .filter_map(|library| Some((told(library, b"library_name")?, told(library, b"library_code")?)))
        .collect()
}

/// Loads them, before any key is written: functions may be called as soon as there are keys. One that the target has with
/// the same code stays, whatever is to become of those that differ.
///
/// # Errors
/// The target has one of them, where that ends the transfer, or it loads none at all.
pub(super) fn load(
    (server, summary): (&mut Server, &mut Summary),
    libraries: &[Vec<u8>],
    existing: Existing,
) -> Outcome<()> {
    if libraries.is_empty() {
        return Ok(());
    }
    let there = match existing {
        Existing::Replace => BTreeMap::new(),
        Existing::Fail | Existing::Skip => loaded(server)?,
    };
    let (stay, new): (Vec<&Vec<u8>>, Vec<&Vec<u8>>) = libraries
        .iter()
        .partition(|code| there.contains_key(&name_of(code)));
    let mut others = stay
        .iter()
        .filter(|code| there.get(&name_of(code)) != Some(*code));
    if let (Existing::Fail, Some(code)) = (existing, others.next()) {
        return Err(Failure::new(
            format!(
                "{} has another library of functions with the name {}; nothing was imported",
                server.name(),
                name_of(code).escape_ascii()
            ),
            "choose what happens to what is there: --skip-existing or --replace",
        )
        .into());
    }
    // With REPLACE, so that one whose reply was lost can be sent again.
    let replies = server.ask(Requests {
        db: 0,
        count: new.len(),
        width: 1,
        push: &|at, connection| connection.push(&[b"FUNCTION".as_slice(), b"LOAD", b"REPLACE", new[at]]),
    })?;
    summary.libraries.existing = stay.len() as u64;
    summary.libraries.loaded = 0;
    for (code, reply) in new.iter().zip(replies) {
        match reply.value().as_error() {
            None => summary.libraries.loaded += 1,
            Some(text) => {
                let name = [b"library ".as_slice(), &name_of(code)].concat();
                summary
                    .refusals
                    .add(&name, text, |text| server.refused("FUNCTION LOAD", text))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn a_library_is_named_by_its_first_line() {
        for (code, name) in [
            ("#!lua name=l\nredis.x()", "l"),
            ("#!lua  name=two \r\n name=three", "two"),
            ("#!lua NAME=l\n", "l"),
            ("#!lua name=\"l\"\n", "l"),
            ("#!lua \"name=l\"\n", "l"),
            ("#!lua\nname=l", ""),
            ("", ""),
        ] {
            assert_eq!(name_of(code.as_bytes()), name.as_bytes(), "{code}");
        }
    }
}
