"""Hostile clients: a clear error or a closed connection, bounded memory, and others unharmed."""

import resource
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.nodes import Cluster
from support.resp import encode
from support.waiting import quickest, wait_until
from support.wire import Closed, Connection

IDLE = 10_000
_MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One node with a small limit for unread replies."""
    extra = ("--output-buffer-limit", "16MiB", "--proto-max-bulk-len", "4MiB", "--output-stall-seconds", "3")
    with Cluster(tmp_path_factory.mktemp("hostile"), nodes=1, extra=extra) as cluster:
        yield cluster.nodes[0]


@pytest.fixture(autouse=True)
def others_are_unharmed(server):
    """A client that was there before is answered after; the process is the same."""
    pid = server.pid
    with server.connect() as other:
        other.ask("SET", "other", "here")
        yield

        def answered():
            assert other.ask("GET", "other") == b"here"

        assert quickest(answered) < 2
    assert server.pid == pid


def info(connection):
    lines = connection.ask("INFO", "stats").decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


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
        (b"*2147483648\r\n", b"-ERR Protocol error: invalid multibulk length"),
        (b"*2147483647\r\n", b"-ERR Protocol error: too big request"),
        (b"*99999999999999999999\r\n", b"-ERR Protocol error: invalid multibulk length"),
        (b"*x\r\n", b"-ERR Protocol error: invalid multibulk length"),
        (b"*1\r\n$-2\r\n", b"-ERR Protocol error: invalid bulk length"),
        (b"*1\r\n$18446744073709551615\r\n", b"-ERR Protocol error: invalid bulk length"),
        (b"*1\r\n$4194305\r\n", b"-ERR Protocol error: invalid bulk length"),
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
            connection.send(b"*1000000\r\n$3\r\nSET\r\n$1\r\nk\r\n$4194304\r\nabc")
        time.sleep(0.5)
        assert memory(server) < before + 32 * _MIB


def test_one_byte_at_a_time(server):
    with server.connect() as connection:
        for byte in encode(("SET", "slow", "value")) + b"GET slow\r\n":
            connection.send(bytes([byte]))
            time.sleep(0.05)
        assert [reply.raw for reply in connection.read_all(2)] == [b"+OK\r\n", b"$5\r\nvalue\r\n"]


def send_unread(connection, request, bytes_max, seconds):
    """Sends the same request over and over and reads nothing, until nobody takes it any more."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.socket.settimeout(0.5)
    sent, deadline = 0, time.monotonic() + seconds
    while sent < bytes_max and time.monotonic() < deadline:
        try:
            connection.send(request)
        except OSError:
            # Nobody reads our requests any more, or it hung up: both bound the memory.
            break
        sent += len(request)
    return sent


@pytest.mark.parametrize("behind_writes", [False, True])
def test_a_pipeline_whose_replies_nobody_reads(server, behind_writes):
    before = memory(server)
    with server.connect() as connection, server.connect() as other:
        connection.ask("SET", "large", b"x" * 100_000)
        request = encode(("GET", "large")) * 2_000
        if behind_writes:
            request = encode(("SET", "small", "x")) + request
        peak, took, over = before, [], threading.Event()

        def watch():
            nonlocal peak
            while not over.is_set():
                start = time.monotonic()
                other.ask("SET", "served", "meanwhile")
                assert other.ask("GET", "served") == b"meanwhile"
                took.append(time.monotonic() - start)
                peak = max(peak, memory(server))
                time.sleep(0.005)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            # Up to 1 GiB of requests, for 4 TiB of replies.
            sent = send_unread(connection, request, 1 << 30, 5)
            time.sleep(0.5)
        finally:
            over.set()
            watcher.join()
    assert sent < 64 * _MIB, "requests are not read without an end"
    # One round of replies that ride on a write, and the unsent bytes.
    assert peak < before + 64 * _MIB, (before, peak, sent)
    # Whom the pipeline held up would wait most of the time; a busy machine delays a few.
    assert sorted(took)[len(took) * 9 // 10] < 1.0, sorted(took)[-5:]
    wait_until("the memory is given back", lambda: memory(server) < before + 32 * _MIB)


def test_who_waits_with_reading_gets_every_reply(server):
    with server.connect() as connection:
        connection.ask("SET", "large", b"x" * 100_000)
        connection.send(encode(("GET", "large")) * 2_000)
        time.sleep(1.0)
        replies = connection.read_all(2_000, 60)
        assert all(len(reply.raw) == 100_011 for reply in replies)


def test_who_reads_nothing_is_disconnected_and_nobody_else(server):
    count = 300
    request = encode(("GET", "large"))
    disconnections = "client_output_buffer_limit_disconnections"
    with server.connect() as stuck, server.connect() as slow, server.connect() as idle:
        slow.ask("SET", "large", b"x" * 100_000)
        before = int(info(slow)[disconnections])
        slow.send(request * count)
        send_unread(stuck, request * 2_000, 1 << 30, 2)
        start = time.monotonic()
        replies = []
        # A little now and then is enough.
        while int(info(idle)[disconnections]) == before and time.monotonic() < start + 15:
            replies += slow.read_all(1, 10)
            time.sleep(0.3)
        print(f"disconnected {time.monotonic() - start:.1f} s after it stopped sending")
        assert int(info(idle)[disconnections]) == before + 1
        stuck.socket.settimeout(5)
        with pytest.raises(OSError):
            for _ in range(100):
                stuck.socket.sendall(request * 2_000)
        replies += slow.read_all(count - len(replies), 60)
        assert len(replies) == count and all(len(reply.raw) == 100_011 for reply in replies)


def test_a_reply_above_the_output_limit_ends_its_client_alone(server):
    with server.connect() as connection, server.connect() as other:
        connection.ask("SET", "large", b"x" * 100_000)
        connection.send(encode(("MULTI",)) + encode(("GET", "large")) * 400 + encode(("EXEC",)))
        with pytest.raises(Closed):
            connection.read_all(402, 20)
        assert other.ask("PING") == b"PONG"


# On an I/O thread a connection has a place on both sides, and batches are as large as many of them at once make them.
@pytest.mark.parametrize(("workers", "bytes_max"), [(1, 2000), (2, 3000)])
def test_ten_thousand_idle_connections(tmp_path, workers, bytes_max):
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed[1] < IDLE + 500:
        pytest.skip(f"this process may open {allowed[1]} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed[1], allowed[1]))
    extra = ("--maxclients", str(IDLE + 100), "--workers", str(workers), "--workers-busy-percent", "0")
    with Cluster(tmp_path, nodes=1, extra=extra) as cluster, ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, allowed)
        node = cluster.nodes[0]
        before = memory(node)
        connections = [stack.enter_context(Connection(node.address)) for _ in range(IDLE)]
        for request, reply in ((("PING",), b"+PONG\r\n"), (("SET", "k", "v"), b"+OK\r\n"), (("GET", "k"), b"$1\r\nv\r\n")):
            for connection in connections:
                connection.send(encode(request))
            assert all(connection.read(30).raw == reply for connection in connections)
        cost = memory(node) - before
        print(f"{cost / IDLE:.0f} bytes per idle connection")
        assert cost < bytes_max * IDLE, f"{cost / IDLE:.0f} bytes per idle connection"


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


def test_a_key_named_again_and_again_does_not_fill_the_memory(server):
    value = b"v" * (4 * _MIB)
    many = encode(("MGET", *["big"] * 300))
    with server.connect(60) as client:
        assert client.ask("SET", "big", value) == b"OK"
        client.send(many)
        assert client.read(60).raw.startswith(b"-ERR the reply would have more than 1 GiB")
        # Behind a write of its own connection it is executed in the log's order.
        client.send(encode(("SET", "small", "1")) + many)
        assert client.read(60).raw == b"+OK\r\n"
        assert client.read(60).raw.startswith(b"-ERR the reply would have more than 1 GiB")
        client.send(encode(("MULTI",)) + many + encode(("SET", "small", "2")) + encode(("EXEC",)))
        replies = [client.read(60).raw for _ in range(4)]
        assert replies[3].startswith(b"-UNKNOWN the reply would have more than 1 GiB")
        assert client.ask("GET", "small") == b"2"
        assert client.ask("DEL", "big", "small") == 2
    wait_until("its memory is given back", lambda: memory(server) < 512 * _MIB, 20)
