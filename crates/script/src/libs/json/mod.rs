//! The library `cjson`: values to and from JSON, as lua-cjson 2.1.0 has it.

mod decode;
mod encode;

use std::ffi::c_int;

use crate::ffi;
use crate::lua::{Kind, Lua};
use crate::trampoline::{Fail, integer, native};

/// What a script has set; every script begins with the default.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    sparse_convert: bool,
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_depth_max: i64,
    decode_depth_max: i64,
    encode_invalid: Invalid,
    decode_invalid: bool,
    precision: i64,
    keep_buffer: bool,
}

/// What becomes of numbers that JSON has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Invalid {
    Refused,
    Written,
    Null,
}

impl Config {
    pub const DEFAULT: Self = Self {
        sparse_convert: false,
        sparse_ratio: 2,
        sparse_safe: 10,
        encode_depth_max: 1000,
        decode_depth_max: 1000,
        encode_invalid: Invalid::Refused,
        decode_invalid: true,
        precision: 14,
        keep_buffer: true,
    };
}

const FUNCTIONS: [(&str, ffi::Function); 10] = [
    ("encode", encode),
    ("decode", decode),
    ("encode_sparse_array", encode_sparse_array),
    ("encode_max_depth", encode_max_depth),
    ("decode_max_depth", decode_max_depth),
    ("encode_number_precision", encode_number_precision),
    ("encode_keep_buffer", encode_keep_buffer),
    ("encode_invalid_numbers", encode_invalid_numbers),
    ("decode_invalid_numbers", decode_invalid_numbers),
    ("new", new),
];

native! {
    encode => encode::encode;
    decode => decode::decode;
    encode_sparse_array => set_sparse;
    encode_max_depth => set_encode_depth;
    decode_max_depth => set_decode_depth;
    encode_number_precision => set_precision;
    encode_keep_buffer => set_keep_buffer;
    encode_invalid_numbers => set_encode_invalid;
    decode_invalid_numbers => set_decode_invalid;
    new => make;
}

/// Pushes the library.
pub fn push_library(lua: &Lua) {
    super::push(lua, &FUNCTIONS);
    lua.push_null();
    lua.set_field(-2, "null");
    for (name, text) in [("_NAME", "cjson"), ("_VERSION", "2.1.0")] {
        lua.push_bytes(text.as_bytes());
        lua.set_field(-2, name);
    }
}

fn make(lua: &Lua) -> Result<c_int, Fail> {
    push_library(lua);
    Ok(1)
}

fn change(lua: &Lua, change: impl FnOnce(&mut Config)) {
    let mut config = lua.host().json.get();
    change(&mut config);
    lua.host().json.set(config);
}

/// An argument between two bounds, or what it is now if it is left out.
fn bounded(lua: &Lua, argument: c_int, (min, max): (i64, i64), now: i64) -> Result<i64, Fail> {
    if matches!(lua.kind(argument), Kind::Absent | Kind::Nil) {
        return Ok(now);
    }
    let value = integer(lua, argument)?;
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    let text = format!("expected integer between {min} and {max}");
    Err(Fail::Argument(argument, text))
}

/// An argument that is a truth value, or what it is now.
fn switch(lua: &Lua, argument: c_int, now: bool) -> Result<bool, Fail> {
    match lua.kind(argument) {
        Kind::Absent | Kind::Nil => Ok(now),
        Kind::Boolean => Ok(lua.boolean(argument)),
        Kind::String => match lua.bytes(argument) {
            Some(b"on") => Ok(true),
            Some(b"off") => Ok(false),
            other => {
                let text = String::from_utf8_lossy(other.unwrap_or_default()).into_owned();
                Err(Fail::Argument(argument, format!("invalid option '{text}'")))
            }
        },
        _ => Err(Fail::wrong_type(lua, argument, "string")),
    }
}

fn at_most(lua: &Lua, arguments: c_int) -> Result<(), Fail> {
    match lua.top() > arguments {
        true => Err(Fail::Argument(
            arguments + 1,
            "found too many arguments".to_owned(),
        )),
        false => Ok(()),
    }
}

fn set_sparse(lua: &Lua) -> Result<c_int, Fail> {
    at_most(lua, 3)?;
    let now = lua.host().json.get();
    let convert = switch(lua, 1, now.sparse_convert)?;
    let ratio = bounded(lua, 2, (0, i32::MAX.into()), now.sparse_ratio)?;
    let safe = bounded(lua, 3, (0, i32::MAX.into()), now.sparse_safe)?;
    change(lua, |config| {
        (config.sparse_convert, config.sparse_ratio, config.sparse_safe) = (convert, ratio, safe);
    });
    lua.push_boolean(convert);
    lua.push_number(ratio as f64);
    lua.push_number(safe as f64);
    Ok(3)
}

fn set_encode_depth(lua: &Lua) -> Result<c_int, Fail> {
    at_most(lua, 1)?;
    let depth = bounded(
        lua,
        1,
        (1, i32::MAX.into()),
        lua.host().json.get().encode_depth_max,
    )?;
    change(lua, |config| config.encode_depth_max = depth);
    lua.push_number(depth as f64);
    Ok(1)
}

fn set_decode_depth(lua: &Lua) -> Result<c_int, Fail> {
    at_most(lua, 1)?;
    let depth = bounded(
        lua,
        1,
        (1, i32::MAX.into()),
        lua.host().json.get().decode_depth_max,
    )?;
    change(lua, |config| config.decode_depth_max = depth);
    lua.push_number(depth as f64);
    Ok(1)
}

fn set_precision(lua: &Lua) -> Result<c_int, Fail> {
    at_most(lua, 1)?;
    let precision = bounded(lua, 1, (1, 16), lua.host().json.get().precision)?;
    change(lua, |config| config.precision = precision);
    lua.push_number(precision as f64);
    Ok(1)
}

fn set_keep_buffer(lua: &Lua) -> Result<c_int, Fail> {
    at_most(lua, 1)?;
    let keep = switch(lua, 1, lua.host().json.get().keep_buffer)?;
    change(lua, |config| config.keep_buffer = keep);
    lua.push_boolean(keep);
    Ok(1)
}

fn set_encode_invalid(lua: &Lua) -> Result<c_int, Fail> {
    at_most(lua, 1)?;
    let now = lua.host().json.get().encode_invalid;
    let invalid = if lua.is(1, Kind::String) && lua.bytes(1) == Some(b"null") {
        Invalid::Null
    } else {
        match switch(lua, 1, now == Invalid::Written)? {
            true => Invalid::Written,
            false if now == Invalid::Null && lua.top() == 0 => now,
            false => Invalid::Refused,
        }
    };
    change(lua, |config| config.encode_invalid = invalid);
    match invalid {
        Invalid::Null => lua.push_bytes(b"null"),
        other => lua.push_boolean(other == Invalid::Written),
    }
    Ok(1)
}

fn set_decode_invalid(lua: &Lua) -> Result<c_int, Fail> {
    at_most(lua, 1)?;
    let takes = switch(lua, 1, lua.host().json.get().decode_invalid)?;
    change(lua, |config| config.decode_invalid = takes);
    lua.push_boolean(takes);
    Ok(1)
}
