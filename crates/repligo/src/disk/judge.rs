//! Whether a directory that has a `meta` may be used by this node now, and what it holds.
//!
//! It reads everything and changes nothing, so a refused directory stays as it was.

use repligo_core::contract::{Boot, Durability, HardState, LogEntry};
use repligo_core::membership::Membership;

use super::error::DiskError;
use super::meta::{Forming, Meta};
use super::replay::{self, Known, Log};
use super::snapshot;
use super::storage::Storage;

/// What a directory holds, found fit.
#[derive(Default)]
pub(super) struct Judged {
    /// For the core.
    pub boot: Boot,
    /// The log, without its entries; there is none before the cluster has formed.
    pub log: Option<Log>,
    /// The log does not lead on from the snapshot and has to restart there.
    pub restart_log: bool,
    /// For the operator.
    pub notes: Vec<String>,
}

/// Judges a directory that has a `meta`. Changes nothing.
pub(super) fn judge(
    storage: &dyn Storage,
    names: &[String],
    recorded: &Meta,
    wanted: &Meta,
    clustered: bool,
) -> Result<Judged, DiskError> {
    let dir = || storage.dir().to_path_buf();
    let Forming::Formed { .. } = recorded.forming else {
        if !replay::is_unused(storage, names)? {
            let why = "`meta` says that no cluster was formed here, yet there is a log".into();
            return Err(DiskError::LogGap { dir: dir(), why });
        }
        let same_line = names_of(&recorded.membership) == names_of(&wanted.membership);
        if recorded.forming != Forming::Empty && (recorded.node != wanted.node || !same_line) {
            return Err(other_node(storage, recorded, wanted));
        }
        return Ok(Judged::default());
    };
    // Who the members are now is what the log says; the line of a start only says where they may be.
    if recorded.node != wanted.node || (!recorded.single_node() && !clustered) {
        return Err(other_node(storage, recorded, wanted));
    }
    if recorded.moved && !recorded.single_node() {
        return Err(DiskError::Copied {
            node: recorded.node.clone(),
            dir: dir(),
        });
    }
    let same_boot = !recorded.boot_id.is_empty() && recorded.boot_id == wanted.boot_id;
    let mut notes = Vec::new();
    if recorded.durability == Durability::Os && recorded.clean.is_none() && !same_boot {
        if !recorded.single_node() {
            return Err(DiskError::UncleanStop {
                node: recorded.node.clone(),
                dir: dir(),
            });
        }
        notes.push(
            "the machine stopped (or a sync failed) while this node was running with durability `os`: the \
             last second of acknowledged writes may be gone; everything older is here"
                .into(),
        );
    }
    let mut judged = read(storage, names, recorded, same_boot)?;
    notes.append(&mut judged.notes);
    Ok(Judged { notes, ..judged })
}

/// Reads what a formed directory holds, whether or not something may be missing at its end.
pub(super) fn read(
    storage: &dyn Storage,
    names: &[String],
    recorded: &Meta,
    same_boot: bool,
) -> Result<Judged, DiskError> {
    let dir = || storage.dir().to_path_buf();
    let cluster_id = recorded.forming.cluster_id();
    let cluster_id = cluster_id.expect("only a formed directory holds a log");
    let mut notes = Vec::new();
    let snapshot = snapshot::read(storage, cluster_id)?;
    let at = snapshot
        .as_ref()
        .map_or((0, 0), |(index, term, _)| (*index, *term));
    let known = Known {
        cluster_id,
        snapshot: at,
        clean: recorded.clean,
        same_boot,
    };
    let Some(mut log) = replay::read(storage, names, known)? else {
        return Err(DiskError::LogGap {
            dir: dir(),
            why: "there is no log file at all".into(),
        });
    };
    if !log.stale.is_empty() {
        notes.push(format!(
            "a write that was not finished when the last run ended was cut off the log at position {}; it \
             had not been acknowledged as durable",
            log.tail.header.position(log.tail.end)
        ));
    }
    let entries = std::mem::take(&mut log.entries);
    let (boot, restart_log) = assemble(storage, &log, entries, snapshot)?;
    Ok(Judged {
        boot,
        log: Some(log),
        restart_log,
        notes,
    })
}

fn names_of(membership: &Membership) -> Vec<&str> {
    membership
        .iter()
        .map(|(_, member)| member.name.as_str())
        .collect()
}

fn other_node(storage: &dyn Storage, recorded: &Meta, wanted: &Meta) -> DiskError {
    let describe = |meta: &Meta| match names_of(&meta.membership).as_slice() {
        [] => format!("node {} that joins a cluster", meta.node),
        [_] => format!("the single node {}", meta.node),
        names => format!("node {} of the cluster of {}", meta.node, names.join(", ")),
    };
    DiskError::OtherNode {
        dir: storage.dir().to_path_buf(),
        recorded: describe(recorded),
        started: describe(wanted),
    }
}

/// Joins snapshot and log; says also whether the log must restart after the snapshot.
///
/// The snapshot is committed state. The log leads on from it if it holds the snapshot's last entry or
/// begins right behind it; otherwise it is older than the snapshot, or a tail that lost against what the
/// snapshot holds, and nothing of it counts. It then restarts even if its next index happens to be the right
/// one: entries appended to it would not count at the next open.
fn assemble(
    storage: &dyn Storage,
    log: &Log,
    mut entries: Vec<LogEntry>,
    snapshot: Option<snapshot::Snapshot>,
) -> Result<(Boot, bool), DiskError> {
    let (index, term) = snapshot
        .as_ref()
        .map_or((0, 0), |(index, term, _)| (*index, *term));
    if log.base > index + 1 {
        let why = match index {
            0 => format!(
                "it begins with entry {}, and there is no snapshot of what was before",
                log.base
            ),
            _ => format!(
                "it begins with entry {}, and the snapshot ends with entry {index}",
                log.base
            ),
        };
        return Err(DiskError::LogGap {
            dir: storage.dir().to_path_buf(),
            why,
        });
    }
    let leads_on = log.base == index + 1 || log.term_at_snapshot == Some(term);
    if !leads_on {
        entries.clear();
    }
    let last_index = index + entries.len() as u64;
    assert!(
        !leads_on || last_index + 1 == log.tail.next_index,
        "a log that leads on is contiguous"
    );
    let recorded = log.tail.hard_state;
    let mut hard_state = HardState {
        commit: recorded.commit.clamp(index, last_index),
        ..recorded
    };
    // A received snapshot becomes durable before the persist that carries its term.
    if hard_state.term < term {
        hard_state = HardState {
            term,
            vote: 0,
            ..hard_state
        };
    }
    Ok((
        Boot {
            hard_state,
            snapshot,
            entries,
        },
        !leads_on,
    ))
}
