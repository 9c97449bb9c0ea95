"""The schema of the database changes under running nodes: the right word at once, and all is well again after."""

import contextlib
import time

import pytest

from faults.database import mapped_cluster
from support.waiting import quickest, wait_until


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """A cluster with a mapped keyspace, and its database; deadlines are the defaults."""
    with mapped_cluster(tmp_path_factory.mktemp("schema")) as pair:
        yield pair


def alter(database, change):
    with contextlib.closing(database.open()) as connection:
        connection.execute(f"ALTER TABLE items {change}")
        connection.commit()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("at", ["leader", "follower"])
def test_a_write_that_no_mapping_fits_is_refused_at_once_and_taken_when_it_fits_again(mapped, at):
    cluster, database = mapped
    leader = cluster.leader()
    node = leader if at == "leader" else cluster.followers(leader)[0]
    with node.connect(20) as connection:
        assert connection.ask("SET", "item:a", "1") == b"OK"
        alter(database, "RENAME COLUMN value TO other")

        def refused():
            for words in [("SET", "item:a", "2"), ("SET", "item:b", "2"), ("GET", "item:absent")]:
                told = connection.call(*words).raw
                assert told.startswith(b"-ORIGINDOWN the mapping of keyspace items does not fit"), told
                assert b"nothing was done" in told, told

        assert quickest(refused) < 3
        assert connection.ask("GET", "item:a") == b"1", "what is cached is read"
        alter(database, "RENAME COLUMN other TO value")
        wait_until("it is used again", lambda: connection.call("SET", "item:a", "3").raw == b"+OK\r\n", 10, pause=0.1)
        assert database.rows("items") == {b"item:a": b"3"}, "nothing of the refused writes came later"
        assert connection.ask("DEL", "item:a") == 1


@pytest.mark.timeout(60)
def test_a_write_on_its_way_is_told_within_seconds_when_its_database_goes_away(mapped):
    cluster, database = mapped
    with cluster.leader().connect(20) as connection:
        assert connection.ask("SET", "item:c", "1") == b"OK"
        away = database.path.with_name("away.db")
        database.path.rename(away)
        start = time.monotonic()
        told = connection.call("SET", "item:c", "2").raw
        assert told.startswith(b"-UNKNOWN ") and b"does not exist" in told, told
        # Long before the flush deadline of 30 s.
        assert time.monotonic() - start < 20

        def refused():
            unread = connection.call("GET", "item:absent").raw
            assert unread.startswith(b"-ORIGINDOWN ") and b"does not exist" in unread, unread

        assert quickest(refused) < 1
        away.rename(database.path)
