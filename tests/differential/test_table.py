"""Every row of the command table: arities, options alone and together, numbers at their ends.

The requests are made from what COMMAND DOCS tells of the arguments, so a new command is compared as soon as it is in
the table. What a request leaves behind is compared too.
"""

import itertools

import pytest

from support.wire import Connection

from .conftest import modes
from .script import Pipeline, Request
from .test_documents import all_rows

# They end or silence the connection, or change what other requests on it mean; the case files have them.
ELSEWHERE = {"quit", "reset", "hello", "auth", "multi", "exec", "client|reply", "client|kill", "config|set"}
ACL = ("setuser", "deluser", "getuser", "list", "users", "cat", "genpass", "load", "save")
ELSEWHERE |= {"acl|" + word for word in ACL}
# They are answered once per channel, and change what a connection may ask.
ELSEWHERE |= {before + word for before in ("", "p", "s") for word in ("subscribe", "unsubscribe")}
# Its pushes come between the replies to everything behind it; tracking.txt has it.
ELSEWHERE |= {"client|tracking"}
# It tells what the two servers have been through before.
ELSEWHERE |= {"acl|log"}
# They change what all connections, or this one, are answered.
ELSEWHERE |= {"client|pause", "monitor"}
# Redis 7.0 does not have their last argument; without it the case files have them.
EXTENDED = {"zrank", "zrevrank", "hscan"}
# Redis 7.0 does not have them.
OURS = {"repligo.backup", "repligo.cluster", "repligo.consistency", "repligo.invalidate", "repligo.session", "repligo.status", "client|no-touch", "client|setinfo", "msetex"}
# Nor these, which tests/clients/test_field_deadlines.py asks for.
OURS |= {"hexpire", "hexpireat", "hexpiretime", "hgetdel", "hgetex", "hpersist", "hpexpire", "hpexpireat", "hpexpiretime", "hpttl", "hsetex", "httl"}
NUMBERS = (
    *("0", "1", "-1", "10", "007", "-0", "+1", " 1", "1.5", "1e3", "0x10", "", "x", "4294967296", "2147483648"),
    *("9223372036854775807", "-9223372036854775808", "9223372036854775808", "-9223372036854775809"),
    *("9223372036854775", "-9223372036854775", "9223372036854776"),
)
FLOATS = ("0x1p-3", "0X1F", "-0x.8", "0x", "inf", "-INF", "nan", "1e400", "1e5000", "1e-4950", ".5", "5.", ".", "1e")
VALUES = {"key": "k", "string": "v", "integer": "10", "double": "1.5", "pattern": "k*", "unix-time": "4102444800"}
# Arguments with a meaning of their own.
NAMED = {"section": "server", "cursor": "0", "type": "string", "index": "1", "milliseconds": "100000", "seconds": "100"}
# What must not be made by an accident of numbers: half a gigabyte of zeros, or a key that ends in between.
LARGE = {"setrange": 1 << 29, "setbit": 1 << 32, "bitfield": 1 << 32}
CLOSE = {"expire", "pexpire", "setex", "psetex", "set", "getex", "expireat", "pexpireat"}
SOON = {"1", "10"}


@pytest.fixture(scope="module")
def rows(request, redis_server):
    """Name → documented arguments, of every row that both servers have."""
    if "redis" in modes():
        address = redis_server.address
    else:
        address = request.getfixturevalue("single").nodes[0].address
    with Connection(address) as connection:
        documents = dict(all_rows(connection.call("COMMAND", "DOCS").value))
    names = {name.decode(): [argument.pairs() for argument in row[b"arguments"].data] if b"arguments" in row else []
             for name, row in documents.items()}
    if "redis" in modes():
        return {name: names[name] for name in ("get", "set", "expire", "scan", "object|freq")}
    return {name: arguments for name, arguments in names.items() if name not in ELSEWHERE | OURS | EXTENDED}


def has(argument, flag):
    return flag in (argument[b"flags"].plain() if b"flags" in argument else [])


def nested(argument):
    return [inner.pairs() for inner in argument[b"arguments"].data] if b"arguments" in argument else []


def forms(argument):
    """Ways to write one argument, as lists of (word, kind)."""
    kind, name = argument[b"type"].data.decode(), argument[b"name"].data.decode()
    token = [(argument[b"token"].data.decode(), "token")] if b"token" in argument else []
    if kind == "pure-token":
        return [token]
    if kind == "oneof":
        return [token + form for inner in nested(argument) for form in forms(inner)]
    if kind == "block":
        parts = [forms(inner)[0] for inner in nested(argument)]
        return [token + list(itertools.chain(*parts))]
    return [[*token, (NAMED.get(name, VALUES[kind]), kind)]]


def words_of(name):
    return name.upper().split("|")


def requests_of(name, arguments):
    """Requests for one row, each a list of words."""
    required = [forms(argument)[0] for argument in arguments if not has(argument, b"optional")]
    optional = [form for argument in arguments if has(argument, b"optional") for form in forms(argument)]
    base = list(itertools.chain(*required))
    made = [[], base[:-1], base, [*base, ("extra", "string")], [*base, *base]]
    for form in optional:
        made += [base + form, base + form + form, base + form[:-1], [*base, *form, ("extra", "string")]]
        made.append([*base, *((word.lower(), kind) for word, kind in form)])
    made += [base + one + other for one, other in itertools.permutations(optional, 2)]
    for position, (_, kind) in enumerate(base):
        odd = {"integer": NUMBERS, "unix-time": NUMBERS, "double": NUMBERS + FLOATS}.get(kind, ())
        made += [[*base[:position], (number, kind), *base[position + 1 :]] for number in odd]
    for form in optional:
        if form[-1][1] in ("integer", "unix-time"):
            made += [[*base, *form[:-1], (number, "integer")] for number in NUMBERS]
    # Of arguments that repeat, two.
    if arguments and has(arguments[-1], b"multiple"):
        made.append(base + forms(arguments[-1])[0])
    words = [words_of(name) + [word for word, _ in request] for request in made]
    return [request for request in words if not is_unwanted(name, request)]


def is_unwanted(name, request):
    if name in LARGE and any(word.isdigit() and len(word) > 8 and int(word) < LARGE[name] for word in request):
        return True
    return name in CLOSE and bool(SOON & set(request[2:]))


def rule_for(words):
    """By type where a reply is drawn at random, or tells of every command that there is."""
    return "type" if words in (["RANDOMKEY"], ["COMMAND", "INFO"]) else None


def steps(rows):
    """Each request meets a number, a key with a deadline and a text, and shows what it leaves of them."""
    for name, arguments in rows.items():
        for words in requests_of(name, arguments):
            prepared = (["SELECT", "0"], ["MSET", "k", "10", "v", "text"], ["SET", "extra", "1.5", "EX", "1000"])
            shown = (["SELECT", "0"], ["MGET", "k", "v", "extra", "10"], ["TTL", "k"], ["DBSIZE"], ["DISCARD"])
            requests = [Request(tuple(word.encode() for word in request)) for request in (*prepared, words, *shown)]
            requests[len(prepared)] = Request(requests[len(prepared)].words, rule=rule_for(words))
            yield Pipeline(tuple(requests))
            yield Pipeline((Request((b"FLUSHALL",)), Request((b"UNWATCH",))))


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("mode", modes())
@pytest.mark.timeout(300)
def test_every_row_of_the_table_answers_as_redis_does(pair, rows, mode, protocol):
    made = list(steps(rows))
    # No connection of the comparison may have the client number that CLIENT LIST and KILL are asked for.
    for _ in range(int(VALUES["integer"])):
        with pair(mode, protocol):
            pass
    with pair(mode, protocol) as both:
        both.run(made)
    if both.differences:
        pytest.fail(both.report(), pytrace=False)
    if "redis" not in modes():
        assert len(made) // 2 >= 1000, len(made) // 2
