"""The Debian package database of this machine, and `redis-cli --pipe` that takes it in two halves."""

import re
import subprocess
from pathlib import Path

from support.resp import encode

STATUS = Path("/var/lib/dpkg/status")


def packages():
    """Every package: `pkg:<name>` → all its fields, as `dpkg -s` shows them.

    A package that is there for two architectures has two entries, named as dpkg names them.
    """
    found = {}
    for paragraph in re.split(rb"\n\n+", STATUS.read_bytes().strip(b"\n")):
        fields = dict(re.findall(rb"^([A-Za-z-]+): *(.*)$", paragraph, re.MULTILINE))
        key = b"pkg:" + fields[b"Package"]
        if key in found:
            key += b":" + fields[b"Architecture"]
        assert key not in found, key
        found[key] = paragraph + b"\n"
    return found


def stream(values):
    """The commands that write these values, one after the other."""
    return [encode(("SET", key, value)) for key, value in values.items()]


class Pipe:
    """`redis-cli --pipe` with an open standard input; only the test's own node is addressed."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self.child = subprocess.Popen(
            ["redis-cli", "-h", host, "-p", port, "--pipe", "--pipe-timeout", "60"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def feed(self, requests):
        self.child.stdin.write(b"".join(requests))
        self.child.stdin.flush()

    def finish(self, seconds):
        """Ends the stream; returns what redis-cli says about it."""
        output, errors = self.child.communicate(timeout=seconds)
        return output + errors
