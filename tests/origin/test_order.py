"""A write may take a unique value that an earlier one gives up, whatever lanes the two rows are in."""

import pytest

from faults.database import mapped_cluster
from support.resp import encode


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """A single node with a mapped table whose values are unique, and its database."""
    with mapped_cluster(tmp_path_factory.mktemp("order"), nodes=1) as (cluster, database):
        with database.open() as connection:
            connection.execute("CREATE UNIQUE INDEX one_of_each ON items(value)")
        yield cluster, database


def test_a_pipeline_hands_a_value_over_between_any_two_lanes(mapped):
    cluster, database = mapped
    names = [f"item:{letter}" for letter in "abcdefgh"]
    with cluster.leader().connect(30) as connection:
        assert connection.ask("SET", names[0], "taken") == b"OK"
        holder = names[0]
        hand_overs = 0
        for taker in [name for _ in range(4) for name in names[1:] + names[:1]]:
            pipeline = [("SET", holder, f"free {hand_overs}"), ("SET", taker, "taken")]
            connection.send(b"".join(encode(words) for words in pipeline))
            replies = [reply.raw for reply in connection.read_all(2)]
            assert replies == [b"+OK\r\n", b"+OK\r\n"], (holder, taker, replies)
            holder = taker
            hand_overs += 1
        assert database.rows("items")[holder.encode()] == b"taken"
        # What is taken is refused all the same.
        other = names[1] if holder != names[1] else names[2]
        reply = connection.call("SET", other, "taken").raw
        assert reply.startswith(b"-ERR origin rejected the write: UNIQUE"), reply


def test_mset_writes_in_the_order_of_its_arguments(mapped):
    cluster, database = mapped
    with cluster.leader().connect(30) as connection:
        assert connection.ask("SET", "item:{t}z", "held") == b"OK"
        # The row that gives the value up comes later by name, and the other way round.
        assert connection.ask("MSET", "item:{t}z", "given up", "item:{t}a", "held") == b"OK"
        assert connection.ask("MSET", "item:{t}a", "given up as well", "item:{t}z", "held") == b"OK"
        assert database.rows("items")[b"item:{t}z"] == b"held"
