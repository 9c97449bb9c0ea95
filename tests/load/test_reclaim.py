"""A million volatile keys: how late they are removed, and that a crowd with one deadline stalls nothing."""

import time

import pytest

from support.nodes import Cluster
from support.waiting import wait_until

KEYS = 1_000_000
_BATCH = 20_000
_OK = b"+OK\r\n"


def load(connection, deadline_of):
    """Sets KEYS keys, each with the deadline, in milliseconds since the epoch, that its number gets."""
    for first in range(0, KEYS, _BATCH):
        requests = b"".join(
            b"*5\r\n$3\r\nSET\r\n$10\r\nkey%07d\r\n$1\r\nx\r\n$4\r\nPXAT\r\n$13\r\n%013d\r\n" % (number, deadline_of(number))
            for number in range(first, first + _BATCH)
        )
        connection.send(requests)
        received = b""
        while len(received) < _BATCH * len(_OK):
            received += connection.socket.recv(1 << 18)
        assert received == _OK * _BATCH


def statistics(connection):
    text = connection.ask("INFO", "stats").decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def wait_for_expiry(connection, seconds):
    wait_until("all keys are removed", lambda: int(statistics(connection)["expired_keys"]) == KEYS, seconds, pause=0.1)


@pytest.fixture
def node(tmp_path):
    with Cluster(tmp_path, nodes=1, extra=["--durability", "none"]) as cluster:
        yield cluster.leader()


def test_a_million_keys_are_removed_soon_after_their_deadlines(node):
    with node.connect(60.0) as connection:
        first_ms = int(time.time() * 1000) + 20_000
        load(connection, lambda number: first_ms + number // 100)
        assert time.time() * 1000 < first_ms, "the machine is too slow to load the keys in time"
        connection.ask("CONFIG", "RESETSTAT")
        wait_for_expiry(connection, 60)
        figures = statistics(connection)
        print({name: figures[name] for name in figures if "lag" in name or "busy" in name})
        assert int(figures["expired_reclaim_lag_p99_ms"]) < 50


def test_a_million_keys_with_one_deadline_stall_nothing(node):
    with node.connect(60.0) as connection:
        deadline_ms = int(time.time() * 1000) + 15_000
        load(connection, lambda _: deadline_ms)
        assert time.time() * 1000 < deadline_ms, "the machine is too slow to load the keys in time"
        connection.ask("SET", "lasting", "1")
        assert connection.ask("DBSIZE") == KEYS + 1
        connection.ask("CONFIG", "RESETSTAT")
        # The clock that decides is smoothed: it may be off by a few milliseconds.
        while time.time() * 1000 <= deadline_ms + 20:
            time.sleep(0.001)
        # At once absent everywhere, and removed little by little.
        assert connection.ask("DBSIZE") == 1
        assert connection.ask("EXISTS", "key0000000", "key0999999", "lasting") == 1
        wait_for_expiry(connection, 60)
        figures = statistics(connection)
        print({name: figures[name] for name in figures if "lag" in name or "busy" in name})
        assert int(figures["worker_busy_cpu_max_usec"]) < 10_000
        assert connection.ask("GET", "lasting") == b"1"
