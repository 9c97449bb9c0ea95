//! A Lua thread as functions of Rust see it.
//!
//! Every method but [`Lua::call`] is one that cannot raise an error: tables are read and written without
//! metamethods, room on the stack is asked for before, and while a function of this crate runs the allocator is
//! patient (see [`crate::arena`]). So none of them leaves a function of Rust by a long jump.

use std::ffi::{CStr, c_int};
use std::ptr;
use std::slice;

use crate::ffi::{self, Debug, State};
use crate::host::Host;

/// What kind of value it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Absent,
    Nil,
    Boolean,
    Pointer,
    Number,
    String,
    Table,
    Function,
    Userdata,
    Thread,
}

impl Kind {
    /// The name that Lua gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Absent => "no value",
            Self::Nil => "nil",
            Self::Boolean => "boolean",
            Self::Pointer | Self::Userdata => "userdata",
            Self::Number => "number",
            Self::String => "string",
            Self::Table => "table",
            Self::Function => "function",
            Self::Thread => "thread",
        }
    }
}

/// Where a function was called, as error texts tell it.
#[derive(Clone, Debug)]
pub struct Place {
    pub is_native: bool,
    /// With the mark in front, as the chunk was named.
    pub source: Vec<u8>,
    pub short_source: Vec<u8>,
    pub line: i32,
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Lua(*mut State);

impl Lua {
    /// # Safety
    /// The thread lives, in the memory of a [`Host`], and as long as this is used.
    pub unsafe fn new(state: *mut State) -> Self {
        Self(state)
    }

    pub fn raw(&self) -> *mut State {
        self.0
    }

    /// What Rust keeps of it.
    pub fn host(&self) -> &Host {
        let mut data = ptr::null_mut();
        // SAFETY: the data of the allocator of every state of this crate is its host, which outlives it.
        unsafe {
            ffi::lua_getallocf(self.0, &raw mut data);
            &*data.cast::<Host>()
        }
    }

    pub fn top(&self) -> c_int {
        // SAFETY: it only looks.
        unsafe { ffi::lua_gettop(self.0) }
    }

    pub fn set_top(&self, index: c_int) {
        // SAFETY: callers only take off, or grow within the room that they asked for.
        unsafe { ffi::lua_settop(self.0, index) };
    }

    pub fn pop(&self, count: c_int) {
        self.set_top(-count - 1);
    }

    /// Whether so many values more can be pushed.
    pub fn has_room(&self, count: c_int) -> bool {
        let here = (&raw const count).addr();
        // SAFETY: the allocator is patient, so it answers and raises nothing.
        here > self.host().stack_floor.get() && unsafe { ffi::lua_checkstack(self.0, count) != 0 }
    }

    pub fn push_value(&self, index: c_int) {
        // SAFETY: the index is of a value, and there is room.
        unsafe { ffi::lua_pushvalue(self.0, index) };
    }

    pub fn insert(&self, index: c_int) {
        // SAFETY: the index is of a value on the stack.
        unsafe { ffi::lua_insert(self.0, index) };
    }

    pub fn replace(&self, index: c_int) {
        // SAFETY: the index is of a value on the stack, or of the globals, which a table replaces.
        unsafe { ffi::lua_replace(self.0, index) };
    }

    pub fn kind(&self, index: c_int) -> Kind {
        // SAFETY: it only looks, at any index.
        match unsafe { ffi::lua_type(self.0, index) } {
            ffi::NIL => Kind::Nil,
            ffi::BOOLEAN => Kind::Boolean,
            ffi::LIGHT_USERDATA => Kind::Pointer,
            ffi::NUMBER => Kind::Number,
            ffi::STRING => Kind::String,
            ffi::TABLE => Kind::Table,
            ffi::FUNCTION => Kind::Function,
            ffi::USERDATA => Kind::Userdata,
            ffi::THREAD => Kind::Thread,
            ffi::NONE => Kind::Absent,
            other => unreachable!("Lua 5.1 has no type {other}"),
        }
    }

    pub fn is(&self, index: c_int, kind: Kind) -> bool {
        self.kind(index) == kind
    }

    pub fn is_equal(&self, left: c_int, right: c_int) -> bool {
        // SAFETY: it compares without metamethods.
        unsafe { ffi::lua_rawequal(self.0, left, right) != 0 }
    }

    /// A number, or a string that reads as one.
    pub fn number(&self, index: c_int) -> Option<f64> {
        // SAFETY: both only look.
        unsafe { (ffi::lua_isnumber(self.0, index) != 0).then(|| ffi::lua_tonumber(self.0, index)) }
    }

    pub fn boolean(&self, index: c_int) -> bool {
        // SAFETY: it only looks.
        unsafe { ffi::lua_toboolean(self.0, index) != 0 }
    }

    /// A string; a number becomes one where it stands, so this is not for a key of a table that is walked.
    pub fn bytes(&self, index: c_int) -> Option<&[u8]> {
        if !matches!(self.kind(index), Kind::String | Kind::Number) {
            return None;
        }
        let mut bytes = 0;
        // SAFETY: the string lives while its value is on the stack, and callers keep it there while they look.
        unsafe {
            let begin = ffi::lua_tolstring(self.0, index, &raw mut bytes);
            Some(slice::from_raw_parts(begin.cast(), bytes))
        }
    }

    /// Length of a string, or of the part of a table that is an array.
    pub fn length(&self, index: c_int) -> usize {
        // SAFETY: it only looks, and without metamethods.
        unsafe { ffi::lua_objlen(self.0, index) }
    }

    /// An address as scripts may see it: an offset.
    pub fn offset(&self, index: c_int) -> usize {
        // SAFETY: it only looks.
        self.host()
            .arena
            .offset_of(unsafe { ffi::lua_topointer(self.0, index) })
    }

    /// True for the pointer to nothing.
    pub fn is_null(&self, index: c_int) -> bool {
        // SAFETY: it only looks.
        self.is(index, Kind::Pointer) && unsafe { ffi::lua_touserdata(self.0, index).is_null() }
    }

    pub fn push_nil(&self) {
        // SAFETY: callers asked for room.
        unsafe { ffi::lua_pushnil(self.0) };
    }

    pub fn push_null(&self) {
        // SAFETY: callers asked for room; nobody looks where it points to.
        unsafe { ffi::lua_pushlightuserdata(self.0, ptr::null_mut()) };
    }

    pub fn push_number(&self, number: f64) {
        // SAFETY: callers asked for room.
        unsafe { ffi::lua_pushnumber(self.0, number) };
    }

    pub fn push_boolean(&self, value: bool) {
        // SAFETY: callers asked for room.
        unsafe { ffi::lua_pushboolean(self.0, c_int::from(value)) };
    }

    pub fn push_bytes(&self, bytes: &[u8]) {
        // SAFETY: Lua copies the bytes; callers asked for room, and the allocator is patient.
        unsafe { ffi::lua_pushlstring(self.0, bytes.as_ptr().cast(), bytes.len()) };
    }

    pub fn push_function(&self, function: ffi::Function) {
        // SAFETY: callers asked for room, and the allocator is patient.
        unsafe { ffi::lua_pushcclosure(self.0, function, 0) };
    }

    /// Replaces the value on top by a closure over it.
    pub fn close_over(&self, function: ffi::Function) {
        // SAFETY: a value is on top, and the allocator is patient.
        unsafe { ffi::lua_pushcclosure(self.0, function, 1) };
    }

    pub fn push_table(&self) {
        // SAFETY: callers asked for room, and the allocator is patient.
        unsafe { ffi::lua_createtable(self.0, 0, 0) };
    }

    /// Replaces the key on top by its value in the table.
    pub fn get(&self, table: c_int) {
        // SAFETY: the index is of a table, a key is on top.
        unsafe { ffi::lua_rawget(self.0, table) };
    }

    /// Pushes what a table has under a name.
    pub fn get_field(&self, table: c_int, name: &str) {
        let table = self.absolute(table);
        self.push_bytes(name.as_bytes());
        self.get(table);
    }

    /// Pushes an element of an array.
    pub fn get_at(&self, table: c_int, at: c_int) {
        // SAFETY: the index is of a table, and there is room.
        unsafe { ffi::lua_rawgeti(self.0, table, at) };
    }

    /// Takes value and key off and puts them into the table. The key is neither nil nor NaN.
    pub fn set(&self, table: c_int) {
        // SAFETY: the index is of a table, key and value are on top, and the key can be one.
        unsafe { ffi::lua_rawset(self.0, table) };
    }

    /// Takes the value off and puts it into the table under a name.
    pub fn set_field(&self, table: c_int, name: &str) {
        let table = self.absolute(table);
        self.push_bytes(name.as_bytes());
        self.insert(-2);
        self.set(table);
    }

    /// Takes the value off and makes it an element of an array.
    pub fn set_at(&self, table: c_int, at: c_int) {
        // SAFETY: the index is of a table, and a value is on top.
        unsafe { ffi::lua_rawseti(self.0, table, at) };
    }

    /// Goes on from the key on top: pushes the next key and its value, or takes the key off and says no. The key is
    /// nil, or one that the table has.
    pub fn next(&self, table: c_int) -> bool {
        // SAFETY: the index is of a table, and the key is one of it.
        unsafe { ffi::lua_next(self.0, table) != 0 }
    }

    /// Pushes the metatable of a value, if it has one.
    pub fn get_metatable(&self, index: c_int) -> bool {
        // SAFETY: it only looks, and there is room.
        unsafe { ffi::lua_getmetatable(self.0, index) != 0 }
    }

    /// Takes a table off and makes it the metatable of a value.
    pub fn set_metatable(&self, index: c_int) {
        // SAFETY: a table is on top.
        unsafe { ffi::lua_setmetatable(self.0, index) };
    }

    /// Compiles a text: its function, or the error text, is pushed. The allocator need not be patient: what it
    /// raises is caught.
    pub fn load(&self, text: &[u8], name: &CStr) -> bool {
        // SAFETY: the text is no compiled one, callers looked; the name ends with a zero.
        unsafe { ffi::luaL_loadbuffer(self.0, text.as_ptr().cast(), text.len(), name.as_ptr()) == 0 }
    }

    /// Calls a function of the standard library that prepares itself.
    pub fn open(&self, open: ffi::Function, name: &str) {
        self.push_function(open);
        self.push_bytes(name.as_bytes());
        // SAFETY: the libraries raise nothing while there is memory.
        unsafe { ffi::lua_call(self.0, 1, 0) };
    }

    /// Where the function of this level was called; level 0 is the one that runs.
    pub fn place(&self, level: c_int) -> Option<Place> {
        let debug = self.debug(level, c"Sl")?;
        // SAFETY: Lua filled these with texts that end with a zero.
        unsafe {
            Some(Place {
                is_native: CStr::from_ptr(debug.what).to_bytes() == b"C",
                source: CStr::from_ptr(debug.source).to_bytes().to_vec(),
                short_source: CStr::from_ptr(debug.short_source.as_ptr()).to_bytes().to_vec(),
                line: debug.current_line,
            })
        }
    }

    /// By which name the running function was called, and whether as a method.
    pub fn called_as(&self) -> (Vec<u8>, bool) {
        let Some(debug) = self.debug(0, c"n").filter(|debug| !debug.name.is_null()) else {
            return (b"?".to_vec(), false);
        };
        // SAFETY: Lua filled these with texts that end with a zero.
        unsafe {
            (
                CStr::from_ptr(debug.name).to_bytes().to_vec(),
                CStr::from_ptr(debug.name_what).to_bytes() == b"method",
            )
        }
    }

    fn debug(&self, level: c_int, what: &CStr) -> Option<Debug> {
        // SAFETY: an all-zero record is one; Lua fills in what is asked for of a level that it has.
        unsafe {
            let mut debug: Debug = std::mem::zeroed();
            let is_there = ffi::lua_getstack(self.0, level, &raw mut debug) != 0
                && ffi::lua_getinfo(self.0, what.as_ptr(), &raw mut debug) != 0;
            is_there.then_some(debug)
        }
    }

    /// The index counted from the bottom.
    pub fn absolute(&self, index: c_int) -> c_int {
        if index < 0 && index > ffi::REGISTRY {
            self.top() + index + 1
        } else {
            index
        }
    }
}
