"""Large values: taken or refused with a clear error, in bounded memory, and never a cluster's end."""

import time
from pathlib import Path

import pytest

from support.nodes import Cluster
from support.resp import encode
from support.waiting import wait_until
from support.wire import Closed

_MIB = 1 << 20
_BULK_MAX = 512 * _MIB
_PATIENCE = 120

pytestmark = pytest.mark.timeout(240)


def memory(node, field="VmRSS"):
    """Bytes that the process has in memory, or had at most (VmHWM)."""
    status = Path(f"/proc/{node.pid}/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) * 1024


def forget_peak(node):
    Path(f"/proc/{node.pid}/clear_refs").write_text("5")


def set_large(node, key, size):
    """SET of a value of `size` bytes without a copy of it on this side; the raw reply."""
    block = bytes(range(256)) * (4 * _MIB // 256)
    with node.connect(_PATIENCE) as connection:
        connection.send(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n" % (len(key), key, size))
        whole, rest = divmod(size, len(block))
        for _ in range(whole):
            connection.send(block)
        connection.send(block[:rest] + b"\r\n")
        return connection.read(_PATIENCE).raw


def get_large(node, key):
    """Bytes of the value that a GET sends, read and thrown away."""
    with node.connect(_PATIENCE) as connection:
        connection.send(encode(("GET", key)))
        connection.socket.settimeout(_PATIENCE)
        head = b""
        while b"\r\n" not in head:
            head += connection.socket.recv(1)
        assert head.startswith(b"$"), head
        size = int(head[1:-2])
        left = size + 2
        buffer = bytearray(_MIB)
        while left:
            count = connection.socket.recv_into(buffer, min(left, len(buffer)))
            assert count, f"closed with {left} bytes missing of {size}"
            left -= count
        return size


def test_the_largest_value_is_taken_and_readable_and_one_byte_more_is_refused(tmp_path):
    with Cluster(tmp_path, nodes=1, extra=("--durability", "none")) as cluster:
        node = cluster.nodes[0]
        before = memory(node)
        assert set_large(node, b"k", _BULK_MAX) == b"+OK\r\n"
        # The stored one, and on the way to it no more than two.
        assert memory(node, "VmHWM") - before < 3.2 * _BULK_MAX
        wait_until("only the stored copy is left", lambda: memory(node) - before < 1.1 * _BULK_MAX)
        forget_peak(node)
        assert get_large(node, "k") == _BULK_MAX
        assert memory(node, "VmHWM") - before < 2.2 * _BULK_MAX
        with node.connect() as connection:
            connection.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % (_BULK_MAX + 1))
            assert connection.read().raw == b"-ERR Protocol error: invalid bulk length\r\n"
            with pytest.raises(Closed):
                connection.read()
        with node.connect() as connection:
            reply = connection.call("APPEND", "k", "x").raw
            assert reply == b"-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"
            assert connection.ask("STRLEN", "k") == _BULK_MAX
            assert connection.ask("DEL", "k") == 1
        wait_until("the memory is given back", lambda: memory(node) - before < _BULK_MAX / 4)


def test_a_configured_limit_holds(tmp_path):
    extra = ("--durability", "none", "--proto-max-bulk-len", "1MiB")
    with Cluster(tmp_path, nodes=1, extra=extra) as cluster:
        node = cluster.nodes[0]
        assert set_large(node, b"k", _MIB) == b"+OK\r\n"
        with node.connect() as connection:
            connection.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % (_MIB + 1))
            assert connection.read().raw == b"-ERR Protocol error: invalid bulk length\r\n"


def test_a_value_of_a_hundred_megabytes_costs_few_copies_with_a_log(tmp_path):
    size = 100 * _MIB
    with Cluster(tmp_path, nodes=1) as cluster:
        node = cluster.nodes[0]
        before = memory(node)
        assert set_large(node, b"k", size) == b"+OK\r\n"
        # The log's record is one more copy while it is written.
        assert memory(node, "VmHWM") - before < 4.2 * size
        wait_until("only the stored copy is left", lambda: memory(node) - before < 1.3 * size)
        forget_peak(node)
        assert get_large(node, "k") == size
        assert memory(node, "VmHWM") - before < 2.3 * size


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("large")) as cluster:
        yield cluster


def test_a_cluster_refuses_what_it_cannot_replicate(three):
    leader = three.leader()
    pids = [node.pid for node in three.nodes]
    for node in (leader, three.followers(leader)[0]):
        reply = set_large(node, b"k", 100 * _MIB)
        assert reply.startswith(b"-ERR the request takes 1048576"), reply
        assert b"replicates at once; not applied" in reply
    with leader.connect() as connection:
        assert connection.ask("GET", "k") is None
        assert connection.ask("SET", "other", "here") == b"OK"
    assert three.leader() is leader
    assert [node.pid for node in three.nodes] == pids


def test_a_cluster_replicates_what_fits(three):
    leader = three.leader()
    size = 30 * _MIB
    assert set_large(leader, b"fits", size) == b"+OK\r\n"
    for node in three.nodes:
        assert get_large(node, "fits") == size
    assert three.leader() is leader


def test_a_transaction_that_cannot_be_replicated_is_refused_as_a_whole(three):
    leader = three.leader()
    value = b"x" * (12 * _MIB)
    with leader.connect(_PATIENCE) as connection:
        assert connection.ask("MULTI") == b"OK"
        for number in range(3):
            assert connection.ask("SET", f"part{number}", value) == b"QUEUED"
        reply = connection.call("EXEC").raw
        assert b"replicates at once; not applied" in reply, reply[:200]
        assert connection.ask("EXISTS", "part0", "part1", "part2") == 0


def test_a_follower_takes_a_value_larger_than_a_message_by_snapshot(tmp_path):
    # The log is so short that the follower is brought up by a snapshot, which has the value in one chunk.
    with Cluster(tmp_path) as cluster:
        leader = cluster.leader()
        behind = cluster.followers(leader)[0]
        behind.kill()
        tail = b"x" * (20 * _MIB)
        with leader.connect(_PATIENCE) as connection:
            for number in range(1, 6):
                assert connection.ask("APPEND", "grown", tail, seconds=_PATIENCE) == number * len(tail)
            # More than the log keeps for a follower that lags.
            for number in range(20):
                assert connection.ask("SET", "filler", tail, seconds=_PATIENCE) == b"OK"
        behind.start(tmp_path / "again.log")

        def caught_up():
            try:
                with behind.connect(5.0) as connection:
                    return connection.ask("STRLEN", "grown") == 5 * len(tail)
            except (OSError, AssertionError):
                return False

        wait_until("the follower has the value", caught_up, 60)
        assert cluster.leader().pid is not None
        time.sleep(0.5)
        assert get_large(behind, "grown") == 5 * len(tail)
