//! Two bytes per entry that say how it was used, for choosing what to evict and for OBJECT IDLETIME and FREQ.
//!
//! It belongs to this node alone: readers change it through `&self`, it is in no digest, no snapshot and
//! no log. Without a policy that asks for them the bytes do not exist.
//!
//! - Recency: the epoch of the last access. One passes when a 64th of the table's entries has come, so that
//!   marks tell apart what is evicted however fast that goes, and at the end of each second, so that they
//!   tell how long ago something was (`timeline.rs`).
//! - Frequency, in one of the bytes: in the low half the binary logarithm of the number of accesses, counted up at random
//!   (Morris 1978), in the upper half the time from which on it will be halved. Here time is counted in
//!   evicted entries that had been used: a frequency is halved when as many of those have gone as there
//!   are entries, so scans, which go unused, age nothing. An entry starts at zero, or with what its ghost
//!   remembers (`ghosts.rs`): what is written once and never read goes first, in the order in which it
//!   came, so a scan does not push out what is in use.
//!
//! Half a byte would soon start over, and two bytes within a day; but an entry is looked at several times while
//! the table is turned over once, a part of all entries is looked at every second, and whoever looks moves a
//! mark that is about to be overtaken ([`Marker::rank`]).

use std::cell::Cell;

use super::hash::split_mix;
use super::timeline::Timeline;
use crate::eviction::Tracking;

/// How an entry was used.
pub(super) type Mark = Cell<u16>;

/// Epochs per turnover of the table.
const EPOCHS_PER_TURNOVER: usize = 64;
/// The largest age that a recency mark keeps: the better part of a day where nothing but time makes epochs pass.
const AGE_MAX: u16 = 60_000;
/// Epochs in which every mark is looked at once; many fewer than a mark has left at its largest age.
pub(super) const EPOCHS_PER_LOOK: u64 = 2_048;
/// Epochs per step of the clock in a frequency mark. Fewer follow changes of what is in demand faster,
/// more keep what is used seldom: `examples/hit_rate.rs` shows both.
const EPOCHS_PER_STEP: u64 = 8;
/// Steps after which a frequency is halved.
const STEPS_PER_HALVING: u8 = 8;
/// The largest frequency, a binary logarithm.
const FREQUENCY_MAX: u8 = 15;

/// Reads and writes marks.
#[derive(Debug, Default)]
pub(super) struct Marker {
    tracking: Tracking,
    epoch: u64,
    /// Epochs at the ends of seconds.
    seconds: Timeline,
    /// Entries that have come, or gone, since the epoch began.
    passed: usize,
    draws: Cell<u64>,
}

impl Marker {
    pub(super) fn new(tracking: Tracking) -> Self {
        Self {
            tracking,
            ..Self::default()
        }
    }

    pub(super) fn tracking(&self) -> Tracking {
        self.tracking
    }

    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.tracking != Tracking::Off
    }

    /// A table has a new entry and is of `len` now.
    #[inline]
    pub(super) fn note_inserted(&mut self, len: usize) {
        if self.tracking == Tracking::Recency {
            self.pass(len);
        }
    }

    /// An entry of a table of `len` was evicted that had this frequency.
    pub(super) fn note_evicted(&mut self, frequency: u8, len: usize) {
        if self.tracking == Tracking::Frequency && frequency > 0 {
            self.pass(len);
        }
    }

    fn pass(&mut self, len: usize) {
        self.passed += 1;
        if self.passed * EPOCHS_PER_TURNOVER >= len {
            self.passed = 0;
            self.epoch += 1;
        }
    }

    /// A second is over. Returns how many epochs have passed since the last one was.
    pub(super) fn end_second(&mut self, second: u32) -> u64 {
        if self.tracking != Tracking::Recency {
            return 0;
        }
        let before = self.seconds.latest();
        self.seconds.note(self.epoch, second);
        self.epoch += 1;
        self.epoch - before
    }

    /// The second in which the entry was accessed last; `None` if that was after the last one that has ended.
    pub(super) fn accessed(&self, mark: &Mark) -> Option<u32> {
        let age = (self.epoch as u16).wrapping_sub(mark.get());
        self.seconds.second_of(self.epoch.saturating_sub(u64::from(age)))
    }

    /// The mark of an entry that has just come.
    pub(super) fn fresh(&self) -> u16 {
        match self.tracking {
            Tracking::Off => 0,
            Tracking::Recency => self.epoch as u16,
            Tracking::Frequency => u16::from(self.step() << 4),
        }
    }

    /// An entry that was evicted with this frequency has come back, which is an access.
    pub(super) fn resume(&self, mark: &Mark, frequency: u8) {
        mark.set(u16::from(self.step() << 4 | frequency));
        self.count(mark);
    }

    /// The entry was accessed.
    #[inline]
    pub(super) fn touch(&self, mark: &Mark) {
        match self.tracking {
            Tracking::Off => {}
            Tracking::Recency => mark.set(self.epoch as u16),
            Tracking::Frequency => self.count(mark),
        }
    }

    fn count(&self, mark: &Mark) {
        let frequency = self.frequency(mark);
        if frequency == FREQUENCY_MAX {
            return;
        }
        let mut draws = self.draws.get();
        let draw = split_mix(&mut draws);
        self.draws.set(draws);
        if draw & ((1 << frequency) - 1) == 0 {
            mark.set(mark.get() + 1);
        }
    }

    /// How soon an entry is to be evicted, compared with others: the higher, the sooner. Moves marks
    /// that time would overtake.
    pub(super) fn rank(&self, mark: &Mark) -> u16 {
        match self.tracking {
            Tracking::Off => 0,
            Tracking::Recency => {
                let now = self.epoch as u16;
                let age = now.wrapping_sub(mark.get());
                if age > AGE_MAX {
                    mark.set(now.wrapping_sub(AGE_MAX));
                }
                age.min(AGE_MAX)
            }
            Tracking::Frequency => {
                let mut frequency = self.frequency(mark);
                let mut since = mark.get() as u8 >> 4;
                let mut age = self.step().wrapping_sub(since) & 0x0f;
                if age >= STEPS_PER_HALVING {
                    frequency = frequency.saturating_sub(1);
                    since = (since + STEPS_PER_HALVING) & 0x0f;
                    age -= STEPS_PER_HALVING;
                    mark.set(u16::from(since << 4 | frequency));
                }
                u16::from((FREQUENCY_MAX - frequency) << 4 | age)
            }
        }
    }

    /// The binary logarithm of how often the entry was accessed of late.
    pub(super) fn frequency(&self, mark: &Mark) -> u8 {
        mark.get() as u8 & FREQUENCY_MAX
    }

    fn step(&self) -> u8 {
        (self.epoch / EPOCHS_PER_STEP) as u8 & 0x0f
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(marker: &mut Marker, epochs: usize) {
        let before = marker.epoch;
        (0..epochs).for_each(|_| match marker.tracking() {
            Tracking::Recency => marker.note_inserted(EPOCHS_PER_TURNOVER),
            _ => marker.note_evicted(1, EPOCHS_PER_TURNOVER),
        });
        assert_eq!(marker.epoch, before + epochs as u64);
    }

    #[test]
    fn what_was_used_longer_ago_ranks_higher_and_never_seems_young_again() {
        let mut marker = Marker::new(Tracking::Recency);
        let old = Cell::new(marker.fresh());
        pass(&mut marker, 5);
        let used = Cell::new(old.get());
        marker.touch(&used);
        assert_eq!((marker.rank(&old), marker.rank(&used)), (5, 0));
        for _ in 0..200 {
            pass(&mut marker, EPOCHS_PER_LOOK as usize);
            marker.rank(&old);
        }
        assert_eq!(marker.rank(&old), AGE_MAX);
    }

    #[test]
    fn a_mark_tells_the_second_of_the_last_access() {
        let mut marker = Marker::new(Tracking::Recency);
        let mark = Cell::new(marker.fresh());
        for second in 0..500_000u32 {
            marker.end_second(second);
            if second % 1000 == 0 {
                marker.rank(&mark);
            }
            if second == 100 {
                marker.touch(&mark);
            }
            if (101..5_000).contains(&second) {
                let accessed = marker.accessed(&mark).expect("that second has ended");
                assert!(
                    (101..=101 + (second - 101) / 2).contains(&accessed),
                    "{accessed} at {second}"
                );
            }
        }
        // So long ago that only a bound is known.
        let accessed = marker.accessed(&mark).expect("that second has ended");
        assert!((430_000..480_000).contains(&accessed), "{accessed}");
        marker.touch(&mark);
        assert_eq!(marker.accessed(&mark), None);
    }

    #[test]
    fn frequency_grows_with_the_logarithm_and_halves_with_time() {
        let mut marker = Marker::new(Tracking::Frequency);
        let [once, often] = [(); 2].map(|()| Cell::new(marker.fresh()));
        marker.touch(&once);
        (0..1000).for_each(|_| marker.touch(&often));
        assert_eq!(marker.frequency(&once), 1);
        let frequency = marker.frequency(&often);
        assert!((7..=12).contains(&frequency), "{frequency}");
        assert!(marker.rank(&once) > marker.rank(&often));
        assert!(marker.rank(&Cell::new(marker.fresh())) > marker.rank(&once));
        for turnover in 1..=20 {
            for _ in 0..4 {
                pass(&mut marker, EPOCHS_PER_TURNOVER / 4);
                marker.rank(&often);
            }
            assert_eq!(marker.frequency(&often), frequency.saturating_sub(turnover));
        }
    }

    #[test]
    fn what_comes_and_goes_unused_ages_nothing_and_who_returns_goes_on() {
        let mut marker = Marker::new(Tracking::Frequency);
        let used = Cell::new(marker.fresh());
        (0..1000).for_each(|_| marker.touch(&used));
        let (frequency, rank) = (marker.frequency(&used), marker.rank(&used));
        for _ in 0..10_000 {
            marker.note_inserted(EPOCHS_PER_TURNOVER);
            marker.note_evicted(0, EPOCHS_PER_TURNOVER);
        }
        assert_eq!((marker.frequency(&used), marker.rank(&used)), (frequency, rank));
        let back = Cell::new(marker.fresh());
        marker.resume(&back, 0);
        assert_eq!(marker.frequency(&back), 1);
        marker.resume(&back, frequency);
        assert!((frequency..=frequency + 1).contains(&marker.frequency(&back)));
    }
}
