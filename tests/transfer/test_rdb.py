"""RDB files of a real Redis: every type in its large and small forms, what is not taken, and damaged files."""

import random
import time

import pytest

from support.nodes import Cluster
from support.redis_server import RedisServer
from support.waiting import wait_until
from support.wire import Connection

from .tool import ask_all, content, expected, mixed, streams, transfer, write


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("rdb"), "--enable-debug-command", "yes")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("node"), nodes=1) as cluster:
        yield cluster.nodes[0]


@pytest.fixture(autouse=True)
def empty(old, node):
    for address in (old.address, node.address):
        with Connection(address) as connection:
            connection.ask("FLUSHALL")


def _save(old):
    """The bytes of an RDB file of all that the server holds."""
    with Connection(old.address, 30) as connection:
        connection.ask("SAVE")
        folder = connection.ask("CONFIG", "GET", "dir")[1].decode()
        name = connection.ask("CONFIG", "GET", "dbfilename")[1].decode()
    with open(f"{folder}/{name}", "rb") as file:
        return file.read()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("compression", ["yes", "no"])
def test_a_file_of_redis_holds_what_the_node_has_afterwards(tmp_path, old, node, compression):
    entries = mixed(31, 300)
    entries += [(3, b"numbers", {b"%d" % (number * 70_000) for number in range(-50, 50)}, None)]
    entries += [(3, b"same", b"same " * 5000, None), (3, b"number", b"-1234567", None)]
    entries += [(3, b"list", [b"%d" % number for number in (0, -1, 127, 128, -4096, 70_000, 2**40)], None)]
    write(old.address, entries)
    with Connection(old.address, 30) as connection:
        connection.ask("CONFIG", "SET", "rdbcompression", compression)
        ask_all(connection, streams())
    held = content(old.address)
    assert {name: held[name] for name in expected(entries)} == expected(entries)
    file = tmp_path / "dump.rdb"
    file.write_bytes(_save(old))
    summary = transfer("import", "--addr", node.address, file, "--verify", "full")
    assert summary["complete"] and summary["entries"] == len(held) == summary["verification"]["compared"], summary
    assert summary["bytes"] == file.stat().st_size
    assert content(node.address) == held
    # Once more, over what is there: the same, or nothing.
    assert "has the key" in transfer("import", "--addr", node.address, file, code=1)["error"]
    assert transfer("import", "--addr", node.address, file, "--skip-existing")["entries"] == 0
    assert transfer("import", "--addr", node.address, file, "--replace")["entries"] == len(held)
    assert content(node.address) == held


@pytest.mark.timeout(60)
def test_what_is_not_taken_is_told(tmp_path, old, node):
    soon = int(time.time() * 1000) + 100
    with Connection(old.address) as connection:
        # So that the file has it, however long this takes.
        connection.ask("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    write(old.address, [(0, b"a", b"v", None), (2, b"b", [b"v"], None), (2, b"soon", b"v", soon)])
    file = tmp_path / "dump.rdb"
    file.write_bytes(_save(old))
    with Connection(old.address) as connection:
        connection.ask("DEBUG", "SET-ACTIVE-EXPIRE", 1)
    wait_until("the deadline has passed", lambda: time.time() * 1000 > soon + 100, 10)
    summary = transfer("import", "--addr", node.address, file)
    assert summary["complete"] and summary["left_out"] == {}, summary
    assert summary["entries"] == 2 and summary["databases"]["2"]["expired"] == 1, summary
    with Connection(node.address) as connection:
        connection.ask("FLUSHALL")
    summary = transfer("import", "--addr", node.address, file, "--db", 2)
    assert summary["unasked"] == 1 and summary["entries"] == 1, summary
    assert content(node.address) == {(2, b"b"): ([b"v"], None)}


def library(name, value):
    return f"#!lua name={name}\nredis.register_function('{name}_f', function() return {value} end)"


@pytest.mark.timeout(60)
def test_libraries_of_functions_are_loaded_and_counted(tmp_path, old, node):
    clash = "#!lua name=clash\nredis.register_function('two_f', function() return 'clash' end)"
    with Connection(old.address) as source, Connection(node.address) as target:
        ask_all(source, [["SET", "k", "v"], ["FUNCTION", "LOAD", library("one", 1)], ["FUNCTION", "LOAD", library("two", 2)]])
        file = tmp_path / "dump.rdb"
        file.write_bytes(_save(old))
        source.ask("FUNCTION", "FLUSH")
        try:
            target.ask("FUNCTION", "LOAD", library("two", "'other'"))
            # Another library with a name of the file: nothing, not even the keys.
            summary = transfer("import", "--addr", node.address, file, code=1)
            assert "two" in summary["error"] and "--replace" in summary["remedy"], summary
            assert content(node.address) == {}
            summary = transfer("import", "--addr", node.address, file, "--skip-existing")
            assert summary["libraries"] == {"loaded": 1, "existing": 1}, summary
            assert (target.ask("FCALL", "one_f", 0), target.ask("FCALL", "two_f", 0)) == (1, b"other")
            summary = transfer("import", "--addr", node.address, file, "--replace")
            assert summary["libraries"] == {"loaded": 2, "existing": 0}, summary
            assert target.ask("FCALL", "two_f", 0) == 2
            # The same once more is no other one.
            target.ask("FLUSHALL")
            summary = transfer("import", "--addr", node.address, file)
            assert summary["libraries"] == {"loaded": 0, "existing": 2}, summary
            # What the target refuses is told with its reason, and the rest is imported.
            ask_all(target, [["FLUSHALL"], ["FUNCTION", "FLUSH"], ["FUNCTION", "LOAD", clash]])
            summary = transfer("import", "--addr", node.address, file, code=1)
            assert summary["libraries"]["loaded"] == 1 and summary["entries"] == 1, summary
            assert "library two" in summary["refusals"]["examples"][0], summary
        finally:
            target.ask("FUNCTION", "FLUSH")


@pytest.mark.timeout(60)
def test_a_database_that_the_target_has_not_is_told_before_anything_is_written(tmp_path, node):
    wide = RedisServer(tmp_path / "wide", "--databases", "40")
    try:
        with Connection(wide.address) as connection:
            ask_all(connection, [["SET", "a", "v"], ["SELECT", 33], ["SET", "b", "v"]])
        file = tmp_path / "dump.rdb"
        file.write_bytes(_save(wide))
        summary = transfer("import", "--addr", node.address, file, code=1)
        assert "database 33" in summary["error"] and "--db" in summary["remedy"], summary
        assert content(node.address) == {}
        assert transfer("import", "--addr", node.address, file, "--db", 0)["entries"] == 1
    finally:
        wide.stop()


@pytest.mark.timeout(120)
def test_a_file_that_was_cut_or_changed_is_refused_with_its_place(tmp_path, old, node):
    write(old.address, [entry for entry in mixed(32, 300, databases=3) if len(entry[2]) < 1000])
    whole = _save(old)
    chance = random.Random(6)
    cuts = [whole[: chance.randrange(10, len(whole))] for _ in range(3)]
    for _ in range(6):
        changed = bytearray(whole)
        changed[chance.randrange(9, len(whole))] ^= 1 << chance.randrange(8)
        cuts.append(bytes(changed))
    for data in [*cuts, whole + b"x", b"REDIS0013" + whole[9:]]:
        file = tmp_path / "bad.rdb"
        file.write_bytes(data)
        summary = transfer("import", "--addr", node.address, file, "--replace", code=1)
        assert "at offset" in summary["error"] and "nothing was imported" in summary["error"], summary
        assert summary["entries"] == 0 and summary["remedy"], summary
    with Connection(node.address) as connection:
        assert connection.ask("INFO", "keyspace") == b"# Keyspace\r\n"
