//! Why no link to a node comes about: for the log, which hears each cause once and a known one rarely, and for the
//! status, which shows the present one. A node that is refused tries again twice a second.

use std::time::{Duration, Instant};

/// Between two lines about causes that were logged before.
const REPEATED_EVERY: Duration = Duration::from_mins(1);
/// A cause that was not met for so long says nothing of the present.
const FRESH: Duration = Duration::from_secs(10);
/// Causes that are remembered of one node. What comes then counts as known.
const CAUSES_MAX: usize = 16;
/// The same of all strangers.
const STRANGE_CAUSES_MAX: usize = 64;

/// Who says why, in rising order of what an operator learns from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Nobody: the connection ended. Nodes that stop leave that behind.
    Broken,
    /// The other side, without a reason.
    Elsewhere,
    /// The other side.
    Other,
    /// This node.
    Own,
}

#[derive(Debug)]
struct Present {
    text: String,
    source: Source,
    at: Instant,
}

/// The causes of one node, or of all strangers.
#[derive(Debug)]
pub struct Refusals {
    /// Causes, and how often each was logged.
    known: Vec<(String, u32)>,
    /// As often each is logged at once.
    free: u32,
    causes_max: usize,
    logged: Option<Instant>,
    present: Option<Present>,
}

impl Refusals {
    /// Of one node: each cause is logged once, then all of them once a minute.
    pub fn of_node() -> Self {
        Self::with(1, CAUSES_MAX)
    }

    /// Of everybody who is not known: they may be many.
    pub fn of_strangers() -> Self {
        Self::with(16, STRANGE_CAUSES_MAX)
    }

    fn with(free: u32, causes_max: usize) -> Self {
        Self {
            known: Vec::new(),
            free,
            causes_max,
            logged: None,
            present: None,
        }
    }

    /// Notes a cause; true if it is to be logged now.
    pub fn note(&mut self, text: &str, source: Source, now: Instant) -> bool {
        let weaker = |present: &Present| present.source <= source || now - present.at >= FRESH;
        if source > Source::Broken && self.present.as_ref().is_none_or(weaker) {
            self.present = Some(Present {
                text: text.to_owned(),
                source,
                at: now,
            });
        }
        let place = self.known.iter().position(|(known, _)| known == text);
        let is_free = match place {
            Some(place) => self.known[place].1 < self.free,
            None => self.known.len() < self.causes_max,
        };
        let is_due = self.logged.is_none_or(|at| now - at >= REPEATED_EVERY);
        if !is_free && !is_due {
            return false;
        }
        match place {
            Some(place) => self.known[place].1 += 1,
            None if is_free => self.known.push((text.to_owned(), 1)),
            None => {}
        }
        self.logged = Some(now);
        true
    }

    /// Why there is no link now, as far as it was met lately.
    pub fn present(&self, now: Instant) -> Option<&str> {
        let present = self.present.as_ref();
        let fresh = present.filter(|present| now.saturating_duration_since(present.at) < FRESH);
        fresh.map(|present| present.text.as_str())
    }

    /// There is a link: what comes later is new.
    pub fn clear(&mut self) {
        *self = Self::with(self.free, self.causes_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_logged_once_and_then_one_a_minute() {
        let begin = Instant::now();
        let mut refusals = Refusals::of_node();
        let mut logged = Vec::new();
        for half in 0..300_u64 {
            let now = begin + Duration::from_millis(500 * half);
            for (text, source) in [
                ("own", Source::Own),
                ("theirs", Source::Other),
                ("end", Source::Broken),
            ] {
                if refusals.note(text, source, now) {
                    logged.push((half / 2, text));
                }
            }
        }
        assert_eq!(
            logged,
            [(0, "own"), (0, "theirs"), (0, "end"), (60, "own"), (120, "own")]
        );
        refusals.clear();
        assert!(refusals.note("own", Source::Own, begin + Duration::from_secs(151)));
    }

    #[test]
    fn the_status_shows_what_tells_most_for_as_long_as_it_is_met() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut refusals = Refusals::of_node();
        refusals.note("the connection broke", Source::Broken, at(0));
        assert_eq!(refusals.present(at(0)), None);
        refusals.note("see the other log", Source::Elsewhere, at(1));
        assert_eq!(refusals.present(at(1)), Some("see the other log"));
        refusals.note("other sections", Source::Own, at(2));
        refusals.note("see the other log", Source::Elsewhere, at(3));
        assert_eq!(refusals.present(at(11)), Some("other sections"));
        assert_eq!(refusals.present(at(12)), None, "the node may be down now");
        refusals.note("see the other log", Source::Elsewhere, at(13));
        assert_eq!(refusals.present(at(13)), Some("see the other log"));
    }

    #[test]
    fn many_causes_take_a_bounded_room() {
        let now = Instant::now();
        let mut refusals = Refusals::of_node();
        let logged = (0..1000).filter(|number| refusals.note(&number.to_string(), Source::Own, now));
        assert_eq!(logged.count(), CAUSES_MAX);
    }
}
