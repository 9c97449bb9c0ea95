//! Published messages: who listens hears each one once at most, those of one publisher in their order, and nothing
//! that nobody has published; who does not listen hears nothing.
//!
//! A publisher is one connection: what a client sends through another node afterwards may come before.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;

/// One connection: client and serial number.
pub type Connection = (u32, u64);

/// What was published and heard so far.
#[derive(Debug, Default)]
pub struct Messages {
    published: BTreeMap<Connection, u64>,
    /// The latest number that a listener has heard of a publisher.
    heard: BTreeMap<(Connection, Connection), u64>,
    listening: BTreeSet<Connection>,
}

impl Messages {
    /// The text of the next message of this publisher.
    pub fn publish(&mut self, publisher: Connection) -> String {
        let number = self.published.entry(publisher).or_default();
        *number += 1;
        format!("{}:{}:{number}", publisher.0, publisher.1)
    }

    /// A connection was told that it listens from now on, or no more.
    pub fn confirm(&mut self, listener: Connection, listens: bool) {
        if listens {
            self.listening.insert(listener);
        } else {
            self.listening.remove(&listener);
        }
    }

    /// True if it was told that it listens.
    pub fn is_listening(&self, listener: Connection) -> bool {
        self.listening.contains(&listener)
    }

    /// A message has reached a connection; who has published it.
    ///
    /// # Errors
    /// The broken promise.
    pub fn hear(&mut self, listener: Connection, text: &str) -> Result<Connection, Violation> {
        let broken = |explanation: String| Violation {
            check: "messages",
            subject: format!("client {} on its connection {}", listener.0, listener.1),
            explanation,
        };
        if !self.listening.contains(&listener) {
            return Err(broken(format!(
                "it heard {text} and was not told that it listens"
            )));
        }
        let numbers: Option<Vec<u64>> = text.split(':').map(|number| number.parse().ok()).collect();
        let Some(&[client, serial, number]) = numbers.as_deref() else {
            return Err(broken(format!("{text:?} was never published")));
        };
        let publisher = (client as u32, serial);
        if number > self.published.get(&publisher).copied().unwrap_or(0) {
            return Err(broken(format!("{text} was never published")));
        }
        let latest = self.heard.entry((listener, publisher)).or_default();
        if number <= *latest {
            return Err(broken(format!(
                "it heard {text} after number {latest} of the same publisher"
            )));
        }
        *latest = number;
        Ok(publisher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTENER: Connection = (1, 1);
    const PUBLISHER: Connection = (2, 7);

    fn published(count: usize) -> Messages {
        let mut messages = Messages::default();
        for _ in 0..count {
            messages.publish(PUBLISHER);
        }
        messages.confirm(LISTENER, true);
        messages
    }

    #[test]
    fn messages_in_order_are_accepted_and_gaps_too() {
        let mut messages = published(3);
        assert_eq!(messages.hear(LISTENER, "2:7:1"), Ok(PUBLISHER));
        assert_eq!(messages.hear(LISTENER, "2:7:3"), Ok(PUBLISHER));
        messages.confirm((3, 1), true);
        assert_eq!(messages.hear((3, 1), "2:7:2"), Ok(PUBLISHER));
    }

    #[test]
    fn a_message_that_comes_twice_or_back_is_found() {
        for second in ["2:7:2", "2:7:1"] {
            let mut messages = published(3);
            assert!(messages.hear(LISTENER, "2:7:2").is_ok());
            assert!(messages.hear(LISTENER, second).is_err(), "{second}");
        }
    }

    #[test]
    fn what_nobody_has_published_is_found() {
        for text in ["2:7:4", "2:8:1", "9:7:1", "x", "2:7", ""] {
            assert!(published(3).hear(LISTENER, text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_message_to_who_does_not_listen_is_found() {
        let mut messages = published(3);
        assert!(messages.hear((3, 1), "2:7:1").is_err());
        messages.confirm(LISTENER, false);
        assert!(messages.hear(LISTENER, "2:7:1").is_err());
    }
}
