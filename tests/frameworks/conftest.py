"""A cluster for all frameworks; each test kills its leader in the middle, and it comes back afterwards."""

import os
import sys
import threading
from pathlib import Path

import pytest

from support.nodes import Cluster
from support.processes import Process
from support.waiting import wait_until

HERE = Path(__file__).parent


class Failover:
    """The cluster as one test sees it: two nodes that stay, and a leader that will die."""

    def __init__(self, cluster, directory):
        self.cluster, self.directory = cluster, directory
        self.leader = cluster.leader()
        self.stays = cluster.followers(self.leader)
        self.programs = HERE
        self.ledger = directory / "ledger"
        self.ledger.touch()
        self._processes = []

    def url(self, number=0, database=0):
        """Where a client of a node that stays connects."""
        return f"redis://{self.stays[number].address}/{database}"

    def kill(self):
        self.leader.kill()

    def done(self):
        """What jobs have written down, in order: one line each time one ran."""
        return self.ledger.read_text().splitlines()

    def run(self, name, argv, **variables):
        """Starts a program of a framework; it ends with the test."""
        env = {"PATH": os.environ["PATH"], "LEDGER": str(self.ledger), "PYTHONPATH": str(HERE), **variables}
        process = Process(argv, self.directory / f"{name}.log", cwd=self.directory, env=env)
        self._processes.append(process)
        return process

    def program(self, name):
        """A program that pip has put beside this Python."""
        return Path(sys.executable).parent / name

    def wait_for(self, what, check, seconds=30):
        """Waits while all programs run; a failure shows what they said."""
        try:
            return wait_until(what, check, seconds)
        except AssertionError as late:
            said = "\n".join(f"--- {process.log.name}\n{process.tail(30)}" for process in self._processes)
            raise AssertionError(f"{late}\n{said}") from None

    def end(self):
        for process in self._processes:
            process.signal(15)
        for process in self._processes:
            process.stop(3)
        if self.leader.pid is None:
            self.leader.start(self.directory / f"{self.leader.name}.log")
        wait_until("it is back", lambda: self.leader.role() in ("leader", "follower"), 30)
        with self.cluster.leader().connect() as connection:
            connection.ask("FLUSHALL")
        self._wait_for_links()

    def _wait_for_links(self):
        """Messages of PUBLISH go only where a link is: each node has to know who listens at the others."""
        connections = [node.connect() for node in self.cluster.nodes]
        for connection in connections:
            connection.ask("SUBSCRIBE", "links")

        def all_know():
            for node in self.cluster.nodes:
                with node.connect() as connection:
                    if connection.ask("PUBSUB", "NUMSUB", "links")[1] != len(connections):
                        return False
            return True

        wait_until("all nodes are linked", all_know, 30)
        for connection in connections:
            connection.close()


@pytest.fixture(scope="session")
def three(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("frameworks")) as cluster:
        yield cluster


@pytest.fixture
def failover(three, tmp_path):
    failover = Failover(three, tmp_path)
    yield failover
    failover.end()


@pytest.fixture
def in_background():
    """Runs functions beside the test; what they raise fails it."""
    threads, errors = [], []

    def start(function, *arguments):
        def run():
            try:
                function(*arguments)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        threads.append(thread)
        return thread

    yield start
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "it does not end"
    if errors:
        raise errors[0]
