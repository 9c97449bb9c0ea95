//! Writes entries into a server.

use std::collections::BTreeMap;

use repligo_proto::resp::Value;

use super::content::{Content, Kind};
use super::facts::{Deadline, Seen};
use super::format::Entry;
use super::rows::{self, keyspace_of};
use super::server::{Requests, Server};
use super::staging::{Staged, Staging};
use super::summary::{Refusals, shown};
use super::{Outcome, Output};
use crate::cli::failure::Failure;

/// What happens to a key that the target has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// The transfer ends.
    Fail,
    /// It stays as it is.
    Skip,
    /// It is overwritten.
    Replace,
}

/// What was written into one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Entries.
    pub entries: u64,
    /// Those of them that do not expire.
    pub lasting: u64,
    /// When the first of the others expires.
    pub first_deadline_ms: Option<u64>,
    /// Keys that were there and stayed.
    pub existing: u64,
    /// Entries that had expired before they could be written.
    pub expired: u64,
}

/// What becomes of an entry.
enum Fate {
    Written,
    /// The key is there already.
    Exists,
    Expired,
    /// With the error.
    Refused(String),
}

/// The target.
pub struct Target<'a> {
    /// Where it goes.
    pub server: &'a mut Server,
    existing: Existing,
    staging: Staging,
    /// Per database.
    pub written: BTreeMap<u32, Written>,
    /// What the target did not take.
    pub refusals: Refusals,
    /// The error says how to go on.
    pub is_told: bool,
    /// Keys that stayed as they were or were refused, per database.
    pub kept: BTreeMap<u32, Seen>,
}

impl<'a> Target<'a> {
    /// Nothing is written yet.
    pub fn new(server: &'a mut Server, existing: Existing) -> Target<'a> {
        Target {
            server,
            existing,
            staging: Staging::new(),
            written: BTreeMap::new(),
            refusals: Refusals::default(),
            is_told: false,
            kept: BTreeMap::new(),
        }
    }

    /// A key is there. Whether it is what was to be written: by an earlier sending whose reply was lost, or before.
    fn is_ours(&mut self, db: u32, entry: &Entry) -> Outcome<bool> {
        let kind = entry.content.kind;
        let content = self.server.ask_one(db, &kind.read(&entry.key));
        let deadline = self.server.ask_one(db, &[b"PEXPIRETIME".as_slice(), &entry.key]);
        let (Ok(content), Ok(deadline)) = (content, deadline) else {
            return Ok(false);
        };
        let content = Content::from_reply(kind, &content);
        let deadline = Deadline::read(&deadline, None).and_then(Deadline::ms);
        Ok(content.is_some_and(|content| content.is_same(&entry.content)) && deadline == entry.deadline_ms)
    }

    fn keep(&mut self, db: u32, entry: &Entry) -> Outcome<()> {
        if self.existing == Existing::Fail {
            self.is_told = true;
            return Err(Failure::new(
                format!(
                    "{}: database {db} has the key {} already",
                    self.server.name(),
                    entry.key.escape_ascii()
                ),
                "run the same command again with --skip-existing, which leaves such keys as they are, with those that \
                 this run has written, or with --replace, which overwrites them",
            )
            .into());
        }
        self.written.entry(db).or_default().existing += 1;
        self.kept.entry(db).or_default().insert(&entry.key);
        Ok(())
    }

    /// Notes what became of an entry: written, kept, expired or refused.
    fn note(&mut self, db: u32, entry: &Entry, fate: Fate) -> Outcome<()> {
        let written = self.written.entry(db).or_default();
        match fate {
            Fate::Exists => return self.keep(db, entry),
            Fate::Expired => written.expired += 1,
            Fate::Refused(text) if keyspace_of(&text).is_some() => self.refuse_row(db, entry, &text)?,
            Fate::Refused(text) => {
                let command = entry.content.kind.write();
                self.refusals
                    .add(&entry.key, &text, |text| self.server.refused(command, text))?;
                self.kept.entry(db).or_default().insert(&entry.key);
            }
            Fate::Written => {
                written.entries += 1;
                match entry.deadline_ms {
                    None => written.lasting += 1,
                    Some(ms) => {
                        let first = written.first_deadline_ms.map_or(ms, |first| first.min(ms));
                        written.first_deadline_ms = Some(first);
                    }
                }
            }
        }
        Ok(())
    }

    /// A key of a keyspace that does not take this entry in this way.
    fn refuse_row(&mut self, db: u32, entry: &Entry, text: &str) -> Outcome<()> {
        let (why, remedy) = rows::refused(entry, self.existing, text);
        if self.existing == Existing::Fail {
            self.is_told = true;
            let key = shown(&entry.key);
            let what = format!("{}: database {db}: {key}: {why}", self.server.name());
            return Err(Failure::new(what, remedy).into());
        }
        self.refusals
            .note(format!("{}: {why}; {remedy}", shown(&entry.key)));
        self.kept.entry(db).or_default().insert(&entry.key);
        Ok(())
    }

    fn take_strings(&mut self, db: u32, entries: &[&Entry]) -> Outcome<()> {
        let only_new = self.existing != Existing::Replace;
        let replies = self.server.ask(Requests {
            db,
            count: entries.len(),
            width: 1,
            push: &|at, connection| {
                let entry = entries[at];
                let mut digits = itoa::Buffer::new();
                let mut words = vec![b"SET", entry.key.as_slice(), entry.content.parts[0].as_slice()];
                if let Some(deadline_ms) = entry.deadline_ms {
                    words.extend([b"PXAT", digits.format(deadline_ms).as_bytes()]);
                }
                if only_new {
                    words.push(b"NX");
                }
                connection.push(&words);
            },
        })?;
        for (entry, reply) in entries.iter().zip(replies) {
            let fate = match reply.value() {
                Value::Simple(_) => Fate::Written,
                Value::Null | Value::NullArray if only_new => {
                    match reply.is_repeated && self.is_ours(db, entry)? {
                        true => Fate::Written,
                        false => Fate::Exists,
                    }
                }
                other => Fate::Refused(other.as_error().unwrap_or("SET gave no OK").to_string()),
            };
            self.note(db, entry, fate)?;
        }
        Ok(())
    }
}

impl Output for Target<'_> {
    fn take(&mut self, db: u32, entries: &[Entry]) -> Outcome<()> {
        let now_ms = self.server.now_ms()?;
        let lives = |entry: &&Entry| entry.deadline_ms.is_none_or(|deadline_ms| deadline_ms > now_ms);
        let living: Vec<&Entry> = entries.iter().filter(lives).collect();
        self.written.entry(db).or_default().expired += (entries.len() - living.len()) as u64;
        let is_string = |entry: &&Entry| entry.content.kind == Kind::String;
        let (strings, collections): (Vec<&Entry>, Vec<&Entry>) = living.into_iter().partition(is_string);
        self.take_strings(db, &strings)?;
        for (entry, fate) in self
            .staging
            .take(self.server, (db, self.existing), &collections)?
        {
            let fate = match fate {
                Staged::Written => Fate::Written,
                Staged::Exists { is_repeated } if is_repeated && self.is_ours(db, entry)? => Fate::Written,
                Staged::Exists { .. } => Fate::Exists,
                Staged::Gone { is_repeated } if is_repeated && self.is_ours(db, entry)? => Fate::Written,
                Staged::Gone { .. } if entry.deadline_ms.is_some() => Fate::Expired,
                Staged::Gone { .. } => Fate::Refused("ERR it was gone before it was whole".into()),
                Staged::Refused(text) => Fate::Refused(text),
            };
            self.note(db, entry, fate)?;
        }
        Ok(())
    }
}
