"""Scripts on every node of a cluster while leaders are killed: each runs once, and replicas stay equal."""

import json
import threading

import pytest

from support.nodes import Cluster
from support.waiting import wait_until

KILLS = 3
# Counts, notes who counted in a table with keys that are tables, and draws at random: what could differ, would.
SCRIPT = """
local n = redis.call('incr', KEYS[1])
local t = {}
for i = 1, 20 do t[{}] = i end
for k, v in pairs(t) do redis.call('hset', KEYS[2], v, tostring(k) .. math.random()) end
redis.call('rpush', KEYS[3], ARGV[1])
return n
"""


class Counter(threading.Thread):
    """Runs the script again and again on one node, by its name where the node knows it."""

    def __init__(self, node, name):
        super().__init__(daemon=True)
        self.node, self.name, self.over = node, name, threading.Event()
        self.done, self.unknown, self.failed = [], [], []

    def run(self):
        number = 0
        while not self.over.is_set():
            try:
                with self.node.connect(20) as connection:
                    sha1 = connection.ask("SCRIPT", "LOAD", SCRIPT)
                    while not self.over.is_set():
                        number += 1
                        mark = f"{self.name}:{number}"
                        self.unknown.append(mark)
                        reply = connection.call("EVALSHA", sha1, 3, "count", "table", "marks", mark).value
                        if reply.kind == ":":
                            self.done.append(self.unknown.pop())
                        elif not reply.data.startswith(b"UNKNOWN"):
                            self.failed.append((self.unknown.pop(), reply.data))
            except (OSError, AssertionError):
                self.over.wait(0.1)


@pytest.mark.timeout(120)
def test_scripts_run_once_while_leaders_are_killed(tmp_path):
    with Cluster(tmp_path) as cluster:
        counters = [Counter(node, f"{node.name}-{index}") for node in cluster.nodes for index in range(2)]
        for counter in counters:
            counter.start()
        for _ in range(KILLS):
            leader = cluster.leader()
            before = sum(len(counter.done) for counter in counters if counter.node is not leader)
            leader.kill()

            def goes_on(leader=leader, before=before):
                return sum(len(c.done) for c in counters if c.node is not leader) > before + 20

            wait_until("scripts go on", goes_on, 30)
            leader.start(tmp_path / f"{leader.name}.log")
            wait_until("it is back", lambda leader=leader: leader.role() in ("leader", "follower"), 30)
        for counter in counters:
            counter.over.set()
        for counter in counters:
            counter.join(30)
        done = [mark for counter in counters for mark in counter.done]
        maybe = {mark for counter in counters for mark in counter.unknown}
        assert len(done) > 100
        with cluster.leader().connect() as connection:
            marks = [mark.decode() for mark in connection.ask("LRANGE", "marks", 0, -1)]
            assert int(connection.ask("GET", "count")) == len(marks)
        assert len(marks) == len(set(marks)), "a script has run twice"
        assert set(done) <= set(marks), "an acknowledged script is lost"
        assert set(marks) <= set(done) | maybe, "a script has run that was refused"

        def equal():
            told = json.loads(_status(cluster.leader()))["nodes"]
            return len({node["applied_index"] for node in told}) == 1 and {node["digest"] for node in told}

        assert len(wait_until("all have applied the same", equal, 20)) == 1


def _status(node):
    with node.connect() as connection:
        return connection.ask("REPLIGO.STATUS")
