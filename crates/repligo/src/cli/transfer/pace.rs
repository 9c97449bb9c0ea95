//! Keeps a transfer below a number of entries per second.

use std::time::{Duration, Instant};

use super::{Halt, Outcome};
use crate::cli::signals::StopFlag;

/// Entries that are handled at once without a limit.
const CHUNK: usize = 512;
/// With a limit, so many chunks make a second.
const CHUNKS_PER_SECOND: u64 = 10;
/// The longest sleep before the stop flag is looked at again.
const NAP: Duration = Duration::from_millis(50);

/// Time for so many entries.
pub struct Pace {
    per_second: Option<u64>,
    stop: StopFlag,
    due: Instant,
}

impl Pace {
    /// Time begins now.
    pub fn new(per_second: Option<u64>, stop: StopFlag) -> Pace {
        Pace {
            per_second,
            stop,
            due: Instant::now(),
        }
    }

    /// How many entries to handle at once.
    pub fn chunk(&self) -> usize {
        match self.per_second {
            None => CHUNK,
            Some(rate) => ((rate / CHUNKS_PER_SECOND) as usize).clamp(1, CHUNK),
        }
    }

    /// Waits until so many entries may have been handled. What a slow server took longer for is not made up for.
    ///
    /// # Errors
    /// The end was asked for.
    pub fn wait(&mut self, entries: usize) -> Outcome<()> {
        if let Some(rate) = self.per_second {
            self.due = self
                .due
                .max(Instant::now() - Duration::from_millis(1000 / CHUNKS_PER_SECOND));
            self.due += Duration::from_nanos(entries as u64 * 1_000_000_000 / rate.max(1));
        }
        loop {
            if self.stop.is_set() {
                return Err(Halt::Interrupted);
            }
            let left = self.due.saturating_duration_since(Instant::now());
            if self.per_second.is_none() || left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(NAP));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_and_the_end_is_heard() {
        let stop = StopFlag::default();
        let mut pace = Pace::new(Some(1000), stop.clone());
        assert_eq!(pace.chunk(), 100);
        let start = Instant::now();
        for _ in 0..3 {
            pace.wait(100).expect("not stopped");
        }
        assert!(
            start.elapsed() >= Duration::from_millis(250),
            "{:?}",
            start.elapsed()
        );
        stop.set();
        assert!(matches!(pace.wait(1), Err(Halt::Interrupted)));
        assert_eq!(Pace::new(Some(3), StopFlag::default()).chunk(), 1);
        assert_eq!(Pace::new(None, StopFlag::default()).chunk(), CHUNK);
    }
}
