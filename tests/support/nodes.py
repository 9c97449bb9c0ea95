"""Repligo nodes: a cluster of three through `repligo dev`, or a single node, on free ports of loopback."""

import json
import os
import signal
from pathlib import Path

from .processes import ROOT, Process, command_line
from .waiting import wait_until
from .wire import Connection

# Three processes start at once on a machine that may be busy with a build.
_READY_SECONDS = 60


def binary():
    """The program under test."""
    path = Path(os.environ.get("REPLIGO_BINARY", ROOT / "target/release/repligo"))
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; run: cargo build --release --package repligo")
    return path


class Node:
    """One node of a cluster, as `cluster.json` describes it."""

    def __init__(self, facts, password=None):
        self.name = facts["name"]
        self.address = facts["resp"]
        self.admin = facts["admin"]
        self.peer = facts["peer"]
        self.data_dir = Path(facts["data_dir"])
        self.argv = facts["argv"]
        self.password = password
        self.started = None
        self._first_pid = facts["pid"]

    def __repr__(self):
        return f"{self.name}({self.address})"

    @property
    def pid(self):
        """Its process; None when it does not run. A pid counts only with this node's command line."""
        candidates = [self.started.pid] if self.started else []
        candidates.append(self._first_pid)
        for pid in candidates:
            if command_line(pid) == self.argv:
                return pid
        return None

    def connect(self, seconds=10.0):
        connection = Connection(self.address, seconds)
        if self.password:
            connection.ask("AUTH", self.password)
        return connection

    def signal(self, number):
        pid = self.pid
        if pid is None:
            raise AssertionError(f"{self.name} does not run")
        os.kill(pid, number)

    def kill(self):
        """SIGKILL; returns when the process has been reaped: only then has it surely closed its ports."""
        pid = self.pid
        self.signal(signal.SIGKILL)

        def is_reaped():
            # Ours is reaped by asking for it, the others by `dev`.
            if self.started is not None:
                self.started.is_running()
            return not os.path.exists(f"/proc/{pid}")

        wait_until(f"{self.name} is gone", is_reaped)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def start(self, log, **variables):
        """Starts it again after it ended, with the same command line and nothing of our own environment."""
        if self.pid is not None:
            raise AssertionError(f"{self.name} still runs")
        self.started = Process(self.argv, log, env=variables)

    def role(self):
        """`leader`, `follower`, or `none` while it does not answer."""
        try:
            with self.connect(2.0) as connection:
                word = connection.ask("ROLE")[0]
        except (OSError, AssertionError):
            return "none"
        return {b"master": "leader", b"slave": "follower"}.get(word, "none")


class Cluster:
    """Nodes under `repligo dev`; a single node has no peers and needs no quorum."""

    def __init__(self, directory, nodes=3, options=(), extra=(), password=None):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.nodes = []
        argv = [binary(), "dev", "--nodes", nodes, "--base-port", 0, "--dir", self.directory / "dev", *options]
        self.dev = Process([*argv, "--", *extra] if extra else argv, self.directory / "dev.log")
        try:
            file = self.directory / "dev/cluster.json"
            self.dev.wait_for("every node is ready", file.exists, _READY_SECONDS)
            self.nodes = [Node(facts, password) for facts in json.loads(file.read_text())["nodes"]]
            self.leader()
        except BaseException:
            print(self.logs())
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def leader(self, seconds=20):
        """The node that says it leads, once it answers a linearizable read."""

        def find():
            for node in self.nodes:
                if node.pid is not None and node.role() == "leader":
                    with node.connect(5.0) as connection:
                        if connection.call("GET", "nothing").value.kind not in "-!":
                            return node
            return None

        return wait_until("a node leads", find, seconds, pause=0.05)

    def followers(self, leader=None):
        leader = leader or self.leader()
        return [node for node in self.nodes if node is not leader]

    def logs(self, lines=30):
        """The end of every log, for messages."""
        parts = [f"--- dev\n{self.dev.tail(lines)}"]
        for path in sorted((self.directory / "dev").glob("*.log")):
            text = path.read_text(errors="replace").splitlines()[-lines:]
            parts.append(f"--- {path.name}\n" + "\n".join(text))
        return "\n".join(parts)

    def stop(self):
        for node in self.nodes:
            if node.pid is not None:
                # A paused node would not hear SIGTERM.
                node.resume()
        code = self.dev.stop(20)
        for node in self.nodes:
            if node.started is not None:
                node.started.kill()
        return code
