"""Commands over many keys: right answers, and no turn of the worker that keeps heartbeats waiting."""

import pytest
from support.nodes import Cluster
from support.resp import encode

KEYS = 300_000
WIDE = 20_000
_BATCH = 20_000


def names(first, count):
    return [b"key%07d" % number for number in range(first, first + count)]


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("slow"), nodes=1, extra=["--durability", "none"]) as cluster:
        with cluster.leader().connect(60.0) as connection:
            for first in range(0, KEYS, _BATCH):
                pairs = [word for name in names(first, _BATCH) for word in (name, name)]
                connection.ask("MSET", *pairs)
            yield connection


@pytest.fixture
def short_turns(connection):
    """Lets the test run and then asks for the longest turn."""
    connection.ask("CONFIG", "RESETSTAT")
    yield
    text = connection.ask("INFO", "stats").decode()
    figures = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    longest = int(figures["worker_busy_cpu_max_usec"])
    print(f"longest turn: {longest} us of CPU time")
    assert longest < 10_000


def test_keys_gives_every_key_once(connection, short_turns):
    found = connection.ask("KEYS", "*")
    assert len(found) == KEYS
    assert set(found) == set(names(0, KEYS))


def test_scan_with_a_huge_count_comes_back_after_a_while(connection, short_turns):
    cursor, found = connection.ask("SCAN", "0", "COUNT", "1000000")
    assert cursor != b"0"
    assert 0 < len(found) < 10_000


def test_wide_reads(connection, short_turns):
    wanted = names(5, WIDE)
    assert connection.ask("MGET", *wanted) == wanted
    assert connection.ask("EXISTS", *wanted, b"nothing") == WIDE
    assert connection.ask("TOUCH", *wanted, b"nothing") == WIDE


def test_few_keys_with_long_values(connection, short_turns):
    value = b"v" * 20_000
    connection.ask("SET", "long", value)
    assert connection.ask("MGET", *["long"] * 100, "nothing") == [value] * 100 + [None]
    connection.send(encode(("SET", "one", "1")) + encode(("MGET", *["long"] * 100, "one")) + encode(("DEL", "one")))
    replies = [reply.value.plain() for reply in connection.read_all(3)]
    assert replies == [b"OK", [value] * 100 + [b"1"], 1]
    assert connection.ask("DEL", "long") == 1


def test_wide_writes(connection, short_turns):
    new = [b"new%07d" % number for number in range(WIDE)]
    pairs = [word for name in new for word in (name, b"1")]
    assert connection.ask("MSET", *pairs) == b"OK"
    assert connection.ask("MSETNX", *pairs) == 0
    assert connection.ask("DEL", *new, b"nothing") == WIDE
    assert connection.ask("MSETNX", *pairs) == 1
    assert connection.ask("UNLINK", *new) == WIDE


def test_a_long_block_is_atomic_and_in_order(connection, short_turns):
    count = WIDE
    requests = [encode(("INCR", "counter")) for _ in range(count)]
    connection.send(encode(("MULTI",)) + b"".join(requests) + encode(("KEYS", "counte*")) + encode(("EXEC",)))
    replies = connection.read_all(count + 3)
    assert replies[0].raw == b"+OK\r\n"
    assert {reply.raw for reply in replies[1:-1]} == {b"+QUEUED\r\n"}
    assert replies[-1].value.plain() == [*range(1, count + 1), [b"counter"]]
    assert connection.ask("DEL", "counter") == 1


def test_a_pipeline_keeps_its_order_around_keys(connection, short_turns):
    before, found, after = encode(("SET", "zz", "1")), encode(("KEYS", "zz*")), encode(("DEL", "zz"))
    connection.send(before + found + after + found)
    replies = [reply.value.plain() for reply in connection.read_all(4)]
    assert replies == [b"OK", [b"zz"], 1, []]


def test_flushing_all_keys(connection, short_turns):
    assert connection.ask("DBSIZE") == KEYS
    assert connection.ask("FLUSHALL") == b"OK"
    assert connection.ask("DBSIZE") == 0
    assert connection.ask("RANDOMKEY") is None
