//! REPLIGO.BACKUP: reading a snapshot of all data from this node, for `repligo backup`.
//!
//! A client begins, asks until the snapshot is on the node's disk, reads it piece by piece at its own speed, and ends.
//! What it has to wait for makes its connection wait, and nobody else.

use bytes::Bytes;
use repligo_core::command::parse_i64;
use repligo_proto::resp::ArgSlice;
use repligo_session::Flow;
use serde_json::Value;

use super::Local;

const USAGE: &str = "ERR usage: REPLIGO.BACKUP BEGIN | STATE id | READ id offset | END id";

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupRequest {
    /// For a snapshot that holds everything that is applied now.
    Begin,
    /// How far that one is.
    State(u64),
    /// For the next bytes.
    Read {
        /// As [`BackupAnswer::Json`] of the beginning has told.
        id: u64,
        /// From where on.
        offset: u64,
    },
    /// It needs nothing more.
    End(u64),
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupAnswer {
    /// The state.
    Json(Value),
    /// Bytes from the offset on; none at the end.
    Bytes(Bytes),
    /// Not yet: its connection is called when there is an answer.
    Later,
    /// Yes.
    Done,
    /// An error, code word first.
    Refused(String),
}

fn parse(request: ArgSlice<'_>) -> Option<BackupRequest> {
    let number = |position| {
        let number = parse_i64(request.try_get(position)?)?;
        u64::try_from(number).ok()
    };
    let verb = request.get(1).to_ascii_uppercase();
    match (verb.as_slice(), request.len()) {
        (b"BEGIN", 2) => Some(BackupRequest::Begin),
        (b"STATE", 3) => Some(BackupRequest::State(number(2)?)),
        (b"READ", 4) => Some(BackupRequest::Read {
            id: number(2)?,
            offset: number(3)?,
        }),
        (b"END", 3) => Some(BackupRequest::End(number(2)?)),
        _ => None,
    }
}

pub(super) fn dispatch(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) -> Flow {
    let Some(asked) = parse(request) else {
        local.reply(out).error(USAGE);
        return Flow::Done;
    };
    if local.session.is_in_block() {
        // An item of a block cannot wait.
        local
            .reply(out)
            .error("ERR REPLIGO.BACKUP cannot be used inside MULTI");
        return Flow::Done;
    }
    let client = (local.session.slot, local.session.id);
    let answer = local.node.backup(client, asked);
    if asked == BackupRequest::Begin {
        let outcome = match answer {
            BackupAnswer::Refused(_) => "refused",
            _ => "ok",
        };
        local.audit(("backup", outcome), None, &[]);
    }
    match answer {
        BackupAnswer::Json(value) => local.reply(out).bulk_str(&value.to_string()),
        BackupAnswer::Bytes(bytes) => local.reply(out).bulk(&bytes),
        BackupAnswer::Done => local.reply(out).ok(),
        BackupAnswer::Refused(text) => local.reply(out).error(&text),
        BackupAnswer::Later => return Flow::Pause,
    }
    Flow::Done
}

#[cfg(test)]
mod unit {
    use repligo_proto::resp::OwnedRequest;

    use super::*;

    #[test]
    fn requests_have_their_words_and_no_others() {
        let check = |words: &str, expect: Option<BackupRequest>| {
            let words: Vec<&str> = words.split(' ').collect();
            let request = OwnedRequest::new(&words);
            assert_eq!(parse(request.view()), expect, "{words:?}");
        };
        check("REPLIGO.BACKUP begin", Some(BackupRequest::Begin));
        check("REPLIGO.BACKUP STATE 3", Some(BackupRequest::State(3)));
        let read = BackupRequest::Read { id: 3, offset: 0 };
        check("REPLIGO.BACKUP READ 3 0", Some(read));
        check("REPLIGO.BACKUP END 3", Some(BackupRequest::End(3)));
        for wrong in [
            "BEGIN 1",
            "STATE",
            "STATE x",
            "READ 3",
            "READ 3 -1",
            "END -3",
            "STOP 3",
        ] {
            check(&format!("REPLIGO.BACKUP {wrong}"), None);
        }
    }
}
