"""`/readyz` means "can take requests, waiting included": an election changes nothing for a load balancer."""

import threading
import time
import urllib.error
import urllib.request

from support.nodes import Cluster
from support.waiting import wait_until


def is_ready(node, page="readyz"):
    """The status code of `/readyz` or another page, whatever it is."""
    try:
        with urllib.request.urlopen(f"http://{node.admin}/{page}", timeout=5) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code


def test_nodes_stay_ready_while_a_leader_is_elected_and_answer_what_they_held(tmp_path):
    with Cluster(tmp_path) as cluster:
        leader = cluster.leader()
        others = cluster.followers(leader)
        over, told = threading.Event(), {node.name: [] for node in others}

        def watch(node):
            while not over.is_set():
                told[node.name].append(is_ready(node))
                time.sleep(0.02)

        watchers = [threading.Thread(target=watch, args=(node,)) for node in others]
        with others[0].connect(20) as connection:
            connection.ask("SET", "key", "before")
            for watcher in watchers:
                watcher.start()
            start = time.monotonic()
            leader.kill()
            # It is held for the next leader.
            assert connection.ask("SET", "key", "after") == b"OK"
            took = time.monotonic() - start
            over.set()
            for watcher in watchers:
                watcher.join()
        print(f"held for {took:.1f} s, asked {[len(codes) for codes in told.values()]} times")
        assert all(len(codes) > 2 for codes in told.values()), told
        assert {code for codes in told.values() for code in codes} == {200}, told


def test_the_page_of_eventual_reads_says_what_eventual_reads_get(tmp_path):
    with Cluster(tmp_path) as cluster:
        leader = cluster.leader()
        last, dead = cluster.followers(leader)
        with last.connect(20) as connection:
            connection.ask("SET", "key", "value")
            connection.ask("READONLY")
            page = lambda: is_ready(last, "healthz?level=eventual")  # noqa: E731
            assert (connection.ask("GET", "key"), page()) == (b"value", 200)
            leader.kill()
            dead.kill()
            assert page() == 200, "the state is fresh enough for some seconds"
            wait_until("eventual reads are refused", lambda: is_refused(connection), 30)
            wait_until("the page says so", lambda: page() == 503, 3)


def is_refused(connection):
    connection.send(b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n")
    return connection.read().raw.startswith(b"-STALE")
