//! One side of a transfer over RESP: requests that are sent until they have an answer, over broken connections,
//! elections and failovers.
//!
//! Invariants: a reply given out is final: words that say "later" or "elsewhere" are met here; a request whose first
//! sending has an unknown fate says so with its reply; nothing waits longer than the patience without any progress.

use std::time::{Duration, Instant};

use repligo_proto::resp::Value;
use repligo_proto::words::{INFO_REPLICATION_ID, INFO_REPLICATION_ID_2, LEADER_DOWN};

use super::{Halt, Outcome};
use crate::cli::failure::Failure;
use crate::cli::link::Link;
use crate::cli::login::Login;
use crate::cli::signals::StopFlag;
use crate::cli::wire::{Connection, WireError};

/// For connecting, for each reply, and for each write: a value may have 512 MiB.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);
/// A node that says "later" for so long is left for the next one.
const MOVE_ON_AFTER: Duration = Duration::from_secs(3);
/// Code words after which the same request may succeed, here or elsewhere.
const LATER: [&str; 10] = [
    "NOLEADER",
    "UNKNOWN",
    "STALE",
    "ORIGINDOWN",
    "LOADING",
    "READONLY",
    LEADER_DOWN,
    "CLUSTERDOWN",
    "TRYAGAIN",
    "BUSY",
];
/// Those of them that another node may not say.
const ELSEWHERE: [&str; 2] = ["READONLY", "LOADING"];

/// The final replies to one group of requests, all from one sending.
#[derive(Debug)]
pub struct Reply {
    /// One for each request; may be errors that no other attempt would change.
    pub values: Vec<Value>,
    /// An earlier sending may have been executed too.
    pub is_repeated: bool,
}

impl Reply {
    /// The reply to a group of one request.
    pub fn value(&self) -> &Value {
        &self.values[0]
    }
}

/// Requests to be sent.
#[derive(Clone, Copy)]
pub struct Requests<'a> {
    /// The database.
    pub db: u32,
    /// How many groups.
    pub count: usize,
    /// Requests of a group, which are sent again together.
    pub width: usize,
    /// Puts group number `.0` on the connection.
    pub push: &'a dyn Fn(usize, &mut Connection),
}

/// What a server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Of the process, for cursors.
    run_id: String,
    /// Of the data, the same on all nodes that share it.
    replication_id: String,
    /// What that was before the last failover.
    former_replication_id: String,
}

impl Identity {
    fn is_process(&self, known: &Identity) -> bool {
        !self.run_id.is_empty() && self.run_id == known.run_id
    }

    /// Whether it has the data that the known one had, as far as both tell.
    fn goes_on_with(&self, known: &Identity) -> bool {
        known.replication_id.is_empty()
            || [&self.replication_id, &self.former_replication_id].contains(&&known.replication_id)
    }
}

/// One side.
pub struct Server {
    link: Link,
    stop: StopFlag,
    patience: Duration,
    identity: Option<Identity>,
    /// Counts the processes that were met: a cursor of one means nothing to another.
    pub incarnation: u64,
    /// Counts the connections: what belongs to one (WATCH) is gone with it.
    pub connections: u64,
    /// Connections that were made after the first one.
    pub reconnects: u64,
    /// A process answered that does not go on with the data of the one before.
    pub is_replaced: bool,
    /// Whether it tells deadlines as points in time (Redis 7.0).
    has_deadlines: bool,
    /// What its clock said, and when.
    clock: Option<(u64, Instant)>,
    db: Option<u32>,
}

impl Server {
    /// Nothing is connected yet.
    pub fn new(addresses: Vec<String>, login: Login, patience: Duration, stop: StopFlag) -> Server {
        Server {
            link: Link::new(addresses, 0, login, TIMEOUT),
            stop,
            patience,
            identity: None,
            incarnation: 0,
            connections: 0,
            reconnects: 0,
            is_replaced: false,
            has_deadlines: true,
            clock: None,
            db: None,
        }
    }

    /// Its addresses, for messages.
    pub fn name(&self) -> String {
        self.link.addresses()
    }

    /// Which data it has; `None` before the first connection, or where it does not tell.
    pub fn replication_id(&self) -> Option<&str> {
        let id = self.identity.as_ref()?.replication_id.as_str();
        (!id.is_empty()).then_some(id)
    }

    /// The first connection, without patience: a wrong address or password is told at once.
    ///
    /// # Errors
    /// No node can be reached, or the login is refused.
    pub fn connect(&mut self) -> Outcome<()> {
        let mut last = None;
        for _ in 0..self.link.addresses().split(',').count() {
            match self.greet() {
                Ok(()) => return Ok(()),
                Err(error) => {
                    self.link.lost();
                    last = Some((self.link.address().to_string(), error));
                }
            }
        }
        let (_, error) = last.expect("there is at least one address");
        Err(self.explain(&error).into())
    }

    /// Makes the connection where there is none, and learns who answers.
    fn greet(&mut self) -> Result<(), WireError> {
        if self.link.is_connected() {
            return Ok(());
        }
        self.db = None;
        self.clock = None;
        self.connections += 1;
        let connection = self.link.get()?;
        let time = connection.call(&["TIME"])?;
        let clock = time_ms(&time).map(|ms| (ms, Instant::now()));
        let probe = connection.call(&["PEXPIRETIME", ""])?;
        let info = connection.call(&["INFO"])?;
        let unknown = probe
            .as_error()
            .is_some_and(|text| text.starts_with("ERR unknown command"));
        if let Some(text) = time.as_error().filter(|text| is_about_login(text)) {
            return Err(WireError::Refused(text.to_string()));
        }
        self.clock = clock;
        self.has_deadlines = !unknown;
        let identity = identify(info.as_str().unwrap_or_default());
        if let Some(known) = &self.identity {
            self.reconnects += 1;
            self.is_replaced |= !identity.goes_on_with(known);
        }
        let is_same = self
            .identity
            .as_ref()
            .is_some_and(|known| identity.is_process(known));
        if !is_same {
            self.incarnation += 1;
        }
        self.identity = Some(identity);
        Ok(())
    }

    fn explain(&self, error: &WireError) -> Failure {
        let remedy = match error {
            WireError::Connect { .. } => "start the server, or give its RESP address as HOST:PORT",
            WireError::Refused(text) if is_about_login(text) => {
                "give the right password by file (--password-file, --from-password-file) or environment"
            }
            WireError::Refused(text) if text.contains("AUTH") => "give no password: the server has none",
            WireError::Refused(_) | WireError::Protocol(_) => {
                "check that the address is the RESP port of a server"
            }
            WireError::Broken(_) => "look at the server's log",
        };
        let what = match error {
            // It names the address itself.
            WireError::Connect { .. } => error.to_string(),
            _ => format!("{}: {error}", self.link.addresses()),
        };
        Failure::new(what, remedy)
    }

    /// Its clock now, in milliseconds since 1970: never ahead of it, and behind by what a reply takes.
    pub fn now_ms(&mut self) -> Outcome<u64> {
        if self.clock.is_none() {
            let reply = self.ask_one(0, &["TIME"])?;
            self.clock = time_ms(&reply).map(|ms| (ms, Instant::now()));
        }
        match self.clock {
            Some((ms, since)) => Ok(ms + since.elapsed().as_millis() as u64),
            None => Err(Failure::new(
                format!("{}: TIME gave no time", self.name()),
                "check that it is a RESP server, and that the user may run TIME",
            )
            .into()),
        }
    }

    /// The request for a deadline, which `deadline` reads.
    pub fn deadline_command(&self) -> &'static str {
        if self.has_deadlines { "PEXPIRETIME" } else { "PTTL" }
    }

    /// Whether deadlines are exact.
    pub fn has_deadlines(&self) -> bool {
        self.has_deadlines
    }

    /// One request and its final reply, which is no error.
    ///
    /// # Errors
    /// As [`Server::ask`], and an error reply.
    pub fn ask_one<A: AsRef<[u8]>>(&mut self, db: u32, words: &[A]) -> Outcome<Value> {
        let replies = self.ask(Requests {
            db,
            count: 1,
            width: 1,
            push: &|_, connection| connection.push(words),
        })?;
        let value = replies
            .into_iter()
            .flat_map(|reply| reply.values)
            .next()
            .expect("one reply for one request");
        match value.as_error() {
            None => Ok(value),
            Some(text) => Err(self
                .refused(&String::from_utf8_lossy(words[0].as_ref()), text)
                .into()),
        }
    }

    /// An error reply that ends the transfer.
    pub fn refused(&self, command: &str, text: &str) -> Failure {
        let remedy = match text.split(' ').next().unwrap_or_default() {
            "NOAUTH" | "NOPERM" | "WRONGPASS" => {
                "give a user that may run it: --user and --password-file, or REPLIGO_REQUIREPASS; for the server that is \
                 copied --from-user and --from-password-file, or REPLIGO_FROM_PASSWORD"
            }
            "OOM" => "give the server more memory (maxmemory), or another eviction policy",
            "MOVED" | "ASK" | "CROSSSLOT" => {
                "this is a node of a Redis Cluster, which holds only some of the keys: transfer node by node, \
                 and into a server without cluster mode"
            }
            _ if text.starts_with("ERR syntax error") => {
                "the target must know SET … PXAT: Redis 6.2 or newer"
            }
            _ => "look at the server's log and at what the reply says",
        };
        Failure::new(format!("{}: {command}: {text}", self.name()), remedy)
    }

    /// Sends groups of requests and returns their final replies in the same order.
    ///
    /// # Errors
    /// The patience has ended, or the end was asked for.
    pub fn ask(&mut self, requests: Requests<'_>) -> Outcome<Vec<Reply>> {
        let count = requests.count;
        let mut replies: Vec<Option<Reply>> = (0..count).map(|_| None).collect();
        let mut is_repeated = vec![false; count];
        let mut progress = Instant::now();
        let mut later_since = None;
        loop {
            let open: Vec<usize> = (0..count).filter(|at| replies[*at].is_none()).collect();
            if open.is_empty() {
                return Ok(replies.into_iter().flatten().collect());
            }
            if self.stop.is_set() {
                return Err(Halt::Interrupted);
            }
            let mut later = None;
            let result = self.round(requests, &open, |at, values| {
                let word = values
                    .iter()
                    .filter_map(Value::as_error)
                    .find(|text| is_later(text));
                if let Some(text) = word {
                    is_repeated[at] = true;
                    later = Some(text.to_string());
                } else {
                    let is_repeated = is_repeated[at];
                    replies[at] = Some(Reply { values, is_repeated });
                    progress = Instant::now();
                }
            });
            let last = match (result, later) {
                (Ok(()), None) => continue,
                (Ok(()), Some(text)) => {
                    let since: Instant = *later_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > MOVE_ON_AFTER || ELSEWHERE.iter().any(|word| text.starts_with(word))
                    {
                        self.link.lost();
                        later_since = None;
                    }
                    text
                }
                (Err(error), _) => {
                    open.iter().for_each(|at| is_repeated[*at] = true);
                    if matches!(&error, WireError::Refused(text) if !is_later(text)) {
                        return Err(self.explain(&error).into());
                    }
                    self.link.lost();
                    error.to_string()
                }
            };
            if progress.elapsed() > self.patience {
                return Err(self.out_of_patience(&last).into());
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Whether there is a connection now; the next request makes one where there is none.
    pub fn is_connected(&self) -> bool {
        self.link.is_connected()
    }

    /// Sends one group of requests once. `None` if it may not have been executed, or not be executed yet: the
    /// connection is given up then.
    ///
    /// # Errors
    /// The login is refused, or the end was asked for.
    pub fn once(&mut self, requests: Requests<'_>) -> Outcome<Option<Vec<Value>>> {
        assert_eq!(requests.count, 1, "the fate of one group is asked for");
        if self.stop.is_set() {
            return Err(Halt::Interrupted);
        }
        let mut all = None;
        match self.round(requests, &[0], |_, values| all = Some(values)) {
            Ok(()) => {
                let is_final = |values: &Vec<Value>| !values.iter().filter_map(Value::as_error).any(is_later);
                let all = all.filter(is_final);
                if all.is_none() {
                    self.link.lost();
                }
                Ok(all)
            }
            Err(error) => {
                self.link.lost();
                match &error {
                    WireError::Refused(text) if !is_later(text) => Err(self.explain(&error).into()),
                    _ => Ok(None),
                }
            }
        }
    }

    fn out_of_patience(&self, last: &str) -> Failure {
        Failure::new(
            format!(
                "{}: no answer for {} s: {last}",
                self.name(),
                self.patience.as_secs()
            ),
            "look at the servers, then go on as said below; --patience SECONDS waits longer",
        )
    }

    /// Sends the groups `open` once.
    fn round(
        &mut self,
        requests: Requests<'_>,
        open: &[usize],
        mut settle: impl FnMut(usize, Vec<Value>),
    ) -> Result<(), WireError> {
        self.greet()?;
        let selects = self.db != Some(requests.db);
        let connection = self.link.get()?;
        if selects {
            connection.expect(&["SELECT", &requests.db.to_string()])?;
            self.db = Some(requests.db);
        }
        for at in open {
            (requests.push)(*at, connection);
        }
        connection.flush()?;
        for at in open {
            let values: Result<_, _> = (0..requests.width).map(|_| connection.receive()).collect();
            settle(*at, values?);
        }
        Ok(())
    }
}

fn is_later(text: &str) -> bool {
    LATER.iter().any(|word| {
        text.strip_prefix(word)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    })
}

fn is_about_login(text: &str) -> bool {
    ["NOAUTH", "WRONGPASS", "NOPERM"]
        .iter()
        .any(|word| text.starts_with(word))
}

fn time_ms(value: &Value) -> Option<u64> {
    let [seconds, micros] = value.as_array()? else {
        return None;
    };
    let number = |value: &Value| value.as_str()?.parse::<u64>().ok();
    Some(number(seconds)?.checked_mul(1000)? + number(micros)? / 1000)
}

fn identify(info: &str) -> Identity {
    let field = |name: &str| {
        let mut lines = info.lines();
        lines.find_map(|line| Some(line.trim_end().strip_prefix(name)?.strip_prefix(':')?.to_string()))
    };
    Identity {
        run_id: field("run_id").unwrap_or_default(),
        replication_id: field(INFO_REPLICATION_ID).unwrap_or_default(),
        former_replication_id: field(INFO_REPLICATION_ID_2).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_say_later_are_told_from_final_ones() {
        for text in ["NOLEADER x", "UNKNOWN x", "LOADING Redis", "READONLY You", "BUSY"] {
            assert!(is_later(text), "{text}");
        }
        for text in ["ERR x", "OOM x", "BUSYKEY x", "", "WRONGTYPE x", "UNKNOWNS x"] {
            assert!(!is_later(text), "{text}");
        }
    }

    #[test]
    fn a_server_tells_its_process_its_data_and_its_clock() {
        let info = format!("# Server\r\nrun_id:abc\r\n{INFO_REPLICATION_ID}:def\r\n");
        let expected = Identity {
            run_id: "abc".into(),
            replication_id: "def".into(),
            former_replication_id: String::new(),
        };
        assert_eq!(identify(&info), expected);
        let bulk = |text: &str| Value::Bulk(text.as_bytes().to_vec());
        let time = Value::Array(vec![bulk("1700000000"), bulk("999999")]);
        assert_eq!(time_ms(&time), Some(1_700_000_000_999));
        assert_eq!(time_ms(&Value::Array(vec![bulk("x"), bulk("1")])), None);
        assert_eq!(time_ms(&Value::Null), None);
    }
}
