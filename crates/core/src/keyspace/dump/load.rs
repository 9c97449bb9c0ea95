//! Values from payloads, element by element: nothing of the keyspace is touched before all of it is known to be one.

use repligo_proto::rdb::{Bad, Blob, Form, Reader, Unpacking};

use crate::collection::{End, Hash, List, Score, Set, SortedSet};
use crate::command::parse_i64;
use crate::keyspace::contexts::WriteContext;
use crate::keyspace::sorted_set::number;
use crate::keyspace::typed::Typed;
use crate::limits::{STEP_BYTES, STRING_BYTES_MAX};

/// What was loaded.
pub(super) enum Value {
    String(Vec<u8>),
    List(List),
    Set(Set),
    Hash(Hash),
    SortedSet(SortedSet),
}

/// How the elements of a value are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Each by itself.
    Plain,
    /// Packed into strings.
    Packed(Form),
    /// Packed into listpacks or by themselves, as a number in front of each says.
    Nodes,
}

/// Fields end no later, in milliseconds since the epoch.
const DEADLINE_MAX_MS: u64 = (1 << 48) - 1;

/// Where the deadlines of fields stand, and what of a field was read before the rest is.
#[derive(Debug, Default)]
struct Times {
    /// What deadlines count from, if not from the epoch.
    earliest_ms: Option<u64>,
    /// The deadline of the next field, 0 for none, where it stands in front.
    next: Option<u64>,
    /// The value of a field whose deadline stands behind.
    value: Option<Vec<u8>>,
    /// Some deadline has passed, and its field was left out.
    has_expired: bool,
}

impl Times {
    fn of(kind: u8, reader: &mut Reader<'_>) -> Result<Option<Self>, Bad> {
        let earliest_ms = match kind {
            22 | 23 => None,
            24 | 25 => {
                let bytes = reader.take(8)?.try_into().map_err(|_| Bad)?;
                Some(u64::from_le_bytes(bytes))
            }
            _ => return Ok(None),
        };
        Ok(Some(Self {
            earliest_ms: earliest_ms.filter(|_| kind == 24),
            ..Self::default()
        }))
    }

    /// Takes the deadline in front of a field.
    fn take(&mut self, reader: &mut Reader<'_>) -> Result<(), Bad> {
        let number = reader.length()?;
        let deadline_ms = match (number, self.earliest_ms) {
            (0, _) => Some(0),
            (number, Some(earliest_ms)) => earliest_ms.checked_add(number - 1),
            (number, None) => Some(number),
        };
        let deadline_ms = deadline_ms.filter(|deadline_ms| *deadline_ms <= DEADLINE_MAX_MS);
        self.next = Some(deadline_ms.ok_or(Bad)?);
        Ok(())
    }
}

/// A value that is being loaded.
pub(super) struct Loader {
    value: Value,
    layout: Layout,
    /// Scores are texts, where elements are by themselves.
    has_text_scores: bool,
    /// Strings that are still to be read.
    left: u64,
    at: usize,
    blob: Option<Blob>,
    /// A field, or a member, whose value or score comes next.
    first: Option<Vec<u8>>,
    /// Of a hash whose fields may have deadlines.
    times: Option<Times>,
    unpacking: Unpacking,
    /// Bytes that were read, unpacked.
    bytes: usize,
}

impl Loader {
    /// Begins with what a payload says of its type.
    ///
    /// # Errors
    /// If there is no such type.
    pub fn new(payload: &[u8]) -> Result<Self, Bad> {
        let mut reader = Reader {
            bytes: payload,
            at: 0,
        };
        let kind = reader.byte()?;
        let (value, layout) = match kind {
            0 => (Value::String(Vec::new()), Layout::Plain),
            1 => (Value::List(List::default()), Layout::Plain),
            2 => (Value::Set(Set::default()), Layout::Plain),
            3 | 5 => (Value::SortedSet(SortedSet::default()), Layout::Plain),
            4 => (Value::Hash(Hash::default()), Layout::Plain),
            10 | 14 => (Value::List(List::default()), Layout::Packed(Form::Ziplist)),
            11 => (Value::Set(Set::default()), Layout::Packed(Form::Integers)),
            12 => (
                Value::SortedSet(SortedSet::default()),
                Layout::Packed(Form::Ziplist),
            ),
            13 => (Value::Hash(Hash::default()), Layout::Packed(Form::Ziplist)),
            16 => (Value::Hash(Hash::default()), Layout::Packed(Form::Listpack)),
            17 => (
                Value::SortedSet(SortedSet::default()),
                Layout::Packed(Form::Listpack),
            ),
            18 => (Value::List(List::default()), Layout::Nodes),
            20 => (Value::Set(Set::default()), Layout::Packed(Form::Listpack)),
            22 | 24 => (Value::Hash(Hash::default()), Layout::Plain),
            23 | 25 => (Value::Hash(Hash::default()), Layout::Packed(Form::Listpack)),
            _ => return Err(Bad),
        };
        let times = Times::of(kind, &mut reader)?;
        let has_count = layout != Layout::Packed(Form::Integers) && matches!(kind, 1..=5 | 14 | 18 | 22 | 24);
        let count = if has_count { reader.length()? } else { 1 };
        let of_each = if matches!(kind, 3..=5 | 22 | 24) { 2 } else { 1 };
        Ok(Self {
            value,
            layout,
            has_text_scores: kind == 3,
            left: count.checked_mul(of_each).ok_or(Bad)?,
            at: reader.at,
            blob: None,
            first: None,
            times,
            unpacking: Unpacking::default(),
            bytes: 0,
        })
    }

    /// Goes on; true when all of it is there.
    ///
    /// # Errors
    /// If it is no value: cut off, without elements, with two that are the same, longer than a string may be.
    pub fn advance(&mut self, context: &mut WriteContext<'_>, payload: &[u8]) -> Result<bool, Bad> {
        while self.blob.is_some() || self.left > 0 {
            if context.is_spent() {
                return Ok(false);
            }
            if self.blob.is_some() {
                self.next_packed(context)?;
            } else if !self.next_string(context, payload)? {
                // It is spent on unpacking.
                context.spend(usize::MAX);
                return Ok(false);
            }
        }
        let is_empty = match &self.value {
            Value::String(_) => false,
            Value::List(list) => list.count() == 0,
            Value::Set(set) => set.count() == 0,
            Value::Hash(hash) => hash.count() == 0,
            Value::SortedSet(sorted) => sorted.count() == 0,
        };
        let all_expired = self.times.as_ref().is_some_and(|times| times.has_expired);
        match is_empty && !all_expired || self.first.is_some() {
            true => Err(Bad),
            false => Ok(true),
        }
    }

    /// What was loaded.
    pub fn finish(self) -> Value {
        self.value
    }

    fn next_packed(&mut self, context: &mut WriteContext<'_>) -> Result<(), Bad> {
        let Some(mut blob) = self.blob.take() else {
            return Ok(());
        };
        if let Some(element) = blob.next()? {
            self.put(context, &element)?;
            self.blob = Some(blob);
        }
        Ok(())
    }

    /// Reads a string, or a score; false if it is not unpacked yet.
    fn next_string(&mut self, context: &mut WriteContext<'_>, payload: &[u8]) -> Result<bool, Bad> {
        let mut reader = Reader {
            bytes: payload,
            at: self.at,
        };
        if self.layout == Layout::Plain
            && matches!(self.value, Value::SortedSet(_))
            && let Some(member) = self.first.take()
        {
            let score = match self.has_text_scores {
                true => reader.text_score()?,
                false => reader.score()?,
            };
            (self.at, self.left) = (reader.at, self.left - 1);
            self.put_score(context, &member, score)?;
            return Ok(true);
        }
        if self.layout == Layout::Plain
            && self.first.is_none()
            && let Some(times) = &mut self.times
            && times.next.is_none()
        {
            times.take(&mut reader)?;
            self.at = reader.at;
        }
        let form = match self.layout {
            Layout::Plain => None,
            Layout::Packed(form) => Some(form),
            Layout::Nodes => match reader.length()? {
                1 => None,
                2 => Some(Form::Listpack),
                _ => return Err(Bad),
            },
        };
        let budget_bytes = context.steps().saturating_mul(STEP_BYTES);
        let Some(string) = reader.string(&mut self.unpacking, budget_bytes)? else {
            return Ok(false);
        };
        (self.at, self.left) = (reader.at, self.left - 1);
        self.bytes = self.bytes.saturating_add(string.len());
        if self.bytes > STRING_BYTES_MAX {
            return Err(Bad);
        }
        context.spend_bytes(string.len());
        match form {
            Some(form) => self.blob = Some(Blob::new(form, string.into_owned())?),
            None => self.put(context, &string)?,
        }
        Ok(true)
    }

    /// Takes an element, or half of one.
    fn put(&mut self, context: &mut WriteContext<'_>, element: &[u8]) -> Result<(), Bad> {
        context.spend_bytes(element.len());
        let seed = context.hash_seed();
        let is_new = match &mut self.value {
            Value::String(string) => {
                string.extend_from_slice(element);
                true
            }
            Value::List(list) => {
                list.push(End::Tail, element);
                true
            }
            Value::Set(set) => set.insert(element, seed),
            Value::Hash(_) if self.times.is_some() => return self.put_timed(context, element),
            Value::Hash(hash) => match self.first.take() {
                Some(field) => hash.set(&field, element, seed),
                None => {
                    self.first = Some(element.to_vec());
                    true
                }
            },
            Value::SortedSet(_) => match self.first.take() {
                Some(member) => {
                    let score = number::score(element).map_err(|_| Bad)?;
                    return self.put_score(context, &member, score);
                }
                None => {
                    self.first = Some(element.to_vec());
                    true
                }
            },
        };
        is_new.then_some(()).ok_or(Bad)
    }

    /// Takes a field, its value, or its time where that stands behind.
    fn put_timed(&mut self, context: &WriteContext<'_>, element: &[u8]) -> Result<(), Bad> {
        let Some(field) = self.first.take() else {
            self.first = Some(element.to_vec());
            return Ok(());
        };
        let (Some(times), Value::Hash(hash)) = (&mut self.times, &mut self.value) else {
            return Err(Bad);
        };
        let (value, time_ms) = match (times.next.take(), times.value.take()) {
            (Some(time_ms), _) => (element.to_vec(), time_ms),
            (None, None) => {
                times.value = Some(element.to_vec());
                self.first = Some(field);
                return Ok(());
            }
            (None, Some(value)) => {
                let time_ms = parse_i64(element).and_then(|time| u64::try_from(time).ok());
                (
                    value,
                    time_ms.filter(|time_ms| *time_ms <= DEADLINE_MAX_MS).ok_or(Bad)?,
                )
            }
        };
        if hash.as_ref().get(&field).is_some() {
            return Err(Bad);
        }
        match time_ms {
            0 => _ = hash.set(&field, &value, context.hash_seed()),
            time_ms if time_ms <= context.time_ms() => times.has_expired = true,
            time_ms => hash.set_with_deadline((&field, &value), time_ms, context.hash_seed()),
        }
        Ok(())
    }

    fn put_score(&mut self, context: &mut WriteContext<'_>, member: &[u8], score: f64) -> Result<(), Bad> {
        let (score, seed) = (Score::new(score).ok_or(Bad)?, context.hash_seed());
        context.spend_bytes(member.len());
        let Value::SortedSet(sorted) = &mut self.value else {
            return Err(Bad);
        };
        let old = sorted.insert(member, score, seed);
        old.is_none().then_some(()).ok_or(Bad)
    }
}
