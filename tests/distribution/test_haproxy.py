"""`packaging/haproxy/haproxy.cfg` before a cluster: one address that stays while nodes die and hang."""

import contextlib
import threading
import time

import pytest

from documents.blocks import blocks, file_name
from support.nodes import Cluster
from support.processes import ROOT, Process, run_tool
from support.programs import haproxy
from support.redis_server import free_port
from support.waiting import wait_until
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
    text = CONFIG.read_text().replace("inter 500ms fastinter 200ms fall 3", "inter 200ms fall 2")
    text = text.replace("timeout check 800ms", "timeout check 5s")
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
    harm(clients)
    for client in clients:
        client.stop()
    return clients


def test_the_page_shows_the_file_that_is_tested():
    assert f"```haproxy\n{CONFIG.read_text()}```" in (ROOT / "docs/connect.md").read_text()


@pytest.mark.timeout(120)
def test_connections_to_other_nodes_are_held_while_a_leader_is_elected(balanced):
    cluster, address = balanced
    leader = cluster.leader()

    def harm(_):
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

    def harm(_):
        leader.kill()
        time.sleep(3)

    clients = under_load(address, harm)
    # One cut for whoever was at the node that died; nobody else is cut.
    cuts = sorted(client.cuts for client in clients)
    assert cuts[: CLIENTS // 2] == [0] * (CLIENTS // 2) and cuts[-1] <= 2, cuts
    assert not any(client.refusals for client in clients)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("role", ["leader", "follower"])
def test_connections_to_a_node_that_hangs_are_cut_and_served_elsewhere(balanced, role):
    cluster, address = balanced
    hanging = cluster.leader() if role == "leader" else cluster.followers()[0]

    def harm(clients):
        hanging.pause()
        frozen = time.monotonic()
        # The page says 3.5 s for the check; a leader takes an election with it, and the machine may be busy.
        wait_until("all are served elsewhere", lambda: all(client.last > frozen + 2 for client in clients), 8)
        for _ in range(CLIENTS):
            assert ask(address), "new connections go to nodes that answer"

    clients = under_load(address, harm)
    hanging.resume()
    affected = [client for client in clients if client.cuts]
    assert affected, "the balancer had given connections to every node"
    assert len(affected) <= CLIENTS // 2, "connections to the other nodes stay, also during an election"
    assert not any(client.refusals for client in clients)


def test_the_lines_for_a_password_are_right(tmp_path):
    """They stand in a comment, so nothing else reads them."""
    page = blocks("docs/connect.md")
    text = next(block.text for block in page if block.language == "haproxy" and file_name(block) == "ping.cfg")
    with_password = text.replace("    # tcp-check ", "    tcp-check ")
    assert 'tcp-check send "AUTH ' in with_password and with_password.count("tcp-check expect") == 2
    config = tmp_path / "ping.cfg"
    config.write_text(with_password)
    program, environment = haproxy()
    code, output, errors = run_tool([program, "-c", "-f", config], env=environment)
    assert code == 0, (output + errors).decode()
