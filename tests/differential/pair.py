"""Asks two servers the same and compares: the engine under the case files and the generator."""

import time

from support.resp import Value, encode, quoted
from support.waiting import wait_until
from support.wire import Closed, Connection, Reply

from .allowed import is_allowed
from .compare import rule_of, same, same_values
from .script import Answer, Ask, Pipeline, Raw, Request, Scan, Sleep, expand

_SHOWN = 400
_PAGES_MAX = 10_000
_CLOSE_SECONDS = 3.0
_TOLD_SECONDS = 0.03
# These stand for a reply that did not come, so that the other side's is still shown.
_CLOSED = Reply(b"(closed)", Value("-", b"(closed)"))
_SILENT = Reply(b"(no reply)", Value("-", b"(no reply)"))


def printed(words):
    """A request as a line of a case file."""
    return " ".join(quoted(word) for word in words)


def shown(raw):
    """A reply as text; long ones are cut."""
    text = repr(raw)[2:-1]
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… {len(raw)} bytes"


class Link:
    """A connection to each side, and what is queued on it."""

    def __init__(self, ours, theirs, protocol):
        self.sides = (Connection(ours), Connection(theirs))
        self.protocol = protocol
        # Rules of the queued requests between MULTI and EXEC, else None.
        self.queued = None
        # The request that was sent and waits for a key.
        self.asked = None
        self.broken = False
        if protocol == 3:
            for side in self.sides:
                side.ask("HELLO", "3")

    def close(self):
        for side in self.sides:
            side.close()

    def send(self, data):
        for side in self.sides:
            try:
                side.send(data)
            except ConnectionError:
                # What came before is still to be read; reading finds out that it is closed.
                continue

    def read(self, count):
        """`count` pairs of replies; what one side does not answer is replaced by what it did instead."""
        replies = [self._read_side(side, count) for side in self.sides]
        return list(zip(*replies, strict=True))

    def _read_side(self, side, count):
        replies = []
        try:
            for _ in range(count):
                replies.append(side.read())
        except Closed:
            replies += [_CLOSED] * (count - len(replies))
            self.broken = True
        except TimeoutError:
            replies += [_SILENT] * (count - len(replies))
            self.broken = True
        return replies

    def read_until_closed(self):
        """All replies of each side up to the end of the connection."""
        self.broken = True
        both = []
        for side in self.sides:
            replies = []
            try:
                while True:
                    replies.append(side.read(_CLOSE_SECONDS))
            except Closed:
                pass
            except TimeoutError:
                replies.append(Reply(b"(still open)", Value("-", b"")))
            both.append(b"".join(reply.raw for reply in replies))
        return both

    def is_in_step(self):
        """True if exactly the replies that were counted came: the next one answers the next request."""
        for side in self.sides:
            reply = side.call("ECHO", "in-step")
            if b"in-step" not in reply.raw and not reply.raw.startswith((b"+QUEUED", b"-NOAUTH")):
                return False
        return True


class Pair:
    """Two servers, where ours may be several nodes: connection n goes to node n modulo their number."""

    def __init__(self, mode, ours, theirs, protocol, password=None):
        self.mode, self.ours, self.theirs, self.protocol = mode, ours, theirs, protocol
        self.password = password
        self.links = {}
        self.differences = []
        self.transcript = []
        self.compared = 0

    def __enter__(self):
        for address in (self.ours[0], self.theirs):
            with Connection(address) as connection:
                if self.password:
                    connection.ask("AUTH", self.password)
                connection.ask("FLUSHALL")
        self.link(1)
        return self

    def __exit__(self, kind, *_):
        for number, link in self.links.items():
            if kind is None and not link.broken and not link.is_in_step():
                self.differences.append(f"connection {number}: more replies than requests")
            link.close()

    def link(self, number):
        if number in self.links and self.links[number].broken:
            self.links.pop(number).close()
        if number not in self.links:
            address = self.ours[(number - 1) % len(self.ours)]
            self.links[number] = Link(address, self.theirs, self.protocol)
        return self.links[number]

    def run(self, steps):
        """All steps, also after a difference, so that one run shows all of them."""
        for step in steps:
            match step:
                case Sleep():
                    time.sleep(step.seconds)
                    self.transcript.append(f".sleep {step.seconds}")
                case Ask():
                    self.ask(step.request)
                case Answer():
                    self.answer(step.connection)
                case Request():
                    self.pipeline([step], step.connection)
                case Pipeline():
                    self.pipeline(step.requests, step.connection)
                case Raw():
                    self.raw(step)
                case Scan():
                    self.scan(step)

    def pipeline(self, requests, connection):
        """Sends requests in one write, then compares reply by reply."""
        link = self.link(connection)
        expanded = [[expand(word) for word in request.words] for request in requests]
        link.send(b"".join(encode(words) for words in expanded))
        silent = sum(1 for words in expanded if _is_silent(words))
        replies = link.read(len(requests) - silent)
        position = 0
        for request, words in zip(requests, expanded, strict=True):
            if _is_silent(words):
                continue
            self.judge(link, request, words, *replies[position])
            position += 1

    def ask(self, request):
        """Sends a request that waits for a key, and returns when both sides have one waiting client more."""
        link = self.link(request.connection)
        before = self.blocked()
        link.asked = (request, [expand(word) for word in request.words])
        link.send(encode(link.asked[1]))
        wait_until(
            f"{printed(link.asked[1])} waits",
            lambda: all(now > then for now, then in zip(self.blocked(), before, strict=True)),
        )
        # A follower has told the leader by then: the order of those who wait is that of their requests.
        if any(before):
            time.sleep(_TOLD_SECONDS)

    def blocked(self):
        """Clients that wait for keys: of all our nodes together, and of Redis."""

        def of(address):
            with Connection(address) as connection:
                lines = connection.ask("INFO", "clients").decode().splitlines()
            return int(next(line for line in lines if line.startswith("blocked_clients:")).partition(":")[2])

        return (sum(of(address) for address in self.ours), of(self.theirs))

    def answer(self, connection):
        """Compares the replies to what was asked on a connection."""
        link = self.link(connection)
        (request, words), link.asked = link.asked, None
        self.judge(link, request, words, *link.read(1)[0])

    def judge(self, link, request, words, ours, theirs):
        """Compares one reply by its rule, or the rules of what was queued."""
        name = words[0].upper() if words else b""
        rule = request.rule or rule_of(words)
        if name == b"EXEC" and link.queued is not None and ours.raw != theirs.raw:
            why = same_values(link.queued, ours.value, theirs.value)
        elif theirs.raw == b"+QUEUED\r\n" and link.queued is not None:
            why = same("exact", ours, theirs)
            link.queued.append(rule)
        else:
            why = same(rule, ours, theirs)
        if name == b"MULTI" and theirs.raw == b"+OK\r\n":
            link.queued = []
        elif name in (b"EXEC", b"DISCARD", b"RESET"):
            link.queued = None
        self.note(printed(words), ours.raw, theirs.raw, why, request.connection)

    def note(self, request, ours, theirs, why, connection=1):
        """Remembers a step, and a difference unless it is allowed."""
        self.compared += 1
        prefix = f"{connection}> " if connection != 1 else ""
        if any(theirs.endswith(odd) for odd in (_CLOSED.raw, _SILENT.raw, b"(still open)")):
            why = "the case is wrong: it does not say what Redis does"
        elif why is not None and is_allowed(self.mode, request, shown(theirs), shown(ours)):
            why = None
        if why is None:
            self.transcript.append(f"{prefix}{request}   -> {shown(theirs)[:100]}")
            return
        text = f"{prefix}{request}\n    redis:   {shown(theirs)}\n    repligo: {shown(ours)}\n    {why}"
        self.differences.append(text)
        self.transcript.append(f"DIFFERS {text}")

    def raw(self, step):
        link = self.link(step.connection)
        link.send(step.data)
        if step.count is None:
            ours, theirs = link.read_until_closed()
        else:
            pairs = link.read(step.count)
            ours, theirs = (b"".join(reply.raw for reply in side) for side in zip(*pairs, strict=True))
        why = None if ours == theirs else "bytes differ"
        self.note(".raw " + quoted(step.data), ours, theirs, why, step.connection)

    def scan(self, step):
        """A whole iteration on each side; every page must be well-formed, and no key may come twice."""
        link, found = self.link(step.connection), []
        for side in link.sides:
            keys, cursor = [], b"0"
            for _ in range(_PAGES_MAX):
                page = side.ask("SCAN", cursor, *step.options)
                cursor = page[0]
                keys.extend(page[1])
                if cursor == b"0":
                    break
            found.append(sorted(keys))
        ours, theirs = (repr(keys).encode() for keys in found)
        why = None if ours == theirs else "keys differ"
        self.note(".scan " + printed(step.options), ours, theirs, why, step.connection)

    def report(self):
        """The text of a failure: every difference, then everything that was asked."""
        asked = "\n".join(self.transcript[-60:])
        return f"{len(self.differences)} differences\n\n" + "\n\n".join(self.differences) + f"\n\nasked:\n{asked}"


def _is_silent(words):
    """CLIENT REPLY OFF and SKIP answer nothing; a case uses them in `.raw`, where it counts replies itself."""
    upper = [word.upper() for word in words]
    return upper[:2] == [b"CLIENT", b"REPLY"] and upper[2:] in ([b"OFF"], [b"SKIP"])
