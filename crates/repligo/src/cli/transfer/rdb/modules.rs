//! What modules have written: it is skipped, and its module named.

use std::io::Read;

use super::bytes::{Broken, Bytes};

/// Six bits of a module's number each name a letter.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Letters of a name, behind which ten bits tell a version.
const NAME_LETTERS: u32 = 9;

/// Values that cannot be skipped, since nothing in them says how long they are.
pub fn ancient() -> Broken {
    Broken::Foreign(
        "a value of a module in the form of Redis 4.0 before its release, which nobody but the module can read".into(),
        "delete the keys of modules, save the file again, and import that",
    )
}

/// The value of a key; the name of its type.
pub fn read_value<R: Read>(bytes: &mut Bytes<R>) -> Result<String, Broken> {
    let name = name(bytes.length()?);
    skip(bytes)?;
    Ok(format!("module {name}"))
}

/// What a module keeps beside keys; its name.
pub fn read_aux<R: Read>(bytes: &mut Bytes<R>) -> Result<String, Broken> {
    let name = name(bytes.length()?);
    // When it was to be loaded: a number with its mark.
    bytes.length()?;
    bytes.length()?;
    skip(bytes)?;
    Ok(name)
}

fn name(number: u64) -> String {
    let letter = |at: u32| char::from(LETTERS[(number >> (64 - 6 * (at + 1)) & 63) as usize]);
    (0..NAME_LETTERS).map(letter).collect()
}

/// Numbers and strings, each behind a mark, up to the mark of the end.
fn skip<R: Read>(bytes: &mut Bytes<R>) -> Result<(), Broken> {
    loop {
        match bytes.length()? {
            0 => return Ok(()),
            1 | 2 => drop(bytes.length()?),
            3 => drop(bytes.array::<4>()?),
            4 => drop(bytes.array::<8>()?),
            5 => drop(bytes.string()?),
            _ => return Err(Broken::Damaged("a module has written something unknown")),
        }
    }
}
