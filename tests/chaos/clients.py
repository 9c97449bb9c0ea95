"""Clients that write unique values at level quorum and read them linearizably, and record a history.

Registers are written by everybody; lists only grow. An operation is a line of the simulator's history format
(`crates/sim/src/history.rs`). `connect` makes a connection: in plain text, or as
a user over TLS. Each connection is a client of its own: what an earlier one was not told of may still
happen.
"""

import itertools
import random
import threading
import time

from support.resp import encode
from support.wire import Closed, Connection

from .fleet import now_us

REGISTERS = 8
_LISTS = 2
# A list is given up for the next one after so long: reads of it return all of it.
_LIST_SECONDS = 2.0
FIRST_LIST = 1000
AUDITORS_FROM = 1_000_000
_PAUSE = 0.004
_ANSWER_SECONDS = 12.0


class Record:
    """What all clients share: numbers that are given once, and the keys of now."""

    def __init__(self):
        self.client_numbers = itertools.count(1)
        self.tokens = itertools.count(1)
        self.began = time.monotonic()
        self.stopping = threading.Event()

    def list_key(self, dice):
        age = int((time.monotonic() - self.began) / _LIST_SECONDS)
        return FIRST_LIST + age * _LISTS + dice.randrange(_LISTS)


def name_of(key):
    return b"%c:%d" % (b"l" if key >= FIRST_LIST else b"r", key)


def request_of(key, token):
    """A write of a token, or a read without one."""
    if key >= FIRST_LIST:
        return ("RPUSH", name_of(key), token) if token else ("LRANGE", name_of(key), 0, -1)
    return ("SET", name_of(key), token) if token else ("GET", name_of(key))


def outcome_of(key, token, reply):
    """The outcome's words in a history; None for a read that was refused, which says nothing."""
    value = reply.value
    if value.kind in "-!":
        if not token:
            return None
        # UNKNOWN is the only error of a write that does not promise that nothing happened.
        return "unknown" if value.data.startswith(b"UNKNOWN") else "refused"
    if token:
        return f"count {value.data}" if key >= FIRST_LIST else "ok"
    if key >= FIRST_LIST:
        return "list " + ",".join(item.data.decode() for item in value.data)
    return "value " + ("nil" if value.is_null else value.data.decode())


def action_of(key, token):
    if not token:
        return "read"
    return f"append {token}" if key >= FIRST_LIST else f"write {token}"


class Client(threading.Thread):
    """One client of one node. Its connection is made again when it breaks."""

    def __init__(self, node, record, seed, connect=None):
        super().__init__(name=f"client {seed} of {node.name}", daemon=True)
        self.node = node
        self.connect = connect or (lambda: Connection(node.address, _ANSWER_SECONDS))
        self.record = record
        self.dice = random.Random(seed)
        self.number = next(record.client_numbers)
        self.connection = None
        self.lines = []
        self.acknowledged_at = []
        self.errors = {}
        self.broken = 0
        self.failure = None

    def run(self):
        try:
            while not self.record.stopping.is_set():
                try:
                    if self.connection is None:
                        self.connection = self.connect()
                    self.step()
                except (Closed, OSError):
                    self.hang_up()
                    time.sleep(0.05)
                time.sleep(_PAUSE)
        except Exception as error:  # noqa: BLE001: it is raised again by the run
            self.failure = error
        finally:
            self.hang_up()

    def hang_up(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None
            self.broken += 1
            self.number = next(self.record.client_numbers)

    def step(self):
        """One request, or a few without waiting between them."""
        batch = []
        for _ in range(self.dice.choice((1, 1, 1, 3))):
            is_list = self.dice.random() < 0.25
            key = self.record.list_key(self.dice) if is_list else self.dice.randrange(REGISTERS)
            batch.append((key, next(self.record.tokens) if self.dice.random() < 0.5 else None))
        invoked = now_us()
        answered = 0
        try:
            self.connection.send(b"".join(encode(request_of(key, token)) for key, token in batch))
            for key, token in batch:
                reply = self.connection.read()
                self.note(key, token, invoked, reply)
                answered += 1
        finally:
            for key, token in batch[answered:]:
                if token:
                    self.lines.append(f"{self.number} {key} {invoked} - {action_of(key, token)} unknown")

    def note(self, key, token, invoked, reply):
        returned = now_us()
        outcome = outcome_of(key, token, reply)
        if reply.value.kind in "-!":
            word = reply.value.data.split()[0].decode(errors="replace")
            self.errors[word] = self.errors.get(word, 0) + 1
        elif token:
            self.acknowledged_at.append(returned)
        if outcome is not None:
            self.lines.append(f"{self.number} {key} {invoked} {returned} {action_of(key, token)} {outcome}")


def audit(nodes, keys):
    """Every key as each node answers a linearizable read of it at rest, as lines of auditors."""
    lines = []
    for place, node in enumerate(nodes):
        with Connection(node.address, 30.0) as connection:
            for key in keys:
                invoked = now_us()
                reply = connection.call(*request_of(key, None))
                outcome = outcome_of(key, None, reply)
                assert outcome is not None, f"{node}: {reply.raw[:200]!r}"
                lines.append(f"{AUDITORS_FROM + place} {key} {invoked} {now_us()} read {outcome}")
    return lines
