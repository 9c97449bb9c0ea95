"""Machines made of namespaces: each has a network, a root file system that it cannot write to, a hosts file of
its own, and one address on a common bridge. What a container platform would start runs in them as its user.

Nothing is left on this machine: the namespaces end with the processes that hold them.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from support.nodes import binary
from support.processes import Process
from support.waiting import wait_until

USER = 10001
_ADDRESS = "10.77.0.{}"
_NS = ["--net", "--mount"]


def _run(*words):
    subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=20)


class Network:
    """A bridge, and the machines on it. The program under test lies in every machine's PATH."""

    def __init__(self):
        # Not pytest's folder: the unprivileged user must be able to get to it.
        self.folder = Path(tempfile.mkdtemp(prefix="repligo-pods-"))
        self.folder.chmod(0o755)
        shutil.copy(binary(), self.folder / "repligo")
        (self.folder / "repligo").chmod(0o755)
        # A volume that several machines mount.
        self.shared = self.folder / "shared"
        self.shared.mkdir()
        os.chown(self.shared, USER, USER)
        self.hosts, self.machines, self.count = {}, [], 0
        self.bridge = self._hold("ip link add br0 type bridge && ip link set br0 up", "bridge")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for machine in self.machines:
            machine.stop()
        self.bridge.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _hold(self, script, name):
        """A process whose namespaces are the machine's."""
        log = self.folder / f"{name}.holder.log"
        script = f"{script} && echo ready && exec sleep 600"
        holder = Process(["unshare", *_NS, "sh", "-ec", script], log)
        holder.wait_for(f"{name} has its namespaces", lambda: "ready" in log.read_text(), 15)
        return holder

    def machine(self, name, data_mode=0o700):
        machine = Machine(self, name, data_mode)
        self.machines.append(machine)
        return machine

    def attach(self, machine):
        """Gives a machine the next address, as a platform does that reschedules it."""
        self.count += 1
        machine.address = _ADDRESS.format(self.count)
        inside = ["nsenter", "--target", machine.holder.pid, *_NS]
        switch = ["nsenter", "--target", self.bridge.pid, *_NS]
        port = f"p{self.count}"
        _run(*switch, "ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", machine.holder.pid)
        _run(*switch, "ip", "link", "set", port, "master", "br0", "up")
        _run(*inside, "ip", "address", "add", f"{machine.address}/24", "dev", "eth0")
        _run(*inside, "ip", "link", "set", "eth0", "up")

    def publish(self, names):
        """Makes names known everywhere: a name to the machine that has it."""
        self.hosts.update({name: machine.address for name, machine in names.items()})
        for machine in self.machines:
            machine.write_hosts(self.hosts)


class Machine:
    """One of them. Its volume outlives it."""

    def __init__(self, network, name, data_mode):
        self.network, self.name, self.process, self.holder = network, name, None, None
        self.log = network.folder / f"{name}.log"
        self.hosts_file = network.folder / f"{name}.hosts"
        self.volume = network.folder / f"{name}.volume"
        self.volume.mkdir()
        if data_mode == 0o700:
            os.chown(self.volume, USER, USER)
        else:
            os.chown(self.volume, 0, USER)
        self.volume.chmod(data_mode)
        self.boot()

    def boot(self):
        """New namespaces and a new address; only its own name is known."""
        self.holder = self.network._hold(
            "ip link set lo up"
            f" && touch {self.hosts_file} && mount --bind {self.hosts_file} /etc/hosts"
            " && mount -t tmpfs none /var/lib && mkdir /var/lib/repligo"
            f" && mount --bind {self.volume} /var/lib/repligo"
            " && mount -o remount,bind,ro /var/lib && mount -o remount,bind,ro /",
            f"{self.name}-{self.network.count}",
        )
        self.network.attach(self)
        self.write_hosts({})

    def write_hosts(self, hosts):
        names = {"localhost": "127.0.0.1"} | hosts
        self.hosts_file.write_text("".join(f"{address} {name}\n" for name, address in names.items()))

    def command(self, *words):
        """The words that run a command inside, as the image's user without any privilege."""
        user = ["--reuid", USER, "--regid", USER, "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
        inside = ["nsenter", "--target", self.holder.pid, *_NS, "setpriv", *user]
        return [str(word) for word in [*inside, *words]]

    def environment(self, variables):
        return {"PATH": f"{self.network.folder}:/usr/bin:/bin:/usr/sbin:/sbin"} | variables

    def start(self, arguments, **variables):
        self.process = Process(self.command("repligo", *arguments), self.log, env=self.environment(variables))

    def run(self, *words, **variables):
        """(exit code, output) of a command inside."""
        completed = subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            timeout=20,
            stdin=subprocess.DEVNULL,
            env=self.environment(variables),
        )
        return completed.returncode, completed.stdout + completed.stderr

    def get(self, port, path):
        """HTTP status of a page, as a kubelet asks for it: at the machine's own address; 0 without an answer."""
        url = f"http://{self.address}:{port}{path}"
        _, output = self.run("curl", "-s", "-o", "/dev/null", "-m", "2", "-w", "%{http_code}", url)
        return int(output or 0)

    def cli(self, host, password, *words):
        variables = {"REDISCLI_AUTH": password} if password else {}
        return self.run("redis-cli", "-h", host, *words, **variables)[1].strip()

    def kill(self):
        """Everything of it dies at once."""
        self.process.kill()
        self.holder.kill()

    def stop(self):
        if self.process is not None and self.process.is_running():
            self.process.kill()
        self.holder.kill()

    def wait_for(self, what, check, seconds=40):
        return self.process.wait_for(f"{self.name}: {what}", check, seconds)


def terminate(machines, seconds):
    """SIGTERM to all, as a platform stops them; returns the exit codes."""
    for machine in machines:
        machine.process.signal(signal.SIGTERM)
    wait_until("all have ended", lambda: not any(machine.process.is_running() for machine in machines), seconds)
    return [machine.process.child.returncode for machine in machines]
