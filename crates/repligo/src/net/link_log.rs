//! What is logged about connections: anybody who reaches a port can make lines, so they are few and plain.

use std::time::{Duration, Instant};

/// Lines in one [`WINDOW`].
const LINES_MAX: u32 = 50;
const WINDOW: Duration = Duration::from_secs(10);
/// Of a text of the other side.
const CHARS_MAX: usize = 200;

/// Counts lines.
#[derive(Debug, Default)]
pub struct LinkLog {
    window: Option<Instant>,
    lines: u32,
    dropped: u64,
}

impl LinkLog {
    /// Whether one more line may be written. What was left out is counted, and said when lines may be written again.
    pub fn admits(&mut self) -> bool {
        self.admits_at(Instant::now())
    }

    fn admits_at(&mut self, now: Instant) -> bool {
        let is_new = self
            .window
            .is_none_or(|begin| now.duration_since(begin) >= WINDOW);
        if is_new {
            if self.dropped > 0 {
                tracing::warn!(dropped = self.dropped, "lines about connections were not logged");
            }
            *self = Self {
                window: Some(now),
                ..Self::default()
            };
        }
        let admitted = self.lines < LINES_MAX;
        self.lines += u32::from(admitted);
        self.dropped += u64::from(!admitted);
        admitted
    }
}

/// A text of the other side, without anything that a terminal or a reader of lines would act on.
pub fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(CHARS_MAX * 4)]);
    let mut plain: String = text
        .chars()
        .take(CHARS_MAX)
        .flat_map(|char| {
            char.is_control()
                .then(|| char.escape_default())
                .into_iter()
                .flatten()
                .chain((!char.is_control()).then_some(char))
        })
        .collect();
    if text.chars().count() > CHARS_MAX || bytes.len() > CHARS_MAX * 4 {
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_are_short_and_make_no_lines() {
        assert_eq!(plain(b"use the same --cluster"), "use the same --cluster");
        assert_eq!(plain(b"a\nERROR b\x1b[2J\xff"), "a\\nERROR b\\u{1b}[2J\u{fffd}");
        let long = plain(&[b'x'; 60_000]);
        assert_eq!(long.chars().count(), CHARS_MAX + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn a_flood_makes_few_lines() {
        let mut log = LinkLog::default();
        let begin = Instant::now();
        let logged = (0..10_000).filter(|_| log.admits_at(begin)).count();
        assert_eq!(logged, LINES_MAX as usize);
        assert_eq!(log.dropped, 9950);
        assert!(log.admits_at(begin + WINDOW), "and they come again");
        assert_eq!(log.dropped, 0);
    }
}
