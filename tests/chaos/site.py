"""Three machines on one: a network namespace, a small XFS file system and a wall clock for each.

Everything lives in a network and a mount namespace of this run, so that it vanishes with the run: interfaces, packet
filters, mounts and their loop devices. Where this machine cannot make them, nodes share loopback and plain folders,
and the kinds of faults that need them are skipped with the reason.
"""

import os
import struct
import subprocess
from pathlib import Path

NAMES = ("n1", "n2", "n3")
# Where unshare has put us; the variable says so to the process that it starts.
INSIDE = "REPLIGO_CHAOS_INSIDE"
_NETWORK = "10.77.0"
_CLOCK_SOURCE = Path(__file__).with_name("wall_clock.c")
_DISK_BYTES = 512 << 20


def tool(*words, seconds=20, check=True):
    """Runs a program of the system; its output as text."""
    completed = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL
    )
    if check and completed.returncode != 0:
        raise OSError(f"{' '.join(map(str, words))}: {completed.stderr.strip()}")
    return completed.stdout


def own_namespaces():
    """The command that begins a line to run it in namespaces of its own, and why there is none."""
    words = ["unshare", "--net", "--mount", "--propagation", "private"]
    try:
        tool(*words, "ip", "link", "set", "lo", "up")
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], str(error)
    return words, None


class Site:
    """The machines of one run, below one folder."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.missing = {}
        inside = os.environ.get(INSIDE)
        self.clock_library = self.folder / "wall_clock.so"
        facilities = {"network": self._build_network, "disks": self._build_disks, "clocks": self._build_clocks}
        for facility, build in facilities.items():
            if inside is None and facility != "clocks":
                self.missing[facility] = "no namespaces of its own"
                continue
            try:
                build()
            except (OSError, subprocess.SubprocessError) as error:
                self.missing[facility] = str(error)
        for name in NAMES:
            self.folder.joinpath(name).mkdir(parents=True, exist_ok=True)

    def _build_network(self):
        tool("ip", "link", "set", "lo", "up")
        # Names of namespaces are files there: ours are seen by nobody else, and are gone with the run.
        os.makedirs("/run/netns", exist_ok=True)
        tool("mount", "-t", "tmpfs", "none", "/run/netns")
        tool("ip", "link", "add", "between", "type", "bridge")
        tool("ip", "address", "add", f"{_NETWORK}.254/24", "dev", "between")
        tool("ip", "link", "set", "between", "up")
        for number, name in enumerate(NAMES, 1):
            tool("ip", "netns", "add", name)
            tool("ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "wire", "netns", name)
            tool("ip", "link", "set", f"to-{name}", "master", "between", "up")
            tool("ip", "-n", name, "address", "add", f"{_NETWORK}.{number}/24", "dev", "wire")
            tool("ip", "-n", name, "link", "set", "wire", "up")
            tool("ip", "-n", name, "link", "set", "lo", "up")
            self.filter(name, "add table inet chaos")
            self.filter(name, "add chain inet chaos in { type filter hook input priority 0; }")

    def filter(self, name, rule):
        """Changes the packet filter of a machine."""
        tool("ip", "netns", "exec", name, "nft", rule)

    def _build_disks(self):
        for name in NAMES:
            image = self.folder / f"{name}.image"
            with open(image, "wb") as file:
                file.truncate(_DISK_BYTES)
            tool("mkfs.xfs", "-q", "-f", image, seconds=60)
            self.folder.joinpath(name).mkdir(parents=True, exist_ok=True)
            self.mount(name)

    def _build_clocks(self):
        tool("cc", "-shared", "-fPIC", "-O2", "-o", self.clock_library, _CLOCK_SOURCE, "-ldl", seconds=60)
        for name in NAMES:
            self.set_clock(name, 0)

    def mount(self, name):
        tool("mount", "-o", "loop", self.folder / f"{name}.image", self.folder / name)

    def cut_power(self, name):
        """What was not synced is gone; the file system is as it is after the machine was switched on again."""
        tool("umount", self.folder / name)
        self.mount(name)

    def stop_disk(self, name):
        """No write ends from here on, and nothing more reaches the disk."""
        tool("xfs_io", "-x", "-c", "shutdown", self.folder / name)

    def data(self, name):
        return self.folder / name / "data"

    def clock_file(self, name):
        return self.folder / f"{name}.clock"

    def address(self, name):
        """The host that a node listens on."""
        return "127.0.0.1" if "network" in self.missing else f"{_NETWORK}.{NAMES.index(name) + 1}"

    def prefix(self, name):
        """What puts a command line on the machine of this name."""
        return [] if "network" in self.missing else ["nsenter", f"--net=/run/netns/{name}"]

    def clock_variables(self, name):
        """The environment in which a process has a wall clock that can be set; its other clocks are the machine's."""
        return {"LD_PRELOAD": str(self.clock_library), "REPLIGO_CHAOS_CLOCK": str(self.clock_file(name))}

    def set_clock(self, name, seconds):
        """From now on the wall clock of a machine is so far ahead."""
        flags = os.O_RDWR | os.O_CREAT
        file = os.open(self.clock_file(name), flags, 0o600)
        try:
            # In place: processes have it mapped.
            os.pwrite(file, struct.pack("=q", seconds), 0)
        finally:
            os.close(file)
