//! How Lua calls functions of Rust, and how these fail.
//!
//! Lua leaves a function that fails by a long jump, which skips destructors. So what does the work is an ordinary
//! function that returns a [`Fail`]; only when all that it owned is gone, [`enter`] raises the error.

use std::ffi::c_int;

use crate::ffi::{self, State};
use crate::lua::{Kind, Lua};

/// Why a function fails.
#[derive(Debug)]
pub enum Fail {
    /// An argument is wrong; Lua's text about it.
    Argument(c_int, String),
    /// A text, in front of which is where the function was called.
    Text(String),
    /// A text alone.
    Plain(&'static str),
    /// The value on top of the stack.
    Value,
}

/// What Lua says when there is no memory.
pub const NO_MEMORY: &str = "not enough memory";

/// A function of Rust: takes its arguments from the stack and returns how many results are on top of it.
pub type Inner = fn(&Lua) -> Result<c_int, Fail>;

impl Fail {
    /// An argument of another type than it should be.
    pub fn wrong_type(lua: &Lua, argument: c_int, expected: &str) -> Self {
        let got = lua.kind(argument).name();
        Self::Argument(argument, format!("{expected} expected, got {got}"))
    }

    /// Puts the value that is raised on the stack.
    fn push(self, lua: &Lua) {
        match self {
            Self::Value => {}
            Self::Plain(text) => lua.push_bytes(text.as_bytes()),
            Self::Text(text) => push_placed(lua, text.as_bytes()),
            Self::Argument(argument, text) => {
                let (name, is_method) = lua.called_as();
                let name = String::from_utf8_lossy(&name);
                let text = match (argument - c_int::from(is_method), is_method) {
                    (0, true) => format!("calling '{name}' on bad self ({text})"),
                    (argument, _) => format!("bad argument #{argument} to '{name}' ({text})"),
                };
                push_placed(lua, text.as_bytes());
            }
        }
    }
}

fn push_placed(lua: &Lua, text: &[u8]) {
    let mut placed = Vec::new();
    if let Some(place) = lua.place(1).filter(|place| place.line > 0) {
        placed = place.short_source;
        placed.extend_from_slice(format!(":{}: ", place.line).as_bytes());
    }
    placed.extend_from_slice(text);
    lua.push_bytes(&placed);
}

/// Calls a function of Rust while the allocator is patient; `None` if it failed, and what is to be raised is on top.
pub fn run(lua: &Lua, inner: Inner) -> Option<c_int> {
    let arena = &lua.host().arena;
    let was = arena.set_patient(true);
    let fail = if lua.has_room(20) {
        inner(lua)
    } else {
        Err(Fail::Text("stack overflow".to_owned()))
    };
    let results = match fail {
        Ok(_) if arena.is_overdrawn() => {
            lua.push_bytes(NO_MEMORY.as_bytes());
            None
        }
        Ok(results) => Some(results),
        Err(fail) => {
            fail.push(lua);
            None
        }
    };
    arena.set_patient(was);
    results
}

/// Calls a function of Rust, and raises its error.
///
/// # Safety
/// Lua calls this.
pub unsafe fn enter(state: *mut State, inner: Inner) -> c_int {
    // SAFETY: Lua gives a thread that lives.
    let lua = unsafe { Lua::new(state) };
    match run(&lua, inner) {
        Some(results) => results,
        // SAFETY: nothing on this frame has a destructor, and the value is on top.
        None => unsafe { ffi::lua_error(state) },
    }
}

/// A number as an argument.
///
/// # Errors
/// If it is none.
pub fn number(lua: &Lua, argument: c_int) -> Result<f64, Fail> {
    lua.number(argument)
        .ok_or_else(|| Fail::wrong_type(lua, argument, "number"))
}

/// A number as an argument, as C converts it.
///
/// # Errors
/// If it is none.
pub fn integer(lua: &Lua, argument: c_int) -> Result<i64, Fail> {
    number(lua, argument).map(crate::number::truncated)
}

/// An integer as an argument that may be left out.
///
/// # Errors
/// If it is something else.
pub fn integer_or(lua: &Lua, argument: c_int, otherwise: i64) -> Result<i64, Fail> {
    match lua.kind(argument) {
        Kind::Absent | Kind::Nil => Ok(otherwise),
        _ => integer(lua, argument),
    }
}

/// A string as an argument.
///
/// # Errors
/// If it is none.
pub fn bytes(lua: &Lua, argument: c_int) -> Result<&[u8], Fail> {
    lua.bytes(argument)
        .ok_or_else(|| Fail::wrong_type(lua, argument, "string"))
}

/// Defines functions that Lua can call, each by the function of Rust that does its work.
macro_rules! native {
    ($($(#[$doc:meta])* $name:ident => $inner:expr;)*) => {
        $(
            $(#[$doc])*
            pub unsafe extern "C-unwind" fn $name(state: *mut $crate::ffi::State) -> std::ffi::c_int {
                // SAFETY: only Lua calls it.
                unsafe { $crate::trampoline::enter(state, $inner) }
            }
        )*
    };
}
pub(crate) use native;
