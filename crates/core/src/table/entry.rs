//! What an entry is, as the table shows it and takes it.

/// An entry as it lies in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRef<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    /// When the entry expires, in milliseconds of shard time; `None`: never.
    pub deadline_ms: Option<u64>,
    /// The version the caller gave it.
    pub version: u64,
    /// What kind of value it is, as the caller numbers kinds.
    pub kind: u8,
}

impl<'a> EntryRef<'a> {
    /// From its parts.
    pub fn new(key: &'a [u8], value: &'a [u8], meta: Meta) -> Self {
        Self {
            key,
            value,
            deadline_ms: meta.deadline_ms,
            version: meta.version,
            kind: meta.kind,
        }
    }

    /// Everything but key and value.
    pub fn meta(&self) -> Meta {
        Meta {
            deadline_ms: self.deadline_ms,
            version: self.version,
            kind: self.kind,
        }
    }
}

/// What an entry has besides key and value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// When the entry expires, in milliseconds of shard time; `None`: never.
    pub deadline_ms: Option<u64>,
    /// The entry's version, at most [`VERSION_MAX`].
    pub version: u64,
    /// What kind of value it is, at most [`KIND_MAX`].
    pub kind: u8,
}

/// A value that is written, and a number that the table keeps with it if the entry is longer than a page's slots
/// ([`NOTED_BYTES_MIN`]); it means something to the owner alone.
#[derive(Clone, Copy, Debug)]
pub struct Noted<'a> {
    /// The value.
    pub value: &'a [u8],
    /// The number.
    pub note: u128,
}

impl<'a> Noted<'a> {
    /// A value with nothing to note.
    #[inline]
    pub fn plain(value: &'a [u8]) -> Self {
        Self { value, note: 0 }
    }
}

/// The note of a value of so many bytes or more is kept.
pub const NOTED_BYTES_MIN: usize = super::class::SMALL_BYTES_MAX + 1;
