"""The cluster under chaos: three nodes with fixed addresses, each on a machine of the site."""

import json
import os
import shutil
import subprocess
import time

from support.nodes import Node, binary
from support.processes import Process, run_tool
from support.redis_server import free_port
from support.waiting import Late, wait_until
from support.wire import Connection

from .site import NAMES

SECONDS = 60
# A power cut does not change the machine's boot id here, so that nodes are told another one.
_BOOT = "REPLIGO_TEST_BOOT_ID"


class Fleet:
    """Nodes by name, and what is being done to them now."""

    def __init__(self, site, durability, clocks, gate=None):
        self.site = site
        # How clients come in over TLS, where they do.
        self.gate = gate
        self.durability = durability
        self.clocks = clocks
        self.boots = dict.fromkeys(NAMES, 0)
        # Nodes that do not answer because of a fault that is on.
        self.held = set()
        # Nodes whose machine is switched off: nothing starts there.
        self.off = set()
        self.ended = []
        # Nodes whose directories forgot something, and the numbers under which they may not come back.
        self.lost = {}
        secret = site.folder / "secret"
        code, out, error = run_tool([binary(), "secret", "new", secret])
        assert code == 0, out + error
        ports = {name: self._ports() for name in NAMES}
        line = ",".join(f"{name}={site.address(name)}:{ports[name][1]}" for name in NAMES)
        self.nodes = {name: self._node(name, ports[name], line, secret) for name in NAMES}

    def _ports(self):
        return [free_port() for _ in range(4)] if "network" in self.site.missing else (7001, 7002, 7003, 7004)

    def _node(self, name, ports, line, secret):
        client, peer, admin, tls = (f"{self.site.address(name)}:{port}" for port in ports)
        argv = [str(binary()), "serve", "--name", name, "--cluster", line, "--listen", client]
        argv += ["--peer-listen", peer, "--admin-listen", admin, "--durability", self.durability]
        argv += ["--data-dir", str(self.site.data(name)), "--cluster-secret-file", str(secret), "--insecure"]
        argv += self.gate.flags(tls) if self.gate else []
        facts = {"name": name, "resp": client, "admin": admin, "peer": peer, "pid": 0, "argv": argv}
        node = Node(facts | {"data_dir": str(self.site.data(name))})
        node.tls = tls
        return node

    def log(self, name):
        return self.site.folder / f"{name}.log"

    def start(self, name):
        if name in self.off:
            return
        node = self.nodes[name]
        env = {_BOOT: f"boot-{self.boots[name]}"}
        if self.clocks:
            env |= self.site.clock_variables(name)
        node.started = Process([*self.site.prefix(name), *node.argv], self.log(name), env=os.environ | env)
        self.held.discard(name)

    def runs(self, name):
        started = self.nodes[name].started
        return started is not None and started.is_running()

    def kill(self, name):
        self.held.add(name)
        if self.runs(name):
            self.nodes[name].started.kill()

    def restart_the_ended(self):
        """Starts nodes again that ended by themselves, as a supervisor would; what they said is kept."""
        for name in NAMES:
            if name not in self.held | self.off and not self.runs(name):
                self.ended.append((name, self.nodes[name].started.tail(3)))
                self.start(name)

    def launch(self):
        for name in NAMES:
            self.start(name)
        self.await_serving()

    def await_serving(self, seconds=SECONDS):
        """Every node takes a write and answers a linearizable read."""
        for name in NAMES:
            def serves(name=name):
                self.restart_the_ended()
                with Connection(self.nodes[name].address, 3.0) as connection:
                    written = connection.call("SET", "serves", name)
                    return written.value.kind == "+" and connection.call("GET", "serves").value.kind == "$"

            wait_until(f"{name} serves", serves, seconds, pause=0.1)

    def leader(self):
        """The node that says it leads; None where nobody that can be asked does."""
        for name in NAMES:
            if name in self.held or not self.runs(name):
                continue
            try:
                with Connection(self.nodes[name].address, 0.5) as connection:
                    if connection.ask("ROLE")[0] == b"master":
                        return name
            except (OSError, AssertionError):
                continue
        return None

    def members(self):
        """Facts of the members, as the first node sees them that answers."""
        for name in NAMES:
            if name in self.held or not self.runs(name):
                continue
            argv = [binary(), "cluster", "nodes", "--json", "--addr", self.nodes[name].address]
            try:
                code, out, _ = run_tool(argv, 5)
            except subprocess.TimeoutExpired:
                continue
            if code == 0:
                return json.loads(out)["members"]
        return []

    def all_vote(self):
        """Every node is a voter, and those that were lost are so under new numbers: one of them may be lost."""
        members = self.members()
        found = sorted((member["name"], member["role"]) for member in members)
        back = all(self.lost.get(member["name"]) != member["number"] for member in members)
        return back and found == [(name, "voter") for name in NAMES]

    def lose(self, name):
        """From here on this node counts only under another number."""
        numbers = [member["number"] for member in self.members() if member["name"] == name]
        self.lost[name] = numbers[0] if numbers else self.lost.get(name)

    def transfer(self, name):
        argv = [binary(), "cluster", "transfer", name, "--addr", self.nodes[name].address]
        try:
            code, out, error = run_tool(argv, 10)
        except subprocess.TimeoutExpired:
            return "no answer"
        return "done" if code == 0 else (out + error).decode().strip()

    def wipe(self, name):
        shutil.rmtree(self.site.data(name), ignore_errors=True)

    def stop(self):
        for name in NAMES:
            if self.nodes[name].started is not None:
                self.nodes[name].started.kill()

    def await_voters(self, seconds=SECONDS):
        try:
            wait_until("all nodes vote", self.all_vote, seconds, pause=0.3)
        except Late as late:
            raise Late(f"{late}: {self.members()}") from None

    def panics(self):
        """Lines that no node may ever write."""
        found = []
        for name in NAMES:
            log = self.log(name)
            text = log.read_text(errors="replace") if log.exists() else ""
            found += [f"{name}: {line}" for line in text.splitlines() if "panicked at" in line]
        return found


def now_us():
    """The one clock of a history: monotonic, in microseconds."""
    return time.monotonic_ns() // 1000
