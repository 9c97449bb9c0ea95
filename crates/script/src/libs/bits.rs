//! The library `bit`: operations on 32 bits, as in LuaJIT.

use std::ffi::c_int;

use crate::ffi;
use crate::lua::Lua;
use crate::trampoline::{Fail, native, number};

pub(super) const FUNCTIONS: [(&str, ffi::Function); 12] = [
    ("tobit", tobit),
    ("bnot", bnot),
    ("band", band),
    ("bor", bor),
    ("bxor", bxor),
    ("lshift", lshift),
    ("rshift", rshift),
    ("arshift", arshift),
    ("rol", rol),
    ("ror", ror),
    ("bswap", bswap),
    ("tohex", tohex),
];

native! {
    tobit => |lua| unary(lua, |bits| bits);
    bnot => |lua| unary(lua, |bits| !bits);
    bswap => |lua| unary(lua, u32::swap_bytes);
    band => |lua| fold(lua, |left, right| left & right);
    bor => |lua| fold(lua, |left, right| left | right);
    bxor => |lua| fold(lua, |left, right| left ^ right);
    lshift => |lua| shift(lua, |bits, by| bits << by);
    rshift => |lua| shift(lua, |bits, by| bits >> by);
    arshift => |lua| shift(lua, |bits, by| (bits as i32 >> by) as u32);
    rol => |lua| shift(lua, u32::rotate_left);
    ror => |lua| shift(lua, u32::rotate_right);
    tohex => hexadecimal;
}

/// The low 32 bits of a number, rounded to the nearest integer.
fn bits(lua: &Lua, argument: c_int) -> Result<u32, Fail> {
    /// Added to a number, it moves the integer part to the low bits of the mantissa.
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    Ok((number(lua, argument)? + MAGIC).to_bits() as u32)
}

fn push(lua: &Lua, bits: u32) -> Result<c_int, Fail> {
    lua.push_number(f64::from(bits as i32));
    Ok(1)
}

fn unary(lua: &Lua, operation: fn(u32) -> u32) -> Result<c_int, Fail> {
    push(lua, operation(bits(lua, 1)?))
}

fn fold(lua: &Lua, operation: fn(u32, u32) -> u32) -> Result<c_int, Fail> {
    let first = bits(lua, 1)?;
    let folded = (2..=lua.top()).try_fold(first, |left, argument| {
        bits(lua, argument).map(|right| operation(left, right))
    });
    push(lua, folded?)
}

fn shift(lua: &Lua, operation: fn(u32, u32) -> u32) -> Result<c_int, Fail> {
    let value = bits(lua, 1)?;
    push(lua, operation(value, bits(lua, 2)? & 31))
}

fn hexadecimal(lua: &Lua) -> Result<c_int, Fail> {
    let value = bits(lua, 1)?;
    let digits = if lua.top() < 2 { 8 } else { bits(lua, 2)? as i32 };
    let (count, text) = match digits {
        ..0 => (digits.unsigned_abs().min(8), format!("{value:08X}")),
        _ => (digits.unsigned_abs().min(8), format!("{value:08x}")),
    };
    lua.push_bytes(&text.as_bytes()[8 - count as usize..]);
    Ok(1)
}
