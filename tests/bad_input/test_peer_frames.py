"""Broken peers with the right certificate: no message ends a node or harms the cluster for good, a refusal tells
nothing of the node, and a peer's words make no lines in the log. Strangers get no frame in: see tests/security.
"""

import contextlib
import json
import random
import socket
import subprocess
import urllib.request

import pytest

from support.nodes import Cluster, binary
from support.pki import Authority, wrap
from support.processes import Process
from support.redis_server import free_port
from support.waiting import wait_until

from . import peers
from .peers import CORE, FORMED, HELLO, REFUSED, Identity

MAX = (1 << 64) - 1
VOTERS = [b"n1", b"n2", b"n3"]
LINKS = 150
FRAMES = 6


@pytest.fixture(scope="module")
def greeting(tmp_path_factory):
    """A node that dials us: what it says first, and what it logs of our answer, which is a forged refusal."""
    folder = tmp_path_factory.mktemp("dialler")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(20)
        own, other = free_port(), listener.getsockname()[1]
        line = f"n1=127.0.0.1:{own},n2=127.0.0.1:{other},n3=127.0.0.1:{free_port()}"
        words = ["serve", "--name", "n1", "--listen", f"127.0.0.1:{free_port()}", "--peer-listen", f"127.0.0.1:{own}"]
        words += ["--admin-listen", f"127.0.0.1:{free_port()}", "--data-dir", folder / "data", "--cluster", line]
        secret = folder / "secret"
        subprocess.run([binary(), "secret", "new", secret], check=True, timeout=20)
        words += ["--cluster-secret-file", secret]
        pair = Authority.of_secret(folder / "pki", secret).issue("n2")
        process = Process([binary(), *words], folder / "n1.log", env={})
        first = None
        for number in range(30):
            plain, _ = listener.accept()
            plain.settimeout(10)
            with wrap(plain, pair, server=True) as stream:
                frame = peers.read_frame(stream)
                # Until it has formed or joined, it asks for a place too, over streams of its own.
                first = frame if frame and frame[0] == HELLO else first
                lies = f"{number}\n1970-01-01 ERROR repligo: forged\x1b[2J".encode() + b"x" * 50_000
                stream.sendall(Identity(0, 2, 1).frame(REFUSED, lies))
        assert process.is_running(), process.tail()
        process.stop()
    kind, _, payload = first
    assert kind == HELLO
    return payload, (folder / "n1.log").read_bytes()


def test_what_a_peer_says_in_a_refusal_makes_no_lines_and_no_floods(greeting):
    _, log = greeting
    assert b"the other node says" in log, log[-2000:]
    assert b"\x1b[2J" not in log and b"\n1970-01-01 ERROR" not in log
    assert max(map(len, log.split(b"\n"))) < 2000 and len(log) < 100_000


def certified(cluster, folder):
    """Certificates of all nodes, issued by who has the secret."""
    authority = Authority.of_secret(folder / "pki", cluster.directory / "dev/cluster.secret")
    return [authority.issue(node.name) for node in cluster.nodes]


@pytest.mark.timeout(60)
def test_a_refusal_tells_nothing(greeting, cluster, tmp_path):
    payload, _ = greeting
    pair = certified(cluster, tmp_path)[0]
    secrets = [f"{_status(cluster)['cluster_id']}".encode(), b"n1", b"n2", b"n3", b"127.0.0.1"]
    fingerprint, level = peers.fingerprint_of(payload), peers.level_of(payload)
    greetings = [
        peers.hello(b"x", [b"x", b"y"], fingerprint, (FORMED, 1), level),
        peers.hello(b"n1", VOTERS, bytes(16), (FORMED, 1), level),
        peers.hello(b"n1", VOTERS, fingerprint, (FORMED, 1), level),
        peers.hello(b"n1", VOTERS, fingerprint, (FORMED, 1), 99),
        b"",
        b"\xff" * 40,
    ]
    for words in greetings:
        with wrap(peers.connect(cluster.nodes[2].peer), pair) as stream:
            stream.sendall(Identity(1, 1, 1).frame(HELLO, words))
            kind, header, answer = peers.read_frame(stream)
            assert kind == REFUSED and peers.read_frame(stream) is None
        assert header[16:] == bytes(40), "cluster id, generation, number and run of the node"
        assert answer and not [secret for secret in secrets if secret in answer], answer


def _status(cluster):
    with contextlib.ExitStack() as stack:
        page = stack.enter_context(urllib.request.urlopen(f"http://{cluster.nodes[0].admin}/api/status", timeout=10))
        return json.load(page)


def _agree(nodes):
    """The digests at one index, when all nodes show the same one."""
    rows = [json.loads(_ask(node, "REPLIGO.STATUS"))["nodes"] for node in nodes]
    own = [next(row for row in found if row["name"] == node.name) for node, found in zip(nodes, rows, strict=True)]
    if len({row["applied_index"] for row in own}) == 1:
        digests = {row["digest"] for row in own}
        assert len(digests) == 1, own
        return digests
    return None


def _ask(node, *words):
    with node.connect(5) as connection:
        return connection.ask(*words)


class Stranger:
    """Greets as some node of the cluster and then says what no correct node says."""

    def __init__(self, cluster, greeting, seed, pairs):
        self.cluster, self.pairs = cluster, pairs
        self.fingerprint, self.level = peers.fingerprint_of(greeting), peers.level_of(greeting)
        self.chance = random.Random(seed)
        self.id = int(_status(cluster)["cluster_id"], 16)
        self.refused = 0

    def number(self):
        # Nothing small: what a correct peer could say is believed, since this one has its certificate.
        return self.chance.choice([MAX, MAX - 1, 1 << 63, (1 << 62) + 1, self.chance.getrandbits(64) | 1 << 63])

    def message(self):
        chance, big = self.chance, self.number()
        kind = chance.randrange(10)
        if kind == 0:
            return peers.consensus(peers.HEARTBEAT, MAX)
        if kind == 1:
            return peers.consensus(peers.HEARTBEAT, (1 << 30) + chance.randrange(1000), commit=big)
        if kind == 2:
            junk = chance.randbytes(chance.randrange(1, 30))
            return peers.consensus(peers.APPEND, big, log_term=1, index=1, entries=[(2, 1, b"\xfe" + junk)])
        if kind == 3:
            return peers.consensus(peers.VOTE, self.number(), log_term=big, index=big)
        if kind == 4:
            return peers.consensus(peers.APPEND_RESPONSE, big, index=self.number())
        if kind == 5:
            return peers.forward(chance.randrange(4), chance.randrange(4), big, self.number())
        if kind == 6:
            # Snapshot messages: begin, chunk, acknowledgement.
            tag = chance.choice([4, 5, 6])
            return bytes([tag]) + peers.varint(big) + peers.varint(self.number()) + chance.randbytes(chance.randrange(9))
        if kind == 7:
            return bytes([0, chance.randrange(14)]) + chance.randbytes(chance.randrange(60))
        if kind == 8:
            return chance.randbytes(chance.randrange(1, 80))
        entries = [(big, big, chance.randbytes(5))] * chance.randrange(3)
        return peers.consensus(chance.randrange(13), big, log_term=big, index=big, commit=big, entries=entries)

    def visit(self):
        chance = self.chance
        victim = chance.randrange(3)
        peer = chance.choice([number for number in (1, 2, 3) if number != victim + 1])
        incarnation = chance.choice([1, 2, 3, MAX, 1 << 63])
        identity = Identity(self.id, peer, incarnation)
        words = peers.hello(VOTERS[peer - 1], VOTERS, self.fingerprint, (FORMED, self.id), self.level)
        plain = peers.connect(self.cluster.nodes[victim].peer)
        with contextlib.suppress(OSError), wrap(plain, self.pairs[peer - 1]) as stream:
            stream.sendall(identity.frame(HELLO, words))
            answer = peers.read_frame(stream)
            if answer is None or answer[0] != HELLO:
                self.refused += 1
                return
            for _ in range(FRAMES):
                frame = bytearray(identity.frame(CORE, self.message()))
                if chance.randrange(6) == 0:
                    frame[chance.randrange(len(frame))] ^= 1 << chance.randrange(8)
                stream.sendall(frame)
            stream.settimeout(0.2)
            while peers.read_frame(stream) is not None:
                pass


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1])
def test_forged_frames_do_no_lasting_harm(greeting, tmp_path, seed):
    payload, _ = greeting
    with Cluster(tmp_path) as cluster:
        pids = [node.pid for node in cluster.nodes]
        leader = cluster.leader()
        for number in range(100):
            _ask(leader, "SET", f"before:{number}", number)
        stranger = Stranger(cluster, payload, seed, certified(cluster, tmp_path))
        for _ in range(LINKS):
            stranger.visit()
        assert [node.pid for node in cluster.nodes] == pids, cluster.logs()
        assert stranger.refused < LINKS, "some greetings were believed"
        logs = cluster.logs(10_000)
        assert "no correct node says this" in logs, logs[-3000:]
        assert len(logs) < 1_000_000
        _works(cluster, "after")
        # What was persisted lets every node start again.
        for node in cluster.nodes:
            node.kill()
        for node in cluster.nodes:
            node.start(tmp_path / f"{node.name}-again.log")
        _works(cluster, "again")
        for number in range(100):
            assert _ask(cluster.nodes[number % 3], "GET", f"before:{number}") == b"%d" % number


def _works(cluster, name):
    """Every node takes writes, and all hold the same."""
    cluster.leader(40)
    for node in cluster.nodes:
        wait_until(f"{node.name} takes writes", lambda node=node: _writes(node, name), 40, pause=0.2)
    wait_until("all nodes agree", lambda: _agree(cluster.nodes), 20, pause=0.1)


def _writes(node, name):
    with node.connect(10) as connection:
        return connection.call("SET", f"{name}:{node.name}", name).raw == b"+OK\r\n"
