"""Slow commands are seen where users look: SLOWLOG, commandstats and latency histograms, with all of their time."""

import time

import pytest
from support.nodes import Cluster
from support.resp import encode

KEYS = 150_000
_BATCH = 30_000
# Less than any machine takes for so many keys, and more than for one slice of them.
THRESHOLD_US = 2_000
NAMES = [b"key%07d" % number for number in range(KEYS)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("slowlog")) as cluster:
        for node in cluster.nodes:
            with node.connect() as connection:
                connection.ask("CONFIG", "SET", "slowlog-log-slower-than", THRESHOLD_US)
        yield cluster


def fill(connection):
    for first in range(0, KEYS, _BATCH):
        connection.ask("MSET", *[word for name in NAMES[first : first + _BATCH] for word in (name, b"1")])


def microseconds(connection, name):
    """What commandstats says: calls, microseconds, failed and rejected calls."""
    text = connection.ask("INFO", "commandstats").decode()
    for line in text.splitlines():
        if line.startswith(f"cmdstat_{name}:"):
            fields = dict(part.split("=") for part in line.split(":", 1)[1].split(","))
            return {key: float(value) for key, value in fields.items()}
    return None


@pytest.mark.parametrize("role", ["leader", "follower"])
@pytest.mark.parametrize(
    "words",
    [
        ("KEYS", b"key*9"),
        ("EXISTS", *NAMES),
        ("MGET", *NAMES),
        ("UNLINK", *NAMES),
        ("DEL", *NAMES),
    ],
    ids=lambda words: words[0],
)
def test_a_command_over_many_keys_is_in_the_slow_log_with_all_its_slices(cluster, role, words):
    leader = cluster.leader()
    node = leader if role == "leader" else cluster.followers(leader)[0]
    with node.connect(60.0) as connection:
        fill(connection)
        connection.ask("SLOWLOG", "RESET")
        connection.ask("CONFIG", "RESETSTAT")
        began = time.monotonic()
        connection.ask(*words)
        took_us = (time.monotonic() - began) * 1e6
        logged = [entry for entry in connection.ask("SLOWLOG", "GET", "100") if entry[3][0] == words[0].encode()]
        assert len(logged) == 1, logged
        name = words[0].lower()
        stat = microseconds(connection, name)
        print(f"{name} at the {role}: {took_us:.0f} us for the client, {logged[0][2]} us in the slow log")
        assert THRESHOLD_US <= logged[0][2] <= took_us
        assert stat["calls"] == 1
        assert abs(stat["usec"] - logged[0][2]) <= 1
        histogram = connection.ask("LATENCY", "HISTOGRAM", name)
        assert histogram[1][3][-2] >= THRESHOLD_US


def test_exec_is_in_the_slow_log_and_its_commands_in_the_statistics(cluster):
    with cluster.leader().connect(60.0) as connection:
        fill(connection)
        connection.ask("SLOWLOG", "RESET")
        connection.ask("CONFIG", "RESETSTAT")
        connection.send(encode(("MULTI",)) + encode(("MGET", *NAMES)) + encode(("SET", "word", "x")))
        connection.send(encode(("INCR", "word")) + encode(("EXEC",)))
        *_, block = connection.read_all(5, 60)
        assert block.value.kind == "*"
        assert [entry[3] for entry in connection.ask("SLOWLOG", "GET")] == [[b"EXEC"]]
        assert microseconds(connection, "mget")["calls"] == 1
        assert microseconds(connection, "incr")["failed_calls"] == 1
        assert microseconds(connection, "exec")["calls"] == 1
        assert "errorstat_ERR:count=1" in connection.ask("INFO", "errorstats").decode()


def test_reads_of_a_follower_are_in_the_slow_log_when_everything_is(cluster):
    with cluster.followers()[0].connect(60.0) as connection:
        connection.ask("CONFIG", "SET", "slowlog-log-slower-than", "0")
        connection.ask("SLOWLOG", "RESET")
        requests = ["GET k", "MGET k l", "SCAN 0", "DBSIZE", "EXISTS k", "TYPE k", "RANDOMKEY"]
        for request in requests:
            connection.ask(*request.split())
        entries = connection.ask("SLOWLOG", "GET", "100")
        connection.ask("CONFIG", "SET", "slowlog-log-slower-than", THRESHOLD_US)
        logged = [b" ".join(entry[3]).decode() for entry in entries]
        for request in requests:
            assert request in logged, request


def test_a_wrong_number_of_arguments_is_a_rejected_call(cluster):
    with cluster.leader().connect() as connection:
        connection.ask("CONFIG", "RESETSTAT")
        assert connection.call("GETDEL").value.kind == "-"
        stat = microseconds(connection, "getdel")
        assert (stat["calls"], stat["rejected_calls"]) == (0, 1)
