//! What a script finds around it: the globals of Redis 7.0, none of which it can change.
//!
//! A script's globals are an empty table in front of the real one, and so is every library: reading goes on to the
//! real table, writing is refused. Functions that look into a table without metamethods are ours and look through.

use std::ffi::{CString, c_int};

use crate::ffi::{self, State};
use crate::libs;
use crate::lua::{Kind, Lua};
use crate::trampoline::{Fail, bytes, enter, native, run};
use crate::{api, random};

/// Places in the registry, beside those of `libs::guards`.
const PROXIES: c_int = 1;
const NEXT: c_int = 2;
const REAL_GLOBALS: c_int = 3;
/// What a library finds while it is loaded.
const LOADING_GLOBALS: c_int = 7;
/// The functions that it has registered, by their names in small letters.
const REGISTERED: c_int = 8;

/// What is kept of Lua's own globals.
const KEPT: [&str; 15] = [
    "_VERSION",
    "assert",
    "collectgarbage",
    "coroutine",
    "error",
    "gcinfo",
    "getmetatable",
    "ipairs",
    "math",
    "rawequal",
    "select",
    "string",
    "table",
    "tonumber",
    "type",
];
const KEPT_TOO: [&str; 2] = ["unpack", "xpcall"];
/// What is ours.
const OWN: [(&str, ffi::Function); 9] = [
    ("next", next),
    ("pairs", pairs),
    ("rawget", rawget),
    ("rawset", rawset),
    ("setmetatable", setmetatable),
    ("tostring", tostring),
    ("pcall", pcall),
    ("load", load),
    ("loadstring", loadstring),
];
/// Tables that cannot be changed.
const LIBRARIES: [&str; 9] = [
    "string",
    "table",
    "math",
    "coroutine",
    "redis",
    "cjson",
    "cmsgpack",
    "struct",
    "bit",
];

const READ_ONLY: &str = "Attempt to modify a readonly table";

/// Makes the globals of a new state.
pub fn prepare(lua: &Lua) {
    lua.open(ffi::luaopen_base, "");
    lua.open(ffi::luaopen_table, "table");
    lua.open(ffi::luaopen_string, "string");
    lua.open(ffi::luaopen_math, "math");
    lua.push_table();
    lua.set_at(ffi::REGISTRY, PROXIES);
    lua.push_function(next);
    lua.set_at(ffi::REGISTRY, NEXT);
    lua.push_table();
    for name in KEPT.iter().chain(&KEPT_TOO) {
        lua.get_field(ffi::GLOBALS, name);
        lua.set_field(-2, name);
    }
    for (name, function) in OWN {
        lua.push_function(function);
        lua.set_field(-2, name);
    }
    own_functions(lua);
    libs::guard(lua);
    api::push_library(lua);
    lua.set_field(-2, "redis");
    libs::open(lua);
    for name in LIBRARIES {
        lua.get_field(-1, name);
        push_proxy(lua);
        lua.set_field(-3, name);
        lua.pop(1);
    }
    protect_strings(lua);
    refuse_absent(lua);
    push_proxy(lua);
    lua.push_value(-1);
    lua.set_field(-3, "_G");
    lua.replace(ffi::GLOBALS);
    lua.set_at(ffi::REGISTRY, REAL_GLOBALS);
    prepare_loading(lua);
}

/// Makes the globals that a library finds while it is loaded: `redis` with the little that it may use then.
fn prepare_loading(lua: &Lua) {
    lua.push_table();
    lua.set_at(ffi::REGISTRY, REGISTERED);
    lua.push_table();
    api::push_loading_library(lua);
    refuse_absent(lua);
    push_proxy(lua);
    lua.set_field(-3, "redis");
    lua.pop(1);
    refuse_absent(lua);
    lua.set_at(ffi::REGISTRY, LOADING_GLOBALS);
}

/// Reading what is not in the table on top is an error from now on.
fn refuse_absent(lua: &Lua) {
    lua.push_table();
    lua.push_function(absent_global);
    lua.set_field(-2, "__index");
    lua.set_metatable(-2);
}

/// From now on what runs finds the globals of a library that is loaded, or all of them.
pub fn set_loading(lua: &Lua, is_loading: bool) {
    lua.push_value(ffi::GLOBALS);
    lua.get_metatable(-1);
    lua.get_at(
        ffi::REGISTRY,
        if is_loading { LOADING_GLOBALS } else { REAL_GLOBALS },
    );
    lua.set_field(-2, "__index");
    lua.pop(2);
}

/// Keeps the function on top, which is taken, under this name; false if there is one of that name.
pub fn register(lua: &Lua, name: &[u8]) -> bool {
    lua.get_at(ffi::REGISTRY, REGISTERED);
    lua.push_bytes(name);
    lua.get(-2);
    let is_new = lua.is(-1, Kind::Nil);
    lua.pop(1);
    if is_new {
        lua.push_bytes(name);
        lua.push_value(-3);
        lua.set(-3);
    }
    lua.pop(2);
    is_new
}

/// Pushes the function of this name, in small letters.
pub fn push_registered(lua: &Lua, name: &[u8]) {
    lua.get_at(ffi::REGISTRY, REGISTERED);
    lua.push_bytes(name);
    lua.get(-2);
    lua.replace(-2);
}

/// Functions of Lua's libraries in place of which ours come; the globals are on top.
fn own_functions(lua: &Lua) {
    lua.get_field(-1, "math");
    for (name, function) in [
        ("random", random::random as ffi::Function),
        ("randomseed", random::random_seed),
    ] {
        lua.push_function(function);
        lua.set_field(-2, name);
    }
    lua.pop(1);
}

/// Sets a global of the script from the value on top.
pub fn set_global(lua: &Lua, name: &str) {
    lua.get_at(ffi::REGISTRY, REAL_GLOBALS);
    lua.insert(-2);
    lua.set_field(-2, name);
    lua.pop(1);
}

/// Pushes an empty table in front of the one on top, which stays.
fn push_proxy(lua: &Lua) {
    lua.push_table();
    lua.push_table();
    lua.push_value(-3);
    lua.set_field(-2, "__index");
    lua.push_function(read_only);
    lua.set_field(-2, "__newindex");
    lua.push_boolean(false);
    lua.set_field(-2, "__metatable");
    lua.set_metatable(-2);
    lua.get_at(ffi::REGISTRY, PROXIES);
    lua.push_value(-2);
    lua.push_value(-4);
    lua.set(-3);
    lua.pop(1);
}

/// Methods of strings come from the library that scripts see; the globals are on top.
fn protect_strings(lua: &Lua) {
    lua.push_bytes(b"");
    lua.get_metatable(-1);
    lua.get_field(-3, "string");
    lua.set_field(-2, "__index");
    push_proxy(lua);
    lua.set_field(-2, "__metatable");
    lua.pop(2);
}

/// Replaces an argument that stands in front of another table by that; true if it did.
fn look_through(lua: &Lua, argument: c_int) -> bool {
    lua.get_at(ffi::REGISTRY, PROXIES);
    lua.push_value(argument);
    lua.get(-2);
    let is_proxy = lua.is(-1, Kind::Table);
    if is_proxy {
        lua.push_value(-1);
        lua.replace(argument);
    }
    lua.pop(2);
    is_proxy
}

fn check_table(lua: &Lua) -> Result<(), Fail> {
    match lua.kind(1) {
        Kind::Table => Ok(()),
        _ => Err(Fail::wrong_type(lua, 1, "table")),
    }
}

native! {
    pairs => begin_pairs;
    rawget => get_raw;
    setmetatable => change_metatable;
    loadstring => load_string;
    read_only => refuse_write;
    absent_global => refuse_read;
}

fn refuse_write(_: &Lua) -> Result<c_int, Fail> {
    Err(Fail::Text(READ_ONLY.to_owned()))
}

fn refuse_read(lua: &Lua) -> Result<c_int, Fail> {
    let name = lua
        .bytes(2)
        .map(|name| String::from_utf8_lossy(name).into_owned());
    Err(Fail::Text(match name {
        Some(name) => format!("Script attempted to access nonexistent global variable '{name}'"),
        None => "Second argument to luaProtectedTableError must be a string or number".to_owned(),
    }))
}

fn begin_pairs(lua: &Lua) -> Result<c_int, Fail> {
    check_table(lua)?;
    look_through(lua, 1);
    lua.get_at(ffi::REGISTRY, NEXT);
    lua.push_value(1);
    lua.push_nil();
    Ok(3)
}

fn get_raw(lua: &Lua) -> Result<c_int, Fail> {
    check_table(lua)?;
    if lua.is(2, Kind::Absent) {
        return Err(Fail::Argument(2, "value expected".to_owned()));
    }
    look_through(lua, 1);
    lua.set_top(2);
    lua.get(1);
    Ok(1)
}

fn change_metatable(lua: &Lua) -> Result<c_int, Fail> {
    check_table(lua)?;
    if !matches!(lua.kind(2), Kind::Nil | Kind::Table) {
        return Err(Fail::Argument(2, "nil or table expected".to_owned()));
    }
    if look_through(lua, 1) {
        return Err(Fail::Plain(READ_ONLY));
    }
    if lua.get_metatable(1) {
        lua.get_field(-1, "__metatable");
        if !lua.is(-1, Kind::Nil) {
            return Err(Fail::Text("cannot change a protected metatable".to_owned()));
        }
    }
    lua.set_top(2);
    lua.set_metatable(1);
    Ok(1)
}

fn load_string(lua: &Lua) -> Result<c_int, Fail> {
    let text = bytes(lua, 1)?;
    let name = match lua.kind(2) {
        Kind::Absent | Kind::Nil => text,
        _ => bytes(lua, 2)?,
    };
    Ok(load_text(lua, text, name))
}

/// The function of a text, or nil and why there is none. What was compiled before is refused: nothing checks it.
fn load_text(lua: &Lua, text: &[u8], name: &[u8]) -> c_int {
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    let name = CString::new(name).expect("it is cut at the first zero");
    lua.host().spend(text.len() as u64 / 4);
    if text.first() == Some(&0x1b) {
        lua.push_nil();
        lua.push_bytes(b"compiled code is not loaded");
        return 2;
    }
    if lua.load(text, &name) {
        return 1;
    }
    lua.push_nil();
    lua.insert(-2);
    2
}

/// next(table, key)
unsafe extern "C-unwind" fn next(state: *mut State) -> c_int {
    let prepare = |lua: &Lua| {
        check_table(lua)?;
        look_through(lua, 1);
        lua.set_top(2);
        // The first key may stand behind any number of places that are empty by now.
        if lua.is(2, Kind::Nil) {
            lua.host().spend(lua.host().arena.used() >> 10);
        }
        Ok(0)
    };
    // SAFETY: Lua calls this; what may raise an error does so while nothing here has a destructor.
    unsafe {
        let lua = Lua::new(state);
        if run(&lua, prepare).is_none() {
            return ffi::lua_error(state);
        }
        if ffi::lua_next(state, 1) != 0 {
            return 2;
        }
        ffi::lua_pushnil(state);
        1
    }
}

/// rawset(table, key, value)
unsafe extern "C-unwind" fn rawset(state: *mut State) -> c_int {
    let prepare = |lua: &Lua| {
        check_table(lua)?;
        if lua.is(2, Kind::Absent) || lua.is(3, Kind::Absent) {
            let argument = if lua.is(2, Kind::Absent) { 2 } else { 3 };
            return Err(Fail::Argument(argument, "value expected".to_owned()));
        }
        if look_through(lua, 1) {
            return Err(Fail::Plain(READ_ONLY));
        }
        lua.set_top(3);
        Ok(0)
    };
    // SAFETY: Lua calls this; what may raise an error does so while nothing here has a destructor.
    unsafe {
        let lua = Lua::new(state);
        if run(&lua, prepare).is_none() {
            return ffi::lua_error(state);
        }
        ffi::lua_rawset(state, 1);
        1
    }
}

/// tostring(value): no address is told, only an offset that is the same on every replica.
unsafe extern "C-unwind" fn tostring(state: *mut State) -> c_int {
    let inner = |lua: &Lua| {
        match lua.kind(1) {
            Kind::Absent => return Err(Fail::Argument(1, "value expected".to_owned())),
            Kind::Nil => lua.push_bytes(b"nil"),
            Kind::Boolean if lua.boolean(1) => lua.push_bytes(b"true"),
            Kind::Boolean => lua.push_bytes(b"false"),
            Kind::Number | Kind::String => {
                lua.push_value(1);
                lua.bytes(-1);
            }
            Kind::Pointer if lua.is_null(1) => lua.push_bytes(b"userdata: (nil)"),
            kind => {
                let text = format!("{}: 0x{:012x}", kind.name(), lua.offset(1));
                lua.push_bytes(text.as_bytes());
            }
        }
        Ok(1)
    };
    // SAFETY: Lua calls this; a metamethod may raise an error while nothing here has a destructor.
    unsafe {
        if ffi::luaL_callmeta(state, 1, c"__tostring".as_ptr()) != 0 {
            return 1;
        }
        enter(state, inner)
    }
}

/// pcall(function, …): of an error that is a table with a text the text is given, as Redis does.
unsafe extern "C-unwind" fn pcall(state: *mut State) -> c_int {
    let simplify = |lua: &Lua| {
        if lua.is(-1, Kind::Table) {
            lua.get_field(-1, "err");
            if lua.bytes(-1).is_some() {
                lua.replace(-2);
            } else {
                lua.pop(1);
            }
        }
        lua.push_boolean(false);
        lua.insert(-2);
        Ok(2)
    };
    // SAFETY: Lua calls this; what may raise an error does so while nothing here has a destructor.
    unsafe {
        let count = ffi::lua_gettop(state);
        if count == 0 {
            return enter(state, |_| Err(Fail::Argument(1, "value expected".to_owned())));
        }
        if ffi::lua_pcall(state, count - 1, ffi::MULTIPLE, 0) != 0 {
            return enter(state, simplify);
        }
        enter(state, |lua| {
            lua.push_boolean(true);
            lua.insert(1);
            Ok(lua.top())
        })
    }
}

/// load(function, name): a text in pieces.
unsafe extern "C-unwind" fn load(state: *mut State) -> c_int {
    let begin = |lua: &Lua| {
        if !lua.is(1, Kind::Function) {
            return Err(Fail::wrong_type(lua, 1, "function"));
        }
        let name = match lua.kind(2) {
            Kind::Absent | Kind::Nil => b"=(load)",
            _ => bytes(lua, 2)?,
        };
        lua.push_bytes(name);
        lua.replace(2);
        lua.set_top(2);
        lua.push_bytes(b"");
        lua.push_value(1);
        Ok(0)
    };
    // The text so far is argument 3, the next piece on top; 1 to go on.
    let take = |lua: &Lua| {
        let piece = match lua.kind(-1) {
            Kind::Nil => b"",
            Kind::String => lua.bytes(-1).unwrap_or_default(),
            _ => return Err(Fail::Text("reader function must return a string".to_owned())),
        };
        let more = c_int::from(!piece.is_empty());
        let text = [lua.bytes(3).unwrap_or_default(), piece].concat();
        lua.push_bytes(&text);
        lua.replace(3);
        lua.set_top(3);
        if more == 1 {
            lua.push_value(1);
        }
        Ok(more)
    };
    let finish = |lua: &Lua| {
        let (text, name) = (lua.bytes(3).unwrap_or_default(), lua.bytes(2).unwrap_or_default());
        Ok(load_text(lua, text, name))
    };
    // SAFETY: Lua calls this; what may raise an error does so while nothing here has a destructor.
    unsafe {
        let lua = Lua::new(state);
        let mut more = run(&lua, begin).map(|_| 1);
        while more == Some(1) {
            ffi::lua_call(state, 0, 1);
            more = run(&lua, take);
        }
        if more.is_none() {
            return ffi::lua_error(state);
        }
        enter(state, finish)
    }
}
