//! How late expired keys are removed: a histogram in milliseconds, for metrics only.

/// Upper bounds of the buckets in milliseconds; one more bucket holds everything longer.
pub const LAG_BOUNDS_MS: [u64; 16] = [
    1, 2, 5, 10, 20, 30, 40, 50, 75, 100, 150, 200, 500, 1_000, 5_000, 10_000,
];

/// Counts of lags by size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LagHistogram {
    /// Lags of at most the bound with the same index that no smaller bucket counts; the last one counts
    /// everything longer.
    pub counts: [u64; LAG_BOUNDS_MS.len() + 1],
    /// Sum of all lags in milliseconds.
    pub sum_ms: u64,
    /// The longest lag in milliseconds.
    pub max_ms: u64,
}

impl LagHistogram {
    /// Counts a lag.
    #[inline]
    pub fn record(&mut self, lag_ms: u64) {
        self.counts[LAG_BOUNDS_MS.partition_point(|&bound_ms| bound_ms < lag_ms)] += 1;
        self.sum_ms = self.sum_ms.saturating_add(lag_ms);
        self.max_ms = self.max_ms.max(lag_ms);
    }

    /// The bound in milliseconds that the given share of the lags, from 0 to 1, keeps; 0 without any.
    pub fn percentile_ms(&self, share: f64) -> u64 {
        let wanted = (self.counts.iter().sum::<u64>() as f64 * share).ceil() as u64;
        let mut sum = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            sum += count;
            if sum >= wanted && sum > 0 {
                let bound_ms = LAG_BOUNDS_MS.get(bucket).copied().unwrap_or(u64::MAX);
                return bound_ms.min(self.max_ms);
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_falls_into_the_smallest_bucket_that_holds_it() {
        let mut lags = LagHistogram::default();
        [0, 1, 2, 3, 50, 51, 20_000]
            .into_iter()
            .for_each(|lag_ms| lags.record(lag_ms));
        assert_eq!((lags.counts[0], lags.counts[1], lags.counts[2]), (2, 1, 1));
        assert_eq!((lags.counts[7], lags.counts[8], lags.counts[16]), (1, 1, 1));
        assert_eq!((lags.percentile_ms(0.5), lags.percentile_ms(0.6)), (5, 50));
        assert_eq!((lags.percentile_ms(1.0), lags.max_ms), (20_000, 20_000));
        assert_eq!(LagHistogram::default().percentile_ms(0.99), 0);
    }
}
