r"""Reads case files: what is asked, and how the answers are compared. It asks nothing itself.

A file holds cases; each begins with `== title` and with empty databases. A line is one request:

    SET k "two words\r\n" EX 100     words as in redis-cli: bare, "with \xff escapes", or 'plain'
    2> GET k                         on the second connection; other connections are opened when first used
    ~set CONFIG GET max*             compared by a rule of `compare.py` instead of the command's own
    SET k <x*100000>                 a word repeated: x, 100,000 times
    EXPIREAT k <now+100>             seconds since 1970, and <nowms+100> milliseconds
    .raw 2 "PING\r\nPING\r\n"        bytes as they are, and how many replies to expect
    .raw close "*1\r\n$-5\r\n"       the same, where the server is to hang up
    .pipeline  …  .end               the requests between go out in one write
    .scan MATCH a* COUNT 7           SCAN from 0 to 0, keys compared as a set
    .sleep 0.02                      seconds
    .ask 2> BLPOP k 0                a request whose reply comes later; goes on when its client waits for a key
    .reply 2                         the reply to it
    .only RESP3                      the case is for this protocol
    # a remark
"""

import re
import time
from dataclasses import dataclass, field
from pathlib import Path

CASES = Path(__file__).parent / "cases"


@dataclass(frozen=True)
class Request:
    """One request; `rule` is None for the command's own way of comparing."""

    words: tuple
    connection: int = 1
    rule: str | None = None


@dataclass(frozen=True)
class Raw:
    """Bytes as they are; `count` is None when the server is to hang up."""

    data: bytes
    count: int | None
    connection: int = 1


@dataclass(frozen=True)
class Pipeline:
    """Requests that are sent before any reply is read."""

    requests: tuple
    connection: int = 1


@dataclass(frozen=True)
class Scan:
    """A whole iteration with SCAN and these options."""

    options: tuple
    connection: int = 1


@dataclass(frozen=True)
class Sleep:
    """A pause, for expiry."""

    seconds: float


@dataclass(frozen=True)
class Ask:
    """A request that waits for a key; its reply is read later."""

    request: Request


@dataclass(frozen=True)
class Answer:
    """The reply to the latest [`Ask`] of a connection."""

    connection: int


@dataclass
class Case:
    """A title and its steps."""

    file: str
    title: str
    line: int
    steps: list = field(default_factory=list)
    protocols: tuple = (2, 3)

    @property
    def name(self):
        return f"{self.file}:{self.title}"


class BadScript(Exception):
    """A case file is wrong; says where."""


_ESCAPES = {"n": b"\n", "r": b"\r", "t": b"\t", "b": b"\b", "a": b"\a", "\\": b"\\", '"': b'"'}
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|\'([^\']*)\'|(\S+)')
_REPEATED = re.compile(r"<(.+)\*(\d+)>", re.DOTALL)
_CLOCK = re.compile(r"<(now|nowms)([+-]\d+)>")


def _unescape(text):
    parts, position = [], 0
    while position < len(text):
        if text[position] != "\\":
            parts.append(text[position].encode())
            position += 1
        elif text[position + 1] == "x":
            parts.append(bytes([int(text[position + 2 : position + 4], 16)]))
            position += 4
        else:
            parts.append(_ESCAPES[text[position + 1]])
            position += 2
    return b"".join(parts)


def split(text):
    """The words of a line; macros stay as they are, see `expand`."""
    words, position = [], 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        match = _WORD.match(text, position)
        double, single, bare = match.groups()
        if double is not None:
            words.append(_unescape(double))
        else:
            words.append((single if single is not None else bare).encode())
        position = match.end()
    return words


def expand(word, now=None):
    """A word with its macro replaced."""
    text = word.decode(errors="replace")
    if match := _REPEATED.fullmatch(text):
        return match[1].encode() * int(match[2])
    if match := _CLOCK.fullmatch(text):
        now = time.time() if now is None else now
        return b"%d" % (int(now * (1000 if match[1] == "nowms" else 1)) + int(match[2]))
    return word


def parse(text, file):
    """The cases of a file's text."""
    cases, pipeline = [], None
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            if line.startswith("== "):
                cases.append(Case(file, line[3:], number))
            elif line == ".pipeline":
                pipeline = []
            elif line == ".end":
                cases[-1].steps.append(Pipeline(tuple(pipeline), pipeline[0].connection))
                pipeline = None
            elif line.startswith(".only "):
                cases[-1].protocols = (int(line[-1]),)
            else:
                step = _step(line)
                (cases[-1].steps if pipeline is None else pipeline).append(step)
        except (IndexError, KeyError, ValueError, AttributeError, TypeError) as error:
            raise BadScript(f"{file}.txt:{number}: {line!r}: {error!r}") from None
    titles = [case.title for case in cases]
    if doubled := {title for title in titles if titles.count(title) > 1}:
        raise BadScript(f"{file}.txt: titles are not unique: {doubled}")
    return cases


def _step(line):
    connection, rule = 1, None
    if line.startswith(".ask "):
        return Ask(_step(line.removeprefix(".ask ")))
    if line.startswith(".reply "):
        return Answer(int(line.split()[1]))
    if match := re.match(r"(\d)> ", line):
        connection, line = int(match[1]), line[3:]
    if line.startswith("~"):
        rule, _, line = line[1:].partition(" ")
    if line.startswith(".sleep "):
        return Sleep(float(line.split()[1]))
    words = split(line)
    if line.startswith(".raw "):
        count = None if words[1] == b"close" else int(words[1])
        return Raw(expand(words[2]), count, connection)
    if line.startswith(".scan"):
        return Scan(tuple(words[1:]), connection)
    if line.startswith("."):
        raise ValueError("unknown directive")
    return Request(tuple(words), connection, rule)


def load(folder=CASES):
    """All cases of all files in a folder."""
    cases = []
    for path in sorted(folder.glob("*.txt")):
        cases.extend(parse(path.read_text(), path.stem))
    return cases
