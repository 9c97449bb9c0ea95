"""Nodes that come and go: each is started by its own command line, as an operator would."""

import json
import shutil
import threading

import redis

from support.nodes import Node, binary
from support.processes import Process, run_tool
from support.redis_server import free_port
from support.waiting import wait_until

# A snapshot, a promotion and an election, on a machine that may be busy with a build.
SECONDS = 60


class Fleet:
    """Nodes by name; every line names all nodes that were known when it was written."""

    def __init__(self, directory, durability="os"):
        self.directory = directory
        self.durability = durability
        self.ports = {}
        self.nodes = {}
        # Added to the environment of every process from here on.
        self.env = {}
        self.secret = directory / "secret"
        code, out, error = run_tool([binary(), "secret", "new", self.secret])
        assert code == 0, out + error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in self.nodes.values():
            if node.started is not None:
                node.started.stop(10)

    def peer(self, name):
        self.ports.setdefault(name, (free_port(), free_port(), free_port()))
        return f"127.0.0.1:{self.ports[name][1]}"

    def launch(self, *names, line=None):
        """Starts nodes with one line, which names them and `line`, or all that are known."""
        known = sorted(set(line if line is not None else self.ports) | set(names))
        for name in names:
            self.peer(name)
        text = ",".join(f"{name}={self.peer(name)}" for name in known)
        for name in names:
            self._start(name, ["--name", name, "--cluster", text])

    def join(self, place, via, name=None):
        """Starts a node that joins the cluster of another one; `place` is its directory, and its name if none is given."""
        self.peer(place)
        self._start(place, ["--name", name or place, "--join", self.peer(via)])

    def _start(self, place, words):
        client, peer, admin = self.ports[place]
        argv = [str(binary()), "serve", *words]
        argv += ["--listen", f"127.0.0.1:{client}", "--peer-listen", f"127.0.0.1:{peer}"]
        argv += ["--admin-listen", f"127.0.0.1:{admin}", "--durability", self.durability]
        argv += ["--data-dir", str(self.directory / place), "--cluster-secret-file", str(self.secret)]
        facts = {"name": place, "resp": f"127.0.0.1:{client}", "admin": f"127.0.0.1:{admin}", "pid": 0}
        facts |= {"peer": f"127.0.0.1:{peer}", "data_dir": str(self.directory / place), "argv": argv}
        node = self.nodes[place] = Node(facts)
        node.started = Process(argv, self.directory / f"{place}.log", env=dict(self.env))

    def restart(self, name):
        node = self.nodes[name]
        node.started = Process(node.argv, self.directory / f"{name}.log", env=dict(self.env))

    def stop(self, name):
        self.nodes[name].started.stop(20)

    def kill(self, name):
        self.nodes[name].started.kill()

    def tool(self, via, *words):
        """`repligo cluster …`: exit code and text."""
        argv = [binary(), "cluster", *words, "--addr", self.nodes[via].address]
        code, out, error = run_tool(argv, 60)
        return code, (out + error).decode()

    def members(self, via):
        """Name → facts of the members, as a node sees them; empty while it does not answer."""
        code, text = self.tool(via, "nodes", "--json")
        if code != 0:
            return {}
        return {member["number"]: member for member in json.loads(text)["members"]}

    def await_voters(self, via, names):
        """Waits until exactly these are members, and all of them vote."""

        def agree():
            found = sorted((member["name"], member["role"]) for member in self.members(via).values())
            return found == sorted((name, "voter") for name in names)

        try:
            wait_until(f"{', '.join(names)} vote", agree, SECONDS, pause=0.2)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.members(via)}\n{self.logs()}") from None

    def leader(self, via):
        def find():
            leads = [member["name"] for member in self.members(via).values() if member["leads"]]
            return leads[0] if leads else None

        return wait_until("a node leads", find, SECONDS, pause=0.1)

    def client(self, name, **options):
        host, port = self.nodes[name].address.rsplit(":", 1)
        return redis.Redis(host, int(port), socket_timeout=15, **options)

    def await_serving(self, name):
        def serves():
            try:
                return self.client(name).set("serves", name)
            except redis.RedisError:
                return False

        try:
            wait_until(f"{name} serves", serves, SECONDS, pause=0.2)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.logs()}") from None

    def wipe(self, name):
        shutil.rmtree(self.directory / name)

    def logs(self):
        return "\n".join(f"--- {path.name}\n" + "\n".join(path.read_text().splitlines()[-25:])
                         for path in sorted(self.directory.glob("*.log")))


class Writer:
    """Writes numbered values through one node all the time, and knows which were acknowledged."""

    def __init__(self, fleet, via, prefix):
        self.client = fleet.client(via)
        self.prefix = prefix
        self.acknowledged = []
        self.failed = []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join(30)

    def _run(self):
        number = 0
        while not self._ends.is_set():
            number += 1
            try:
                self.client.set(f"{self.prefix}:{number}", number)
                self.acknowledged.append(number)
            except redis.RedisError as error:
                self.failed.append((number, str(error)))
            self._ends.wait(0.005)

    def assert_held(self, client):
        lost = []
        for begin in range(0, len(self.acknowledged), 500):
            numbers = self.acknowledged[begin : begin + 500]
            values = client.mget([f"{self.prefix}:{number}" for number in numbers])
            lost += [n for n, value in zip(numbers, values) if value is None or int(value) != n]
        assert self.acknowledged and not lost, f"{len(lost)} of {len(self.acknowledged)} are gone: {lost[:5]}"
