//! Caches of clients that track: while nothing is on its way between a node and its client, the client has cached nothing
//! but what the node holds. An invalidation that was forgotten, or that came before its write was to be seen, leaves
//! something older behind.

use std::collections::BTreeMap;

use super::Violation;

/// What a client has cached, by key; `None` for a key that is absent.
pub type Cached = BTreeMap<String, Option<String>>;

/// Compares what a client has cached with what its node holds.
///
/// # Errors
/// The first key that differs.
pub fn check(
    client: (u32, u64),
    cached: &Cached,
    held: impl Fn(&str) -> Option<String>,
) -> Result<(), Violation> {
    for (key, value) in cached {
        let now = held(key);
        if *value != now {
            return Err(Violation {
                check: "caches of clients",
                subject: format!("client {} on its connection {}, key {key}", client.0, client.1),
                explanation: format!("it has cached {value:?}, and was not told that it is {now:?} by now"),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cached(pairs: &[(&str, Option<&str>)]) -> Cached {
        let owned = |(key, value): &(&str, Option<&str>)| ((*key).to_owned(), value.map(str::to_owned));
        pairs.iter().map(owned).collect()
    }

    fn judge(pairs: &[(&str, Option<&str>)], held: &[(&str, Option<&str>)]) -> bool {
        let held = cached(held);
        let value = |key: &str| held.get(key).cloned().flatten();
        check((1, 1), &cached(pairs), value).is_ok()
    }

    #[test]
    fn what_the_node_holds_is_accepted_and_less_of_it() {
        let held = [("a", Some("1")), ("b", Some("2"))];
        assert!(judge(&held, &held));
        assert!(judge(&[("a", Some("1")), ("c", None)], &held));
        assert!(judge(&[], &held));
    }

    #[test]
    fn what_is_older_is_found_and_what_was_absent_or_is_now() {
        let held = [("a", Some("2"))];
        assert!(!judge(&[("a", Some("1"))], &held));
        assert!(!judge(&[("a", None)], &held));
        assert!(!judge(&[("b", Some("1"))], &held));
    }
}
