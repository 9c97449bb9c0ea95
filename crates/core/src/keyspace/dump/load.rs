//! Values from payloads, element by element: nothing of the keyspace is touched before all of it is known to be one.

use repligo_proto::rdb::{Bad, Blob, Form, Reader, Unpacking};

use crate::collection::{End, Hash, List, Score, Set, SortedSet};
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
            _ => return Err(Bad),
        };
        let has_count = layout != Layout::Packed(Form::Integers) && matches!(kind, 1..=5 | 14 | 18);
        let count = if has_count { reader.length()? } else { 1 };
        let of_each = if matches!(kind, 3..=5) { 2 } else { 1 };
        Ok(Self {
            value,
            layout,
            has_text_scores: kind == 3,
            left: count.checked_mul(of_each).ok_or(Bad)?,
            at: reader.at,
            blob: None,
            first: None,
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
        match is_empty || self.first.is_some() {
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
