"""Streams with a group of consumers, through redis-py, where a case file cannot compare: time, several nodes, restarts."""

import threading
import time

import pytest
import redis

from support.nodes import Cluster
from support.waiting import wait_until


def _client(node):
    host, _, port = node.address.rpartition(":")
    return redis.Redis(host=host, port=int(port), socket_timeout=20)


def test_ids_and_idle_times_follow_the_clock(entry):
    host, port = entry
    with redis.Redis(host=host, port=port) as client:
        before = time.time() * 1000
        name = client.xadd("timed", {"f": "v"})
        assert before - 2000 < int(name.split(b"-")[0]) < time.time() * 1000 + 2000
        client.xgroup_create("timed", "g", "0")
        assert client.xreadgroup("g", "one", {"timed": ">"}) == [[b"timed", [(name, {b"f": b"v"})]]]
        time.sleep(0.2)
        (pending,) = client.xpending_range("timed", "g", "-", "+", 10)
        assert pending["consumer"] == b"one" and 190 <= pending["time_since_delivered"] < 5000, pending
        assert 190 <= client.xinfo_consumers("timed", "g")[0]["idle"] < 5000
        assert client.xpending_range("timed", "g", "-", "+", 10, idle=60_000) == []
        assert len(client.xpending_range("timed", "g", "-", "+", 10, idle=190)) == 1
        assert client.xclaim("timed", "g", "two", 60_000, [name]) == []
        assert client.xautoclaim("timed", "g", "two", 60_000)[1] == []
        assert client.xclaim("timed", "g", "two", 190, [name]) == [(name, {b"f": b"v"})]
        (pending,) = client.xpending_range("timed", "g", "-", "+", 10)
        assert pending["consumer"] == b"two" and pending["times_delivered"] == 2, pending
        assert pending["time_since_delivered"] < 190, pending
        assert client.xack("timed", "g", name) == 1


def test_consumers_at_all_nodes_share_the_entries_out(cluster):
    entries, done, lock = 150, [], threading.Lock()
    with _client(cluster.leader()) as producer:
        producer.delete("shared")
        producer.xgroup_create("shared", "g", "$", mkstream=True)

        def consume(node, number):
            with _client(node) as client:
                while True:
                    told = client.xreadgroup("g", f"c{number}", {"shared": ">"}, count=3, block=2000)
                    if not told:
                        return
                    for name, fields in told[0][1]:
                        with lock:
                            done.append(int(fields[b"job"]))
                        assert client.xack("shared", "g", name) == 1

        nodes = cluster.nodes * 2
        threads = [threading.Thread(target=consume, args=pair) for pair in zip(nodes, range(len(nodes)), strict=True)]
        for thread in threads:
            thread.start()
        for job in range(entries):
            producer.xadd("shared", {"job": job})
        for thread in threads:
            thread.join(20)
        assert sorted(done) == list(range(entries))
        assert producer.xpending("shared", "g")["pending"] == 0
        assert producer.xlen("shared") == entries


def test_readers_at_all_nodes_hear_of_every_entry(cluster):
    heard, started = {}, threading.Barrier(len(cluster.nodes) + 1)

    def read(node):
        with _client(node) as client:
            last, names = "$", []
            started.wait()
            while len(names) < 20:
                told = client.xread({"news": last}, block=5000)
                assert told, names
                names += [name for name, _ in told[0][1]]
                last = names[-1]
            heard[node.name] = names

    with _client(cluster.followers()[0]) as producer:
        producer.delete("news")
        threads = [threading.Thread(target=read, args=(node,)) for node in cluster.nodes]
        for thread in threads:
            thread.start()
        started.wait()
        wait_until("all wait", lambda: sum(_blocked(node) for node in cluster.nodes) == len(cluster.nodes))
        names = [producer.xadd("news", {"n": number}) for number in range(20)]
        for thread in threads:
            thread.join(20)
    assert heard == {node.name: names for node in cluster.nodes}


def _blocked(node):
    with _client(node) as client:
        return client.info("clients")["blocked_clients"]


@pytest.mark.timeout(60)
def test_a_stream_outlives_a_restart(tmp_path):
    with Cluster(tmp_path, nodes=1) as cluster:
        (node,) = cluster.nodes
        with _client(node) as client:
            names = [client.xadd("kept", {"f": number}) for number in range(300)]
            client.xgroup_create("kept", "g", "0")
            client.xreadgroup("g", "c", {"kept": ">"}, count=100)
            client.xack("kept", "g", *names[:50])
            client.xdel("kept", names[70])
            before = client.xinfo_stream("kept", full=True)
        node.kill()
        node.start(tmp_path / "again.log")
        with _client(node) as client:
            assert client.xinfo_stream("kept", full=True) == before
            assert client.xpending("kept", "g")["pending"] == 50
            told = client.xreadgroup("g", "d", {"kept": ">"}, count=1)
            assert told[0][1][0][0] == names[100]
