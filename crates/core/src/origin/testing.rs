//! What the tests of the origin share: a cache, intents, and the op that decides them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::map::tests::raw;
use super::{
    Answer, Applied, Cache, Cached, Completion, Intent, IntentEffect, IntentKind, LaneId, Lanes, OriginMap,
    Requester, Resolved,
};

/// The only lane of [`lanes`].
pub const LANE: LaneId = LaneId { keyspace: 0, lane: 0 };

/// Cached rows with deadlines, as the keyspace keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FakeCache {
    /// Key → (value or known absence, deadline or `u64::MAX`).
    pub rows: BTreeMap<Vec<u8>, (Option<Bytes>, u64)>,
}

impl Cache for FakeCache {
    fn lookup(&self, _database: u8, key: &[u8]) -> Cached<'_> {
        match self.rows.get(key) {
            None => Cached::Unknown,
            Some((None, _)) => Cached::Absent,
            Some((Some(value), _)) => Cached::Value(value),
        }
    }

    fn put(&mut self, _database: u8, key: &[u8], value: Option<&[u8]>, deadline_ms: Option<u64>) {
        let row = (value.map(Bytes::copy_from_slice), deadline_ms.unwrap_or(u64::MAX));
        self.rows.insert(key.to_vec(), row);
    }

    fn forget(&mut self, _database: u8, key: &[u8]) {
        self.rows.remove(key);
    }

    fn forget_where(&mut self, _database: u8, drop_it: &dyn Fn(&[u8]) -> bool) {
        self.rows.retain(|key, _| !drop_it(key));
    }
}

/// One write-through keyspace `k:{id:int}` with one lane.
pub fn map() -> Arc<OriginMap> {
    let config = super::KeyspaceConfig { lanes: 1, ..raw("k") };
    Arc::new(OriginMap::new(vec![config]).expect("valid"))
}

/// Empty lanes of [`map`].
pub fn lanes() -> Lanes {
    Lanes::new(map())
}

/// A SET or MSET, or with values of `None` a DEL.
pub fn intent<'a>(effects: &[(&'a str, Option<&'a str>)]) -> Intent<'a> {
    let delete = effects.iter().all(|(_, value)| value.is_none());
    Intent {
        lane: LANE,
        kind: if delete {
            IntentKind::Delete
        } else {
            IntentKind::Store
        },
        effects: effects
            .iter()
            .map(|(key, value)| IntentEffect {
                key: key.as_bytes(),
                value: value.map(|value| Cow::Borrowed(value.as_bytes())),
            })
            .collect(),
    }
}

/// Applies an intent of requester number `number`.
pub fn push(
    lanes: &mut Lanes,
    cache: &FakeCache,
    (number, now_ms): (u64, u64),
    effects: &[(&str, Option<&str>)],
) -> Applied {
    let requester = Requester {
        sequence: number,
        ..Requester::default()
    };
    lanes.apply_intent(now_ms, cache, requester, &intent(effects))
}

/// Everything up to `upto` is decided, nothing special about it.
pub fn resolved(upto: u64) -> Resolved {
    Resolved {
        lane: LANE,
        generation: 1,
        upto,
        rejects: Vec::new(),
        canonical: Vec::new(),
        forget: false,
    }
}

/// Applies `resolved` and gives `requester: answer` for each completion, `-` for nobody.
pub fn resolve(lanes: &mut Lanes, cache: &mut FakeCache, resolved: &Resolved) -> Vec<String> {
    let mut said = Vec::new();
    lanes.apply_resolved(0, cache, resolved, &mut |completion| said.push(say(&completion)));
    said
}

/// A completion in a few characters.
pub fn say(completion: &Completion<'_>) -> String {
    let who = match completion.requester {
        Some(requester) => requester.sequence.to_string(),
        None => "-".to_owned(),
    };
    let what = match completion.answer {
        Answer::Stored => "OK".to_owned(),
        Answer::Deleted(count) => count.to_string(),
        Answer::Rejected(text) => String::from_utf8_lossy(text).into_owned(),
        Answer::Undecided(text) => text.split(' ').next().unwrap_or_default().to_owned(),
    };
    format!("{who}: {what}")
}
