"""The database goes away, is locked, or cannot be written: ORIGINDOWN at once, plain keys unharmed, and recovery."""

import contextlib
import shutil
import time

import pytest

from faults.database import SIDE_FILES, mapped_cluster
from support.waiting import quickest, wait_until

# Short, so that the write that meets the failure is told soon.
_SETTINGS = {"statement_timeout": "1s", "flush_deadline": "3s", "check": "length(value) < 1000"}


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """A cluster with a mapped keyspace, and its database."""
    with mapped_cluster(tmp_path_factory.mktemp("origin"), **_SETTINGS) as pair:
        yield pair


def missing(database):
    return database.gone()


@contextlib.contextmanager
def locked(database):
    connection = database.open()
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.execute("ROLLBACK")
    connection.close()


@contextlib.contextmanager
def unwritable(database):
    """A write version that SQLite does not know makes the file read-only, for root too."""
    with contextlib.closing(database.open()) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    copy = database.path.with_name("copy")
    shutil.copy(database.path, copy)
    with open(copy, "r+b") as file:
        file.seek(18)
        file.write(b"\3")
    with missing(database):
        copy.rename(database.path)
        yield
        for suffix in SIDE_FILES:
            database.path.with_name(database.path.name + suffix).unlink(missing_ok=True)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("harm", [missing, locked, unwritable])
def test_the_origin_is_down_and_comes_back(mapped, harm):
    cluster, database = mapped
    leader = cluster.leader()
    for node in (leader, cluster.followers(leader)[0]):
        with node.connect(45) as connection, node.connect() as plain:
            assert connection.call("SET", "item:a", f"before {harm.__name__}").raw == b"+OK\r\n"
            with harm(database):
                wait_until("plain keys are served", lambda p=plain: p.ask("SET", "plain", "1") == b"OK")
                first = connection.call("SET", "item:a", f"during {harm.__name__}")
                assert first.raw.startswith((b"-ORIGINDOWN ", b"-UNKNOWN ")), first
                # What is cached is served, and from now on writes fail fast.
                assert connection.ask("GET", "item:a") == f"before {harm.__name__}".encode()

                def refused(connection=connection):
                    second = connection.call("SET", "item:b", "x")
                    assert second.raw.startswith(b"-ORIGINDOWN "), second
                    absent = connection.call("GET", f"item:absent {time.monotonic()}").raw
                    # A database that is locked for writing can still be read, and so can one that is read-only.
                    readable = harm is not missing and absent == b"$-1\r\n"
                    assert absent.startswith(b"-ORIGINDOWN ") or readable, absent

                def served(plain=plain):
                    assert plain.ask("SET", "plain", "2") == b"OK"
                    assert plain.ask("GET", "plain") == b"2"

                assert quickest(refused) < 2
                assert quickest(served) < 1
            wait_until(
                "the origin is used again",
                lambda c=connection: c.call("SET", "item:a", f"after {harm.__name__}").raw == b"+OK\r\n",
                30,
                pause=0.2,
            )
            assert database.rows("items")[b"item:a"] == f"after {harm.__name__}".encode()


def test_rows_that_the_database_rejects_harm_nobody_else(mapped):
    cluster, database = mapped
    for node in cluster.nodes:
        with node.connect(20) as connection:
            assert connection.ask("SET", "item:good", node.name) == b"OK"
            reply = connection.call("SET", "item:good", "x" * 2000)
            assert reply.raw.startswith(b"-ERR origin rejected the write") and b"CHECK" in reply.raw, reply
            assert connection.ask("GET", "item:good") == node.name.encode()
            assert connection.ask("SET", "item:next", node.name) == b"OK"
            assert database.rows("items")[b"item:good"] == node.name.encode()
