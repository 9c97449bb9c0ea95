"""A raw connection: sends bytes, and returns each reply with exactly the bytes that came."""

import socket
import time
from dataclasses import dataclass

from .resp import Value, decode, encode


class Closed(ConnectionError):
    """The server closed the connection."""


@dataclass(frozen=True)
class Reply:
    """A reply, its bytes, and what they mean."""

    raw: bytes
    value: Value


class Connection:
    """One connection to a RESP port, over TLS with a context; every wait is bounded."""

    def __init__(self, address, seconds=10.0, context=None):
        host, _, port = address.rpartition(":")
        self.address = address
        self.seconds = seconds
        self.socket = socket.create_connection((host, int(port)), timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname=host)
        self.buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _receive(self, deadline):
        """More bytes into the buffer."""
        self.socket.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            data = self.socket.recv(1 << 18)
        except TimeoutError:
            raise TimeoutError(f"{self.address}: no complete reply; so far {bytes(self.buffer[:200])!r}") from None
        except ConnectionResetError:
            data = b""
        if not data:
            raise Closed(f"{self.address} closed the connection; unread {bytes(self.buffer[:200])!r}")
        self.buffer += data

    def read(self, seconds=None):
        """The next reply."""
        deadline = time.monotonic() + (self.seconds if seconds is None else seconds)
        while True:
            decoded = decode(self.buffer) if self.buffer else None
            if decoded is not None:
                value, end = decoded
                raw = bytes(self.buffer[:end])
                del self.buffer[:end]
                return Reply(raw, value)
            self._receive(deadline)

    def read_all(self, count, seconds=None):
        """The next `count` replies; cheaper than `count` calls of `read`."""
        deadline = time.monotonic() + (self.seconds if seconds is None else seconds)
        replies, start = [], 0
        while len(replies) < count:
            decoded = decode(self.buffer, start) if start < len(self.buffer) else None
            if decoded is None:
                del self.buffer[:start]
                start = 0
                self._receive(deadline)
                continue
            value, end = decoded
            replies.append(Reply(bytes(self.buffer[start:end]), value))
            start = end
        del self.buffer[:start]
        return replies

    def call(self, *words, seconds=None):
        """One request and its reply."""
        self.send(encode(words))
        return self.read(seconds)

    def ask(self, *words, seconds=None):
        """One request; the reply in Python's own types; an error raises."""
        reply = self.call(*words, seconds=seconds)
        if reply.value.kind in "-!":
            raise AssertionError(f"{words!r}: {reply.value.data.decode(errors='replace')}")
        return reply.value.plain()
