"""What COMMAND tells programs: the structure is that of Redis, the sentences are our own."""

from dataclasses import replace

import pytest

from support.wire import Connection

from .conftest import modes

OWN = {b"repligo.backup", b"repligo.cluster", b"repligo.consistency", b"repligo.invalidate", b"repligo.session", b"repligo.status", b"client|no-touch", b"client|setinfo", b"msetex"}
# Redis 7.4 and 8.0 have them.
OWN |= {b"hexpire", b"hexpireat", b"hexpiretime", b"hgetdel", b"hgetex", b"hpersist", b"hpexpire", b"hpexpireat", b"hpexpiretime", b"hpttl", b"hsetex", b"httl"}

# They take an argument that a later release has: the rest is compared.
EXTENDED = {b"zrank", b"zrevrank", b"hscan"}


@pytest.fixture(scope="module")
def sides(request, redis_server):
    """Addresses of one server of each kind."""
    if "redis" in modes():
        pytest.skip("Redis has the sentences of Redis")
    return request.getfixturevalue("single").nodes[0].address, redis_server.address


def asked(address, *words):
    with Connection(address) as connection:
        connection.ask("HELLO", "3")
        return connection.call(*words).value


def all_rows(documents):
    """Every command of a reply of COMMAND DOCS with its map, subcommands too."""
    for name, row in documents.pairs().items():
        yield name, row.pairs()
        if b"subcommands" in row.pairs():
            yield from all_rows(row.pairs()[b"subcommands"])


def texts(row):
    """Sentences of a row: its summary, its running time, what replaced it."""
    return {field: row[field].data for field in (b"summary", b"complexity", b"replaced_by", b"history") if field in row}


def test_no_summary_is_that_of_redis(sides):
    ours, theirs = (dict(all_rows(asked(address, "COMMAND", "DOCS"))) for address in sides)
    assert len(ours) > 90
    known = {row[b"summary"].data.rstrip(b".").lower() for row in theirs.values()}
    same = {name: row[b"summary"].data for name, row in ours.items() if row[b"summary"].data.rstrip(b".").lower() in known}
    assert not same


def test_no_history_and_no_remark_is_that_of_redis(sides):
    ours, theirs = (dict(all_rows(asked(address, "COMMAND", "DOCS"))) for address in sides)
    sentences = {text for row in theirs.values() for text in texts(row).values() if isinstance(text, bytes) and len(text) > 24}
    for name, row in ours.items():
        assert b"history" not in row, name
        assert not sentences & {text for text in texts(row).values() if isinstance(text, bytes)}, name


def shape(value):
    """Types all the way down, and the words by which programs know an argument."""
    if not isinstance(value.data, list):
        return value.kind
    return value.kind, tuple(shape(item) for item in value.data)


def test_arguments_are_documented_as_in_redis(sides):
    ours, theirs = (dict(all_rows(asked(address, "COMMAND", "DOCS"))) for address in sides)
    # Kinds of clients are one argument here, not one for each word.
    for name in sorted((ours.keys() & theirs.keys()) - {b"client|kill", b"client|list"}):
        for field in (b"since", b"group", b"arguments", b"doc_flags", b"deprecated_since"):
            one, other = ours[name].get(field), theirs[name].get(field)
            if name in EXTENDED and field == b"arguments":
                one = replace(one, data=one.data[:-1])
            assert (one is None) == (other is None), (name, field)
            assert one == other, (name, field)


def info_of(address, name):
    return asked(address, "COMMAND", "INFO", name).data[0]


def test_a_row_has_the_types_of_redis_in_every_place(sides):
    names = [name for name, _ in all_rows(asked(sides[0], "COMMAND", "DOCS")) if name not in OWN]
    for name in names:
        one, other = (info_of(address, name) for address in sides)
        assert len(one.data) == len(other.data) == 10, name
        for position in range(9):
            # Subcommands, in the last place, are fewer here; each of them is a row of its own in this list.
            if position in (2, 6, 7):
                assert one.data[position].kind == other.data[position].kind, (name, position)
                assert sorted(map(repr, one.data[position].data)) == sorted(map(repr, other.data[position].data)), (name, position)
            elif position == 1 and name in EXTENDED - {b"hscan"}:
                assert (one.data[position].data, other.data[position].data) == (-3, 3), name
            elif position == 8:
                assert shape(one.data[position]) == shape(other.data[position]), (name, position)
            else:
                assert one.data[position] == other.data[position], (name, position)
        assert one.data[9].kind == other.data[9].kind, name


def test_a_command_that_only_redis_has_is_told_as_that(sides):
    """Whoever meets a gap learns that it is one, and where the list of what there is stands."""
    names = [set(asked(address, "COMMAND", "LIST").plain()) for address in sides]
    missing = sorted(name.decode() for name in names[1] - names[0] if b"|" not in name)
    told = {name: asked(sides[0], name, "x").data.decode() for name in missing}
    assert "swapdb" not in told
    remedy = "Redis has it, this version of Repligo does not yet; COMMAND LIST and docs/commands.md have what there is"
    assert {name: text for name, text in told.items() if remedy not in text} == {}
    mistyped = asked(sides[0], "GTE", "x").data.decode()
    assert mistyped.startswith("ERR unknown command 'GTE'") and "Redis has it" not in mistyped, mistyped
