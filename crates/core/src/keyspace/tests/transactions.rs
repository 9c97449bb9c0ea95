//! MULTI … EXEC blocks: watched versions, replies in order, places for local replies.

use repligo_proto::command::resolve;
use repligo_proto::reply::ReplyWriter;

use super::{Fixture, requests};
use crate::command::parse;
use crate::op::{Op, TransactionBuffer, Watched};

impl Fixture {
    /// EXEC of a script whose words `LOCAL` stand for commands that the session answers.
    fn exec(&mut self, watched: &[(&str, u64)], script: &str) -> String {
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

    fn version(&self, key: &str) -> u64 {
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
    let versions = [fixture.version("a"), 0, fixture.version("a")];
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
