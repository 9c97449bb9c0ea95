//! Elements packed into one string: listpacks, the ziplists of earlier versions, and sets of integers.

use std::borrow::Cow;

use super::Bad;
use super::reader::{Reader, little_endian};

/// How the elements are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Texts and numbers.
    Listpack,
    /// The same, as versions before 7.0 wrote them.
    Ziplist,
    /// Numbers of one width.
    Integers,
}

/// Such a string, and how far its elements are taken.
#[derive(Debug)]
pub struct Blob {
    form: Form,
    bytes: Vec<u8>,
    at: usize,
    /// Integers have so many bytes each.
    width: usize,
}

/// Bytes in front of the elements of each form.
const LISTPACK_HEAD_BYTES: usize = 6;
const ZIPLIST_HEAD_BYTES: usize = 10;
const INTEGERS_HEAD_BYTES: usize = 8;
/// Behind the last element.
const END: u8 = 0xff;

impl Blob {
    /// The elements of a string.
    ///
    /// # Errors
    /// If its head does not say what it holds.
    pub fn new(form: Form, bytes: Vec<u8>) -> Result<Self, Bad> {
        let word = |at: usize| {
            let word = bytes.get(at..at + 4).ok_or(Bad)?;
            Ok(u32::from_le_bytes(word.try_into().map_err(|_| Bad)?) as usize)
        };
        let (at, width) = match form {
            Form::Integers => {
                let (width, count) = (word(0)?, word(4)?);
                let is_whole = count.checked_mul(width) == bytes.len().checked_sub(INTEGERS_HEAD_BYTES);
                if !matches!(width, 2 | 4 | 8) || !is_whole {
                    return Err(Bad);
                }
                (INTEGERS_HEAD_BYTES, width)
            }
            _ if word(0)? != bytes.len() => return Err(Bad),
            Form::Listpack => (LISTPACK_HEAD_BYTES, 0),
            Form::Ziplist => (ZIPLIST_HEAD_BYTES, 0),
        };
        Ok(Self {
            form,
            bytes,
            at,
            width,
        })
    }

    /// The next element; `None` at the end.
    ///
    /// # Errors
    /// If there is neither.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator cannot lend what it gives out"
    )]
    pub fn next(&mut self) -> Result<Option<Cow<'_, [u8]>>, Bad> {
        let mut reader = Reader {
            bytes: &self.bytes,
            at: self.at,
        };
        let element = match self.form {
            Form::Integers if self.at == self.bytes.len() => None,
            Form::Integers => Some(integer(little_endian(reader.take(self.width)?))),
            _ if self.bytes.get(self.at) == Some(&END) => {
                if self.at + 1 != self.bytes.len() {
                    return Err(Bad);
                }
                None
            }
            Form::Listpack => Some(listpack_element(&mut reader)?),
            Form::Ziplist => Some(ziplist_element(&mut reader)?),
        };
        self.at = reader.at;
        Ok(element)
    }
}

fn integer<'a>(number: i64) -> Cow<'a, [u8]> {
    Cow::Owned(number.to_string().into_bytes())
}

fn listpack_element<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, [u8]>, Bad> {
    let begin = reader.at;
    let first = reader.byte()?;
    let element = match first {
        0..=0x7f => integer(i64::from(first)),
        0x80..=0xbf => Cow::Borrowed(reader.take(usize::from(first & 0x3f))?),
        0xc0..=0xdf => {
            let number = i64::from(first & 0x1f) << 8 | i64::from(reader.byte()?);
            // Its highest bit, of thirteen, is the sign.
            integer(if number >> 12 == 1 {
                number - (1 << 13)
            } else {
                number
            })
        }
        0xe0..=0xef => {
            let length = usize::from(first & 0x0f) << 8 | usize::from(reader.byte()?);
            Cow::Borrowed(reader.take(length)?)
        }
        0xf0 => {
            let length = reader.take(4)?;
            let length = u32::from_le_bytes(length.try_into().map_err(|_| Bad)?);
            Cow::Borrowed(reader.take(length as usize)?)
        }
        0xf1 => integer(little_endian(reader.take(2)?)),
        0xf2 => integer(little_endian(reader.take(3)?)),
        0xf3 => integer(little_endian(reader.take(4)?)),
        0xf4 => integer(little_endian(reader.take(8)?)),
        _ => return Err(Bad),
    };
    // Its length stands behind it, for walks from the end.
    reader.take(match reader.at - begin {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    })?;
    Ok(element)
}

fn ziplist_element<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, [u8]>, Bad> {
    // The length of the one before.
    if reader.byte()? == 0xfe {
        reader.take(4)?;
    }
    let first = reader.byte()?;
    Ok(match (first >> 6, first) {
        (0, _) => Cow::Borrowed(reader.take(usize::from(first))?),
        (1, _) => {
            let length = usize::from(first & 0x3f) << 8 | usize::from(reader.byte()?);
            Cow::Borrowed(reader.take(length)?)
        }
        (2, _) => {
            let length = reader.take(4)?;
            let length = u32::from_be_bytes(length.try_into().map_err(|_| Bad)?);
            Cow::Borrowed(reader.take(length as usize)?)
        }
        (_, 0xc0) => integer(little_endian(reader.take(2)?)),
        (_, 0xd0) => integer(little_endian(reader.take(4)?)),
        (_, 0xe0) => integer(little_endian(reader.take(8)?)),
        (_, 0xf0) => integer(little_endian(reader.take(3)?)),
        (_, 0xfe) => integer(little_endian(reader.take(1)?)),
        (_, 0xf1..=0xfd) => integer(i64::from(first & 0x0f) - 1),
        _ => return Err(Bad),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(form: Form, body: &[u8]) -> Result<Vec<String>, Bad> {
        let head: &[u8] = match form {
            Form::Listpack => &[0; 2],
            _ => &[0; 6],
        };
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(head);
        bytes.extend_from_slice(body);
        let length = bytes.len() as u32;
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        let (mut blob, mut found) = (Blob::new(form, bytes)?, Vec::new());
        while let Some(element) = blob.next()? {
            found.push(String::from_utf8_lossy(&element).into_owned());
        }
        Ok(found)
    }

    #[test]
    fn elements_are_read_in_every_form() {
        let listpack = b"\x05\x01\x82ab\x03\xdf\xff\x02\xe0\x01x\x03\xf1\x00\x80\x03\xf0\x01\0\0\0y\x06\xff";
        let found = elements(Form::Listpack, listpack);
        assert_eq!(
            found,
            Ok(["5", "ab", "-1", "x", "-32768", "y"].map(String::from).to_vec())
        );
        let ziplist = b"\x00\x02ab\x04\xf1\x02\xc0\x00\x80\x04\xfe\xff\x03\xfd\xff";
        let found = elements(Form::Ziplist, ziplist);
        assert_eq!(
            found,
            Ok(["ab", "0", "-32768", "-1", "12"].map(String::from).to_vec())
        );
        for body in [
            &b""[..],
            b"\x05",
            b"\x05\x01",
            b"\xff\xff",
            b"\x83ab\xff",
            b"\xf5\x01\xff",
        ] {
            assert_eq!(elements(Form::Listpack, body), Err(Bad), "{body:?}");
        }
        let mut blob =
            Blob::new(Form::Integers, b"\x02\0\0\0\x02\0\0\0\xff\xff\x05\0".to_vec()).expect("two of them");
        assert_eq!(blob.next().expect("one").as_deref(), Some(&b"-1"[..]));
        assert_eq!(blob.next().expect("another").as_deref(), Some(&b"5"[..]));
        assert_eq!(blob.next().map(|end| end.is_none()), Ok(true));
        assert!(Blob::new(Form::Integers, b"\x03\0\0\0\0\0\0\0".to_vec()).is_err());
        assert!(Blob::new(Form::Integers, b"\x02\0\0\0\x02\0\0\0\0\0".to_vec()).is_err());
    }
}
