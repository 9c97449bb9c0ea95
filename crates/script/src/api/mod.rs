//! The library `redis`.

mod register;

use std::ffi::c_int;

use crate::ffi::{self, State};
use crate::host::Pause;
use crate::lua::{Kind, Lua};
use crate::machine::CallKind;
use crate::number::general;
use crate::reply::push_answer;
use crate::sha1::sha1_hex;
use crate::trampoline::{Fail, native, run};

pub use register::is_name;

/// What a call of a command costs beside its bytes.
const CALL_COST: u64 = 200;
/// Bytes that cost one instruction when they go to a command or come from it.
const BYTES_PER_INSTRUCTION: usize = 16;
/// The release whose scripts these are.
const VERSION: (&str, f64) = ("7.0.15", 458_767.0);

const FUNCTIONS: [(&str, ffi::Function); 12] = [
    ("call", call),
    ("pcall", protected_call),
    ("acl_check_cmd", acl_check),
    ("error_reply", error_reply),
    ("status_reply", status_reply),
    ("sha1hex", sha1hex),
    ("log", log),
    ("setresp", setresp),
    ("replicate_commands", replicate_commands),
    ("set_repl", set_repl),
    ("breakpoint", breakpoint),
    ("debug", debug),
];
const NUMBERS: [(&str, f64); 10] = [
    ("LOG_DEBUG", 0.0),
    ("LOG_VERBOSE", 1.0),
    ("LOG_NOTICE", 2.0),
    ("LOG_WARNING", 3.0),
    ("REPL_NONE", 0.0),
    ("REPL_AOF", 1.0),
    (repligo_proto::words::SCRIPT_FOLLOWER_FLAG, 2.0),
    ("REPL_REPLICA", 2.0),
    ("REPL_ALL", 3.0),
    ("REDIS_VERSION_NUM", VERSION.1),
];

/// Pushes the library.
pub fn push_library(lua: &Lua) {
    lua.push_table();
    for (name, function) in FUNCTIONS {
        lua.push_function(function);
        lua.set_field(-2, name);
    }
    for (name, number) in NUMBERS {
        lua.push_number(number);
        lua.set_field(-2, name);
    }
    lua.push_bytes(VERSION.0.as_bytes());
    lua.set_field(-2, "REDIS_VERSION");
}

/// Pushes what a library finds of it while it is loaded.
pub fn push_loading_library(lua: &Lua) {
    lua.push_table();
    lua.push_function(register::register_function);
    lua.set_field(-2, "register_function");
    lua.push_function(log);
    lua.set_field(-2, "log");
    for (name, number) in NUMBERS {
        if !name.starts_with("REPL_") {
            lua.push_number(number);
            lua.set_field(-2, name);
        }
    }
    lua.push_bytes(VERSION.0.as_bytes());
    lua.set_field(-2, "REDIS_VERSION");
}

/// Pushes a table that is an error.
fn push_error(lua: &Lua, text: &str) {
    lua.push_table();
    lua.push_bytes(text.as_bytes());
    lua.set_field(-2, "err");
}

/// Raises a table that is an error.
fn refused(lua: &Lua, text: &str) -> Fail {
    push_error(lua, text);
    Fail::Value
}

/// Takes the words of a command from the arguments.
fn gather(lua: &Lua) -> Result<c_int, Fail> {
    let count = lua.top();
    if count == 0 {
        return Err(refused(
            lua,
            "ERR Please specify at least one argument for this redis lib call",
        ));
    }
    let mut words = lua.host().words.borrow_mut();
    words.clear();
    for argument in 1..=count {
        match lua.kind(argument) {
            // Not as Lua prints numbers, which has three digits less.
            Kind::Number => {
                let number = lua.number(argument).unwrap_or_default();
                words.push(general(number, 17).as_bytes());
            }
            Kind::String => words.push(lua.bytes(argument).unwrap_or_default()),
            _ => {
                let text = "ERR Lua redis lib command arguments must be strings or integers";
                return Err(refused(lua, text));
            }
        }
    }
    let bytes = words.bytes.len();
    drop(words);
    lua.host()
        .spend(CALL_COST + (bytes / BYTES_PER_INSTRUCTION) as u64);
    Ok(0)
}

/// Pushes the answer as a value; 2 if it is to be raised.
fn accept(lua: &Lua) -> Result<c_int, Fail> {
    lua.set_top(0);
    let answer = lua.host().answer.take();
    lua.host().spend((answer.len() / BYTES_PER_INSTRUCTION) as u64);
    let is_error = push_answer(lua, &answer)?;
    Ok(if is_error { 2 } else { 1 })
}

/// Lets the driver execute the command.
///
/// # Safety
/// Lua calls this.
unsafe fn call_command(state: *mut State, kind: CallKind) -> c_int {
    // SAFETY: Lua gives a thread that lives; errors are raised, and the script stands still, while nothing here has a
    // destructor.
    unsafe {
        let lua = Lua::new(state);
        if run(&lua, gather).is_none() {
            return match kind {
                CallKind::Protected => 1,
                _ => ffi::lua_error(state),
            };
        }
        lua.host().pause(Pause::Call(kind));
        match (run(&lua, accept), kind) {
            (Some(2), CallKind::Raising | CallKind::MayRun) | (None, _) => ffi::lua_error(state),
            (Some(_), _) => 1,
        }
    }
}

unsafe extern "C-unwind" fn call(state: *mut State) -> c_int {
    // SAFETY: Lua calls this.
    unsafe { call_command(state, CallKind::Raising) }
}

unsafe extern "C-unwind" fn protected_call(state: *mut State) -> c_int {
    // SAFETY: Lua calls this.
    unsafe { call_command(state, CallKind::Protected) }
}

unsafe extern "C-unwind" fn acl_check(state: *mut State) -> c_int {
    let to_boolean = |lua: &Lua| {
        let may = lua.number(-1) == Some(1.0);
        lua.push_boolean(may);
        Ok(1)
    };
    // SAFETY: Lua calls this; nothing here has a destructor.
    unsafe {
        call_command(state, CallKind::MayRun);
        crate::trampoline::enter(state, to_boolean)
    }
}

native! {
    error_reply => make_error;
    status_reply => make_status;
    sha1hex => make_sha1;
    log => check_log;
    setresp => set_protocol;
    replicate_commands => say_yes;
    set_repl => check_replication;
    breakpoint => say_no;
    debug => ignore;
}

/// The only argument, if it is a string; else the error that is returned instead.
fn only_string(lua: &Lua) -> Option<&[u8]> {
    if lua.top() == 1 && lua.is(1, Kind::String) {
        return lua.bytes(1);
    }
    push_error(lua, "ERR wrong number or type of arguments");
    None
}

/// `CODE text` and `-CODE text` are what they are; a single word becomes the text of a general error.
fn make_error(lua: &Lua) -> Result<c_int, Fail> {
    let Some(text) = only_string(lua) else {
        return Ok(1);
    };
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
    let text = &text[..end.map_or(0, |at| at + 1)];
    let whole = match text.contains(&b' ') {
        true => text.to_vec(),
        false => [b"ERR ", text].concat(),
    };
    lua.push_table();
    lua.push_bytes(&whole);
    lua.set_field(-2, "err");
    Ok(1)
}

fn make_status(lua: &Lua) -> Result<c_int, Fail> {
    let Some(text) = only_string(lua) else {
        return Ok(1);
    };
    lua.push_table();
    lua.push_bytes(text);
    lua.set_field(-2, "ok");
    Ok(1)
}

fn make_sha1(lua: &Lua) -> Result<c_int, Fail> {
    if lua.top() != 1 {
        return Err(refused(lua, "ERR wrong number of arguments"));
    }
    let bytes = lua.bytes(1).unwrap_or_default();
    lua.host().spend(bytes.len() as u64 / 2);
    lua.push_bytes(&sha1_hex(bytes));
    Ok(1)
}

/// Nothing is logged: every replica executes the script.
fn check_log(lua: &Lua) -> Result<c_int, Fail> {
    if lua.top() < 2 {
        return Err(refused(lua, "ERR redis.log() requires two arguments or more."));
    }
    if !lua.is(1, Kind::Number) {
        return Err(refused(lua, "ERR First argument must be a number (log level)."));
    }
    match lua.number(1) {
        Some(level) if (0.0..4.0).contains(&level) => Ok(0),
        _ => Err(refused(lua, "ERR Invalid debug level.")),
    }
}

fn set_protocol(lua: &Lua) -> Result<c_int, Fail> {
    if lua.top() != 1 {
        return Err(refused(lua, "ERR redis.setresp() requires one argument."));
    }
    match lua.number(1).map(crate::number::truncated) {
        Some(version @ 2..=3) if lua.is(1, Kind::Number) => lua.host().is_resp3.set(version == 3),
        _ => return Err(refused(lua, "ERR RESP version must be 2 or 3.")),
    }
    Ok(0)
}

fn check_replication(lua: &Lua) -> Result<c_int, Fail> {
    if lua.top() != 1 {
        return Err(refused(lua, "ERR redis.set_repl() requires two arguments."));
    }
    match lua.number(1) {
        Some(flags) if (0.0..4.0).contains(&flags) => Ok(0),
        _ => {
            let text = "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.";
            Err(refused(lua, text))
        }
    }
}

fn say_yes(lua: &Lua) -> Result<c_int, Fail> {
    lua.push_boolean(true);
    Ok(1)
}

fn say_no(lua: &Lua) -> Result<c_int, Fail> {
    lua.push_boolean(false);
    Ok(1)
}

fn ignore(_: &Lua) -> Result<c_int, Fail> {
    Ok(0)
}
