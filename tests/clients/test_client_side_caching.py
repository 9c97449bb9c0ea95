"""CLIENT TRACKING: clients that keep what they have read, at all nodes, while others write and leaders die."""

import threading
import time

import pytest
import redis
from redis.cache import CacheConfig

from support.nodes import Cluster
from support.resp import encode
from support.waiting import wait_until
from support.wire import Connection

CHANNEL = b"__redis__:invalidate"


def caching(address):
    host, _, port = address.rpartition(":")
    return redis.Redis(
        host=host, port=int(port), protocol=3, cache_config=CacheConfig(), decode_responses=True, socket_timeout=10
    )


class Cacher:
    """A connection in RESP3 that keeps what it has read until it is told otherwise."""

    def __init__(self, address, *options):
        self.connection = Connection(address)
        self.connection.ask("HELLO", "3")
        self.connection.ask("READONLY")
        self.connection.ask("CLIENT", "TRACKING", "ON", *options)
        self.cache, self.told = {}, 0

    def take(self, reply):
        """Whether it is an invalidation, which is followed."""
        if reply.value.kind != ">":
            return False
        word, keys = reply.value.plain()
        assert word == b"invalidate"
        self.told += 1
        if keys is None:
            self.cache.clear()
        for key in keys or ():
            self.cache.pop(key, None)
        return True

    def ask(self, *words):
        self.connection.send(encode(words))
        while True:
            reply = self.connection.read()
            if not self.take(reply):
                assert reply.value.kind not in "-!", reply.raw
                return reply.value.plain()

    def get(self, key):
        if key not in self.cache:
            self.cache[key] = self.ask("GET", key)
        return self.cache[key]

    def close(self):
        self.connection.close()


def agree(cachers, values):
    """Waits until each cacher has every value, by what it has cached or reads; a ping brings what was told before."""

    def is_equal(cacher):
        cacher.ask("PING")
        return all(cacher.get(key) == value for key, value in values.items())

    for cacher in cachers:
        wait_until("the cache follows", lambda cacher=cacher: is_equal(cacher), 20)


def test_redis_py_keeps_what_it_has_read_and_forgets_what_has_changed(entry):
    host, port = entry
    address = f"{host}:{port}"
    client, other = caching(address), redis.Redis(host=host, port=port, socket_timeout=10)
    try:
        other.set("cached", "1")
        wait_until("it is there", lambda: client.get("cached") == "1")
        reads = other.info("commandstats")["cmdstat_get"]["calls"]
        assert all(client.get("cached") == "1" for _ in range(20))
        assert other.info("commandstats")["cmdstat_get"]["calls"] == reads
        assert client.get_cache().size == 1
        other.set("cached", "2")
        wait_until("it is told", lambda: client.get("cached") == "2")
        client.set("cached", "3")
        assert client.get("cached") == "3"
        other.flushall()
        wait_until("it is told", lambda: client.get("cached") is None)
    finally:
        client.close()
        other.close()


def test_another_connection_hears_in_resp2_until_it_is_gone(entry):
    host, port = entry
    address = f"{host}:{port}"
    with Connection(address) as hears, Connection(address) as reads, Connection(address) as writes:
        number = hears.ask("CLIENT", "ID")
        hears.ask("SUBSCRIBE", CHANNEL)
        assert reads.ask("CLIENT", "TRACKING", "ON", "REDIRECT", number) == b"OK"
        assert reads.ask("CLIENT", "GETREDIR") == number
        assert reads.ask("GET", "k") is None
        writes.ask("SET", "k", "1")
        assert hears.read().value.plain() == [b"message", CHANNEL, [b"k"]]
        assert reads.ask("GET", "k") == b"1"
        writes.ask("SET", "k", "2", "PX", "200")
        assert hears.read().value.plain() == [b"message", CHANNEL, [b"k"]]
        assert reads.ask("GET", "k") == b"2"
        assert hears.read().value.plain() == [b"message", CHANNEL, [b"k"]], "it has expired"
        writes.ask("FLUSHALL")
        assert hears.read().value.plain() == [b"message", CHANNEL, None]
        line = next(line for line in reads.ask("CLIENT", "INFO").decode().split() if line.startswith("redir="))
        assert line == f"redir={number}"
        hears.close()
        reads.ask("GET", "k")

        def is_broken():
            writes.ask("SET", "k", "3")
            reads.ask("GET", "k")
            return b" flags=tR " in reads.ask("CLIENT", "INFO")

        wait_until("the other one is gone", is_broken)
        flags = reads.ask("CLIENT", "TRACKINGINFO")[1]
        assert flags == [b"on", b"broken_redirect"]
        assert b"tracking_clients:1" in writes.ask("INFO", "clients")
        reads.ask("CLIENT", "TRACKING", "OFF")
        assert b"tracking_total_keys:0" in writes.ask("INFO", "stats")


def test_evicted_keys_are_told(single):
    with single.nodes[0].connect() as writer:
        writer.ask("FLUSHALL")
        cacher = Cacher(single.nodes[0].address)
        used = int(dict(line.split(b":") for line in writer.ask("INFO", "memory").split() if b":" in line)[b"used_memory"])
        try:
            value = "v" * 10_000
            writer.ask("SET", "first", value)
            assert cacher.get(b"first") == value.encode()
            writer.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-random", "maxmemory", str(used + (4 << 20)))
            number = 0
            while cacher.told == 0 and number < 5_000:
                number += 1
                writer.ask("SET", f"more:{number}", value)
                cacher.ask("PING")
            assert cacher.cache == {}, "it was told that the key is gone"
            assert cacher.get(b"first") is None
        finally:
            writer.ask("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction")
            writer.ask("FLUSHALL")
            cacher.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_caches_at_all_nodes_follow_writes_though_the_leader_dies(tmp_path, workers):
    """Whoever is connected to a surviving node misses nothing; who was not begins with nothing."""
    extra = ["--workers", workers, "--workers-busy-percent", "0"] if workers > 1 else []
    with Cluster(tmp_path, extra=extra) as cluster:
        leader = cluster.leader()
        others = cluster.followers(leader)
        keys = [b"key:%d" % number for number in range(8)]
        cachers = [Cacher(node.address, *mode) for node in others for mode in ((), ("BCAST",), ("BCAST", "PREFIX", "key:", "NOLOOP"))]
        stop = threading.Event()

        def write():
            number = 0
            while not stop.is_set():
                number += 1
                node = others[number % 2]
                try:
                    with node.connect(20.0) as connection:
                        for key in keys:
                            number += 1
                            connection.ask("SET", key, str(number))
                except (AssertionError, OSError):
                    time.sleep(0.05)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for round_number in range(30):
                for cacher in cachers:
                    for key in keys:
                        cacher.get(key)
                    cacher.ask("PING")
                if round_number == 10:
                    leader.kill()
                time.sleep(0.02)
        finally:
            stop.set()
            writer.join(60)
        assert not writer.is_alive()
        # What the last round left undecided is decided now.
        with cluster.leader(60).connect(20.0) as connection:
            for key in keys:
                connection.ask("SET", key, b"last of " + key)
        agree(cachers, {key: b"last of " + key for key in keys})
        assert all(cacher.told > 0 for cacher in cachers)
        for cacher in cachers:
            told = cacher.told
            assert [cacher.get(key) for key in keys] == [b"last of " + key for key in keys]
            assert cacher.told == told, "all of it was cached"
            cacher.close()
