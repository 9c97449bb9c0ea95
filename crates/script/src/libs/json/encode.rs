//! `cjson.encode`.

use std::ffi::c_int;

use super::{Config, Invalid};
use crate::lua::{Kind, Lua};
use crate::number::general;
use crate::trampoline::{Fail, NO_MEMORY};

pub fn encode(lua: &Lua) -> Result<c_int, Fail> {
    if lua.top() != 1 {
        return Err(Fail::Argument(1, "expected 1 argument".to_owned()));
    }
    let mut writer = Writer {
        lua,
        config: lua.host().json.get(),
        out: Vec::new(),
    };
    writer.put(0)?;
    lua.push_bytes(&writer.out);
    Ok(1)
}

struct Writer<'a> {
    lua: &'a Lua,
    config: Config,
    out: Vec<u8>,
}

impl Writer<'_> {
    /// Appends the value on top, which stays.
    fn put(&mut self, depth: i64) -> Result<(), Fail> {
        self.lua.host().spend(2);
        if !self.lua.host().arena.has_room_for(self.out.len()) {
            return Err(Fail::Plain(NO_MEMORY));
        }
        match self.lua.kind(-1) {
            Kind::String => self.put_text(),
            Kind::Number => self.put_number()?,
            Kind::Boolean => {
                let text = if self.lua.boolean(-1) { "true" } else { "false" };
                self.out.extend_from_slice(text.as_bytes());
            }
            Kind::Nil => self.out.extend_from_slice(b"null"),
            Kind::Pointer if self.lua.is_null(-1) => self.out.extend_from_slice(b"null"),
            Kind::Table => self.put_table(depth + 1)?,
            _ => return Err(self.refused("type not supported")),
        }
        Ok(())
    }

    fn refused(&self, reason: &str) -> Fail {
        let name = self.lua.kind(-1).name();
        Fail::Text(format!("Cannot serialise {name}: {reason}"))
    }

    fn put_table(&mut self, depth: i64) -> Result<(), Fail> {
        if depth > self.config.encode_depth_max || !self.lua.has_room(6) {
            return Err(Fail::Text(format!(
                "Cannot serialise, excessive nesting ({depth})"
            )));
        }
        match self.array_length()? {
            Some(length) => {
                self.out.push(b'[');
                for at in 1..=length {
                    if at > 1 {
                        self.out.push(b',');
                    }
                    self.lua.get_at(-1, at as c_int);
                    self.put(depth)?;
                    self.lua.pop(1);
                }
                self.out.push(b']');
                Ok(())
            }
            None => self.put_object(depth),
        }
    }

    /// The length of a table that is an array; one with holes may be refused.
    fn array_length(&self) -> Result<Option<i64>, Fail> {
        let (mut max, mut count) = (0i64, 0i64);
        self.lua.push_nil();
        while self.lua.next(-2) {
            self.lua.pop(1);
            self.lua.host().spend(1);
            let key = self.lua.number(-1).filter(|_| self.lua.is(-1, Kind::Number));
            let Some(key) = key.filter(|key| *key != 0.0 && key.floor() == *key && *key >= 1.0) else {
                self.lua.pop(1);
                return Ok(None);
            };
            max = max.max(key as i64);
            count += 1;
        }
        let config = &self.config;
        let is_sparse = config.sparse_ratio > 0
            && max > count.saturating_mul(config.sparse_ratio)
            && max > config.sparse_safe;
        if is_sparse && !config.sparse_convert {
            return Err(self.refused("excessively sparse array"));
        }
        Ok((!is_sparse && count > 0 && max <= i64::from(i32::MAX)).then_some(max))
    }

    fn put_object(&mut self, depth: i64) -> Result<(), Fail> {
        self.out.push(b'{');
        let mut is_first = true;
        self.lua.push_nil();
        while self.lua.next(-2) {
            if !std::mem::replace(&mut is_first, false) {
                self.out.push(b',');
            }
            // The text of a key that is a number must not replace the key.
            self.lua.push_value(-2);
            match self.lua.kind(-1) {
                Kind::Number => {
                    self.out.push(b'"');
                    self.put_number()?;
                    self.out.push(b'"');
                }
                Kind::String => self.put_text(),
                _ => {
                    self.lua.pop(3);
                    return Err(self.refused("table key must be a number or string"));
                }
            }
            self.lua.pop(1);
            self.out.push(b':');
            self.put(depth)?;
            self.lua.pop(1);
        }
        self.out.push(b'}');
        Ok(())
    }

    fn put_number(&mut self) -> Result<(), Fail> {
        let value = self.lua.number(-1).unwrap_or_default();
        if !value.is_finite() {
            match self.config.encode_invalid {
                Invalid::Refused => return Err(self.refused("must not be NaN or Inf")),
                Invalid::Null => {
                    self.out.extend_from_slice(b"null");
                    return Ok(());
                }
                Invalid::Written => {}
            }
        }
        let text = general(value, self.config.precision as usize);
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn put_text(&mut self) {
        let text = self.lua.bytes(-1).unwrap_or_default();
        self.lua.host().spend(text.len() as u64 / 8);
        self.out.reserve(text.len() + 2);
        self.out.push(b'"');
        for &byte in text {
            match byte {
                b'"' | b'\\' | b'/' => self.out.extend_from_slice(&[b'\\', byte]),
                8 => self.out.extend_from_slice(b"\\b"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                12 => self.out.extend_from_slice(b"\\f"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                0..=31 | 127 => self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => self.out.push(byte),
            }
        }
        self.out.push(b'"');
    }
}
