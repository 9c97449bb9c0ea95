"""Users under chaos: some clients come in over TLS as a user, and rights change through all nodes meanwhile.

Wardens, one at each node, change the same few users; a change says all that counts of a user, so that the latest one
decides, and carries a token that the user shows as a key pattern. Guests use the rights, logged in at every node over
TLS. Watchers note in which order each node shows the changes. `rights.py` judges what they have seen.
"""

import itertools
import random
import ssl
import threading
import time
from dataclasses import dataclass

from support.nodes import binary
from support.processes import run_tool
from support.wire import Closed, Connection

from .fleet import now_us
from .site import NAMES

APP, PASSWORD = "app", "chaos"
GUESTS = ("guest0", "guest1")
# What a change makes of a user, and the rights that this leaves.
KINDS = {"grant": ("+get", "+set"), "read-only": ("+get",), "nothing": ()}
_GUEST_KEY = "guest"
_TOKEN = "~token:"
_WARDEN_PAUSE_S = 0.15
_GUEST_PAUSE_S = 0.01
_WATCHER_PAUSE_S = 0.01
_ANSWER_SECONDS = 12.0


@dataclass(frozen=True)
class Change:
    """A change of a user; `returned` is None if nobody knows whether it holds."""

    user: str
    token: int
    kind: str
    invoked: int
    returned: int | None


@dataclass(frozen=True)
class Use:
    """A request of a user that was let through."""

    user: str
    right: str
    node: str
    invoked: int
    returned: int


class Gate:
    """How clients come in: the authority of this run, and what each node shows."""

    def __init__(self, site):
        self.folder = site.folder / "tls"
        self.folder.mkdir()
        self._cert("ca")
        hosts = sorted({site.address(name) for name in NAMES})
        self._cert("server", "--name", "localhost", *hosts, "--ca", self.folder)
        self.context = ssl.create_default_context(cafile=self.folder / "ca.crt")

    def _cert(self, *words):
        code, out, error = run_tool([binary(), "cert", *words, "--out", self.folder])
        assert code == 0, out + error

    def flags(self, address):
        """What a node is started with."""
        files = ["--tls-cert", self.folder / "localhost.crt", "--tls-key", self.folder / "localhost.key"]
        return ["--tls-listen", address, *map(str, files)]

    def enter(self, node, user, password, seconds=_ANSWER_SECONDS):
        """A connection over TLS, logged in; `Closed` where the node does not know the user (yet, or any more)."""
        connection = Connection(node.tls, seconds, self.context)
        try:
            reply = connection.call("AUTH", user, password)
            if reply.value.kind != "+":
                raise Closed(f"{node}: {reply.raw!r}")
        except BaseException:
            connection.close()
            raise
        return connection


def make_users(node):
    """The user of the clients, and those whose rights will change; and the first changes of these."""
    changes = []
    with Connection(node.address, 30.0) as connection:
        connection.ask("ACL", "SETUSER", APP, "on", f">{PASSWORD}", "~r:*", "~l:*", "+get", "+set", "+rpush", "+lrange")
        for token, user in enumerate(GUESTS, 1):
            invoked = now_us()
            connection.ask("ACL", "SETUSER", user, *_rules("grant", token))
            changes.append(Change(user, token, "grant", invoked, now_us()))
    return changes


def _rules(kind, token):
    return ("reset", "on", "nopass", f"~{_GUEST_KEY}", f"{_TOKEN}{token}", *KINDS[kind])


def tokens_of(lines):
    """Token by user, as ACL LIST shows them."""
    found = {}
    for line in lines:
        words = line.decode().split()
        tokens = [word.removeprefix(_TOKEN) for word in words if word.startswith(_TOKEN)]
        if words[1] in GUESTS and len(tokens) == 1:
            found[words[1]] = int(tokens[0])
    return found


class _Worker(threading.Thread):
    """Does one step after the other at a node until all is over; its connection is made again when it breaks."""

    pause = 0.0

    def __init__(self, node, record, seed):
        super().__init__(name=f"{type(self).__name__} of {node.name}", daemon=True)
        self.node, self.record, self.dice = node, record, random.Random(seed)
        self.connection = None
        self.failure = None

    def run(self):
        try:
            while not self.record.stopping.is_set():
                try:
                    if self.connection is None:
                        self.connection = self.connect()
                    self.step()
                except (Closed, OSError):
                    self._hang_up()
                    time.sleep(0.1)
                time.sleep(self.pause)
        except Exception as error:  # noqa: BLE001: it is raised again by the run
            self.failure = error
        finally:
            self._hang_up()

    def _hang_up(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def connect(self):
        return Connection(self.node.address, _ANSWER_SECONDS)


class Warden(_Worker):
    """Changes users."""

    pause = _WARDEN_PAUSE_S

    def __init__(self, node, record, seed, tokens):
        super().__init__(node, record, seed)
        self.tokens = tokens
        self.changes = []

    def step(self):
        user, kind, token = self.dice.choice(GUESTS), self.dice.choice(list(KINDS)), next(self.tokens)
        invoked = now_us()
        returned, is_refused = None, False
        try:
            reply = self.connection.call("ACL", "SETUSER", user, *_rules(kind, token))
            # UNKNOWN is the only error that does not promise that nothing happened.
            is_refused = reply.value.kind in "-!" and not reply.value.data.startswith(b"UNKNOWN")
            if reply.value.kind == "+":
                returned = now_us()
        finally:
            if not is_refused:
                self.changes.append(Change(user, token, kind, invoked, returned))


class Guest(_Worker):
    """Uses the rights of a user."""

    pause = _GUEST_PAUSE_S

    def __init__(self, node, record, seed, door):
        super().__init__(node, record, seed)
        self.gate, self.user = door
        self.uses = []
        self.refused = 0

    def connect(self):
        return self.gate.enter(self.node, self.user, "any")

    def step(self):
        right = self.dice.choice(("get", "set"))
        words = ("GET", _GUEST_KEY) if right == "get" else ("SET", _GUEST_KEY, self.node.name)
        invoked = now_us()
        reply = self.connection.call(*words)
        if reply.value.kind not in "-!":
            self.uses.append(Use(self.user, right, self.node.name, invoked, now_us()))
        elif reply.value.data.startswith(b"NOPERM"):
            self.refused += 1


class Watcher(_Worker):
    """Notes what a node shows; each connection begins anew, since a node that was started again may be behind."""

    pause = _WATCHER_PAUSE_S

    def __init__(self, node, record, seed):
        super().__init__(node, record, seed)
        self.sequences = []

    def connect(self):
        self.sequences.append({user: [] for user in GUESTS})
        return super().connect()

    def step(self):
        for user, token in tokens_of(self.connection.ask("ACL", "LIST")).items():
            seen = self.sequences[-1][user]
            if not seen or seen[-1] != token:
                seen.append(token)


class Users:
    """All of them together, beside the clients of a run."""

    def __init__(self, fleet, record, seed):
        self.fleet = fleet
        self.first = make_users(fleet.nodes[NAMES[0]])
        tokens = itertools.count(len(GUESTS) + 1)
        dice = random.Random(f"users {seed}")
        nodes = list(fleet.nodes.values())
        self.wardens = [Warden(node, record, dice.random(), tokens) for node in nodes]
        self.watchers = [Watcher(node, record, dice.random()) for node in nodes]
        self.guests = [
            Guest(node, record, dice.random(), (fleet.gate, user)) for node in nodes for user in GUESTS
        ]

    @property
    def threads(self):
        return [*self.wardens, *self.watchers, *self.guests]

    def changes(self):
        return self.first + [change for warden in self.wardens for change in warden.changes]

    def uses(self):
        return [use for guest in self.guests for use in guest.uses]

    def sequences(self):
        """For each user, what was seen in a row at a node."""
        return {
            user: [one[user] for watcher in self.watchers for one in watcher.sequences] for user in GUESTS
        }

    def counts(self):
        changes = self.changes()
        return {
            "changes": len(changes),
            "acknowledged": sum(change.returned is not None for change in changes),
            "uses": len(self.uses()),
            "refused": sum(guest.refused for guest in self.guests),
            "seen": sum(len(tokens) for found in self.sequences().values() for tokens in found),
        }

    def at_rest(self):
        """ACL LIST of each node."""
        lists = {}
        for name, node in self.fleet.nodes.items():
            with Connection(node.address, 30.0) as connection:
                lists[name] = connection.ask("ACL", "LIST")
        return lists
