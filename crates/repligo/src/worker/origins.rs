//! One line in the log when an origin fails and one when it is back, however many keyspaces it has, and not
//! more than a few a minute of one that comes and goes: then the next line tells where it stands.

use std::collections::{BTreeMap, VecDeque};

use repligo_core::contract::OriginsStatus;

/// Lines about one origin within [`WINDOW_US`].
const LINES_MAX: usize = 6;
const WINDOW_US: u64 = 60_000_000;

/// What was logged of each origin.
#[derive(Debug, Default)]
pub struct OriginWatch {
    known: BTreeMap<String, Known>,
}

#[derive(Debug, Default)]
struct Known {
    down: bool,
    /// When the latest lines were written.
    lines: VecDeque<u64>,
}

/// One line to be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    origin: String,
    /// Keyspaces that cannot be used, and why the first of them; none when the origin is back.
    trouble: Option<(usize, String)>,
}

impl Notice {
    /// Writes the line.
    pub fn log(&self) {
        let origin = &self.origin;
        match &self.trouble {
            Some((keyspaces, reason)) => tracing::error!(
                origin,
                keyspaces,
                "origin down: {reason}; cached rows and plain keys are served, other requests get ORIGINDOWN"
            ),
            None => tracing::info!(origin, "origin back: it answers and its tables fit"),
        }
    }
}

impl OriginWatch {
    /// What is worth a line now.
    pub fn observe(&mut self, now_us: u64, status: &OriginsStatus) -> Vec<Notice> {
        let mut notices = Vec::new();
        for (origin, up) in &status.origins {
            let known = match self.known.get_mut(origin) {
                Some(known) => known,
                None if *up => continue,
                None => self.known.entry(origin.clone()).or_default(),
            };
            if known.down != *up {
                continue;
            }
            while known
                .lines
                .front()
                .is_some_and(|line| now_us.saturating_sub(*line) >= WINDOW_US)
            {
                known.lines.pop_front();
            }
            if known.lines.len() >= LINES_MAX {
                continue;
            }
            known.lines.push_back(now_us);
            known.down = !up;
            let mut of_origin = status.troubles.iter().filter(|trouble| trouble.origin == *origin);
            notices.push(Notice {
                origin: origin.clone(),
                trouble: of_origin
                    .next()
                    .map(|first| (1 + of_origin.count(), first.reason.clone())),
            });
        }
        notices
    }
}

#[cfg(test)]
mod tests {
    use repligo_core::contract::OriginTrouble;

    use super::*;

    fn status(reason: Option<&str>) -> OriginsStatus {
        let trouble = |keyspace: &str, reason: &str| OriginTrouble {
            keyspace: keyspace.to_owned(),
            origin: "main".to_owned(),
            reason: reason.to_owned(),
        };
        OriginsStatus {
            keyspaces: 3,
            origins: vec![("main".to_owned(), reason.is_none()), ("other".to_owned(), true)],
            troubles: reason
                .into_iter()
                .flat_map(|reason| [trouble("a", reason), trouble("b", "the same")])
                .collect(),
        }
    }

    #[test]
    fn an_origin_gets_a_line_when_it_fails_and_one_when_it_is_back() {
        let mut watch = OriginWatch::default();
        assert_eq!(watch.observe(0, &status(None)), []);
        let notices = watch.observe(1, &status(Some("gone")));
        let expect = Notice {
            origin: "main".to_owned(),
            trouble: Some((2, "gone".to_owned())),
        };
        assert_eq!(notices, [expect]);
        assert_eq!(watch.observe(2, &status(Some("gone"))), []);
        let back = watch.observe(3, &status(None));
        assert!(back.len() == 1 && back[0].trouble.is_none(), "{back:?}");
        assert_eq!(watch.observe(4, &status(None)), []);
    }

    #[test]
    fn one_that_comes_and_goes_gets_a_few_lines_and_in_the_end_the_truth() {
        let mut watch = OriginWatch::default();
        let mut lines = 0;
        for step in 0..1_001 {
            let reason = (step % 2 == 0).then_some("flaps");
            lines += watch.observe(step, &status(reason)).len();
        }
        assert_eq!(lines, LINES_MAX);
        let later = watch.observe(2 * WINDOW_US, &status(Some("flaps")));
        assert_eq!(later.len(), 1, "it was down when the lines ran out");
        assert!(later[0].trouble.is_some());
    }
}
