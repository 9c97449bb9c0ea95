//! What a request does with its keys, where the row alone does not say it.

use std::ops::Range;

use super::CommandId;
use super::spec::{KeyUse, Spec};
use crate::resp::ArgSlice;

impl KeyUse {
    /// False for what is routed like a key and is none: a channel of SPUBLISH and its relatives.
    pub fn is_key(&self) -> bool {
        self.flags != ["not_key"]
    }

    /// What a request does with the keys of this use; for SET and BITFIELD that depends on its options.
    pub fn flags_in(&self, spec: &Spec, request: ArgSlice<'_>) -> &'static [&'static str] {
        if spec.id == CommandId::BitField {
            return match is_read_of_fields(request.skip(2.min(request.len()))) {
                true => &["RO", "access"],
                false => &["RW", "access", "update"],
            };
        }
        if spec.id != CommandId::Set {
            return self.flags;
        }
        let returns_old = request
            .skip(3.min(request.len()))
            .iter()
            .any(|option| option.eq_ignore_ascii_case(b"get"));
        if returns_old {
            &["RW", "access", "update"]
        } else {
            &["OW", "update"]
        }
    }

    /// Whether a request reads what the keys of this use hold, and whether it changes it: the rights that it needs.
    /// A command that only asks whether a key is there needs neither.
    pub fn access_of(&self, spec: &Spec, request: ArgSlice<'_>) -> (bool, bool) {
        let flags = self.flags_in(spec, request);
        let has = |flag: &str| flags.contains(&flag);
        (has("access"), has("insert") || has("update") || has("delete"))
    }

    /// The first half of what stands behind the keyword. What comes before it are the options of XREAD and XREADGROUP,
    /// whose own arguments may be the same word.
    pub(super) fn behind_keyword<'a>(
        &self,
        argument_count: usize,
        argument: impl Fn(usize) -> Option<&'a [u8]>,
    ) -> Range<usize> {
        let mut at = 1;
        while let Some(word) = argument(at) {
            if word.eq_ignore_ascii_case(self.keyword.as_bytes()) {
                let rest = argument_count.saturating_sub(at + 1);
                return at + 1..at + 1 + rest / 2;
            }
            let is = |option: &str| word.eq_ignore_ascii_case(option.as_bytes());
            at += match () {
                () if is("block") || is("count") => 2,
                () if is("group") => 3,
                () => 1,
            };
        }
        0..0
    }
}

/// Position of the first pattern of SORT or SORT_RO by which keys are read that the request does not name.
pub fn pattern_of_keys(spec: &Spec, request: ArgSlice<'_>) -> Option<usize> {
    let names_others = |key_use: &KeyUse| key_use.word.is_some_and(|word| word.word.is_empty());
    if !spec.key_uses.iter().any(names_others) {
        return None;
    }
    let mut at = 2;
    while let Some(option) = request.try_get(at) {
        let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
        let next = request.try_get(at + 1)?;
        if is(b"get") || is(b"by") && next.contains(&b'*') {
            return Some(at + 1);
        }
        at += match () {
            () if is(b"limit") => 3,
            () if is(b"by") || is(b"store") => 2,
            () => 1,
        };
    }
    None
}

/// True for operations of BITFIELD that only read. What is no operation may be anything.
fn is_read_of_fields(mut operations: ArgSlice<'_>) -> bool {
    while let Some(word) = operations.try_get(0) {
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        let length = match operations.len() {
            3.. if is(b"get") => 3,
            2.. if is(b"overflow") => 2,
            _ => return false,
        };
        operations = operations.skip(length);
    }
    true
}
