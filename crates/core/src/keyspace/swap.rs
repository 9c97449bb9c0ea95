//! SWAPDB: two databases exchange their places.
//!
//! A database keeps the number under which it was made, which is in the digest of each of its entries, and its place
//! is the number by which commands find it. So an exchange moves two pointers, however much the databases hold.
//!
//! Invariants:
//! - Places that were never exchanged hold the database of their own number. The others hold those of one another,
//!   so no number is in two places.
//! - The exchange is a write of every key of both, with one version: whoever watches one of them sees another version,
//!   also after the databases are back where they were.
//! - A snapshot that is under way tells each database in the place in which it was when the walk began.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words::{self, values};

use super::Keyspace;
use super::contexts::{Changed, WriteContext};
use super::database::Database;
use super::digest::KeyDigest;
use super::handlers::{Handler, write};
use crate::command::{Arguments, CommandError, parse_i64};
use crate::limits::DATABASES;
use crate::packed::{Corrupt, corrupt, put_varint, take_u8, take_varint};
use crate::table::{EntryRef, Meta};

pub(super) const HANDLERS: &[Handler] = &[write("swapdb", swap).checked(check)];

/// What stands for an exchange in the digest, where entries have their kind.
const DIGEST_KIND: u8 = u8::MAX;

fn parse(mut arguments: Arguments<'_>) -> Result<[u8; 2], CommandError> {
    let mut number = |text: &'static str| {
        let number = parse_i64(arguments.take()).and_then(|number| i32::try_from(number).ok());
        number.ok_or(CommandError::fixed(text))
    };
    let (one, other) = (number(values::NO_FIRST_INDEX)?, number(values::NO_SECOND_INDEX)?);
    let place = |number: i32| match u8::try_from(number) {
        Ok(place) if usize::from(place) < DATABASES => Ok(place),
        _ => Err(CommandError::fixed(words::DATABASE_OUT_OF_RANGE)),
    };
    Ok([place(one)?, place(other)?])
}

fn check(arguments: Arguments<'_>) -> Result<(), CommandError> {
    parse(arguments).map(|_| ())
}

/// The databases that a SWAPDB with these arguments exchanges, if any.
pub(crate) fn exchanged(arguments: Arguments<'_>) -> Option<[u8; 2]> {
    parse(arguments).ok().filter(|[one, other]| one != other)
}

/// `index1 index2`.
fn swap(
    context: &mut WriteContext<'_>,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    let [one, other] = parse(arguments)?;
    if one != other {
        context.exchange(one, other);
    }
    reply.ok();
    Ok(Changed::from(one != other))
}

impl Keyspace {
    /// Exchanges two databases.
    pub(super) fn exchange(&mut self, one: u8, other: u8) {
        if self.is_observed() {
            self.note_clear();
        }
        let version = self.next_version();
        // Both are made, so that the number of either stays with the place that it goes to.
        for place in [one, other] {
            self.database_mut(place).note_exchange(version);
        }
        self.databases.swap(usize::from(one), usize::from(other));
    }

    /// The version of an entry, or of the exchange that has brought it.
    pub(super) fn seen_version(&self, db: u8, entry: &EntryRef<'_>) -> u64 {
        let brought = self.database(db).map_or(0, Database::exchange_version);
        entry.version.max(brought)
    }

    /// What exchanges count for in the digest; 0 without any.
    pub(super) fn exchanges_digest(&self) -> u128 {
        let digests = self.exchanges().map(|(place, number, version)| {
            let meta = Meta {
                deadline_ms: None,
                version,
                kind: DIGEST_KIND,
            };
            KeyDigest::new(place, b"").meta(usize::from(number), meta)
        });
        digests.fold(0, u128::wrapping_add)
    }

    /// The places whose databases were exchanged: place, number of the database, version of the last exchange.
    fn exchanges(&self) -> impl Iterator<Item = (u8, u8, u64)> {
        let databases = self.databases.iter().zip(0_u8..);
        databases.filter_map(|(database, place)| {
            let database = database.as_deref()?;
            let version = database.exchange_version();
            (version != 0).then_some((place, database.number(), version))
        })
    }

    /// Which database is in which place.
    pub(super) fn numbers(&self) -> [u8; DATABASES] {
        let mut numbers = std::array::from_fn(|place| place as u8);
        for (place, number, _) in self.exchanges() {
            numbers[usize::from(place)] = number;
        }
        numbers
    }

    /// Where the database of this number is now.
    pub(super) fn place_of(&self, number: u8) -> u8 {
        let numbers = self.numbers();
        let place = numbers.iter().position(|known| *known == number);
        place.expect("every number is in one place") as u8
    }

    /// Where the database is now that was in this place when the snapshot's walk began.
    pub(super) fn place_of_walked(&self, place: usize) -> usize {
        usize::from(self.place_of(self.walked_numbers[place]))
    }

    /// Appends what a snapshot says of exchanges; nothing without any.
    pub(super) fn encode_exchanges(&self, out: &mut Vec<u8>) {
        for (place, number, version) in self.exchanges() {
            out.extend_from_slice(&[place, number]);
            put_varint(out, version);
        }
    }

    /// Takes what [`Keyspace::encode_exchanges`] wrote; versions up to `latest` were given out.
    ///
    /// # Errors
    /// If it was not written by that, or if a database was made already.
    pub(super) fn restore_exchanges(&mut self, input: &mut &[u8], latest: u64) -> Result<(), Corrupt> {
        let (mut places, mut numbers) = (0_u16, 0_u16);
        while !input.is_empty() {
            let (place, number, version) = (take_u8(input)?, take_u8(input)?, take_varint(input)?);
            if usize::from(place.max(number)) >= DATABASES {
                return corrupt("a database number");
            }
            if version == 0 || version > latest {
                return corrupt("a version that was given out");
            }
            if (places | 1 << place) == places || self.databases[usize::from(place)].is_some() {
                return corrupt("one exchange of each database, before its entries");
            }
            places |= 1 << place;
            numbers |= 1 << number;
            self.database_mut(place).restore_exchange(number, version);
        }
        match places == numbers {
            true => Ok(()),
            false => corrupt("as many databases as places"),
        }
    }
}
