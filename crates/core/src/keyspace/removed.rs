//! What was removed when, as far as WATCH needs it: an absent key that came and went is not unchanged.
//!
//! A key that is there has the version of its latest write. One that is absent has none, so a block whose watched key
//! was written and removed again since would pass for unchanged. Here the highest version of any removed entry is kept per
//! group of keys, by their hashes: bounded, and the same on all replicas, since hashes and removals follow from the
//! log. A removal of another key of the group makes a block fail that might have been executed, as WATCH allows; it never
//! makes one succeed that must not be. An entry that has expired counts as removed with its deadline, so that it makes no
//! difference when it is taken away.

use crate::packed::{Corrupt, corrupt, put_varint, take_varint};

/// Groups of keys per database; 8 bytes each.
const GROUPS: usize = 1024;

/// The highest version of a removed entry, per group.
#[derive(Debug, Default)]
pub(super) struct Removed {
    /// Empty until something is removed.
    versions: Vec<u64>,
}

fn group(hash: u64) -> usize {
    hash as usize % GROUPS
}

impl Removed {
    /// An entry of this version is no longer there.
    #[inline]
    pub fn note(&mut self, hash: u64, version: u64) {
        if self.versions.is_empty() {
            self.versions = vec![0; GROUPS];
        }
        let latest = &mut self.versions[group(hash)];
        *latest = version.max(*latest);
    }

    /// Nothing is there any more; `version` is the highest that was given out.
    pub fn note_all(&mut self, version: u64) {
        self.versions.clear();
        self.versions.resize(GROUPS, version);
    }

    /// The highest version of a removed entry of the group of keys with this hash.
    pub fn latest(&self, hash: u64) -> u64 {
        self.versions.get(group(hash)).copied().unwrap_or(0)
    }

    /// Bytes that it has allocated.
    pub fn memory_bytes(&self) -> usize {
        self.versions.capacity() * size_of::<u64>()
    }

    /// Appends all groups that have a version, each behind the number of groups without one before it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut next = 0;
        let in_use = self
            .versions
            .iter()
            .enumerate()
            .filter(|(_, version)| **version > 0);
        for (group, version) in in_use {
            put_varint(out, (group - next) as u64);
            put_varint(out, *version);
            next = group + 1;
        }
    }

    /// The reverse of [`Removed::encode`], up to the end of the input.
    ///
    /// # Errors
    /// What was not written by it, or tells of versions above `version_max`.
    pub fn decode(input: &mut &[u8], version_max: u64) -> Result<Self, Corrupt> {
        let mut versions = vec![0; GROUPS];
        let mut next = 0;
        while !input.is_empty() {
            let distance = take_varint(input)?;
            let version = take_varint(input)?;
            let group = usize::try_from(distance)
                .ok()
                .and_then(|distance| distance.checked_add(next));
            let Some(group) = group.filter(|group| *group < GROUPS) else {
                return corrupt("a group of removed keys");
            };
            if version == 0 || version > version_max {
                return corrupt("a version that was given out");
            }
            versions[group] = version;
            next = group + 1;
        }
        Ok(Self { versions })
    }
}

#[cfg(test)]
mod tests {
    use super::{GROUPS, Removed};

    #[test]
    fn the_highest_version_of_a_group_survives_the_bytes() {
        let mut removed = Removed::default();
        assert_eq!(removed.latest(7), 0);
        removed.note(7, 300);
        removed.note(7, 200);
        removed.note(GROUPS as u64 - 1, 5);
        let mut bytes = Vec::new();
        removed.encode(&mut bytes);
        let read = Removed::decode(&mut &bytes[..], 300).expect("it was just written");
        let versions = [7, 7 + GROUPS as u64, GROUPS as u64 - 1, 8].map(|hash| read.latest(hash));
        assert_eq!(versions, [300, 300, 5, 0]);
        assert!(Removed::decode(&mut &bytes[..], 299).is_err());
        assert!(Removed::decode(&mut &[0xFF, 0x7F, 1][..], 300).is_err());
        assert!(Removed::decode(&mut &bytes[..1], 300).is_err());
        removed.note_all(400);
        assert_eq!([7, 8].map(|hash| removed.latest(hash)), [400, 400]);
    }
}
