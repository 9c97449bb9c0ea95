"""The Redis that we are compared with, on a free port of loopback; never a system service."""

import socket

from .processes import TOOLS, Process
from .waiting import Late
from .wire import Connection

PROGRAM = TOOLS / "bin/redis-server"


def free_port():
    """A port that was free a moment ago, below the range from which the kernel numbers connections."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RedisServer:
    """One redis-server 7.0.15 without persistence."""

    def __init__(self, directory, *options):
        if not PROGRAM.exists():
            raise FileNotFoundError(f"{PROGRAM} is missing; run: cargo xtask install")
        directory.mkdir(parents=True, exist_ok=True)
        # Somebody may take the port between the probe and the start.
        for attempt in range(5):
            port = free_port()
            self.address = f"127.0.0.1:{port}"
            settings = ["--bind", "127.0.0.1", "--port", port, "--dir", directory]
            settings += ["--save", "", "--appendonly", "no", "--databases", "16"]
            self.process = Process([PROGRAM, *settings, *options], directory / f"redis-{attempt}.log")
            try:
                self.process.wait_for("redis-server answers", self._answers, 10)
                return
            except Late:
                self.stop()
        raise Late(f"redis-server did not start\n{self.process.tail()}")

    def _answers(self):
        with Connection(self.address) as connection:
            # A server that asks for a password answers too.
            return connection.call("PING").raw.startswith((b"+PONG", b"-NOAUTH"))

    def stop(self):
        self.process.stop()
