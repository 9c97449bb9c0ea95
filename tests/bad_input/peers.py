"""Frames of the peer port, built and read byte by byte, as somebody would who has only the documentation."""

import socket
import struct

HELLO, CORE, REFUSED = 1, 2, 3
HEADER_BYTES = 56
EMPTY, PREPARED, FORMED = 0, 1, 2


def _table():
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return table


_TABLE = _table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def text(data):
    return varint(len(data)) + data


def read_varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at


class Identity:
    """What stands in the header of a frame."""

    def __init__(self, cluster, peer, incarnation, generation=1):
        self.cluster, self.peer, self.incarnation, self.generation = cluster, peer, incarnation, generation

    def frame(self, kind, payload):
        head = b"RPL\x02" + struct.pack("<IB3x", len(payload), kind)
        tail = self.cluster.to_bytes(16, "little")
        tail += struct.pack("<QQQ", self.generation, self.peer, self.incarnation)
        return head + struct.pack("<I", crc32c(head + tail + payload)) + tail + payload


def hello(name, voters, fingerprint, state, level):
    """The payload of a greeting; `state` is (what, cluster id)."""
    what, cluster = state
    out = varint(level) + text(name) + text(b"127.0.0.1:1") + varint(len(voters))
    out += b"".join(text(voter) for voter in voters) + fingerprint
    return out + bytes([what]) + varint(cluster & (1 << 64) - 1) + varint(cluster >> 64)


def fingerprint_of(payload):
    """The fingerprint of the keyspaces in a greeting."""
    _, at = read_varint(payload, 0)
    for _ in range(2):
        length, at = read_varint(payload, at)
        at += length
    count, at = read_varint(payload, at)
    for _ in range(count):
        length, at = read_varint(payload, at)
        at += length
    return payload[at : at + 16]


def level_of(payload):
    """The feature level in a greeting."""
    return read_varint(payload, 0)[0]


def read_frame(stream):
    """(kind, header, payload) of the next frame, or None when the other side hangs up."""
    header = _read(stream, HEADER_BYTES)
    if header is None:
        return None
    length, kind = struct.unpack_from("<IB", header, 4)
    payload = _read(stream, length)
    return None if payload is None else (kind, header, payload)


def _read(stream, count):
    data = bytearray()
    while len(data) < count:
        try:
            more = stream.recv(count - len(data))
        except (ConnectionError, TimeoutError):
            return None
        if not more:
            return None
        data += more
    return bytes(data)


def connect(address, seconds=5):
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=seconds)


def consensus(kind, term, *, log_term=0, index=0, commit=0, entries=(), tail=(0, 0, 0, 0)):
    """A consensus message; `tail` is commit term, reject hint, requested snapshot and priority."""
    numbers = (term, log_term, index, commit, *tail)
    out = b"\x00" + bytes([kind, 0]) + b"".join(varint(number) for number in numbers)
    # No context, no snapshot.
    out += text(b"") + varint(0) * 3 + varint(len(entries))
    for position, of_term, data in entries:
        out += b"\x00" + varint(position) + varint(of_term) + text(data)
    return out


APPEND, APPEND_RESPONSE, VOTE, HEARTBEAT = 0, 1, 2, 5


def forward(term, node, incarnation, sequence):
    """A forwarded batch with one op that does nothing."""
    ops = b"\x01\x80"
    numbers = (term, node, incarnation, sequence, 1, len(ops))
    return b"\x01" + b"".join(varint(number) for number in numbers) + ops
