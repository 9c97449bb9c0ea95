"""Disk need: little data that is overwritten for long takes little more than docs/operations.md says it may."""

import os

from support.nodes import Cluster
from support.resp import encode

MIB = 1 << 20
KEYS = 200
VALUE_BYTES = 10 << 10
# Many times what the log may hold, so that it has to go round.
WRITTEN_BYTES = 400 * MIB
# Bytes of keys and numbers beside a value in a snapshot, with room to spare.
ENTRY_BYTES = 64


def allocated_bytes(directory):
    """What the directory takes, as `du` counts."""
    total = 0
    for entry in os.scandir(directory):
        try:
            total += entry.stat().st_blocks * 512
        except FileNotFoundError:
            # A segment that has just been given back.
            pass
    return total


def bound(snapshot_bytes):
    """The formula of docs/operations.md."""
    log = max(snapshot_bytes, min(256 * MIB, 32 * MIB + 2 * snapshot_bytes))
    return 2 * snapshot_bytes + log + 96 * MIB + 5 * MIB


def test_overwritten_data_takes_no_more_disk_than_documented(tmp_path):
    with Cluster(tmp_path, nodes=1) as cluster:
        node = cluster.leader()
        most, written, number = 0, 0, 0
        with node.connect(120) as connection:
            while written < WRITTEN_BYTES:
                value = bytes([97 + number % 26]) * VALUE_BYTES
                connection.send(b"".join(encode(("SET", f"key:{key}", value)) for key in range(KEYS)))
                assert all(reply.raw == b"+OK\r\n" for reply in connection.read_all(KEYS, 60))
                written += KEYS * VALUE_BYTES
                number += 1
                most = max(most, allocated_bytes(node.data_dir))
        allowed = bound(KEYS * (VALUE_BYTES + ENTRY_BYTES))
        assert (node.data_dir / "snapshot").exists(), "a snapshot has taken the place of log"
        assert most < allowed, f"{most / MIB:.0f} MiB of {allowed / MIB:.0f} MiB"
        print(f"at most {most / MIB:.0f} MiB of {allowed / MIB:.0f} MiB")
