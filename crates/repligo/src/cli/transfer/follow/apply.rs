//! Applies units to a server, each exactly once, over broken connections and failovers.
//!
//! Several units are one transaction, which also writes their end under a name of our own. That name is watched before
//! every transaction. So one whose fate is unknown is settled by reading the name; and one that a slow server executes
//! after it was sent again finds that the name was written meanwhile, and does nothing.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use repligo_proto::resp::Value;

use super::requests::{Request, Unit};
use crate::cli::failure::Failure;
use crate::cli::transfer::server::{Requests, Server};
use crate::cli::transfer::summary::Refusals;
use crate::cli::transfer::{Halt, Outcome};

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the name stays behind a program that was killed.
const LEFT_MS: &str = "86400000";
/// Replies behind those of a transaction's requests: EXEC, WATCH, GET.
const BEHIND: usize = 3;

/// See the module.
pub struct Applier {
    name: Vec<u8>,
    /// The database of the name.
    home: u32,
    patience: Duration,
    /// The connection on which the name is watched.
    watched: Option<u64>,
    /// Databases that the target has.
    judged: BTreeSet<u32>,
    /// Requests that were applied.
    pub applied: u64,
    /// What the target did not take.
    pub refusals: Refusals,
}

impl Applier {
    /// Nothing is applied yet.
    pub fn new(home: u32, patience: Duration) -> Applier {
        let part = || RandomState::new().hash_one(0);
        Applier {
            name: format!("repligo-import:{:016x}{:016x}", part(), part()).into_bytes(),
            home,
            patience,
            watched: None,
            judged: BTreeSet::new(),
            applied: 0,
            refusals: Refusals::default(),
        }
    }

    /// Applies all of the units, or nothing.
    ///
    /// # Errors
    /// The target is away for too long, or refuses what it would refuse of every other request too.
    pub fn apply(&mut self, server: &mut Server, units: &[Unit]) -> Outcome<()> {
        let Some(last) = units.last() else {
            return Ok(());
        };
        for db in units.iter().flat_map(Unit::databases) {
            self.judge(server, db)?;
        }
        let end = last.end.to_string();
        let mut requests: Vec<&(u32, Request)> = units.iter().flat_map(|unit| &unit.requests).collect();
        let start = Instant::now();
        while !requests.is_empty() {
            if start.elapsed() > self.patience {
                return Err(Failure::new(
                    format!("{}: no answer for {} s", server.name(), self.patience.as_secs()),
                    "look at the servers; --patience SECONDS waits longer",
                )
                .into());
            }
            if !self.is_watched(server) {
                match self.watch(server)? {
                    Some(found) if found == end.as_bytes() => {
                        self.applied += requests.len() as u64;
                        return Ok(());
                    }
                    Some(_) => {}
                    None => {
                        std::thread::sleep(PAUSE);
                        continue;
                    }
                }
            }
            let Some(values) = self.send(server, &requests, &end)? else {
                std::thread::sleep(PAUSE);
                continue;
            };
            if self.settle(server, &mut requests, &values)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// A SELECT that fails within a transaction would let what follows it into another database.
    fn judge(&mut self, server: &mut Server, db: u32) -> Outcome<()> {
        if self.judged.contains(&db) {
            return Ok(());
        }
        server.ask_one(db, &["PING"]).map_err(|halt| match halt {
            Halt::Failed(failure) => Halt::Failed(no_database(db, &failure.what)),
            Halt::Interrupted => Halt::Interrupted,
        })?;
        self.judged.insert(db);
        Ok(())
    }

    fn is_watched(&self, server: &Server) -> bool {
        server.is_connected() && self.watched == Some(server.connections)
    }

    /// Others have used the connection, and what they have executed ends the watch.
    pub fn forget(&mut self) {
        self.watched = None;
    }

    /// Watches the name and reads it; `None` if that is not known.
    fn watch(&mut self, server: &mut Server) -> Outcome<Option<Vec<u8>>> {
        let name = self.name.as_slice();
        let values = server.once(Requests {
            db: self.home,
            count: 1,
            width: 2,
            push: &|_, connection| {
                connection.push(&[b"WATCH".as_slice(), name]);
                connection.push(&[b"GET".as_slice(), name]);
            },
        })?;
        self.watched = values.is_some().then_some(server.connections);
        Ok(values.map(|values| values[1].as_bytes().unwrap_or_default().to_vec()))
    }

    /// The transaction, and what watches the name for the next one; `None` if its fate is not known.
    fn send(
        &mut self,
        server: &mut Server,
        requests: &[&(u32, Request)],
        end: &str,
    ) -> Outcome<Option<Vec<Value>>> {
        let (name, home) = (self.name.as_slice(), self.home);
        let selects = selections(requests, home);
        let values = server.once(Requests {
            db: home,
            count: 1,
            // MULTI, each with its SELECT, SELECT and SET at the end, and what is behind.
            width: 1 + requests.len() + selects.iter().flatten().count() + 2 + BEHIND,
            push: &|_, connection| {
                connection.push(&["MULTI"]);
                for ((_, request), select) in requests.iter().zip(&selects) {
                    if let Some(db) = select {
                        connection.push(&["SELECT", &db.to_string()]);
                    }
                    connection.push(request);
                }
                connection.push(&["SELECT", &home.to_string()]);
                connection.push(&[b"SET".as_slice(), name, end.as_bytes(), b"PX", LEFT_MS.as_bytes()]);
                connection.push(&["EXEC"]);
                connection.push(&[b"WATCH".as_slice(), name]);
                connection.push(&[b"GET".as_slice(), name]);
            },
        })?;
        let told = values.as_ref().and_then(|values| values.last());
        let is_told = told.is_some_and(|told| told.as_bytes() == Some(end.as_bytes()));
        self.watched = is_told.then_some(server.connections);
        Ok(values)
    }

    /// Looks at the replies; true if the transaction was executed. What cannot be queued is taken out of the requests.
    fn settle(
        &mut self,
        server: &Server,
        requests: &mut Vec<&(u32, Request)>,
        values: &[Value],
    ) -> Outcome<bool> {
        let selects = selections(requests, self.home);
        let queued = &values[1..values.len() - BEHIND];
        let exec = &values[values.len() - BEHIND];
        // Somebody else has written the name: an earlier sending of this very transaction.
        if matches!(exec, Value::Null | Value::NullArray) {
            self.watched = None;
            return Ok(false);
        }
        let replies = match exec.as_array() {
            Some(replies) => replies,
            None => queued,
        };
        let mut at = 0;
        let mut refused = Vec::new();
        for (place, ((_, request), select)) in requests.iter().zip(&selects).enumerate() {
            if let Some(db) = select {
                if let Some(text) = replies.get(at).and_then(Value::as_error) {
                    return Err(no_database(*db, &format!("{}: SELECT: {text}", server.name())).into());
                }
                at += 1;
            }
            if let Some(text) = replies.get(at).and_then(Value::as_error) {
                let command = String::from_utf8_lossy(&request[0]).into_owned();
                let key = request.get(1).map_or(&[][..], Vec::as_slice);
                // One request that the target does not know is no reason to end: others follow.
                let shown = match text.starts_with("ERR ") {
                    true => format!("{command}: {text}"),
                    false => text.to_string(),
                };
                self.refusals
                    .add(key, &shown, |text| server.refused(&command, text))?;
                refused.push(place);
            }
            at += 1;
        }
        if exec.as_array().is_some() {
            self.applied += (requests.len() - refused.len()) as u64;
            return Ok(true);
        }
        let text = exec.as_error().unwrap_or("EXEC gave no array");
        if refused.is_empty() {
            return Err(server.refused("EXEC", text).into());
        }
        self.watched = None;
        let mut place = 0;
        requests.retain(|_| {
            place += 1;
            !refused.contains(&(place - 1))
        });
        Ok(false)
    }

    /// How many names of ours the database has, beside the keys of the source.
    ///
    /// # Errors
    /// As [`Server::ask`].
    pub fn names(&self, server: &mut Server, db: u32) -> Outcome<u64> {
        if db != self.home {
            return Ok(0);
        }
        let found = server.ask_one(db, &[b"EXISTS".as_slice(), &self.name])?;
        Ok(u64::from(found.as_integer() == Some(1)))
    }

    /// Removes the name.
    ///
    /// # Errors
    /// As [`Server::ask`].
    pub fn end(&mut self, server: &mut Server) -> Outcome<()> {
        self.watched = None;
        server.ask_one(self.home, &[b"UNWATCH".as_slice()])?;
        server
            .ask_one(self.home, &[b"DEL".as_slice(), &self.name])
            .map(|_| ())
    }
}

fn no_database(db: u32, what: &str) -> Failure {
    Failure::new(
        format!("database {db} of the source: {what}"),
        "give a target with as many databases as the source has, or --db N for one of them",
    )
}

/// The database that is chosen in front of each request, where it is another one than before.
fn selections(requests: &[&(u32, Request)], home: u32) -> Vec<Option<u32>> {
    let mut at = home;
    let choose = |(db, _): &&(u32, Request)| {
        let chosen = (*db != at).then_some(*db);
        at = *db;
        chosen
    };
    requests.iter().map(choose).collect()
}
