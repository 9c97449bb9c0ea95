//! Sentences about the levels of consistency.

/// No level of reads has this name.
pub const UNKNOWN_READ_LEVEL: &str =
    "No such level of reads: take linearizable, bounded:DURATION as in bounded:200ms, or eventual";
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
