//! What a run has seen: latencies, counts, errors by code word, wrong replies, intervals.
//!
//! One per thread, merged at the end. Errors are never in a histogram: a fast refusal would make it look better.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use hdrhistogram::Histogram;

/// Shortest and longest latency that can be told apart, in nanoseconds: 100 ns, and an hour.
const LATENCY_NS: (u64, u64) = (100, 3_600_000_000_000);
/// Wrong replies and error texts that are shown.
const EXAMPLES_MAX: usize = 5;
/// Distinct code words that are counted apart; a confused server must not fill the memory.
const CODES_MAX: usize = 64;

/// Latencies to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LATENCY_NS.0, LATENCY_NS.1, 3).expect("the bounds are valid")
}

/// Counts that others may look at while a run goes on, for the progress line.
#[derive(Debug, Default)]
pub struct Live {
    pub ops: AtomicU64,
    pub errors: AtomicU64,
    pub wrong: AtomicU64,
}

/// One interval of the timeline.
#[derive(Clone, Debug)]
pub struct Interval {
    pub latency: Histogram<u64>,
    pub errors: u64,
}

/// All that was seen in the measured part; wrong replies of the whole run.
#[derive(Debug)]
pub struct Tally {
    pub latency: Histogram<u64>,
    /// How late the generator itself sent requests for which a client stood ready.
    pub lag: Histogram<u64>,
    pub gets: u64,
    pub sets: u64,
    pub misses: u64,
    pub errors: u64,
    pub errors_by_code: BTreeMap<String, u64>,
    pub error_examples: Vec<String>,
    pub wrong: u64,
    pub wrong_examples: Vec<String>,
    /// Scheduled, and without a reply when patience ended.
    pub unanswered: u64,
    pub reconnects: u64,
    /// When the last counted reply came, in nanoseconds since the run began.
    pub last_reply_ns: u64,
    pub intervals: Vec<Interval>,
    interval_ns: Option<u64>,
    measure_start_ns: u64,
}

impl Tally {
    /// Counts what begins at `measure_start_ns` or later; with `interval_ns` also by intervals.
    pub fn new(measure_start_ns: u64, interval_ns: Option<u64>) -> Tally {
        Tally {
            latency: histogram(),
            lag: histogram(),
            gets: 0,
            sets: 0,
            misses: 0,
            errors: 0,
            errors_by_code: BTreeMap::new(),
            error_examples: Vec::new(),
            wrong: 0,
            wrong_examples: Vec::new(),
            unanswered: 0,
            reconnects: 0,
            last_reply_ns: 0,
            intervals: Vec::new(),
            interval_ns,
            measure_start_ns,
        }
    }

    /// Whether a request that began then belongs to the measured part.
    pub fn counts(&self, start_ns: u64) -> bool {
        start_ns >= self.measure_start_ns
    }

    /// `count` requests that began together were answered together, and rightly.
    pub fn record(&mut self, start_ns: u64, now_ns: u64, count: u64) {
        if count == 0 || !self.counts(start_ns) {
            return;
        }
        let latency = now_ns.saturating_sub(start_ns);
        self.latency.saturating_record_n(latency, count);
        self.last_reply_ns = self.last_reply_ns.max(now_ns);
        if let Some(interval) = self.interval(now_ns) {
            interval.latency.saturating_record_n(latency, count);
        }
    }

    /// A request that began then ended with an error, whose text begins with its code word.
    pub fn record_error(&mut self, start_ns: u64, now_ns: u64, text: &str) {
        if !self.counts(start_ns) {
            return;
        }
        self.errors += 1;
        self.last_reply_ns = self.last_reply_ns.max(now_ns);
        let code = text.split([' ', '\r', '\n']).next().unwrap_or_default();
        let code: String = code.chars().take(32).collect();
        let is_new = !self.errors_by_code.contains_key(&code);
        if is_new && self.error_examples.len() < EXAMPLES_MAX {
            self.error_examples.push(text.chars().take(200).collect());
        }
        let code = if is_new && self.errors_by_code.len() >= CODES_MAX {
            "OTHER".to_string()
        } else {
            code
        };
        *self.errors_by_code.entry(code).or_default() += 1;
        if let Some(interval) = self.interval(now_ns) {
            interval.errors += 1;
        }
    }

    /// A reply that is not what the request must give. Counts in the warm-up too.
    pub fn record_wrong(&mut self, text: impl FnOnce() -> String) {
        self.wrong += 1;
        if self.wrong_examples.len() < EXAMPLES_MAX {
            self.wrong_examples.push(text());
        }
    }

    /// A scheduled request that nobody has answered by the end. It has waited for at least this long, and to
    /// leave it out would flatter the percentiles.
    pub fn record_unanswered(&mut self, start_ns: u64, now_ns: u64) {
        if self.counts(start_ns) {
            self.unanswered += 1;
            self.latency.saturating_record(now_ns.saturating_sub(start_ns));
        }
    }

    /// Requests that were answered rightly.
    pub fn ops(&self) -> u64 {
        self.latency.len() - self.unanswered
    }

    fn interval(&mut self, now_ns: u64) -> Option<&mut Interval> {
        let length = self.interval_ns?;
        let index = (now_ns.checked_sub(self.measure_start_ns)? / length) as usize;
        while self.intervals.len() <= index {
            // Two digits and whole microseconds are enough for a plot, and an interval should be small.
            let latency = Histogram::new_with_bounds(1000, LATENCY_NS.1, 2).expect("the bounds are valid");
            self.intervals.push(Interval { latency, errors: 0 });
        }
        self.intervals.get_mut(index)
    }

    /// Takes in what another thread has seen.
    pub fn merge(&mut self, other: Tally) {
        self.latency += &other.latency;
        self.lag += &other.lag;
        self.gets += other.gets;
        self.sets += other.sets;
        self.misses += other.misses;
        self.errors += other.errors;
        for (code, count) in other.errors_by_code {
            *self.errors_by_code.entry(code).or_default() += count;
        }
        self.error_examples.extend(other.error_examples);
        self.error_examples.truncate(EXAMPLES_MAX);
        self.wrong += other.wrong;
        self.wrong_examples.extend(other.wrong_examples);
        self.wrong_examples.truncate(EXAMPLES_MAX);
        self.unanswered += other.unanswered;
        self.reconnects += other.reconnects;
        self.last_reply_ns = self.last_reply_ns.max(other.last_reply_ns);
        for (index, interval) in other.intervals.into_iter().enumerate() {
            match self.intervals.get_mut(index) {
                Some(mine) => {
                    mine.latency += &interval.latency;
                    mine.errors += interval.errors;
                }
                None => self.intervals.push(interval),
            }
        }
    }
}

impl Live {
    /// Adds to all counts.
    pub fn add(&self, ops: u64, errors: u64, wrong: u64) {
        self.ops.fetch_add(ops, Ordering::Relaxed);
        self.errors.fetch_add(errors, Ordering::Relaxed);
        self.wrong.fetch_add(wrong, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn only_the_measured_part_counts() {
        let mut tally = Tally::new(10 * MS, None);
        tally.record(9 * MS, 11 * MS, 5);
        tally.record_error(9 * MS, 11 * MS, "ERR early");
        tally.record(10 * MS, 12 * MS, 3);
        tally.record_error(10 * MS, 13 * MS, "LOADING still");
        tally.record_wrong(|| "in the warm-up".into());
        assert_eq!((tally.ops(), tally.errors, tally.wrong), (3, 1, 1));
        assert_eq!(tally.errors_by_code.get("LOADING"), Some(&1));
        assert_eq!(tally.last_reply_ns, 13 * MS);
        assert_eq!(tally.latency.max() / MS, 2);
    }

    #[test]
    fn what_nobody_answered_is_in_the_percentiles_but_no_op() {
        let mut tally = Tally::new(0, None);
        tally.record(0, MS, 98);
        tally.record_unanswered(0, 900 * MS);
        tally.record_unanswered(0, 900 * MS);
        assert_eq!((tally.ops(), tally.unanswered), (98, 2));
        assert_eq!(tally.latency.value_at_quantile(0.99) / (100 * MS), 9);
    }

    #[test]
    fn threads_add_up_interval_by_interval() {
        let mut left = Tally::new(10 * MS, Some(10 * MS));
        left.record(10 * MS, 12 * MS, 2);
        left.record_error(10 * MS, 45 * MS, "BROKEN");
        let mut right = Tally::new(10 * MS, Some(10 * MS));
        right.record(11 * MS, 31 * MS, 4);
        right.merge(left);
        let seen: Vec<(u64, u64)> = right
            .intervals
            .iter()
            .map(|interval| (interval.latency.len(), interval.errors))
            .collect();
        assert_eq!(seen, [(2, 0), (0, 0), (4, 0), (0, 1)]);
        assert_eq!((right.ops(), right.errors), (6, 1));
        assert_eq!(right.intervals[2].latency.max() / MS, 20);
    }

    #[test]
    fn a_server_with_a_thousand_code_words_is_still_counted() {
        let mut tally = Tally::new(0, None);
        for number in 0..1000 {
            tally.record_error(0, 1, &format!("CODE{number} text"));
        }
        assert_eq!(tally.errors, 1000);
        assert_eq!(tally.errors_by_code.len(), CODES_MAX + 1);
        assert_eq!(tally.errors_by_code.values().sum::<u64>(), 1000);
        assert_eq!(tally.error_examples.len(), EXAMPLES_MAX);
    }
}
