//! The library `cmsgpack`: values to and from MessagePack.

use std::ffi::c_int;

use crate::ffi;
use crate::lua::{Kind, Lua};
use crate::trampoline::{Fail, NO_MEMORY, bytes, integer, integer_or, native};

pub(super) const FUNCTIONS: [(&str, ffi::Function); 4] = [
    ("pack", pack),
    ("unpack", unpack),
    ("unpack_one", unpack_one),
    ("unpack_limit", unpack_limit),
];

native! {
    pack => pack_values;
    unpack => unpack_all;
    unpack_one => unpack_first;
    unpack_limit => unpack_some;
}

/// Tables inside tables; what is deeper becomes nil.
const NESTING_MAX: usize = 16;
/// Values inside values that are read. Redis' own library has no such bound.
const READ_NESTING_MAX: usize = 1000;

fn pack_values(lua: &Lua) -> Result<c_int, Fail> {
    let count = lua.top();
    if count == 0 {
        return Err(Fail::Argument(0, "MessagePack pack needs input.".to_owned()));
    }
    let mut out = Vec::new();
    for argument in 1..=count {
        lua.push_value(argument);
        put(lua, &mut out, 0)?;
    }
    lua.push_bytes(&out);
    Ok(1)
}

/// Appends the value on top and takes it off.
fn put(lua: &Lua, out: &mut Vec<u8>, level: usize) -> Result<(), Fail> {
    lua.host().spend(2);
    if !lua.has_room(6) || !lua.host().arena.has_room_for(out.len()) {
        return Err(Fail::Plain(NO_MEMORY));
    }
    match lua.kind(-1) {
        Kind::String => put_text(out, lua.bytes(-1).unwrap_or_default()),
        Kind::Boolean => out.push(if lua.boolean(-1) { 0xc3 } else { 0xc2 }),
        Kind::Number => put_number(out, lua.number(-1).unwrap_or_default()),
        Kind::Table if level < NESTING_MAX => put_table(lua, out, level)?,
        _ => out.push(0xc0),
    }
    lua.pop(1);
    Ok(())
}

fn put_number(out: &mut Vec<u8>, value: f64) {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if value.fract() == 0.0 && (-BOUND..BOUND).contains(&value) {
        return put_integer(out, value as i64);
    }
    let short = value as f32;
    if f64::from(short) == value {
        out.push(0xca);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

fn put_integer(out: &mut Vec<u8>, value: i64) {
    let bytes = value.to_be_bytes();
    let mut tagged = |tag: u8, count: usize| {
        out.push(tag);
        out.extend_from_slice(&bytes[8 - count..]);
    };
    match value {
        -32..=0x7f => out.push(value as u8),
        0x80..=0xff => tagged(0xcc, 1),
        0x100..=0xffff => tagged(0xcd, 2),
        0x1_0000..=0xffff_ffff => tagged(0xce, 4),
        0x1_0000_0000.. => tagged(0xcf, 8),
        -0x80..=-33 => tagged(0xd0, 1),
        -0x8000..=-0x81 => tagged(0xd1, 2),
        -0x8000_0000..=-0x8001 => tagged(0xd2, 4),
        _ => tagged(0xd3, 8),
    }
}

fn put_head(out: &mut Vec<u8>, count: usize, [short, short_max, two, four]: [u8; 4]) {
    if count <= usize::from(short_max) {
        out.push(short | count as u8);
    } else if let Ok(count) = u16::try_from(count) {
        out.push(two);
        out.extend_from_slice(&count.to_be_bytes());
    } else {
        out.push(four);
        out.extend_from_slice(&(count as u32).to_be_bytes());
    }
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    if (32..=255).contains(&text.len()) {
        out.extend_from_slice(&[0xd9, text.len() as u8]);
    } else {
        put_head(out, text.len(), [0xa0, 31, 0xda, 0xdb]);
    }
    out.extend_from_slice(text);
}

/// The length of a table whose keys are the numbers from 1 to it, in whatever order.
fn array_length(lua: &Lua) -> Option<usize> {
    let (mut count, mut last) = (0usize, 0usize);
    lua.push_nil();
    while lua.next(-2) {
        lua.pop(1);
        lua.host().spend(1);
        let key = lua.number(-1).filter(|_| lua.is(-1, Kind::Number));
        let index = key.filter(|key| key.fract() == 0.0 && *key > 0.0 && *key < f64::from(i32::MAX));
        let Some(index) = index else {
            lua.pop(1);
            return None;
        };
        last = last.max(index as usize);
        count += 1;
    }
    (last == count).then_some(count)
}

fn put_table(lua: &Lua, out: &mut Vec<u8>, level: usize) -> Result<(), Fail> {
    if let Some(length) = array_length(lua) {
        put_head(out, length, [0x90, 15, 0xdc, 0xdd]);
        for at in 1..=length {
            lua.get_at(-1, at as c_int);
            put(lua, out, level + 1)?;
        }
        return Ok(());
    }
    let mut count = 0;
    lua.push_nil();
    while lua.next(-2) {
        lua.pop(1);
        count += 1;
    }
    put_head(out, count, [0x80, 15, 0xde, 0xdf]);
    lua.push_nil();
    while lua.next(-2) {
        lua.push_value(-2);
        put(lua, out, level + 1)?;
        put(lua, out, level + 1)?;
    }
    Ok(())
}

fn unpack_all(lua: &Lua) -> Result<c_int, Fail> {
    read(lua, i64::MAX, 0).map(|(count, _)| count)
}

fn unpack_first(lua: &Lua) -> Result<c_int, Fail> {
    let offset = integer_or(lua, 2, 0)?;
    read_from(lua, 1, offset)
}

fn unpack_some(lua: &Lua) -> Result<c_int, Fail> {
    let limit = integer(lua, 2)?;
    let offset = integer_or(lua, 3, 0)?;
    read_from(lua, limit, offset)
}

/// With a limit, where to go on is the first result; -1 at the end.
fn read_from(lua: &Lua, limit: i64, offset: i64) -> Result<c_int, Fail> {
    let (count, next) = read(lua, limit, offset)?;
    lua.push_number(next);
    lua.insert(-count - 1);
    Ok(count + 1)
}

fn read(lua: &Lua, limit: i64, offset: i64) -> Result<(c_int, f64), Fail> {
    let data = bytes(lua, 1)?;
    let length = data.len();
    if offset < 0 || limit < 0 {
        let text = format!("Invalid request to unpack with offset of {offset} and limit of {length}.");
        return Err(Fail::Text(text));
    }
    let Some(mut rest) = usize::try_from(offset).ok().and_then(|offset| data.get(offset..)) else {
        let text = format!("Start offset {offset} greater than input length {length}.");
        return Err(Fail::Text(text));
    };
    let limit = if limit == 0 { i64::MAX } else { limit };
    let mut count = 0;
    while !rest.is_empty() && i64::from(count) < limit {
        take(lua, &mut rest, 0)?;
        count += 1;
    }
    let next = if rest.is_empty() {
        -1.0
    } else {
        (length - rest.len()) as f64
    };
    Ok((count, next))
}

fn missing() -> Fail {
    Fail::Text("Missing bytes in input.".to_owned())
}

fn take_bytes<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], Fail> {
    let Some((taken, after)) = rest.split_at_checked(count) else {
        return Err(missing());
    };
    *rest = after;
    Ok(taken)
}

fn take_unsigned(rest: &mut &[u8], count: usize) -> Result<u64, Fail> {
    let bytes = take_bytes(rest, count)?;
    Ok(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn take_signed(rest: &mut &[u8], count: usize) -> Result<f64, Fail> {
    let unused = 64 - 8 * count as u32;
    Ok(((take_unsigned(rest, count)? << unused) as i64 >> unused) as f64)
}

/// Pushes the next value.
fn take(lua: &Lua, rest: &mut &[u8], level: usize) -> Result<(), Fail> {
    lua.host().spend(2);
    if !lua.has_room(6) || level > READ_NESTING_MAX || lua.host().arena.is_overdrawn() {
        return Err(Fail::Plain(NO_MEMORY));
    }
    let tag = take_bytes(rest, 1)?[0];
    match tag {
        0x00..=0x7f => lua.push_number(f64::from(tag)),
        0xe0..=0xff => lua.push_number(f64::from(tag as i8)),
        0xc0 => lua.push_nil(),
        0xc2 | 0xc3 => lua.push_boolean(tag == 0xc3),
        0xca => {
            let bits = take_unsigned(rest, 4)? as u32;
            lua.push_number(f64::from(f32::from_bits(bits)));
        }
        0xcb => lua.push_number(f64::from_bits(take_unsigned(rest, 8)?)),
        0xcc..=0xcf => {
            let value = take_unsigned(rest, 1 << (tag - 0xcc))?;
            lua.push_number(value as f64);
        }
        0xd0..=0xd3 => {
            let value = take_signed(rest, 1 << (tag - 0xd0))?;
            lua.push_number(value);
        }
        0xa0..=0xbf => lua.push_bytes(take_bytes(rest, usize::from(tag & 31))?),
        0xc4 | 0xd9 => take_text(lua, rest, 1)?,
        0xc5 | 0xda => take_text(lua, rest, 2)?,
        0xc6 | 0xdb => take_text(lua, rest, 4)?,
        0x90..=0x9f => take_array(lua, rest, (usize::from(tag & 15), level))?,
        0xdc | 0xdd => {
            let count = take_unsigned(rest, if tag == 0xdc { 2 } else { 4 })?;
            take_array(lua, rest, (count as usize, level))?;
        }
        0x80..=0x8f => take_map(lua, rest, (usize::from(tag & 15), level))?,
        0xde | 0xdf => {
            let count = take_unsigned(rest, if tag == 0xde { 2 } else { 4 })?;
            take_map(lua, rest, (count as usize, level))?;
        }
        _ => return Err(Fail::Text("Bad data format in input.".to_owned())),
    }
    Ok(())
}

fn take_text(lua: &Lua, rest: &mut &[u8], count: usize) -> Result<(), Fail> {
    let length = take_unsigned(rest, count)? as usize;
    lua.push_bytes(take_bytes(rest, length)?);
    Ok(())
}

fn take_array(lua: &Lua, rest: &mut &[u8], (count, level): (usize, usize)) -> Result<(), Fail> {
    lua.push_table();
    for at in 1..=count {
        take(lua, rest, level + 1)?;
        lua.set_at(-2, at as c_int);
    }
    Ok(())
}

fn take_map(lua: &Lua, rest: &mut &[u8], (count, level): (usize, usize)) -> Result<(), Fail> {
    lua.push_table();
    for _ in 0..count {
        take(lua, rest, level + 1)?;
        take(lua, rest, level + 1)?;
        if lua.is(-2, Kind::Nil) {
            return Err(Fail::Plain("table index is nil"));
        }
        if !lua.is_equal(-2, -2) {
            return Err(Fail::Plain("table index is NaN"));
        }
        lua.set(-3);
    }
    Ok(())
}
