//! Scripts: EVAL and its relatives, the cache that knows scripts by their SHA-1, and libraries of functions.
//!
//! A script is one command of the log and is executed by every replica, in slices ([`task`]), by the machine of
//! `repligo-script`; `inner` executes the commands that it calls. One that only reads is a read and never in the log.
//!
//! Invariants: what a script changes follows from its op, from the state before it and from the time of its entry.
//! Commands whose answers differ from replica to replica are told otherwise inside a script that may write, or
//! refused. The cache and the libraries are part of the replicated state.

mod cache;
mod functions;
mod inner;
mod libraries;
mod task;

use std::sync::Arc;

use repligo_proto::words;

use super::Keyspace;
use super::handlers::{Handler, script};
use crate::acl::User;
use crate::command::CommandError;
use crate::origin::OriginMap;

pub(super) use cache::ScriptCache;
pub(super) use libraries::Libraries;
pub(super) use task::{Machines, ScriptTask};

/// All commands of this family.
pub(super) const HANDLERS: &[Handler] = &[
    script("eval"),
    script("evalsha"),
    script("eval_ro"),
    script("evalsha_ro"),
    script("script|load"),
    script("script|exists"),
    script("script|flush"),
    script("fcall"),
    script("fcall_ro"),
    script("function|load"),
    script("function|delete"),
    script("function|flush"),
    script("function|list"),
    script("function|dump"),
    script("function|restore"),
    script("function|stats"),
];

/// By what a script's commands are judged.
#[derive(Clone, Debug, Default)]
pub struct ScriptRights {
    /// Its user; `None` for one that may do everything.
    pub user: Option<Arc<User>>,
    /// Keys with an origin, which no script may touch.
    pub origin: Option<Arc<OriginMap>>,
    /// The entry refuses what would add memory.
    pub refuses_growth: bool,
}

/// What the first line of a script says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shebang {
    /// Where the text begins that is compiled: the end of that line.
    begin: usize,
    /// There is such a line.
    is_there: bool,
    no_writes: bool,
    allow_oom: bool,
}

impl Shebang {
    /// Reads the first line, if it begins with `#!`.
    fn of(text: &[u8]) -> Result<Self, CommandError> {
        let mut shebang = Self::default();
        if !text.starts_with(b"#!") {
            return Ok(shebang);
        }
        shebang.is_there = true;
        let Some(end) = text.iter().position(|&byte| byte == b'\n') else {
            return Err(CommandError::fixed(words::script::INVALID_SHEBANG));
        };
        shebang.begin = end;
        let quoted = |text: &str, word: &[u8]| CommandError::composed([text.as_bytes(), word].concat());
        let mut parts = text[..end]
            .split(|&byte| byte == b' ')
            .filter(|part| !part.is_empty());
        let engine = parts.next().unwrap_or_default();
        if engine != b"#!lua" {
            return Err(quoted(words::script::UNEXPECTED_ENGINE, engine));
        }
        for part in parts {
            let Some(flags) = part.strip_prefix(b"flags=") else {
                return Err(quoted(words::script::UNKNOWN_OPTION, part));
            };
            for flag in flags.split(|&byte| byte == b',').filter(|flag| !flag.is_empty()) {
                match flag {
                    b"no-writes" => shebang.no_writes = true,
                    b"allow-oom" => shebang.allow_oom = true,
                    b"allow-stale" | b"no-cluster" | b"allow-cross-slot-keys" => {}
                    other => return Err(quoted(words::script::UNEXPECTED_FLAG, other)),
                }
            }
        }
        Ok(shebang)
    }
}

/// True for a script whose first line says that it only reads.
pub(crate) fn says_no_writes(text: &[u8]) -> bool {
    text.starts_with(b"#!") && Shebang::of(text).is_ok_and(|shebang| shebang.no_writes)
}

impl Keyspace {
    /// True if what EVALSHA or FCALL calls is known here and says of itself that it writes nothing.
    pub fn calls_reader(&self, command: &str, called: &[u8]) -> bool {
        match command {
            "evalsha" => self.scripts.get(called).is_some_and(|text| says_no_writes(text)),
            "fcall" => {
                let function = self.libraries.find(called);
                function.is_some_and(|(_, function)| function.says("no-writes"))
            }
            _ => false,
        }
    }

    /// Scripts that EVALSHA knows, and the bytes that they take.
    pub fn known_scripts(&self) -> (usize, usize) {
        (self.scripts.len(), self.scripts.held_bytes())
    }

    /// Libraries of functions, the functions in them, and the bytes that they take.
    pub fn known_functions(&self) -> (usize, usize, usize) {
        let (libraries, functions) = self.libraries.counts();
        (libraries, functions, self.libraries.held_bytes())
    }

    /// True while a script is in the middle of its execution.
    pub fn runs_script(&self) -> bool {
        self.machines.is_busy()
    }

    /// From now on scripts see addresses that differ from those of other replicas.
    #[cfg(feature = "bugs")]
    pub fn skew_scripts(&mut self, bytes: usize) {
        self.machines.skew_bytes = bytes;
    }
}
