//! How one flush becomes transactions: coalesce, try all, and on a data error bisect until the intents
//! that the database refuses are found one by one.
//!
//! Shared by every driver and by the simulator, over the trait [`LaneStore`]. Invariants: each
//! transaction advances `applied` by compare-and-set, so the database alone decides; a reject is decided
//! by a transaction that records it and writes nothing else of that intent; rows are written in the order
//! of the log; no intent is rejected before the database has everything that the log has before it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::request::{
    Fence, Flush, FlushIntent, Flushed, LaneId, OriginError, OriginEvent, OriginRequest, TakenOver, Takeover,
};
use super::words;

/// The last effect of a run on one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The whole key.
    pub key: &'a [u8],
    /// New value, or `None` to delete the row.
    pub value: Option<&'a [u8]>,
}

/// One transaction: advance the lane row from `from` to `upto`, write the rows and the rejects; all of
/// it or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneTransaction<'a> {
    /// Lane.
    pub lane: LaneId,
    /// The lane row's fence must not be above it, and becomes it.
    pub fence: Fence,
    /// `applied` in the lane row must be this …
    pub from: u64,
    /// … and becomes this.
    pub upto: u64,
    /// In the order of the log: a row may take a unique value that an earlier one gives up. At most one
    /// per key, its last, where several intents go together; those of a single intent as they are.
    pub rows: Vec<Row<'a>>,
    /// To be recorded under this generation: (sequence, error text).
    pub rejects: Vec<(u64, &'a [u8])>,
    /// False only under a planted bug: write without looking at the lane row.
    pub compare_and_set: bool,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionOutcome {
    /// It is in the database. The rows whose stored form differs from what was sent: (key, what a load
    /// would return).
    Committed(Vec<(Bytes, Option<Bytes>)>),
    /// The data does not fit (constraint, type): nothing was written.
    DataError {
        /// What the database said.
        detail: String,
        /// Position in [`LaneTransaction::rows`] of the row that failed, if it is known.
        row: Option<usize>,
    },
    /// Not this, and nothing was written (but for [`OriginError::Unknown`]).
    Failed(OriginError),
}

/// A database that keeps lane rows beside the mapped tables.
pub trait LaneStore {
    /// Runs one transaction.
    fn transaction(&mut self, transaction: &LaneTransaction<'_>) -> TransactionOutcome;
    /// Fences a lane and reads where it stands; see [`Takeover`].
    fn takeover(&mut self, takeover: &Takeover) -> Result<TakenOver, OriginError>;
    /// Reads rows of one keyspace: for each key the value that a GET would return, or `None`.
    fn load(&mut self, keyspace: u16, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, OriginError>;
}

/// Planted bugs, to prove that the tests find them.
#[cfg(any(test, feature = "bugs"))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bugs {
    /// Write rows and lane row without comparing `applied` and the fence.
    pub flush_without_compare_and_set: bool,
    /// Report a reject without recording it in the database first.
    pub reject_in_the_log_only: bool,
    /// Reject without waiting for earlier writes of other lanes.
    pub data_error_final_at_once: bool,
}

/// Executes one request and gives the event that answers it.
pub fn execute(store: &mut impl LaneStore, request: &OriginRequest) -> OriginEvent {
    match request {
        OriginRequest::Takeover(takeover) => OriginEvent::TakenOver {
            lane: takeover.lane,
            fence: takeover.fence,
            result: store.takeover(takeover),
        },
        OriginRequest::Flush(request) => OriginEvent::Flushed {
            lane: request.lane,
            fence: request.fence,
            result: flush(store, request),
        },
        OriginRequest::Load(load) => OriginEvent::Loaded {
            id: load.id,
            result: store
                .load(load.keyspace, std::slice::from_ref(&load.key))
                .map(|values| values.into_iter().next().flatten()),
        },
    }
}

/// Brings a run of intents into the database.
///
/// An error means that nothing is known to be decided beyond `from`, but for [`OriginError::Unknown`] and
/// [`OriginError::Fenced`], after which only a takeover tells.
pub fn flush(store: &mut impl LaneStore, request: &Flush) -> Result<Flushed, OriginError> {
    Run::new(store, request).run()
}

/// [`flush`] with planted bugs.
#[cfg(any(test, feature = "bugs"))]
pub fn flush_with_bugs(
    store: &mut impl LaneStore,
    request: &Flush,
    bugs: Bugs,
) -> Result<Flushed, OriginError> {
    let mut run = Run::new(store, request);
    run.bugs = bugs;
    run.run()
}

/// Why a run ends early.
enum Stop {
    /// The next intent met a data error that is not final.
    Held,
    Failed(OriginError),
}

struct Run<'a, S> {
    store: &'a mut S,
    request: &'a Flush,
    upto: u64,
    rejects: Vec<(u64, Bytes)>,
    canonical: BTreeMap<Bytes, Option<Bytes>>,
    misfit: Option<String>,
    #[cfg(any(test, feature = "bugs"))]
    bugs: Bugs,
}

impl<'a, S: LaneStore> Run<'a, S> {
    fn new(store: &'a mut S, request: &'a Flush) -> Self {
        assert!(!request.intents.is_empty(), "a flush has at least one intent");
        for (index, intent) in request.intents.iter().enumerate() {
            assert_eq!(
                intent.sequence,
                request.from + 1 + index as u64,
                "a run has no gaps"
            );
        }
        Self {
            store,
            request,
            upto: request.from,
            rejects: Vec::new(),
            canonical: BTreeMap::new(),
            misfit: None,
            #[cfg(any(test, feature = "bugs"))]
            bugs: Bugs::default(),
        }
    }

    fn run(mut self) -> Result<Flushed, OriginError> {
        let mut result = self.range(&self.request.intents);
        if let Err(Stop::Failed(OriginError::Configuration(detail))) = result {
            result = self.refuse_rest(detail);
        }
        match result {
            // Fenced or unknown: what this flush did is no longer its own to tell.
            Err(Stop::Failed(error @ (OriginError::Fenced | OriginError::Unknown(_)))) => Err(error),
            // Down in the middle: what is decided is decided, the rest comes again and finds out.
            Err(Stop::Failed(error)) if self.upto == self.request.from => Err(error),
            _ => Ok(Flushed {
                upto: self.upto,
                held: matches!(result, Err(Stop::Held)),
                rejects: self.rejects,
                canonical: self.canonical.into_iter().collect(),
                misfit: self.misfit,
            }),
        }
    }

    /// Decides `intents`, which follow `self.upto`.
    fn range(&mut self, intents: &'a [FlushIntent]) -> Result<(), Stop> {
        if intents.is_empty() {
            return Ok(());
        }
        let rows = coalesce(intents);
        let sent: Vec<&[u8]> = rows.iter().map(|row| row.key).collect();
        let failed = match self.transact(intents, rows, None) {
            Ok(()) => return Ok(()),
            Err(TransactionOutcome::DataError { detail, row }) => (detail, row),
            Err(TransactionOutcome::Failed(error)) => return Err(Stop::Failed(error)),
            Err(TransactionOutcome::Committed(_)) => unreachable!("a commit is not an error"),
        };
        let (detail, row) = failed;
        if let [intent] = intents {
            if !self.is_final(intent) {
                return Err(Stop::Held);
            }
            return self.reject(intent, &detail).map_err(Stop::Failed);
        }
        // The intent that owns the failed row is tried alone; without a hint the run is halved.
        let owner = row
            .and_then(|row| sent.get(row))
            .and_then(|key| owner_of(intents, key));
        match owner {
            Some(at) => {
                self.range(&intents[..at])?;
                self.range(&intents[at..=at])?;
                self.range(&intents[at + 1..])
            }
            None => {
                let (left, right) = intents.split_at(intents.len() / 2);
                self.range(left)?;
                self.range(right)
            }
        }
    }

    /// Everything before this intent in the log is in the database.
    fn is_final(&self, intent: &FlushIntent) -> bool {
        #[cfg(any(test, feature = "bugs"))]
        if self.bugs.data_error_final_at_once {
            return true;
        }
        intent.sequence <= self.request.final_upto
    }

    /// Decides that a single intent is rejected: the database records it, then the client may know.
    fn reject(&mut self, intent: &'a FlushIntent, detail: &str) -> Result<(), OriginError> {
        let text = Bytes::from(words::rejected(detail));
        #[cfg(any(test, feature = "bugs"))]
        if self.bugs.reject_in_the_log_only {
            self.rejects.push((intent.sequence, text));
            self.upto = intent.sequence;
            return Ok(());
        }
        let intents = std::slice::from_ref(intent);
        match self.transact(intents, Vec::new(), Some(&text)) {
            Ok(()) => Ok(()),
            Err(TransactionOutcome::Failed(error)) => Err(error),
            Err(other) => Err(OriginError::Configuration(format!(
                "the origin refuses to record a rejected write in its lane tables: {other:?}"
            ))),
        }
    }

    /// The mapping does not fit its table, whatever the data: what is not decided yet is rejected for that.
    /// The lane tables do not depend on the mapping, so the database records it as any other reject.
    fn refuse_rest(&mut self, detail: String) -> Result<(), Stop> {
        let text = Bytes::from(words::origin_misconfigured(&self.request.keyspace_name, &detail));
        let decided = (self.upto - self.request.from) as usize;
        let rest = &self.request.intents[decided..];
        match self.transact(rest, Vec::new(), Some(&text)) {
            Ok(()) => {
                self.misfit = Some(detail);
                Ok(())
            }
            Err(TransactionOutcome::Failed(error @ (OriginError::Fenced | OriginError::Unknown(_)))) => {
                Err(Stop::Failed(error))
            }
            Err(_) => Err(Stop::Failed(OriginError::Configuration(detail))),
        }
    }

    /// One transaction over `intents`, which are all rejected if `reject` is given; on success notes what it decided.
    fn transact(
        &mut self,
        intents: &'a [FlushIntent],
        rows: Vec<Row<'_>>,
        reject: Option<&Bytes>,
    ) -> Result<(), TransactionOutcome> {
        let Some(last) = intents.last() else {
            return Ok(());
        };
        let rejects: Vec<(u64, &Bytes)> = intents
            .iter()
            .filter_map(|intent| Some((intent.sequence, intent.skip.as_ref().or(reject)?)))
            .collect();
        let transaction = LaneTransaction {
            lane: self.request.lane,
            fence: self.request.fence,
            from: self.upto,
            upto: last.sequence,
            rejects: rejects
                .iter()
                .map(|(sequence, text)| (*sequence, &text[..]))
                .collect(),
            compare_and_set: self.compares(),
            rows,
        };
        let outcome = self.store.transaction(&transaction);
        let TransactionOutcome::Committed(canonical) = outcome else {
            return Err(outcome);
        };
        self.upto = last.sequence;
        for row in &transaction.rows {
            // An earlier transaction's finding about this row is history.
            self.canonical.remove(row.key);
        }
        self.canonical.extend(canonical);
        let decided = rejects
            .into_iter()
            .map(|(sequence, text)| (sequence, text.clone()));
        self.rejects.extend(decided);
        Ok(())
    }

    fn compares(&self) -> bool {
        #[cfg(any(test, feature = "bugs"))]
        if self.bugs.flush_without_compare_and_set {
            return false;
        }
        true
    }
}

/// The last effect per key of several intents, all effects of a single one, in the order of the log.
fn coalesce(intents: &[FlushIntent]) -> Vec<Row<'_>> {
    let written = intents.iter().filter(|intent| intent.skip.is_none());
    let effects = written.flat_map(|intent| &intent.effects).map(|effect| Row {
        key: &effect.key,
        value: effect.value.as_deref(),
    });
    if intents.len() == 1 {
        return effects.collect();
    }
    let mut seen = BTreeSet::new();
    let mut rows: Vec<Row<'_>> = effects.collect();
    rows.reverse();
    rows.retain(|row| seen.insert(row.key));
    rows.reverse();
    rows
}

/// The intent whose effect on `key` came out of coalescing.
fn owner_of(intents: &[FlushIntent], key: &[u8]) -> Option<usize> {
    intents
        .iter()
        .rposition(|intent| intent.skip.is_none() && intent.effects.iter().any(|effect| effect.key == key))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
