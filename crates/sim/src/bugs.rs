//! Planted bugs: which one is in force on this thread. They exist only in builds with the feature `bugs`;
//! there the simulator proves itself by finding every one of them.

use std::cell::RefCell;

use repligo_core::bugs::Bug;
use repligo_core::origin::plan::Bugs as OriginBugs;
use repligo_core::replica::Replica;
use repligo_session::Session;
use repligo_session::bugs::Bug as SessionBug;

const FLUSH_WITHOUT_COMPARE_AND_SET: &str = "flush-without-compare-and-set";
const REJECT_IN_THE_LOG_ONLY: &str = "reject-in-the-log-only";
const DATA_ERROR_FINAL_AT_ONCE: &str = "data-error-final-at-once";

thread_local! {
    static PLANTED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Names of all planted bugs.
pub fn names() -> Vec<&'static str> {
    let of_core = Bug::ALL.iter().map(|(name, _)| *name);
    let of_session = SessionBug::ALL.iter().map(|(name, _)| *name);
    of_core
        .chain(of_session)
        .chain([
            FLUSH_WITHOUT_COMPARE_AND_SET,
            REJECT_IN_THE_LOG_ONLY,
            DATA_ERROR_FINAL_AT_ONCE,
        ])
        .collect()
}

/// Puts a bug in force for the worlds that this thread makes.
pub fn set(name: Option<&str>) {
    let known = |(known, _): &&(&str, Bug)| Some(*known) == name;
    Bug::set_in_force(Bug::ALL.iter().find(known).map(|(_, bug)| *bug));
    let of_session = SessionBug::ALL.iter().find(|(known, _)| Some(*known) == name);
    SessionBug::set_in_force(of_session.map(|(_, bug)| *bug));
    PLANTED.set(name.map(str::to_owned));
}

/// Plants the bug in force into a replica, if it is one of the replica's.
pub fn plant(replica: &mut Replica) {
    PLANTED.with_borrow(|planted| {
        let known = |(name, _): &&(&str, Bug)| Some(*name) == planted.as_deref();
        if let Some((_, bug)) = Bug::ALL.iter().find(known) {
            replica.plant(*bug);
        }
    });
}

/// Whether a node whose directory may have forgotten something goes on as the voter that it was.
pub fn forgetful_voter() -> bool {
    PLANTED.with_borrow(|planted| planted.as_deref() == Some("forgetful-voter"))
}

/// Plants the bug in force into a session, if it is one of a session's.
pub fn plant_session(session: &mut Session) {
    PLANTED.with_borrow(|planted| {
        let known = |(name, _): &&(&str, SessionBug)| Some(*name) == planted.as_deref();
        if let Some((_, bug)) = SessionBug::ALL.iter().find(known) {
            session.plant(*bug);
        }
    });
}

/// The bugs in force in the origin's protocol.
pub fn of_origin() -> OriginBugs {
    PLANTED.with_borrow(|planted| OriginBugs {
        flush_without_compare_and_set: planted.as_deref() == Some(FLUSH_WITHOUT_COMPARE_AND_SET),
        reject_in_the_log_only: planted.as_deref() == Some(REJECT_IN_THE_LOG_ONLY),
        data_error_final_at_once: planted.as_deref() == Some(DATA_ERROR_FINAL_AT_ONCE),
    })
}
