"""Full disks: reads go on, writes are refused as not applied, nothing acknowledged is lost, and it ends by itself."""

import functools
import json
import subprocess
import urllib.request

import pytest
import redis

from membership.members import SECONDS, Fleet
from support.waiting import wait_until

from .test_ready import is_ready

MIB = 1 << 20
NAMES = ("n1", "n2", "n3")


@functools.cache
def why_not():
    """Why a small file system cannot be mounted here; None where it can."""
    try:
        probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"]
        completed = subprocess.run(probe, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if completed.returncode == 0 else completed.stderr.strip()


pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"nothing can be mounted here: {why_not()}")


@pytest.fixture
def fleet(tmp_path):
    """Three nodes, each with a disk of 24 MiB."""
    mounted = []
    try:
        for name in NAMES:
            directory = tmp_path / name
            directory.mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "none", directory]
            subprocess.run(mount, check=True, timeout=10)
            mounted.append(directory)
        with Fleet(tmp_path) as fleet:
            for name in NAMES:
                fleet.peer(name)
            fleet.launch(*NAMES)
            fleet.await_serving("n1")
            yield fleet
    finally:
        for directory in mounted:
            subprocess.run(["umount", "--lazy", directory], check=True, timeout=10)


def fill(fleet, *names):
    """Takes all that is left of these disks."""
    for name in names:
        with open(fleet.directory / name / "ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(64 << 10))
            except OSError as error:
                assert error.errno == 28, error


def make_room(fleet, *names):
    for name in names:
        (fleet.directory / name / "ballast").unlink()


def metric(node, name):
    with urllib.request.urlopen(f"http://{node.admin}/metrics", timeout=5) as page:
        for line in page.read().decode().splitlines():
            if line.startswith(name + " "):
                return int(line.split()[1])
    raise AssertionError(f"no {name}")


class Load:
    """Values of 8 KiB, and which of them were acknowledged or refused."""

    def __init__(self):
        self.held = {}
        self.refused = []
        self.unknown = []

    def write(self, client, count=1):
        """True if all were acknowledged."""
        for _ in range(count):
            key = f"key:{len(self.held) + len(self.refused) + len(self.unknown)}"
            try:
                client.set(key, key.ljust(8 << 10, "."))
                self.held[key] = True
            except redis.ResponseError as error:
                text = str(error)
                if text.startswith("UNKNOWN"):
                    self.unknown.append(key)
                    return False
                assert text.startswith("DISKFULL") and "not applied" in text, text
                self.refused.append(key)
                return False
        return True

    def assert_kept(self, client):
        for key in self.held:
            value = client.get(key)
            assert value is not None and value.decode().rstrip(".") == key, key
        for key in self.refused:
            assert client.get(key) is None, f"{key} was refused and is there"


def test_a_follower_with_a_full_disk_refuses_and_catches_up(fleet):
    leader = fleet.leader("n1")
    full, other = (name for name in NAMES if name != leader)
    load = Load()
    assert load.write(fleet.client(leader), 10)
    fill(fleet, full)
    # Beyond what its log has room for. The others are a majority.
    assert load.write(fleet.client(leader), 400)
    node = fleet.nodes[full]
    wait_until(f"{full} says so", lambda: metric(node, "repligo_disk_full") == 1, SECONDS)
    assert not load.write(fleet.client(full))
    assert load.refused, "as not applied"
    reader = fleet.client(full)
    reader.execute_command("READONLY")
    assert reader.get("key:0") is not None
    assert is_ready(node) == 503
    with urllib.request.urlopen(f"http://{node.admin}/api/status", timeout=5) as status:
        problems = json.load(status)["problems"]
    assert any("the disk of" in problem["what"] for problem in problems), problems
    assert load.write(fleet.client(other)), "others take writes"
    make_room(fleet, full)
    wait_until("it takes writes again", lambda: load.write(fleet.client(full)), SECONDS, pause=0.2)
    load.assert_kept(fleet.client(full))
    assert metric(node, "repligo_disk_full") == 0 and node.pid is not None


def test_full_disks_everywhere_leave_the_reads(fleet):
    load = Load()
    leader = fleet.leader("n1")
    fill(fleet, *NAMES)
    client = fleet.client(leader)
    wait_until("writes are refused", lambda: not load.write(client, 50), SECONDS)
    for name in NAMES:
        wait_until(f"{name} refuses", lambda: not load.write(fleet.client(name)), SECONDS)
        assert load.refused[-1:], load.unknown
    # One that was full before the others lacks entries, and cannot take them.
    leading = fleet.leader("n1")
    assert fleet.client(leading).get("key:0") is not None, "linearizable reads are answered"
    for name in NAMES:
        reader = fleet.client(name)
        reader.execute_command("READONLY")
        assert reader.get("key:0") is not None
        assert is_ready(fleet.nodes[name]) == 200
        assert metric(fleet.nodes[name], "repligo_quorum_full") == 1
    make_room(fleet, *NAMES)
    for name in NAMES:
        wait_until(f"{name} takes writes", lambda: load.write(fleet.client(name)), SECONDS, pause=0.2)
    load.assert_kept(fleet.client(leader))
    for name in NAMES:
        fleet.kill(name)
    for name in NAMES:
        fleet.restart(name)
    fleet.await_serving("n1")
    load.assert_kept(fleet.client("n1"))
