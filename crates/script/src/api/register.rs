//! `redis.register_function`: what a library says of its functions while it is loaded.

use std::ffi::c_int;

use crate::lua::{Kind, Lua};
use crate::machine::{FUNCTION_FLAGS, Registered};
use crate::sandbox;
use crate::trampoline::{Fail, native};

use super::{BYTES_PER_INSTRUCTION, refused};

/// What a function costs that is registered, in instructions, beside its texts.
const COST: u64 = 100;
/// What the names and descriptions of a library may take: they are kept outside of its memory.
const REGISTERED_BYTES_MAX: usize = 1 << 20;

native! {
    register_function => take_function;
}

/// An error whose text begins with that of every error here.
fn wrong(lua: &Lua, text: &str) -> Fail {
    refused(lua, &format!("ERR {text}"))
}

fn take_function(lua: &Lua) -> Result<c_int, Fail> {
    if !lua.host().is_loading.get() {
        let text = "redis.register_function can only be called on FUNCTION LOAD command";
        return Err(wrong(lua, text));
    }
    // Before anything is taken: a script that ends here for good drops nothing.
    let bytes = text_bytes(lua);
    lua.host()
        .spend(COST + flag_count(lua) + (bytes / BYTES_PER_INSTRUCTION) as u64);
    let registered_bytes = lua.host().registered_bytes.get() + bytes;
    if registered_bytes > REGISTERED_BYTES_MAX {
        return Err(wrong(lua, "names and descriptions of a library are too long"));
    }
    lua.host().registered_bytes.set(registered_bytes);
    let function = match lua.top() {
        1 => take_named(lua)?,
        2 => take_two(lua)?,
        _ => return Err(wrong(lua, "wrong number of arguments to redis.register_function")),
    };
    if !is_name(&function.name) {
        let text = "Library names can only contain letters, numbers, or underscores(_) and must be at least one \
                    character long";
        return Err(wrong(lua, text));
    }
    if !sandbox::register(lua, &function.name.to_ascii_lowercase()) {
        return Err(wrong(lua, "Function already exists in the library"));
    }
    lua.host().registered.borrow_mut().push(function);
    Ok(0)
}

/// Bytes of the texts among the arguments.
fn text_bytes(lua: &Lua) -> usize {
    if !lua.is(1, Kind::Table) {
        return length(lua, 1);
    }
    let of = |name: &str| {
        lua.get_field(1, name);
        let bytes = length(lua, -1);
        lua.pop(1);
        bytes
    };
    of("function_name") + of("description")
}

fn length(lua: &Lua, index: c_int) -> usize {
    match lua.kind(index) {
        Kind::String => lua.length(index),
        _ => 0,
    }
}

/// Elements of the table of flags in the table of named arguments, if there are any.
fn flag_count(lua: &Lua) -> u64 {
    if !lua.is(1, Kind::Table) {
        return 0;
    }
    lua.get_field(1, "flags");
    let count = match lua.kind(-1) {
        Kind::Table => lua.length(-1),
        _ => 0,
    };
    lua.pop(1);
    count as u64
}

/// Whether this may be the name of a function or of a library.
pub fn is_name(name: &[u8]) -> bool {
    let is_right = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    !name.is_empty() && name.iter().all(is_right)
}

fn text(lua: &Lua, index: c_int) -> Option<Vec<u8>> {
    let is_text = matches!(lua.kind(index), Kind::String | Kind::Number);
    lua.bytes(index).filter(|_| is_text).map(<[u8]>::to_vec)
}

/// Name and function, which is left on top.
fn take_two(lua: &Lua) -> Result<Registered, Fail> {
    let Some(name) = text(lua, 1) else {
        return Err(wrong(
            lua,
            "first argument to redis.register_function must be a string",
        ));
    };
    if !lua.is(2, Kind::Function) {
        return Err(wrong(
            lua,
            "second argument to redis.register_function must be a function",
        ));
    }
    Ok(Registered {
        name,
        ..Registered::default()
    })
}

/// A table of named arguments; the function is left on top.
fn take_named(lua: &Lua) -> Result<Registered, Fail> {
    if !lua.is(1, Kind::Table) {
        let text = "calling redis.register_function with a single argument is only applicable to Lua table \
                    (representing named arguments).";
        return Err(wrong(lua, text));
    }
    let (mut function, mut is_named) = (Registered::default(), false);
    // Between its keys may stand any number of places that are empty by now.
    lua.host().spend(lua.host().arena.used() >> 10);
    // Argument 2 is the callback.
    lua.push_nil();
    lua.push_nil();
    while lua.next(1) {
        // A number as a key would be changed by looking at its text, and the walk with it.
        lua.push_value(-2);
        let Some(key) = text(lua, -1) else {
            let text = "named argument key given to redis.register_function is not a string";
            return Err(wrong(lua, text));
        };
        lua.pop(1);
        match &key[..] {
            b"function_name" => {
                function.name = text(lua, -1).ok_or_else(|| must_be(lua, "function_name", "string"))?;
                is_named = true;
            }
            b"description" => {
                let text = text(lua, -1).ok_or_else(|| must_be(lua, "description", "string"))?;
                function.description = Some(text);
            }
            b"callback" if lua.is(-1, Kind::Function) => {
                lua.push_value(-1);
                lua.replace(2);
            }
            b"callback" => return Err(must_be(lua, "callback", "function")),
            b"flags" => function.flags = take_flags(lua)?,
            _ => return Err(wrong(lua, "unknown argument given to redis.register_function")),
        }
        lua.pop(1);
    }
    if !is_named {
        return Err(wrong(
            lua,
            "redis.register_function must get a function name argument",
        ));
    }
    if !lua.is(2, Kind::Function) {
        return Err(wrong(lua, "redis.register_function must get a callback argument"));
    }
    lua.set_top(2);
    Ok(function)
}

fn must_be(lua: &Lua, argument: &str, kind: &str) -> Fail {
    let text = format!("{argument} argument given to redis.register_function must be a {kind}");
    wrong(lua, &text)
}

/// The flags in the table on top: its elements from the first on, up to one that is not there.
fn take_flags(lua: &Lua) -> Result<u8, Fail> {
    if !lua.is(-1, Kind::Table) {
        let text = "flags argument to redis.register_function must be a table representing function flags";
        return Err(wrong(lua, text));
    }
    let mut flags = 0;
    for at in 1.. {
        lua.get_at(-1, at);
        if lua.is(-1, Kind::Nil) {
            lua.pop(1);
            break;
        }
        let known = FUNCTION_FLAGS
            .iter()
            .position(|flag| lua.is(-1, Kind::String) && lua.bytes(-1) == Some(flag.as_bytes()));
        let Some(bit) = known else {
            return Err(wrong(lua, "unknown flag given"));
        };
        flags |= 1 << bit;
        lua.pop(1);
    }
    Ok(flags)
}
