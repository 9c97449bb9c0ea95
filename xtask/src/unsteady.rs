//! A second try for tests of real processes. They measure real time on machines that others use too, and one of
//! them that is late once in thousands would hide what all others say. So what fails there runs once more when
//! nothing else does. What passes then is named and counted as unsteady, for somebody to look into; what fails
//! again, or is more than a few tests, has failed. What is deterministic fails again: it gains nothing by this. The
//! simulator gets no second try.

use std::process::Command;

use crate::run::{Outcome, Report, run_counted};

/// More failures than these are no accident, and get no second try.
const FEW: usize = 3;

/// Runs what failed once more by the command that `again` makes of the names, and returns what is true then.
pub fn second_try(first: Report, again: impl FnOnce(&[String]) -> Command) -> Report {
    let names = &first.failed_names;
    if first.outcome.is_ok() || names.is_empty() || names.len() > FEW {
        return first;
    }
    println!("xtask: once more, alone: {}", names.join(", "));
    let (counted, outcome) = run_counted(&mut again(names));
    judged(first, counted.passed, outcome)
}

/// A name that the second run did not meet has not passed it.
fn judged(mut first: Report, passed: u64, outcome: Outcome) -> Report {
    let count = first.failed_names.len() as u64;
    if outcome.is_err() || passed != count {
        return first;
    }
    for name in &first.failed_names {
        println!("xtask: unsteady: {name} failed, and passed when it ran alone");
    }
    first.counts.passed += count;
    first.counts.failed = 0;
    first.counts.unsteady += count;
    first.outcome = Ok(());
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Counts, Failure};

    fn failed(names: &[&str]) -> Report {
        Report {
            counts: Counts {
                passed: 10,
                failed: names.len() as u64,
                ..Counts::default()
            },
            failed_names: names.iter().map(|name| (*name).to_owned()).collect(),
            outcome: Err(Failure::new("failed")),
        }
    }

    #[test]
    fn what_passes_alone_is_counted_as_unsteady() {
        let report = judged(failed(&["a", "b"]), 2, Ok(()));
        assert!(report.outcome.is_ok());
        let Counts {
            passed,
            failed,
            unsteady,
            ..
        } = report.counts;
        assert_eq!((passed, failed, unsteady), (12, 0, 2));
    }

    #[test]
    fn what_fails_again_or_does_not_run_again_has_failed() {
        for report in [
            judged(failed(&["a"]), 0, Err(Failure::new("again"))),
            judged(failed(&["a", "b"]), 1, Ok(())),
        ] {
            assert!(report.outcome.is_err());
            assert_eq!((report.counts.passed, report.counts.unsteady), (10, 0));
        }
    }

    #[test]
    fn the_second_try_is_a_run_of_the_names() {
        let says = |line: &'static str| {
            move |names: &[String]| {
                assert_eq!(names, ["a"]);
                let mut command = Command::new("echo");
                command.arg(line);
                command
            }
        };
        let passed = second_try(
            failed(&["a"]),
            says("test result: ok. 1 passed; 0 failed; 0 ignored"),
        );
        assert!(passed.outcome.is_ok() && passed.counts.unsteady == 1);
        let unmet = second_try(
            failed(&["a"]),
            says("test result: ok. 0 passed; 0 failed; 0 ignored"),
        );
        assert!(unmet.outcome.is_err());
    }

    #[test]
    fn many_failures_get_no_second_try() {
        let report = second_try(failed(&["a", "b", "c", "d"]), |_| unreachable!("no second try"));
        assert!(report.outcome.is_err());
    }
}
