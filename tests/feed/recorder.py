"""A client that writes many keys in pipelines and records the reply of every one."""

import threading
import time

from support.resp import encode
from support.wire import Connection

_BATCH = 200


class Recorder(threading.Thread):
    """Writes `count` keys over one connection, alternating between prefixes, and keeps what was acknowledged."""

    def __init__(self, address, count, prefixes):
        super().__init__(name=f"recorder {address}", daemon=True)
        self.address = address
        self.count = count
        self.prefixes = prefixes
        self.acknowledged = {}
        self.refused = []
        self.longest_wait = 0.0
        self.failure = None

    def run(self):
        try:
            with Connection(self.address, 30) as connection:
                for start in range(0, self.count, _BATCH):
                    self._write(connection, range(start, min(start + _BATCH, self.count)))
        except Exception as error:  # noqa: BLE001: it is raised again in the test's thread
            self.failure = error

    def _write(self, connection, numbers):
        pairs = [(self._key(number), b"value %d of %s" % (number, self._key(number))) for number in numbers]
        start = time.monotonic()
        connection.send(b"".join(encode(("SET", key, value)) for key, value in pairs))
        for (key, value), reply in zip(pairs, connection.read_all(len(pairs)), strict=True):
            if reply.raw == b"+OK\r\n":
                self.acknowledged[key] = value
            else:
                self.refused.append((key, reply.raw))
        self.longest_wait = max(self.longest_wait, time.monotonic() - start)

    def _key(self, number):
        prefix = self.prefixes[number % len(self.prefixes)]
        return b"%s%07d" % (prefix, number)

    def finish(self, seconds):
        """Waits for the end and raises what went wrong."""
        self.join(seconds)
        assert not self.is_alive(), f"{len(self.acknowledged)} of {self.count} keys after {seconds} s"
        if self.failure is not None:
            raise self.failure
