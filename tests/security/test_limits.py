"""What strangers and clients may take of a node: a budget of their own, and never the data."""

import socket
import subprocess
import time
from contextlib import ExitStack

import pytest

from support.nodes import Cluster, binary
from support.processes import Process
from support.redis_server import free_port
from support.resp import encode
from support.waiting import wait_until
from support.wire import Closed, Connection

HOST = "127.0.0.1"
MIB = 1 << 20
PASSWORD = "secret"
AUTH = encode(("AUTH", PASSWORD))
# The largest request that a stranger may begin, without its last byte.
PARTIAL = encode(("AUTH", *["x" * 16_384] * 9))[:-1]


def info(connection, section="stats"):
    lines = connection.ask("INFO", section).decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def fill(connection, keys, size):
    """As many keys, and none of them evicted."""
    for start in range(0, keys, 500):
        numbers = range(start, min(keys, start + 500))
        connection.send(b"".join(encode(("SET", f"k{number}", b"v" * size)) for number in numbers))
        assert all(reply.raw == b"+OK\r\n" for reply in connection.read_all(len(numbers), 60))
    assert connection.ask("DBSIZE") == keys


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    extra = ("--durability", "none", "--requirepass", PASSWORD, "--login-seconds", "2", "--maxclients", "300")
    extra += ("--maxmemory", "64MiB", "--maxmemory-policy", "allkeys-lru", "--maxmemory-clients", "16MiB")
    with Cluster(tmp_path_factory.mktemp("limits"), nodes=1, extra=extra, password=PASSWORD) as cluster:
        yield cluster.nodes[0]


@pytest.mark.timeout(60)
def test_what_strangers_send_evicts_nothing_and_is_closed(node):
    with node.connect() as client, ExitStack() as stack:
        fill(client, 3000, 8_000)
        strangers = [stack.enter_context(Connection(node.address)) for _ in range(250)]
        for stranger in strangers:
            # What is too much is closed, also while it is still being sent.
            try:
                stranger.send(PARTIAL)
            except ConnectionError:
                pass
        # Forty megabytes of half requests are on their way: no more than a few may stay.
        wait_until("most of them are closed", lambda: int(info(client, "clients")["connected_clients"]) < 100, 10)
        assert client.ask("DBSIZE") == 3000
        assert info(client)["evicted_keys"] == "0"
        assert client.ask("SET", "k0", "v") == b"OK"
        # Who is left has a deadline.
        wait_until("all of them are closed", lambda: info(client, "clients")["connected_clients"] == "1", 10)
        assert int(info(client)["login_timeouts"]) > 0
        client.ask("FLUSHALL")


@pytest.mark.timeout(60)
def test_a_stranger_has_seconds_and_who_logged_in_has_not(node):
    with Connection(node.address) as stranger, node.connect() as client:
        start = time.monotonic()
        with pytest.raises(Closed):
            stranger.read(10)
        assert 1.5 < time.monotonic() - start < 6
        assert client.call("PING").raw == b"+PONG\r\n"
        # After RESET it is a stranger anew, with as much time.
        assert client.call("RESET").raw == b"+RESET\r\n"
        assert client.call("GET", "k").raw.startswith(b"-NOAUTH")
        assert client.call("AUTH", PASSWORD).raw == b"+OK\r\n"


@pytest.mark.timeout(60)
def test_strangers_make_way_for_who_comes_after_them(node):
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(Connection(node.address))
        for _ in range(20):
            stack.enter_context(node.connect())


@pytest.mark.timeout(60)
def test_unread_replies_evict_nothing_and_the_largest_client_goes(node):
    with node.connect() as client, ExitStack() as stack:
        fill(client, 10, 1_000_000)
        fill(client, 2000, 8_000)
        names = [f"k{number}" for number in range(10)]
        for name in names:
            client.ask("SET", name, b"v" * 1_000_000)
        keys = client.ask("DBSIZE")
        small = stack.enter_context(node.connect())
        kept = stack.enter_context(node.connect())
        assert kept.ask("CLIENT", "NO-EVICT", "ON") == b"OK"
        kept.send(encode(("MGET", *names)))
        greedy = [stack.enter_context(node.connect()) for _ in range(12)]
        for connection in greedy:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.send(encode(("MGET", *names)))
        wait_until("the largest are closed", lambda: int(info(client)["evicted_clients"]) > 0, 10)
        for number in range(50):
            assert client.ask("SET", f"k{number + 20}", b"w" * 8_000) == b"OK"
        assert small.call("PING").raw == b"+PONG\r\n"
        assert len(kept.read(20).raw) > 10_000_000, "who asked not to be closed is not"
        assert client.ask("DBSIZE") == keys and info(client)["evicted_keys"] == "0"
        client.ask("FLUSHALL")


@pytest.mark.timeout(60)
def test_queues_and_watches_of_clients_have_the_same_budget(node):
    with node.connect() as client, ExitStack() as stack:
        before = int(info(client)["evicted_clients"])
        queues = [stack.enter_context(node.connect()) for _ in range(6)]
        for connection in queues:
            connection.send(encode(("MULTI",)) + encode(("SET", "k", b"v" * MIB)) * 4)
        wait_until("the largest are closed", lambda: int(info(client)["evicted_clients"]) > before, 10)
        before = int(info(client)["evicted_clients"])
        watchers = [stack.enter_context(node.connect()) for _ in range(6)]
        for connection in watchers:
            for part in range(4):
                connection.send(encode(("WATCH", *[f"{part}:{n}:{'w' * 1000}" for n in range(1000)])))
        wait_until("watchers, too", lambda: int(info(client)["evicted_clients"]) > before, 10)
        assert info(client)["evicted_keys"] == "0"


@pytest.mark.timeout(30)
def test_copies_in_the_slow_log_are_counted_and_bounded(node):
    with node.connect() as client:
        assert client.ask("CONFIG", "SET", "slowlog-log-slower-than", "0", "slowlog-max-len", "1000000") == b"OK"
        request = encode(("DEL", *[f"{n}:{'x' * 120}" for n in range(31)]))
        for _ in range(20):
            client.send(request * 500)
            client.read_all(500, 20)
        counted = int(info(client, "memory")["mem_clients_normal"])
        kept = client.ask("SLOWLOG", "LEN")
        assert client.ask("CONFIG", "SET", "slowlog-log-slower-than", "-1", "slowlog-max-len", "128") == b"OK"
        client.ask("SLOWLOG", "RESET")
        # An eighth of the budget, at four kilobytes and a half each.
        assert 100 < kept < 1000 and counted > kept * 3_000


def test_the_budget_is_a_parameter_as_in_redis(node):
    with node.connect() as client:
        assert client.ask("CONFIG", "GET", "maxmemory-clients") == [b"maxmemory-clients", str(16 * MIB).encode()]
        for given, shown in (("5%", b"5%"), ("20mb", b"20971520"), ("0", b"0"), ("16777216", b"16777216")):
            assert client.ask("CONFIG", "SET", "maxmemory-clients", given) == b"OK"
            assert client.ask("CONFIG", "GET", "maxmemory-clients")[1] == shown
        assert client.call("CONFIG", "SET", "maxmemory-clients", "101%").raw.startswith(b"-ERR CONFIG SET failed")


@pytest.fixture
def narrow(tmp_path):
    """A node that may open few files."""
    ports = [free_port() for _ in range(3)]
    serve = [binary(), "serve", "--listen", f"{HOST}:{ports[0]}", "--admin-listen", f"{HOST}:{ports[1]}"]
    serve += ["--peer-listen", f"{HOST}:{ports[2]}", "--data-dir", tmp_path / "data"]
    process = Process(["sh", "-c", 'ulimit -n 600; exec "$@"', "sh", *serve], tmp_path / "log", env={"PATH": "/bin:/usr/bin"})
    process.wait_for("is ready", lambda: "repligo ready" in (tmp_path / "log").read_text(), 30)
    yield f"{HOST}:{ports[0]}", f"{HOST}:{ports[1]}", tmp_path / "log", process
    process.stop()


@pytest.mark.timeout(60)
def test_idle_connections_take_no_descriptors_of_the_log(narrow):
    address, admin, log, process = narrow
    assert "may open 600 files" in log.read_text()
    host, port = admin.split(":")
    with Connection(address, 30) as client, ExitStack() as stack:
        clients = int(client.ask("CONFIG", "GET", "maxclients")[1])
        assert 10 < clients < 200
        answer = client.call("CONFIG", "SET", "maxclients", "5000").raw
        assert b"The operating system is not able to handle the specified number of clients" in answer
        for _ in range(800):
            stranger = stack.enter_context(socket.socket())
            stranger.settimeout(5)
            stranger.connect((host, int(port)))
        for _ in range(clients - 1):
            stack.enter_context(Connection(address))
        with Connection(address) as late:
            assert late.read().raw.startswith(b"-ERR max number of clients reached")
        # Several segments of the log, and a snapshot.
        for number in range(100):
            assert client.ask("SET", f"k{number % 4}", b"x" * MIB) == b"OK"
        code = subprocess.run(
            ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://{admin}/livez"],
            capture_output=True, text=True, timeout=20, check=False,
        )
        assert code.stdout == "200"
    assert process.is_running() and "Too many open files" not in log.read_text()


@pytest.mark.timeout(30)
def test_an_admin_request_that_does_not_end_is_closed(node):
    host, port = node.admin.split(":")
    with socket.create_connection((host, int(port)), 5) as slow:
        slow.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ")
        slow.settimeout(12)
        start = time.monotonic()
        try:
            while slow.recv(1000):
                pass
        except ConnectionError:
            pass
        assert time.monotonic() - start < 10
