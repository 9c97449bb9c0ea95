"""Clients that write increasing values and read them elsewhere, and record what they did and saw.

Every key has one writer and its values only grow, so that a read tells at once what it may not have missed.
"""

import random
import threading
import time

from support.resp import encode
from support.wire import Closed, Connection

from .history import Read, Write

_PAUSE = 0.004


class _Client(threading.Thread):
    """A thread that works until it is told to stop; what goes wrong in it is raised by `finish`."""

    def __init__(self, node, stopping):
        super().__init__(name=f"{type(self).__name__} at {node.name}", daemon=True)
        self.node = node
        self.stopping = stopping
        self.connection = None
        self.disconnects = 0
        self.failure = None

    def run(self):
        try:
            while not self.stopping.is_set():
                try:
                    self._connected()
                    self.step()
                except (Closed, ConnectionError):
                    self.disconnects += 1
                    self._disconnect()
                    time.sleep(0.05)
                time.sleep(_PAUSE)
        except Exception as error:  # noqa: BLE001: it is raised again in the test's thread
            self.failure = error
        finally:
            self._disconnect()

    def _connected(self):
        if self.connection is None:
            self.connection = Connection(self.node.address, 20)

    def _disconnect(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def finish(self, seconds):
        self.join(seconds)
        assert not self.is_alive(), f"{self.name} hangs"
        if self.failure is not None:
            raise AssertionError(f"{self.name}: {self.failure!r}") from self.failure


class Writer(_Client):
    """Writes its own keys in pipelines of changing length, over one connection."""

    def __init__(self, node, stopping, keys, seed):
        super().__init__(node, stopping)
        self.keys = keys
        self.random = random.Random(seed)
        self.next_value = 1
        self.writes = []
        self.errors = []

    def step(self):
        count = self.random.choice((1, 1, 4, 16))
        start = time.monotonic()
        batch = []
        for key in self.random.sample(self.keys, min(count, len(self.keys))):
            batch.append(Write(key, self.next_value, start, None, "unknown"))
            self.next_value += 1
        self.writes.extend(batch)
        self.connection.send(b"".join(encode(("SET", write.key, write.value)) for write in batch))
        for write in batch:
            reply = self.connection.read()
            write.end = time.monotonic()
            if reply.raw == b"+OK\r\n":
                write.fate = "acknowledged"
                continue
            # UNKNOWN is the only error of a write that does not promise that nothing happened.
            write.fate = "unknown" if reply.raw.startswith(b"-UNKNOWN") else "refused"
            self.errors.append((write.end, reply.raw))


class Reader(_Client):
    """Reads keys of all writers at the default, linearizable level."""

    def __init__(self, node, stopping, keys, seed):
        super().__init__(node, stopping)
        self.keys = keys
        self.random = random.Random(seed)
        self.reads = []
        self.errors = []

    def step(self):
        count = self.random.choice((1, 1, 3))
        keys = self.random.sample(self.keys, count)
        start = time.monotonic()
        self.connection.send(b"".join(encode(("GET", key)) for key in keys))
        for key in keys:
            reply = self.connection.read()
            end = time.monotonic()
            if reply.value.kind in "-!":
                self.errors.append((end, reply.raw))
                continue
            value = 0 if reply.value.data is None else int(reply.value.data)
            self.reads.append(Read(key, value, start, end, self.node.name))
