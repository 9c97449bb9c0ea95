//! Encoder of replies: appends RESP2 or RESP3 to a buffer that the caller owns.
//!
//! It is not a value tree: aggregates are written as a header with a count, and the caller then writes
//! exactly that many elements. It never fails and never looks back at what it wrote.
//!
//! Invariants: every call appends one whole element (or one aggregate header); text in simple strings
//! and errors never contains CR or LF, so a reply cannot be split by what a client sent.

/// Longest line of an integer: a mark, an `i64` with its sign, and CRLF.
const INTEGER_LINE_BYTES_MAX: usize = 23;

/// Writes replies in the protocol version of one connection.
#[derive(Debug)]
pub struct ReplyWriter<'a> {
    /// `None` discards everything.
    out: Option<&'a mut Vec<u8>>,
    resp3: bool,
}

impl<'a> ReplyWriter<'a> {
    /// Appends to `out`, in RESP3 if `resp3`, else in RESP2.
    pub fn new(out: &'a mut Vec<u8>, resp3: bool) -> Self {
        ReplyWriter {
            out: Some(out),
            resp3,
        }
    }

    /// A writer that writes nothing: for applying a command whose reply nobody waits for.
    pub fn discard() -> ReplyWriter<'static> {
        ReplyWriter {
            out: None,
            resp3: false,
        }
    }

    /// True for RESP3.
    pub fn is_resp3(&self) -> bool {
        self.resp3
    }

    /// True if everything is thrown away, so that costly rendering may be skipped.
    pub fn is_discard(&self) -> bool {
        self.out.is_none()
    }

    /// Bytes written to the underlying buffer so far, including what was there before; 0 if discarding.
    pub fn position(&self) -> usize {
        self.out.as_ref().map_or(0, |out| out.len())
    }

    /// What was written behind `position`, as it was told by [`Self::position`].
    pub fn written_since(&self, position: usize) -> &[u8] {
        self.out.as_ref().map_or(&[], |out| &out[position..])
    }

    /// Takes back everything behind `position`, as it was told by [`Self::position`].
    pub fn rewind(&mut self, position: usize) {
        if let Some(out) = &mut self.out {
            out.truncate(position);
        }
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    /// A simple string. CR and LF become spaces.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error. `text` starts with the code word, without the dash; CR and LF become spaces.
    pub fn error(&mut self, text: &str) {
        self.line(b'-', text.as_bytes());
    }

    /// As [`ReplyWriter::error`], for text that quotes what a client sent.
    pub fn error_bytes(&mut self, text: &[u8]) {
        self.line(b'-', text);
    }

    /// An integer.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        let Some(out) = &mut self.out else { return };
        match value {
            0 => out.extend_from_slice(b":0\r\n"),
            1 => out.extend_from_slice(b":1\r\n"),
            _ => integer_line(out, b':', value),
        }
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, value: &[u8]) {
        let Some(out) = &mut self.out else { return };
        out.reserve(value.len() + INTEGER_LINE_BYTES_MAX + 2);
        integer_line(out, b'$', value.len() as i64);
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }

    /// A bulk string, unless it is longer than `bytes_max`, 999 or more: then nothing is written, and false returned.
    /// For a value of three digits or fewer it does what [`ReplyWriter::bulk`] does, without a comparison more.
    #[inline]
    pub fn bulk_up_to(&mut self, value: &[u8], bytes_max: usize) -> bool {
        debug_assert!(bytes_max >= 999, "what is shorter is not compared");
        let Some(out) = &mut self.out else { return true };
        let before = out.len();
        out.reserve(value.len() + INTEGER_LINE_BYTES_MAX + 2);
        if !integer_line_if(out, b'$', value.len() as i64, |length| {
            length as usize <= bytes_max
        }) {
            // No memory is held for what is not written.
            out.shrink_to(before);
            return false;
        }
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
        true
    }

    /// Header of a bulk string that the caller writes in parts, with [`ReplyWriter::raw`]: so many bytes, then CRLF.
    pub fn bulk_header(&mut self, bytes: usize) {
        self.header(b'$', bytes);
    }

    /// A bulk string from text.
    #[inline]
    pub fn bulk_str(&mut self, value: &str) {
        self.bulk(value.as_bytes());
    }

    /// No value: `$-1` in RESP2, `_` in RESP3.
    #[inline]
    pub fn null(&mut self) {
        self.raw(if self.resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// No array: `*-1` in RESP2, `_` in RESP3.
    pub fn null_array(&mut self) {
        self.raw(if self.resp3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// Header of an array; `count` elements follow.
    #[inline]
    pub fn array(&mut self, count: usize) {
        self.header(b'*', count);
    }

    /// Header of a map; `pairs` keys and values follow in turn. RESP2 has an array of `2 * pairs`.
    pub fn map(&mut self, pairs: usize) {
        if self.resp3 {
            self.header(b'%', pairs);
        } else {
            self.header(b'*', pairs * 2);
        }
    }

    /// Header of a set; `count` elements follow. RESP2 has an array.
    pub fn set(&mut self, count: usize) {
        self.header(if self.resp3 { b'~' } else { b'*' }, count);
    }

    /// Header of an out-of-band push; `count` elements follow. RESP2 has an array.
    pub fn push(&mut self, count: usize) {
        self.header(if self.resp3 { b'>' } else { b'*' }, count);
    }

    /// A floating-point number, as [`double_text`] says it; a bulk string in RESP2.
    pub fn double(&mut self, value: f64) {
        if self.out.is_none() {
            return;
        }
        let text = double_text(value);
        if self.resp3 {
            self.line(b',', text.as_bytes());
        } else {
            self.bulk(text.as_bytes());
        }
    }

    /// A truth value; 1 or 0 in RESP2.
    pub fn boolean(&mut self, value: bool) {
        match (self.resp3, value) {
            (true, true) => self.raw(b"#t\r\n"),
            (true, false) => self.raw(b"#f\r\n"),
            (false, _) => self.integer(i64::from(value)),
        }
    }

    /// A text with its format (three bytes, `txt` or `mkd`); a bulk string in RESP2.
    ///
    /// # Panics
    /// If `format` is not three bytes long.
    pub fn verbatim(&mut self, format: &str, value: &[u8]) {
        assert_eq!(format.len(), 3, "a verbatim format has three bytes");
        if !self.resp3 {
            return self.bulk(value);
        }
        let Some(out) = &mut self.out else { return };
        integer_line(out, b'=', value.len() as i64 + 4);
        out.extend_from_slice(format.as_bytes());
        out.push(b':');
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }

    /// Bytes that are encoded already.
    #[inline]
    pub fn raw(&mut self, encoded: &[u8]) {
        if let Some(out) = &mut self.out {
            out.extend_from_slice(encoded);
        }
    }

    #[inline]
    fn header(&mut self, mark: u8, count: usize) {
        if let Some(out) = &mut self.out {
            integer_line(out, mark, count as i64);
        }
    }

    fn line(&mut self, mark: u8, text: &[u8]) {
        let Some(out) = &mut self.out else { return };
        out.reserve(text.len() + 3);
        out.push(mark);
        let start = out.len();
        out.extend_from_slice(text);
        for byte in &mut out[start..] {
            if matches!(*byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// `mark`, the number and CRLF. Lengths and counters are mostly short, and an append of fixed size is
/// one or two stores, where one of variable size is a call.
#[inline]
pub(crate) fn integer_line(out: &mut Vec<u8>, mark: u8, value: i64) {
    integer_line_if(out, mark, value, |_| true);
}

/// As [`integer_line`], but a number of four digits or more has to be accepted; false, and nothing is written, if it
/// is not.
#[inline(always)]
fn integer_line_if(out: &mut Vec<u8>, mark: u8, value: i64, accepts: impl FnOnce(i64) -> bool) -> bool {
    let digit = |power: i64| b'0' + (value / power % 10) as u8;
    match value {
        0..10 => out.extend_from_slice(&[mark, digit(1), b'\r', b'\n']),
        10..100 => out.extend_from_slice(&[mark, digit(10), digit(1), b'\r', b'\n']),
        100..1000 => out.extend_from_slice(&[mark, digit(100), digit(10), digit(1), b'\r', b'\n']),
        _ if !accepts(value) => return false,
        _ => long_integer_line(out, mark, value),
    }
    true
}

fn long_integer_line(out: &mut Vec<u8>, mark: u8, value: i64) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value).as_bytes();
    out.reserve(digits.len() + 3);
    out.push(mark);
    out.extend_from_slice(digits);
    out.extend_from_slice(b"\r\n");
}

/// The text of a double as Redis 7.0 writes it: `inf`, `-inf`, `nan`, or seventeen digits without the zeros at
/// their end, with an exponent below 10⁻⁴ and from 10¹⁷ on (`%.17g` in C).
pub fn double_text(value: f64) -> String {
    /// Digits of a text.
    const DIGITS: i32 = 17;
    /// Integers below it are written as they are.
    const WHOLE_MAX: f64 = 1e15;
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if value.abs() < WHOLE_MAX && value.fract() == 0.0 && value.to_bits() != (-0.0f64).to_bits() {
        return itoa::Buffer::new().format(value as i64).to_owned();
    }
    let text = format!("{:.1$e}", value.abs(), DIGITS as usize - 1);
    let (mantissa, exponent) = text.split_once('e').expect("this form has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a small number");
    let digits = mantissa.replace('.', "");
    let digits = match digits.trim_end_matches('0') {
        "" => "0",
        digits => digits,
    };
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let (whole, fraction, suffix) = if !(-4..DIGITS).contains(&exponent) {
        let mark = if exponent < 0 { '-' } else { '+' };
        let suffix = format!("e{mark}{:02}", exponent.unsigned_abs());
        (digits[..1].to_owned(), digits[1..].to_owned(), suffix)
    } else if exponent < 0 {
        let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
        ("0".to_owned(), zeros + digits, String::new())
    } else {
        let (whole, fraction) = digits.split_at(digits.len().min(exponent as usize + 1));
        let zeros = "0".repeat(exponent as usize + 1 - whole.len());
        (whole.to_owned() + &zeros, fraction.to_owned(), String::new())
    };
    let point = if fraction.is_empty() { "" } else { "." };
    [sign, &whole, point, &fraction, &suffix].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl Fn(&mut ReplyWriter), resp2: &str, resp3: &str) {
        for (resp3_on, expect) in [(false, resp2), (true, resp3)] {
            let mut out = b"before".to_vec();
            let mut writer = ReplyWriter::new(&mut out, resp3_on);
            assert_eq!(writer.is_resp3(), resp3_on);
            write(&mut writer);
            assert_eq!(String::from_utf8_lossy(&out), format!("before{expect}"));
        }
        let mut nothing = ReplyWriter::discard();
        write(&mut nothing);
        assert_eq!(nothing.position(), 0);
    }

    #[test]
    fn every_kind_of_reply_in_both_protocols() {
        check(|w| w.ok(), "+OK\r\n", "+OK\r\n");
        check(|w| w.simple("QUEUED"), "+QUEUED\r\n", "+QUEUED\r\n");
        check(|w| w.error("ERR no"), "-ERR no\r\n", "-ERR no\r\n");
        check(|w| w.bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n");
        check(
            |w| w.bulk(b"0123456789"),
            "$10\r\n0123456789\r\n",
            "$10\r\n0123456789\r\n",
        );
        check(|w| w.null(), "$-1\r\n", "_\r\n");
        check(|w| w.null_array(), "*-1\r\n", "_\r\n");
        check(|w| w.array(12), "*12\r\n", "*12\r\n");
        check(|w| w.map(2), "*4\r\n", "%2\r\n");
        check(|w| w.set(3), "*3\r\n", "~3\r\n");
        check(|w| w.push(3), "*3\r\n", ">3\r\n");
        check(|w| w.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n");
        check(|w| w.boolean(true), ":1\r\n", "#t\r\n");
        check(|w| w.boolean(false), ":0\r\n", "#f\r\n");
        check(
            |w| w.verbatim("txt", b"a\r\nb"),
            "$4\r\na\r\nb\r\n",
            "=8\r\ntxt:a\r\nb\r\n",
        );
        check(|w| w.raw(b":7\r\n"), ":7\r\n", ":7\r\n");
    }

    #[test]
    fn integers_at_their_edges() {
        for value in [0, 1, 2, 9, 10, -1, -10, 99, 100, i64::MAX, i64::MIN] {
            let expect = format!(":{value}\r\n");
            check(|w| w.integer(value), &expect, &expect);
        }
    }

    #[test]
    fn a_line_cannot_be_split_by_quoted_input() {
        check(
            |w| w.error_bytes(b"ERR 'a\r\n+OK'"),
            "-ERR 'a  +OK'\r\n",
            "-ERR 'a  +OK'\r\n",
        );
    }

    #[test]
    fn doubles_as_redis_writes_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-2.25, "-2.25"),
            (0.1, "0.10000000000000001"),
            (-1234.5678, "-1234.5678"),
            (3.0e-5, "3.0000000000000001e-05"),
            (1e-4, "0.0001"),
            (1e-310, "9.9999999999999694e-311"),
            (1.000_007_629_394_531_3, "1.0000076293945312"),
            (1e15, "1000000000000000"),
            (12_345_678_901_234_567.0, "12345678901234568"),
            (1e17, "1e+17"),
            (123_456_789_012_345_678.0, "1.2345678901234568e+17"),
            (1e22, "1e+22"),
            (-1e300, "-1.0000000000000001e+300"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ];
        for (value, expect) in cases {
            assert_eq!(double_text(value), expect);
        }
    }
}
