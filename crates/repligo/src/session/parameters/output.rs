//! What subscribers may leave unread: the class `pubsub` of `client-output-buffer-limit`.

use super::form::parse_memory;

/// Limits of unsent bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimit {
    /// A client with more is disconnected.
    pub hard_bytes: usize,
    /// A client with more for too long is disconnected.
    pub soft_bytes: usize,
    /// That long, seconds.
    pub soft_seconds: u64,
}

impl OutputLimit {
    /// The class `pubsub` in the parameter's value; 0 stands for no limit.
    pub(super) fn of_subscribers(value: &str) -> Self {
        let limits = classes(value).find(|(class, _)| *class == "pubsub");
        let (hard, soft, seconds) = limits.map_or((0, 0, 0), |(_, limits)| limits);
        let bytes = |bytes: u64| match bytes {
            0 => usize::MAX,
            bytes => usize::try_from(bytes).unwrap_or(usize::MAX),
        };
        Self {
            hard_bytes: bytes(hard),
            soft_bytes: if seconds == 0 { usize::MAX } else { bytes(soft) },
            soft_seconds: seconds,
        }
    }
}

fn classes(value: &str) -> impl Iterator<Item = (&str, (u64, u64, u64))> {
    let words: Vec<&str> = value.split(' ').collect();
    let number = |word: &str| parse_memory(word).unwrap_or(0);
    let parsed: Vec<_> = words
        .chunks_exact(4)
        .map(|class| (class[0], (number(class[1]), number(class[2]), number(class[3]))))
        .collect();
    parsed.into_iter()
}

/// `now` with the classes that `asked` names replaced, as CONFIG GET would show it; `None` if one but `pubsub` would
/// change.
pub(super) fn merged(now: &str, asked: &str) -> Option<String> {
    let mut shown = Vec::new();
    for (class, limits) in classes(now) {
        let last = classes(asked).filter(|(other, _)| *other == class).last();
        let (hard, soft, seconds) = last.map_or(limits, |(_, limits)| limits);
        if class != "pubsub" && (hard, soft, seconds) != limits {
            return None;
        }
        shown.push(format!("{class} {hard} {soft} {seconds}"));
    }
    Some(shown.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_class_of_subscribers_changes() {
        let now = "normal 100 0 0 other 0 0 0 pubsub 32 8 60";
        assert_eq!(
            OutputLimit::of_subscribers(now),
            OutputLimit {
                hard_bytes: 32,
                soft_bytes: 8,
                soft_seconds: 60
            }
        );
        assert_eq!(
            merged(now, "pubsub 64 0 0").as_deref(),
            Some("normal 100 0 0 other 0 0 0 pubsub 64 0 0")
        );
        assert_eq!(merged(now, "normal 100 0 0").as_deref(), Some(now));
        assert_eq!(merged(now, "normal 99 0 0 pubsub 1 1 1"), None);
        let unlimited = OutputLimit::of_subscribers("pubsub 0 5 0");
        assert_eq!(
            (unlimited.hard_bytes, unlimited.soft_bytes),
            (usize::MAX, usize::MAX)
        );
    }
}
