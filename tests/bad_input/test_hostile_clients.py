"""Hostile clients: a clear error or a closed connection, bounded memory, and others unharmed."""

import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.nodes import Cluster
from support.resp import encode
from support.waiting import wait_until
from support.wire import Closed, Connection

IDLE = 2000
_MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One node with a small limit for unread replies."""
    extra = ("--output-buffer-limit", "16MiB")
    with Cluster(tmp_path_factory.mktemp("hostile"), nodes=1, extra=extra) as cluster:
        yield cluster.nodes[0]


@pytest.fixture(autouse=True)
def others_are_unharmed(server):
    """A client that was there before is answered after; the process is the same."""
    pid = server.pid
    with server.connect() as other:
        other.ask("SET", "other", "here")
        yield
        start = time.monotonic()
        assert other.ask("GET", "other") == b"here"
        assert time.monotonic() - start < 2
    assert server.pid == pid


def memory(server):
    """Bytes that the process has in memory."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def until_closed(connection, seconds=5):
    """Everything that comes before the server hangs up."""
    replies = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            replies.append(connection.read(seconds).raw)
        except Closed:
            return b"".join(replies)
    raise AssertionError(f"still open after {replies[:3]}")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"*2147483647\r\n", b"-ERR Protocol error: invalid multibulk length"),
        (b"*99999999999999999999\r\n", b"-ERR Protocol error: invalid multibulk length"),
        (b"*x\r\n", b"-ERR Protocol error: invalid multibulk length"),
        (b"*1\r\n$-2\r\n", b"-ERR Protocol error: invalid bulk length"),
        (b"*1\r\n$18446744073709551615\r\n", b"-ERR Protocol error: invalid bulk length"),
        (b"*1\r\n$536870913\r\n", b"-ERR Protocol error: invalid bulk length"),
        (b"*1\r\n:1\r\n", b"-ERR Protocol error: expected '$', got ':'"),
        (b'SET a "b\r\n', b"-ERR Protocol error: unbalanced quotes in request"),
        (b"x" * _MIB, b"-ERR Protocol error: too big inline request"),
        (b"*" + b"1" * _MIB, b"-ERR Protocol error: too big mbulk count string"),
        (b"*1\r\n$" + b"1" * _MIB, b"-ERR Protocol error: too big bulk count string"),
    ],
)
def test_broken_protocol_gets_an_error_and_the_end(server, data, error):
    before = memory(server)
    with server.connect() as connection:
        # What came before the broken request is answered.
        connection.send(encode(("PING",)))
        try:
            connection.send(data)
        except ConnectionError:
            # It hung up while we were still sending.
            pass
        assert until_closed(connection).startswith(b"+PONG\r\n" + error)
    assert memory(server) < before + 16 * _MIB


def test_nested_replies_as_requests_are_refused(server):
    with server.connect() as connection:
        try:
            connection.send(b"*1\r\n" * 200_000)
        except ConnectionError:
            pass
        assert b"Protocol error" in until_closed(connection)


def test_announced_but_unsent_arguments_take_no_memory(server):
    before = memory(server)
    with ExitStack() as stack:
        for _ in range(50):
            connection = stack.enter_context(server.connect())
            connection.send(b"*1000000\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nabc")
        time.sleep(0.5)
        assert memory(server) < before + 32 * _MIB


def test_one_byte_at_a_time(server):
    with server.connect() as connection:
        for byte in encode(("SET", "slow", "value")) + b"GET slow\r\n":
            connection.send(bytes([byte]))
            time.sleep(0.05)
        assert [reply.raw for reply in connection.read_all(2)] == [b"+OK\r\n", b"$5\r\nvalue\r\n"]


def test_a_pipeline_whose_replies_nobody_reads(server):
    before = memory(server)
    with server.connect() as connection:
        connection.ask("SET", "large", b"x" * 100_000)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.socket.settimeout(0.5)
        peak, sent = before, 0
        request = encode(("GET", "large")) * 100
        deadline = time.monotonic() + 5
        # 2 GiB of replies are asked for at most.
        while sent < 20_000 and time.monotonic() < deadline:
            try:
                connection.send(request)
            except OSError:
                # Nobody reads our requests any more, or it hung up: both bound the memory.
                break
            sent += 100
            peak = max(peak, memory(server))
        time.sleep(0.5)
        peak = max(peak, memory(server))
    assert peak < before + 128 * _MIB, (before, peak, sent)
    wait_until("the memory is given back", lambda: memory(server) < before + 96 * _MIB)


def test_thousands_of_idle_connections(server):
    before = memory(server)
    with ExitStack() as stack:
        connections = [stack.enter_context(Connection(server.address)) for _ in range(IDLE)]
        for connection in connections:
            connection.send(encode(("PING",)))
        assert all(connection.read().raw == b"+PONG\r\n" for connection in connections)
        # 16 KiB each is what an idle client may cost.
        assert memory(server) < before + IDLE * 16 * 1024 + 8 * _MIB


def test_noise_on_the_peer_port_and_the_admin_port(tmp_path):
    with Cluster(tmp_path) as cluster:
        leader = cluster.leader()
        for address in (leader.peer, leader.admin):
            host, _, port = address.rpartition(":")
            for noise in (b"\xff" * 100_000, b"GET / HTTP/1.1\r\n\r\n", b"*1\r\n$4\r\nPING\r\n", b"\0" * 64):
                with socket.create_connection((host, int(port)), 5) as stranger:
                    try:
                        stranger.sendall(noise)
                        stranger.settimeout(0.2)
                        stranger.recv(1000)
                    except OSError:
                        continue
        assert cluster.leader() is leader
        with cluster.followers(leader)[0].connect() as connection:
            assert connection.ask("SET", "k", "v") == b"OK"
