"""`packaging/haproxy/haproxy.cfg` before a cluster: one address that stays while nodes die and hang."""

import contextlib
import threading
import time

import pytest

from support.nodes import Cluster
from support.processes import ROOT, Process
from support.programs import haproxy
from support.redis_server import free_port
from support.wire import Connection

CONFIG = ROOT / "packaging/haproxy/haproxy.cfg"
CLIENTS = 6


class Client(threading.Thread):
    """Writes through the balancer until it is stopped; remembers what it was told and when it was cut off."""

    def __init__(self, address, name):
        super().__init__(daemon=True)
        self.address, self.name = address, name
        self.acked, self.cuts, self.refusals, self.longest = 0, 0, [], 0.0
        self.ended = threading.Event()
        self.last = time.monotonic()

    def run(self):
        while not self.ended.is_set():
            try:
                with Connection(self.address, 15.0) as connection:
                    self.write(connection)
            except OSError:
                self.cuts += 1
                time.sleep(0.05)

    def write(self, connection):
        while not self.ended.is_set():
            reply = connection.call("SET", self.name, str(self.acked)).value
            if reply.kind in "-!":
                self.refusals.append(reply)
                continue
            now = time.monotonic()
            self.longest, self.last = max(self.longest, now - self.last), now
            self.acked += 1
            time.sleep(0.01)

    def stop(self):
        self.ended.set()
        self.join(20)
        assert not self.is_alive()


@contextlib.contextmanager
def balance(tmp_path, text):
    """HAProxy with this configuration before a cluster of its own, and the address of both."""
    with Cluster(tmp_path / "cluster") as cluster:
        port = free_port()
        text = text.replace("127.0.0.1:6380", f"127.0.0.1:{port}")
        for number, node in enumerate(cluster.nodes, 1):
            admin = node.admin.rpartition(":")[2]
            text = text.replace(f"127.0.0.1:700{number} check port 800{number}", f"{node.address} check port {admin}")
        assert ":700" not in text and ":800" not in text
        config = tmp_path / "haproxy.cfg"
        config.write_text(text)
        program, environment = haproxy()
        # -db: in the foreground, so that it ends with the test.
        process = Process([program, "-db", "-f", config], tmp_path / "haproxy.log", env=environment)
        address = f"127.0.0.1:{port}"
        process.wait_for("haproxy answers", lambda: ask(address), 10)
        yield cluster, address
        process.stop()


@pytest.fixture
def balanced(tmp_path):
    with balance(tmp_path, CONFIG.read_text()) as pair:
        yield pair


@pytest.fixture
def hastily_balanced(tmp_path):
    """Two failed checks within less than an election cut what stands; a slow answer is none that failed."""
    text = CONFIG.read_text().replace("inter 1s fall 6", "inter 200ms fall 2")
    text = text.replace("mode tcp", "mode tcp\n    timeout check 5s")
    assert "inter 200ms fall 2" in text and "timeout check 5s" in text
    with balance(tmp_path, text) as pair:
        yield pair


def ask(address):
    with Connection(address, 2.0) as connection:
        return connection.ask("PING") == b"PONG"


def under_load(address, harm):
    clients = [Client(address, f"client-{number}") for number in range(CLIENTS)]
    for client in clients:
        client.start()
    time.sleep(1)
    harm()
    for client in clients:
        client.stop()
    return clients


def test_the_page_shows_the_file_that_is_tested():
    assert f"```haproxy\n{CONFIG.read_text()}```" in (ROOT / "docs/connect.md").read_text()


@pytest.mark.timeout(120)
def test_connections_to_other_nodes_are_held_while_a_leader_is_elected(balanced):
    cluster, address = balanced
    leader = cluster.leader()

    def harm():
        leader.kill()
        time.sleep(6)

    clients = under_load(address, harm)
    held = [client for client in clients if client.cuts == 0]
    # Each node had its share of the connections: those of the dead one broke once and went elsewhere.
    assert len(held) >= CLIENTS // 2, [client.cuts for client in clients]
    for client in clients:
        assert not client.refusals, client.refusals[:3]
        assert client.longest < 6, "an election, not a timeout of the balancer"
    assert sum(client.acked for client in clients) > 100


@pytest.mark.timeout(120)
def test_an_election_cuts_nothing_even_where_two_quick_checks_decide(hastily_balanced):
    cluster, address = hastily_balanced
    leader = cluster.leader()

    def harm():
        leader.kill()
        time.sleep(3)

    clients = under_load(address, harm)
    # One cut for whoever was at the node that died; nobody else is cut.
    cuts = sorted(client.cuts for client in clients)
    assert cuts[: CLIENTS // 2] == [0] * (CLIENTS // 2) and cuts[-1] <= 2, cuts
    assert not any(client.refusals for client in clients)


@pytest.mark.timeout(120)
def test_connections_to_a_node_that_hangs_are_cut_and_served_elsewhere(balanced):
    cluster, address = balanced
    hanging = cluster.followers()[0]

    def harm():
        hanging.pause()
        time.sleep(12)

    clients = under_load(address, harm)
    hanging.resume()
    affected = [client for client in clients if client.cuts]
    assert affected, "the balancer had given connections to every node"
    for client in clients:
        assert time.monotonic() - client.last < 5, "nobody is stuck at the end"
    assert all(client.longest < 12 for client in affected)
