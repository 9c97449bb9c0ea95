"""Keys chosen against the hash of the table: no slower than others, because nobody is told what keys are hashed with."""

import contextlib
import json
import os
import re
import socket
import time
import urllib.request

import pytest

from faults.reading import assert_held_by_all, settle
from support.nodes import Cluster
from support.resp import encode
from support.waiting import wait_until

SEED_BYTES = 32
# In the log: the length of the op, its tag, and then the seed (crates/core/src/op.rs).
SEED_OP = re.compile(b"\x21\x84(.{32})", re.DOTALL)
WORD = (1 << 64) - 1
KEYS = 20_000


def hash_seed(node):
    """The secret, out of the log of the node, which only who may read its directory can do."""
    for segment in sorted(node.data_dir.glob("wal-*")):
        found = SEED_OP.search(segment.read_bytes())
        if found:
            return found.group(1)
    raise AssertionError(f"{node} has no hash seed in its log")


def status(node):
    with urllib.request.urlopen(f"http://{node.admin}/api/status", timeout=10) as page:
        return json.load(page)


def split_mix(state):
    """The secrets that once followed from a seed of 64 bits."""
    secrets = []
    for _ in range(4):
        state = (state + 0x9E3779B97F4A7C15) & WORD
        mixed = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & WORD
        mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & WORD
        secrets.append((mixed ^ mixed >> 31) | 1)
    return secrets


def attack_keys(cluster_id):
    """Keys that shared one hash when the seed followed from the cluster id: their first half made a product zero."""
    second = split_mix((cluster_id ^ cluster_id >> 64) & WORD)[1]
    return [second.to_bytes(8, "little") + number.to_bytes(8, "little") for number in range(KEYS)]


def seconds_to_set(connection, keys):
    requests = b"".join(encode(("SET", key, "v")) for key in keys)
    begun = time.monotonic()
    connection.send(requests)
    replies = connection.read_all(len(keys), 120)
    taken = time.monotonic() - begun
    assert all(reply.raw == b"+OK\r\n" for reply in replies)
    return taken


def scan(*nodes):
    """All keys in the order of the table; every call of the scan goes to another node, which answers by itself."""
    found, cursor, calls = [], b"0", 0
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(node.connect(20)) for node in nodes]
        for connection in connections:
            connection.ask("READONLY")
        while True:
            cursor, keys = connections[calls % len(connections)].ask("SCAN", cursor, "COUNT", 20)
            found += keys
            calls += 1
            if cursor == b"0":
                return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two single nodes that say all they can say about themselves."""
    extra = ["--log-level", "trace"]
    with (
        Cluster(tmp_path_factory.mktemp("one"), nodes=1, extra=extra) as one,
        Cluster(tmp_path_factory.mktemp("other"), nodes=1, extra=extra) as other,
    ):
        for cluster in (one, other):
            with cluster.leader().connect() as connection:
                connection.send(b"".join(encode(("SET", f"key:{number}", "v")) for number in range(500)))
                connection.read_all(500)
        yield one, other


def test_keys_chosen_by_what_a_cluster_tells_are_set_as_fast_as_others(single):
    node = single.leader()
    cluster_id = int(status(node)["cluster_id"], 16)
    attack = attack_keys(cluster_id)
    ordinary = [os.urandom(16) for _ in range(KEYS)]
    with node.connect(120) as connection:
        # Both in turn and the best of three: the machine has other things to do. Where all keys share a hash,
        # the last of them look at thousands of entries each.
        times = [(seconds_to_set(connection, ordinary), seconds_to_set(connection, attack)) for _ in range(3)]
        for keys in (ordinary, attack):
            connection.send(b"".join(encode(("DEL", key)) for key in keys))
            connection.read_all(len(keys))
    usual, chosen = (min(pair[place] for pair in times) for place in (0, 1))
    assert chosen < 4 * usual + 0.2, f"chosen keys took {chosen:.3f} s, others {usual:.3f} s"


def test_two_clusters_hash_with_different_seeds(pair):
    nodes = [cluster.leader() for cluster in pair]
    seeds = [hash_seed(node) for node in nodes]
    assert seeds[0] != seeds[1]
    assert all(len(set(seed)) > 10 for seed in seeds), "they look random"
    orders = [scan(node) for node in nodes]
    assert sorted(orders[0]) == sorted(orders[1]) and orders[0] != orders[1]


def told_to_strangers(node):
    """What the peer port says to somebody who is no node."""
    host, _, port = node.peer.rpartition(":")
    told = b""
    with socket.create_connection((host, int(port)), timeout=5) as stream:
        try:
            stream.sendall(b"\0" * 64)
            while chunk := stream.recv(1 << 16):
                told += chunk
        except OSError:
            # It may end the connection as it likes.
            pass
    return told


def spellings(seed):
    """How the seed, or one word of it, could stand in bytes or in text."""
    words = [seed[at : at + 8] for at in range(0, SEED_BYTES, 8)]
    numbers = [int.from_bytes(word, "little") for word in words]
    yield from (seed, *words)
    for text in [seed.hex(), *(word.hex() for word in words), *(f"{number:x}" for number in numbers)]:
        yield text.encode()
        yield text.upper().encode()
    yield from (str(number).encode() for number in numbers)
    yield ", ".join(str(byte) for byte in seed).encode()


def test_nothing_that_a_node_says_tells_the_seed(pair, tmp_path):
    cluster = pair[0]
    node = cluster.leader()
    said = {}
    with node.connect(20) as connection:
        for words in [
            ("INFO", "everything"),
            ("CONFIG", "GET", "*"),
            ("REPLIGO.STATUS",),
            ("COMMAND", "DOCS"),
            ("MEMORY", "USAGE", "key:1"),
            ("OBJECT", "ENCODING", "key:1"),
            ("CLIENT", "LIST"),
            ("SLOWLOG", "GET"),
            ("SCAN", "0"),
            ("RANDOMKEY",),
        ]:
            said[" ".join(words)] = connection.call(*words).raw
    for page in ("livez", "readyz", "healthz", "metrics", "api/status"):
        with urllib.request.urlopen(f"http://{node.admin}/{page}", timeout=10) as answer:
            said[page] = answer.read()
    for path in (cluster.directory / "dev").iterdir():
        if path.is_file():
            said[path.name] = path.read_bytes()
    said["dev.log"] = (cluster.directory / "dev.log").read_bytes()
    assert any(name.endswith(".log") and text for name, text in said.items()), "there is a log to look at"
    seed = hash_seed(node)
    told = [(name, spelling) for name, text in said.items() for spelling in spellings(seed) if spelling in text]
    assert not told, told


def test_all_nodes_hash_alike_after_restart_resync_and_failover(tmp_path):
    # With little memory the log is short, so that a node that was away needs a snapshot.
    with Cluster(tmp_path, extra=["--maxmemory", "64mb", "--maxmemory-policy", "noeviction"]) as cluster:
        leader = cluster.leader()
        away, other = cluster.followers(leader)
        expected = {f"key:{number}".encode(): b"v%d" % number for number in range(2000)}
        with leader.connect(60) as connection:
            connection.send(b"".join(encode(("SET", key, value)) for key, value in expected.items()))
            connection.read_all(len(expected))
        settle(cluster)
        assert len({hash_seed(node) for node in cluster.nodes}) == 1
        for node in cluster.nodes:
            told = told_to_strangers(node)
            assert not any(spelling in told for spelling in spellings(hash_seed(node)))
        away.kill()
        with leader.connect(60) as connection:
            for _ in range(40):
                connection.send(encode(("SET", "large", b"x" * (1 << 20))))
                connection.read(30)
        expected[b"large"] = b"x" * (1 << 20)
        away.start(tmp_path / "away.log")
        wait_until("it serves", lambda: away.role() == "follower", 30)
        assert_held_by_all(cluster, expected)
        with away.connect(20) as connection:
            assert b"sync_full:1" in connection.ask("INFO", "stats")
        # A scan that goes from node to node misses nothing and shows nothing twice only if all hash alike.
        assert sorted(scan(*cluster.nodes)) == sorted(expected)
        # Another leader, and a node that reads its snapshot or log again.
        leader.kill()
        cluster.leader()
        leader.start(tmp_path / "old-leader.log")
        wait_until("it is back", lambda: leader.role() == "follower", 30)
        assert_held_by_all(cluster, expected)
        assert sorted(scan(*cluster.nodes)) == sorted(expected)

        def digests():
            told = status(other)["nodes"]
            digests = {node["digest"] for node in told}
            return len({node["applied_index"] for node in told}) == 1 and digests

        assert len(wait_until("all have applied the same", digests, 20)) == 1
