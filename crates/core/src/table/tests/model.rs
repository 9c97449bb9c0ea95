//! The table against a model: a BTreeMap, and copies of it where a snapshot or a scan began.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

type Contents = BTreeMap<Vec<u8>, (Vec<u8>, Meta)>;

#[derive(Clone, Debug)]
enum Step {
    Insert {
        key: u16,
        value_bytes: usize,
        deadline_ms: Option<u64>,
    },
    InsertMany {
        first: u16,
        count: u16,
    },
    SetMeta {
        key: u16,
        deadline_ms: Option<u64>,
    },
    Append {
        key: u16,
        bytes: usize,
    },
    Resize {
        key: u16,
        kept: usize,
        bytes: usize,
    },
    /// Zeros up to so many bytes behind the shortest value that can be stretched.
    Stretch {
        key: u16,
        bytes: usize,
    },
    Rename {
        from: u16,
        to: u16,
        deadline_ms: Option<u64>,
    },
    Overwrite {
        key: u16,
    },
    Remove {
        key: u16,
    },
    RemoveMany {
        first: u16,
        count: u16,
    },
    Expire {
        now_ms: u64,
        limit: usize,
    },
    Clear,
    Scan {
        calls: usize,
    },
    SnapshotBegin,
    SnapshotNext {
        budget_bytes: usize,
    },
    SnapshotAbort,
    Random {
        seed: u64,
    },
}

fn deadlines() -> impl Strategy<Value = Option<u64>> {
    // Few different ones, so that ties are frequent.
    prop_oneof![3 => Just(None), 5 => (0..40u64).prop_map(Some), 1 => (u64::MAX - 2..=u64::MAX).prop_map(Some)]
}

fn steps(keys: u16) -> impl Strategy<Value = Vec<Step>> {
    let key = 0..keys;
    let sizes =
        prop_oneof![12 => 0..60usize, 3 => 60..500usize, 1 => 3_900..4_300usize, 1 => 4_300..20_000usize];
    let step = prop_oneof![
        30 => (key.clone(), sizes.clone(), deadlines())
            .prop_map(|(key, value_bytes, deadline_ms)| Step::Insert { key, value_bytes, deadline_ms }),
        4 => (key.clone(), 1..=keys / 2).prop_map(|(first, count)| Step::InsertMany { first, count }),
        10 => (key.clone(), deadlines()).prop_map(|(key, deadline_ms)| Step::SetMeta { key, deadline_ms }),
        6 => (key.clone(), sizes.clone()).prop_map(|(key, bytes)| Step::Append { key, bytes }),
        3 => (key.clone(), 0..9_000usize, 0..90usize)
            .prop_map(|(key, kept, bytes)| Step::Resize { key, kept, bytes }),
        3 => (key.clone(), 0..9_000usize).prop_map(|(key, bytes)| Step::Stretch { key, bytes }),
        6 => (key.clone(), key.clone(), deadlines())
            .prop_map(|(from, to, deadline_ms)| Step::Rename { from, to, deadline_ms }),
        3 => key.clone().prop_map(|key| Step::Overwrite { key }),
        15 => key.clone().prop_map(|key| Step::Remove { key }),
        3 => (key, 1..=keys / 2).prop_map(|(first, count)| Step::RemoveMany { first, count }),
        4 => (0..45u64, 0..200usize).prop_map(|(now_ms, limit)| Step::Expire { now_ms, limit }),
        1 => Just(Step::Clear),
        15 => (1..6usize).prop_map(|calls| Step::Scan { calls }),
        3 => Just(Step::SnapshotBegin),
        12 => (0..3_000usize).prop_map(|budget_bytes| Step::SnapshotNext { budget_bytes }),
        1 => Just(Step::SnapshotAbort),
        3 => any::<u64>().prop_map(|seed| Step::Random { seed }),
    ];
    prop::collection::vec(step, 1..400)
}

struct Model {
    table: Table,
    contents: Contents,
    version: u64,
    cursor: u64,
    /// Keys that have been there since the scan began, and keys that it has returned.
    scan_due: BTreeSet<Vec<u8>>,
    scan_seen: BTreeSet<Vec<u8>>,
    /// What the snapshot has to return, and what it has returned.
    snapshot: Option<(Contents, Contents)>,
}

fn key_of(number: u16) -> Vec<u8> {
    // Lengths from 1 to 40 bytes, one in 64 very long.
    let mut key = number.to_string().into_bytes();
    let bytes = if number % 64 == 63 {
        5_000
    } else {
        usize::from(number % 40)
    };
    while key.len() < bytes {
        key.push(b'k');
    }
    key
}

impl Model {
    fn new(seed: u64) -> Self {
        Self {
            table: Table::new(HashSeed::from_number(seed)),
            contents: Contents::new(),
            version: 0,
            cursor: 0,
            scan_due: BTreeSet::new(),
            scan_seen: BTreeSet::new(),
            snapshot: None,
        }
    }

    fn next_meta(&mut self, deadline_ms: Option<u64>) -> Meta {
        self.version += 1;
        Meta {
            deadline_ms,
            version: VERSION_MAX - self.version,
            kind: (self.version % 16) as u8,
        }
    }

    fn insert(&mut self, key: u16, value_bytes: usize, deadline_ms: Option<u64>) {
        let (key, meta) = (key_of(key), self.next_meta(deadline_ms));
        let value = vec![self.version as u8; value_bytes];
        let mut shown = None;
        let hash = self.table.hash(&key);
        let replaced = self
            .table
            .insert_over(hash, (&key, Noted::plain(&value)), meta, |old, _| {
                shown = Some((old.value.to_vec(), old.meta()));
            });
        assert_eq!(shown.is_some(), replaced);
        assert_eq!(self.contents.insert(key, (value, meta)), shown);
    }

    fn remove(&mut self, key: u16) {
        let key = key_of(key);
        let removed = self.table.remove(self.table.hash(&key), &key);
        assert_eq!(self.contents.remove(&key).is_some(), removed);
        self.scan_due.remove(&key);
    }

    fn resize(&mut self, key: u16, kept: usize, bytes: usize) {
        let key = key_of(key);
        let tail = vec![self.version as u8; bytes];
        let length = self.table.resize(self.table.hash(&key), &key, kept, &tail);
        let expected = self.contents.get_mut(&key).map(|(value, _)| {
            value.truncate(kept);
            value.extend_from_slice(&tail);
            value.len()
        });
        assert_eq!(length, expected);
    }

    fn stretch(&mut self, key: u16, bytes: usize) {
        let key = key_of(key);
        let hash = self.table.hash(&key);
        let Some((value, _)) = self.contents.get_mut(&key) else {
            self.table.stretch(hash, &key, NOTED_BYTES_MIN + bytes);
            return;
        };
        let length = value.len().max(NOTED_BYTES_MIN) + bytes;
        value.resize(length, 0);
        let note = self.table.note(hash, &key);
        self.table.stretch(hash, &key, length);
        assert_eq!(self.table.note(hash, &key), note, "it belongs to the value");
    }

    fn rename(&mut self, from: u16, to: u16, deadline_ms: Option<u64>) {
        let (from, to, meta) = (key_of(from), key_of(to), self.next_meta(deadline_ms));
        let (from_hash, to_hash) = (self.table.hash(&from), self.table.hash(&to));
        let note = u128::from(self.version) << 64 | 1;
        self.table.set_note(from_hash, &from, note);
        let renamed = self.table.rename((from_hash, &from), (to_hash, &to), meta);
        let moved = self.contents.remove(&from);
        assert_eq!(moved.is_some(), renamed);
        let Some((value, _)) = moved else {
            return;
        };
        if from != to {
            self.scan_due.remove(&from);
        }
        let expected = if value.len() < NOTED_BYTES_MIN { 0 } else { note };
        assert_eq!(
            self.table.note(to_hash, &to),
            expected,
            "it goes with a long value"
        );
        self.contents.insert(to, (value, meta));
    }

    fn expire(&mut self, now_ms: u64, limit: usize) {
        let mut due: Vec<_> = self
            .contents
            .iter()
            .filter_map(|(key, (_, meta))| Some((meta.deadline_ms?, key.clone())))
            .filter(|&(deadline_ms, _)| deadline_ms <= now_ms)
            .collect();
        due.sort();
        due.truncate(limit);
        let mut expired = Vec::new();
        let count = self.table.expire_due(now_ms, limit, &mut |_, entry, _| {
            expired.push(entry.key.to_vec());
            true
        });
        assert_eq!(count, due.len());
        assert!(expired.iter().eq(due.iter().map(|(_, key)| key)));
        for key in expired {
            self.contents.remove(&key);
            self.scan_due.remove(&key);
        }
    }

    fn scan(&mut self) {
        if self.cursor == 0 {
            self.scan_due = self.contents.keys().cloned().collect();
            self.scan_seen.clear();
        }
        let Self {
            table,
            contents,
            scan_due,
            scan_seen,
            ..
        } = self;
        self.cursor = table.scan(self.cursor, &mut |entry| {
            let (value, meta) = &contents[entry.key];
            assert_eq!((entry.value, entry.meta()), (&value[..], *meta));
            let is_new = scan_seen.insert(entry.key.to_vec());
            // Growth and shrinking keep the order of the hash, so what stays is returned exactly once.
            assert!(is_new || !scan_due.contains(entry.key), "{:?} twice", entry.key);
        });
        if self.cursor == 0 {
            assert!(self.scan_due.is_subset(&self.scan_seen));
        }
    }

    fn snapshot_next(&mut self, budget_bytes: usize) {
        let Some((due, seen)) = &mut self.snapshot else {
            return;
        };
        let done = self.table.snapshot_next(budget_bytes, &mut |entry, _| {
            let previous = seen.insert(entry.key.to_vec(), (entry.value.to_vec(), entry.meta()));
            assert!(previous.is_none(), "a snapshot returns an entry once");
        });
        assert_eq!(done, !self.table.snapshot_active());
        if done {
            assert!(due == seen);
            self.snapshot = None;
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Insert {
                key,
                value_bytes,
                deadline_ms,
            } => self.insert(key, value_bytes, deadline_ms),
            Step::InsertMany { first, count } => {
                (first..first + count).for_each(|key| self.insert(key, 20, (key % 3 == 0).then_some(7)));
            }
            Step::SetMeta { key, deadline_ms } => {
                let (key, meta) = (key_of(key), self.next_meta(deadline_ms));
                let set = self.table.set_meta(self.table.hash(&key), &key, meta);
                assert_eq!(
                    self.contents.get_mut(&key).map(|entry| entry.1 = meta).is_some(),
                    set
                );
            }
            Step::Append { key, bytes } => self.resize(key, usize::MAX, bytes),
            Step::Resize { key, kept, bytes } => self.resize(key, kept, bytes),
            Step::Stretch { key, bytes } => self.stretch(key, bytes),
            Step::Rename {
                from,
                to,
                deadline_ms,
            } => self.rename(from, to, deadline_ms),
            Step::Overwrite { key } => {
                let key = key_of(key);
                let value = self.table.value_mut(self.table.hash(&key), &key);
                assert_eq!(value.is_some(), self.contents.contains_key(&key));
                if let (Some(value), Some((expected, _))) = (value, self.contents.get_mut(&key)) {
                    value.fill(0xee);
                    expected.fill(0xee);
                }
            }
            Step::Remove { key } => self.remove(key),
            Step::RemoveMany { first, count } => (first..first + count).for_each(|key| self.remove(key)),
            Step::Expire { now_ms, limit } => self.expire(now_ms, limit),
            Step::Clear => {
                self.table.clear();
                self.contents.clear();
                self.scan_due.clear();
            }
            Step::Scan { calls } => (0..calls).for_each(|_| self.scan()),
            Step::SnapshotBegin if self.snapshot.is_none() => {
                self.table.snapshot_begin();
                self.snapshot = Some((self.contents.clone(), Contents::new()));
            }
            Step::SnapshotBegin => {}
            Step::SnapshotNext { budget_bytes } => self.snapshot_next(budget_bytes),
            Step::SnapshotAbort => {
                self.table.snapshot_abort();
                self.snapshot = None;
            }
            Step::Random { seed } => {
                let entry = self.table.random(seed);
                assert_eq!(entry.is_some(), !self.contents.is_empty());
                assert!(entry.is_none_or(|entry| self.contents.contains_key(entry.key)));
            }
        }
    }

    fn check(&self) {
        self.table.check();
        assert_eq!(self.table.len(), self.contents.len());
        let found: Contents = self
            .table
            .iter()
            .map(|entry| (entry.key.to_vec(), (entry.value.to_vec(), entry.meta())))
            .collect();
        assert!(found == self.contents);
        for (key, (value, meta)) in &self.contents {
            let entry = self
                .table
                .get(self.table.hash(key), key)
                .expect("the key is there");
            assert_eq!(
                (entry.key, entry.value, entry.meta()),
                (&key[..], &value[..], *meta)
            );
        }
    }

    fn run(&mut self, steps: &[Step]) {
        for (number, step) in steps.iter().enumerate() {
            self.step(step);
            if number % 16 == 0 {
                self.check();
            }
        }
        self.check();
        while self.snapshot.is_some() {
            self.snapshot_next(1 << 20);
        }
        while self.cursor != 0 {
            self.scan();
        }
        self.table.clear();
        self.table.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_small_table_behaves_like_an_ordered_map(seed: u64, steps in steps(24)) {
        Model::new(seed).run(&steps);
    }

    #[test]
    fn a_growing_and_shrinking_table_behaves_like_an_ordered_map(seed: u64, steps in steps(1_500)) {
        Model::new(seed).run(&steps);
    }

    #[test]
    fn the_same_history_gives_the_same_layout(seed: u64, steps in steps(300)) {
        let mut runs = [Model::new(seed), Model::new(seed)];
        for run in &mut runs {
            steps.iter().for_each(|step| run.step(step));
        }
        let [one, other] = runs;
        prop_assert!(one.table.iter().eq(other.table.iter()));
        prop_assert_eq!(one.cursor, other.cursor);
        prop_assert_eq!(one.table.memory_bytes(), other.table.memory_bytes());
    }
}
