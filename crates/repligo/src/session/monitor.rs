//! CLIENT PAUSE, CLIENT UNPAUSE and MONITOR, and what MONITOR shows of a request.

use repligo_core::command::parse_i64;
use repligo_proto::command::CommandId;
use repligo_proto::resp::ArgSlice;
use repligo_proto::words;
use repligo_session::{Call, Pause, Session};

use super::{Endpoints, Local};

/// Bytes of a request that are shown, about: what is behind them is counted.
const SHOWN_BYTES_MAX: usize = 64 << 10;

/// CLIENT PAUSE milliseconds [WRITE|ALL].
pub(super) fn pause(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    if request.len() > 4 {
        let text = words::subcommand_syntax("CLIENT", request.get(1));
        return local.reply(out).error_bytes(&text);
    }
    let pause = match request.try_get(3) {
        None => Pause::All,
        Some(word) if word.eq_ignore_ascii_case(b"ALL") => Pause::All,
        Some(word) if word.eq_ignore_ascii_case(b"WRITE") => Pause::Writes,
        Some(_) => return local.reply(out).error(words::watching::PAUSE_MODE),
    };
    let Some(time_ms) = parse_i64(request.get(2)) else {
        return local.reply(out).error(words::watching::NO_PAUSE_TIME);
    };
    let Ok(time_ms) = u64::try_from(time_ms) else {
        return local.reply(out).error(words::NEGATIVE_TIMEOUT);
    };
    let time_us = time_ms.checked_mul(1000);
    let Some(until_us) = time_us.and_then(|time_us| local.now().mono_us.checked_add(time_us)) else {
        return local.reply(out).error(words::watching::PAUSE_TOO_LONG);
    };
    if time_ms > 0 {
        local.node.pause(local.session, (pause, until_us));
    }
    local.reply(out).ok();
}

/// CLIENT UNPAUSE.
pub(super) fn unpause(local: &mut Local<'_>, out: &mut Vec<u8>) {
    local.node.unpause(local.session);
    local.reply(out).ok();
}

/// MONITOR.
pub(super) fn monitor(local: &mut Local<'_>, out: &mut Vec<u8>) {
    if local.session.is_in_block() {
        return local.reply(out).error(words::watching::MONITOR_IN_BLOCK);
    }
    // As in Redis there is no second reply.
    if !local.session.is_monitor() {
        local.node.monitor(local.session);
        local.reply(out).ok();
    }
}

/// The line that shows a request: when, in which database, from where, and its words but for secrets.
pub fn monitored_line((session, endpoints): (&Session, &Endpoints), call: Call<'_>, wall_us: u64) -> Vec<u8> {
    let (seconds, micros) = (wall_us / 1_000_000, wall_us % 1_000_000);
    let address = match endpoints {
        Endpoints::Unix(path) => format!("unix:{path}"),
        others => others.peer(),
    };
    let mut line = format!("+{seconds}.{micros:06} [{} {address}]", session.database).into_bytes();
    let end = line.len() + SHOWN_BYTES_MAX;
    for (position, word) in call.request.iter().enumerate() {
        line.push(b' ');
        if line.len() >= end {
            let more = call.request.len() - position;
            line.extend_from_slice(format!("... ({more} more arguments)").as_bytes());
            break;
        }
        match is_secret(call, position) {
            true => line.extend_from_slice(b"\"(redacted)\""),
            false => quote(word, end, &mut line),
        }
    }
    line.extend_from_slice(b"\r\n");
    line
}

/// Passwords, and the names beside them. Commands of administrators, which have others, are not shown at all.
fn is_secret(call: Call<'_>, position: usize) -> bool {
    let is_behind_auth = |distance: usize| {
        let word = position
            .checked_sub(distance)
            .and_then(|position| call.request.try_get(position));
        word.is_some_and(|word| word.eq_ignore_ascii_case(b"auth"))
    };
    match call.spec.id {
        CommandId::Auth => position > 0,
        CommandId::Hello => position > 2 && (is_behind_auth(1) || is_behind_auth(2)),
        _ => false,
    }
}

/// Appends a word in quotes, up to about this length of the line.
fn quote(word: &[u8], end: usize, line: &mut Vec<u8>) {
    line.push(b'"');
    for (at, byte) in word.iter().enumerate() {
        if line.len() >= end {
            let more = word.len() - at;
            line.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
            break;
        }
        match byte {
            b'\\' | b'"' => line.extend_from_slice(&[b'\\', *byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            0x07 => line.extend_from_slice(b"\\a"),
            0x08 => line.extend_from_slice(b"\\b"),
            b' '..=b'~' => line.push(*byte),
            byte => line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use repligo_proto::command::resolve;
    use repligo_proto::resp::OwnedRequest;

    use super::*;

    fn line(words: &[&[u8]]) -> String {
        let request = OwnedRequest::new(words);
        let session = Session::new(1, 0, 0, 1 << 20);
        let call = Call {
            spec: resolve(request.view()).expect("a command"),
            request: request.view(),
        };
        let line = monitored_line((&session, &Endpoints::Unix("/s".into())), call, 1_000_002);
        String::from_utf8(line).expect("all is printable")
    }

    #[test]
    fn a_request_is_shown_in_quotes_and_without_secrets() {
        for (words, expect) in [
            (&[&b"get"[..], b"a b"][..], r#""get" "a b""#),
            (
                &[b"SET", b"\"\\\r\n\t\x07\x08", b"\x00\xff\x7f"],
                r#""SET" "\"\\\r\n\t\a\b" "\x00\xff\x7f""#,
            ),
            (&[b"auth", b"secret"], r#""auth" "(redacted)""#),
            (&[b"AUTH", b"u", b"secret"], r#""AUTH" "(redacted)" "(redacted)""#),
            (
                &[b"HELLO", b"3", b"AUTH", b"u", b"secret", b"SETNAME", b"n"],
                r#""HELLO" "3" "AUTH" "(redacted)" "(redacted)" "SETNAME" "n""#,
            ),
        ] {
            assert_eq!(line(words), format!("+1.000002 [0 unix:/s] {expect}\r\n"));
        }
    }

    #[test]
    fn a_long_request_is_cut() {
        let long = vec![b'x'; 10 * SHOWN_BYTES_MAX];
        let line = line(&[b"MSET", b"k", &long, b"l", b"v"]);
        assert!(line.len() < SHOWN_BYTES_MAX + 200, "{}", line.len());
        assert!(
            line.ends_with("more bytes)\" ... (2 more arguments)\r\n"),
            "{line}"
        );
    }
}
