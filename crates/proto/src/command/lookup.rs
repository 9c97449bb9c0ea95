//! From the words of a request to a row of the table, without allocation and whatever their case.
//!
//! The index is a table of hashes computed at compile time: the ends of a name are loaded into two words,
//! folded to lower case, hashed by one multiplication and compared as two words, which is all of a name of
//! at most 16 bytes. Longer ones are compared byte by byte besides.

use super::spec::Spec;
use super::table::COMMANDS;
use crate::resp::ArgSlice;

/// Slots of the index: a power of two, several times the number of commands.
const SLOTS: usize = 4096;
/// Longest name that the index holds.
const NAME_BYTES_MAX: usize = 24;
/// Longest name that two words hold whole.
const FOLDED_BYTES_MAX: usize = 16;
/// Odd, and drawn until every name of Redis 7.0 had a slot of its own; `most_names_are_found_at_once` judges it.
const MULTIPLIER: u64 = 0xc401_99db_2806_abbb;

/// A folded name: its first and last eight bytes, which overlap or are zero-filled in short names and leave
/// out the middle of long ones.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Folded {
    head: u64,
    tail: u64,
}

#[derive(Clone, Copy)]
struct Slot {
    folded: Folded,
    bytes: u8,
    /// Nothing but letters, and no more than the two words hold: they say it all.
    letters_only: bool,
    /// `None` for an empty slot.
    spec: Option<&'static Spec>,
}

static INDEX: [Slot; SLOTS] = build_index();

/// Why the words of a request name no command that can be executed.
#[derive(Clone, Copy, Debug)]
pub enum Unresolved {
    /// No such command.
    Command,
    /// The container has no such subcommand.
    Subcommand(&'static Spec),
    /// Wrong number of arguments for this command.
    Arity(&'static Spec),
}

/// The command of this name, whatever its case. Subcommands are found by [`Spec::subcommand`].
#[inline]
pub fn lookup(name: &[u8]) -> Option<&'static Spec> {
    let folded = fold(name)?;
    let mut at = hash(folded, name.len());
    loop {
        let slot = &INDEX[at];
        let spec = slot.spec?;
        if slot.folded == folded && usize::from(slot.bytes) == name.len() {
            // Folding sets one bit of every byte, which is exact for letters only.
            let exact = slot.letters_only || name.eq_ignore_ascii_case(spec.name.as_bytes());
            return exact.then_some(spec);
        }
        at = (at + 1) % SLOTS;
    }
}

impl Spec {
    /// The subcommand of this word, whatever its case.
    pub fn subcommand(&self, word: &[u8]) -> Option<&'static Spec> {
        self.subcommands
            .iter()
            .find(|row| row.word().as_bytes().eq_ignore_ascii_case(word))
    }
}

/// The command (or subcommand) that a request names, with its arity checked.
///
/// # Errors
/// As [`Unresolved`]; `words` has the sentence for each.
///
/// # Panics
/// If the request is empty.
#[inline]
pub fn resolve(request: ArgSlice<'_>) -> Result<&'static Spec, Unresolved> {
    let Some(mut spec) = lookup(request.get(0)) else {
        return Err(Unresolved::Command);
    };
    if !spec.subcommands.is_empty() && request.len() > 1 {
        spec = spec
            .subcommand(request.get(1))
            .ok_or(Unresolved::Subcommand(spec))?;
    }
    if spec.check_arity(request.len()) {
        Ok(spec)
    } else {
        Err(Unresolved::Arity(spec))
    }
}

/// Loads and folds a name; `None` if it is longer than any in the index.
#[inline(always)]
const fn fold(name: &[u8]) -> Option<Folded> {
    const LOWER: u64 = 0x2020_2020_2020_2020;
    let bytes = name.len();
    let (head, tail) = if bytes >= 8 {
        if bytes > NAME_BYTES_MAX {
            return None;
        }
        let (Some(head), Some(tail)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) else {
            return None;
        };
        (u64::from_le_bytes(*head), u64::from_le_bytes(*tail))
    } else if bytes >= 4 {
        let (Some(head), Some(tail)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) else {
            return None;
        };
        (u32::from_le_bytes(*head) as u64, u32::from_le_bytes(*tail) as u64)
    } else if bytes >= 1 {
        let head = u16::from_le_bytes([name[0], name[bytes / 2]]);
        (head as u64, name[bytes - 1] as u64)
    } else {
        return None;
    };
    Some(Folded {
        head: head | LOWER,
        tail: tail | LOWER,
    })
}

#[inline(always)]
const fn hash(folded: Folded, bytes: usize) -> usize {
    let mixed = folded.head ^ folded.tail.rotate_left(29) ^ bytes as u64;
    (mixed.wrapping_mul(MULTIPLIER) >> (64 - SLOTS.trailing_zeros())) as usize
}

const fn build_index() -> [Slot; SLOTS] {
    const EMPTY: Slot = Slot {
        folded: Folded { head: 0, tail: 0 },
        bytes: 0,
        letters_only: false,
        spec: None,
    };
    assert!(COMMANDS.len() * 4 <= SLOTS, "probing must stay short");
    let mut index = [EMPTY; SLOTS];
    let mut row = 0;
    while row < COMMANDS.len() {
        let name = COMMANDS[row].name.as_bytes();
        let Some(folded) = fold(name) else {
            panic!("a command name is empty or too long for the index")
        };
        let mut letters_only = name.len() <= FOLDED_BYTES_MAX;
        let mut byte = 0;
        while byte < name.len() {
            letters_only &= name[byte].is_ascii_lowercase();
            byte += 1;
        }
        let mut at = hash(folded, name.len());
        while index[at].spec.is_some() {
            at = (at + 1) % SLOTS;
        }
        index[at] = Slot {
            folded,
            bytes: name.len() as u8,
            letters_only,
            spec: Some(&COMMANDS[row]),
        };
        row += 1;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::CommandId;
    use crate::resp::OwnedRequest;

    #[test]
    fn every_command_is_found_in_any_case_and_nothing_else_is() {
        for spec in COMMANDS {
            for name in [spec.name.to_owned(), spec.name.to_uppercase()] {
                assert_eq!(
                    lookup(name.as_bytes()).map(|found| found.id),
                    Some(spec.id),
                    "{name}"
                );
                for byte in 0..name.len() {
                    for bit in 0..8 {
                        let mut wrong = name.clone().into_bytes();
                        wrong[byte] ^= 1 << bit;
                        let expect = COMMANDS
                            .iter()
                            .find(|c| c.name.as_bytes().eq_ignore_ascii_case(&wrong));
                        assert_eq!(lookup(&wrong).map(|c| c.id), expect.map(|c| c.id), "{wrong:?}");
                    }
                }
            }
        }
        for name in ["", "g", "nosuch", "averylongcommandnamethatisnone"] {
            assert!(lookup(name.as_bytes()).is_none(), "{name}");
        }
    }

    #[test]
    fn most_names_are_found_at_once() {
        let home = |spec: &Spec| fold(spec.name.as_bytes()).map(|folded| hash(folded, spec.name.len()));
        let displaced = COMMANDS
            .iter()
            .filter(|spec| home(spec).is_none_or(|at| INDEX[at].spec.is_none_or(|found| found.id != spec.id)))
            .count();
        assert!(
            displaced <= 4,
            "{displaced} names collide: choose another multiplier"
        );
    }

    #[test]
    fn a_request_resolves_to_its_subcommand_and_its_arity_is_checked() {
        let check = |words: &[&str]| match resolve(OwnedRequest::new(words).view()) {
            Ok(spec) => spec.name.to_owned(),
            Err(Unresolved::Command) => "no command".to_owned(),
            Err(Unresolved::Subcommand(spec)) => format!("no subcommand of {}", spec.name),
            Err(Unresolved::Arity(spec)) => format!("arity of {}", spec.name),
        };
        assert_eq!(check(&["get", "k"]), "get");
        assert_eq!(check(&["GET"]), "arity of get");
        assert_eq!(check(&["foo"]), "no command");
        assert_eq!(check(&["client"]), "arity of client");
        assert_eq!(check(&["client", "Id"]), "client|id");
        assert_eq!(check(&["client", "id", "x"]), "arity of client|id");
        assert_eq!(check(&["client", "foo"]), "no subcommand of client");
        assert_eq!(check(&["command"]), "command");
        assert_eq!(check(&["get|x", "client"]), "no command");
        assert_eq!(
            lookup(b"RePlIgO.sTaTuS").map(|c| c.id),
            Some(CommandId::RepligoStatus)
        );
    }
}
