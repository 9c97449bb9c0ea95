"""Running the two commands, filling servers, and reading everything back in another way than the commands do."""

import json
import random
import time

from support.nodes import binary
from support.processes import run_tool
from support.resp import encode
from support.wire import Connection

_BATCH = 500


def transfer(*words, code=0, seconds=120, data=None, env=None):
    """Runs `repligo WORDS --json` and returns its summary; the exit code must be the given one."""
    got, out, err = run_tool([binary(), *words, "--json"], seconds, data, env)
    assert got == code, f"exit code {got}\n{out.decode(errors='replace')}\n{err.decode(errors='replace')}"
    return json.loads(out.decode().splitlines()[-1])


def ask_all(connection, requests):
    """Many requests in pipelines; no reply may be an error. What the replies hold."""
    return [value.data for value in ask_values(connection, requests)]


def ask_values(connection, requests):
    """Many requests in pipelines; no reply may be an error."""
    replies = []
    for start in range(0, len(requests), _BATCH):
        part = requests[start : start + _BATCH]
        connection.send(b"".join(encode(words) for words in part))
        for words, reply in zip(part, connection.read_all(len(part), 60), strict=True):
            assert reply.value.kind not in "-!", (words[:2], reply.raw[:200])
            replies.append(reply.value)
    return replies


def mixed(seed, count, databases=16):
    """Entries `(db, key, value, deadline or None)` with binary keys and values of all types, and deadlines far away.

    A value is bytes, a dict for a hash, a list, a set, or `Scores` for a sorted set.
    """
    chance = random.Random(seed)
    far = int(time.time() * 1000) + 3_600_000
    parts = [b"%d" % part * (part % 50) for part in range(6000)]
    entries = [
        (1, b"large:list", parts, far),
        (1, b"large:hash", dict(zip(parts, reversed(parts), strict=True)), None),
        (2, b"large:set", set(parts), far),
        (2, b"large:scores", Scores((part, number / 8) for number, part in enumerate(parts)), None),
        (2, b"long:list", [b"a" * 2_000_000, b"", b"b" * 1_500_000], None),
    ]
    entries += [(0, b"", b"", None), (15, b"\r\n*3\r\n", b"\x00\xff\r\n$-1\r\n", far), (0, b"long", b"x" * 3_000_000, None)]
    for number in range(count):
        key = b"k%d:" % number + chance.randbytes(chance.randrange(12))
        value = chance.randbytes(chance.choice([0, 1, 10, 100, 1000]))
        if chance.random() < 0.3:
            value = collection(chance)
        deadline = far + number if chance.random() < 0.4 else None
        entries.append((chance.randrange(databases), key, value, deadline))
    return entries


class Scores(dict):
    """A sorted set: member → score."""


def collection(chance):
    """A small one of any type."""
    parts = [chance.randbytes(chance.choice([0, 1, 5, 30, 200])) for _ in range(chance.randint(1, 20))]
    scores = Scores((part, chance.choice([0.1, -2.5, 3.0, 1e300, float("inf"), 0.0])) for part in parts)
    return chance.choice([parts, set(parts), dict(zip(parts, reversed(parts), strict=True)), scores])


def requests_for(key, value, deadline):
    """The requests that make a key."""
    if isinstance(value, bytes):
        return [["SET", key, value, *(["PXAT", deadline] if deadline else [])]]
    name = {list: "RPUSH", set: "SADD", dict: "HSET", Scores: "ZADD"}[type(value)]
    if isinstance(value, Scores):
        value = [part for member, score in value.items() for part in (repr(score), member)]
    parts = [part for pair in value.items() for part in pair] if isinstance(value, dict) else list(value)
    return [[name, key, *parts], *([["PEXPIREAT", key, deadline]] if deadline else [])]


def write(address, entries):
    """Makes all of them."""
    with Connection(address, 60) as connection:
        requests, selected = [], None
        for db, key, value, deadline in sorted(entries, key=lambda entry: entry[0]):
            if db != selected:
                requests.append(["SELECT", db])
                selected = db
            requests += requests_for(key, value, deadline)
        ask_all(connection, requests)


_READS = {b"string": ["GET"], b"hash": ["HGETALL"], b"list": ["LRANGE", "0", "-1"], b"set": ["SMEMBERS"]}
_READS[b"zset"] = ["ZRANGE", "0", "-1", "WITHSCORES"]


def _read(key, kind):
    """The request for all that a key of this type holds."""
    if kind == b"stream":
        return ["XINFO", "STREAM", key, "FULL", "COUNT", 0]
    return [_READS[kind][0], key, *_READS[kind][1:]]


def _plain(value):
    """A reply without its marks."""
    return [_plain(part) for part in value.data] if isinstance(value.data, list) else value.data


def _fields(parts):
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _stream(reply):
    """What a stream holds, but for what depends on how it is kept, and when consumers were seen."""
    whole = _fields(_plain(reply))
    groups = []
    for group in map(_fields, whole[b"groups"]):
        consumers = [(one[b"name"], one[b"pending"]) for one in map(_fields, group[b"consumers"])]
        groups.append(([group[name] for name in (b"name", b"last-delivered-id", b"entries-read", b"pending")], consumers))
    told = (b"last-generated-id", b"max-deleted-entry-id", b"entries-added", b"entries", b"length")
    return [whole[name] for name in told], groups


def streams():
    """Requests that make streams: long and empty ones, with groups, deletions, and what was delivered and is gone."""
    requests = [["XADD", "events", f"{number}-1", "n", number, "text", "x" * (number % 90)] for number in range(1, 3000)]
    requests += [["XADD", "events", "5000-0", *[f"word{number}" for number in range(3000)]]]
    requests += [["XGROUP", "CREATE", "events", "workers", "0"], ["XGROUP", "CREATE", "events", "late", "$"]]
    requests += [["XGROUP", "CREATECONSUMER", "events", "late", "idle"]]
    for consumer in ("one", "two", "one"):
        requests += [["XREADGROUP", "GROUP", "workers", consumer, "COUNT", 40, "STREAMS", "events", ">"]]
    requests += [["XACK", "events", "workers", "3-1", "50-1"], ["XDEL", "events", "2-1", "60-1", "2000-1", "5000-0"]]
    requests += [["XTRIM", "events", "MINID", "20"]]
    requests += [["XADD", "gone", "7-7", "a", "b"], ["XGROUP", "CREATE", "gone", "g", "0"]]
    requests += [["XREADGROUP", "GROUP", "g", "c", "STREAMS", "gone", ">"], ["XDEL", "gone", "7-7"]]
    requests += [["XGROUP", "CREATE", "bare", "g", "0", "MKSTREAM"], ["XGROUP", "DESTROY", "bare", "g"]]
    return [*requests, ["PEXPIREAT", "gone", int(time.time() * 1000) + 3_600_000]]


def values_of(connection, keys):
    """What these `(key, type)` hold."""
    requests = [_read(key, kind) for key, kind in keys]
    values = []
    for (_, kind), reply in zip(keys, ask_values(connection, requests), strict=True):
        if kind == b"stream":
            values.append(_stream(reply))
            continue
        value = reply.data
        parts = value if kind == b"string" else [part.data for part in value]
        if kind == b"hash":
            value = dict(zip(parts[::2], parts[1::2], strict=True))
        elif kind == b"zset":
            value = Scores(zip(parts[::2], map(float, parts[1::2]), strict=True))
        else:
            value = set(parts) if kind == b"set" else parts
        values.append(value)
    return values


def content(address, databases=16):
    """Everything that a server holds: `{(db, key): (value, deadline or None)}`."""
    found = {}
    with Connection(address, 60) as connection:
        for db in range(databases):
            connection.ask("SELECT", db)
            keys = connection.ask("KEYS", "*")
            types = ask_all(connection, [["TYPE", key] for key in keys])
            values = values_of(connection, list(zip(keys, types, strict=True)))
            deadlines = ask_all(connection, [["PEXPIRETIME", key] for key in keys])
            for key, value, deadline in zip(keys, values, deadlines, strict=True):
                found[db, key] = (value, deadline if deadline >= 0 else None)
    return found


def expected(entries):
    """What a server must hold that took these entries."""
    return {(db, key): (value, deadline) for db, key, value, deadline in entries}
