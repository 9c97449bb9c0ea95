//! Splits an inline request into arguments by the quoting rules of Redis.
//!
//! Rules (as the console of Redis has them): arguments are separated by white space; inside double
//! quotes `\n \r \t \b \a \xHH` are escapes and a backslash makes any other byte literal; inside single
//! quotes only `\'` is one; a closing quote must be followed by white space or the end of the line; a
//! quote may open in the middle of an argument; vertical tab and form feed separate arguments only
//! around other white space or quotes; a NUL ends the line.

use super::args::Args;
use super::error::ProtocolError;

/// Which quotes the current byte is inside of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    None,
    Single,
    Double,
}

/// Fills `args` (which is empty) with copies of the arguments in `line`, which has no end of line.
pub(super) fn split(line: &[u8], args: &mut Args) -> Result<(), ProtocolError> {
    args.inline = true;
    let line = &line[..memchr::memchr(0, line).unwrap_or(line.len())];
    let mut rest = line;
    loop {
        while let Some((first, after)) = rest.split_first()
            && is_space(*first)
        {
            rest = after;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let start = args.inline_bytes.len();
        rest = one_argument(rest, &mut args.inline_bytes)?;
        let end = args.inline_bytes.len();
        args.push(start, end);
    }
}

/// Appends the argument at the start of `rest` to `out` and returns what follows it.
fn one_argument<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    let mut quotes = Quotes::None;
    loop {
        let (taken, byte) = match (quotes, rest) {
            (Quotes::None, []) => return Ok(rest),
            (Quotes::None, [b' ' | b'\t' | b'\n' | b'\r', ..]) => return Ok(rest),
            (_, []) => return Err(ProtocolError::UnbalancedQuotes),
            (Quotes::None, [b'"', ..]) => (1, Err(Quotes::Double)),
            (Quotes::None, [b'\'', ..]) => (1, Err(Quotes::Single)),
            (Quotes::Double, [b'"', after @ ..]) | (Quotes::Single, [b'\'', after @ ..]) => {
                return match after.first() {
                    Some(next) if !is_space(*next) => Err(ProtocolError::UnbalancedQuotes),
                    _ => Ok(after),
                };
            }
            (Quotes::Single, [b'\\', b'\'', ..]) => (2, Ok(b'\'')),
            (Quotes::Double, [b'\\', b'x', high, low, ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (4, Ok(high << 4 | low)),
                _ => (2, Ok(b'x')),
            },
            (Quotes::Double, [b'\\', escaped, ..]) => (2, Ok(unescape(*escaped))),
            (_, [first, ..]) => (1, Ok(*first)),
        };
        match byte {
            Ok(byte) => out.push(byte),
            Err(opened) => quotes = opened,
        }
        rest = &rest[taken..];
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

fn unescape(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expect: Result<&[&str], ProtocolError>) {
        let mut args = Args::new();
        let got = split(line.as_bytes(), &mut args);
        let list: Vec<_> = args.view(b"").iter().map(String::from_utf8_lossy).collect();
        match expect {
            Ok(expect) => {
                assert_eq!(got, Ok(()), "{line:?}");
                assert_eq!(list, expect, "{line:?}");
            }
            Err(error) => assert_eq!(got, Err(error), "{line:?}"),
        }
    }

    #[test]
    fn arguments_are_split_as_redis_splits_them() {
        check("", Ok(&[]));
        check(" \t ", Ok(&[]));
        check("PING", Ok(&["PING"]));
        check("  set  a\tb ", Ok(&["set", "a", "b"]));
        check(r#"set "a b" 'c d'"#, Ok(&["set", "a b", "c d"]));
        check(r#""" ''"#, Ok(&["", ""]));
        check(r#""\x41\n\t\"\\\q""#, Ok(&["A\n\t\"\\q"]));
        check(r#""\xZZ""#, Ok(&["xZZ"]));
        check(r"'it\'s' '\n'", Ok(&["it's", r"\n"]));
        check(r#"foo"bar""#, Ok(&["foobar"]));
        check(r"a\nb", Ok(&[r"a\nb"]));
        check("a\0 b", Ok(&["a"]));
        check("a\x0bb\x0c \x0bc \"d\"\x0be", Ok(&["a\x0bb\x0c", "c", "d", "e"]));
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in [r#""a"#, "'a", r#""a"b"#, "'a'b", r#""\""#, r#"""""#, r#"a""#] {
            check(line, Err(ProtocolError::UnbalancedQuotes));
        }
    }
}
