"""REPLIGO.INVALIDATE: a program that changes rows itself makes every node load them anew."""

import pytest

from faults.database import mapped_cluster
from support.waiting import wait_until


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """A cluster with a mapped keyspace, and its database."""
    with mapped_cluster(tmp_path_factory.mktemp("invalidate")) as pair:
        yield pair


def change(database, name, value):
    with database.open() as connection:
        connection.execute("UPDATE items SET value=? WHERE name=?", (value, name))


def test_every_node_reads_what_others_wrote_once_the_key_is_invalidated(mapped):
    cluster, database = mapped
    for turn, node in enumerate(cluster.nodes):
        with node.connect(20) as connection:
            assert connection.ask("SET", "item:a", f"ours {turn}") == b"OK"
            assert connection.ask("GET", "item:absent") is None
            theirs = f"theirs {turn}".encode()
            change(database, "a", theirs)
            assert connection.ask("GET", "item:a") == f"ours {turn}".encode(), "the copy"
            assert connection.ask("REPLIGO.INVALIDATE", "item:a", "item:absent", "item:never") == 2
            for other in cluster.nodes:
                with other.connect(20) as reader:
                    assert reader.ask("GET", "item:a") == theirs
            assert database.rows("items")[b"item:a"] == theirs
            assert connection.ask("REPLIGO.INVALIDATE", "item:a") == 1
            assert connection.ask("REPLIGO.INVALIDATE", "item:a") == 0


def test_a_write_that_waits_for_the_database_is_not_dropped(mapped):
    cluster, database = mapped
    with cluster.leader().connect(30) as writer, cluster.leader().connect(30) as other:
        assert writer.ask("SET", "item:slow", "before") == b"OK"
        lock = database.open()
        lock.execute("BEGIN IMMEDIATE")
        try:
            writer.send(b"*3\r\n$3\r\nSET\r\n$9\r\nitem:slow\r\n$5\r\nafter\r\n")
            info = lambda: other.ask("INFO", "origin")  # noqa: E731
            wait_until("the write waits", lambda: b"origin_writes_pending:1\r\n" in info(), 10)
            assert other.ask("REPLIGO.INVALIDATE", "item:slow") == 1
        finally:
            lock.execute("ROLLBACK")
            lock.close()
        assert writer.read().raw == b"+OK\r\n"
        assert other.ask("GET", "item:slow") == b"after"
        assert database.rows("items")[b"item:slow"] == b"after"


def test_what_has_no_row_is_refused_and_nothing_is_dropped(mapped):
    cluster, database = mapped
    with cluster.leader().connect(20) as connection:
        assert connection.ask("SET", "item:kept", "1") == b"OK"
        assert connection.ask("SET", "plain", "1") == b"OK"
        change(database, "kept", b"2")
        reply = connection.call("REPLIGO.INVALIDATE", "item:kept", "plain").raw
        assert reply.startswith(b"-ERR REPLIGO.INVALIDATE drops cached copies of rows, and key 'plain'"), reply
        assert b"use DEL" in reply
        assert connection.ask("GET", "item:kept") == b"1"
        assert connection.ask("GET", "plain") == b"1"
        assert connection.call("REPLIGO.INVALIDATE").raw.startswith(b"-ERR wrong number of arguments")
        many = [f"item:{number}" for number in range(513)]
        assert b"at most 512 keys" in connection.call("REPLIGO.INVALIDATE", *many).raw
        assert connection.ask("MULTI") == b"OK"
        connection.ask("REPLIGO.INVALIDATE", "plain")
        replies = connection.call("EXEC")
        assert b"not possible in MULTI" in replies.raw, replies
