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
    """Many requests in pipelines; no reply may be an error."""
    replies = []
    for start in range(0, len(requests), _BATCH):
        part = requests[start : start + _BATCH]
        connection.send(b"".join(encode(words) for words in part))
        for words, reply in zip(part, connection.read_all(len(part), 60), strict=True):
            assert reply.value.kind not in "-!", (words[:2], reply.raw[:200])
            replies.append(reply.value.data)
    return replies


def mixed(seed, count, databases=16):
    """Entries `(db, key, value, deadline or None)` with binary keys and values, and deadlines far away."""
    chance = random.Random(seed)
    far = int(time.time() * 1000) + 3_600_000
    entries = [(0, b"", b"", None), (15, b"\r\n*3\r\n", b"\x00\xff\r\n$-1\r\n", far), (0, b"long", b"x" * 3_000_000, None)]
    for number in range(count):
        key = b"k%d:" % number + chance.randbytes(chance.randrange(12))
        value = chance.randbytes(chance.choice([0, 1, 10, 100, 1000]))
        deadline = far + number if chance.random() < 0.4 else None
        entries.append((chance.randrange(databases), key, value, deadline))
    return entries


def write(address, entries):
    """SETs all of them."""
    with Connection(address, 60) as connection:
        requests, selected = [], None
        for db, key, value, deadline in sorted(entries, key=lambda entry: entry[0]):
            if db != selected:
                requests.append(["SELECT", db])
                selected = db
            requests.append(["SET", key, value] + (["PXAT", deadline] if deadline else []))
        ask_all(connection, requests)


def content(address, databases=16):
    """Everything that a server holds: `{(db, key): (value, deadline or None)}`."""
    found = {}
    with Connection(address, 60) as connection:
        for db in range(databases):
            connection.ask("SELECT", db)
            keys = connection.ask("KEYS", "*")
            values = ask_all(connection, [["GET", key] for key in keys])
            deadlines = ask_all(connection, [["PEXPIRETIME", key] for key in keys])
            for key, value, deadline in zip(keys, values, deadlines, strict=True):
                found[db, key] = (value, deadline if deadline >= 0 else None)
    return found


def expected(entries):
    """What a server must hold that took these entries."""
    return {(db, key): (value, deadline) for db, key, value, deadline in entries}
