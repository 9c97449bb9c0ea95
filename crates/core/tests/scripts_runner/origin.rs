//! The fake origin: an atomic database with lane rows, whose calls a script can hold, execute late, or
//! break so that nobody hears how they ended.
//!
//! How a flush becomes transactions is the core's `origin::plan`, the code that real drivers run.

use std::collections::BTreeMap;

use bytes::Bytes;
use repligo_core::contract::PeerId;
use repligo_core::origin::plan::{LaneStore, LaneTransaction, TransactionOutcome, execute};
use repligo_core::origin::{
    Fence, KeyspaceConfig, LaneId, Mode, OriginError, OriginEvent, OriginMap, OriginRequest, TakenOver,
    Takeover, ValueConfig,
};

use super::Settings;

/// A value that violates a constraint of the table.
const FORBIDDEN: &[u8] = b"forbidden";

/// The mapping of all scripts that have an origin: `row:{id}`, one lane.
pub fn map(with_origin: bool) -> OriginMap {
    let config = KeyspaceConfig {
        name: "row".to_owned(),
        pattern: "row:{id:text}".to_owned(),
        database: 0,
        lanes: 1,
        origin: "main".to_owned(),
        mode: Mode::WriteThrough,
        table: "rows".to_owned(),
        key: Vec::new(),
        value: ValueConfig::Raw {
            column: "body".to_owned(),
        },
        cache_ttl_ms: None,
        negative_ttl_ms: 2_000,
        flush_deadline_ms: 30_000,
    };
    let configs = if with_origin { vec![config] } else { Vec::new() };
    OriginMap::new(configs).expect("the mapping is right")
}

/// A call that has not been executed.
#[derive(Debug)]
pub struct Call {
    /// Who asked, in which life.
    pub caller: (PeerId, u64),
    /// What.
    pub request: OriginRequest,
    /// The caller hears no more of it.
    pub broken: bool,
}

/// The database.
#[derive(Debug, Default)]
pub struct Origin {
    rows: BTreeMap<Bytes, Bytes>,
    lanes: BTreeMap<LaneId, (Fence, u64)>,
    rejects: BTreeMap<(LaneId, u64, u64), Bytes>,
    /// By the number that the trace gave them.
    pub calls: BTreeMap<u64, Call>,
    next_call: u64,
    /// Calls wait for the script.
    pub held: bool,
    /// Nothing is reached.
    pub down: bool,
    /// Planted into what is sent here.
    #[cfg(feature = "bugs")]
    pub bugs: repligo_core::origin::plan::Bugs,
}

impl Origin {
    /// An empty database.
    pub fn new(settings: Settings) -> Self {
        let mut origin = Self::default();
        origin.plant(settings);
        origin
    }

    #[cfg(feature = "bugs")]
    fn plant(&mut self, settings: Settings) {
        self.bugs = settings.of_origin;
    }

    #[cfg(not(feature = "bugs"))]
    fn plant(&mut self, settings: Settings) {
        let Settings {} = settings;
    }

    /// Keeps a call for later; its number.
    pub fn keep(&mut self, caller: (PeerId, u64), request: OriginRequest) -> u64 {
        self.next_call += 1;
        let call = Call {
            caller,
            request,
            broken: false,
        };
        self.calls.insert(self.next_call, call);
        self.next_call
    }

    /// Executes a call.
    pub fn execute(&mut self, request: &OriginRequest) -> OriginEvent {
        if self.down {
            return failed(request, OriginError::Down("the script took it down".to_owned()));
        }
        #[cfg(feature = "bugs")]
        if let OriginRequest::Flush(flush) = request {
            let result = repligo_core::origin::plan::flush_with_bugs(self, flush, self.bugs);
            return OriginEvent::Flushed {
                lane: flush.lane,
                fence: flush.fence,
                result,
            };
        }
        execute(self, request)
    }

    /// A row that was there before.
    pub fn put(&mut self, key: &str, value: &str) {
        self.rows.insert(
            Bytes::copy_from_slice(key.as_bytes()),
            Bytes::copy_from_slice(value.as_bytes()),
        );
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.rows.iter()
    }
}

/// What a caller hears whose connection broke: of a flush nothing is known.
pub fn broken(request: &OriginRequest) -> OriginEvent {
    let text = "the connection broke".to_owned();
    let error = match request {
        OriginRequest::Flush(_) => OriginError::Unknown(text),
        OriginRequest::Takeover(_) | OriginRequest::Load(_) => OriginError::Down(text),
    };
    failed(request, error)
}

fn failed(request: &OriginRequest, error: OriginError) -> OriginEvent {
    match request {
        OriginRequest::Takeover(takeover) => OriginEvent::TakenOver {
            lane: takeover.lane,
            fence: takeover.fence,
            result: Err(error),
        },
        OriginRequest::Flush(flush) => OriginEvent::Flushed {
            lane: flush.lane,
            fence: flush.fence,
            result: Err(error),
        },
        OriginRequest::Load(load) => OriginEvent::Loaded {
            id: load.id,
            result: Err(error),
        },
    }
}

impl LaneStore for Origin {
    fn transaction(&mut self, transaction: &LaneTransaction<'_>) -> TransactionOutcome {
        let Some((fence, applied)) = self.lanes.get_mut(&transaction.lane) else {
            return TransactionOutcome::Failed(OriginError::Fenced);
        };
        let stands = *fence <= transaction.fence && *applied == transaction.from;
        if transaction.compare_and_set && !stands {
            return TransactionOutcome::Failed(OriginError::Fenced);
        }
        if let Some(row) = transaction
            .rows
            .iter()
            .position(|row| row.value == Some(FORBIDDEN))
        {
            return TransactionOutcome::DataError {
                detail: "CHECK constraint failed: body".to_owned(),
                row: Some(row),
            };
        }
        (*fence, *applied) = (transaction.fence, transaction.upto);
        for (sequence, text) in &transaction.rejects {
            let key = (transaction.lane, transaction.fence.generation, *sequence);
            self.rejects.insert(key, Bytes::copy_from_slice(text));
        }
        for row in &transaction.rows {
            let key = Bytes::copy_from_slice(row.key);
            match row.value {
                Some(value) => drop(self.rows.insert(key, Bytes::copy_from_slice(value))),
                None => drop(self.rows.remove(&key)),
            }
        }
        TransactionOutcome::Committed(Vec::new())
    }

    fn takeover(&mut self, takeover: &Takeover) -> Result<TakenOver, OriginError> {
        let (fence, applied) = self.lanes.entry(takeover.lane).or_insert((takeover.fence, 0));
        let stored = *fence;
        *fence = stored.max(takeover.fence);
        let (of_lane, of_generation) = (takeover.lane, takeover.fence.generation);
        let rejects = self.rejects.iter().filter(|((lane, generation, sequence), _)| {
            (*lane, *generation) == (of_lane, of_generation) && *sequence > takeover.resolved
        });
        Ok(TakenOver {
            applied: *applied,
            stored,
            rejects: rejects
                .map(|((_, _, sequence), text)| (*sequence, text.clone()))
                .collect(),
            misfit: None,
        })
    }

    fn load(&mut self, _keyspace: u16, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, OriginError> {
        Ok(keys.iter().map(|key| self.rows.get(key).cloned()).collect())
    }
}
