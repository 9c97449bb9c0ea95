"""A node that is cut off answers what it was sent within the hold, counted from when it came, however much it is."""

import threading
import time

import pytest
from support.nodes import Cluster
from support.resp import encode

# Of the node, from when a request came.
HOLD_SECONDS = 5.0


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A node of three whose two peers are dead."""
    with Cluster(tmp_path_factory.mktemp("hold")) as cluster:
        node = cluster.followers()[0]
        for other in cluster.nodes:
            if other is not node:
                other.kill()
        with node.connect(30.0) as connection:
            assert connection.call("GET", "x").raw.startswith(b"-NOLEADER ")
        yield node


GET = encode(("GET", "x"))
SET = encode(("SET", "x", "y"))


# Reads that wait together, and more bytes than the queue or a socket takes.
@pytest.mark.parametrize(
    ("request_bytes", "count"),
    [(GET, 5_100), (SET, 50_000), (SET + GET, 2_500), (encode(("SET", "x", b"y" * 100_000)), 300)],
    ids=["5100 GETs", "50000 SETs", "2500 SETs and GETs", "300 SETs of 100 kB"],
)
def test_a_pipeline_on_a_node_that_is_cut_off_is_refused_within_two_holds(alone, request_bytes, count):
    replies = count * request_bytes.count(b"*")
    with alone.connect(60.0) as connection:
        begin = time.monotonic()
        sender = threading.Thread(target=connection.send, args=(request_bytes * count,), daemon=True)
        sender.start()
        for number in range(replies):
            assert connection.read(30.0).raw.startswith(b"-NOLEADER "), number
            if number == 0:
                first = time.monotonic() - begin
        last = time.monotonic() - begin
        sender.join(10)
        print(f"{replies} refusals, the first after {first:.2f} s and the last after {last:.2f} s")
        assert HOLD_SECONDS - 0.5 < first and last < 2 * HOLD_SECONDS


def test_every_request_of_a_steady_client_has_its_hold_and_no_more_than_two(alone):
    count, apart_seconds = 120, 0.1
    sent = []

    with alone.connect(60.0) as connection:

        def send():
            for number in range(count):
                sent.append(time.monotonic())
                connection.send(GET if number % 2 else SET)
                time.sleep(apart_seconds)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        waits = []
        for number in range(count):
            assert connection.read(30.0).raw.startswith(b"-NOLEADER ")
            waits.append(time.monotonic() - sent[number])
        sender.join(10)
    print(f"refused after {min(waits):.2f} to {max(waits):.2f} s")
    assert HOLD_SECONDS - 0.5 < min(waits) and max(waits) < 2 * HOLD_SECONDS + 1


def test_a_full_queue_does_not_lengthen_the_hold_of_others(alone):
    large = encode(("SET", "large", b"x" * (1 << 20)))
    with alone.connect(60.0) as full, alone.connect(60.0) as other:
        sender = threading.Thread(target=full.send, args=(large * 40,), daemon=True)
        sender.start()
        time.sleep(1.0)
        begin = time.monotonic()
        other.send(large + GET)
        for _ in range(2):
            assert other.read(30.0).raw.startswith(b"-NOLEADER ")
        took = time.monotonic() - begin
        print(f"refused after {took:.2f} s")
        assert took < 2 * HOLD_SECONDS
        for _ in range(40):
            assert full.read(30.0).raw.startswith(b"-NOLEADER ")
        sender.join(10)
