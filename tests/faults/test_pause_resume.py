"""The leader is paused and resumed, or killed, under clients that stay connected to it: nothing is lost or stale."""

import random
import time

import pytest

from support.nodes import Cluster
from support.waiting import wait_until

from .load import Load

PAUSES = 20
KILLS = 3
# At the nodes that go on, no request may fail; it may wait.
_WAIT_SECONDS = 30


def _others(cluster, leader):
    return [node for node in cluster.nodes if node is not leader]


def _writes_go_on(load, nodes):
    before = load.acknowledged(nodes)
    wait_until(f"writes go on at {nodes}", lambda: load.acknowledged(nodes) > before + 20, _WAIT_SECONDS)


@pytest.mark.timeout(240)
def test_twenty_pauses_of_the_leader(tmp_path):
    dice = random.Random(20)
    with Cluster(tmp_path) as cluster:
        with Load(cluster) as load:
            for number in range(PAUSES):
                leader = cluster.leader()
                _writes_go_on(load, cluster.nodes)
                leader.pause()
                try:
                    time.sleep(dice.uniform(1.5, 2.5) if number % 5 else 4.0)
                finally:
                    leader.resume()
                _writes_go_on(load, [leader])
                _writes_go_on(load, _others(cluster, leader))
        assert all(client.disconnects == 0 for client in [*load.writers, *load.readers])
        writes, reads = load.judge()
        # The rounds above have waited for more writes than that, however slow the machine is.
        assert writes > 1000 and reads > 1000, (writes, reads)
        unexpected = [raw for raw in load.errors() if not raw.startswith((b"-UNKNOWN", b"-NOLEADER"))]
        assert not unexpected, unexpected[:5]


@pytest.mark.timeout(120)
def test_killed_leaders_come_back(tmp_path):
    with Cluster(tmp_path) as cluster:
        with Load(cluster) as load:
            for _ in range(KILLS):
                leader = cluster.leader()
                others = _others(cluster, leader)
                since = time.monotonic()
                leader.kill()
                _writes_go_on(load, others)
                assert load.errors(others, since) == []
                leader.start(tmp_path / f"{leader.name}.log")
                _writes_go_on(load, [leader])
        load.judge()


@pytest.mark.timeout(120)
def test_planned_stop_of_the_leader_fails_no_command(tmp_path):
    with Cluster(tmp_path) as cluster:
        # Nobody can read the exit code of what others started, so all are started by us.
        for node in cluster.nodes:
            node.kill()
            node.start(tmp_path / f"{node.name}.log")
        cluster.leader()
        with Load(cluster) as load:
            for _ in range(3):
                _writes_go_on(load, cluster.nodes)
                leader = cluster.leader()
                others = _others(cluster, leader)
                since = time.monotonic()
                assert leader.started.stop() == 0
                _writes_go_on(load, others)
                assert load.errors(others, since) == []
                leader.start(tmp_path / f"{leader.name}.log")
                _writes_go_on(load, [leader])
        load.judge()
