//! The fake origin: a database that is atomic and nothing else. Transactions reach it late, their
//! answers get lost, a transaction of a dead or deposed leader may still arrive, and some values violate
//! a constraint: of one row, or that a part of the value is unique among all rows.
//!
//! The lane row decides, as in the real one: a transaction does something only where the lane stands
//! where the flusher believes, and nobody with a higher fence came. How a flush becomes transactions is
//! the core's `origin::plan`, the same code that real drivers run.

use std::collections::BTreeMap;

use bytes::Bytes;
use repligo_core::contract::PeerId;
use repligo_core::keyspace::Known;
use repligo_core::origin::plan::{LaneStore, LaneTransaction, TransactionOutcome, execute};
use repligo_core::origin::{
    Fence, KeyspaceConfig, LaneId, Mode, OriginError, OriginEvent, OriginMap, OriginRequest, TakenOver,
    Takeover, ValueConfig,
};
use repligo_core::replica::Replica;

use super::keys::{is_forbidden, name, token_of, unique_part};
use super::plan::Plan;
use super::queue::Micros;
use super::{Event, World};
use crate::check::cache::{Decision, KeyAtRest};
use crate::random::Random;

/// Which keys are mapped, equal on all nodes.
pub fn map(plan: &Plan) -> OriginMap {
    if !plan.origin {
        return OriginMap::default();
    }
    let mut random = Random::new(plan.seed ^ 0x0A16);
    let config = KeyspaceConfig {
        name: "users".to_owned(),
        pattern: "user:{id:int}".to_owned(),
        origin: "main".to_owned(),
        mode: Mode::WriteThrough,
        database: 0,
        lanes: repligo_core::origin::LANES,
        table: "users".to_owned(),
        key: Vec::new(),
        value: ValueConfig::Raw {
            column: "body".to_owned(),
        },
        cache_ttl_ms: *random.pick(&[None, Some(100), Some(1_000)]),
        negative_ttl_ms: *random.pick(&[100, 2_000]),
        flush_deadline_ms: *random.pick(&[1_000, 3_000, 30_000]),
    };
    OriginMap::new(vec![config]).expect("the mapping is right")
}

/// Slowest answer of a healthy database, and of one in doubt.
const PROMPT_US: Micros = 20_000;
pub const SLOW_US: Micros = 5_000_000;

/// A lane's row.
#[derive(Clone, Copy, Debug)]
struct LaneRow {
    fence: Fence,
    applied: u64,
}

/// A lane transaction that outlives its caller.
#[derive(Clone, Debug)]
pub struct Zombie {
    lane: LaneId,
    fence: Fence,
    from: u64,
    upto: u64,
    rows: Vec<(Bytes, Option<Bytes>)>,
    rejects: Vec<(u64, Bytes)>,
    compare_and_set: bool,
}

impl Zombie {
    fn of(transaction: &LaneTransaction<'_>) -> Self {
        let owned = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        let rejects = transaction.rejects.iter();
        Self {
            lane: transaction.lane,
            fence: transaction.fence,
            from: transaction.from,
            upto: transaction.upto,
            rows: transaction
                .rows
                .iter()
                .map(|row| (owned(row.key), row.value.map(owned)))
                .collect(),
            rejects: rejects.map(|(sequence, text)| (*sequence, owned(text))).collect(),
            compare_and_set: transaction.compare_and_set,
        }
    }
}

/// A call on its way.
#[derive(Debug)]
struct Call {
    node: PeerId,
    life: u32,
    request: OriginRequest,
    /// The node has given up on it.
    abandoned: bool,
}

/// The database.
#[derive(Debug, Default)]
pub struct Origin {
    rows: BTreeMap<Bytes, Bytes>,
    lanes: BTreeMap<LaneId, LaneRow>,
    rejects: BTreeMap<(LaneId, u64, u64), Bytes>,
    /// Every decided intent, in order.
    pub decisions: Vec<Decision>,
    /// How many other clusters have had it.
    tenants: u32,
    /// One of them has it now.
    is_let: bool,
    down: bool,
    /// Until then transactions are slow and answers may be lost.
    pub doubtful_until: Micros,
    calls: BTreeMap<u64, Call>,
    next_id: u64,
}

impl Origin {
    /// The other cluster that has it.
    pub fn tenant(&self) -> Option<String> {
        self.is_let.then(|| format!("tenant-{}", self.tenants))
    }

    /// Another cluster gets it.
    pub fn let_in(&mut self) {
        self.lanes.clear();
        self.tenants += 1;
        self.is_let = true;
    }

    /// The other cluster is gone.
    pub fn let_out(&mut self) {
        self.is_let = false;
    }

    /// What another cluster writes.
    pub fn overwrite(&mut self, key: Bytes, value: Bytes) {
        self.rows.insert(key, value);
    }

    /// Nobody else has had it, or this cluster has noticed that it has it again.
    pub fn is_claimed(&self) -> bool {
        self.tenants == 0 || !self.lanes.is_empty()
    }

    /// Why not, while another cluster has it.
    fn foreign(&self) -> Result<(), OriginError> {
        self.tenant().map_or(Ok(()), |tenant| {
            Err(OriginError::Foreign(format!("it belongs to cluster {tenant}")))
        })
    }

    /// Takes it down, or up again.
    pub fn set_down(&mut self, down: bool) {
        self.down = down;
    }

    /// Executes a call at once, as a healthy database does.
    pub fn call(&mut self, request: &OriginRequest) -> OriginEvent {
        let mut connection = Connection {
            origin: self,
            random: &mut Random::new(0),
            doubtful: false,
            left_behind: None,
        };
        run_call(&mut connection, request)
    }

    /// All rows, by key.
    pub fn rows(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.rows.iter()
    }

    /// Row and cached value of a key.
    pub fn at_rest(&self, replica: &Replica, key: u32) -> KeyAtRest {
        let name = name(key, "");
        KeyAtRest {
            row: self.rows.get(name.as_bytes()).and_then(|value| token_of(value)),
            cached: match replica.keyspace().lookup(0, name.as_bytes()) {
                Known::Absent => None,
                Known::Negative => Some(None),
                Known::Value(value) => Some(token_of(value)),
            },
        }
    }

    fn commit(&mut self, transaction: &Zombie) -> TransactionOutcome {
        let Some(row) = self.lanes.get_mut(&transaction.lane) else {
            return TransactionOutcome::Failed(OriginError::Fenced);
        };
        let stands = row.fence <= transaction.fence && row.applied == transaction.from;
        if transaction.compare_and_set && !stands {
            return TransactionOutcome::Failed(OriginError::Fenced);
        }
        let mut rows = self.rows.clone();
        for (at, (key, value)) in transaction.rows.iter().enumerate() {
            if let Some(detail) = value.as_deref().and_then(|value| violation(&rows, key, value)) {
                return TransactionOutcome::DataError {
                    detail: detail.to_owned(),
                    // Databases do not always tell.
                    row: transaction.upto.is_multiple_of(2).then_some(at),
                };
            }
            match value {
                Some(value) => drop(rows.insert(key.clone(), value.clone())),
                None => drop(rows.remove(key)),
            }
        }
        self.rows = rows;
        row.fence = transaction.fence;
        row.applied = transaction.upto;
        for sequence in transaction.from + 1..=transaction.upto {
            self.decisions.push(Decision {
                lane: (transaction.lane.keyspace, transaction.lane.lane),
                sequence,
                tenants: self.tenants,
            });
        }
        for (sequence, text) in &transaction.rejects {
            let key = (transaction.lane, transaction.fence.generation, *sequence);
            self.rejects.insert(key, text.clone());
        }
        TransactionOutcome::Committed(Vec::new())
    }
}

/// The constraint that a row breaks.
fn violation(rows: &BTreeMap<Bytes, Bytes>, key: &Bytes, value: &[u8]) -> Option<&'static str> {
    if is_forbidden(value) {
        return Some("CHECK constraint failed: body");
    }
    let unique = unique_part(value)?;
    let mut others = rows.iter().filter(|(other, _)| *other != key);
    others
        .any(|(_, held)| unique_part(held) == Some(unique))
        .then_some("UNIQUE constraint failed: body")
}

/// One connection to the database during one call: it may break between a transaction and its answer.
struct Connection<'a> {
    origin: &'a mut Origin,
    random: &'a mut Random,
    /// Transactions may be left behind, to be executed later or never.
    doubtful: bool,
    left_behind: Option<Zombie>,
}

impl LaneStore for Connection<'_> {
    fn transaction(&mut self, transaction: &LaneTransaction<'_>) -> TransactionOutcome {
        let zombie = Zombie::of(transaction);
        if !self.doubtful || self.random.chance(500) {
            return self.origin.commit(&zombie);
        }
        if !transaction.rows.is_empty() && self.random.chance(100) {
            let misfit = "table body has no column body".to_owned();
            return TransactionOutcome::Failed(OriginError::Configuration(misfit));
        }
        match self.random.below(4) {
            0 => drop(self.origin.commit(&zombie)),
            1 => {}
            2 => self.left_behind = Some(zombie),
            _ => return TransactionOutcome::Failed(OriginError::Down("busy".to_owned())),
        }
        TransactionOutcome::Failed(OriginError::Unknown("the connection broke".to_owned()))
    }

    fn takeover(&mut self, takeover: &Takeover) -> Result<TakenOver, OriginError> {
        self.origin.foreign()?;
        if self.origin.lanes.is_empty() && !takeover.claim {
            return Err(OriginError::Unclaimed);
        }
        let row = self.origin.lanes.entry(takeover.lane).or_insert(LaneRow {
            fence: takeover.fence,
            applied: 0,
        });
        let stored = row.fence;
        if stored <= takeover.fence {
            row.fence = takeover.fence;
        }
        let taken = TakenOver {
            applied: row.applied,
            stored,
            rejects: self
                .origin
                .rejects
                .iter()
                .filter(|((lane, generation, sequence), _)| {
                    (*lane, *generation) == (takeover.lane, takeover.fence.generation)
                        && *sequence > takeover.resolved
                })
                .map(|((_, _, sequence), text)| (*sequence, text.clone()))
                .collect(),
            misfit: None,
        };
        if self.doubtful && self.random.chance(300) {
            return Err(OriginError::Down("the answer got lost".to_owned()));
        }
        Ok(taken)
    }

    fn load(&mut self, _keyspace: u16, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, OriginError> {
        self.origin.foreign()?;
        if self.origin.lanes.is_empty() {
            return Err(OriginError::Unclaimed);
        }
        Ok(keys
            .iter()
            .map(|key| self.origin.rows.get(key).cloned())
            .collect())
    }
}

/// The answer of a call that was given up.
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

impl World {
    pub(super) fn on_origin_asked(&mut self, node: PeerId, life: u32, request: OriginRequest) {
        let now = self.context.queue.now();
        let random = &mut self.context.random;
        if self.origin.down {
            let error = OriginError::Down("the fake origin is down".to_owned());
            let event = failed(&request, error);
            let delay = random.skewed(100, 50_000);
            self.context
                .queue
                .after(delay, Event::OriginAnswer { node, life, event });
            return;
        }
        let doubtful = now < self.origin.doubtful_until;
        let slowest = if doubtful { SLOW_US } else { PROMPT_US };
        // Once everything is healed, nothing is slow: a single request that is out to see whether the origin
        // is back would hold up the judge's patience.
        let healed = self.context.plan.faults_us.saturating_sub(now) + PROMPT_US;
        let delay = random.skewed(100, slowest).min(healed);
        let abandoned = doubtful && random.chance(300);
        if abandoned {
            // The node hears that it does not know, maybe before the transaction does anything.
            let error = match &request {
                OriginRequest::Flush(_) => OriginError::Unknown("the connection broke".to_owned()),
                _ => OriginError::Down("the connection broke".to_owned()),
            };
            let event = failed(&request, error);
            let heard = random.skewed(100, slowest).min(healed);
            self.context
                .queue
                .after(heard, Event::OriginAnswer { node, life, event });
        }
        self.origin.next_id += 1;
        let id = self.origin.next_id;
        let call = Call {
            node,
            life,
            request,
            abandoned,
        };
        self.origin.calls.insert(id, call);
        self.context.queue.after(delay, Event::OriginWork { id });
    }

    pub(super) fn on_origin_work(&mut self, id: u64) {
        let now = self.context.queue.now();
        let call = self.origin.calls.remove(&id).expect("a call is executed once");
        // One that its node gave up on, or whose node is gone, may also never arrive.
        let orphaned = call.abandoned || !self.is_life(call.node, call.life);
        if orphaned && self.context.random.chance(300) {
            return;
        }
        let mut connection = Connection {
            doubtful: now < self.origin.doubtful_until,
            origin: &mut self.origin,
            random: &mut self.context.random,
            left_behind: None,
        };
        let event = run_call(&mut connection, &call.request);
        if let Some(zombie) = connection.left_behind.take() {
            let delay = self.context.random.skewed(1_000, 8_000_000);
            self.context
                .queue
                .after(delay, Event::OriginZombie(Box::new(zombie)));
        }
        self.context
            .say(|| format!("origin: {:?} of n{} gives {event:?}", call.request, call.node));
        if !call.abandoned {
            let (node, life) = (call.node, call.life);
            let delay = self.context.random.skewed(100, 20_000);
            self.context
                .queue
                .after(delay, Event::OriginAnswer { node, life, event });
        }
    }

    pub(super) fn on_origin_zombie(&mut self, zombie: &Zombie) {
        let outcome = self.origin.commit(zombie);
        self.context
            .say(|| format!("origin: zombie {zombie:?} gives {outcome:?}"));
    }
}

#[cfg(not(feature = "bugs"))]
fn run_call(connection: &mut Connection<'_>, request: &OriginRequest) -> OriginEvent {
    execute(connection, request)
}

#[cfg(feature = "bugs")]
fn run_call(connection: &mut Connection<'_>, request: &OriginRequest) -> OriginEvent {
    use repligo_core::origin::plan::flush_with_bugs;
    match request {
        OriginRequest::Flush(flush) => OriginEvent::Flushed {
            lane: flush.lane,
            fence: flush.fence,
            result: flush_with_bugs(connection, flush, crate::bugs::of_origin()),
        },
        other => execute(connection, other),
    }
}
