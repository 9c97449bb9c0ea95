"""What goes wrong: each kind begins, and gives back what ends it.

At most a minority of nodes is ever lost for good, and only while every node is a voter: more is not promised to be
survived. Kinds that one promise excludes (power everywhere in a mode that does not sync) are drawn for the other only.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from support.waiting import wait_until

from .site import NAMES, tool

# Kind → what it needs of the machine.
KINDS = {
    "pause": None,
    "kill": None,
    "kill-all": None,
    "transfer": None,
    "wipe": None,
    "old-copy": None,
    "partition": "network",
    "one-way": "network",
    "cut-leader": "network",
    "lossy": "network",
    "slow-disk": "disks",
    "stalled-disk": "disks",
    "full-disk": "disks",
    "power": "disks",
    "power-all": "disks",
    "clock": "clocks",
}
# They end in a mode in which they are promised to lose nothing.
FSYNC_ONLY = {"power-all"}
_JUMPS_S = (2, 60, 3600, 86_400)
_LOSS_PERCENT = (5, 20, 50)
_FREEZE_SECONDS = (0.03, 0.15)
# A frozen file system is thawed by somebody else if this run dies, since its writers cannot be killed.
_WATCHDOG_SECONDS = 180


class Faults:
    """Inflicts kinds on a fleet."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.site = fleet.site
        self.wrong_clock = None
        # A node whose directory is about to be lost, or was and is not a voter again yet.
        self.frozen = set()
        self.watchdog = None

    def begin(self, step, dice):
        """Begins a fault at a node, or at the leader; (nodes, whether one led, what, what ends it)."""
        leader = self.fleet.leader()
        victim = leader if leader and step.at_leader else dice.choice([name for name in NAMES if name != leader])
        if victim in self.fleet.off:
            return [], False, f"{victim} is switched off", None
        method = getattr(self, step.kind.replace("-", "_"))
        nodes, what, end = method(victim, dice)
        return nodes, leader in nodes, what, end

    # Processes.

    def pause(self, name, _dice):
        node = self.fleet.nodes[name]
        if not self.fleet.runs(name):
            return [], "does not run", None
        stopped = node.started
        self.fleet.held.add(name)
        stopped.signal(signal.SIGSTOP)

        def end():
            # Another fault may have ended it since, and start it again in its own time.
            if node.started is stopped and stopped.is_running():
                stopped.signal(signal.SIGCONT)
                self.fleet.held.discard(name)

        return [name], "stopped", end

    def kill(self, name, _dice):
        self._thaw(name)
        self.fleet.kill(name)
        return [name], "killed", lambda: self._start(name)

    def kill_all(self, _name, _dice):
        for name in NAMES:
            self.kill(name, None)
        return list(NAMES), "killed", lambda: [self._start(name) for name in NAMES]

    def transfer(self, name, dice):
        target = dice.choice([other for other in NAMES if other != name])
        return [name], f"to {target}: {self.fleet.transfer(target)}", None

    def _start(self, name):
        if not self.fleet.runs(name):
            self.fleet.start(name)

    # Directories.

    def wipe(self, name, _dice):
        if not self.fleet.all_vote():
            return [], "not all vote", None
        self.fleet.lose(name)
        self.kill(name, None)
        self.fleet.wipe(name)
        return [name], "directory lost", lambda: self._start(name)

    def old_copy(self, name, _dice):
        """A copy is taken now, and takes the place of the directory in the end."""
        self.kill(name, None)
        copy = Path(tempfile.mkdtemp(prefix="copy-", dir=self.site.folder)) / "data"
        shutil.copytree(self.site.data(name), copy)
        self._start(name)

        def end():
            if not self.fleet.all_vote():
                return
            self.fleet.lose(name)
            self.kill(name, None)
            self.fleet.wipe(name)
            try:
                shutil.copytree(copy, self.site.data(name))
            except shutil.Error:
                # No room for it: then it is a directory that was lost.
                self.fleet.wipe(name)
            self._start(name)

        return [name], "copied, and the copy restored", end

    # Network.

    def _drop(self, name, others, what="drop"):
        for other in others:
            self.site.filter(name, f"add rule inet chaos in ip saddr {self.site.address(other)} {what}")

    def _heal(self, names):
        for name in names:
            self.site.filter(name, "flush chain inet chaos in")

    def partition(self, name, _dice):
        others = [other for other in NAMES if other != name]
        self._drop(name, others)
        for other in others:
            self._drop(other, [name])
        return [name], "cut off from the others", lambda: self._heal(NAMES)

    def one_way(self, name, dice):
        others = dice.sample([other for other in NAMES if other != name], dice.choice((1, 2)))
        if dice.random() < 0.5:
            self._drop(name, others)
            return [name], f"hears nothing from {others}", lambda: self._heal([name])
        for other in others:
            self._drop(other, [name])
        return [name], f"is not heard by {others}", lambda: self._heal(others)

    def cut_leader(self, name, dice):
        leader = self.fleet.leader() or name
        return self.partition(leader, dice)

    def lossy(self, name, dice):
        percent = dice.choice(_LOSS_PERCENT)
        for one in NAMES:
            self._drop(one, [other for other in NAMES if other != one], f"numgen random mod 100 < {percent} drop")
        return [name], f"{percent} % of all packets lost", lambda: self._heal(NAMES)

    # Disks.

    def _freeze(self, name):
        if self.watchdog is None:
            thaw = "; ".join(f"fsfreeze -u {self.site.folder / name}" for name in NAMES)
            line = ["sh", "-c", f"sleep {_WATCHDOG_SECONDS}; {thaw}"]
            quiet = subprocess.DEVNULL
            self.watchdog = subprocess.Popen(line, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
        tool("fsfreeze", "-f", self.site.folder / name)
        self.frozen.add(name)

    def _thaw(self, name):
        """A writer on a frozen file system cannot be killed."""
        if name in self.frozen:
            self.frozen.discard(name)
            tool("fsfreeze", "-u", self.site.folder / name)

    def stalled_disk(self, name, _dice):
        if name in self.frozen:
            return [], "stalled already", None
        self._freeze(name)
        return [name], "no write ends", lambda: self._thaw(name)

    def slow_disk(self, name, dice):
        """Stalls for moments, all the time."""
        if name in self.frozen:
            return [], "stalled already", None
        ends = threading.Event()
        lengths = [dice.uniform(*_FREEZE_SECONDS) for _ in range(32)]
        folder = self.site.folder / name

        def run():
            for place in range(10_000):
                if ends.is_set():
                    return
                tool("fsfreeze", "-f", folder, check=False)
                time.sleep(lengths[place % len(lengths)])
                tool("fsfreeze", "-u", folder, check=False)
                time.sleep(0.01)

        slow = threading.Thread(target=run, daemon=True)
        slow.start()

        def end():
            ends.set()
            slow.join(30)

        return [name], "writes take 30 to 150 ms", end

    def full_disk(self, name, _dice):
        ballast = self.site.folder / name / "ballast"
        if name in self.frozen or ballast.exists():
            return [], "stalled or full already", None
        with open(ballast, "wb", buffering=0) as file:
            room = os.statvfs(self.site.folder / name)
            free = room.f_bavail * room.f_bsize
            for size in (free, free // 2, free // 4, 1 << 20, 1 << 16, 1 << 12):
                try:
                    while True:
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), max(size, 1 << 12))
                        file.seek(0, os.SEEK_END)
                except OSError as error:
                    if error.errno != 28:
                        raise
        return [name], "no room", lambda: ballast.unlink(missing_ok=True)

    def _cut_power(self, names):
        """The processes end with their machines, at one moment each: none acts on a disk that is gone."""
        names = [name for name in names if name not in self.fleet.off]
        for name in names:
            self._thaw(name)
            self.fleet.held.add(name)
            if self.fleet.runs(name):
                self.fleet.nodes[name].started.signal(signal.SIGSTOP)
        for name in names:
            self.site.stop_disk(name)
        for name in names:
            self.fleet.kill(name)
            self.fleet.off.add(name)
            self.fleet.boots[name] += 1

        def end():
            for name in names:
                def mounted(name=name):
                    self.site.cut_power(name)
                    return True

                wait_until(f"the disk of {name} is mounted again", mounted, 20, pause=0.1)
                self.fleet.off.discard(name)
                self._start(name)

        return end

    def power(self, name, _dice):
        if self.fleet.durability != "fsync" and not self.fleet.all_vote():
            return [], "not all vote", None
        if self.fleet.durability != "fsync":
            self.fleet.lose(name)
        return [name], "power lost", self._cut_power([name])

    def power_all(self, _name, _dice):
        return list(NAMES), "power lost", self._cut_power(NAMES)

    # Time.

    def clock(self, name, dice):
        name = self.wrong_clock or name
        seconds = dice.choice(_JUMPS_S) * dice.choice((1, -1))
        self.wrong_clock = name
        self.site.set_clock(name, seconds)

        def end():
            self.site.set_clock(name, 0)
            self.wrong_clock = None

        return [name], f"wall clock {seconds:+d} s", end

    def close(self):
        for name in NAMES:
            if name in self.frozen:
                self._thaw(name)
        if self.watchdog is not None:
            self.watchdog.kill()
            self.watchdog.wait()
