"""Processes of the tests: started here, stopped here, and never outliving the test run.

Invariants: only processes that this run started (or that they started) are ever signalled; each gets
SIGTERM when the run itself dies, by PR_SET_PDEATHSIG; what a child leaves behind becomes a child of the run
(PR_SET_CHILD_SUBREAPER) and is killed by `kill_descendants` at the end.
"""

import ctypes
import os
import signal
import subprocess
from pathlib import Path

from .waiting import Late, wait_until

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools"

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)


def adopt_orphans():
    """From now on, whatever our processes leave behind becomes our child."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _die_with_the_run():
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


class Process:
    """One child, in a session of its own, with its output in a file."""

    def __init__(self, argv, log, cwd=None, env=None):
        self.argv = [str(word) for word in argv]
        self.log = Path(log)
        with open(self.log, "ab") as output:
            self.child = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=env,
                start_new_session=True,
                preexec_fn=_die_with_the_run,
            )

    @property
    def pid(self):
        return self.child.pid

    def is_running(self):
        return self.child.poll() is None

    def signal(self, number):
        """Sends a signal, unless the process has ended (its number may belong to another by then)."""
        if self.is_running():
            self.child.send_signal(number)

    def stop(self, seconds=10.0):
        """SIGTERM, then SIGKILL; returns the exit code."""
        self.signal(signal.SIGTERM)
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.child.returncode

    def kill(self):
        """SIGKILL, also to what it started in its own session."""
        if self.is_running():
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()

    def tail(self, lines=20):
        """The end of its output, for messages."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def wait_for(self, what, check, seconds):
        """Waits as long as the process lives; a failure shows its output."""

        def check_alive():
            if not self.is_running():
                raise Late(f"{what}: {self.argv[0]} ended with {self.child.returncode}\n{self.tail()}")
            return check()

        try:
            return wait_until(what, check_alive, seconds)
        except Late as late:
            raise Late(f"{late}\n{self.tail()}") from None


def run_tool(argv, seconds=30, data=None, env=None):
    """Runs a program to its end, and returns (exit code, standard output, standard error) as bytes."""
    completed = subprocess.run(
        [str(word) for word in argv],
        input=data if data is not None else b"",
        capture_output=True,
        timeout=seconds,
        env=env,
        preexec_fn=_die_with_the_run,
    )
    return completed.returncode, completed.stdout, completed.stderr


def command_line(pid):
    """The words with which a process was started; empty when it has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def _parent(pid):
    # The name in parentheses may hold anything, so the fields are counted from its end.
    stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    return int(stat.rpartition(")")[2].split()[1])


def descendants(root=None):
    """Processes below `root` (this process), nearest first."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                children.setdefault(_parent(entry), []).append(int(entry))
            except OSError:
                continue
    found, front = [], [root or os.getpid()]
    while front:
        front = [child for parent in front for child in children.get(parent, [])]
        found.extend(front)
    return found


def kill_descendants():
    """Kills everything that the run has left behind, and returns the command lines."""
    left = []
    for pid in descendants():
        words = command_line(pid)
        if words:
            left.append(" ".join(words))
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    try:
        while os.waitpid(-1, os.WNOHANG)[0] or descendants():
            pass
    except ChildProcessError:
        pass
    return left
