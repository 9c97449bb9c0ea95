//! How often keys were used that have been evicted, for when they come back.
//!
//! A key that returns soon after it went was worth keeping: it goes on with the frequency that it had
//! when it went (Einziger, Friedman, Manes 2017 show what this memory is worth under scans). Two bytes
//! each, as many as there are entries; a newer ghost takes the place of an older one, so most stay for as
//! long as the table takes to be turned over once.
//!
//! A fingerprint of 12 bits mistakes one newcomer in 4,096 for a ghost. Belongs to this node alone, as
//! marks do.

/// The fewest places.
const PLACES_MIN: usize = 1 << 10;
const FREQUENCY_BITS: u32 = 4;
const FREQUENCY_MASK: u16 = (1 << FREQUENCY_BITS) - 1;

/// Fingerprints with frequencies, each at the place that its hash names.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    /// Zero: nobody. The length is zero or a power of two.
    places: Vec<u16>,
}

impl Ghosts {
    /// Remembers an evicted key of a table of `len` entries; `frequency` is below 16.
    pub(super) fn remember(&mut self, hash: u64, frequency: u8, len: usize) {
        let wanted = len.next_power_of_two().max(PLACES_MIN);
        // A table grows slowly once keys are evicted; who went before that is forgotten then.
        if self.places.len() < wanted || self.places.len() > 4 * wanted {
            self.places = vec![0; wanted];
        }
        let (place, fingerprint) = self.locate(hash);
        self.places[place] = fingerprint << FREQUENCY_BITS | u16::from(frequency) & FREQUENCY_MASK;
    }

    /// The frequency of a key when it was evicted, if it is remembered. It is alive again.
    pub(super) fn recall(&mut self, hash: u64) -> Option<u8> {
        if self.places.is_empty() {
            return None;
        }
        let (place, fingerprint) = self.locate(hash);
        let found = self.places[place];
        if found >> FREQUENCY_BITS != fingerprint {
            return None;
        }
        self.places[place] = 0;
        Some((found & FREQUENCY_MASK) as u8)
    }

    /// Bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        self.places.capacity() * size_of::<u16>()
    }

    /// The upper bits of a hash choose buckets and tags; here the lower ones count.
    fn locate(&self, hash: u64) -> (usize, u16) {
        let place = hash as usize & (self.places.len() - 1);
        (
            place,
            (hash >> 40) as u16 & 0x0fff | u16::from(hash >> 40 & 0x0fff == 0),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::hash::split_mix;

    #[test]
    fn what_went_of_late_is_known_with_its_frequency_once() {
        let mut ghosts = Ghosts::default();
        let mut state = 1;
        assert_eq!(ghosts.recall(split_mix(&mut state)), None);
        let hashes: Vec<u64> = (0..100_000).map(|_| split_mix(&mut state)).collect();
        for (number, &hash) in hashes.iter().enumerate() {
            ghosts.remember(hash, (number % 16) as u8, 10_000);
        }
        let mut known = |range: std::ops::Range<usize>| {
            range
                .filter(|&number| ghosts.recall(hashes[number]) == Some((number % 16) as u8))
                .count()
        };
        // 16,384 places: of what went within a thousand evictions 19 in 20 are there, the old are gone.
        assert!(known(99_000..100_000) > 930);
        assert_eq!(known(99_000..100_000), 0);
        assert!(known(0..10_000) < 100);
    }

    #[test]
    fn strangers_are_seldom_mistaken_and_size_follows_the_table() {
        let mut ghosts = Ghosts::default();
        let mut state = 2;
        (0..100_000).for_each(|_| ghosts.remember(split_mix(&mut state), 3, 10_000));
        let mistaken = (0..100_000).filter(|_| ghosts.recall(split_mix(&mut state)).is_some());
        assert!(mistaken.count() < 100);
        assert_eq!(ghosts.memory_bytes(), 2 << 14);
        ghosts.remember(1, 1, 100_000);
        assert_eq!(ghosts.memory_bytes(), 2 << 17);
        ghosts.remember(1, 1, 10_000);
        assert_eq!(ghosts.memory_bytes(), 2 << 14);
    }
}
