//! The JSON form of a row: one flat object whose members are columns.
//!
//! Not a general JSON library: values are null, booleans, numbers and strings. The canonical form has
//! every mapped member, in configured order, without spaces, strings in UTF-8 with the shortest escapes,
//! integers of 64 bits, and other numbers in the shortest form that reads back as the same double.
//! Equality of cache and origin is over this form.

use std::fmt::Write as _;

/// One column's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// SQL NULL. A member that a client leaves out is this.
    Null,
    /// A boolean; a database without that type stores 0 or 1 and so returns a number.
    Boolean(bool),
    /// A number without fraction and exponent, within 64 bits.
    Integer(i64),
    /// Any other number; finite.
    Real(f64),
    /// A string.
    Text(String),
}

/// Reads an object into one scalar per member of `members`, in that order. The error is a sentence that
/// says what is wrong and, for an unmapped member, what is allowed.
pub fn parse_row(members: &[String], json: &[u8]) -> Result<Vec<Scalar>, String> {
    let text = std::str::from_utf8(json).map_err(|_| "the value is not UTF-8".to_owned())?;
    let mut parser = Parser { text, at: 0 };
    let mut row: Vec<Option<Scalar>> = vec![None; members.len()];
    parser.expect(b'{')?;
    if !parser.accept(b'}') {
        loop {
            let name = parser.string()?;
            let index = members.iter().position(|m| *m == name).ok_or_else(|| {
                format!(
                    "member '{}' is not mapped (mapped are: {})",
                    shorten(&name),
                    members.join(", ")
                )
            })?;
            parser.expect(b':')?;
            let value = parser.scalar(&name)?;
            if row[index].replace(value).is_some() {
                return Err(format!("member '{name}' comes twice"));
            }
            if parser.accept(b'}') {
                break;
            }
            parser.expect(b',')?;
        }
    }
    parser.skip_space();
    if parser.at != text.len() {
        return Err(parser.wrong("the end of the value"));
    }
    Ok(row
        .into_iter()
        .map(|value| value.unwrap_or(Scalar::Null))
        .collect())
}

/// Writes a row in canonical form. `members` and `row` have equal length.
pub fn render_row(members: &[String], row: &[Scalar]) -> Vec<u8> {
    debug_assert_eq!(members.len(), row.len());
    let mut out = String::with_capacity(16 * members.len() + 2);
    out.push('{');
    for (index, (member, value)) in members.iter().zip(row).enumerate() {
        if index > 0 {
            out.push(',');
        }
        render_string(member, &mut out);
        out.push(':');
        match value {
            Scalar::Null => out.push_str("null"),
            Scalar::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
            Scalar::Integer(value) => {
                let _ = write!(out, "{value}");
            }
            Scalar::Real(value) => out.push_str(&render_real(*value)),
            Scalar::Text(value) => render_string(value, &mut out),
        }
    }
    out.push('}');
    out.into_bytes()
}

/// The shortest decimal form that reads back as `value`, always with a fraction or an exponent, so that
/// it reads back as a real. Infinities become the smallest literal that overflows to them.
pub fn render_real(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "9e999" } else { "-9e999" }.to_owned();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-5..1e17).contains(&magnitude) {
        format!("{value:e}")
    } else {
        format!("{value:?}")
    }
}

fn render_string(value: &str, out: &mut String) {
    out.push('"');
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

fn shorten(name: &str) -> String {
    name.chars().take(64).collect()
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn accept(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        if self.accept(byte) {
            Ok(())
        } else {
            Err(self.wrong(&format!("'{}'", byte as char)))
        }
    }

    fn wrong(&self, expected: &str) -> String {
        format!("not a JSON object: expected {expected} at byte {}", self.at)
    }

    fn scalar(&mut self, name: &str) -> Result<Scalar, String> {
        self.skip_space();
        let rest = &self.text[self.at..];
        for (word, value) in [
            ("null", Scalar::Null),
            ("true", Scalar::Boolean(true)),
            ("false", Scalar::Boolean(false)),
        ] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        match self.peek() {
            Some(b'"') => self.string().map(Scalar::Text),
            Some(b'-' | b'0'..=b'9') => self.number(name),
            Some(b'{' | b'[') => Err(format!(
                "member '{name}' is an object or a list; a column holds null, a boolean, a number or a string"
            )),
            _ => Err(self.wrong("a value")),
        }
    }

    fn number(&mut self, name: &str) -> Result<Scalar, String> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let leading_zero = self.peek() == Some(b'0');
        let count = self.digits();
        if count == 0 || (leading_zero && count > 1) {
            return Err(self.wrong("a number without leading zeros"));
        }
        let whole_end = self.at;
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.wrong("a digit"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            if self.digits() == 0 {
                return Err(self.wrong("a digit"));
            }
        }
        let literal = &self.text[start..self.at];
        if self.at == whole_end {
            return literal
                .parse()
                .map(Scalar::Integer)
                .map_err(|_| format!("member '{name}' does not fit into 64 bits; send it as a string"));
        }
        match literal.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Scalar::Real(value)),
            _ => Err(format!("member '{name}' is beyond the range of a double")),
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn string(&mut self) -> Result<String, String> {
        self.expect(b'"')?;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest
                .bytes()
                .position(|b| b == b'"' || b == b'\\' || b < b' ')
                .ok_or_else(|| self.wrong("the end of a string"))?;
            out.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                _ => return Err(self.wrong("no control character in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let byte = self.peek();
        self.at += 1;
        Ok(match byte {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => {
                self.at -= 1;
                return Err(self.wrong("an escape"));
            }
        })
    }

    fn unicode_escape(&mut self) -> Result<char, String> {
        let first = self.four_hex()?;
        let code = if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            let second = self.four_hex()?;
            if !(0xdc00..0xe000).contains(&second) {
                return Err(self.wrong("the second half of a surrogate pair"));
            }
            0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| self.wrong("no lone surrogate"))
    }

    fn four_hex(&mut self) -> Result<u32, String> {
        let digits = self
            .text
            .as_bytes()
            .get(self.at..self.at + 4)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .ok_or_else(|| self.wrong("four hexadecimal digits"))?;
        let value = u32::from_str_radix(digits, 16).map_err(|_| self.wrong("four hexadecimal digits"))?;
        self.at += 4;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> Vec<String> {
        ["name", "age", "x"].map(str::to_owned).to_vec()
    }

    fn check(json: &str, expect: Result<&str, &str>) {
        let got = parse_row(&members(), json.as_bytes()).map(|row| render_row(&members(), &row));
        match (got, expect) {
            (Ok(got), Ok(expect)) => {
                assert_eq!(String::from_utf8_lossy(&got), expect, "{json}");
                let again = parse_row(&members(), &got).map(|row| render_row(&members(), &row));
                assert_eq!(
                    again.as_deref(),
                    Ok(&got[..]),
                    "canonical form of {json} is not stable"
                );
            }
            (Err(error), Err(expect)) => assert!(error.contains(expect), "{json}: {error}"),
            (got, expect) => panic!("{json}: got {got:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn rows_have_one_canonical_form() {
        check("{}", Ok(r#"{"name":null,"age":null,"x":null}"#));
        check(
            " { \"age\" : 5 ,\n\"name\":\"a\\u0062\\n\\u00e9\\ud83d\\ude00\\u0001\" } ",
            Ok("{\"name\":\"ab\\né😀\\u0001\",\"age\":5,\"x\":null}"),
        );
        check(
            r#"{"x":true,"age":-0,"name":"\/\"\\"}"#,
            Ok(r#"{"name":"/\"\\","age":0,"x":true}"#),
        );
        check(
            r#"{"x":1.50,"age":1e3,"name":null}"#,
            Ok(r#"{"name":null,"age":1000.0,"x":1.5}"#),
        );
        check(
            r#"{"x":1e300,"age":1.5e-9,"name":0.1}"#,
            Ok(r#"{"name":0.1,"age":1.5e-9,"x":1e300}"#),
        );
        check(
            r#"{"age":-9223372036854775808}"#,
            Ok(r#"{"name":null,"age":-9223372036854775808,"x":null}"#),
        );
    }

    #[test]
    fn what_does_not_fit_the_columns_is_refused() {
        for (json, expect) in [
            ("", "expected '{' at byte 0"),
            ("[]", "expected '{'"),
            ("{", "expected '\"'"),
            ("{\"name\":\"a\"} x", "expected the end of the value at byte 13"),
            ("{\"nam\":1}", "'nam' is not mapped (mapped are: name, age, x)"),
            ("{\"age\":1,\"age\":2}", "comes twice"),
            ("{\"age\":[1]}", "object or a list"),
            ("{\"age\":01}", "leading zeros"),
            ("{\"age\":-}", "a number"),
            ("{\"age\":1.}", "a digit"),
            ("{\"age\":9223372036854775808}", "64 bits"),
            ("{\"age\":1e999}", "range of a double"),
            ("{\"age\":nul}", "a value"),
            ("{\"age\":1,}", "'\"'"),
            ("{\"name\":\"\\ud800\"}", "surrogate"),
            ("{\"name\":\"\\ud800\\u0041\"}", "surrogate"),
            ("{\"name\":\"\\x\"}", "an escape"),
            ("{\"name\":\"\\u+123\"}", "hexadecimal"),
            ("{\"name\":\"a\nb\"}", "control character"),
            ("{\"name\":\"a", "end of a string"),
        ] {
            check(json, Err(expect));
        }
        assert!(parse_row(&members(), b"{\"name\":\"\xff\"}").is_err());
    }
}
