//! Tests of what a leader asks of its origins, and what it makes of the answers.

use bytes::Bytes;

use super::super::lane::Requester;
use super::super::link::{IDLE_PROBE_US, PAUSE_US_MAX};
use super::super::map::KeyspaceConfig;
use super::super::map::tests::raw;
use super::super::op::Raise;
use super::super::run::{FLUSH_BYTES_MAX, FLUSH_INTENTS_MAX};
use super::super::testing::{FakeCache, LANE, intent, lanes, map, push, resolve, resolved};
use super::super::{Cache, LaneId};
use super::*;

#[path = "claim_tests.rs"]
mod claim;

const ORIGIN: &str = "the file is locked";

struct Leader {
    lanes: Lanes,
    cache: FakeCache,
    flusher: Flusher,
    now: Now,
}

impl Leader {
    fn new() -> Self {
        Self::over(lanes(), &map())
    }

    /// A leader of these keyspaces that has asked for nothing yet.
    fn over(lanes: Lanes, map: &Arc<OriginMap>) -> Self {
        let mut flusher = Flusher::new(Arc::clone(map));
        flusher.on_leader(7);
        Self {
            lanes,
            cache: FakeCache::default(),
            flusher,
            now: Now::default(),
        }
    }

    /// A leader whose lane row stands at 0 and is taken over.
    fn ready() -> Self {
        let mut new = Self::new();
        assert_eq!(new.poll().requests, [new.takeover(0)]);
        new.taken_over(0, 7);
        assert_eq!(new.poll().proposals, []);
        new
    }

    fn fence(&self) -> Fence {
        Fence {
            generation: self.lanes.lane(LANE).generation(),
            term: 7,
        }
    }

    fn takeover(&self, resolved: u64) -> OriginRequest {
        OriginRequest::Takeover(Takeover {
            lane: LANE,
            fence: self.fence(),
            resolved,
            claim: false,
        })
    }

    fn poll(&mut self) -> FlusherOutput {
        let mut out = FlusherOutput::default();
        self.flusher.poll(self.now, &self.lanes, &mut out);
        out
    }

    fn wait(&mut self, us: u64) {
        self.now.mono_us += us;
    }

    fn event(&mut self, event: OriginEvent) {
        self.flusher.on_event(self.now, event, &self.lanes);
    }

    fn taken_over(&mut self, applied: u64, term: u64) {
        let stored = Fence {
            generation: self.fence().generation,
            term,
        };
        self.take_over_with(Ok(TakenOver {
            applied,
            stored,
            rejects: Vec::new(),
            misfit: None,
        }));
    }

    fn take_over_with(&mut self, result: Result<TakenOver, OriginError>) {
        self.event(OriginEvent::TakenOver {
            lane: LANE,
            fence: self.fence(),
            result,
        });
    }

    fn flushed(&mut self, result: Result<u64, OriginError>) {
        let result = result.map(|upto| Flushed {
            upto,
            ..Flushed::default()
        });
        self.event(OriginEvent::Flushed {
            lane: LANE,
            fence: self.fence(),
            result,
        });
    }

    fn set(&mut self, number: u64, key: &str) {
        let effects = [(key, Some("v"))];
        push(&mut self.lanes, &self.cache, (number, 0), &effects);
        self.flusher.on_intent(&intent(&effects));
    }

    fn apply(&mut self, op: OriginOp<'_>) {
        match op {
            OriginOp::Resolved(op) => {
                resolve(&mut self.lanes, &mut self.cache, &op);
            }
            OriginOp::Fill(op) => {
                self.lanes.apply_fill(0, &mut self.cache, &op);
                self.flusher.on_fill(&op);
            }
            OriginOp::Health(op) => self.lanes.apply_health(&op),
            OriginOp::Raise(op) => {
                self.lanes.apply_raise(&mut self.cache, &op);
            }
            OriginOp::Intent(_) | OriginOp::Invalidate(_) => unreachable!("flushers propose none"),
        }
    }
}

fn sequences(requests: &[OriginRequest]) -> Vec<(u64, Vec<u64>)> {
    requests
        .iter()
        .map(|request| match request {
            OriginRequest::Flush(flush) => (
                flush.from,
                flush.intents.iter().map(|intent| intent.sequence).collect(),
            ),
            other => panic!("not a flush: {other:?}"),
        })
        .collect()
}

#[test]
fn while_one_batch_is_in_flight_the_next_one_gathers() {
    let mut leader = Leader::ready();
    leader.set(1, "k:1");
    assert_eq!(sequences(&leader.poll().requests), [(0, vec![1])]);
    leader.set(2, "k:2");
    leader.set(3, "k:3");
    assert_eq!(leader.poll().requests, []);
    leader.flushed(Ok(1));
    let out = leader.poll();
    assert_eq!(out.proposals, [OriginOp::Resolved(resolved(1))]);
    // It need not wait for the first batch to be applied.
    assert_eq!(sequences(&out.requests), [(1, vec![2, 3])]);
}

#[test]
fn a_new_leader_asks_the_database_what_was_decided() {
    let mut leader = Leader::new();
    for number in 1..=3 {
        leader.set(number, &format!("k:{number}"));
    }
    assert_eq!(leader.poll().requests, [leader.takeover(0)]);
    leader.taken_over(2, 3);
    let out = leader.poll();
    let unseen = Resolved {
        forget: true,
        ..resolved(2)
    };
    assert_eq!(out.proposals, [OriginOp::Resolved(unseen)]);
    assert_eq!(sequences(&out.requests), [(2, vec![3])]);
}

#[test]
fn after_an_unknown_outcome_nothing_is_written_before_the_lane_row_was_asked() {
    let mut leader = Leader::ready();
    leader.set(1, "k:1");
    leader.poll();
    leader.flushed(Err(OriginError::Unknown("lost".to_owned())));
    assert_eq!(leader.poll().requests, [leader.takeover(0)]);
    leader.take_over_with(Err(OriginError::Unknown("lost".to_owned())));
    assert_eq!(leader.poll().requests, [], "not at once");
    leader.wait(PAUSE_US_MIN);
    assert_eq!(leader.poll().requests, [leader.takeover(0)]);
    leader.taken_over(0, 7);
    assert_eq!(sequences(&leader.poll().requests), [(0, vec![1])]);
}

#[test]
fn answers_of_another_leadership_are_nobodys() {
    let mut leader = Leader::ready();
    leader.set(1, "k:1");
    leader.poll();
    leader.flusher.on_lost();
    leader.flushed(Ok(1));
    leader.flusher.on_leader(9);
    leader.flushed(Ok(1));
    let out = leader.poll();
    assert_eq!(out.proposals, []);
    assert!(matches!(&out.requests[..], [OriginRequest::Takeover(takeover)] if takeover.fence.term == 9));
}

#[test]
fn an_origin_that_is_down_is_announced_and_probed_until_it_is_back() {
    let mut leader = Leader::ready();
    leader.set(1, "k:1");
    leader.poll();
    leader.flushed(Err(OriginError::Down(ORIGIN.to_owned())));
    let out = leader.poll();
    assert_eq!(out.requests, []);
    let [OriginOp::Health(health)] = &out.proposals[..] else {
        panic!("{:?}", out.proposals);
    };
    let text = health.down.clone().expect("down");
    assert!(text.starts_with("ORIGINDOWN ") && text.contains(ORIGIN), "{text}");
    assert_eq!(leader.poll().proposals, [], "once");
    leader.apply(OriginOp::Health(health.clone()));
    let mut asked = 0;
    for _ in 0..100 {
        leader.wait(100_000);
        if !leader.poll().requests.is_empty() {
            asked += 1;
            leader.flushed(Err(OriginError::Down(ORIGIN.to_owned())));
        }
    }
    assert!((9..=14).contains(&asked), "asked {asked} times in 10 s");
    leader.wait(PAUSE_US_MAX);
    assert_eq!(sequences(&leader.poll().requests), [(0, vec![1])]);
    leader.flushed(Ok(1));
    let out = leader.poll();
    assert!(
        matches!(&out.proposals[..], [OriginOp::Resolved(_), OriginOp::Health(health)] if health.down.is_none())
    );
}

#[test]
fn an_idle_origin_that_is_down_is_probed_by_a_takeover() {
    let mut leader = Leader::new();
    leader.poll();
    leader.take_over_with(Err(OriginError::Down(ORIGIN.to_owned())));
    let down = leader.poll().proposals.remove(0);
    leader.apply(down);
    leader.wait(PAUSE_US_MIN);
    assert_eq!(leader.poll().requests, [leader.takeover(0)]);
    assert_eq!(leader.poll().requests, [], "one probe at a time");
    leader.taken_over(0, 7);
    let up = leader.poll().proposals.remove(0);
    leader.apply(up);
    assert_eq!(leader.lanes.refusal(0), None);
    // A load that fails makes the leader look whether writes work.
    leader.flusher.want_load(leader.now, 0, b"k:1");
    leader.poll();
    leader.event(OriginEvent::Loaded {
        id: 1,
        result: Err(OriginError::Down(ORIGIN.to_owned())),
    });
    let out = leader.poll();
    assert_eq!(out.failed_loads.len(), 1);
    assert_eq!(out.requests, [leader.takeover(0)]);
}

#[test]
fn a_mapping_that_does_not_fit_stops_its_keyspace_until_it_does() {
    let mut leader = Leader::new();
    leader.poll();
    leader.take_over_with(Err(OriginError::Configuration("no table k".to_owned())));
    let out = leader.poll();
    assert!(matches!(&out.proposals[..], [OriginOp::Health(health)]
        if health.down.as_deref().is_some_and(|text| text.contains("no table k"))));
    leader.apply(out.proposals[0].clone());
    leader.wait(MISCONFIGURED_PAUSE_US - 1);
    assert_eq!(leader.poll().requests, []);
    leader.wait(1);
    assert_eq!(leader.poll().requests, [leader.takeover(0)]);
    leader.taken_over(0, 7);
    assert!(matches!(&leader.poll().proposals[..], [OriginOp::Health(health)] if health.down.is_none()));
}

#[test]
fn a_write_that_meets_a_mapping_that_fits_no_more_is_told_so_at_once() {
    let mut leader = Leader::ready();
    leader.set(1, "k:1");
    let OriginRequest::Flush(flush) = leader.poll().requests.remove(0) else {
        panic!("a flush is due");
    };
    let error = OriginError::Configuration("no column v".to_owned());
    let event = |result| OriginEvent::Flushed {
        lane: flush.lane,
        fence: flush.fence,
        result,
    };
    leader.event(event(Ok(Flushed {
        upto: 1,
        rejects: vec![(1, Bytes::from_static(b"ORIGINDOWN it does not fit"))],
        misfit: Some("no column v".to_owned()),
        ..Flushed::default()
    })));
    let out = leader.poll();
    let [OriginOp::Resolved(resolved), OriginOp::Health(health)] = &out.proposals[..] else {
        panic!(
            "the write is decided, and the others are to know: {:?}",
            out.proposals
        );
    };
    assert_eq!((resolved.upto, resolved.rejects.len()), (1, 1));
    assert!(
        health
            .down
            .as_deref()
            .is_some_and(|text| text.contains("no column v"))
    );
    leader.apply(out.proposals[0].clone());
    // Another that came before the log knew goes to the database too, which may fit again by now.
    leader.set(2, "k:2");
    leader.apply(out.proposals[1].clone());
    assert_eq!(sequences(&leader.poll().requests), [(1, vec![2])]);
    leader.event(event(Err(error)));
    leader.wait(MISCONFIGURED_PAUSE_US);
    assert_eq!(leader.poll().requests, [leader.takeover(1)]);
    leader.take_over_with(Ok(TakenOver {
        applied: 1,
        stored: leader.fence(),
        rejects: Vec::new(),
        misfit: Some("no column v".to_owned()),
    }));
    assert_eq!(sequences(&leader.poll().requests), [(1, vec![2])]);
    leader.flushed(Ok(2));
    assert_eq!(
        leader.poll().requests,
        [leader.takeover(1)],
        "whether it fits is asked"
    );
    leader.taken_over(2, 7);
    let up = |op: &OriginOp<'_>| matches!(op, OriginOp::Health(health) if health.down.is_none());
    assert!(leader.poll().proposals.iter().any(up));
}

#[test]
fn overdue_writes_are_dropped_and_not_written() {
    let mut leader = Leader::ready();
    leader.set(1, "k:1");
    leader.lanes.expire(30_000, &mut |_| {});
    push(
        &mut leader.lanes,
        &leader.cache,
        (2, 30_000),
        &[("k:2", Some("v"))],
    );
    let OriginRequest::Flush(flush) = leader.poll().requests.remove(0) else {
        panic!("a flush is due");
    };
    let skips: Vec<bool> = flush.intents.iter().map(|intent| intent.skip.is_some()).collect();
    assert_eq!(skips, [true, false]);
}

#[test]
fn a_database_of_another_history_gets_a_new_numbering() {
    let higher = Fence {
        generation: 4,
        term: 1,
    };
    let own = Fence {
        generation: 1,
        term: 7,
    };
    let later = Fence {
        generation: 1,
        term: 99,
    };
    // (applied, stored fence, resolved before, generation expected)
    for (applied, stored, decided, generation) in [
        (50, own, 0, 2),
        (0, own, 1, 2),
        (1, higher, 1, 5),
        (1, later, 1, 2),
    ] {
        let mut leader = Leader::new();
        leader.set(1, "k:1");
        leader.set(2, "k:2");
        resolve(&mut leader.lanes, &mut leader.cache, &resolved(decided));
        leader.cache.put(0, b"k:1", Some(b"x"), None);
        leader.poll();
        leader.take_over_with(Ok(TakenOver {
            applied,
            stored,
            rejects: Vec::new(),
            misfit: None,
        }));
        let out = leader.poll();
        assert_eq!(out.requests.len(), 0);
        let raise = OriginOp::Raise(Raise {
            lane: LANE,
            generation,
            applied,
        });
        assert_eq!(out.proposals, std::slice::from_ref(&raise));
        leader.apply(raise);
        assert!(leader.cache.rows.is_empty(), "cached rows are loaded anew");
        let out = leader.poll();
        assert!(
            matches!(&out.requests[..], [OriginRequest::Takeover(t)] if t.fence.generation == generation)
        );
        leader.taken_over(applied, 7);
        let waiting = (applied + 1..=applied + 2 - decided).collect();
        assert_eq!(sequences(&leader.poll().requests), [(applied, waiting)]);
    }
}

#[test]
fn where_one_lane_finds_an_older_copy_of_the_database_all_others_look_too() {
    let config = KeyspaceConfig { lanes: 3, ..raw("k") };
    let map = Arc::new(OriginMap::new(vec![config]).expect("valid"));
    let mut leader = Leader::over(Lanes::new(Arc::clone(&map)), &map);
    leader.set(1, "k:1");
    resolve(&mut leader.lanes, &mut leader.cache, &resolved(1));
    let answer = |leader: &mut Leader, lane: LaneId, applied: u64| {
        let fence = Fence {
            generation: leader.lanes.lane(lane).generation(),
            term: 7,
        };
        let result = Ok(TakenOver {
            applied,
            stored: fence,
            rejects: Vec::new(),
            misfit: None,
        });
        leader.event(OriginEvent::TakenOver { lane, fence, result });
    };
    let asked = |leader: &mut Leader| -> Vec<u16> {
        let lane = |request: &OriginRequest| match request {
            OriginRequest::Takeover(takeover) => takeover.lane.lane,
            other => panic!("not a takeover: {other:?}"),
        };
        leader.poll().requests.iter().map(lane).collect()
    };
    assert_eq!(asked(&mut leader), [0, 1, 2]);
    for lane in map.lanes() {
        answer(&mut leader, lane, u64::from(lane == LANE));
    }
    assert_eq!(asked(&mut leader), [0_u16; 0]);
    // Idle lanes are asked in turn, so that each of them has its own.
    let mut first_three: Vec<u16> = (0..3)
        .map(|_| {
            leader.wait(IDLE_PROBE_US);
            let asked = asked(&mut leader);
            assert_eq!(asked.len(), 1);
            let lane = LaneId {
                lane: asked[0],
                ..LANE
            };
            answer(&mut leader, lane, u64::from(lane == LANE));
            asked[0]
        })
        .collect();
    first_three.sort_unstable();
    assert_eq!(first_three, [0, 1, 2]);
    loop {
        leader.wait(IDLE_PROBE_US);
        let asked = asked(&mut leader);
        if asked == [0] {
            break;
        }
        let lane = LaneId {
            lane: asked[0],
            ..LANE
        };
        answer(&mut leader, lane, 0);
    }
    answer(&mut leader, LANE, 0);
    let out = leader.poll();
    assert!(matches!(&out.proposals[..], [OriginOp::Raise(raise)] if raise.lane == LANE));
    let lanes: Vec<u16> = out
        .requests
        .iter()
        .filter_map(|request| match request {
            OriginRequest::Takeover(takeover) => Some(takeover.lane.lane),
            _ => None,
        })
        .collect();
    assert_eq!(lanes, [1, 2]);
}

fn loads(requests: &[OriginRequest]) -> Vec<(u64, &[u8])> {
    requests
        .iter()
        .filter_map(|request| match request {
            OriginRequest::Load(load) => Some((load.id, &load.key[..])),
            _ => None,
        })
        .collect()
}

#[test]
fn a_key_is_loaded_once_however_many_want_it() {
    let mut leader = Leader::ready();
    for _ in 0..1_000 {
        leader.flusher.want_load(leader.now, 0, b"k:1");
    }
    assert_eq!(loads(&leader.poll().requests), [(1, &b"k:1"[..])]);
    leader.flusher.want_load(leader.now, 0, b"k:1");
    assert_eq!(leader.poll().requests, []);
    leader.event(OriginEvent::Loaded {
        id: 1,
        result: Ok(None),
    });
    leader.flusher.want_load(leader.now, 0, b"k:1");
    let fill = leader.poll().proposals.remove(0);
    assert_eq!(leader.poll().requests, []);
    leader.apply(fill);
    leader.flusher.want_load(leader.now, 0, b"k:1");
    assert_eq!(loads(&leader.poll().requests), [(2, &b"k:1"[..])]);
}

#[test]
fn a_write_voids_the_load_of_its_key() {
    let mut leader = Leader::ready();
    leader.flusher.want_load(leader.now, 0, b"k:1");
    leader.poll();
    leader.set(1, "k:1");
    leader.event(OriginEvent::Loaded {
        id: 1,
        result: Ok(None),
    });
    let out = leader.poll();
    assert_eq!(out.proposals, []);
    assert_eq!(loads(&out.requests), [], "none while a write is pending");
    leader.wait(super::super::loads::LOAD_WAIT_US);
    let failed = leader.poll().failed_loads;
    assert!(failed[0].error.starts_with("ORIGINDOWN "), "{failed:?}");
    // The other way out: the write is decided, and whoever still misses the key asks again.
    leader.flusher.want_load(leader.now, 0, b"k:1");
    resolve(&mut leader.lanes, &mut leader.cache, &resolved(1));
    let effects = [Effect {
        key: Bytes::from_static(b"k:1"),
        value: None,
    }];
    leader.flusher.on_decided(LANE.keyspace, &effects);
    assert_eq!(loads(&leader.poll().requests), []);
    leader.flusher.want_load(leader.now, 0, b"k:1");
    assert_eq!(loads(&leader.poll().requests), [(2, &b"k:1"[..])]);
}

#[test]
fn loads_fail_fast_while_the_origin_does_not_answer() {
    let mut leader = Leader::ready();
    leader.flusher.want_load(leader.now, 0, b"k:1");
    leader.poll();
    leader.event(OriginEvent::Loaded {
        id: 1,
        result: Err(OriginError::Down(ORIGIN.to_owned())),
    });
    leader.flusher.want_load(leader.now, 0, b"k:2");
    let out = leader.poll();
    let keys: Vec<&Bytes> = out.failed_loads.iter().map(|failed| &failed.key).collect();
    assert_eq!(keys, ["k:1", "k:2"]);
    assert_eq!(loads(&out.requests), []);
    leader.wait(1_000_000);
    leader.flusher.want_load(leader.now, 0, b"k:2");
    assert_eq!(loads(&leader.poll().requests), [(2, &b"k:2"[..])]);
}

#[test]
fn batches_are_cut_by_number_and_by_bytes() {
    let mut leader = Leader::ready();
    for number in 0..FLUSH_INTENTS_MAX as u64 + 1 {
        leader.set(number, "k:1");
    }
    let OriginRequest::Flush(flush) = leader.poll().requests.remove(0) else {
        panic!("a flush is due");
    };
    assert_eq!(flush.intents.len(), FLUSH_INTENTS_MAX);
    let mut leader = Leader::ready();
    let large = "x".repeat(FLUSH_BYTES_MAX + 1);
    for number in 0..2 {
        push(
            &mut leader.lanes,
            &leader.cache,
            (number, 0),
            &[("k:1", Some(&large))],
        );
    }
    assert_eq!(sequences(&leader.poll().requests), [(0, vec![1])], "at least one");
    assert_eq!(LaneId { keyspace: 0, lane: 0 }, LANE);
}

/// A leader over two lanes that stand at 0, with one key of each.
fn two_lanes() -> (Leader, [&'static str; 2]) {
    let config = KeyspaceConfig { lanes: 2, ..raw("k") };
    let map = Arc::new(OriginMap::new(vec![config]).expect("valid"));
    let mut leader = Leader::over(Lanes::new(Arc::clone(&map)), &map);
    leader.poll();
    for lane in [0, 1] {
        let fence = leader.fence();
        leader.event(OriginEvent::TakenOver {
            lane: LaneId { keyspace: 0, lane },
            fence,
            result: Ok(TakenOver {
                applied: 0,
                stored: fence,
                rejects: Vec::new(),
                misfit: None,
            }),
        });
    }
    let keys = ["k:0", "k:1", "k:2", "k:3", "k:4", "k:5"];
    let of_lane = |lane| {
        let found = keys
            .into_iter()
            .find(|key| map.policy(0).lane_of(key.as_bytes()) == lane);
        found.expect("some key of each lane")
    };
    (leader, [of_lane(0), of_lane(1)])
}

impl Leader {
    /// A write to the lane of its key, as the log brings it.
    fn write(&mut self, number: u64, key: &str) {
        let effects = [(key, Some("v"))];
        let mut intent = intent(&effects);
        intent.lane.lane = self.lanes.map().policy(0).lane_of(key.as_bytes());
        let requester = Requester {
            sequence: number,
            ..Requester::default()
        };
        self.lanes.apply_intent(0, &self.cache, requester, &intent);
        self.flusher.on_intent(&intent);
    }

    fn answer(&mut self, lane: u16, upto: u64, held: bool) {
        let fence = self.fence();
        self.event(OriginEvent::Flushed {
            lane: LaneId { keyspace: 0, lane },
            fence,
            result: Ok(Flushed {
                upto,
                held,
                ..Flushed::default()
            }),
        });
    }
}

/// (lane, first intent, up to where a data error is final) of each flush.
fn flushes(requests: &[OriginRequest]) -> Vec<(u16, u64, u64)> {
    requests
        .iter()
        .map(|request| match request {
            OriginRequest::Flush(flush) => (flush.lane.lane, flush.from + 1, flush.final_upto),
            other => panic!("not a flush: {other:?}"),
        })
        .collect()
}

#[test]
fn a_data_error_is_final_when_everything_before_it_in_the_log_is_in_the_database() {
    let (mut leader, [first, second]) = two_lanes();
    leader.write(1, second);
    leader.write(2, first);
    leader.write(3, second);
    assert_eq!(flushes(&leader.poll().requests), [(0, 1, 0), (1, 1, 1)]);
    leader.answer(0, 0, true);
    assert_eq!(leader.poll().requests, [], "it waits for the write before it");
    leader.answer(1, 1, true);
    let out = leader.poll();
    assert_eq!(
        flushes(&out.requests),
        [(0, 1, 1)],
        "that is there, the other lane's next is later"
    );
    assert_eq!(out.proposals.len(), 1);
    leader.answer(0, 1, false);
    assert_eq!(flushes(&leader.poll().requests), [(1, 2, 2)]);
}

#[test]
fn a_held_write_ends_with_its_deadline_at_the_latest() {
    let (mut leader, [first, second]) = two_lanes();
    leader.write(1, second);
    leader.write(2, first);
    leader.poll();
    leader.answer(0, 0, true);
    leader.wait(31_000_000);
    assert_eq!(leader.poll().requests, []);
    leader.lanes.expire(31_000, &mut |_| {});
    let out = leader.poll();
    let [OriginRequest::Flush(flush)] = &out.requests[..] else {
        panic!("one flush: {:?}", out.requests);
    };
    assert!(flush.lane.lane == 0 && flush.intents[0].skip.is_some());
}

#[test]
fn an_idle_origin_is_asked_now_and_then_whether_it_still_answers() {
    let mut leader = Leader::ready();
    leader.wait(IDLE_PROBE_US - 1);
    assert_eq!(leader.poll().requests, []);
    leader.wait(1);
    assert_eq!(leader.poll().requests, [leader.takeover(0)]);
    assert_eq!(leader.poll().requests, [], "one at a time");
    leader.take_over_with(Err(OriginError::Down(ORIGIN.to_owned())));
    let out = leader.poll();
    assert!(matches!(&out.proposals[..], [OriginOp::Health(health)] if health.down.is_some()));
}

#[test]
fn a_keyspace_that_is_only_read_is_known_to_be_down_and_found_to_be_back() {
    let config = KeyspaceConfig {
        mode: Mode::ReadThrough,
        ..raw("k")
    };
    let map = Arc::new(OriginMap::new(vec![config]).expect("valid"));
    let mut leader = Leader::over(Lanes::new(Arc::clone(&map)), &map);
    let load = |requests: &[OriginRequest]| match requests {
        [OriginRequest::Load(load)] => load.id,
        other => panic!("one load: {other:?}"),
    };
    let health = |proposals: &[OriginOp<'_>]| match proposals {
        [OriginOp::Health(health)] => health.clone(),
        other => panic!("one health: {other:?}"),
    };
    leader.flusher.want_load(leader.now, 0, b"k:1");
    let errors = [
        OriginError::Down(ORIGIN.to_owned()),
        OriginError::Configuration("no such table".to_owned()),
    ];
    for error in errors {
        if !leader.flusher.loads.is_wanted() {
            leader.flusher.want_load(leader.now, 0, b"k:1");
        }
        let id = load(&leader.poll().requests);
        let result = Err(error);
        leader.event(OriginEvent::Loaded { id, result });
        let out = leader.poll();
        assert_eq!(out.failed_loads.len(), 1);
        let down = health(&out.proposals);
        assert!(down.down.is_some());
        leader.apply(OriginOp::Health(down));
        leader.wait(2_000_000);
        let id = load(&leader.poll().requests);
        leader.event(OriginEvent::Loaded { id, result: Ok(None) });
        let up = health(&leader.poll().proposals);
        assert_eq!(up.down, None);
        leader.apply(OriginOp::Health(up));
    }
}
