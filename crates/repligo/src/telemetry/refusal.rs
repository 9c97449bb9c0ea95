//! Why one node refuses another, as both sides write it: what differs, a colon, and what to change.

/// What a node is told where nothing better can be said.
pub const NO_LINK: &str = "no link: see the log of the node that was asked";
/// Before a reason that the other side gives.
const OTHER_SAYS: &str = "the other node says: ";

/// A reason that the other side gives, as a text of this one.
pub fn of_other(cause: &str) -> String {
    format!("{OTHER_SAYS}{cause}")
}

/// That reason, if a text is one.
pub fn cause_of_other(text: &str) -> Option<&str> {
    text.strip_prefix(OTHER_SAYS)
}

/// A refusal in two: why, and what to do; and whether it is the other side that says so.
pub(super) fn cause_and_remedy(refusal: &str) -> (bool, &str, String) {
    let by_other = cause_of_other(refusal);
    let text = by_other.unwrap_or(refusal);
    let (cause, remedy) = match text.split_once(": ") {
        _ if text == NO_LINK => (
            "it does not say why over the link",
            "look at its log, which has the reason".to_owned(),
        ),
        _ if text.contains("authority") => (
            text,
            "give both nodes the same --cluster-secret-file (or certificates of one --peer-ca), and start the one \
             anew that had another"
                .to_owned(),
        ),
        Some((cause, remedy)) => (cause, remedy.to_owned()),
        None => (text, "look at the logs and processes of both nodes: one may be paused, overloaded or cut off".to_owned()),
    };
    (by_other.is_some(), cause, remedy)
}
