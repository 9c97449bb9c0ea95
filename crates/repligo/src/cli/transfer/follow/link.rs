//! A connection to a server as a replica of it: PSYNC, the snapshot, then the stream of its requests.
//!
//! A thread reads what comes and says how much of it was applied, so that a slow target breaks no connection as long as
//! its memory holds what has come. Beyond that the socket is left full, and the server decides how long it waits.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::cli::failure::Failure;
use crate::cli::login::Login;
use crate::cli::signals::StopFlag;
use crate::cli::tls::Stream;
use crate::cli::transfer::{Halt, Outcome};
use crate::cli::wire::WireError;

/// For connecting, and for each reply.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest wait for bytes before other things are looked at.
const NAP: Duration = Duration::from_millis(200);
/// Between two reports of what was applied.
const REPORT_EVERY: Duration = Duration::from_millis(500);
/// Bytes that are held for a slow target.
const HELD_BYTES: usize = 256 << 20;
/// Bytes of a mark that ends a snapshot of unknown length.
const MARK_BYTES: usize = 40;
/// A line is not longer.
const LINE_BYTES: usize = 1024;

/// Where the stream goes on: whose data, and behind which byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub id: String,
    pub offset: u64,
}

/// How it begins.
pub enum Begin {
    /// With all of the data, which is in the file, as it was at this place.
    Full(Place, File),
    /// Where it was left; the data may have another name now.
    Continue(Place),
}

/// A connection whose thread has not begun.
pub struct Wire {
    stream: Stream,
    ahead: Vec<u8>,
    heard: Instant,
    patience: Duration,
    stop: StopFlag,
}

/// How to connect.
pub struct Dial<'a> {
    pub address: &'a str,
    pub login: &'a Login,
    pub patience: Duration,
    pub stop: StopFlag,
    /// Where the snapshot is put while it comes.
    pub folder: &'a Path,
}

fn broken(what: impl ToString) -> WireError {
    WireError::Broken(std::io::Error::other(what.to_string()))
}

impl Dial<'_> {
    /// Connects, and asks for what follows `place`, or for everything. `told` hears of the bytes of a snapshot.
    ///
    /// # Errors
    /// The inner one is worth another attempt.
    pub fn begin(
        &self,
        place: Option<&Place>,
        told: &mut dyn FnMut(u64),
    ) -> Outcome<Result<(Begin, Wire), WireError>> {
        match self.greet(place) {
            Err(error) => Ok(Err(error)),
            Ok((line, mut wire)) => {
                let mut words = line.split(' ');
                let begin = match (words.next(), words.next(), words.next()) {
                    (Some("+FULLRESYNC"), Some(id), Some(offset)) => {
                        let Ok(offset) = offset.parse() else {
                            return Ok(Err(WireError::Protocol(line)));
                        };
                        let file = match wire.snapshot(self.folder, told)? {
                            Ok(file) => file,
                            Err(error) => return Ok(Err(error)),
                        };
                        let id = id.to_string();
                        Begin::Full(Place { id, offset }, file)
                    }
                    (Some("+CONTINUE"), id, None) if place.is_some() => {
                        let mut place = place.cloned().expect("it was looked at");
                        place.id = id.map_or(place.id, str::to_string);
                        Begin::Continue(place)
                    }
                    _ => return Ok(Err(WireError::Refused(line.trim_start_matches('-').to_string()))),
                };
                Ok(Ok((begin, wire)))
            }
        }
    }

    /// The answer to PSYNC.
    fn greet(&self, place: Option<&Place>) -> Result<(String, Wire), WireError> {
        let mut connection = self.login.open(self.address, TIMEOUT)?;
        connection.expect(&["PING"])?;
        // Servers that do not know a word say so, and do without it.
        connection.call(&["REPLCONF", "capa", "eof", "capa", "psync2"])?;
        let mut wire = Wire {
            stream: connection.into_stream()?,
            ahead: Vec::new(),
            heard: Instant::now(),
            patience: self.patience,
            stop: self.stop.clone(),
        };
        wire.stream.socket().set_read_timeout(Some(NAP))?;
        wire.stream.socket().set_write_timeout(Some(TIMEOUT))?;
        let (id, next) = match place {
            None => ("?", "-1".to_string()),
            Some(place) => (place.id.as_str(), (place.offset + 1).to_string()),
        };
        wire.send(&["PSYNC", id, &next])?;
        let line = wire.line()?;
        Ok((line, wire))
    }
}

impl Wire {
    fn send(&mut self, words: &[&str]) -> Result<(), WireError> {
        self.stream.write_all(&repligo_proto::resp::request(words))?;
        Ok(self.stream.flush()?)
    }

    /// Waits for more bytes; there may be none after a while.
    fn fill(&mut self) -> Result<(), WireError> {
        let mut chunk = [0; 64 << 10];
        match self.stream.read(&mut chunk) {
            Ok(0) => return Err(broken("the server closed it")),
            Ok(count) => {
                self.ahead.extend_from_slice(&chunk[..count]);
                self.heard = Instant::now();
            }
            Err(error) => match error.kind() {
                ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                _ => return Err(error.into()),
            },
        }
        match self.heard.elapsed() > self.patience || self.stop.is_set() {
            true => Err(broken(format!("nothing came for {} s", self.patience.as_secs()))),
            false => Ok(()),
        }
    }

    /// The next line that is not empty: a server that prepares something sends empty ones.
    fn line(&mut self) -> Result<String, WireError> {
        loop {
            let blank = self
                .ahead
                .iter()
                .take_while(|byte| b"\r\n".contains(byte))
                .count();
            self.ahead.drain(..blank);
            if let Some(end) = self.ahead.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.ahead.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_string());
            }
            if self.ahead.len() > LINE_BYTES {
                return Err(WireError::Protocol("the answer to PSYNC has no end".into()));
            }
            self.fill()?;
        }
    }

    /// Puts the snapshot into a file that has no name.
    fn snapshot(&mut self, folder: &Path, told: &mut dyn FnMut(u64)) -> Outcome<Result<File, WireError>> {
        let head = match self.line() {
            Ok(line) => line,
            Err(error) => return self.given_up(error),
        };
        let mark = head.strip_prefix("$EOF:").map(|mark| mark.as_bytes().to_vec());
        let length = head
            .strip_prefix('$')
            .and_then(|length| length.parse::<u64>().ok());
        if length.is_none() && mark.as_ref().is_none_or(|mark| mark.len() != MARK_BYTES) {
            return Ok(Err(WireError::Protocol(head)));
        }
        let unwritable = |error: std::io::Error| {
            let what = format!("{}: the snapshot cannot be kept: {error}", folder.display());
            Failure::new(what, "make room, or give another folder: --spool FOLDER")
        };
        let mut file = nameless(folder).map_err(unwritable)?;
        let mut written = 0u64;
        loop {
            let enough = length.map_or(u64::MAX, |length| length - written);
            let taken = (self.ahead.len() as u64).min(enough) as usize;
            // What may be a part of the mark stays.
            let taken = match &mark {
                None => taken,
                Some(mark) if self.ahead.ends_with(mark) => self.ahead.len() - MARK_BYTES,
                Some(_) => taken.saturating_sub(MARK_BYTES),
            };
            file.write_all(&self.ahead[..taken]).map_err(unwritable)?;
            self.ahead.drain(..taken);
            written += taken as u64;
            told(written);
            let is_marked = mark.as_ref().is_some_and(|mark| self.ahead == *mark);
            if is_marked || length == Some(written) {
                if is_marked {
                    self.ahead.clear();
                }
                file.rewind().map_err(unwritable)?;
                return Ok(Ok(file));
            }
            if let Err(error) = self.fill() {
                return self.given_up(error);
            }
        }
    }

    fn given_up<T>(&self, error: WireError) -> Outcome<Result<T, WireError>> {
        match self.stop.is_set() {
            true => Err(Halt::Interrupted),
            false => Ok(Err(error)),
        }
    }

    /// Reads on in a thread of its own; `applied` is told to the server until more is.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn run(mut self, applied: u64) -> std::io::Result<Reading> {
        // From here on the end is decided by who takes what comes.
        self.stop = StopFlag::default();
        let state = State {
            applied,
            ..State::default()
        };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let ours = shared.clone();
        let thread = std::thread::Builder::new()
            .name("replication".into())
            .spawn(move || read(self, &ours))?;
        Ok(Reading {
            shared,
            thread: Some(thread),
        })
    }
}

/// A file that goes with its last user, and nobody else can open.
fn nameless(folder: &Path) -> std::io::Result<File> {
    let path = folder.join(format!(".repligo-import-{}", std::process::id()));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[derive(Default)]
struct State {
    chunks: VecDeque<Vec<u8>>,
    bytes: usize,
    applied: u64,
    ended: Option<String>,
    is_over: bool,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.0.lock().expect("nobody panics with it")
}

/// What the thread does.
fn read(mut wire: Wire, shared: &Shared) {
    let mut reported: Option<Instant> = None;
    let error = loop {
        let (applied, is_full) = {
            let state = lock(shared);
            if state.is_over {
                return;
            }
            (state.applied, state.bytes > HELD_BYTES)
        };
        if reported.is_none_or(|reported| reported.elapsed() > REPORT_EVERY) {
            reported = Some(Instant::now());
            if let Err(error) = wire.send(&["REPLCONF", "ACK", &applied.to_string()]) {
                break error;
            }
        }
        if is_full {
            wire.heard = Instant::now();
            let _ = shared.1.wait_timeout(lock(shared), NAP);
            continue;
        }
        if wire.ahead.is_empty()
            && let Err(error) = wire.fill()
        {
            break error;
        }
        if !wire.ahead.is_empty() {
            let mut state = lock(shared);
            state.bytes += wire.ahead.len();
            state.chunks.push_back(std::mem::take(&mut wire.ahead));
            shared.1.notify_all();
        }
    };
    lock(shared).ended = Some(error.to_string());
    shared.1.notify_all();
}

/// The stream as it comes.
pub struct Reading {
    shared: Shared,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Reading {
    /// The next bytes; none after a while. `Err` when there will be no more, with the reason.
    pub fn next(&self) -> Result<Vec<u8>, String> {
        let mut state = lock(&self.shared);
        if state.chunks.is_empty() && state.ended.is_none() {
            let waited = self.shared.1.wait_timeout(state, NAP);
            state = waited.expect("nobody panics with it").0;
        }
        match (state.chunks.pop_front(), &state.ended) {
            (Some(chunk), _) => {
                state.bytes -= chunk.len();
                self.shared.1.notify_all();
                Ok(chunk)
            }
            (None, Some(why)) => Err(why.clone()),
            (None, None) => Ok(Vec::new()),
        }
    }

    /// Whether all that has come was taken, and more may come.
    pub fn is_drained(&self) -> bool {
        let state = lock(&self.shared);
        state.chunks.is_empty() && state.ended.is_none()
    }

    /// Bytes that have come and were not taken.
    pub fn held(&self) -> u64 {
        lock(&self.shared).bytes as u64
    }

    /// All up to there is applied.
    pub fn applied(&self, offset: u64) {
        lock(&self.shared).applied = offset;
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        lock(&self.shared).is_over = true;
        if let Some(thread) = self.thread.take() {
            // It has nothing to say that was not said.
            let _ = thread.join();
        }
    }
}
