//! The libraries that Redis gives scripts beside Lua's own: cjson, cmsgpack, struct and bit.

mod bits;
mod guards;
pub mod json;
mod msgpack;
mod structs;

use crate::ffi;
use crate::lua::Lua;

/// Puts all of them into the table on top.
pub fn open(lua: &Lua) {
    push(lua, &bits::FUNCTIONS);
    lua.set_field(-2, "bit");
    push(lua, &structs::FUNCTIONS);
    lua.set_field(-2, "struct");
    push(lua, &msgpack::FUNCTIONS);
    for (name, text) in [
        ("_NAME", "cmsgpack"),
        ("_VERSION", "lua-cmsgpack 0.4.0"),
        ("_DESCRIPTION", "MessagePack C implementation for Lua"),
    ] {
        lua.push_bytes(text.as_bytes());
        lua.set_field(-2, name);
    }
    lua.set_field(-2, "cmsgpack");
    json::push_library(lua);
    lua.set_field(-2, "cjson");
}

/// Puts guards in front of what takes long; the globals are on top, with Lua's own libraries.
pub fn guard(lua: &Lua) {
    let is_loaded = lua.load(b"local a, b = ... return a < b", c"=compare");
    assert!(is_loaded, "it is a function");
    lua.set_at(ffi::REGISTRY, guards::COMPARE);
    for (name, function) in guards::GUARDED_GLOBALS {
        lua.get_field(-1, name);
        lua.close_over(function);
        lua.set_field(-2, name);
    }
    for (library, name, function) in guards::GUARDED {
        lua.get_field(-1, library);
        lua.get_field(-1, name);
        lua.close_over(function);
        lua.set_field(-2, name);
        lua.pop(1);
    }
}

/// Pushes a table of functions.
fn push(lua: &Lua, functions: &[(&str, ffi::Function)]) {
    lua.push_table();
    for (name, function) in functions {
        lua.push_function(*function);
        lua.set_field(-2, name);
    }
}
