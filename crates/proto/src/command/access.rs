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

    /// What a request does with the keys of this use; for SET that depends on its options.
    pub fn flags_in(&self, spec: &Spec, request: ArgSlice<'_>) -> &'static [&'static str] {
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
