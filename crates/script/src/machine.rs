//! A machine: one script at a time, on a stack of its own, slice by slice.

mod compiled;
mod given;

use std::cell::{RefCell, RefMut};
use std::ffi::c_int;
use std::fmt;
use std::ptr;

use corosensei::stack::{DefaultStack, Stack};
use corosensei::{Coroutine, CoroutineResult};
use repligo_proto::reply::ReplyWriter;

use crate::arena::{Arena, Image};
use crate::ffi::{self, State};
use crate::host::{Host, Pause};
use crate::lua::{Kind, Lua};
use crate::trampoline::{NO_MEMORY, enter};
use crate::{random, reply, sandbox};
use compiled::CompiledTexts;
use given::Plan;
pub use given::{CallKind, FUNCTION_FLAGS, FunctionCall, Limits, Progress, Registered, Script};

/// Instructions between two looks at the budget.
const HOOK_INSTRUCTIONS: c_int = 1000;
/// The native stack of a script, of which only what is touched takes memory. Lua nests at most 200 calls of C, each
/// of which may hold a buffer of 8 KiB; values nest as deep as Lua's own stack, some 8000 levels, whatever the build.
const STACK_BYTES: usize = 64 << 20;
/// What is left of it where functions of this crate go no deeper: never reached, but an error is better than a fault.
const STACK_KEPT_BYTES: usize = 4 << 20;
/// In front of why a library could not be loaded.
const REGISTERING: &[u8] = b"ERR Error registering functions: ";
/// What an argument costs beside its bytes, of a script's memory.
const ARGUMENT_BYTES: usize = 64;

type Running = Coroutine<(), Pause, (), DefaultStack>;

/// See the module.
pub struct Machine {
    /// Before the host, whose memory it refers to.
    running: Option<Running>,
    stack: Option<DefaultStack>,
    lua: Lua,
    /// The machine when it was new.
    image: Image,
    compiled: CompiledTexts,
    host: Box<Host>,
    /// The script's name in error texts.
    name: Vec<u8>,
    plan: Plan,
    is_resp3: bool,
}

// SAFETY: nothing of it belongs to a thread: its memory is its own, and whatever is on its stack when it stands still
// refers to that memory alone.
unsafe impl Send for Machine {}

impl fmt::Debug for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_running = self.running.is_some();
        formatter
            .debug_struct("Machine")
            .field("is_running", &is_running)
            .finish_non_exhaustive()
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Machine {
    /// A machine that runs nothing. `skew` is 0 but for the simulator's planted bug: by so many bytes its addresses
    /// differ from those of other replicas.
    ///
    /// # Panics
    /// If the system has no address space for it.
    pub fn new(skew: usize) -> Self {
        let host = Box::new(Host::new(Arena::new(skew)));
        let data = (&raw const *host).cast_mut().cast();
        // SAFETY: the host outlives the state, whose memory goes with it; the arena is not exhausted by so little.
        let lua = unsafe {
            let state = ffi::lua_newstate(allocate, data);
            assert!(!state.is_null(), "a new arena has room for a state");
            Lua::new(state)
        };
        sandbox::prepare(&lua);
        let image = host.arena.image();
        Self {
            running: None,
            stack: None,
            lua,
            image,
            compiled: CompiledTexts::default(),
            host,
            name: Vec::new(),
            plan: Plan::Script,
            is_resp3: false,
        }
    }

    /// Begins a script; what ran before is given up. Nothing of it is executed before [`Machine::resume`].
    ///
    /// # Errors
    /// The error for the client, if it cannot be compiled or is given more than it may have.
    pub fn begin(&mut self, script: &Script<'_>, limits: Limits) -> Result<(), Vec<u8>> {
        self.prepare(Plan::Script, script.sha1, limits);
        self.is_resp3 = script.is_resp3;
        self.host.random.set(random::seeded(script.seed));
        self.compile(script.body)?;
        self.check_room(&[script.keys, script.arguments])?;
        for (name, words) in [("KEYS", script.keys), ("ARGV", script.arguments)] {
            self.push_words(words);
            sandbox::set_global(&self.lua, name);
        }
        Ok(())
    }

    /// Begins to load a library of this name, to learn what it registers: see [`Machine::registered`]. Its body has no
    /// first line. It may call no command.
    ///
    /// # Errors
    /// The error for the client, if it cannot be compiled.
    pub fn begin_library(&mut self, name: &[u8], body: &[u8], limits: Limits) -> Result<(), Vec<u8>> {
        self.prepare(Plan::Load, name, limits);
        self.is_resp3 = false;
        self.compile(body)
    }

    /// Begins the call of a function: its library is loaded anew, and nothing is left of earlier calls.
    ///
    /// # Errors
    /// The error for the client, if the library cannot be compiled or is given more than it may have.
    pub fn begin_function(&mut self, call: &FunctionCall<'_>, limits: Limits) -> Result<(), Vec<u8>> {
        self.prepare(Plan::Call(call.name.to_ascii_lowercase()), call.name, limits);
        self.is_resp3 = call.is_resp3;
        self.host.random.set(random::seeded(call.seed));
        self.compile(call.body)?;
        self.check_room(&[call.keys, call.arguments])?;
        for (words, place) in [(call.keys, 1), (call.arguments, 2)] {
            self.push_words(words);
            self.lua.insert(place);
        }
        Ok(())
    }

    /// What the library has registered that was loaded last; it is taken.
    pub fn registered(&mut self) -> Vec<Registered> {
        self.host.registered.take()
    }

    /// Whether a text can be compiled.
    ///
    /// # Errors
    /// The error for the client.
    pub fn check(&mut self, body: &[u8], limits: Limits) -> Result<(), Vec<u8>> {
        self.prepare(Plan::Script, b"", limits);
        self.compile(body)
    }

    fn prepare(&mut self, plan: Plan, name: &[u8], limits: Limits) {
        self.give_up();
        self.plan = plan;
        self.name = name.to_vec();
        self.host.arena.set_limit(limits.memory_bytes);
        self.host.begin(limits.instructions, self.image.asked());
    }

    fn check_room(&self, given: &[&[&[u8]]]) -> Result<(), Vec<u8>> {
        let words = given.iter().flat_map(|words| words.iter());
        let bytes = words.map(|word| word.len() + ARGUMENT_BYTES).sum();
        match self.host.arena.has_room_for(bytes) {
            true => Ok(()),
            false => Err(self.ended(NO_MEMORY)),
        }
    }

    fn push_words(&self, words: &[&[u8]]) {
        self.lua.push_table();
        for (at, word) in words.iter().enumerate() {
            self.lua.push_bytes(word);
            self.lua.set_at(-2, at as c_int + 1);
        }
    }

    /// Leaves the handler of errors and the function of this text on Lua's stack, and nothing below them.
    fn compile(&mut self, text: &[u8]) -> Result<(), Vec<u8>> {
        let (prefix, source): (&[u8], _) = match self.plan {
            Plan::Script => (b"ERR Error compiling script (new function): ", c"@user_script"),
            Plan::Load | Plan::Call(_) => (b"ERR Error compiling function: ", c"@user_function"),
        };
        let is_library = self.plan != Plan::Script;
        if let Some(image) = self.compiled.find(is_library, text) {
            self.host.arena.restore(image);
            return Ok(());
        }
        self.host.arena.restore(&self.image);
        if text.first() == Some(&0x1b) {
            return Err([prefix, b"compiled code is not loaded"].concat());
        }
        if !self.host.arena.has_room_for(text.len()) {
            return Err(self.ended(NO_MEMORY));
        }
        self.lua.push_function(handle_error);
        self.host.arena.set_patient(false);
        let is_loaded = self.lua.load(text, source);
        self.host.arena.set_patient(true);
        if is_loaded {
            self.compiled.keep(is_library, text, self.host.arena.image());
            return Ok(());
        }
        Err([prefix, self.lua.bytes(-1).unwrap_or_default()].concat())
    }

    /// Goes on for about so many instructions. `spent` grows by what they were.
    ///
    /// # Panics
    /// If no script was begun, or it is over.
    pub fn resume(&mut self, instructions: u64, spent: &mut u64) -> Progress {
        self.host
            .slice
            .set(i64::try_from(instructions).unwrap_or(i64::MAX));
        if self.running.is_none() {
            self.start();
        }
        let running = self.running.as_mut().expect("it was started above");
        let result = running.resume(());
        *spent += self.host.spent.take();
        match result {
            CoroutineResult::Yield(Pause::Slice) => Progress::Paused,
            CoroutineResult::Yield(Pause::Call(kind)) => Progress::Call(kind),
            CoroutineResult::Yield(Pause::Exhausted) => {
                let error = self.exhausted();
                self.give_up();
                ReplyWriter::new(&mut self.host.reply.borrow_mut(), self.is_resp3).error_bytes(&error);
                Progress::Done
            }
            CoroutineResult::Return(()) => {
                self.stack = self.running.take().map(Running::into_stack);
                Progress::Done
            }
        }
    }

    fn start(&mut self) {
        let stack = self.stack.take();
        let stack = stack.unwrap_or_else(|| DefaultStack::new(STACK_BYTES).expect("there is address space"));
        self.host.stack_floor.set(stack.limit().get() + STACK_KEPT_BYTES);
        let (host, lua) = (&raw const *self.host, self.lua);
        let (name, plan, is_resp3) = (self.name.clone(), self.plan.clone(), self.is_resp3);
        self.running = Some(Coroutine::with_stack(stack, move |yielder, ()| {
            // SAFETY: the machine keeps its host until this stack is given up.
            let host = unsafe { &*host };
            host.yielder.set(yielder);
            host.reply.borrow_mut().clear();
            run_plan(host, &lua, (&plan, &name, is_resp3));
            host.yielder.set(ptr::null());
            host.stack_floor.set(0);
        }));
    }

    /// The words of the command that the script calls.
    pub fn with_words<R>(&self, look: impl FnOnce(&mut dyn Iterator<Item = &[u8]>) -> R) -> R {
        look(&mut self.host.words.borrow().iter())
    }

    /// Whether answers are to be RESP3, as the script has said.
    pub fn wants_resp3(&self) -> bool {
        self.host.is_resp3.get()
    }

    /// Where the answer to the call goes: one reply, in the protocol that the script wants.
    pub fn answer(&mut self) -> RefMut<'_, Vec<u8>> {
        self.host.answer.borrow_mut()
    }

    /// The reply of a script that is over, which is taken.
    pub fn reply(&mut self) -> Vec<u8> {
        self.host.reply.take()
    }

    /// The error of a script that could not go on for a reason of its machine.
    fn ended(&self, why: &str) -> Vec<u8> {
        let name = String::from_utf8_lossy(&self.name);
        format!("ERR Error running script {name}, {why}").into_bytes()
    }

    fn exhausted(&self) -> Vec<u8> {
        let source = match self.plan {
            Plan::Load => return [REGISTERING, b"ERR FUNCTION LOAD timeout"].concat(),
            Plan::Call(_) => "user_function",
            Plan::Script => "user_script",
        };
        let mut places = (0..).map_while(|level| self.lua.place(level));
        let place = places.find(|place| !place.is_native && place.line > 0);
        let line = place.map_or(0, |place| place.line);
        let name = String::from_utf8_lossy(&self.name);
        let text = "the script has used up the instructions that one may execute";
        format!("ERR {source}:{line}: {text} script: {name}, on @{source}:{line}.").into_bytes()
    }

    /// Gives up what runs, wherever it stands.
    fn give_up(&mut self) {
        if let Some(mut running) = self.running.take() {
            if !running.done() {
                // SAFETY: what is on the stack refers to this machine's memory and to nothing that is shared: to
                // skip its destructors leaks at most a buffer.
                unsafe { running.force_reset() };
            }
            self.stack = Some(running.into_stack());
            self.host.yielder.set(ptr::null());
            self.host.stack_floor.set(0);
            // A script that is given up while it writes its reply has it borrowed for good.
            self.host.reply = RefCell::default();
        }
        self.host.arena.set_patient(true);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Runs what was compiled, on the script's own stack; the handler of errors and the function are on top of Lua's
/// stack, below them what the call of a library's function is given.
fn run_plan(host: &Host, lua: &Lua, (plan, name, is_resp3): (&Plan, &[u8], bool)) {
    host.spend(1);
    let is_right = match plan {
        Plan::Script => run(host, lua, 0),
        Plan::Load => run_library(host, lua),
        Plan::Call(function) => {
            let is_loaded = run_library(host, lua);
            if is_loaded {
                sandbox::push_registered(lua, function);
                lua.push_value(1);
                lua.push_value(2);
            }
            is_loaded && run(host, lua, 2)
        }
    };
    let mut out = host.reply.borrow_mut();
    let mut reply = ReplyWriter::new(&mut out, is_resp3);
    if !is_right {
        let text = error_text(lua, (plan, name));
        reply.error_bytes(&text);
    } else if *plan != Plan::Load {
        reply::write_value(lua, &mut reply);
    }
}

/// Runs a library for what it registers. The handler alone is left on top then.
fn run_library(host: &Host, lua: &Lua) -> bool {
    sandbox::set_loading(lua, true);
    host.is_loading.set(true);
    let is_right = run(host, lua, 0);
    host.is_loading.set(false);
    sandbox::set_loading(lua, false);
    if is_right {
        lua.pop(1);
    }
    is_right
}

/// Calls the function below so many arguments, below which the handler of errors is; true if it came to its end.
fn run(host: &Host, lua: &Lua, arguments: c_int) -> bool {
    host.arena.set_patient(false);
    // SAFETY: errors are caught; function and handler are where the comment says.
    let status = unsafe {
        ffi::lua_sethook(lua.raw(), Some(hook), ffi::MASK_COUNT, HOOK_INSTRUCTIONS);
        let status = ffi::lua_pcall(lua.raw(), arguments, 1, -2 - arguments);
        ffi::lua_sethook(lua.raw(), None, 0, 0);
        status
    };
    host.arena.set_patient(true);
    status == 0
}

/// The error for the client, from what was raised, which is on top.
fn error_text(lua: &Lua, (plan, name): (&Plan, &[u8])) -> Vec<u8> {
    let name = String::from_utf8_lossy(name);
    if !lua.is(-1, Kind::Table) {
        let why = String::from_utf8_lossy(lua.bytes(-1).unwrap_or(b"execution failure"));
        return format!("ERR Error running script {name}, {why}").into_bytes();
    }
    let field = |name: &str| {
        lua.get_field(-1, name);
        let text = lua.bytes(-1).map(<[u8]>::to_vec);
        lua.pop(1);
        text
    };
    let mut text = field("err").unwrap_or_else(|| b"ERR unknown error".to_vec());
    let end = text
        .iter()
        .rposition(|byte| !matches!(byte, b'\r' | b'\n'))
        .map_or(0, |at| at + 1);
    text.truncate(end);
    if *plan == Plan::Load {
        return [REGISTERING, &text].concat();
    }
    if let (Some(source), Some(line)) = (field("source"), field("line")) {
        text.extend_from_slice(format!(" script: {name}, on ").as_bytes());
        text.extend_from_slice(&source);
        text.push(b':');
        text.extend_from_slice(&line);
        text.push(b'.');
    }
    text
}

/// Makes a table of what was raised, and notes where.
unsafe extern "C-unwind" fn handle_error(state: *mut State) -> c_int {
    let inner = |lua: &Lua| {
        let place = lua.place(1);
        let place = match place {
            Some(place) if place.is_native => lua.place(2),
            place => place,
        };
        if !lua.is(1, Kind::Table) {
            let mut text = b"ERR ".to_vec();
            match lua.kind(1) {
                Kind::Boolean => text.extend_from_slice(lua.boolean(1).to_string().as_bytes()),
                Kind::String | Kind::Number => text.extend_from_slice(lua.bytes(1).unwrap_or_default()),
                kind => text.extend_from_slice(kind.name().as_bytes()),
            }
            lua.push_table();
            lua.push_bytes(&text);
            lua.set_field(-2, "err");
            lua.replace(1);
        }
        lua.set_top(1);
        if let Some(place) = place {
            lua.push_bytes(&place.source);
            lua.set_field(1, "source");
            lua.push_number(f64::from(place.line));
            lua.set_field(1, "line");
        }
        Ok(1)
    };
    // SAFETY: Lua calls this.
    unsafe { enter(state, inner) }
}

/// Lua calls this every so many instructions.
unsafe extern "C-unwind" fn hook(state: *mut State, _: *mut ffi::Debug) {
    // SAFETY: Lua gives a thread that lives.
    let lua = unsafe { Lua::new(state) };
    lua.host().spend(HOOK_INSTRUCTIONS as u64);
}

/// Lua's memory.
unsafe extern "C" fn allocate(
    data: *mut std::ffi::c_void,
    old: *mut std::ffi::c_void,
    old_bytes: usize,
    bytes: usize,
) -> *mut std::ffi::c_void {
    // SAFETY: the data is the host of the state, and the old block one of its arena.
    let host = unsafe { &*data.cast::<Host>() };
    host.arena.reallocate(old.cast(), old_bytes, bytes).cast()
}
