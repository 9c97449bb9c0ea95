//! What a machine is given, and how it comes back.

#[cfg(doc)]
use super::Machine;

/// A script and all that it is given.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    /// Its text, without a first line that begins with `#!`.
    pub body: &'a [u8],
    /// What it finds as `KEYS`.
    pub keys: &'a [&'a [u8]],
    /// What it finds as `ARGV`.
    pub arguments: &'a [&'a [u8]],
    /// Its name in error texts: the SHA-1 of the whole text.
    pub sha1: &'a [u8],
    /// What `math.random` begins with.
    pub seed: u32,
    /// Protocol of the reply.
    pub is_resp3: bool,
}

/// A function of a library, and what a call of it is given.
#[derive(Clone, Copy, Debug)]
pub struct FunctionCall<'a> {
    /// The library's text, without its first line.
    pub body: &'a [u8],
    /// The function's name, in any case.
    pub name: &'a [u8],
    /// Its first argument.
    pub keys: &'a [&'a [u8]],
    /// Its second argument.
    pub arguments: &'a [&'a [u8]],
    /// What `math.random` begins with.
    pub seed: u32,
    /// Protocol of the reply.
    pub is_resp3: bool,
}

/// A function that a library has registered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// Its name, as the library says it.
    pub name: Vec<u8>,
    /// What it says of itself, if it does.
    pub description: Option<Vec<u8>>,
    /// Its flags: names among [`FUNCTION_FLAGS`], in the order of that list.
    pub flags: u8,
}

impl Registered {
    /// True if it has the flag of this name.
    pub fn says(&self, flag: &str) -> bool {
        let bit = FUNCTION_FLAGS.iter().position(|known| *known == flag);
        bit.is_some_and(|bit| self.flags >> bit & 1 == 1)
    }
}

/// Names of the flags of a function; the bit of each is its place.
pub const FUNCTION_FLAGS: [&str; 5] = [
    "no-writes",
    "allow-oom",
    "allow-stale",
    "no-cluster",
    "allow-cross-slot-keys",
];

/// What a machine is to do with what was compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// To run it, as a script.
    Script,
    /// To run it as a library, which registers functions.
    Load,
    /// The same, and to call one of them.
    Call(Vec<u8>),
}

/// What a script may use. Part of its meaning: the same on every replica.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Instructions of Lua, or as much other work.
    pub instructions: u64,
    /// Bytes of memory, those of an empty machine included.
    pub memory_bytes: u64,
}

/// How a script calls a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// `redis.call`: an error of the command is raised.
    Raising,
    /// `redis.pcall`: it is a value.
    Protected,
    /// `redis.acl_check_cmd`: nothing is executed; the answer is 1, 0, or an error.
    MayRun,
}

/// Why [`Machine::resume`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The slice is used up.
    Paused,
    /// The script calls a command: see [`Machine::words`], and [`Machine::answer`] before it is resumed.
    Call(CallKind),
    /// It is over; see [`Machine::reply`].
    Done,
}
