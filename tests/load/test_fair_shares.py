"""Fair shares of a node's queue: a large writer is paused by back-pressure, and nobody is refused for it."""

import statistics
import threading
import time

import pytest
from support.nodes import Cluster
from support.resp import encode

_MIB = 1 << 20
LARGE = encode(("SET", "large", b"x" * _MIB))


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("single"), nodes=1) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("three")) as cluster:
        yield cluster


@pytest.fixture(params=["single node", "leader", "follower"])
def node(request):
    if request.param == "single node":
        return request.getfixturevalue("single").nodes[0]
    cluster = request.getfixturevalue("three")
    leader = cluster.leader()
    return leader if request.param == "leader" else cluster.followers(leader)[0]


class Writer(threading.Thread):
    """Sends large writes on one connection without waiting for their answers."""

    def __init__(self, node, count):
        super().__init__(daemon=True)
        self.connection = node.connect(120.0)
        self.count = count

    def run(self):
        for _ in range(self.count):
            self.connection.send(LARGE)

    def replies(self):
        return [self.connection.read(120.0).raw for _ in range(self.count)]

    def read_into(self, results):
        for _ in range(self.count):
            results.append(self.connection.read(120.0).raw)


def test_600_large_writes_on_one_connection_are_all_taken(node):
    writer = Writer(node, 600)
    writer.start()
    replies = writer.replies()
    writer.join()
    assert set(replies) == {b"+OK\r\n"}, {reply[:60] for reply in replies}
    assert writer.connection.ask("STRLEN", "large") == _MIB


def test_small_writes_beside_large_writers_are_quick_and_never_refused(node):
    writers = [Writer(node, 150) for _ in range(3)]
    results = []
    readers = [threading.Thread(target=writer.read_into, args=(results,)) for writer in writers]
    for thread in [*writers, *readers]:
        thread.start()
    latencies, overtaken = [], []
    with node.connect(60.0) as other:
        while any(reader.is_alive() for reader in readers):
            start, before = time.monotonic(), len(results)
            assert other.call("SET", "small", "v").raw == b"+OK\r\n"
            latencies.append(time.monotonic() - start)
            overtaken.append(len(results) - before)
            time.sleep(0.005)
    assert len(results) == 450 and set(results) == {b"+OK\r\n"}, {reply[:60] for reply in results}
    median, worst = statistics.median(latencies), max(latencies)
    print(f"{len(latencies)} small writes: median {median * 1e3:.1f} ms, longest {worst * 1e3:.0f} ms")
    # Before each of them are a few megabytes, not everything that the large writers have to say. That is counted in
    # large writes that were answered meanwhile, which a slow machine does not change.
    assert statistics.median(overtaken) <= 32, sorted(overtaken)


def test_order_holds_on_a_connection_that_is_paused(node):
    count = 60
    with node.connect(120.0) as connection:
        connection.ask("DEL", "counter")
        block = LARGE + encode(("INCR", "counter")) + encode(("GET", "counter")) + encode(("STRLEN", "large"))
        block += encode(("MULTI",)) + LARGE + encode(("INCR", "counter")) + encode(("EXEC",))
        sender = threading.Thread(target=lambda: [connection.send(block) for _ in range(count)], daemon=True)
        sender.start()
        for number in range(count):
            replies = [connection.read(120.0).value.plain() for _ in range(8)]
            first = 2 * number + 1
            expected = [b"OK", first, b"%d" % first, _MIB, b"OK", b"QUEUED", b"QUEUED", [b"OK", first + 1]]
            assert replies == expected
        sender.join()
