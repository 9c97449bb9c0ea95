//! What the wall clocks of the voters say of each other (`semantics.md`, Expiry).
//!
//! Every replica asks every other one for its wall clock, [`limits::CLOCK_ASK_US`] apart. A quorum of voters whose
//! clocks agree with each other outvotes a replica whose clock does not agree with them: it hands leadership over
//! and does not campaign. Where no quorum agrees, nobody is outvoted: the clocks are no reason to be without a
//! leader, and slewing bounds what a wrong one does.
//!
//! Invariants: a sample is judged with the error that its round trip allows, in favour of agreement; two quorums
//! share a voter, so those who outvote somebody are not outvoted themselves.

use std::collections::BTreeMap;

use crate::contract::PeerId;
use crate::limits;
use crate::time::Now;

/// A wall clock as it was read over there, at some time between question and answer.
#[derive(Clone, Copy, Debug)]
struct Sample {
    asked_us: u64,
    answered_us: u64,
    wall_ms: u64,
}

impl Sample {
    /// By how many milliseconds that clock is ahead of this node's, and the error of that.
    fn offset_ms(&self, now: Now) -> (i64, i64) {
        let half_us = (self.answered_us - self.asked_us) / 2;
        let since_us = now.mono_us.saturating_sub(self.asked_us + half_us);
        let bounded = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
        let offset = bounded(self.wall_ms) + bounded(since_us / 1000) - bounded(now.wall_ms);
        (offset, bounded(half_us.div_ceil(1000)) + 1)
    }
}

/// The voters' clocks, as far as this replica knows them.
#[derive(Debug, Default)]
pub struct Agreement {
    samples: BTreeMap<PeerId, Sample>,
    last_asked_us: Option<u64>,
}

impl Agreement {
    /// True if the others are to be asked again; counts as done.
    pub fn ask_due(&mut self, now: Now) -> bool {
        let due = self
            .last_asked_us
            .is_none_or(|last| now.mono_us >= last + limits::CLOCK_ASK_US);
        if due {
            self.last_asked_us = Some(now.mono_us);
        }
        due
    }

    /// A peer answered a question of `asked_us`.
    pub fn heard(&mut self, now: Now, peer: PeerId, (asked_us, wall_ms): (u64, u64)) {
        let sample = Sample {
            asked_us: asked_us.min(now.mono_us),
            answered_us: now.mono_us,
            wall_ms,
        };
        self.samples.insert(peer, sample);
    }

    /// Clocks that were read lately: whose, offset and its error, in milliseconds.
    fn fresh(&self, now: Now) -> impl Iterator<Item = (PeerId, i64, i64)> {
        let is_fresh =
            move |sample: &Sample| now.mono_us.saturating_sub(sample.asked_us) <= limits::CLOCK_SAMPLE_US_MAX;
        let fresh = self.samples.iter().filter(move |(_, sample)| is_fresh(sample));
        fresh.map(move |(&peer, sample)| {
            let (offset, error) = sample.offset_ms(now);
            (peer, offset, error)
        })
    }

    /// Clocks that are known, this node's included.
    pub fn known(&self, now: Now) -> usize {
        1 + self.fresh(now).count()
    }

    /// The quorum of other voters who agree with each other and not with this node; empty if there is none.
    pub fn outvoted_by(&self, now: Now, quorum: usize) -> Vec<PeerId> {
        let apart = limits::CLOCK_APART_MS_MAX;
        let mut others: Vec<(i64, PeerId)> = self
            .fresh(now)
            .filter(|(_, offset, error)| offset.abs() - error > apart)
            .map(|(peer, offset, _)| (offset, peer))
            .collect();
        others.sort_unstable();
        let agree = |group: &&[(i64, PeerId)]| group[quorum - 1].0 - group[0].0 <= apart;
        let group = others.windows(quorum).find(agree).unwrap_or_default();
        group.iter().map(|(_, peer)| *peer).collect()
    }

    /// Wall time: this node's clock, or if it is apart from the middle of the clocks that are known, that. Of two in
    /// the middle the earlier: a key had better live too long than die too early.
    pub fn wall_ms(&self, now: Now) -> u64 {
        let mut offsets: Vec<(i64, i64)> = self
            .fresh(now)
            .map(|(_, offset, error)| (offset, error))
            .collect();
        offsets.push((0, 0));
        offsets.sort_unstable();
        let (offset, error) = offsets[(offsets.len() - 1) / 2];
        if offset.abs() - error > limits::CLOCK_APART_MS_MAX {
            now.wall_ms.saturating_add_signed(offset)
        } else {
            now.wall_ms
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Now = Now {
        mono_us: 5_000_000,
        wall_ms: 1_000_000_000,
    };

    fn clocks(offsets: &[i64]) -> Agreement {
        let mut agreement = Agreement::default();
        for (index, offset) in offsets.iter().enumerate() {
            let wall_ms = AT.wall_ms.saturating_add_signed(*offset);
            agreement.heard(AT, index as PeerId + 2, (AT.mono_us, wall_ms));
        }
        agreement
    }

    #[test]
    fn a_quorum_that_agrees_outvotes_a_clock_that_does_not() {
        let check = |offsets: &[i64], quorum, expected: &[PeerId]| {
            assert_eq!(clocks(offsets).outvoted_by(AT, quorum), expected, "{offsets:?}");
        };
        check(&[3_600_000, 3_600_400], 2, &[2, 3]);
        check(&[-3_600_000, -3_600_400], 2, &[3, 2]);
        check(&[3_600_000], 2, &[]);
        check(&[3_600_000, -3_600_000], 2, &[]);
        check(&[3_600_000, 0], 2, &[]);
        check(&[900, 900], 2, &[]);
        check(&[3_600_000, 3_600_000, 0, 3_600_100], 3, &[2, 3, 5]);
    }

    #[test]
    fn a_clock_counts_while_it_is_fresh_and_with_its_error() {
        let mut agreement = clocks(&[1_500, 1_500]);
        assert_eq!(agreement.outvoted_by(AT, 2), [2, 3]);
        let later = Now {
            mono_us: AT.mono_us + limits::CLOCK_SAMPLE_US_MAX + 1,
            wall_ms: AT.wall_ms + limits::CLOCK_SAMPLE_US_MAX / 1000,
        };
        assert_eq!((agreement.known(AT), agreement.known(later)), (3, 1));
        assert_eq!(agreement.outvoted_by(later, 2), Vec::new());
        // A round trip of 1.2 s may be all of the difference.
        agreement.heard(AT, 2, (AT.mono_us - 1_200_000, AT.wall_ms + 900));
        assert_eq!(agreement.outvoted_by(AT, 2), Vec::new());
    }

    #[test]
    fn a_step_of_this_nodes_own_clock_is_seen_at_once() {
        let agreement = clocks(&[0, 0]);
        let stepped = Now {
            wall_ms: AT.wall_ms + 3_600_000,
            ..AT
        };
        assert_eq!(agreement.outvoted_by(stepped, 2), [2, 3]);
        assert_eq!(agreement.wall_ms(stepped), AT.wall_ms);
    }

    #[test]
    fn wall_time_is_the_earlier_middle() {
        let check = |offsets: &[i64], expected: i64| {
            let wall_ms = AT.wall_ms.saturating_add_signed(expected);
            assert_eq!(clocks(offsets).wall_ms(AT), wall_ms, "{offsets:?}");
        };
        check(&[], 0);
        check(&[3_600_000], 0);
        check(&[-3_600_000], -3_600_000);
        check(&[3_600_000, 3_600_000], 3_600_000);
        check(&[800, 800], 0);
        check(&[3_600_000, -3_600_000], 0);
    }
}
