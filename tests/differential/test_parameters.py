"""CONFIG GET and SET, parameter by parameter: names, forms and ranges are those of Redis."""

import pytest

from support.wire import Connection

from .conftest import modes

# What is tried on each parameter beside the value that it has.
VALUES = (
    *("", "0", "1", "2", "-1", "-3", "50", "101", "1000", "65536", "1048575", "1048576", "2147483648", "4294967296"),
    *("9223372036854775807", "9223372036854775808", "18446744073709551616", "-9223372036854775809"),
    *("01", "+1", " 1", "1 ", "1.5", "0x10", "1k", "1kb", "1tb", "5%", "101%", "yes", "NO", "maybe", "junk!", "a b"),
    *("normal 1 1", "normal x 1 1", "nobody 1 1 1", "3600 x", "3600", "1 2 -4000", "1 2 x", "50 101", "50 x", "@"),
)
# What Redis answers depends on how it was built, or on the machine; one takes 2^63 for a percentage.
UNLIKE = {"bind", "tls-port", "proc-title-template", "activedefrag", "oom-score-adj", "maxmemory-clients"}
UNLIKE |= {"tls-cluster", "tls-replication"}
# Redis takes these at once, and then nobody could go on: another port, a password.
HARMFUL = {"port", "requirepass", "maxclients", "timeout", "bind", "cluster-announce-hostname"}
# A parameter that is made to fit what Redis can do.
FITTED = {"hz", "repl-backlog-size"}


@pytest.fixture(scope="module")
def sides(request, redis_server):
    """A connection to one server of each kind."""
    address = "second_redis" if "redis" in modes() else "single"
    server = request.getfixturevalue(address)
    ours = server.address if "redis" in modes() else server.nodes[0].address
    with Connection(ours) as one, Connection(redis_server.address) as other:
        yield one, other


def parameters(connection):
    words = connection.ask("CONFIG", "GET", "*")
    return dict(zip(words[::2], words[1::2], strict=True)) if isinstance(words, list) else words


def test_every_parameter_of_redis_is_known(sides):
    ours, theirs = (parameters(side) for side in sides)
    assert len(theirs) > 180
    assert theirs.keys() - ours.keys() == set()
    assert ours.keys() - theirs.keys() == set()
    for name in ("key-load-delay", "rdb-key-save-delay", "use-exit-on-panic"):
        assert [side.ask("CONFIG", "GET", name) for side in sides][0][0] == name.encode()
    assert sides[0].ask("CONFIG", "GET", "key-l*") == []


def test_a_parameter_may_be_set_to_the_value_that_it_has(sides):
    ours, theirs = sides
    for name, value in parameters(ours).items():
        known = parameters(theirs)[name]
        one = ours.call("CONFIG", "SET", name, value).raw
        other = theirs.call("CONFIG", "SET", name, known).raw
        assert one == other, (name, value)


def test_values_are_refused_in_the_words_of_redis(sides):
    """What Redis refuses is refused alike; what it takes is taken, or refused with what to do instead."""
    ours, theirs = sides
    before = [parameters(side) for side in sides]
    wrong = []
    for name in sorted(name.decode() for name in before[1]):
        if name in UNLIKE or name in HARMFUL:
            continue
        for value in VALUES:
            one = ours.call("CONFIG", "SET", name, value).raw
            other = theirs.call("CONFIG", "SET", name, value).raw
            if other != b"+OK\r\n":
                fits = one == other
            elif one == b"+OK\r\n":
                shown = [side.ask("CONFIG", "GET", name)[1] for side in sides]
                fits = shown[0] == shown[1] or name in FITTED
            else:
                # A remedy is a sentence of its own.
                fits = one.startswith(b"-ERR CONFIG SET failed") and one not in (b"", other) and len(one.split(b" - ")[1]) > 20
            if not fits:
                wrong.append(f"CONFIG SET {name} {value!r}: redis {other!r}, repligo {one!r}")
        for side, values in zip(sides, before, strict=True):
            side.call("CONFIG", "SET", name, values[name.encode()])
    assert not wrong, "\n".join(wrong)
    after = [parameters(side) for side in sides]
    assert before == after


@pytest.mark.parametrize("name", ["port", "maxclients", "timeout"])
def test_numbers_are_refused_in_the_words_of_redis(sides, name):
    for value in ("junk!", "-1", "1.5", "01", "", "99999999999", "9223372036854775808"):
        seen = [side.call("CONFIG", "SET", name, value).raw for side in sides]
        assert seen[0] == seen[1], (name, value)


def test_one_parameter_that_is_wrong_leaves_all_as_they_are(sides):
    for words in (
        ["timeout", "1", "nosuch", "2"],
        ["nosuch", "2", "daemonize", "yes"],
        ["daemonize", "yes", "nosuch", "2"],
        ["timeout", "1", "timeout", "2"],
        ["timeout", "1", "hash-max-listpack-entries", "x"],
        ["timeout", "1", "dir", "/"],
    ):
        seen = [(side.call("CONFIG", "SET", *words).raw, side.ask("CONFIG", "GET", "timeout")) for side in sides]
        assert seen[0] == seen[1], words
    words = ["hash-max-ziplist-entries", "100", "hash-max-listpack-value", "1kb"]
    for side in sides:
        assert side.ask("CONFIG", "SET", *words) == b"OK"
        assert side.ask("CONFIG", "GET", "hash-max-listpack-entries")[1] == b"100"
        assert side.ask("CONFIG", "SET", words[0], "512", words[2], "64") == b"OK"
