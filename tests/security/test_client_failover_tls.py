"""Client libraries over TLS, with and without certificates of their own, while certificates of the nodes change and
while the leader is killed: no command fails.

Each library runs in a process of its own (`tests/clients/load.py`, `load.cjs` and `rust`), against a node that lives
on and against the leader, whose clients have to connect again to it when it is back. What runs is a load that writes
and reads its own writes, on a connection that stays and on connections that come and go.
"""

import contextlib
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from support.processes import ROOT, TOOLS
from support.redis_server import free_port
from support.waiting import wait_until

from .fleet import NAMES, Fleet, new_secret
from .test_client_tls import HOST, cert, pki, put_pair  # noqa: F401  (the fixture)

CLIENTS = Path(__file__).parent.parent / "clients"
DRIVERS = ROOT / "target/debug/repligo-client-drivers"
LIBRARIES = {
    "redis-py": [sys.executable, CLIENTS / "load.py"],
    "ioredis": ["node", CLIENTS / "load.cjs", TOOLS / "npm/node_modules/ioredis"],
    "redis-rs": [DRIVERS, "redis-rs"],
    "fred": [DRIVERS, "fred"],
}


class Load:
    """A library under load against one node."""

    def __init__(self, library, member, files):
        argv = [*LIBRARIES[library], HOST, member.tls, *files]
        self.name = f"{library} at {member.name}"
        self.process = subprocess.Popen(
            [str(word) for word in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.last = {"stays": 0, "comes": 0, "again": 0, "failed": []}
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.last = json.loads(line)

    def goes_on(self, rounds=10, seconds=40):
        """Waits until both kinds of connections have done so many rounds more, begun from now on."""
        # One of each may have begun before.
        begun = {name: self.last[name] + rounds + 1 for name in ("stays", "comes")}

        def done():
            assert self.process.poll() is None, f"{self.name} ended: {self.process.stderr.read()}"
            return all(self.last[name] >= count for name, count in begun.items()) or bool(self.last["failed"])

        wait_until(f"{self.name} goes on after {self.last}", done, seconds)
        assert not self.last["failed"], (self.name, self.last)

    def stop(self):
        self.process.stdin.close()
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.reader.join(20)
        assert code == 0, (self.name, self.process.stderr.read())
        return self.last


@pytest.fixture(scope="module", params=["without", "with"])
def fleet(request, pki, tmp_path_factory):  # noqa: F811
    """Three nodes with TLS for clients, and what clients show to them: the authorities, and a pair if one is asked for."""
    folder = tmp_path_factory.mktemp(f"fleet-{request.param}")
    both = folder / "both.crt"
    both.write_text("".join((pki / name / "ca.crt").read_text() for name in ("one", "two")))
    flags, tls = {}, {name: free_port() for name in NAMES}
    secret = new_secret(folder / "secret")
    for name in NAMES:
        put_pair(pki / "one", folder / f"{name}-tls.crt", folder / f"{name}-tls.key")
        flags[name] = ["--cluster-secret-file", secret, "--tls-listen", f"{HOST}:{tls[name]}"]
        flags[name] += ["--tls-cert", folder / f"{name}-tls.crt", "--tls-key", folder / f"{name}-tls.key"]
        if request.param == "with":
            flags[name] += ["--tls-client-ca", pki / "one/ca.crt"]
    files = [both, *([pki / "one/app.crt", pki / "one/app.key"] if request.param == "with" else [])]
    with Fleet(folder, flags) as fleet:
        fleet.wait_until_ready()
        for member in fleet.members:
            member.tls = tls[member.name]
        yield fleet, files


def leader_of(fleet):
    def find():
        for member in fleet.members:
            with contextlib.suppress(OSError, AssertionError):
                if member.ask("ROLE")[0] == b"master":
                    return member
        return None

    return wait_until("a node leads", find, 30, pause=0.05)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("library", LIBRARIES)
def test_no_command_fails_while_certificates_change_and_the_leader_dies(fleet, pki, library):  # noqa: F811
    fleet, files = fleet
    program = Path(LIBRARIES[library][0])
    assert program == Path("node") or program.exists(), "run: cargo build --package repligo-client-drivers"
    leader = leader_of(fleet)
    survivor = next(member for member in fleet.members if member is not leader)
    stays, returns = (Load(library, member, files) for member in (survivor, leader))
    try:
        for load in (stays, returns):
            load.goes_on()
        for name in ("two", "one", "two"):
            reads = [member.text().count("the TLS listener were read again") for member in fleet.members]
            for member in fleet.members:
                put_pair(pki / name, member.folder / f"{member.name}-tls.crt", member.folder / f"{member.name}-tls.key")
            for member, before in zip(fleet.members, reads, strict=True):
                wait_until(
                    f"{member.name} has read it",
                    lambda member=member, before=before: member.text().count("the TLS listener were read again") > before,
                    20,
                )
            for load in (stays, returns):
                load.goes_on()
        assert stays.last["again"] == returns.last["again"] == 0, "new certificates cost no connection"
        leader.process.kill()
        stays.goes_on()
        assert leader_of(fleet) is not leader
        time.sleep(0.5)
        leader.start()
        returns.goes_on(seconds=60)
        stays.goes_on()
    finally:
        last = [load.stop() for load in (stays, returns)]
    assert not last[0]["failed"] and not last[1]["failed"], last
    assert last[0]["again"] == 0, "a client of a node that lives on loses no connection"
    # The two others say nothing of connections that they make again.
    assert last[1]["again"] > 0 or library in ("redis-py", "fred"), "the leader's clients had to connect again"
    for member in fleet.members:
        put_pair(pki / "one", member.folder / f"{member.name}-tls.crt", member.folder / f"{member.name}-tls.key")
