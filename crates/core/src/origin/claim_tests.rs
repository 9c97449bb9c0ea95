//! Tests of whose a database is: copies that another cluster may have made old go before it is claimed.

use super::*;
use crate::origin::testing::map as one_lane;

impl Leader {
    /// The takeover of the only lane that may claim the database.
    fn claim(&self) -> OriginRequest {
        OriginRequest::Takeover(Takeover {
            lane: LANE,
            fence: self.fence(),
            resolved: 0,
            claim: true,
        })
    }

    /// Applies what the last poll proposed and gives how many generations of the lane it began.
    fn apply_all(&mut self, out: FlusherOutput) -> usize {
        let is_raise = |op: &&OriginOp<'_>| matches!(op, OriginOp::Raise(_));
        let raised = out.proposals.iter().filter(is_raise).count();
        for op in out.proposals {
            self.apply(op);
        }
        raised
    }

    fn loaded(&mut self, id: u64, result: Result<Option<Bytes>, OriginError>) {
        self.event(OriginEvent::Loaded { id, result });
    }
}

fn foreign() -> OriginError {
    OriginError::Foreign("belongs to cluster x".to_owned())
}

#[test]
fn copies_go_when_the_database_is_another_clusters() {
    let mut leader = Leader::ready();
    leader.flusher.want_load(leader.now, 0, b"k:1");
    assert_eq!(loads(&leader.poll().requests), [(1, &b"k:1"[..])]);
    leader.cache.put(0, b"k:2", Some(b"old"), None);
    // The load is on its way when the leader looks whether the database still answers.
    leader.wait(IDLE_PROBE_US);
    assert_eq!(leader.poll().requests, [leader.takeover(0)]);
    leader.take_over_with(Err(foreign()));
    let out = leader.poll();
    let [OriginOp::Raise(raise), OriginOp::Health(health)] = &out.proposals[..] else {
        panic!("the copies go before it is told why: {:?}", out.proposals);
    };
    assert_eq!((raise.generation, raise.applied), (2, 0));
    let reason = health.down.as_deref().unwrap_or_default();
    assert!(reason.contains("belongs to cluster x"), "{reason}");
    assert_eq!(
        loads(&out.requests),
        [(2, &b"k:1"[..])],
        "what was on its way is read anew"
    );
    leader.loaded(1, Ok(None));
    assert_eq!(
        leader.poll().proposals,
        [],
        "the earlier answer says nothing any more"
    );
    assert_eq!(leader.apply_all(out), 1);
    assert!(leader.cache.rows.is_empty());
    leader.loaded(2, Err(foreign()));
    let out = leader.poll();
    assert!(out.failed_loads[0].error.starts_with("ORIGINDOWN "), "{out:?}");
    // It is asked every second, and nothing is left to drop.
    let mut requests = out.requests;
    for _ in 0..2 {
        assert_eq!(requests, [leader.claim()]);
        leader.take_over_with(Err(foreign()));
        assert_eq!(leader.poll().proposals, []);
        leader.wait(MISCONFIGURED_PAUSE_US);
        requests = leader.poll().requests;
    }
    // The other is gone for good.
    leader.taken_over(0, 7);
    let [OriginOp::Health(health)] = &leader.poll().proposals[..] else {
        panic!("it is told that the database is well");
    };
    assert_eq!(health.down, None);
}

#[test]
fn a_database_is_claimed_only_when_no_copy_is_left() {
    let mut leader = Leader::ready();
    leader.cache.put(0, b"k:2", Some(b"old"), None);
    // Another cluster came and went: the row is gone, and nobody was asked meanwhile.
    leader.wait(IDLE_PROBE_US);
    assert_eq!(leader.poll().requests, [leader.takeover(0)]);
    leader.take_over_with(Err(OriginError::Unclaimed));
    let out = leader.poll();
    assert_eq!(out.requests, [], "not before the copies are dropped");
    assert_eq!(leader.apply_all(out), 1);
    assert!(leader.cache.rows.is_empty());
    assert_eq!(leader.poll().requests, [leader.claim()]);
    leader.taken_over(0, 7);
    assert_eq!(leader.poll().proposals, []);
    // Whoever claimed it once claims it no second time.
    leader.wait(IDLE_PROBE_US);
    assert_eq!(leader.poll().requests, [leader.takeover(0)]);
}

#[test]
fn a_claim_whose_answer_is_lost_is_made_anew() {
    let mut leader = Leader::new();
    assert_eq!(leader.poll().requests, [leader.takeover(0)]);
    leader.take_over_with(Err(OriginError::Unclaimed));
    let out = leader.poll();
    assert_eq!(leader.apply_all(out), 1);
    assert_eq!(leader.poll().requests, [leader.claim()]);
    leader.take_over_with(Err(OriginError::Down(ORIGIN.to_owned())));
    let out = leader.poll();
    leader.apply_all(out);
    // Rows may have been loaded by a claim of which nobody was told, and may be another's by now.
    leader.wait(PAUSE_US_MAX);
    assert_eq!(leader.poll().requests, [leader.takeover(0)]);
}

#[test]
fn all_lanes_of_an_origin_drop_their_copies_together() {
    let two = KeyspaceConfig { lanes: 2, ..raw("k") };
    let map = Arc::new(OriginMap::new(vec![two]).expect("valid"));
    let mut leader = Leader::over(Lanes::new(Arc::clone(&map)), &map);
    let lanes = [0, 1].map(|lane| LaneId { keyspace: 0, lane });
    assert_eq!(leader.poll().requests.len(), 2);
    let answer = |leader: &mut Leader, lane: LaneId, result| {
        let fence = Fence {
            generation: leader.lanes.lane(lane).generation(),
            term: 7,
        };
        leader.event(OriginEvent::TakenOver { lane, fence, result });
    };
    answer(&mut leader, lanes[1], Err(OriginError::Unclaimed));
    answer(&mut leader, lanes[0], Err(OriginError::Unclaimed));
    let out = leader.poll();
    assert_eq!((out.requests.len(), out.proposals.len()), (0, 2));
    // One at a time; nothing is claimed between them.
    let mut ops = out.proposals.into_iter();
    leader.apply(ops.next().expect("two"));
    assert_eq!(leader.poll().requests, []);
    leader.apply(ops.next().expect("two"));
    let claims = leader.poll().requests;
    let is_claim =
        |request: &OriginRequest| matches!(request, OriginRequest::Takeover(takeover) if takeover.claim);
    assert_eq!(claims.len(), 2);
    assert!(claims.iter().all(is_claim), "{claims:?}");
}

#[test]
fn a_load_that_comes_before_the_first_takeover_is_tried_again() {
    let mut leader = Leader::over(Lanes::new(one_lane()), &one_lane());
    leader.flusher.want_load(leader.now, 0, b"k:1");
    let out = leader.poll();
    assert_eq!(loads(&out.requests), [(1, &b"k:1"[..])]);
    leader.loaded(1, Err(OriginError::Unclaimed));
    let out = leader.poll();
    assert_eq!(
        (loads(&out.requests).len(), out.failed_loads.len()),
        (0, 0),
        "not at once"
    );
    leader.wait(100_000);
    assert_eq!(loads(&leader.poll().requests), [(2, &b"k:1"[..])]);
    leader.wait(crate::origin::loads::LOAD_WAIT_US);
    leader.loaded(2, Err(OriginError::Unclaimed));
    assert_eq!(leader.poll().failed_loads.len(), 1, "nobody waits for ever");
}
