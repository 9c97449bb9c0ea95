//! What LMPOP and ZMPOP share: elements are taken out of the first of several keys that has any.

use repligo_proto::words;

use super::contexts::{ReadContext, WriteContext};
use super::handlers::Slice;
use super::typed::{Typed, TypedRef};
use crate::command::{Arguments, CommandError};

/// What was asked; `E` says from which end.
pub(super) struct Multiple<E> {
    pub key_count: usize,
    pub end: E,
    pub count: u64,
}

impl<E> Multiple<E> {
    /// Reads `numkeys key [key ...] END [COUNT count]`.
    ///
    /// # Errors
    /// Redis' error for what is no such request.
    pub fn parse(
        mut arguments: Arguments<'_>,
        take_end: fn(&mut Arguments<'_>) -> Result<E, CommandError>,
    ) -> Result<Self, CommandError> {
        let positive = |count: Result<i64, CommandError>| count.ok().filter(|count| *count > 0);
        let key_count = positive(arguments.take_integer()).ok_or(CommandError::fixed(words::NO_KEY_COUNT))?;
        let fitting = usize::try_from(key_count).ok();
        let key_count = fitting.filter(|count| *count < arguments.len());
        let key_count = key_count.ok_or(CommandError::fixed(words::SYNTAX))?;
        arguments.skip(key_count);
        let end = take_end(&mut arguments)?;
        let mut count = None;
        while !arguments.is_empty() {
            if count.is_some() || arguments.len() < 2 || !arguments.take_word("count") {
                return Err(CommandError::fixed(words::SYNTAX));
            }
            count = positive(arguments.take_integer());
            if count.is_none() {
                return Err(CommandError::fixed(words::NO_COUNT));
            }
        }
        Ok(Self {
            key_count,
            end,
            count: count.unwrap_or(1).unsigned_abs(),
        })
    }

    /// About how many keys are looked at and how many elements are taken.
    pub fn weigh<T: Typed>(&self, context: &ReadContext<'_>, mut arguments: Arguments<'_>) -> usize {
        arguments.skip(1);
        let lens = arguments.iter().take(self.key_count).map(|key| {
            let found: Option<T::Ref<'_>> = context.look(key);
            found.map_or(0, TypedRef::count)
        });
        self.key_count + self.count.min(lens.max().unwrap_or(0)) as usize
    }

    /// Looks for the first key that has elements; it is the one at the front of the rest of the slice then.
    ///
    /// # Errors
    /// If a key before it holds another type.
    pub fn search<T: Typed>(
        &self,
        context: &mut WriteContext<'_>,
        slice: &mut Slice<'_>,
    ) -> Result<Search, CommandError> {
        let kept = slice.kept.state.as_ref();
        if let Some(Chosen { len }) = kept.and_then(|state| state.downcast_ref()) {
            return Ok(Search::Found {
                len: *len,
                is_new: false,
            });
        }
        if !slice.kept.begun {
            slice.rest.skip(1);
        }
        let behind = slice.all.len() - 1 - self.key_count;
        while slice.rest.len() > behind {
            if context.is_spent() {
                return Ok(Search::Unfinished);
            }
            context.spend(1);
            let key = slice.rest.peek();
            let len = context.looking(|context| {
                let found: Option<T::Ref<'_>> = context.find(key)?;
                Ok::<_, CommandError>(found.map(TypedRef::count))
            })?;
            if let Some(len) = len {
                slice.kept.state = Some(Box::new(Chosen { len }));
                return Ok(Search::Found { len, is_new: true });
            }
            slice.rest.take();
        }
        Ok(Search::Nothing)
    }
}

/// The key was found; its collection had so many elements.
struct Chosen {
    len: u64,
}

/// How far [`Multiple::search`] has come.
pub(super) enum Search {
    Unfinished,
    Nothing,
    Found {
        /// Elements when it was found.
        len: u64,
        /// It was found just now.
        is_new: bool,
    },
}
