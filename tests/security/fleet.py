"""Nodes that are started one by one, each with flags of its own, and proxies between them."""

import contextlib
import socket
import subprocess
import threading

from support.nodes import binary
from support.processes import Process
from support.redis_server import free_port
from support.waiting import wait_until
from support.wire import Connection

NAMES = ("n1", "n2", "n3")


def new_secret(path):
    subprocess.run([binary(), "secret", "new", path], check=True, timeout=20)
    return path


class Member:
    """One node."""

    def __init__(self, folder, name, ports, members, flags):
        self.name, self.flags, self.process = name, list(map(str, flags)), None
        self.folder, self.log = folder, folder / f"{name}.log"
        self.resp, self.peer, self.admin = (f"127.0.0.1:{port}" for port in ports)
        line = ",".join(f"{member}={address}" for member, address in members.items())
        self.argv = [binary(), "serve", "--name", name, "--listen", self.resp, "--peer-listen", self.peer]
        self.argv += ["--admin-listen", self.admin, "--data-dir", folder / name, "--cluster", line]

    def start(self):
        self.process = Process([*self.argv, *self.flags], self.log, env={})

    def stop(self):
        if self.process is not None:
            self.process.stop()

    def text(self):
        return self.log.read_text(errors="replace")

    def says(self, part, seconds=15):
        """Waits for a part of a log line."""
        self.process.wait_for(f"{self.name} says {part!r}", lambda: part in self.text(), seconds)

    def connect(self, seconds=10.0):
        return Connection(self.resp, seconds)

    def ask(self, *words):
        with self.connect() as connection:
            return connection.ask(*words)


class Fleet:
    """Members of one cluster line; `flags` maps a name to the flags of that node, `via` a pair (from, to) to the
    address under which the first reaches the second.
    """

    def __init__(self, folder, flags, names=NAMES, via=None):
        folder.mkdir(parents=True, exist_ok=True)
        ports = {name: (free_port(), free_port(), free_port()) for name in names}
        self.addresses = {name: f"127.0.0.1:{ports[name][1]}" for name in names}
        self.members = []
        for name in names:
            known = {to: (via or {}).get((name, to), address) for to, address in self.addresses.items()}
            self.members.append(Member(folder, name, ports[name], known, flags[name]))

    def __enter__(self):
        for member in self.members:
            member.start()
        return self

    def __exit__(self, *_):
        for member in self.members:
            member.stop()

    def __getitem__(self, name):
        return next(member for member in self.members if member.name == name)

    def wait_until_ready(self, seconds=40):
        for member in self.members:
            ready = f"repligo ready name={member.name}"
            member.process.wait_for("is ready", lambda member=member, ready=ready: ready in member.text(), seconds)
        return self


class Proxy:
    """Passes bytes on to `target`, keeps what passed, and lets a test change or cut what passes."""

    def __init__(self):
        self.target = None
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = "127.0.0.1:{}".format(self.listener.getsockname()[1])
        # Bytes of each connection from the side that dialled, as they came.
        self.heard = []
        # Called with (direction, connection number, bytes); returns what is passed on, or None to cut.
        self.change = lambda direction, number, data: data
        self.open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()
        self.cut()

    def cut(self):
        for stream in self.open:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
        self.open = []

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                host, _, port = self.target.rpartition(":")
                try:
                    far = socket.create_connection((host, int(port)), timeout=5)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                number = len(self.heard)
                self.heard.append(bytearray())
                self.open += [near, far]
                for direction, source, sink in (("there", near, far), ("back", far, near)):
                    words = (direction, number, source, sink)
                    threading.Thread(target=self._pump, args=words, daemon=True).start()

    def _pump(self, direction, number, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if direction == "there":
                    self.heard[number] += data
                data = self.change(direction, number, data)
                if data is None:
                    break
                sink.sendall(data)
        for stream in (source, sink):
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)


def writes(member, key, seconds=30):
    """Waits until a node takes a write."""

    def is_taken():
        with member.connect() as connection:
            return connection.call("SET", key, member.name).raw == b"+OK\r\n"

    wait_until(f"{member.name} takes writes", is_taken, seconds, pause=0.1)
