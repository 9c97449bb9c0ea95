//! The part of Lua 5.1's C interface that is used here, as `lua.h` and `lauxlib.h` declare it.

use std::ffi::{c_char, c_int, c_void};

/// A Lua thread; opaque.
#[repr(C)]
pub struct State {
    _opaque: [u8; 0],
}

pub type Function = unsafe extern "C-unwind" fn(*mut State) -> c_int;
pub type Allocate = unsafe extern "C" fn(*mut c_void, *mut c_void, usize, usize) -> *mut c_void;
pub type Hook = unsafe extern "C-unwind" fn(*mut State, *mut Debug);

pub const REGISTRY: c_int = -10_000;
pub const GLOBALS: c_int = -10_002;
pub const MULTIPLE: c_int = -1;
pub const MASK_COUNT: c_int = 1 << 3;

pub const NONE: c_int = -1;
pub const NIL: c_int = 0;
pub const BOOLEAN: c_int = 1;
pub const LIGHT_USERDATA: c_int = 2;
pub const NUMBER: c_int = 3;
pub const STRING: c_int = 4;
pub const TABLE: c_int = 5;
pub const FUNCTION: c_int = 6;
pub const USERDATA: c_int = 7;
pub const THREAD: c_int = 8;

/// Bytes of [`Debug::short_src`].
const SHORT_SOURCE_BYTES: usize = 60;

/// What `lua_getinfo` tells of a function.
#[repr(C)]
pub struct Debug {
    pub event: c_int,
    pub name: *const c_char,
    pub name_what: *const c_char,
    pub what: *const c_char,
    pub source: *const c_char,
    pub current_line: c_int,
    pub upvalue_count: c_int,
    pub line_defined: c_int,
    pub last_line_defined: c_int,
    pub short_source: [c_char; SHORT_SOURCE_BYTES],
    pub call_index: c_int,
}

unsafe extern "C-unwind" {
    pub fn lua_newstate(allocate: Allocate, data: *mut c_void) -> *mut State;
    pub fn lua_getallocf(state: *mut State, data: *mut *mut c_void) -> Allocate;
    pub fn lua_gettop(state: *mut State) -> c_int;
    pub fn lua_settop(state: *mut State, index: c_int);
    pub fn lua_pushvalue(state: *mut State, index: c_int);
    pub fn lua_insert(state: *mut State, index: c_int);
    pub fn lua_replace(state: *mut State, index: c_int);
    pub fn lua_checkstack(state: *mut State, size: c_int) -> c_int;
    pub fn lua_isnumber(state: *mut State, index: c_int) -> c_int;
    pub fn lua_type(state: *mut State, index: c_int) -> c_int;
    pub fn lua_rawequal(state: *mut State, left: c_int, right: c_int) -> c_int;
    pub fn lua_tonumber(state: *mut State, index: c_int) -> f64;
    pub fn lua_toboolean(state: *mut State, index: c_int) -> c_int;
    pub fn lua_tolstring(state: *mut State, index: c_int, bytes: *mut usize) -> *const c_char;
    pub fn lua_tocfunction(state: *mut State, index: c_int) -> Option<Function>;
    pub fn lua_objlen(state: *mut State, index: c_int) -> usize;
    pub fn lua_touserdata(state: *mut State, index: c_int) -> *mut c_void;
    pub fn lua_topointer(state: *mut State, index: c_int) -> *const c_void;
    pub fn lua_pushnil(state: *mut State);
    pub fn lua_pushnumber(state: *mut State, number: f64);
    pub fn lua_pushlstring(state: *mut State, bytes: *const c_char, length: usize);
    pub fn lua_pushcclosure(state: *mut State, function: Function, upvalues: c_int);
    pub fn lua_pushboolean(state: *mut State, value: c_int);
    pub fn lua_pushlightuserdata(state: *mut State, pointer: *mut c_void);
    pub fn lua_rawget(state: *mut State, index: c_int);
    pub fn lua_rawgeti(state: *mut State, index: c_int, at: c_int);
    pub fn lua_createtable(state: *mut State, array: c_int, record: c_int);
    pub fn lua_getmetatable(state: *mut State, index: c_int) -> c_int;
    pub fn lua_rawset(state: *mut State, index: c_int);
    pub fn lua_rawseti(state: *mut State, index: c_int, at: c_int);
    pub fn lua_setmetatable(state: *mut State, index: c_int) -> c_int;
    pub fn lua_call(state: *mut State, arguments: c_int, results: c_int);
    pub fn lua_pcall(state: *mut State, arguments: c_int, results: c_int, handler: c_int) -> c_int;
    pub fn lua_error(state: *mut State) -> c_int;
    pub fn lua_next(state: *mut State, index: c_int) -> c_int;
    pub fn lua_sethook(state: *mut State, hook: Option<Hook>, mask: c_int, count: c_int) -> c_int;
    pub fn lua_getstack(state: *mut State, level: c_int, debug: *mut Debug) -> c_int;
    pub fn lua_getinfo(state: *mut State, what: *const c_char, debug: *mut Debug) -> c_int;
    pub fn luaL_loadbuffer(
        state: *mut State,
        bytes: *const c_char,
        length: usize,
        name: *const c_char,
    ) -> c_int;
    pub fn luaL_callmeta(state: *mut State, index: c_int, event: *const c_char) -> c_int;
    pub fn luaopen_base(state: *mut State) -> c_int;
    pub fn luaopen_table(state: *mut State) -> c_int;
    pub fn luaopen_string(state: *mut State) -> c_int;
    pub fn luaopen_math(state: *mut State) -> c_int;
}
