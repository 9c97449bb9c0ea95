//! The lane protocol on a real file: rejects, fencing, unknown outcomes, locks.

use repligo_core::origin::plan::{LaneTransaction, TransactionOutcome};

use super::*;

const CHECKED: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, body CHECK(body<>'bad'), other UNIQUE)";

fn checked() -> (Database, SqliteStore) {
    let database = Database::new(CHECKED);
    let mut store = database.store(&raw("t:{id:int}", "t"));
    take_over(&mut store, 1, 0).unwrap();
    (database, store)
}

#[test]
fn one_bad_row_in_a_batch_harms_nothing_else() {
    let (database, mut store) = checked();
    let flushed = write(
        &mut store,
        (1, 0),
        &[
            &[("t:1", Some(b"a"))],
            &[("t:2", Some(b"b")), ("t:3", Some(b"bad")), ("t:4", Some(b"d"))],
            &[("t:1", Some(b"bad"))],
            &[("t:5", Some(b"e"))],
            &[("t:6", Some(b"bad"))],
            &[("t:6", Some(b"good"))],
        ],
    )
    .unwrap();
    let text = Bytes::from_static(b"ERR origin rejected the write: CHECK constraint failed: body<>'bad'");
    assert_eq!(flushed.upto, 6);
    // Intent 5 was coalesced with 6 and is not visible to anybody.
    assert_eq!(flushed.rejects, [(2, text.clone()), (3, text)]);
    assert_eq!(
        database.text("SELECT group_concat(id||body, ' ') FROM t"),
        "Text(\"1a 5e 6good\")"
    );
    assert_eq!(database.text("SELECT applied FROM repligo_lane"), "Integer(6)");
    let taken = take_over(&mut store, 2, 0).unwrap();
    assert_eq!((taken.applied, taken.stored), (6, fence(1)));
    assert_eq!(
        taken.rejects, flushed.rejects,
        "the database remembers what it rejected"
    );
    assert_eq!(take_over(&mut store, 2, 2).unwrap().rejects, flushed.rejects[1..]);
    assert_eq!(take_over(&mut store, 2, 6).unwrap().rejects, []);
    assert_eq!(database.text("SELECT count(*) FROM repligo_reject"), "Integer(0)");
}

#[test]
fn a_deferred_constraint_is_found_by_bisection() {
    let database = Database::new(
        "CREATE TABLE parent(id INTEGER PRIMARY KEY); INSERT INTO parent VALUES(7);
         CREATE TABLE t(id INTEGER PRIMARY KEY,
           body INT REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED)",
    );
    let mut store = database.store(&raw("t:{id:int}", "t"));
    take_over(&mut store, 1, 0).unwrap();
    let flushed = write(
        &mut store,
        (1, 0),
        &[
            &[("t:1", Some(b"7"))],
            &[("t:2", Some(b"7"))],
            &[("t:3", Some(b"8"))],
            &[("t:4", Some(b"7"))],
        ],
    )
    .unwrap();
    assert_eq!(
        flushed.rejects,
        [(
            3,
            Bytes::from_static(b"ERR origin rejected the write: FOREIGN KEY constraint failed")
        )]
    );
    assert_eq!(database.text("SELECT count(*) FROM t"), "Integer(3)");
}

#[test]
fn a_deposed_leader_can_write_no_more() {
    let database = Database::new(CHECKED);
    let map = raw("t:{id:int}", "t");
    let (mut old, mut new) = (database.store(&map), database.store(&map));
    take_over(&mut old, 1, 0).unwrap();
    write(&mut old, (1, 0), &[&[("t:1", Some(b"one"))]]).unwrap();
    assert_eq!(take_over(&mut new, 3, 0).unwrap().applied, 1);
    assert_eq!(
        write(&mut old, (1, 1), &[&[("t:1", Some(b"zombie"))]]),
        Err(OriginError::Fenced)
    );
    let late = take_over(&mut old, 2, 0).unwrap();
    assert_eq!(
        late.stored,
        fence(3),
        "an older leader learns that it is one, and changes nothing"
    );
    write(&mut new, (3, 1), &[&[("t:1", Some(b"two"))]]).unwrap();
    assert_eq!(
        write(&mut new, (3, 1), &[&[("t:1", Some(b"delayed retry"))]]),
        Err(OriginError::Fenced),
        "the same leader's delayed retry is fenced by the position"
    );
    assert_eq!(load(&mut old, "t:1").unwrap(), &b"two"[..]);
}

#[test]
fn a_takeover_waits_for_the_transaction_of_a_frozen_leader() {
    let (database, mut store) = checked();
    let frozen = database.connection();
    frozen
        .execute_batch(
            "BEGIN IMMEDIATE; INSERT INTO t(id, body) VALUES(9, 'late');
             UPDATE repligo_lane SET applied=1 WHERE lane=0",
        )
        .unwrap();
    assert!(matches!(take_over(&mut store, 2, 0), Err(OriginError::Down(_))));
    let thaw = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        frozen.execute_batch("COMMIT").unwrap();
    });
    assert_eq!(take_over(&mut store, 2, 0).unwrap().applied, 1);
    thaw.join().unwrap();
}

#[test]
fn a_locked_file_is_down_for_writes_and_readable_for_loads() {
    let (database, mut store) = checked();
    write(&mut store, (1, 0), &[&[("t:1", Some(b"a"))]]).unwrap();
    let lock = database.connection();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let Err(OriginError::Down(text)) = write(&mut store, (1, 1), &[&[("t:1", Some(b"b"))]]) else {
        panic!("the file is locked");
    };
    assert_eq!(text, "database is locked; another process holds the lock");
    assert_eq!(load(&mut store, "t:1").unwrap(), &b"a"[..]);
    lock.execute_batch("ROLLBACK").unwrap();
    write(&mut store, (1, 1), &[&[("t:1", Some(b"b"))]]).unwrap();
}

/// Commits, and then says that it does not know.
struct Forgetful<'a>(&'a mut SqliteStore);

impl LaneStore for Forgetful<'_> {
    fn transaction(&mut self, transaction: &LaneTransaction<'_>) -> TransactionOutcome {
        self.0.transaction(transaction);
        TransactionOutcome::Failed(OriginError::Unknown("the answer was lost".to_owned()))
    }

    fn takeover(&mut self, takeover: &Takeover) -> Result<TakenOver, OriginError> {
        self.0.takeover(takeover)
    }

    fn load(&mut self, keyspace: u16, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, OriginError> {
        self.0.load(keyspace, keys)
    }
}

#[test]
fn after_an_unknown_outcome_the_lane_row_tells() {
    let (_database, mut store) = checked();
    let run = request(1, 0, &[&[("t:1", Some(b"a"))], &[("t:2", Some(b"b"))]]);
    assert!(matches!(
        flush(&mut Forgetful(&mut store), &run),
        Err(OriginError::Unknown(_))
    ));
    assert_eq!(take_over(&mut store, 1, 0).unwrap().applied, 2);
    assert_eq!(flush(&mut store, &run), Err(OriginError::Fenced));
}

#[test]
fn ten_thousand_rows_go_in_and_come_back() {
    let (database, mut store) = checked();
    let keys: Vec<(String, String)> = (0..10_000)
        .map(|n| (format!("t:{n}"), format!("value {n}")))
        .collect();
    for (batch, chunk) in keys.chunks(1000).enumerate() {
        let effects: Vec<_> = chunk
            .iter()
            .map(|(key, value)| [(key.as_str(), Some(value.as_bytes()))])
            .collect();
        let intents: Vec<&Effects<'_>> = effects.iter().map(|one| &one[..]).collect();
        let flushed = write(&mut store, (1, batch as u64 * 1000), &intents).unwrap();
        assert_eq!(
            (flushed.upto, flushed.canonical.len()),
            ((batch as u64 + 1) * 1000, 0)
        );
    }
    assert_eq!(database.text("SELECT count(*) FROM t"), "Integer(10000)");
    let names: Vec<Bytes> = keys.iter().map(|(key, _)| Bytes::from(key.clone())).collect();
    let values = store.load(0, &names).unwrap();
    for ((_, expect), value) in keys.iter().zip(values) {
        assert_eq!(value.unwrap(), expect.as_bytes());
    }
}

#[test]
fn two_clusters_do_not_share_a_database() {
    let (database, _store) = checked();
    let map = raw("t:{id:int}", "t");
    let mut other = SqliteStore::new(StoreSettings {
        cluster: "c2".to_owned(),
        ..settings(&database.path(), &map)
    });
    let Err(OriginError::Foreign(text)) = take_over(&mut other, 1, 0) else {
        panic!("the file belongs to c1");
    };
    assert!(
        text.contains("belongs to cluster c1, this is cluster c2"),
        "{text}"
    );
    assert!(
        text.contains("DELETE FROM repligo_lane WHERE cluster='c1'"),
        "{text}"
    );
}

#[test]
fn nothing_is_loaded_but_by_the_cluster_whose_lanes_they_are() {
    let database = Database::new(CHECKED);
    let map = raw("t:{id:int}", "t");
    let keys = [Bytes::from_static(b"t:1")];
    let mut old = database.store(&map);
    assert_eq!(
        old.load(0, &keys),
        Err(OriginError::Unclaimed),
        "nobody has taken it over"
    );
    take_over(&mut old, 1, 0).unwrap();
    assert_eq!(old.load(0, &keys), Ok(vec![None]));
    let mut new = SqliteStore::new(StoreSettings {
        cluster: "c2".to_owned(),
        ..settings(&database.path(), &map)
    });
    let told = take_over(&mut new, 1, 0).unwrap_err();
    assert_eq!(new.load(0, &keys), Err(told));
    // As it is told.
    database
        .connection()
        .execute_batch("DELETE FROM repligo_lane WHERE cluster='c1'")
        .unwrap();
    assert_eq!(new.load(0, &keys), Err(OriginError::Unclaimed));
    take_over(&mut new, 1, 0).unwrap();
    assert_eq!(new.load(0, &keys), Ok(vec![None]));
    assert!(matches!(old.load(0, &keys), Err(OriginError::Foreign(_))));
}

#[test]
fn a_missing_or_replaced_file_is_noticed() {
    let (database, mut store) = checked();
    write(&mut store, (1, 0), &[&[("t:1", Some(b"a"))]]).unwrap();
    std::fs::rename(database.path(), database.path().with_extension("old")).unwrap();
    assert!(matches!(
        write(&mut store, (1, 1), &[&[("t:1", Some(b"b"))]]),
        Err(OriginError::Down(_))
    ));
    for suffix in ["db-wal", "db-shm"] {
        let _ = std::fs::remove_file(database.path().with_extension(suffix));
    }
    database.connection().execute_batch("CREATE TABLE x(y)").unwrap();
    assert!(take_over(&mut store, 1, 1).unwrap().misfit.is_some());
    database.connection().execute_batch(CHECKED).unwrap();
    assert_eq!(
        write(&mut store, (1, 1), &[&[("t:1", Some(b"b"))]]),
        Err(OriginError::Fenced),
        "nothing may be written into a database that does not know the lane"
    );
    assert_eq!(take_over(&mut store, 1, 1).unwrap().applied, 0);
}

#[test]
fn a_table_that_vanishes_is_a_matter_for_the_operator() {
    let (database, mut store) = checked();
    database.connection().execute_batch("DROP TABLE t").unwrap();
    // The lane's own tables are there: every write of the run is recorded as not applied.
    let gone = "table t does not exist; create it";
    let flushed = write(
        &mut store,
        (1, 0),
        &[&[("t:1", Some(b"a"))], &[("t:2", Some(b"b"))]],
    )
    .unwrap();
    assert_eq!(flushed.upto, 2);
    assert!(flushed.misfit.is_some_and(|text| text.contains(gone)));
    let texts: Vec<_> = flushed
        .rejects
        .iter()
        .map(|(_, text)| std::str::from_utf8(text).unwrap())
        .collect();
    let told =
        |text: &&str| text.starts_with("ORIGINDOWN the mapping of keyspace rows") && text.contains(gone);
    assert!(texts.len() == 2 && texts.iter().all(told), "{texts:?}");
    // A new leader takes the lane over all the same, and learns of the rejects.
    let taken = take_over(&mut store, 2, 0).unwrap();
    assert!(taken.misfit.is_some_and(|text| text.contains(gone)));
    assert_eq!((taken.applied, taken.rejects.len()), (2, 2));
    // What was overdue meanwhile can still be recorded as dropped.
    let mut skip = request(2, 2, &[&[("t:1", Some(b"a"))]]);
    skip.intents[0].skip = Some(Bytes::from_static(b"ERR dropped"));
    let dropped = flush(&mut store, &skip).unwrap();
    assert_eq!((dropped.rejects.len(), dropped.misfit), (1, None));
}
