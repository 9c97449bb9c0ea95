//! A restored key against what clients saw before: some write of the key's history up to the backup stands in it, and
//! nothing that was answered before the backup was asked for is missing.
//!
//! What was answered later may be in it or not, so it counts as unanswered; what was asked for when the snapshot was
//! complete cannot be in it. The restored value is then the last read of a history that has to be linearizable.

use super::{Judged, Violation, check_key};
use crate::history::{Action, Operation, Outcome};

/// When a backup was asked for, and when its snapshot was complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Everything that was answered before is in it.
    pub asked: u64,
    /// Nothing that was asked for later is in it.
    pub taken: u64,
}

/// Judges what a restored cluster holds of one key: `restored` is what a read says, all operations are of that key.
///
/// # Errors
/// Something is missing, or there that cannot be.
pub fn check(operations: &[Operation], restored: Outcome, span: Span) -> Result<Judged, Violation> {
    let Some(key) = operations.first().map(|operation| operation.key) else {
        return Ok(Judged::Exactly);
    };
    let mut history: Vec<Operation> = operations
        .iter()
        .filter_map(|operation| seen_from(operation, span))
        .collect();
    history.push(Operation {
        client: u32::MAX,
        key,
        invoked: span.taken,
        returned: Some(span.taken),
        action: Action::Read,
        outcome: restored,
    });
    check_key(&history).map_err(|violation| Violation {
        check: "what is restored was there",
        explanation: format!("restored from the backup of {span:?}: {violation}"),
        ..violation
    })
}

/// What a backup has to do with an operation.
fn seen_from(operation: &Operation, span: Span) -> Option<Operation> {
    let is_settled = operation.outcome == Outcome::Refused || operation.end() < span.asked;
    if operation.invoked >= span.taken || (!is_settled && !operation.is_write()) {
        return None;
    }
    let open = || Operation {
        returned: None,
        outcome: Outcome::Unknown,
        ..operation.clone()
    };
    Some(if is_settled { operation.clone() } else { open() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(lines: &[&str], restored: Option<u64>) -> bool {
        let operations: Vec<Operation> = lines.iter().map(|line| line.parse().unwrap()).collect();
        let span = Span {
            asked: 100,
            taken: 200,
        };
        check(&operations, Outcome::Value(restored), span).is_ok()
    }

    #[test]
    fn what_was_answered_before_is_there_and_what_came_after_is_not() {
        let lines = [
            "1 0 1 2 write 5 ok",
            "1 0 50 60 write 6 ok",
            "1 0 90 110 write 7 ok",
            "1 0 150 160 write 8 ok",
            "1 0 210 220 write 9 ok",
        ];
        assert!(!judge(&lines, Some(5)), "6 was acknowledged");
        assert!(judge(&lines, Some(6)));
        assert!(judge(&lines, Some(7)));
        assert!(judge(&lines, Some(8)));
        assert!(!judge(&lines, Some(9)), "it was asked for later");
        assert!(!judge(&lines, None), "all of it is gone");
        assert!(!judge(&lines, Some(4)), "nobody wrote it");
    }

    #[test]
    fn refused_writes_are_not_there_and_reads_of_later_count_for_nothing() {
        let lines = [
            "1 0 1 2 write 5 ok",
            "2 0 3 4 write 6 refused",
            "1 0 120 130 write 7 ok",
            "2 0 140 150 read value 7",
        ];
        assert!(judge(&lines, Some(5)));
        assert!(judge(&lines, Some(7)));
        assert!(!judge(&lines, Some(6)));
    }

    #[test]
    fn what_was_read_before_stays_read() {
        let lines = [
            "1 0 1 2 write 5 ok",
            "2 0 3 - write 6 unknown",
            "1 0 20 30 read value 6",
        ];
        assert!(judge(&lines, Some(6)));
        assert!(!judge(&lines, Some(5)));
    }
}
