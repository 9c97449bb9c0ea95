"""Who may run what on which key: every command that both servers have, by every key that it names, by every kind of
right, row by row as `ACL DRYRUN` judges it.
"""

import pytest

from support.wire import Connection

from .conftest import modes

USER = "matrix"
RIGHTS = ("%R~", "%W~", "~", None)
# Commands that name channels.
CHANNELS = ("subscribe", "psubscribe", "ssubscribe", "unsubscribe", "publish", "spublish")
# Words whose options change what a command does with its keys.
MORE = [
    ["SET", "a1", "v", "GET"],
    ["SET", "a1", "v", "EX", "10", "get"],
    ["SET", "GET", "GET"],
    ["GETEX", "a1", "PERSIST"],
    ["SELECT", "1"],
]


def table(connection):
    """Every command and subcommand by its name: arity, and where a count of keys stands."""
    found = {}
    for row in connection.ask("COMMAND"):
        for one in [row, *row[9]]:
            found[one[0].decode()] = (one[1], counts(one[8]), bool(one[9]))
    return found


def counts(specs):
    """Positions of arguments that say how many keys follow."""
    positions = []
    for spec in specs:
        fields = dict(zip(spec[::2], spec[1::2], strict=True))
        find = dict(zip(fields[b"find_keys"][::2], fields[b"find_keys"][1::2], strict=True))
        if find[b"type"] == b"keynum":
            begin = dict(zip(fields[b"begin_search"][::2], fields[b"begin_search"][1::2], strict=True))
            where = dict(zip(begin[b"spec"][::2], begin[b"spec"][1::2], strict=True))
            positions.append(where[b"index"])
    return positions


def requests(name, arity, counted):
    """The command with as few words as it takes, and with some more."""
    head = name.split("|")
    least = abs(arity)
    for count in [least] if arity > 0 else range(least, least + 4):
        words = head + [f"a{position}" for position in range(len(head), count)]
        for position in counted:
            for keys in (1, 2):
                if position < len(words):
                    words[position] = str(keys)
                    yield list(words)
        if not counted:
            yield words


def rows(redis, name, words):
    """Rules of the user, one list a row."""
    reply = redis.call("COMMAND", "GETKEYS", *words)
    keys = [] if reply.raw.startswith(b"-") else sorted({key.decode() for key in redis.ask("COMMAND", "GETKEYS", *words)})
    yield ["allkeys", f"-{name}"]
    yield ["allkeys", f"+{name}"]
    if name in CHANNELS:
        names = sorted(set(words[1:]))
        for right in ("&*", "&a*", "&a?", *(f"&{one}" for one in names)):
            yield ["allkeys", f"+{name}", right]
        yield ["allkeys", f"+{name}", *(f"&{one}" for one in names)]
        # Half of the channels in each of two selectors are not all.
        yield [f"(&{one} +{name})" for one in names] or [f"+{name}"]
    for key in keys:
        others = [f"~{other}" for other in keys if other != key]
        for right in RIGHTS:
            yield [f"+{name}", *others, *([right + key] if right else [])]
        # Half a right in each of two selectors is not the whole.
        yield [f"(%R~{key} +{name})", f"(%W~{key} +{name})"]


def judge(connection, rules, words):
    assert connection.call("ACL", "SETUSER", USER, "reset", *rules).raw == b"+OK\r\n", rules
    return connection.call("ACL", "DRYRUN", USER, *words).raw


@pytest.mark.skipif("redis" in modes(), reason="compares Redis with itself")
def test_every_command_key_and_right_is_judged_as_in_redis(single, redis_server):
    compared, differences = 0, []
    with Connection(single.nodes[0].address) as ours, Connection(redis_server.address) as theirs:
        known = table(theirs)
        common = {name: row for name, row in table(ours).items() if name in known and not row[2]}
        # By the arity of Redis: a row of ours may take an argument of a later release.
        asked = [(name, words) for name, row in common.items() for words in requests(name, known[name][0], row[1])]
        asked += [(words[0].lower(), words) for words in MORE]
        for name, words in asked:
            for rules in rows(theirs, name, words):
                left, right = judge(ours, rules, words), judge(theirs, rules, words)
                compared += 1
                if left != right:
                    differences.append(f"{' '.join(rules)}: {' '.join(words)}\n  redis {right}\n  repligo {left}")
        for connection in (ours, theirs):
            connection.ask("ACL", "DELUSER", USER)
    assert not differences, f"{len(differences)} of {compared} rows differ\n" + "\n".join(differences[:40])
    assert len(common) > 100 and compared > 1500, (len(common), compared)
