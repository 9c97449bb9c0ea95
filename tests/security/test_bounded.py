"""Reads at level bounded: answered by any node as long as its copy is no older than the bound, by its own clock."""

import time

import pytest

from support.nodes import Cluster
from support.resp import encode
from support.waiting import wait_until

OK = b"+OK\r\n"


def at_level(node, level, seconds=20):
    connection = node.connect(seconds)
    assert connection.call("REPLIGO.CONSISTENCY", "READ", level).raw == OK
    return connection


def level_of(connection):
    reply = connection.ask("REPLIGO.CONSISTENCY")
    return dict(zip(reply[::2], reply[1::2], strict=True))


def test_a_connection_says_at_which_level_it_reads(tmp_path):
    with Cluster(tmp_path) as cluster, cluster.leader().connect() as leader:
        follower = cluster.followers()[0]
        rules = ("on", ">p", "~*", "+@all", "read=bounded:200ms", "read-floor=bounded:1s")
        assert leader.call("ACL", "SETUSER", "app", *rules).raw == OK
        with follower.connect(20) as app:
            wait_until("the user is there", lambda: app.call("AUTH", "app", "p").raw == OK, 10, pause=0.02)
            assert level_of(app) == {b"read": b"bounded:200ms", b"read-floor": b"bounded:1s", b"write": b"quorum"}
            # Below the floor nothing is refused, and the floor is what it gets.
            for words in (("READONLY",), ("REPLIGO.CONSISTENCY", "READ", "eventual")):
                assert app.call(*words).raw == OK and level_of(app)[b"read"] == b"bounded:1s"
            assert app.call("REPLIGO.CONSISTENCY", "READ", "bounded:5ms", "WRITE", "quorum").raw == OK
            assert level_of(app)[b"read"] == b"bounded:5ms"
            for words, why in (
                (("READ", "origin"), b"not in this release"),
                (("READ", "bounded:0ms"), b"from 1ms to 10s"),
                (("READ", "bounded:11s"), b"from 1ms to 10s"),
                (("READ", "bounded:200us"), b"from 1ms to 10s"),
                (("READ", "eventual", "WRITE", "async"), b"the only one is quorum"),
                (("READ",), b"syntax error"),
            ):
                refused = app.call("REPLIGO.CONSISTENCY", *words).raw
                assert refused.startswith(b"-ERR ") and why in refused, refused
            assert level_of(app)[b"read"] == b"bounded:5ms"
            assert app.call("AUTH", "app+bounded:20ms", "p").raw == OK
            assert app.call("SET", "k", "v").raw == OK and app.ask("GET", "k") == b"v"
        assert b" read=bounded:200ms read-floor=bounded:1s " in b"".join(leader.ask("ACL", "LIST"))


def test_a_paused_follower_that_wakes_shows_what_was_written_meanwhile(tmp_path):
    with Cluster(tmp_path) as cluster, cluster.leader().connect() as leader:
        follower = cluster.followers()[0]
        with at_level(follower, "bounded:50ms") as near:
            for number in range(10):
                value = str(number).encode()
                assert near.call("GET", "k").raw[:1] == b"$"
                follower.pause()
                assert leader.ask("SET", "k", value) == b"OK"
                time.sleep(0.1)
                near.send(encode(["GET", "k"]))
                follower.resume()
                assert near.read().value.data == value


@pytest.mark.timeout(120)
def test_a_node_left_alone_answers_for_the_bound_and_refuses_then(tmp_path):
    with Cluster(tmp_path) as cluster:
        lone, *others = cluster.followers() + [cluster.leader()]
        with cluster.leader().connect() as leader:
            assert leader.ask("SET", "k", "v") == b"OK"
        with (
            at_level(lone, "bounded:4s") as wide,
            at_level(lone, "bounded:4s") as later,
            at_level(lone, "bounded:20ms") as narrow,
            at_level(lone, "eventual") as old,
        ):
            assert wide.ask("GET", "k") == b"v" and narrow.ask("GET", "k") == b"v"
            # Its own question, so that what follows counts from here at the earliest.
            began = time.monotonic()
            for node in others:
                node.kill()
            killed = time.monotonic()
            answers = 0
            while time.monotonic() < began + 2.0:
                assert wide.ask("GET", "k") == b"v" and old.ask("GET", "k") == b"v"
                answers += 1
            assert answers > 10
            refused = narrow.call("GET", "k").raw
            assert refused.startswith(b"-STALE ") and b"level bounded:20ms" in refused and b"ms ago" in refused, refused
            assert time.monotonic() - killed > 4.0
            refused = later.call("GET", "k").raw
            assert refused.startswith(b"-STALE ") and b"level bounded:4s" in refused, refused
            for node in others:
                node.start(tmp_path / f"{node.name}.log")
            wait_until("it serves again", lambda: narrow.call("GET", "k").raw == b"$1\r\nv\r\n", 30)
            assert wide.ask("GET", "k") == b"v"
