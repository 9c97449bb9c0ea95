"""Restarts at any point: every node in turn, all at once, and what a node left alone still says."""

import time

import pytest

from support.nodes import Cluster
from support.waiting import wait_until

from .load import Load
from .reading import read_locally


def _writes_go_on(load, nodes):
    before = load.acknowledged(nodes)
    wait_until(f"writes go on at {nodes}", lambda: load.acknowledged(nodes) > before + 20, 30)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("durability", ["os", "fsync"])
def test_all_nodes_killed_at_once_lose_nothing(tmp_path, durability):
    with Cluster(tmp_path, options=("--durability", durability)) as cluster:
        with Load(cluster) as load:
            for _ in range(2):
                _writes_go_on(load, cluster.nodes)
                for node in cluster.nodes:
                    node.kill()
                for node in cluster.nodes:
                    node.start(tmp_path / f"{node.name}.log")
                _writes_go_on(load, cluster.nodes)
        load.judge()


@pytest.mark.timeout(120)
def test_every_node_restarts_at_any_point(tmp_path):
    with Cluster(tmp_path) as cluster:
        with Load(cluster) as load:
            for node in cluster.nodes * 2:
                _writes_go_on(load, cluster.nodes)
                node.kill()
                node.start(tmp_path / f"{node.name}.log")
                # Half of them again while they start.
                if node is not cluster.nodes[1]:
                    time.sleep(0.1)
                    node.kill()
                    node.start(tmp_path / f"{node.name}.log")
        load.judge()


@pytest.mark.timeout(90)
def test_a_node_left_alone_serves_readonly_for_a_while_and_refuses_the_rest(tmp_path):
    with Cluster(tmp_path) as cluster:
        with cluster.leader().connect() as connection:
            assert connection.ask("SET", "k", "v") == b"OK"
        lone, *others = cluster.followers() + [cluster.leader()]
        wait_until("it has the value", lambda: read_locally(lone, [b"k"])[b"k"] == b"v")
        for node in others:
            node.kill()
        with lone.connect(20) as strict, lone.connect(20) as relaxed:
            assert relaxed.ask("READONLY") == b"OK"
            assert relaxed.ask("GET", "k") == b"v"
            assert strict.call("SET", "k", "w").raw.startswith((b"-NOLEADER", b"-UNKNOWN"))
            assert strict.call("GET", "k").raw.startswith(b"-NOLEADER")
            wait_until("it says that it is stale", lambda: relaxed.call("GET", "k").raw.startswith(b"-STALE"), 15)
            for node in others:
                node.start(tmp_path / f"{node.name}.log")
            wait_until("it serves again", lambda: strict.call("GET", "k").raw[:1] == b"$", 30)
            # The refused write may have been applied only if it was said to be unknown.
            assert strict.ask("GET", "k") in (b"v", b"w")
            assert relaxed.ask("GET", "k") in (b"v", b"w")
