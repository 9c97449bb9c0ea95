"""Clients that wait for keys, in a cluster whose nodes come and go."""

import os
import signal
import threading
import time

import redis

from support.nodes import Cluster
from support.resp import encode
from support.waiting import wait_until


def _blocked(node):
    with node.connect() as connection:
        lines = connection.ask("INFO", "clients").decode().splitlines()
    return int(next(line for line in lines if line.startswith("blocked_clients:")).partition(":")[2])


def _wait(connection, *words):
    connection.send(encode(words))


def _cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_client_of_a_follower_is_served_by_a_push_elsewhere(cluster):
    one, other = cluster.followers()
    with one.connect() as waits, other.connect() as pushes:
        for round in range(20):
            _wait(waits, "BLPOP", "elsewhere", "10")
            if round % 2:
                wait_until("it waits", lambda: _blocked(one) == 1)
            assert pushes.ask("RPUSH", "elsewhere", f"job-{round}") == 1
            assert waits.read(10).value.plain() == [b"elsewhere", b"job-%d" % round]
        assert pushes.ask("EXISTS", "elsewhere") == 0


def test_clients_of_all_nodes_are_served_in_the_order_in_which_they_came(cluster):
    connections = [node.connect() for node in cluster.nodes * 3]
    for number, connection in enumerate(connections):
        node = cluster.nodes[number % 3]
        _wait(connection, "BRPOP", "ordered", "20")
        wait_until("it waits", lambda node=node, count=number // 3 + 1: _blocked(node) == count)
        time.sleep(0.05)
    with cluster.leader().connect() as pushes:
        assert pushes.ask("LPUSH", "ordered", *range(len(connections))) == len(connections)
    for number, connection in enumerate(connections):
        assert connection.read(10).value.plain() == [b"ordered", b"%d" % number]
        connection.close()


def test_client_unblock_ends_the_waiting_and_nothing_is_taken_afterwards(cluster):
    for node in cluster.nodes:
        with node.connect() as waits, node.connect() as other:
            number = waits.ask("CLIENT", "ID")
            assert other.ask("CLIENT", "UNBLOCK", number) == 0
            for words, reply in [
                ((), b"*-1\r\n"),
                (("TIMEOUT",), b"*-1\r\n"),
                (("ERROR",), b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"),
            ]:
                _wait(waits, "BLPOP", "unblocked", "0")
                wait_until("it waits", lambda: _blocked(node) == 1)
                line = next(line for line in other.ask("CLIENT", "LIST").decode().splitlines() if f"id={number} " in line)
                assert " flags=b " in line and " cmd=blpop " in line
                assert other.ask("CLIENT", "UNBLOCK", number, *words) == 1
                assert waits.read(10).raw == reply
            assert other.ask("RPUSH", "unblocked", "kept") == 1
            assert waits.ask("LPOP", "unblocked") == b"kept"
            assert _blocked(node) == 0


def test_nothing_is_taken_for_a_client_that_has_left(cluster):
    for node in cluster.nodes:
        leaves = node.connect()
        _wait(leaves, "BLPOP", "left", "0")
        wait_until("it waits", lambda: _blocked(node) == 1)
        leaves.close()
        wait_until("it is noticed", lambda: _blocked(node) == 0)
        with node.connect() as other:
            assert other.ask("RPUSH", "left", "kept") == 1
            assert other.ask("LPOP", "left") == b"kept"


def test_a_thousand_clients_that_wait_cost_little(cluster):
    node = cluster.followers()[0]
    connections = [node.connect() for _ in range(1000)]
    for number, connection in enumerate(connections):
        _wait(connection, "BLPOP", "crowd", f"own-{number}", "0")
    wait_until("all of them wait", lambda: _blocked(node) == 1000, 20)
    before = sum(_cpu_seconds(each.pid) for each in cluster.nodes)
    time.sleep(2)
    spent = sum(_cpu_seconds(each.pid) for each in cluster.nodes) - before
    assert spent < 0.6, f"{spent} s of CPU in 2 s while nothing happens"
    with cluster.leader().connect() as pushes:
        for first in range(0, 1000, 100):
            pushes.ask("RPUSH", "crowd", *range(first, first + 100))
        got = [connection.read(20).value.plain() for connection in connections]
        assert sorted(int(value) for _, value in got) == list(range(1000))
        assert pushes.ask("EXISTS", "crowd") == 0
    for connection in connections:
        connection.close()


class _Worker(threading.Thread):
    """A worker as it is written with redis-py: it takes jobs, and connects again when its node is gone."""

    def __init__(self, node, taken, stop):
        super().__init__(daemon=True)
        self.node, self.taken, self.stop = node, taken, stop
        self.undecided = 0
        self.start()

    def run(self):
        host, _, port = self.node.address.rpartition(":")
        while not self.stop.is_set():
            client = redis.Redis(host, int(port), socket_timeout=20)
            try:
                while not self.stop.is_set():
                    job = client.blpop(["jobs", "more-jobs"], timeout=1)
                    if job is not None:
                        self.taken.append(int(job[1]))
            except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError) as error:
                # Whether a job was taken for it is unknown, unless the node says that it was not.
                self.undecided += not str(error).startswith("NOLEADER")
                time.sleep(0.2)
            finally:
                client.close()


def test_workers_get_every_job_once_though_the_leader_dies(tmp_path):
    with Cluster(tmp_path) as cluster:
        leader = cluster.leader()
        others = cluster.followers(leader)
        taken, stop = [], threading.Event()
        workers = [_Worker(node, taken, stop) for node in others * 3]
        waits = [node.connect(40) for node in others]
        for connection in waits:
            _wait(connection, "BLMOVE", "single", "done", "LEFT", "RIGHT", "0")
        for node in others:
            wait_until("they wait", lambda node=node: _blocked(node) >= 3)
        pushed = []

        def push(node, jobs):
            with node.connect(20) as connection:
                for job in jobs:
                    reply = connection.call("RPUSH", "jobs" if job % 2 else "more-jobs", job)
                    if reply.raw.startswith(b":"):
                        pushed.append(job)

        push(others[0], range(100))
        leader.signal(signal.SIGKILL)
        push(others[1], range(100, 200))
        cluster.leader(30)
        push(others[0], range(200, 300))
        wait_until("all jobs are taken", lambda: set(pushed) <= set(taken), 30)
        # Nobody who waited when the leader died is forgotten.
        with others[0].connect(20) as connection:
            assert connection.ask("RPUSH", "single", "a", "b") > 0
            served = sorted(waiting.read(20).raw for waiting in waits)
            assert served == [b"$1\r\na\r\n", b"$1\r\nb\r\n"]
            assert connection.ask("LRANGE", "done", 0, -1) == [b"a", b"b"]
        stop.set()
        for worker in workers:
            worker.join(20)
        assert len(taken) == len(set(taken)), "a job was taken twice"
        assert sum(worker.undecided for worker in workers) == 0
        for connection in waits:
            connection.close()


def test_without_a_leader_clients_go_on_waiting(tmp_path):
    with Cluster(tmp_path) as cluster:
        lone, *others = cluster.nodes
        with lone.connect(60) as waits, lone.connect(60) as timed:
            _wait(waits, "BLPOP", "q", "0")
            wait_until("it waits", lambda: _blocked(lone) == 1)
            for node in others:
                node.kill()
            time.sleep(1)
            _wait(timed, "BLPOP", "q", "0.5")
            # It was told to no leader, so nothing was taken for it.
            assert timed.read(15).raw.startswith((b"*-1", b"-NOLEADER", b"-UNKNOWN"))
            assert _blocked(lone) == 1
            for node in others:
                node.start(tmp_path / f"{node.name}.log")
            cluster.leader(30)
            with others[0].connect(20) as pushes:
                assert pushes.ask("RPUSH", "q", "late") == 1
            assert waits.read(20).value.plain() == [b"q", b"late"]
