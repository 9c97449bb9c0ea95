//! What Rust keeps of a running script beside Lua's memory, and how the script stands still.
//!
//! Lua's memory refers to it as the data of its allocator, so every function that Lua calls finds it.

use std::cell::{Cell, RefCell};
use std::ptr;

use corosensei::Yielder;

use crate::arena::Arena;
use crate::libs::json::Config;
use crate::machine::{CallKind, Registered};

/// Bytes asked of the allocator that cost as much as one instruction.
const BYTES_PER_INSTRUCTION: u64 = 16;

/// Why a script stands still.
#[derive(Clone, Copy, Debug)]
pub enum Pause {
    /// Its slice is used up.
    Slice,
    /// Its budget is: it never goes on.
    Exhausted,
    /// It calls a command, which is in [`Host::words`], and goes on with the answer.
    Call(CallKind),
}

/// Words of a command.
#[derive(Debug, Default)]
pub struct Words {
    pub bytes: Vec<u8>,
    /// Where each of them ends.
    pub ends: Vec<usize>,
}

impl Words {
    pub fn clear(&mut self) {
        const KEPT_BYTES_MAX: usize = 64 << 10;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
        self.ends.clear();
        self.ends.shrink_to(KEPT_BYTES_MAX / size_of::<usize>());
    }

    /// One more.
    pub fn push(&mut self, word: &[u8]) {
        self.bytes.extend_from_slice(word);
        self.ends.push(self.bytes.len());
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(&0).chain(&self.ends);
        begins
            .zip(&self.ends)
            .map(|(&begin, &end)| &self.bytes[begin..end])
    }
}

/// See the module.
#[derive(Debug)]
pub struct Host {
    pub arena: Arena,
    /// Set while a script is on its stack.
    pub yielder: Cell<*const Yielder<(), Pause>>,
    /// Below it the native stack of a script is not used; 0 while none is.
    pub stack_floor: Cell<usize>,
    pub budget: Cell<i64>,
    pub slice: Cell<i64>,
    /// What it has cost since the driver asked.
    pub spent: Cell<u64>,
    asked_before: Cell<u64>,
    pub words: RefCell<Words>,
    pub answer: RefCell<Vec<u8>>,
    pub reply: RefCell<Vec<u8>>,
    /// The protocol in which answers come, as `redis.setresp` says.
    pub is_resp3: Cell<bool>,
    pub random: Cell<u64>,
    /// A library is being loaded.
    pub is_loading: Cell<bool>,
    /// Bytes of the texts that it has registered.
    pub registered_bytes: Cell<usize>,
    /// What it has registered.
    pub registered: RefCell<Vec<Registered>>,
    pub json: Cell<Config>,
    /// Where libraries put together what they make, so that nothing is lost when a script is given up.
    pub scratch: RefCell<Vec<u8>>,
}

impl Host {
    pub fn new(arena: Arena) -> Self {
        Self {
            arena,
            yielder: Cell::new(ptr::null()),
            stack_floor: Cell::new(0),
            budget: Cell::new(0),
            slice: Cell::new(0),
            spent: Cell::new(0),
            asked_before: Cell::new(0),
            words: RefCell::default(),
            answer: RefCell::default(),
            reply: RefCell::default(),
            is_resp3: Cell::new(false),
            random: Cell::new(0),
            is_loading: Cell::new(false),
            registered_bytes: Cell::new(0),
            registered: RefCell::default(),
            json: Cell::new(Config::DEFAULT),
            scratch: RefCell::default(),
        }
    }

    /// A script begins, which may cost so many instructions; it pays for memory that is asked for beyond `asked`.
    pub fn begin(&self, budget: u64, asked: u64) {
        self.budget.set(i64::try_from(budget).unwrap_or(i64::MAX));
        self.slice.set(0);
        self.spent.set(0);
        self.asked_before.set(asked);
        self.is_resp3.set(false);
        self.is_loading.set(false);
        self.registered.take();
        self.registered_bytes.set(0);
        self.json.set(Config::DEFAULT);
        self.words.borrow_mut().clear();
        *self.answer.borrow_mut() = Vec::new();
        *self.scratch.borrow_mut() = Vec::new();
    }

    /// Takes the cost of so many instructions, and of the memory that was asked for; stands still where the slice or
    /// the budget ends. While a machine is prepared it costs nothing.
    pub fn spend(&self, instructions: u64) {
        if self.yielder.get().is_null() {
            return;
        }
        let asked = self.arena.asked();
        let memory = (asked - self.asked_before.replace(asked)) / BYTES_PER_INSTRUCTION;
        let cost = instructions + memory;
        self.spent.set(self.spent.get() + cost);
        self.budget.set(self.budget.get() - cost as i64);
        self.slice.set(self.slice.get() - cost as i64);
        while self.budget.get() < 0 {
            self.pause(Pause::Exhausted);
        }
        while self.slice.get() <= 0 {
            self.pause(Pause::Slice);
        }
    }

    /// Stands still until the driver resumes.
    pub fn pause(&self, pause: Pause) {
        let yielder = self.yielder.get();
        assert!(!yielder.is_null(), "only a script that runs stands still");
        // SAFETY: it is set by the stack on which this runs, and lives as long as that stack.
        unsafe { &*yielder }.suspend(pause);
    }
}
