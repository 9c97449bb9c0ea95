//! The commands that a script calls: judged, executed, answered.
//!
//! Inside a script that may write, an answer decides what is written next, so it has to be the same on every replica.
//! Time is that of the entry; draws follow from the op; KEYS is sorted, and SCAN, whose pieces depend on the table
//! of one replica, tells everything at once, sorted. What else is of one node alone is refused.

use bytes::Bytes;
use repligo_proto::command::{CommandId, Spec, Unresolved, flag, resolve};
use repligo_proto::reply::ReplyWriter;
use repligo_proto::resp::{ArgSlice, OwnedRequest};
use repligo_proto::words;
use repligo_script::CallKind;

use super::ScriptRights;
use super::task::Running;
use crate::acl::Denied;
use crate::command::{self, Command};
use crate::keyspace::Keyspace;
use crate::limits::DATABASES;
use crate::origin::words as origin_words;

/// What is done with the reply of a command before the script gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    AsItIs,
    /// The bulk strings behind so many bytes are put in order.
    Sort(usize),
}

/// Answers of one node alone.
const OF_ONE_NODE: [&str; 4] = ["randomkey", "object|idletime", "object|freq", "memory|usage"];

impl Running {
    /// Executes what the script calls, or begins to; the answer is in `self.answer` or with the machine.
    pub(super) fn call(&mut self, keyspace: &mut Keyspace, rights: &ScriptRights, kind: CallKind) {
        self.answer.clear();
        let request = self.machine.with_words(|words| OwnedRequest::new(words));
        let request = request.view();
        let refused = match kind {
            CallKind::MayRun => {
                let answer = may_run(request, rights);
                self.answer.extend_from_slice(&answer);
                None
            }
            _ => self.execute(keyspace, rights, request).err(),
        };
        if let Some(text) = refused {
            self.answer.clear();
            ReplyWriter::new(&mut self.answer, false).error_bytes(&text);
        }
        if self.inner.is_none() {
            self.give_answer();
        }
    }

    fn give_answer(&mut self) {
        if let Finish::Sort(begin) = std::mem::replace(&mut self.finish, Finish::AsItIs) {
            sort_bulks(&mut self.answer, begin);
        }
        std::mem::swap(&mut *self.machine.answer(), &mut self.answer);
        self.answer.clear();
    }

    /// Goes on with a long command; true when it is done and the script has its answer.
    pub(super) fn advance_inner(&mut self, keyspace: &mut Keyspace, steps: &mut usize) -> bool {
        let Some(mut task) = self.inner.take() else {
            return true;
        };
        let is_resp3 = self.machine.wants_resp3();
        let mut answer = std::mem::take(&mut self.answer);
        let mut writer = ReplyWriter::new(&mut answer, is_resp3);
        let is_done = self.in_order(keyspace, |keyspace| {
            keyspace.advance(&mut task, steps, &mut writer, &mut |_, _| ())
        });
        self.answer = answer;
        if is_done {
            self.give_answer();
        } else {
            self.inner = Some(task);
        }
        is_done
    }

    /// Executes with the time of the entry and the draws of the script, unless it only reads.
    fn in_order<R>(&mut self, keyspace: &mut Keyspace, execute: impl FnOnce(&mut Keyspace) -> R) -> R {
        if self.is_read_only {
            return execute(keyspace);
        }
        let present_ms = std::mem::take(&mut keyspace.present_ms);
        let draws = keyspace.draws.replace(self.draws);
        let result = execute(keyspace);
        self.draws = keyspace.draws.replace(draws);
        keyspace.present_ms = present_ms;
        result
    }

    fn execute(
        &mut self,
        keyspace: &mut Keyspace,
        rights: &ScriptRights,
        request: ArgSlice<'_>,
    ) -> Result<(), Vec<u8>> {
        let spec = self.judge(rights, request)?;
        if !spec.is_data() {
            return self.answer_local(keyspace, spec, request);
        }
        let command = command::parse(spec, self.db, request).map_err(|error| error.as_bytes().to_vec())?;
        if let Command::Call(call) = &command {
            if Keyspace::takes_all_keys(call) && Keyspace::call_waits(call) {
                return Err(words::stream::block_in_script(request.get(0)));
            }
            Keyspace::check_call(call).map_err(|error| error.as_bytes().to_vec())?;
        }
        refuse_mapped(rights, spec, &command)?;
        let command = self.replaced(spec, command)?;
        let Some(command) = command else { return Ok(()) };
        keyspace.name_inner(&command);
        if keyspace.may_take_long(&command) {
            let mut encoded = Vec::new();
            command.encode(&mut encoded);
            let source = Bytes::from(encoded);
            let command = Command::decode(&mut &source[..]).expect("it was encoded just now");
            self.inner = Some(Keyspace::begin(&command, &source));
            return Ok(());
        }
        let is_resp3 = self.machine.wants_resp3();
        let mut answer = std::mem::take(&mut self.answer);
        self.in_order(keyspace, |keyspace| {
            keyspace.apply(&command, &mut ReplyWriter::new(&mut answer, is_resp3));
        });
        self.answer = answer;
        Ok(())
    }

    /// The row of a command that this script may call, or why it may not, in the order in which Redis looks.
    fn judge(&mut self, rights: &ScriptRights, request: ArgSlice<'_>) -> Result<&'static Spec, Vec<u8>> {
        let text = |text: &str| text.as_bytes().to_vec();
        let spec = match resolve(request) {
            Ok(spec) => spec,
            Err(Unresolved::Arity(_)) => return Err(text(words::script::WRONG_ARITY)),
            Err(_) => return Err(text(words::script::UNKNOWN_COMMAND)),
        };
        if spec.has(flag::NOSCRIPT) {
            return Err(text(words::script::NOT_ALLOWED));
        }
        if let Some(user) = &rights.user {
            user.judge(spec, request)
                .map_err(|denied| text(denied_text(denied)))?;
        }
        if !spec.is_write() {
            return Ok(spec);
        }
        if self.is_read_only {
            return Err(text(words::script::READ_ONLY));
        }
        let is_refused = rights.refuses_growth && spec.has(flag::DENYOOM);
        if is_refused && !self.has_written && !self.allows_oom {
            return Err(text(words::OUT_OF_MEMORY));
        }
        self.has_written = true;
        Ok(spec)
    }

    /// The command that is executed instead; `None` if it is answered already.
    fn replaced<'a>(&mut self, spec: &Spec, command: Command<'a>) -> Result<Option<Command<'a>>, Vec<u8>> {
        if self.is_read_only {
            return Ok(Some(command));
        }
        if OF_ONE_NODE.contains(&spec.name) {
            return Err(words::script::of_one_node(spec.name).into_bytes());
        }
        match command {
            Command::Keys { .. } => {
                self.finish = Finish::Sort(0);
                Ok(Some(command))
            }
            Command::Scan {
                cursor: 0,
                db,
                pattern,
                kind,
                ..
            } => {
                // Behind the cursor, which is "0" in both protocols.
                self.finish = Finish::Sort(b"*2\r\n$1\r\n0\r\n".len());
                Ok(Some(Command::Scan {
                    db,
                    cursor: 0,
                    count: i64::MAX as u64,
                    pattern,
                    kind,
                }))
            }
            Command::Scan { .. } => {
                self.answer.extend_from_slice(b"*2\r\n$1\r\n0\r\n*0\r\n");
                Ok(None)
            }
            _ => Ok(Some(command)),
        }
    }

    /// Commands that do not touch keys.
    fn answer_local(
        &mut self,
        keyspace: &Keyspace,
        spec: &'static Spec,
        request: ArgSlice<'_>,
    ) -> Result<(), Vec<u8>> {
        let mut reply = ReplyWriter::new(&mut self.answer, false);
        match spec.id {
            CommandId::Ping => match request.try_get(1) {
                None => reply.simple("PONG"),
                Some(_) if request.len() > 2 => return Err(words::wrong_arity(spec.name).into_bytes()),
                Some(message) => reply.bulk(message),
            },
            CommandId::Echo => reply.bulk(request.get(1)),
            CommandId::Time => {
                let time_ms = keyspace.time_ms();
                reply.array(2);
                reply.bulk_str(&(time_ms / 1000).to_string());
                reply.bulk_str(&(time_ms % 1000 * 1000).to_string());
            }
            CommandId::Select => match command::parse_i64(request.get(1)) {
                Some(db) if (0..DATABASES as i64).contains(&db) => {
                    self.db = db as u8;
                    reply.ok();
                }
                Some(_) => return Err(words::DATABASE_OUT_OF_RANGE.as_bytes().to_vec()),
                None => return Err(words::NOT_AN_INTEGER.as_bytes().to_vec()),
            },
            _ => return Err(words::script::of_one_node(spec.name).into_bytes()),
        }
        Ok(())
    }
}

/// Why a script may not call this command with these words.
fn denied_text(denied: Denied) -> &'static str {
    match denied {
        Denied::Command => words::script::DENIED_COMMAND,
        Denied::Key(_) => words::script::DENIED_KEY,
        Denied::Channel(_) => words::script::DENIED_CHANNEL,
    }
}

/// What `redis.acl_check_cmd` answers.
fn may_run(request: ArgSlice<'_>, rights: &ScriptRights) -> Vec<u8> {
    let spec = match resolve(request) {
        Ok(spec) | Err(Unresolved::Arity(spec)) => spec,
        Err(_) => return [b"-", words::script::INVALID_ACL_CHECK.as_bytes(), b"\r\n"].concat(),
    };
    match &rights.user {
        Some(user) if user.judge(spec, request).is_err() => b":0\r\n".to_vec(),
        _ => b":1\r\n".to_vec(),
    }
}

/// Refuses keys with an origin: what is cached of them differs from what is there, and their writes go by other ways.
fn refuse_mapped(rights: &ScriptRights, spec: &Spec, command: &Command<'_>) -> Result<(), Vec<u8>> {
    let origin = rights.origin.as_ref();
    match origin.and_then(|origin| origin.first_candidate(command)) {
        None => Ok(()),
        Some((_, policy)) => {
            let text = origin_words::unsupported(spec.name, &policy.name, words::script::MAPPED_REMEDY);
            Err(text.into_bytes())
        }
    }
}

/// Puts the bulk strings of an array in order.
fn sort_bulks(reply: &mut Vec<u8>, begin: usize) {
    let Some(head) = reply
        .get(begin..)
        .and_then(|rest| rest.iter().position(|&byte| byte == b'\n'))
    else {
        return;
    };
    if reply[begin] != b'*' {
        return;
    }
    let first = begin + head + 1;
    let mut bulks = Vec::new();
    let mut rest = &reply[first..];
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let bytes = std::str::from_utf8(&rest[1..end - 1])
            .ok()
            .and_then(|text| text.parse::<usize>().ok());
        let Some((bulk, after)) = bytes.and_then(|bytes| rest.split_at_checked(end + 1 + bytes + 2)) else {
            return;
        };
        bulks.push((&bulk[end + 1..], bulk));
        rest = after;
    }
    bulks.sort_unstable();
    let sorted: Vec<u8> = bulks
        .into_iter()
        .flat_map(|(_, bulk)| bulk.iter().copied())
        .collect();
    reply.truncate(first);
    reply.extend_from_slice(&sorted);
}
