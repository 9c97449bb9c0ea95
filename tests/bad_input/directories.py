"""Data directories from outside: what is in them, and a node that is expected to refuse one."""

import hashlib
import os

from support.processes import run_tool

# The lock tells who tried last, and `node.pid` who ran last; neither is data, nor is what was not finished.
_NOT_DATA = {"lock", "node.pid", "node.pid.tmp", "meta.tmp", "snapshot.tmp", "wal.new"}
_WAL_HEADER_BYTES = 4096


def contents(directory):
    """Digest of every data file."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.iterdir())
        if path.name not in _NOT_DATA
    }


def refused(argv, **variables):
    """Starts a node that should refuse to run; returns what it says. It never gets ready."""
    environment = {"PATH": os.environ["PATH"], **variables}
    code, output, errors = run_tool(argv, seconds=20, env=environment)
    said = (output + errors).decode()
    assert code in (1, 2), (code, said)
    assert "repligo ready" not in said, said
    return said


def last_segment(directory):
    """The log segment that is written to."""
    return max(directory.glob("wal-*"))


def log_end(segment):
    """Offset behind the last byte that is not zero: the rest of a segment is zeros."""
    return len(segment.read_bytes().rstrip(b"\0"))


def records_end(segment):
    """Offset behind the last record (docs/storage-format.md): 24 bytes and a payload, at multiples of eight."""
    data = segment.read_bytes()
    offset = _WAL_HEADER_BYTES
    while any(data[offset : offset + 24]):
        length = int.from_bytes(data[offset + 8 : offset + 12], "little")
        offset += 24 + (length + 7) // 8 * 8
    return offset


def overwrite(path, offset, data):
    """Changes bytes in place."""
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def flip_in_the_middle(segment):
    """Flips one bit in the middle of what was written; returns where."""
    offset = (_WAL_HEADER_BYTES + log_end(segment)) // 2
    overwrite(segment, offset, bytes([segment.read_bytes()[offset] ^ 1]))
    return offset
