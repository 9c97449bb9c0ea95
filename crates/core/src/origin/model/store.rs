//! The database of the model: rows, lane rows and rejects, and the ways in which answers get lost.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::plan::{Bugs, LaneStore, LaneTransaction, Row, TransactionOutcome, flush_with_bugs};
use super::super::request::{Fence, LaneId, OriginError, OriginEvent, OriginRequest, TakenOver, Takeover};

/// A stream of numbers from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// How the database misbehaves, in percent of its transactions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub down: u64,
    /// The mapping does not fit: nothing of a mapped table can be written.
    pub misfit: u64,
    /// Committed, and the answer is lost.
    pub unknown_committed: u64,
    /// Not committed, and the answer is lost.
    pub unknown_lost: u64,
    /// The answer is lost, and the transaction arrives later.
    pub unknown_delayed: u64,
}

/// A transaction that nobody waits for any more and that may still arrive.
#[derive(Clone, Debug)]
pub struct Limbo {
    lane: LaneId,
    fence: Fence,
    from: u64,
    upto: u64,
    rows: Vec<(Bytes, Option<Bytes>)>,
    rejects: Vec<(u64, Bytes)>,
    compare_and_set: bool,
}

#[derive(Clone, Copy, Debug)]
struct LaneRow {
    fence: Fence,
    applied: u64,
}

/// The database.
#[derive(Clone, Debug)]
pub struct Store {
    pub rows: BTreeMap<Bytes, Bytes>,
    lanes: BTreeMap<LaneId, LaneRow>,
    rejects: BTreeMap<(LaneId, u64, u64), Bytes>,
    pub limbo: Vec<Limbo>,
    /// Writes that it refused and recorded since somebody looked: lane and number.
    pub refused: Vec<(LaneId, u64)>,
    pub faults: Faults,
    pub random: Random,
}

/// A value that one row may have at a time.
fn is_unique(value: &[u8]) -> bool {
    value.starts_with(b"one")
}

/// What the database makes of a value: some are converted, some never fit, some only sometimes.
pub fn canonical(value: &[u8]) -> Bytes {
    if value.starts_with(b"up") {
        Bytes::from(value.to_ascii_uppercase())
    } else {
        Bytes::copy_from_slice(value)
    }
}

impl Store {
    pub fn new(seed: u64) -> Self {
        Self {
            rows: BTreeMap::new(),
            lanes: BTreeMap::new(),
            rejects: BTreeMap::new(),
            limbo: Vec::new(),
            refused: Vec::new(),
            faults: Faults::default(),
            random: Random(seed),
        }
    }

    /// Executes a request as a driver does.
    pub fn execute(&mut self, request: &OriginRequest, bugs: Bugs) -> OriginEvent {
        match request {
            OriginRequest::Flush(flush) => OriginEvent::Flushed {
                lane: flush.lane,
                fence: flush.fence,
                result: flush_with_bugs(self, flush, bugs),
            },
            other => super::super::plan::execute(self, other),
        }
    }

    /// Lets one transaction out of limbo.
    pub fn release(&mut self) {
        if self.limbo.is_empty() {
            return;
        }
        let at = self.random.below(self.limbo.len() as u64) as usize;
        let late = self.limbo.swap_remove(at);
        let rows = late
            .rows
            .iter()
            .map(|(key, value)| Row {
                key,
                value: value.as_deref(),
            })
            .collect();
        let rejects = late.rejects.iter().map(|(s, text)| (*s, &text[..])).collect();
        self.commit(&LaneTransaction {
            lane: late.lane,
            fence: late.fence,
            from: late.from,
            upto: late.upto,
            rows,
            rejects,
            compare_and_set: late.compare_and_set,
        });
    }

    /// How far the database has decided a lane.
    pub fn applied(&self, lane: LaneId) -> u64 {
        self.lanes.get(&lane).map_or(0, |row| row.applied)
    }

    fn refuses(&mut self, rows: &BTreeMap<Bytes, Bytes>, row: &Row<'_>) -> bool {
        match row.value {
            Some(value) if is_unique(value) => {
                rows.iter().any(|(other, held)| held == value && other != row.key)
            }
            Some(value) if value.starts_with(b"bad") => true,
            Some(value) if value.starts_with(b"flaky") => self.random.chance(50),
            _ => false,
        }
    }

    /// The transaction itself, without faults of the connection.
    fn commit(&mut self, transaction: &LaneTransaction<'_>) -> TransactionOutcome {
        let Some(row) = self.lanes.get(&transaction.lane).copied() else {
            return TransactionOutcome::Failed(OriginError::Fenced);
        };
        let ours = row.applied == transaction.from && row.fence <= transaction.fence;
        if transaction.compare_and_set && !ours {
            return TransactionOutcome::Failed(OriginError::Fenced);
        }
        let mut rows = self.rows.clone();
        for (at, row) in transaction.rows.iter().enumerate() {
            if self.refuses(&rows, row) {
                return TransactionOutcome::DataError {
                    detail: "does not fit".to_owned(),
                    row: self.random.chance(50).then_some(at),
                };
            }
            match row.value {
                Some(value) => drop(rows.insert(Bytes::copy_from_slice(row.key), canonical(value))),
                None => drop(rows.remove(row.key)),
            }
        }
        let lane = LaneRow {
            fence: transaction.fence.max(row.fence),
            applied: transaction.upto.max(if transaction.compare_and_set {
                0
            } else {
                row.applied
            }),
        };
        self.lanes.insert(transaction.lane, lane);
        let mut converted = Vec::new();
        for row in &transaction.rows {
            let key = Bytes::copy_from_slice(row.key);
            let Some(value) = row.value else {
                self.rows.remove(&key);
                continue;
            };
            let stored = canonical(value);
            converted.retain(|(converted, _)| *converted != key);
            if stored != value {
                converted.push((key.clone(), Some(stored.clone())));
            }
            self.rows.insert(key, stored);
        }
        for (sequence, text) in &transaction.rejects {
            if text.starts_with(b"ERR origin rejected") {
                self.refused.push((transaction.lane, *sequence));
            }
            let at = (transaction.lane, transaction.fence.generation, *sequence);
            self.rejects.insert(at, Bytes::copy_from_slice(text));
        }
        TransactionOutcome::Committed(converted)
    }
}

impl LaneStore for Store {
    fn transaction(&mut self, transaction: &LaneTransaction<'_>) -> TransactionOutcome {
        let unknown = || TransactionOutcome::Failed(OriginError::Unknown("lost".to_owned()));
        let faults = self.faults;
        let draw = self.random.below(100);
        if draw < faults.down {
            return TransactionOutcome::Failed(OriginError::Down("down".to_owned()));
        }
        if !transaction.rows.is_empty() && self.random.chance(faults.misfit) {
            return TransactionOutcome::Failed(OriginError::Configuration("no table".to_owned()));
        }
        let draw = draw - faults.down;
        if draw < faults.unknown_committed {
            self.commit(transaction);
            return unknown();
        }
        let draw = draw - faults.unknown_committed;
        if draw < faults.unknown_lost {
            return unknown();
        }
        if draw - faults.unknown_lost < faults.unknown_delayed {
            self.limbo.push(Limbo {
                lane: transaction.lane,
                fence: transaction.fence,
                from: transaction.from,
                upto: transaction.upto,
                rows: transaction
                    .rows
                    .iter()
                    .map(|row| {
                        (
                            Bytes::copy_from_slice(row.key),
                            row.value.map(Bytes::copy_from_slice),
                        )
                    })
                    .collect(),
                rejects: transaction
                    .rejects
                    .iter()
                    .map(|(sequence, text)| (*sequence, Bytes::copy_from_slice(text)))
                    .collect(),
                compare_and_set: transaction.compare_and_set,
            });
            return unknown();
        }
        self.commit(transaction)
    }

    fn takeover(&mut self, takeover: &Takeover) -> Result<TakenOver, OriginError> {
        if self.random.chance(self.faults.down) {
            return Err(OriginError::Down("down".to_owned()));
        }
        if self.lanes.is_empty() && !takeover.claim {
            return Err(OriginError::Unclaimed);
        }
        let row = self.lanes.get(&takeover.lane).copied().unwrap_or(LaneRow {
            fence: takeover.fence,
            applied: 0,
        });
        if row.fence <= takeover.fence {
            self.lanes.insert(
                takeover.lane,
                LaneRow {
                    fence: takeover.fence,
                    ..row
                },
            );
        }
        if self.random.chance(self.faults.unknown_committed) {
            return Err(OriginError::Unknown("lost".to_owned()));
        }
        let of_lane = |sequence| (takeover.lane, takeover.fence.generation, sequence);
        let rejects = self
            .rejects
            .range(of_lane(takeover.resolved + 1)..=of_lane(row.applied.max(takeover.resolved + 1)))
            .map(|((_, _, sequence), text)| (*sequence, text.clone()))
            .filter(|(sequence, _)| *sequence <= row.applied)
            .collect();
        Ok(TakenOver {
            applied: row.applied,
            stored: row.fence,
            rejects,
            misfit: self
                .random
                .chance(self.faults.misfit)
                .then(|| "no table".to_owned()),
        })
    }

    fn load(&mut self, _keyspace: u16, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, OriginError> {
        if self.random.chance(self.faults.down) {
            return Err(OriginError::Down("down".to_owned()));
        }
        if self.lanes.is_empty() {
            return Err(OriginError::Unclaimed);
        }
        Ok(keys.iter().map(|key| self.rows.get(key).cloned()).collect())
    }
}
