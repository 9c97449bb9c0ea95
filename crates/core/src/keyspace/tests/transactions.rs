//! MULTI … EXEC blocks: watched versions, replies in order, places for local replies.

use repligo_proto::command::resolve;
use repligo_proto::reply::ReplyWriter;

use super::{Fixture, requests};
use crate::command::parse;
use crate::keyspace::{ABSENT, Keyspace};
use crate::op::{Op, TransactionBuffer, Watched};
use crate::table::HashSeed;

impl Fixture {
    /// EXEC of a script whose words `LOCAL` stand for commands that the session answers.
    pub(super) fn exec(&mut self, watched: &[(&str, u64)], script: &str) -> String {
        let mut buffer = TransactionBuffer::default();
        for (key, version) in watched {
            buffer.watch(Watched {
                db: self.db,
                key: key.as_bytes(),
                version: *version,
            });
        }
        for request in requests(script)
            .iter()
            .filter(|request| !request.view().is_empty())
        {
            let view = request.view();
            if view.get(0) == b"LOCAL" {
                buffer.push_local();
                continue;
            }
            let spec = resolve(view).expect("a command of the table");
            buffer.push(&parse(spec, self.db, view).expect("a well-formed command"));
        }
        let mut bytes = Vec::new();
        Op::Transaction(buffer.transaction()).encode(&mut bytes);
        let Ok(Op::Transaction(transaction)) = Op::decode(&mut &bytes[..]) else {
            panic!("a transaction decodes")
        };
        let mut out = Vec::new();
        let mut writer = ReplyWriter::new(&mut out, self.resp3);
        self.keyspace
            .transaction(&transaction, &mut writer, &mut |index, writer| {
                writer.bulk_str(&format!("local {index}"));
            });
        super::render(&mut &out[..])
    }

    pub(super) fn version(&self, key: &str) -> u64 {
        self.keyspace.version_of(self.db, key.as_bytes())
    }
}

#[test]
fn items_are_applied_in_order_and_answered_in_one_array() {
    let mut fixture = Fixture::new();
    let replies = fixture.exec(
        &[],
        "SET a 1 ; LOCAL ; INCR a ; GET a ; SET b x ; INCR b ; DBSIZE ; MGET a c ; LOCAL",
    );
    let error = "-ERR value is not an integer or out of range";
    assert_eq!(
        replies,
        format!("[OK, \"local 1\", 2, \"2\", OK, {error}, 2, [\"2\", nil], \"local 8\"]")
    );
    assert_eq!(fixture.exec(&[], ""), "[]");
}

#[test]
fn a_changed_key_voids_the_block() {
    let changes = [
        "SET a 1",
        "SET a 0",
        "APPEND a x",
        "EXPIRE a 10",
        "DEL a",
        "RENAME a b",
        "RENAME b a",
        "FLUSHALL",
    ];
    for change in changes {
        let mut fixture = Fixture::new();
        fixture.run("SET a 0 ; SET b 0");
        let version = fixture.version("a");
        fixture.run(change);
        assert_eq!(
            fixture.exec(&[("a", version)], "SET a 2 ; SET c 1"),
            "nil",
            "{change}"
        );
        assert_eq!(fixture.run("EXISTS c"), "0", "{change}");
    }
    let harmless = [
        "GET a",
        "SET c 1",
        "DEL c",
        "SETNX a 1",
        "EXPIRE a 10 XX",
        "PERSIST a",
        "RENAME a a",
        "GETEX a",
        "INCR b",
    ];
    for change in harmless {
        let mut fixture = Fixture::new();
        fixture.run("SET a 0 ; SET b 0");
        let version = fixture.version("a");
        fixture.run(change);
        assert_eq!(fixture.exec(&[("a", version)], "INCR a"), "[1]", "{change}");
    }
}

#[test]
fn an_absent_key_is_watched_too() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.exec(&[("a", 0)], "SET a 1"), "[OK]");
    assert_eq!(fixture.exec(&[("a", 0)], "SET a 2"), "nil");
    fixture.run("SET b 1 PX 10");
    let version = fixture.version("b");
    fixture.keyspace.set_time(super::START_MS + 10);
    assert_eq!(fixture.exec(&[("b", version)], "SET a 2"), "nil");
    assert_eq!(fixture.run("GET a"), "\"1\"");
}

/// SET and DEL, or the like, leave no key behind, and yet the key was changed.
#[test]
fn an_absent_key_that_came_and_went_has_changed() {
    let changes = [
        "SET a 1 ; DEL a",
        "SET a 1 ; RENAME a b",
        "SET a 1 ; FLUSHALL",
        "SADD a x ; SREM a x",
        "SADD a x ; SPOP a",
        "HSET a f v ; HDEL a f",
        "SET a 1 ; GETDEL a",
        "SET a 1 ; PEXPIRE a -1",
        "SET a 1 PX 10",
    ];
    for before in ["SET z 0", "SET a 0 ; DEL a", "SET a 0 PX 5"] {
        for change in changes {
            let mut fixture = Fixture::new();
            fixture.run(before);
            fixture.keyspace.set_time(super::START_MS + 5);
            let version = fixture.version("a");
            assert_ne!(version & ABSENT, 0);
            fixture.run(change);
            fixture.keyspace.set_time(super::START_MS + 20);
            assert_eq!(fixture.run("EXISTS a"), "0", "{change}");
            assert_eq!(
                fixture.exec(&[("a", version)], "SET a 2"),
                "nil",
                "{before}: {change}"
            );
        }
        let mut fixture = Fixture::new();
        fixture.run(before);
        fixture.keyspace.set_time(super::START_MS + 5);
        let version = fixture.version("a");
        // It makes no difference that time goes on.
        fixture.keyspace.set_time(super::START_MS + 6);
        fixture.run("SET z 1 ; GET a ; DEL a");
        assert_eq!(fixture.exec(&[("a", version)], "SET a 2"), "[OK]", "{before}");
    }
}

#[test]
fn a_voided_block_is_a_null_of_its_protocol() {
    for (resp3, expect) in [(false, &b"*-1\r\n"[..]), (true, b"_\r\n")] {
        let mut fixture = Fixture::new();
        let mut buffer = TransactionBuffer::default();
        buffer.watch(Watched {
            db: 0,
            key: b"a",
            version: 7,
        });
        let mut out = Vec::new();
        let mut writer = ReplyWriter::new(&mut out, resp3);
        fixture
            .keyspace
            .transaction(&buffer.transaction(), &mut writer, &mut |_, _| ());
        assert_eq!(out, expect);
    }
}

#[test]
fn watch_reads_versions_as_bytes() {
    let mut fixture = Fixture::new();
    fixture.run("SET a 1");
    let reply = fixture.execute(&requests("WATCH a absent a")[0]);
    let versions = [fixture.version("a"), ABSENT, fixture.version("a")];
    assert_eq!(reply, versions.map(u64::to_le_bytes).concat());
}

#[test]
fn a_buffer_is_reused() {
    let mut buffer = TransactionBuffer::default();
    buffer.watch(Watched {
        db: 0,
        key: b"a",
        version: 7,
    });
    buffer.push_local();
    assert!(buffer.is_watching() && buffer.len() == 1 && buffer.bytes() > 0);
    buffer.clear();
    assert!(!buffer.is_watching() && buffer.is_empty() && buffer.bytes() == 0);
    assert_eq!(buffer.transaction(), crate::op::Transaction::default());
}

#[test]
fn a_snapshot_knows_which_absent_keys_came_and_went() {
    let mut fixture = Fixture::new();
    fixture.keyspace.seed(HashSeed::from_number(2));
    fixture.run("SET z 0 ; SET a 1 ; SET b 1 PX 5 ; DEL a");
    fixture.db = 3;
    fixture.run("SET c 1 ; RENAME c d");
    fixture.db = 0;
    fixture.keyspace.set_time(super::START_MS + 5);
    let mut restored = Keyspace::new(HashSeed::from_number(1));
    fixture.keyspace.snapshot_begin();
    // As it was when the walk began.
    fixture.run("SET e 1 ; DEL e ; SET a 1 ; DEL a");
    let before = fixture.keyspace.version_of(0, b"e");
    loop {
        let mut chunk = Vec::new();
        let is_last = fixture.keyspace.snapshot_next(&mut chunk, 64);
        restored.restore_chunk(&chunk).expect("its own snapshot");
        if is_last {
            break;
        }
    }
    assert_ne!(restored.version_of(0, b"e"), before);
    for (db, key, version) in [(0, b"a", 2), (0, b"b", 3), (3, b"c", 4), (0, b"z", 1)] {
        assert_eq!(restored.version_of(db, key) & !ABSENT, version, "{db} {key:?}");
    }
}
