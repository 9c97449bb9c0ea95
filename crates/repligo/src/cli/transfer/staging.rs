//! Writes collections into a server, each whole or not at all.
//!
//! A collection is made under a name of our own and gets its key when it is whole, by RENAMENX, so that nobody sees a
//! part of one and nothing that is there is overwritten unless it is asked for. One that fits into a request is made
//! and named in a single transaction. Every transaction may be sent again: it begins with what makes an earlier
//! sending of it undone. What is made over several transactions goes by itself if nobody comes back for it.

use std::hash::{BuildHasher as _, RandomState};

use repligo_proto::resp::Value;

use super::Outcome;
use super::content::{Kind, write_piece};
use super::format::Entry;
use super::server::{Reply, Requests, Server};
use super::stream;
use super::target::Existing;

/// How long an unfinished collection stays: far longer than its next piece takes.
const UNFINISHED_MS: &str = "3600000";
/// Bytes of collections that are sent at once.
const SENT_BYTES: usize = 4 << 20;

/// What became of a collection.
#[derive(Debug, PartialEq, Eq)]
pub enum Staged {
    Written,
    /// The key is there already; an earlier sending may have written it.
    Exists {
        is_repeated: bool,
    },
    /// It was not there any more when it should have got its key: expired, or an earlier sending has done so.
    Gone {
        is_repeated: bool,
    },
    /// With the error.
    Refused(String),
}

/// See the module.
pub struct Staging {
    /// The name under which collections are made.
    name: Vec<u8>,
}

impl Staging {
    /// With a name that nobody else has.
    pub fn new() -> Staging {
        let part = || RandomState::new().hash_one(0);
        Staging {
            name: format!("repligo-import:{:016x}{:016x}", part(), part()).into_bytes(),
        }
    }

    /// Writes the collections.
    ///
    /// # Errors
    /// As [`Server::ask`].
    pub fn take<'e>(
        &self,
        server: &mut Server,
        (db, existing): (u32, Existing),
        entries: &[&'e Entry],
    ) -> Outcome<Vec<(&'e Entry, Staged)>> {
        let mut done = Vec::with_capacity(entries.len());
        let mut rest = entries;
        while let Some(first) = rest.first() {
            if is_long(first) {
                done.push((*first, self.take_long(server, (db, existing), first)?));
                rest = &rest[1..];
                continue;
            }
            let mut bytes = 0;
            let count = rest.iter().take_while(|entry| {
                let fits = bytes < SENT_BYTES && !is_long(entry);
                bytes += entry.bytes();
                fits
            });
            let (some, others) = rest.split_at(count.count());
            let replies = server.ask(Requests {
                db,
                count: some.len(),
                width: 7,
                push: &|at, connection| {
                    let (entry, name) = (some[at], self.name.as_slice());
                    connection.push(&["MULTI"]);
                    connection.push(&[b"DEL".as_slice(), name]);
                    for request in write_piece(entry.content.kind, name, &entry.content.parts) {
                        connection.push(&request);
                    }
                    self.settle(entry, existing, &mut |words| connection.push(words));
                },
            })?;
            done.extend(
                some.iter()
                    .zip(&replies)
                    .map(|(entry, reply)| (*entry, fate(reply))),
            );
            rest = others;
        }
        Ok(done)
    }

    /// The four requests that give a collection its deadline and its key, and end the transaction.
    fn settle(&self, entry: &Entry, existing: Existing, push: &mut dyn FnMut(&[&[u8]])) {
        let name = self.name.as_slice();
        match entry.deadline_ms {
            None => push(&[b"PERSIST", name]),
            Some(deadline_ms) => {
                let mut digits = itoa::Buffer::new();
                push(&[b"PEXPIREAT", name, digits.format(deadline_ms).as_bytes()]);
            }
        }
        match existing {
            Existing::Replace => push(&[b"RENAME", name, &entry.key]),
            Existing::Fail | Existing::Skip => push(&[b"RENAMENX", name, &entry.key]),
        }
        push(&[b"DEL", name]);
        push(&[b"EXEC"]);
    }

    /// One that takes several requests.
    fn take_long(
        &self,
        server: &mut Server,
        (db, existing): (u32, Existing),
        entry: &Entry,
    ) -> Outcome<Staged> {
        let (kind, name) = (entry.content.kind, self.name.as_slice());
        let mut made = 0;
        for piece in entry.content.pieces() {
            let last = format!("{}", made as i64 - 1);
            let requests = write_piece(kind, name, piece);
            // Elements of a list that an earlier sending of this piece has put behind it go first. Entries of a stream
            // have numbers, which are not given twice.
            let undo: Vec<&[u8]> = match (made, kind) {
                (0, _) => vec![b"DEL", name],
                (_, Kind::List) => vec![b"LTRIM", name, b"0", last.as_bytes()],
                _ => vec![b"EXISTS", name],
            };
            let replies = server.ask(Requests {
                db,
                count: 1,
                width: 5 + requests.len(),
                push: &|_, connection| {
                    connection.push(&["MULTI"]);
                    connection.push(&[b"EXISTS".as_slice(), name]);
                    connection.push(&undo);
                    requests.iter().for_each(|words| connection.push(words));
                    connection.push(&[b"PEXPIRE".as_slice(), name, UNFINISHED_MS.as_bytes()]);
                    connection.push(&["EXEC"]);
                },
            })?;
            match executed(&replies[0], kind) {
                Err(text) => return Ok(Staged::Refused(text)),
                // What was made so far is lost: the key must not get a part of it.
                Ok([Value::Integer(0), ..]) if made > 0 => {
                    return Ok(Staged::Refused("ERR what was made of it is gone".into()));
                }
                Ok(_) => made += piece.len(),
            }
        }
        let replies = server.ask(Requests {
            db,
            count: 1,
            width: 5,
            push: &|_, connection| {
                connection.push(&["MULTI"]);
                self.settle(entry, existing, &mut |words| connection.push(words));
            },
        })?;
        Ok(fate(&replies[0]))
    }
}

/// Whether it takes several requests or transactions.
fn is_long(entry: &Entry) -> bool {
    entry.content.kind == Kind::Stream || entry.content.pieces().len() > 1
}

/// The replies inside of EXEC's, or why there are none. What an earlier sending has added to a stream is no error.
fn executed(reply: &Reply, kind: Kind) -> Result<&[Value], String> {
    let all = reply.values.last().and_then(Value::as_array);
    let inside = all.into_iter().flatten();
    let is_done = |text: &&str| kind == Kind::Stream && reply.is_repeated && stream::is_done_already(text);
    let mut errors = reply.values.iter().chain(inside).filter_map(Value::as_error);
    let error = errors.find(|text| !is_done(text));
    match (all, error) {
        (_, Some(text)) => Err(text.to_string()),
        (Some(all), None) => Ok(all),
        (None, None) => Err("EXEC gave no array".into()),
    }
}

/// What the transaction that ends with [`Staging::settle`] has done.
fn fate(reply: &Reply) -> Staged {
    let is_repeated = reply.is_repeated;
    let all = match executed(reply, Kind::String) {
        Err(text) if text.starts_with("ERR no such key") => return Staged::Gone { is_repeated },
        Err(text) => return Staged::Refused(text),
        Ok(all) => all,
    };
    match all {
        [.., Value::Integer(0), _] => Staged::Exists { is_repeated },
        [.., Value::Integer(1) | Value::Simple(_), _] => Staged::Written,
        _ => Staged::Refused("ERR the transaction gave other replies".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: Vec<Value>, expect: Staged) {
        let reply = Reply {
            values,
            is_repeated: true,
        };
        assert_eq!(fate(&reply), expect);
    }

    #[test]
    fn what_a_transaction_has_done_is_told_from_its_replies() {
        let exec = |renamed: Value| {
            let all = vec![Value::Integer(0), Value::Integer(1), renamed, Value::Integer(0)];
            vec![Value::Simple("OK".into()), Value::Array(all)]
        };
        check(exec(Value::Integer(1)), Staged::Written);
        check(exec(Value::Simple("OK".into())), Staged::Written);
        check(exec(Value::Integer(0)), Staged::Exists { is_repeated: true });
        let gone = Value::Error("ERR no such key".into());
        check(exec(gone), Staged::Gone { is_repeated: true });
        let oom = || Value::Error("OOM command not allowed".into());
        let aborted = Value::Error("EXECABORT Transaction discarded".into());
        let expected = || Staged::Refused("OOM command not allowed".into());
        check(vec![oom(), aborted], expected());
        check(exec(oom()), expected());
        check(
            vec![Value::NullArray],
            Staged::Refused("EXEC gave no array".into()),
        );
    }

    #[test]
    fn entries_of_a_stream_that_an_earlier_sending_has_added_are_no_error() {
        let refused = Value::Error("ERR The ID specified in XADD is equal or smaller than the target".into());
        let busy = Value::Error("BUSYGROUP Consumer Group name already exists".into());
        for (kind, is_repeated, is_fine) in [
            (Kind::Stream, true, true),
            (Kind::Stream, false, false),
            (Kind::List, true, false),
        ] {
            let reply = Reply {
                values: vec![Value::Array(vec![refused.clone(), busy.clone()])],
                is_repeated,
            };
            assert_eq!(executed(&reply, kind).is_ok(), is_fine, "{kind:?} {is_repeated}");
        }
        let reply = Reply {
            values: vec![Value::Array(vec![
                busy,
                Value::Error("OOM command not allowed".into()),
            ])],
            is_repeated: true,
        };
        assert!(executed(&reply, Kind::Stream).is_err());
    }
}
