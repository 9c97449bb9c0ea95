"""What is left of a time to live: never more than by the leader's clock at the moment of the answer, never negative."""

import time

import pytest

from .conftest import modes

pytestmark = pytest.mark.skipif("redis" in modes(), reason="judges our nodes, not Redis")
LEFT_MS = 10_000


def now_ms():
    return time.time_ns() // 1_000_000


@pytest.fixture(params=["single", "leader", "follower", "replica reads"])
def connection(request):
    """A connection to each kind of node; all of them read the clock of this machine."""
    if request.param == "single":
        node = request.getfixturevalue("single").nodes[0]
    else:
        cluster = request.getfixturevalue("cluster")
        node = cluster.leader() if request.param == "leader" else cluster.followers()[0]
    with node.connect() as connection:
        if request.param == "replica reads":
            connection.ask("READONLY")
        connection.ask("FLUSHALL")
        yield connection


def is_left(reply, deadline, before):
    """True if `reply` may be what was left at some moment since `before`."""
    return max(0, deadline - now_ms() - 20) <= reply <= deadline - before


def test_no_more_is_left_than_was_given(connection):
    for _ in range(300):
        deadline = now_ms() + LEFT_MS
        connection.ask("SET", "foo", "bar", "PXAT", deadline)
        before = now_ms()
        reply = connection.ask("PTTL", "foo")
        assert is_left(reply, deadline, before), (reply, deadline - before)
        assert connection.ask("PEXPIRETIME", "foo") == deadline
        time.sleep(0.0007)


def test_no_more_is_left_in_a_transaction_than_was_given(connection):
    for _ in range(100):
        deadline = now_ms() + LEFT_MS
        connection.ask("MULTI")
        connection.ask("SET", "foo", "bar", "PXAT", deadline)
        connection.ask("PTTL", "foo")
        before = now_ms()
        reply = connection.ask("EXEC")[1]
        assert is_left(reply, deadline, before), (reply, deadline - before)


def test_what_is_left_goes_down_while_nothing_is_written(connection):
    deadline = now_ms() + LEFT_MS
    connection.ask("SET", "foo", "bar", "PXAT", deadline)
    for _ in range(10):
        time.sleep(0.1)
        before = now_ms()
        reply = connection.ask("PTTL", "foo")
        assert is_left(reply, deadline, before), (reply, deadline - before)
        # Seconds are rounded to the nearest.
        assert abs(connection.ask("TTL", "foo") * 1000 - reply) <= 600


def test_nothing_negative_is_left_of_a_key_that_lives(connection):
    deadline = now_ms() + 300
    connection.ask("SET", "foo", "bar", "PXAT", deadline)
    while (reply := connection.ask("PTTL", "foo")) != -2:
        assert 0 <= reply <= 300
        assert now_ms() < deadline + 5_000
