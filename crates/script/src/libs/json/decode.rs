//! `cjson.decode`.

use std::ffi::c_int;

use super::Config;
use crate::lua::{Kind, Lua};
use crate::trampoline::{Fail, NO_MEMORY, bytes};

pub fn decode(lua: &Lua) -> Result<c_int, Fail> {
    if lua.top() != 1 {
        return Err(Fail::Argument(1, "expected 1 argument".to_owned()));
    }
    let text = bytes(lua, 1)?;
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Err(Fail::Text(
            "JSON parser does not support UTF-16 or UTF-32".to_owned(),
        ));
    }
    let mut reader = Reader {
        lua,
        config: lua.host().json.get(),
        text,
        at: 0,
        depth: 0,
        wrong_at: 0,
    };
    let token = reader.next();
    reader.push(token)?;
    match reader.next() {
        (Token::End, _) => Ok(1),
        token => Err(reader.unexpected("the end", token)),
    }
}

#[derive(Debug, PartialEq)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Text(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Wrong(&'static str),
}

impl Token {
    fn name(&self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ArrayBegin => "T_ARR_BEGIN",
            Self::ArrayEnd => "T_ARR_END",
            Self::Text(_) => "T_STRING",
            Self::Number(_) => "T_NUMBER",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::Wrong(what) => what,
        }
    }
}

struct Reader<'a> {
    lua: &'a Lua,
    config: Config,
    text: &'a [u8],
    at: usize,
    depth: i64,
    /// Where the string is wrong that was read last.
    wrong_at: usize,
}

impl Reader<'_> {
    fn unexpected(&self, expected: &str, (token, at): (Token, usize)) -> Fail {
        let found = token.name();
        Fail::Text(format!(
            "Expected {expected} but found {found} at character {}",
            at + 1
        ))
    }

    fn descend(&mut self) -> Result<(), Fail> {
        self.depth += 1;
        if self.depth > self.config.decode_depth_max || !self.lua.has_room(6) {
            return Err(Fail::Text(format!(
                "Found too many nested data structures ({})",
                self.depth
            )));
        }
        Ok(())
    }

    /// Pushes the value that begins with a token.
    fn push(&mut self, (token, at): (Token, usize)) -> Result<(), Fail> {
        self.lua.host().spend(2);
        if self.lua.host().arena.is_overdrawn() {
            return Err(Fail::Plain(NO_MEMORY));
        }
        match token {
            Token::Text(text) => self.lua.push_bytes(&text),
            Token::Number(value) => self.lua.push_number(value),
            Token::Boolean(value) => self.lua.push_boolean(value),
            Token::Null => self.lua.push_null(),
            Token::ObjectBegin => return self.push_object(),
            Token::ArrayBegin => return self.push_array(),
            other => return Err(self.unexpected("value", (other, at))),
        }
        Ok(())
    }

    fn push_object(&mut self) -> Result<(), Fail> {
        self.descend()?;
        self.lua.push_table();
        let mut token = self.next();
        if token.0 == Token::ObjectEnd {
            self.depth -= 1;
            return Ok(());
        }
        loop {
            let (Token::Text(key), _) = token else {
                return Err(self.unexpected("object key string", token));
            };
            self.lua.push_bytes(&key);
            match self.next() {
                (Token::Colon, _) => {}
                other => return Err(self.unexpected("colon", other)),
            }
            let value = self.next();
            self.push(value)?;
            self.lua.set(-3);
            match self.next() {
                (Token::ObjectEnd, _) => break,
                (Token::Comma, _) => token = self.next(),
                other => return Err(self.unexpected("comma or object end", other)),
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn push_array(&mut self) -> Result<(), Fail> {
        self.descend()?;
        self.lua.push_table();
        let mut token = self.next();
        if token.0 == Token::ArrayEnd {
            self.depth -= 1;
            return Ok(());
        }
        for at in 1.. {
            self.push(token)?;
            debug_assert!(!self.lua.is(-1, Kind::Nil), "null is a pointer");
            self.lua.set_at(-2, at);
            match self.next() {
                (Token::ArrayEnd, _) => break,
                (Token::Comma, _) => token = self.next(),
                other => return Err(self.unexpected("comma or array end", other)),
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn next(&mut self) -> (Token, usize) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        let at = self.at;
        let Some(&byte) = self.text.get(at) else {
            return (Token::End, at);
        };
        let single = match byte {
            b'{' => Some(Token::ObjectBegin),
            b'}' => Some(Token::ObjectEnd),
            b'[' => Some(Token::ArrayBegin),
            b']' => Some(Token::ArrayEnd),
            b':' => Some(Token::Colon),
            b',' => Some(Token::Comma),
            0 => Some(Token::End),
            _ => None,
        };
        if let Some(token) = single {
            // A text ends at a zero as at its end, which is an error where there is more.
            if token == Token::End {
                return (Token::Wrong("invalid token"), at);
            }
            self.at += 1;
            return (token, at);
        }
        let token = match byte {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.word(),
        };
        let is_wrong_string = byte == b'"' && matches!(token, Token::Wrong(_));
        (token, if is_wrong_string { self.wrong_at } else { at })
    }

    fn word(&mut self) -> Token {
        let rest = &self.text[self.at..];
        for (word, token) in [
            (&b"true"[..], Token::Boolean(true)),
            (b"false", Token::Boolean(false)),
            (b"null", Token::Null),
        ] {
            if rest.starts_with(word) {
                self.at += word.len();
                return token;
            }
        }
        let starts = |word: &[u8]| rest.len() >= word.len() && rest[..word.len()].eq_ignore_ascii_case(word);
        if self.config.decode_invalid && (starts(b"inf") || starts(b"nan")) {
            return self.number();
        }
        Token::Wrong("invalid token")
    }

    /// A number as C's `strtod` reads it.
    fn number(&mut self) -> Token {
        let rest = &self.text[self.at..];
        let is_negative = rest.first() == Some(&b'-');
        let unsigned = &rest[usize::from(is_negative)..];
        let sign = if is_negative { -1.0 } else { 1.0 };
        let starts =
            |word: &[u8]| unsigned.len() >= word.len() && unsigned[..word.len()].eq_ignore_ascii_case(word);
        let is_plain = matches!(unsigned.first(), Some(b'1'..=b'9'))
            || (unsigned.first() == Some(&b'0')
                && !matches!(unsigned.get(1), Some(b'0'..=b'9' | b'x' | b'X')));
        if !is_plain && !self.config.decode_invalid {
            return Token::Wrong("invalid number");
        }
        let (value, bytes) = if starts(b"infinity") {
            (f64::INFINITY, 8)
        } else if starts(b"inf") {
            (f64::INFINITY, 3)
        } else if starts(b"nan") {
            (f64::NAN, 3)
        } else if starts(b"0x") {
            let digits = unsigned[2..].iter().take_while(|byte| byte.is_ascii_hexdigit());
            let (count, value) = digits.fold((0, 0.0), |(count, value), digit| {
                let digit = char::from(*digit).to_digit(16).unwrap_or_default();
                (count + 1, value * 16.0 + f64::from(digit))
            });
            if count > 0 { (value, 2 + count) } else { (0.0, 1) }
        } else {
            let bytes = decimal_bytes(unsigned);
            let text = std::str::from_utf8(&unsigned[..bytes]).unwrap_or_default();
            match text.parse() {
                Ok(value) => (value, bytes),
                Err(_) => return Token::Wrong("invalid number"),
            }
        };
        self.at += usize::from(is_negative) + bytes;
        Token::Number(sign * value)
    }

    fn string(&mut self) -> Token {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let Some(&byte) = self.text.get(self.at) else {
                self.wrong_at = self.at;
                return Token::Wrong("unexpected end of string");
            };
            self.wrong_at = self.at;
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => {
                    let Some(&escape) = self.text.get(self.at) else {
                        return Token::Wrong("unexpected end of string");
                    };
                    self.at += 1;
                    match escape {
                        b'"' | b'\\' | b'/' => out.push(escape),
                        b'b' => out.push(8),
                        b't' => out.push(b'\t'),
                        b'n' => out.push(b'\n'),
                        b'f' => out.push(12),
                        b'r' => out.push(b'\r'),
                        b'u' => match self.code_point() {
                            Some(code) => put_code(&mut out, code),
                            None => return Token::Wrong("invalid unicode escape code"),
                        },
                        _ => return Token::Wrong("invalid escape code"),
                    }
                }
                other => out.push(other),
            }
        }
        self.lua.host().spend(out.len() as u64 / 8);
        Token::Text(out)
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        let value = digits.iter().try_fold(0, |value, digit| {
            Some(value << 4 | char::from(*digit).to_digit(16)?)
        })?;
        self.at += 4;
        Some(value)
    }

    fn code_point(&mut self) -> Option<u32> {
        let first = self.hex4()?;
        if first & 0xf800 != 0xd800 {
            return Some(first);
        }
        if first & 0x400 != 0 || self.text.get(self.at..self.at + 2) != Some(b"\\u") {
            return None;
        }
        self.at += 2;
        let second = self.hex4()?;
        (second & 0xfc00 == 0xdc00).then_some(((first & 0x3ff) << 10 | second & 0x3ff) + 0x1_0000)
    }
}

/// How much of a text `strtod` takes for a decimal number.
fn decimal_bytes(text: &[u8]) -> usize {
    let digits = |from: usize| {
        text[from.min(text.len())..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let mut end = digits(0);
    if text.get(end) == Some(&b'.') {
        end += 1 + digits(end + 1);
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end
}

/// UTF-8 of any number that an escape can say, halves of pairs excluded.
fn put_code(out: &mut Vec<u8>, code: u32) {
    let mut buffer = [0; 4];
    if let Some(character) = char::from_u32(code) {
        out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
    }
}
