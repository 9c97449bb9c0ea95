//! The library `struct`: values to and from packed bytes.

use std::ffi::c_int;

use crate::ffi;
use crate::lua::{Kind, Lua};
use crate::number::truncated;
use crate::trampoline::{Fail, bytes, integer_or, native, number};

pub(super) const FUNCTIONS: [(&str, ffi::Function); 3] = [("pack", pack), ("unpack", unpack), ("size", size)];

native! {
    pack => pack_values;
    unpack => unpack_values;
    size => measure;
}

/// Longest integer.
const INTEGER_BYTES_MAX: usize = 32;
/// Alignment that `!` alone asks for.
const NATIVE_ALIGNMENT: usize = 8;

/// How a format is read.
struct Format<'a> {
    rest: &'a [u8],
    is_little: bool,
    alignment: usize,
}

/// One value of a format.
enum Item {
    Padding,
    Integer {
        bytes: usize,
        is_signed: bool,
    },
    Float,
    Double,
    /// A string that ends with a zero.
    Text,
    /// So many bytes; 0: as long as the argument, or as the number before it says.
    Bytes(usize),
}

impl Item {
    fn integer(bytes: usize, is_signed: bool) -> Self {
        Self::Integer { bytes, is_signed }
    }

    fn bytes(&self) -> usize {
        match *self {
            Self::Padding => 1,
            Self::Integer { bytes, .. } => bytes,
            Self::Float => 4,
            Self::Double => 8,
            Self::Text => 0,
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl<'a> Format<'a> {
    fn new(text: &'a [u8]) -> Self {
        // A format of C ends at its first zero.
        let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
        Self {
            rest: &text[..end],
            is_little: cfg!(target_endian = "little"),
            alignment: 1,
        }
    }

    /// The digits that follow, as a number.
    fn number(&mut self) -> Result<Option<usize>, Fail> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut value = 0usize;
        for digit in &self.rest[..digits] {
            value = value * 10 + usize::from(digit - b'0');
            if value > i32::MAX as usize {
                return Err(Fail::Text("integral size overflow".to_owned()));
            }
        }
        self.rest = &self.rest[digits..];
        Ok((digits > 0).then_some(value))
    }

    /// The next value, and how many bytes stand in front of it for its alignment, `at` being where it would begin.
    fn next(&mut self, at: usize) -> Result<Option<(Item, usize)>, Fail> {
        loop {
            let Some((&option, rest)) = self.rest.split_first() else {
                return Ok(None);
            };
            self.rest = rest;
            let item = match option {
                b'b' => Item::integer(1, true),
                b'B' => Item::integer(1, false),
                b'h' => Item::integer(2, true),
                b'H' => Item::integer(2, false),
                b'l' => Item::integer(8, true),
                b'L' | b'T' => Item::integer(8, false),
                b'i' | b'I' => {
                    let bytes = self.number()?.unwrap_or(4);
                    if bytes > INTEGER_BYTES_MAX {
                        let text =
                            format!("integral size {bytes} is larger than limit of {INTEGER_BYTES_MAX}");
                        return Err(Fail::Text(text));
                    }
                    Item::integer(bytes, option == b'i')
                }
                b'f' => Item::Float,
                b'd' | b'n' => Item::Double,
                b's' => Item::Text,
                b'c' => Item::Bytes(self.number()?.unwrap_or(1)),
                b'x' => Item::Padding,
                b' ' => continue,
                b'<' => {
                    self.is_little = true;
                    continue;
                }
                b'>' => {
                    self.is_little = false;
                    continue;
                }
                b'!' => {
                    let alignment = self.number()?.unwrap_or(NATIVE_ALIGNMENT);
                    if !alignment.is_power_of_two() {
                        return Err(Fail::Text("alignment is not a power of 2".to_owned()));
                    }
                    self.alignment = alignment;
                    continue;
                }
                other => {
                    return Err(Fail::Argument(
                        1,
                        format!("invalid format option '{}'", char::from(other)),
                    ));
                }
            };
            let padding = self.padding(&item, at);
            return Ok(Some((item, padding)));
        }
    }

    fn padding(&self, item: &Item, at: usize) -> usize {
        let is_bytes = matches!(item, Item::Bytes(_));
        let bytes = item.bytes().min(self.alignment);
        if bytes <= 1 || is_bytes || !bytes.is_power_of_two() {
            return 0;
        }
        (bytes - (at & (bytes - 1))) & (bytes - 1)
    }

    fn put(&self, out: &mut Vec<u8>, value: u64, bytes: usize) {
        // Beyond 64 bits there are zeros, as where C shifts them in.
        let byte = |at: usize| if at < 8 { (value >> (at * 8)) as u8 } else { 0 };
        if self.is_little {
            out.extend((0..bytes).map(byte));
        } else {
            out.extend((0..bytes).rev().map(byte));
        }
    }

    fn take(&self, data: &[u8], is_signed: bool) -> f64 {
        let bytes = data.len();
        let at = |index: usize| data[if self.is_little { bytes - 1 - index } else { index }];
        let value = (0..bytes).fold(0u64, |value, index| value << 8 | u64::from(at(index)));
        if !is_signed {
            return value as f64;
        }
        let unused = 64 - bytes.min(8) as u32 * 8;
        ((value << unused) as i64 >> unused) as f64
    }
}

fn pack_values(lua: &Lua) -> Result<c_int, Fail> {
    let mut format = Format::new(bytes(lua, 1)?);
    let (mut out, mut argument) = (Vec::new(), 2);
    while let Some((item, padding)) = format.next(out.len())? {
        if !lua.host().arena.has_room_for(out.len() + padding + item.bytes()) {
            return Err(Fail::Plain(crate::trampoline::NO_MEMORY));
        }
        out.resize(out.len() + padding, 0);
        match item {
            Item::Padding => {
                out.push(0);
                continue;
            }
            Item::Integer { bytes, .. } => {
                let value = number(lua, argument)?;
                let bits = if value < 0.0 {
                    truncated(value) as u64
                } else {
                    value as u64
                };
                format.put(&mut out, bits, bytes);
            }
            Item::Float => {
                let bits = (number(lua, argument)? as f32).to_bits();
                format.put(&mut out, u64::from(bits), 4);
            }
            Item::Double => format.put(&mut out, number(lua, argument)?.to_bits(), 8),
            Item::Text => {
                out.extend_from_slice(bytes(lua, argument)?);
                out.push(0);
            }
            Item::Bytes(length) => {
                let text = bytes(lua, argument)?;
                let length = if length == 0 { text.len() } else { length };
                let Some(text) = text.get(..length) else {
                    return Err(Fail::Argument(argument + 1, "string too short".to_owned()));
                };
                out.extend_from_slice(text);
            }
        }
        argument += 1;
        lua.host().spend(1);
    }
    lua.push_bytes(&out);
    Ok(1)
}

fn unpack_values(lua: &Lua) -> Result<c_int, Fail> {
    let mut format = Format::new(bytes(lua, 1)?);
    let data = bytes(lua, 2)?;
    let begin = integer_or(lua, 3, 1)?;
    if begin <= 0 {
        return Err(Fail::Argument(3, "offset must be 1 or greater".to_owned()));
    }
    let mut at = begin as usize - 1;
    let mut results = 0;
    let too_short = || Fail::Argument(2, "data string too short".to_owned());
    while let Some((item, padding)) = format.next(at)? {
        at += padding;
        let mut take = |length: usize| {
            let taken = at.checked_add(length).and_then(|end| data.get(at..end));
            at += taken.map_or(0, <[u8]>::len);
            taken.ok_or_else(too_short)
        };
        if !lua.has_room(3) {
            return Err(Fail::Text("too many results to unpack".to_owned()));
        }
        match item {
            Item::Padding => {
                take(1)?;
                continue;
            }
            Item::Integer { bytes, is_signed } => lua.push_number(format.take(take(bytes)?, is_signed)),
            Item::Float => {
                let bits = format.take(take(4)?, false) as u32;
                lua.push_number(f64::from(f32::from_bits(bits)));
            }
            Item::Double => {
                let mut bytes: [u8; 8] = take(8)?.try_into().expect("it has eight bytes");
                if !format.is_little {
                    bytes.reverse();
                }
                lua.push_number(f64::from_le_bytes(bytes));
            }
            Item::Text => {
                let rest = data.get(at..).unwrap_or_default();
                let Some(end) = rest.iter().position(|&byte| byte == 0) else {
                    return Err(Fail::Text("unfinished string in data".to_owned()));
                };
                lua.push_bytes(&rest[..end]);
                at += end + 1;
            }
            Item::Bytes(0) => {
                if results == 0 || !lua.is(-1, Kind::Number) {
                    return Err(Fail::Text("format 'c0' needs a previous size".to_owned()));
                }
                let length = truncated(lua.number(-1).unwrap_or_default());
                let text = take(usize::try_from(length).map_err(|_| too_short())?)?;
                lua.pop(1);
                results -= 1;
                lua.push_bytes(text);
            }
            Item::Bytes(length) => lua.push_bytes(take(length)?),
        }
        results += 1;
        lua.host().spend(1);
    }
    lua.push_number(at as f64 + 1.0);
    Ok(results + 1)
}

fn measure(lua: &Lua) -> Result<c_int, Fail> {
    let mut format = Format::new(bytes(lua, 1)?);
    let mut at = 0usize;
    while let Some((item, padding)) = format.next(at)? {
        match item {
            Item::Text => return Err(Fail::Argument(1, "option 's' has no fixed size".to_owned())),
            Item::Bytes(0) => {
                return Err(Fail::Argument(1, "option 'c0' has no fixed size".to_owned()));
            }
            _ => at += padding + item.bytes(),
        }
    }
    lua.push_number(at as f64);
    Ok(1)
}
