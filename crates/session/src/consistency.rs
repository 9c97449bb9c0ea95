//! REPLIGO.CONSISTENCY: at which level a connection reads, asked for and told.
//!
//! It says what READONLY and READWRITE say, for every level: it counts for this connection until it says otherwise, and
//! never below the floor of its user.

use repligo_core::level::{NoLevel, ReadLevel, judge_write_level};
use repligo_proto::resp::ArgSlice;
use repligo_proto::words::level as words;

use crate::{Call, Session};

/// REPLIGO.CONSISTENCY [GET | [READ level] [WRITE level]].
pub(crate) fn execute(session: &mut Session, call: Call<'_>, out: &mut Vec<u8>) {
    let request = call.request;
    let is_get = request.len() == 2 && request.get(1).eq_ignore_ascii_case(b"GET");
    if request.len() == 1 || is_get {
        return tell(session, out);
    }
    match asked(request) {
        Ok(level) => {
            if let Some(level) = level {
                session.ask_for_level(level);
            }
            session.reply(out).ok();
        }
        Err(text) => session.reply(out).error(&text),
    }
}

/// The levels in force, and below which one the reads of its user never go.
fn tell(session: &Session, out: &mut Vec<u8>) {
    let level = session.read_level().to_string();
    let floor = session.access.read_floor().to_string();
    let mut reply = session.reply(out);
    reply.map(3);
    for (name, value) in [("read", &*level), ("read-floor", &*floor), ("write", "quorum")] {
        reply.bulk_str(name);
        reply.bulk_str(value);
    }
}

/// The level of reads that is asked for, if one is; nothing is in force unless all of it can be.
fn asked(request: ArgSlice<'_>) -> Result<Option<ReadLevel>, String> {
    let syntax = || words::CONSISTENCY_SYNTAX.to_owned();
    let (mut read, mut write) = (None, None);
    for at in (1..request.len()).step_by(2) {
        let (kind, level) = (request.get(at), request.try_get(at + 1).ok_or_else(syntax)?);
        let place = match kind {
            _ if kind.eq_ignore_ascii_case(b"READ") => &mut read,
            _ if kind.eq_ignore_ascii_case(b"WRITE") => &mut write,
            _ => return Err(syntax()),
        };
        if place.replace(level).is_some() {
            return Err(syntax());
        }
    }
    if let Some(word) = write {
        judge_write_level(word).map_err(|error| match error {
            NoLevel::NotBuilt => format!("ERR {}", words::WRITE_LEVEL_NOT_BUILT),
            NoLevel::Unknown | NoLevel::NoBound => format!("ERR {}", words::UNKNOWN_WRITE_LEVEL),
        })?;
    }
    let level = read.map(ReadLevel::named).transpose();
    level.map_err(|error| match error {
        NoLevel::Unknown => format!("ERR {}", words::UNKNOWN_READ_LEVEL),
        NoLevel::NotBuilt => format!("ERR {}", words::READ_LEVEL_NOT_BUILT),
        NoLevel::NoBound => format!("ERR {}", words::NO_BOUND),
    })
}

#[cfg(test)]
mod tests {
    use repligo_proto::command::resolve;
    use repligo_proto::resp::OwnedRequest;

    use super::*;

    fn say(session: &mut Session, line: &str) -> String {
        let request = OwnedRequest::new(line.split_whitespace());
        let spec = resolve(request.view()).expect("a row");
        let mut out = Vec::new();
        let call = Call {
            spec,
            request: request.view(),
        };
        execute(session, call, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_connection_says_at_which_level_it_reads_and_is_told() {
        let mut session = Session::new(1, 0, 0, 1 << 20);
        let told = |level: &str| {
            format!(
                "*6\r\n$4\r\nread\r\n${}\r\n{level}\r\n$10\r\nread-floor\r\n$8\r\neventual\r\n\
                 $5\r\nwrite\r\n$6\r\nquorum\r\n",
                level.len()
            )
        };
        assert_eq!(say(&mut session, "REPLIGO.CONSISTENCY"), told("linearizable"));
        for (words, level) in [
            ("READ bounded:200ms", "bounded:200ms"),
            ("read BOUNDED", "bounded:1s"),
            ("WRITE quorum", "bounded:1s"),
            ("WRITE quorum READ eventual", "eventual"),
            ("READ session", "session"),
            ("READ Session+Bounded:20ms", "session+bounded:20ms"),
            ("READ linearizable WRITE quorum", "linearizable"),
        ] {
            assert_eq!(
                say(&mut session, &format!("REPLIGO.CONSISTENCY {words}")),
                "+OK\r\n"
            );
            assert_eq!(
                say(&mut session, "REPLIGO.CONSISTENCY get"),
                told(level),
                "{words}"
            );
        }
        session.speak(true);
        assert!(say(&mut session, "REPLIGO.CONSISTENCY").starts_with("%3\r\n"));
    }

    #[test]
    fn what_is_not_there_is_refused_whole_and_changes_nothing() {
        let mut session = Session::new(1, 0, 0, 1 << 20);
        session.ask_for_level(ReadLevel::Eventual);
        for (words, why) in [
            ("READ", "syntax error"),
            ("GET READ", "syntax error"),
            ("READ eventual READ eventual", "syntax error"),
            ("READS eventual", "syntax error"),
            ("READ linearizable WRITE", "syntax error"),
            ("READ fast", "No such level of reads"),
            ("READ origin", "not in this release"),
            ("READ session:1s", "No such level of reads"),
            ("READ bounded:0ms", "from 1ms to 10s"),
            ("READ linearizable WRITE async", "not in this release"),
            ("READ linearizable WRITE fast", "No such level of writes"),
        ] {
            let reply = say(&mut session, &format!("REPLIGO.CONSISTENCY {words}"));
            assert!(
                reply.starts_with("-ERR ") && reply.contains(why),
                "{words}: {reply}"
            );
            assert_eq!(session.read_level(), ReadLevel::Eventual, "{words}");
        }
    }
}
