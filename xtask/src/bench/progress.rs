//! What a run tells while it goes on, with an estimate of the time left.

use std::cell::Cell;
use std::time::{Duration, Instant};

thread_local! {
    /// When the run began, and when it will probably end. Rows run on one thread.
    static ENDS: Cell<Option<(Instant, Instant)>> = const { Cell::new(None) };
}

/// Sets how much time is probably left.
pub fn expect_seconds(seconds: f64) {
    let now = Instant::now();
    ENDS.with(|ends| {
        let start = ends.get().map_or(now, |(start, _)| start);
        ends.set(Some((start, now + Duration::from_secs_f64(seconds.max(0.0)))));
    });
}

/// Prints a line with the time so far and the time left.
pub fn note(text: &str) {
    let now = Instant::now();
    let clock = |time: Duration| format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60);
    let (so_far, left) = ENDS
        .with(Cell::get)
        .map_or_else(Default::default, |(start, end)| {
            (now - start, end.saturating_duration_since(now))
        });
    println!("bench [{}, about {} left] {text}", clock(so_far), clock(left));
}
