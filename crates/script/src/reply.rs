//! Between RESP and Lua: what a command answers becomes a value, and what a script returns becomes a reply.
//!
//! The rules are those of Redis 7.0. A script sees the types of RESP3 only after `redis.setresp(3)`.

use std::ffi::c_int;

use repligo_proto::reply::ReplyWriter;

use crate::lua::{Kind, Lua};
use crate::number::{general, truncated};
use crate::trampoline::{Fail, NO_MEMORY};

/// Instructions that an element of a reply costs.
const ELEMENT_COST: u64 = 4;
/// Bytes of a reply: a value can be in it any number of times, so nothing else bounds it.
const REPLY_BYTES_MAX: usize = 512 << 20;

/// Pushes what an answer says; true if it is an error.
pub fn push_answer(lua: &Lua, answer: &[u8]) -> Result<bool, Fail> {
    let mut rest = answer;
    let is_error = matches!(answer.first(), Some(b'-' | b'!'));
    push_value(lua, &mut rest)?;
    debug_assert!(rest.is_empty(), "an answer is one reply");
    Ok(is_error)
}

fn push_value(lua: &Lua, rest: &mut &[u8]) -> Result<(), Fail> {
    if !lua.has_room(6) {
        return Err(Fail::Plain("reached lua stack limit"));
    }
    let (mark, line) = take_line(rest);
    let count = || {
        std::str::from_utf8(line)
            .ok()
            .and_then(|text| text.parse::<i64>().ok())
    };
    let is_resp3 = lua.host().is_resp3.get();
    lua.host().spend(ELEMENT_COST);
    match mark {
        b':' => lua.push_number(count().unwrap_or(0) as f64),
        b'+' => push_field(lua, "ok", line),
        b'-' => {
            push_field(lua, "err", line);
            lua.push_boolean(true);
            lua.set_field(-2, "ignore_error_stats_update");
        }
        b'$' => match count().and_then(|bytes| usize::try_from(bytes).ok()) {
            Some(bytes) => push_text(lua, take_bytes(rest, bytes))?,
            None => push_absent(lua, is_resp3),
        },
        b'_' => push_absent(lua, is_resp3),
        b'*' => match count().and_then(|count| usize::try_from(count).ok()) {
            Some(count) => push_array(lua, rest, count)?,
            None => push_absent(lua, is_resp3),
        },
        b'%' | b'~' => push_keyed(lua, rest, (mark, count().unwrap_or(0)))?,
        b'#' => lua.push_boolean(line == b"t"),
        b',' => {
            lua.push_table();
            let text = std::str::from_utf8(line).unwrap_or_default();
            lua.push_number(text.parse().unwrap_or(f64::NAN));
            lua.set_field(-2, "double");
        }
        b'(' => push_field(lua, "big_number", line),
        b'=' => {
            let text = take_bytes(
                rest,
                count().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0),
            );
            let (format, text) = (
                text.get(..3).unwrap_or_default(),
                text.get(4..).unwrap_or_default(),
            );
            lua.push_table();
            push_field(lua, "string", text);
            lua.push_bytes(format);
            lua.set_field(-2, "format");
            lua.set_field(-2, "verbatim_string");
        }
        _ => lua.push_nil(),
    }
    Ok(())
}

/// What is not there: false, as RESP2 has always told it, or nil.
fn push_absent(lua: &Lua, is_resp3: bool) {
    if is_resp3 {
        lua.push_nil();
    } else {
        lua.push_boolean(false);
    }
}

fn push_text(lua: &Lua, text: &[u8]) -> Result<(), Fail> {
    if !lua.host().arena.has_room_for(text.len()) {
        return Err(Fail::Plain(NO_MEMORY));
    }
    lua.push_bytes(text);
    Ok(())
}

fn push_field(lua: &Lua, name: &str, text: &[u8]) {
    lua.push_table();
    lua.push_bytes(text);
    lua.set_field(-2, name);
}

fn push_array(lua: &Lua, rest: &mut &[u8], count: usize) -> Result<(), Fail> {
    lua.push_table();
    for at in 1..=count {
        if lua.host().arena.is_overdrawn() {
            return Err(Fail::Plain(NO_MEMORY));
        }
        push_value(lua, rest)?;
        lua.set_at(-2, at as c_int);
    }
    Ok(())
}

/// A map, or a set as a map to true, inside a table that says which.
fn push_keyed(lua: &Lua, rest: &mut &[u8], (mark, count): (u8, i64)) -> Result<(), Fail> {
    lua.push_table();
    lua.push_table();
    for _ in 0..count {
        push_value(lua, rest)?;
        if mark == b'%' {
            push_value(lua, rest)?;
        } else {
            lua.push_boolean(true);
        }
        // Neither nil nor NaN is a key of a table in Lua.
        let is_key = !lua.is(-2, Kind::Nil) && lua.is_equal(-2, -2);
        if is_key {
            lua.set(-3);
        } else {
            lua.pop(2);
        }
        if lua.host().arena.is_overdrawn() {
            return Err(Fail::Plain(NO_MEMORY));
        }
    }
    lua.set_field(-2, if mark == b'%' { "map" } else { "set" });
    Ok(())
}

/// The mark of a line and what follows it.
fn take_line<'a>(rest: &mut &'a [u8]) -> (u8, &'a [u8]) {
    let end = rest
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .unwrap_or(rest.len());
    let (line, after) = rest.split_at(end);
    *rest = after.get(2..).unwrap_or_default();
    line.split_first()
        .map_or((b'_', line), |(mark, line)| (*mark, line))
}

fn take_bytes<'a>(rest: &mut &'a [u8], bytes: usize) -> &'a [u8] {
    let (taken, after) = rest.split_at(bytes.min(rest.len()));
    *rest = after.get(2..).unwrap_or_default();
    taken
}

/// Writes the value on top of the stack as a reply and takes it off.
pub fn write_value(lua: &Lua, reply: &mut ReplyWriter<'_>) {
    lua.host().spend(ELEMENT_COST);
    if !lua.has_room(6) {
        reply.error("ERR reached lua stack limit");
        return lua.pop(1);
    }
    match lua.kind(-1) {
        Kind::String => reply.bulk(lua.bytes(-1).unwrap_or_default()),
        Kind::Number => reply.integer(truncated(lua.number(-1).unwrap_or_default())),
        Kind::Boolean => match (lua.boolean(-1), lua.host().is_resp3.get()) {
            (value, true) => reply.boolean(value),
            (true, false) => reply.integer(1),
            (false, false) => reply.null(),
        },
        Kind::Table => write_table(lua, reply),
        _ => reply.null(),
    }
    lua.pop(1);
}

fn write_table(lua: &Lua, reply: &mut ReplyWriter<'_>) {
    if let Some(text) = field(lua, "err", Kind::String) {
        reply.error_bytes(trim_end(&text));
    } else if let Some(text) = field(lua, "ok", Kind::String) {
        let mut line = vec![b'+'];
        line.extend(
            text.iter()
                .map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }),
        );
        line.extend_from_slice(b"\r\n");
        reply.raw(&line);
    } else if has(lua, "double", Kind::Number) {
        let value = lua.number(-1).unwrap_or_default();
        lua.pop(1);
        if value.is_nan() {
            // Which of the two C prints follows from its sign.
            let text = general(value, 17);
            match reply.is_resp3() {
                true => reply.raw(format!(",{text}\r\n").as_bytes()),
                false => reply.bulk(text.as_bytes()),
            }
        } else {
            reply.double(value);
        }
    } else if has(lua, "map", Kind::Table) {
        write_keyed(lua, reply, true);
    } else if has(lua, "set", Kind::Table) {
        write_keyed(lua, reply, false);
    } else if let Some(text) = field(lua, "big_number", Kind::String) {
        let line: Vec<u8> = text
            .iter()
            .map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte })
            .collect();
        match reply.is_resp3() {
            true => [&b"("[..], &line, b"\r\n"]
                .iter()
                .for_each(|part| reply.raw(part)),
            false => reply.bulk(&line),
        }
    } else if has(lua, "verbatim_string", Kind::Table) {
        write_verbatim(lua, reply);
    } else {
        write_array(lua, reply);
    }
}

fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
    &text[..end.map_or(0, |at| at + 1)]
}

/// True if the table on top has such a value under a name; it is pushed then.
fn has(lua: &Lua, name: &str, kind: Kind) -> bool {
    lua.get_field(-1, name);
    let is_there = lua.is(-1, kind);
    if !is_there {
        lua.pop(1);
    }
    is_there
}

fn field(lua: &Lua, name: &str, kind: Kind) -> Option<Vec<u8>> {
    if !has(lua, name, kind) {
        return None;
    }
    let text = lua.bytes(-1).map(<[u8]>::to_vec);
    lua.pop(1);
    text
}

/// The map or set on top, which is taken off.
fn write_keyed(lua: &Lua, reply: &mut ReplyWriter<'_>, is_map: bool) {
    let mut count = 0;
    lua.push_nil();
    while lua.next(-2) {
        lua.pop(1);
        count += 1;
        lua.host().spend(1);
    }
    if is_map {
        reply.map(count);
    } else {
        reply.set(count);
    }
    lua.push_nil();
    while lua.next(-2) {
        lua.push_value(-2);
        write_value(lua, reply);
        if is_map {
            write_value(lua, reply);
        } else {
            lua.pop(1);
        }
    }
    lua.pop(1);
}

fn write_verbatim(lua: &Lua, reply: &mut ReplyWriter<'_>) {
    let (format, text) = (
        field(lua, "format", Kind::String),
        field(lua, "string", Kind::String),
    );
    lua.pop(1);
    match (format, text) {
        (Some(format), Some(text)) => {
            let mut three = [b' '; 3];
            three.iter_mut().zip(&format).for_each(|(to, from)| *to = *from);
            match std::str::from_utf8(&three) {
                Ok(format) => reply.verbatim(format, &text),
                Err(_) => reply.verbatim("txt", &text),
            }
        }
        _ => write_array(lua, reply),
    }
}

fn write_array(lua: &Lua, reply: &mut ReplyWriter<'_>) {
    let mut count = 0;
    loop {
        lua.get_at(-1, count + 1);
        let is_end = lua.is(-1, Kind::Nil);
        lua.pop(1);
        if is_end {
            break;
        }
        count += 1;
        lua.host().spend(1);
    }
    if reply.position() > REPLY_BYTES_MAX {
        return reply.error("ERR the reply of the script is too long");
    }
    reply.array(count as usize);
    for at in 1..=count {
        lua.get_at(-1, at);
        write_value(lua, reply);
    }
}
