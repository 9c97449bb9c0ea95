//! Sentences about the levels of consistency.

/// No level of reads has this name.
pub const UNKNOWN_READ_LEVEL: &str =
    "No such level of reads: take linearizable, session, bounded:DURATION as in bounded:200ms, or eventual";
/// The level is designed and not there.
pub const READ_LEVEL_NOT_BUILT: &str = "This level of reads is not in this release: take linearizable, \
    bounded:DURATION, or eventual, which any node answers by itself";
/// What follows `bounded:` is no bound.
pub const NO_BOUND: &str = "The bound of reads is a whole number with its unit, ms or s, from 1ms to 10s, as in \
    bounded:200ms";
/// No level of writes has this name.
pub const UNKNOWN_WRITE_LEVEL: &str = "No such level of writes: the only one is quorum";
/// The level is designed and not there.
pub const WRITE_LEVEL_NOT_BUILT: &str = "This level of writes is not in this release: the only one is quorum";
/// Words behind REPLIGO.CONSISTENCY that are none of its forms.
pub const CONSISTENCY_SYNTAX: &str =
    "ERR syntax error: REPLIGO.CONSISTENCY takes nothing or GET, or READ LEVEL, or WRITE LEVEL, or both";

/// The word behind REPLIGO.SESSION is no token.
pub const NO_TOKEN: &str = "ERR this is no token: give the whole word that REPLIGO.SESSION has answered, on any connection to \
    this cluster; nothing has changed";
/// Another cluster gave the token out, or one for another log.
pub const TOKEN_OF_ANOTHER_CLUSTER: &str = "ERR this token is of another cluster and says nothing here: \
    take tokens to the cluster that gave them out; nothing has changed";
/// No log is as long as the token says.
pub const IMPOSSIBLE_TOKEN: &str = "ERR this token names an entry beyond all that can exist: give the word that \
    REPLIGO.SESSION has answered, as it was; nothing has changed";
/// REPLIGO.SESSION where commands are queued.
pub const SESSION_IN_BLOCK: &str = "ERR REPLIGO.SESSION is not allowed inside MULTI: send it behind EXEC, \
    and its token covers the whole block";

/// The token is of a generation before this one.
pub fn earlier_generation(token: u64, own: u64) -> String {
    format!(
        "LOSTWRITE this token is of generation {token}, and the cluster is in generation {own}: it was restored or \
         recovered since, and what the token stands for may be lost; read again what you rely on, and go on with a \
         new token (REPLIGO.SESSION)"
    )
}

/// The token is of a generation after that of this node.
pub fn later_generation(token: u64, own: u64) -> String {
    format!(
        "STALE this token is of generation {token}, and this node has stayed in generation {own}: the cluster was \
         recovered without it; use another node, and let this one join again with an empty directory"
    )
}

/// The entry that the token names was never committed here.
pub fn not_in_history(term: u64, index: u64) -> String {
    format!(
        "LOSTWRITE the history of this cluster has no entry {index} of term {term}: what this token stands for is \
         lost; read again what you rely on, over a new connection, and go on with a new token (REPLIGO.SESSION)"
    )
}

/// A session read for which this replica lacks what its connection has seen, and no leader has answered in time; without
/// an `asked` index this replica was not confirmed since its start.
pub fn not_seen_here(level: &str, applied: u64, asked: Option<u64>) -> String {
    let lack = match asked {
        Some(asked) => {
            format!("this replica has applied entry {applied} and the connection has seen entry {asked}")
        }
        None => {
            "no leader has confirmed the state of this replica since its start, or lately enough".to_owned()
        }
    };
    format!(
        "STALE no read at level {level} can be answered here: {lack}, and no leader answers now; ask another node, \
         read at level eventual, or check that a majority of the nodes is up"
    )
}

/// A bounded read for which this replica's state is too old, and no leader has confirmed a newer one in time; `age_ms`
/// is `None` where none was confirmed since the node started.
pub fn out_of_bounds(level: &str, age_ms: Option<u64>) -> String {
    let age = match age_ms {
        Some(age_ms) => format!("{age_ms} ms ago"),
        None => "never since its start".to_owned(),
    };
    format!(
        "STALE no read at level {level} can be answered here: a leader confirmed the state of this replica last \
         {age}, and none does so now; read with a larger bound or at level eventual, ask another node, or check that \
         a majority of the nodes is up"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gets_no_session_read_is_told_level_place_and_remedy() {
        let text = not_seen_here("session", 7, Some(9));
        assert!(
            text.starts_with("STALE ") && text.contains("level session"),
            "{text}"
        );
        assert!(
            text.contains("applied entry 7") && text.contains("seen entry 9"),
            "{text}"
        );
        assert!(text.contains("ask another node"), "{text}");
        assert!(not_seen_here("session", 7, None).contains("since its start"));
        for text in [earlier_generation(1, 2), not_in_history(3, 4)] {
            assert!(
                text.starts_with("LOSTWRITE ") && text.contains("new token"),
                "{text}"
            );
        }
        assert!(later_generation(2, 1).starts_with("STALE "));
    }

    #[test]
    fn who_gets_no_bounded_read_is_told_level_age_and_remedy() {
        let text = out_of_bounds("bounded:200ms", Some(5_300));
        assert!(
            text.starts_with("STALE ") && text.contains("bounded:200ms"),
            "{text}"
        );
        assert!(
            text.contains("5300 ms ago") && text.contains("larger bound"),
            "{text}"
        );
        assert!(out_of_bounds("bounded:1s", None).contains("never since its start"));
    }
}
