"""One run: a cluster, clients, the faults of a plan, and the verdict of the simulator's judges."""

import heapq
import itertools
import os
import random
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from support.nodes import binary
from support.waiting import Late
from support.wire import Connection

from . import rights
from .clients import AUDITORS_FROM, FIRST_LIST, REGISTERS, Client, Record, audit
from .faults import KINDS, Faults
from .fleet import Fleet, now_us
from .schedule import draw
from .site import NAMES, Site
from .users import APP, PASSWORD, Gate, Users

_CLIENTS_PER_NODE = 4
# Keys that must still be there in the end, and keys that must be gone.
_LONG_MS, _SHORT_MS, _LIVES = 600_000, 1_000, 20
_SHORT_IS_GONE_AFTER_S = 5.0
# An election, a hold and a late answer end within so long after a fault.
_AFTER_US = 1_500_000


@dataclass
class Result:
    """What a run has shown; `violations` is empty where all is as promised."""

    seed: int
    durability: str
    kinds: tuple
    seconds: float
    faults: list = field(default_factory=list)
    counts: dict = field(default_factory=dict)
    errors: dict = field(default_factory=dict)
    early: int = 0
    late: int = 0
    longest_gap_ms: int = 0
    ended: list = field(default_factory=list)
    violations: list = field(default_factory=list)
    skipped: dict = field(default_factory=dict)
    # What users did, where a run has them.
    users: dict = field(default_factory=dict)


def judge_program():
    """The simulator, which judges recorded histories; beside the binary under test unless told."""
    path = Path(os.environ.get("REPLIGO_JUDGE", binary().parent / "repligo-sim"))
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; run: cargo build --package repligo-sim")
    return path


def judge(history):
    """Counts by name, and violations."""
    argv = [str(judge_program()), "--judge", str(history), "--auditors-from", str(AUDITORS_FROM)]
    completed = subprocess.run(argv, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
    if completed.returncode not in (0, 1):
        raise AssertionError(f"{argv}: {completed.stderr}")
    first, *rest = completed.stdout.splitlines()
    words = first.split()
    counts = {name: int(number) for name, number in zip(words[::2], words[1::2], strict=True)}
    found = [line.removeprefix("violation ") for line in rest]
    assert bool(found) == (completed.returncode == 1), completed.stdout[:500]
    return counts, found


def longest_gap_us(times, begin, end):
    """The longest time between two acknowledgements in a row, ends of the interval included."""
    inside = [begin, *sorted(time for time in times if begin < time < end), end]
    return max(later - earlier for earlier, later in itertools.pairwise(inside))


class Run:
    """A plan in progress."""

    def __init__(self, plan, seconds, folder):
        self.plan = plan
        self.seconds = seconds
        self.folder = Path(folder)
        self.site = Site(folder)
        self.result = Result(plan.seed, plan.durability, plan.kinds, seconds)
        for kind in plan.kinds:
            why = self.site.missing.get(KINDS[kind])
            if why:
                self.result.skipped[kind] = why
        clocks = "clock" in plan.kinds and "clock" not in self.result.skipped
        self.fleet = Fleet(self.site, plan.durability, clocks, Gate(self.site) if plan.users else None)
        self.users = None
        self.faults = Faults(self.fleet)

    def go(self):
        """The whole run."""
        if len(self.result.skipped) == len(set(self.plan.kinds)):
            return self.result
        try:
            self._go()
        except Late as late:
            self.result.violations.append(f"it does not recover: {late}")
        finally:
            self.faults.close()
            self.fleet.stop()
            self.result.ended = self.fleet.ended
        self.result.violations += [f"a node panicked: {line}" for line in self.fleet.panics()]
        return self.result

    def _go(self):
        self.fleet.launch()
        record = Record()
        clients = self._clients(record)
        self._write_lives()
        others = self.users.threads if self.users else []
        for thread in [*clients, *others]:
            thread.start()
        began = now_us()
        try:
            self._inflict(time.monotonic())
        finally:
            ended = now_us()
            record.stopping.set()
            for thread in [*clients, *others]:
                thread.join(60)
        for thread in [*clients, *others]:
            assert not thread.is_alive(), f"{thread.name} hangs"
            if thread.failure is not None:
                raise thread.failure
        self._read_back(clients, began, ended)

    def _clients(self, record):
        places = [name for name in NAMES for _ in range(_CLIENTS_PER_NODE)]
        if self.plan.users:
            self.users = Users(self.fleet, record, self.plan.seed)
        clients = []
        for number, name in enumerate(places):
            node, connect = self.fleet.nodes[name], None
            # Some stay with plain text, as in a fleet that moves over.
            if self.plan.users and number % _CLIENTS_PER_NODE:
                def connect(node=node):
                    return self.fleet.gate.enter(node, APP, PASSWORD)

            clients.append(Client(node, record, self.plan.seed * 1000 + number, connect))
        return clients

    def _judge_users(self):
        users = self.users
        found = rights.judge(users.changes(), users.uses(), users.sequences(), users.at_rest())
        self.result.users = users.counts()
        if "NOPERM" in self.result.errors:
            found.append(f"a user that keeps its rights was refused {self.result.errors['NOPERM']} times")
        self.result.violations += found

    def _inflict(self, start):
        """Begins and ends faults as they fall due, then ends all that is left."""
        dues = [(step.at, number, "begin", step) for number, step in enumerate(self.plan.steps)]
        heapq.heapify(dues)
        numbers = itertools.count(len(dues))
        while dues:
            at, _, what, thing = heapq.heappop(dues)
            if at < self.seconds:
                time.sleep(max(0.0, start + at - time.monotonic()))
            if what == "end":
                thing()
            elif thing.kind not in self.result.skipped:
                end = self._begin(thing)
                if end is not None:
                    heapq.heappush(dues, (thing.at + thing.length, next(numbers), "end", end))
            self.fleet.restart_the_ended()
        time.sleep(max(0.0, start + self.seconds - time.monotonic()))

    def _begin(self, step):
        began = now_us()
        nodes, led, what, end = self.faults.begin(step, random.Random(step.seed))
        self.result.faults.append(
            {"kind": step.kind, "nodes": nodes, "led": led, "what": what, "began": began,
             "until": began + int(step.length * 1_000_000)}
        )
        return end

    def _write_lives(self):
        with Connection(self.fleet.nodes[NAMES[0]].address, 30.0) as connection:
            for number in range(_LIVES):
                connection.ask("SET", f"long:{number}", number, "PX", _LONG_MS)
                connection.ask("SET", f"short:{number}", number, "PX", _SHORT_MS)
        self.lives_written = time.monotonic()

    def _count_lives(self):
        with Connection(self.fleet.nodes[NAMES[0]].address, 30.0) as connection:
            self.result.early = _LIVES - connection.ask("EXISTS", *(f"long:{n}" for n in range(_LIVES)))
            if time.monotonic() > self.lives_written + _SHORT_IS_GONE_AFTER_S:
                self.result.late = connection.ask("EXISTS", *(f"short:{n}" for n in range(_LIVES)))
        if self.result.early:
            self.result.violations.append(f"{self.result.early} keys expired early")
        if self.result.late:
            self.result.violations.append(f"{self.result.late} keys are there after their time")

    def _read_back(self, clients, began, ended):
        self.fleet.await_serving()
        self.fleet.await_voters()
        self._count_lives()
        lines = [line for client in clients for line in client.lines]
        keys = sorted({int(line.split(" ", 2)[1]) for line in lines} | set(range(REGISTERS)))
        lines += audit(self.fleet.nodes.values(), keys)
        history = self.folder / "history"
        history.write_text("\n".join(lines) + "\n")
        self.result.counts, found = judge(history)
        self.result.violations += found
        assert self.result.counts["audited"] == len(keys) and FIRST_LIST in keys, keys
        for client in clients:
            for word, count in client.errors.items():
                self.result.errors[word] = self.result.errors.get(word, 0) + count
        if self.users is not None:
            self._judge_users()
        times = sorted(moment for client in clients for moment in client.acknowledged_at)
        self.result.longest_gap_ms = longest_gap_us(times, began, ended) // 1000
        spans = [(fault.pop("began"), fault.pop("until") + _AFTER_US) for fault in self.result.faults]
        for fault, (begin, until) in zip(self.result.faults, spans, strict=True):
            overlaps = sum(one < until and begin < other for one, other in spans)
            fault["at_ms"] = (begin - began) // 1000
            fault["gap_ms"] = longest_gap_us(times, begin, max(begin + 1, min(until, ended))) // 1000
            # What came of it came of nothing else.
            fault["alone"] = overlaps == 1


def run(seed, seconds, kinds, folder):
    """Draws the plan of a seed and runs it."""
    return Run(draw(seed, seconds, kinds), seconds, folder).go()


