//! A command of the scripting family as a task: it goes on slice by slice, like every other long command.

use std::fmt;

use bytes::Bytes;
use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;
use repligo_script::{FunctionCall, Limits, Machine, Progress, Script};

use super::cache::Sha1;
use super::functions::{self, Restoring};
use super::{ScriptRights, Shebang};
use crate::command::{Arguments, Call, CommandError, parse_i64};
use crate::keyspace::slices::steps_of;
use crate::keyspace::{Keyspace, Task};
use crate::limits::{
    INSTRUCTIONS_PER_STEP, SCRIPT_INSTRUCTIONS_MAX, SCRIPT_MEMORY_BYTES_MAX, SCRIPT_TEXT_BYTES_MAX,
};
use crate::table::KeyHasher;

/// Machines that are kept for the next script. More are made where more scripts are in the middle at once.
const MACHINES_KEPT: usize = 2;
const LIMITS: Limits = Limits {
    instructions: SCRIPT_INSTRUCTIONS_MAX,
    memory_bytes: SCRIPT_MEMORY_BYTES_MAX,
};

/// The machines of a replica that run nothing.
#[derive(Debug, Default)]
pub struct Machines {
    free: Vec<Machine>,
    /// Machines that are taken.
    busy: usize,
    /// See [`Machine::new`].
    #[cfg(feature = "bugs")]
    pub skew_bytes: usize,
}

impl Machines {
    pub(super) fn take(&mut self) -> Machine {
        #[cfg(feature = "bugs")]
        let skew_bytes = self.skew_bytes;
        #[cfg(not(feature = "bugs"))]
        let skew_bytes = 0;
        self.busy += 1;
        self.free.pop().unwrap_or_else(|| Machine::new(skew_bytes))
    }

    /// True while one is taken.
    pub fn is_busy(&self) -> bool {
        self.busy > 0
    }

    pub(super) fn give(&mut self, machine: Machine) {
        self.busy -= 1;
        if self.free.len() < MACHINES_KEPT {
            self.free.push(machine);
        }
    }
}

/// A script that runs.
pub(super) struct Running {
    pub machine: Machine,
    /// The database that its commands work on: SELECT changes it for the script alone.
    pub db: u8,
    /// It may not write.
    pub is_read_only: bool,
    /// It has called a command that may write.
    pub has_written: bool,
    /// Its commands may add memory however little there is.
    pub allows_oom: bool,
    /// What its commands draw from.
    pub draws: u64,
    /// The long command that it waits for.
    pub inner: Option<Task>,
    /// The reply of that one so far.
    pub answer: Vec<u8>,
    /// What is done with that before the script gets it.
    pub finish: super::inner::Finish,
}

/// See the module.
pub struct ScriptTask {
    name: &'static str,
    db: u8,
    arguments: (usize, Bytes),
    pub(super) rights: ScriptRights,
    /// How far FUNCTION RESTORE has come.
    restoring: Option<Box<Restoring>>,
    /// Bytes of the text that was compiled for it.
    compiled_bytes: usize,
    running: Option<Box<Running>>,
}

impl fmt::Debug for ScriptTask {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} in database {}", self.name, self.db)
    }
}

/// A script as it was asked for.
struct Asked {
    text: Bytes,
    sha1: Sha1,
    shebang: Shebang,
}

impl ScriptTask {
    /// The call, decoded from `source`.
    pub fn new(call: &Call<'_>, source: &Bytes) -> Self {
        let (count, bytes) = call.arguments.encoded();
        Self {
            name: call.spec.name,
            db: call.db,
            arguments: (count, source.slice_ref(bytes)),
            rights: ScriptRights::default(),
            restoring: None,
            compiled_bytes: 0,
            running: None,
        }
    }

    /// By what its commands are judged.
    pub fn set_rights(&mut self, rights: ScriptRights) {
        self.rights = rights;
    }

    /// Its row is that of a read, or its first line says so.
    pub fn is_read(&self) -> bool {
        match self.name {
            "eval" => self.arguments().iter().next().is_some_and(super::says_no_writes),
            "eval_ro" | "evalsha_ro" | "script|exists" => true,
            "fcall_ro" | "function|list" | "function|dump" | "function|stats" => true,
            _ => false,
        }
    }

    fn arguments(&self) -> Arguments<'_> {
        Arguments::from_encoded((self.arguments.0, &self.arguments.1))
    }

    /// Goes on and takes the steps off; true when it is done and answered.
    pub fn advance(
        &mut self,
        keyspace: &mut Keyspace,
        steps: &mut usize,
        reply: &mut ReplyWriter<'_>,
    ) -> bool {
        if *steps == 0 {
            return false;
        }
        let Some(running) = self.running.as_mut() else {
            *steps -= 1;
            if self.name.starts_with("function|") {
                return self.advance_function(keyspace, steps, reply);
            }
            let (begun, compiled) = (self.begin(keyspace, reply), self.compiled_bytes);
            *steps = steps.saturating_sub(steps_of(compiled));
            return match begun {
                Ok(true) => true,
                Ok(false) => self.advance(keyspace, steps, reply),
                Err(error) => {
                    reply.error_bytes(error.as_bytes());
                    true
                }
            };
        };
        let is_done = running.advance(keyspace, (&self.rights, steps));
        if is_done {
            let mut running = self.running.take().expect("it has just run");
            reply.raw(&running.machine.reply());
            keyspace.machines.give(running.machine);
        }
        is_done
    }

    /// Begins the script, or answers at once: true then.
    fn begin(&mut self, keyspace: &mut Keyspace, reply: &mut ReplyWriter<'_>) -> Result<bool, CommandError> {
        match self.name {
            "script|load" => self.load(keyspace, reply).map(|()| true),
            "script|flush" => self.flush(keyspace, reply).map(|()| true),
            "script|exists" => {
                reply.array(self.arguments.0);
                let known = |name| keyspace.scripts.get(name).is_some();
                self.arguments()
                    .iter()
                    .for_each(|name| reply.integer(i64::from(known(name))));
                Ok(true)
            }
            "fcall" | "fcall_ro" => self.start_function(keyspace, reply.is_resp3()).map(|()| false),
            _ => self.start(keyspace, reply.is_resp3()).map(|()| false),
        }
    }

    /// Goes on with a subcommand of FUNCTION; true when it is done and answered.
    fn advance_function(
        &mut self,
        keyspace: &mut Keyspace,
        steps: &mut usize,
        reply: &mut ReplyWriter<'_>,
    ) -> bool {
        let arguments = Arguments::from_encoded((self.arguments.0, &self.arguments.1));
        loop {
            let mut work = 0;
            let place = (&mut self.restoring, &mut work);
            let result = functions::execute(keyspace, (self.name, arguments), place, reply);
            let is_done = result.unwrap_or_else(|error| {
                reply.error_bytes(error.as_bytes());
                true
            });
            *steps = steps.saturating_sub(work);
            if is_done || *steps == 0 {
                return is_done;
            }
        }
    }

    fn start_function(&mut self, keyspace: &mut Keyspace, is_resp3: bool) -> Result<(), CommandError> {
        let arguments = self.arguments();
        let name = arguments.iter().next().unwrap_or_default();
        let found = keyspace.libraries.find(name);
        let (library, function) = found.ok_or(CommandError::fixed(words::script::NO_FUNCTION))?;
        let key_count = key_count(arguments, words::script::BAD_KEY_COUNT)?;
        let (no_writes, allows_oom) = (function.says("no-writes"), function.says("allow-oom"));
        if self.name == "fcall_ro" && !no_writes {
            return Err(CommandError::fixed(words::script::WRITES_BY_READ));
        }
        if !no_writes && !allows_oom && self.rights.refuses_growth {
            return Err(CommandError::fixed(words::script::OUT_OF_MEMORY));
        }
        let given: Vec<&[u8]> = arguments.iter().skip(2).collect();
        let (keys, values) = given.split_at(key_count);
        let (code, registered) = (library.code.clone(), function.name.clone());
        let compiled_bytes = code.len();
        let seed = keyspace.script_seed(&registered, self.name == "fcall_ro");
        let begin = code.iter().position(|&byte| byte == b'\n').unwrap_or(0);
        let mut machine = keyspace.machines.take();
        let call = FunctionCall {
            body: &code[begin..],
            name: &registered,
            keys,
            arguments: values,
            seed: seed as u32,
            is_resp3,
        };
        let begun = machine.begin_function(&call, LIMITS);
        self.compiled_bytes = compiled_bytes;
        if let Err(error) = begun {
            keyspace.machines.give(machine);
            return Err(CommandError::composed(error));
        }
        self.running = Some(Box::new(Running {
            machine,
            db: self.db,
            is_read_only: no_writes,
            has_written: false,
            allows_oom,
            draws: seed,
            inner: None,
            answer: Vec::new(),
            finish: super::inner::Finish::AsItIs,
        }));
        Ok(())
    }

    fn load(&self, keyspace: &mut Keyspace, reply: &mut ReplyWriter<'_>) -> Result<(), CommandError> {
        let text = self.arguments().iter().next().unwrap_or_default();
        if text.len() > SCRIPT_TEXT_BYTES_MAX {
            return Err(CommandError::composed(words::script::text_too_long(
                SCRIPT_TEXT_BYTES_MAX,
            )));
        }
        let shebang = Shebang::of(text)?;
        let mut machine = keyspace.machines.take();
        let checked = machine.check(&text[shebang.begin..], LIMITS);
        keyspace.machines.give(machine);
        checked.map_err(CommandError::composed)?;
        let sha1 = keyspace.scripts.add(text, true);
        reply.bulk(&sha1);
        Ok(())
    }

    fn flush(&self, keyspace: &mut Keyspace, reply: &mut ReplyWriter<'_>) -> Result<(), CommandError> {
        let arguments = self.arguments();
        let mode = arguments.iter().next();
        let is_mode = |mode: &[u8]| mode.eq_ignore_ascii_case(b"sync") || mode.eq_ignore_ascii_case(b"async");
        if arguments.len() > 1 || !mode.is_none_or(is_mode) {
            return Err(CommandError::fixed(words::script::FLUSH_MODE));
        }
        keyspace.scripts.clear();
        reply.ok();
        Ok(())
    }

    /// What is to be run: by its text, or by its name.
    fn asked(&self, keyspace: &mut Keyspace) -> Result<Asked, CommandError> {
        let first = self.arguments().iter().next().unwrap_or_default();
        let is_by_name = matches!(self.name, "evalsha" | "evalsha_ro");
        let text = match is_by_name {
            true => keyspace.scripts.get(first).cloned(),
            false => Some(self.arguments.1.slice_ref(first)),
        };
        let text = text.ok_or(CommandError::fixed(words::script::NO_SCRIPT))?;
        let sha1 = match <Sha1>::try_from(first) {
            Ok(mut sha1) if is_by_name => {
                sha1.make_ascii_lowercase();
                sha1
            }
            _ => keyspace.scripts.name_of(&text),
        };
        if text.len() > SCRIPT_TEXT_BYTES_MAX {
            return Err(CommandError::composed(words::script::text_too_long(
                SCRIPT_TEXT_BYTES_MAX,
            )));
        }
        let shebang = Shebang::of(&text)?;
        Ok(Asked { text, sha1, shebang })
    }

    fn start(&mut self, keyspace: &mut Keyspace, is_resp3: bool) -> Result<(), CommandError> {
        let arguments = self.arguments();
        // A name of another length is none, whatever is said of keys.
        let first = arguments.iter().next().unwrap_or_default();
        if matches!(self.name, "evalsha" | "evalsha_ro") && <Sha1>::try_from(first).is_err() {
            return Err(CommandError::fixed(words::script::NO_SCRIPT));
        }
        let key_count = key_count(arguments, words::NOT_AN_INTEGER)?;
        let asked = self.asked(keyspace)?;
        let compiled_bytes = asked.text.len();
        let shebang = asked.shebang;
        let is_read_only = shebang.no_writes || matches!(self.name, "eval_ro" | "evalsha_ro");
        if shebang.is_there && is_read_only && !shebang.no_writes {
            return Err(CommandError::fixed(words::script::WRITES_BY_READ));
        }
        let is_refused = shebang.is_there && !shebang.allow_oom && !is_read_only;
        if is_refused && self.rights.refuses_growth {
            return Err(CommandError::fixed(words::script::OUT_OF_MEMORY));
        }
        let given: Vec<&[u8]> = arguments.iter().skip(2).collect();
        let (keys, values) = given.split_at(key_count);
        let seed = keyspace.script_seed(&asked.sha1, is_read_only);
        let mut machine = keyspace.machines.take();
        let begun = machine.begin(
            &Script {
                body: &asked.text[shebang.begin..],
                keys,
                arguments: values,
                sha1: &asked.sha1,
                seed: seed as u32,
                is_resp3,
            },
            LIMITS,
        );
        self.compiled_bytes = compiled_bytes;
        if let Err(error) = begun {
            keyspace.machines.give(machine);
            return Err(CommandError::composed(error));
        }
        // A read knows nothing that the log does not.
        if self.name == "eval" && !self.is_read() {
            keyspace.scripts.add(&asked.text, false);
        }
        self.running = Some(Box::new(Running {
            machine,
            db: self.db,
            is_read_only,
            has_written: false,
            allows_oom: shebang.is_there && shebang.allow_oom,
            draws: seed,
            inner: None,
            answer: Vec::new(),
            finish: super::inner::Finish::AsItIs,
        }));
        Ok(())
    }
}

/// How many of the arguments are keys.
fn key_count(arguments: Arguments<'_>, no_number: &'static str) -> Result<usize, CommandError> {
    let text = arguments.iter().nth(1).unwrap_or_default();
    let count = parse_i64(text).ok_or(CommandError::fixed(no_number))?;
    match usize::try_from(count) {
        Err(_) => Err(CommandError::fixed(words::script::NEGATIVE_KEYS)),
        Ok(count) if count > arguments.len() - 2 => Err(CommandError::fixed(words::script::TOO_MANY_KEYS)),
        Ok(count) => Ok(count),
    }
}

impl Running {
    /// True when the script is over.
    fn advance(&mut self, keyspace: &mut Keyspace, (rights, steps): (&ScriptRights, &mut usize)) -> bool {
        loop {
            if self.inner.is_some() && !self.advance_inner(keyspace, steps) {
                return false;
            }
            if *steps == 0 {
                return false;
            }
            let mut spent = 0;
            let instructions = (*steps as u64).saturating_mul(INSTRUCTIONS_PER_STEP);
            let progress = self.machine.resume(instructions, &mut spent);
            *steps = steps.saturating_sub((spent / INSTRUCTIONS_PER_STEP) as usize + 1);
            match progress {
                Progress::Done => return true,
                Progress::Paused => {}
                Progress::Call(kind) => self.call(keyspace, rights, kind),
            }
        }
    }
}

impl Keyspace {
    /// What a script draws from: the same on every replica, and not to be foreseen; of this node alone for a read.
    fn script_seed(&self, name: &[u8], is_read_only: bool) -> u64 {
        let place = [self.version.to_le_bytes(), self.time_ms.to_le_bytes()];
        let own = if is_read_only { self.draw() } else { 0 };
        let bytes = [place.as_flattened(), name, &own.to_le_bytes()].concat();
        KeyHasher::new(self.hash_seed).hash(&bytes)
    }

    /// Executes a command of the scripting family at once.
    pub(in crate::keyspace) fn run_script(&mut self, call: &Call<'_>, reply: &mut ReplyWriter<'_>) {
        let mut encoded = Vec::new();
        crate::command::Command::Call(*call).encode(&mut encoded);
        let source = Bytes::from(encoded);
        let command = crate::command::Command::decode(&mut &source[..]).expect("it was encoded just now");
        let mut task = Self::begin(&command, &source);
        while !self.advance(&mut task, &mut usize::MAX.clone(), reply, &mut |_, _| ()) {}
    }
}
