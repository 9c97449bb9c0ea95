"""Append-only files of a real Redis: the files of a manifest, one file with a snapshot in front, and damaged ones."""

import shutil
import struct
import time

import pytest

from support.nodes import Cluster
from support.redis_server import RedisServer
from support.resp import encode
from support.waiting import wait_until
from support.wire import Connection

from .tool import ask_all, content, mixed, streams, transfer, write


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The folder of a Redis's append-only files, and what the Redis reads from them."""
    folder = tmp_path_factory.mktemp("aof")
    server = RedisServer(folder, "--appendonly", "yes", "--aof-timestamp-enabled", "yes", "--enable-debug-command", "yes")
    try:
        write(server.address, mixed(51, 400))
        with Connection(server.address, 30) as connection:
            wait_until("the first files are made", lambda: b"aof_rewrite_in_progress:0" in connection.ask("INFO", "persistence"), 20)
            # In the snapshot in front of the requests.
            connection.ask("FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function() return 7 end)")
            connection.ask("BGREWRITEAOF")

            def is_rewritten():
                info = connection.ask("INFO", "persistence")
                return b"aof_rewrite_in_progress:0" in info and b"aof_rewrite_scheduled:0" in info

            wait_until("the files are written anew", is_rewritten, 20)
            requests = [["INCR", "n"], ["RPUSH", "l", "a", "b"], ["LPOP", "l"], ["APPEND", "s", "xy"], ["SELECT", 7], ["INCR", "n"]]
            requests += [["MULTI"], ["INCR", "n"], ["SELECT", 0], ["RPUSH", "l", "c"], ["EXEC"], ["PEXPIRE", "s", 3_600_000]]
            ask_all(connection, [*requests * 40, *streams()])
            # The files do not tell how many entries a group has read: what counts is what Redis makes of them.
            connection.ask("DEBUG", "LOADAOF")
        return folder / "appendonlydir", content(server.address)
    finally:
        server.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("node"), nodes=1) as cluster:
        yield cluster.nodes[0]


@pytest.fixture(autouse=True)
def empty(node):
    with Connection(node.address) as connection:
        ask_all(connection, [["FLUSHALL"], ["FUNCTION", "FLUSH"]])


def _parts(folder):
    """The base and the file behind it."""
    (base,) = folder.glob("*.base.rdb")
    (rest,) = folder.glob("*.incr.aof")
    return base, rest


@pytest.mark.timeout(60)
@pytest.mark.parametrize("form", ["folder", "one file"])
def test_the_files_hold_what_the_node_has_afterwards(tmp_path, files, node, form):
    folder, held = files
    path = folder
    if form == "one file":
        path = tmp_path / "appendonly.aof"
        path.write_bytes(b"".join(part.read_bytes() for part in _parts(folder)))
    summary = transfer("import", "--addr", node.address, path)
    assert summary["complete"] and summary["requests"] > 300, summary
    assert summary["libraries"] == {"loaded": 1, "existing": 0}, summary
    with Connection(node.address) as connection:
        assert connection.ask("FCALL", "f", 0) == 7
    assert content(node.address) == held
    again = transfer("import", "--addr", node.address, path, code=1)
    assert "has" in again["error"] and "keys" in again["error"], again
    assert content(node.address) == held


@pytest.mark.timeout(60)
def test_files_that_were_cut_or_changed_are_refused_with_their_place(tmp_path, files, node):
    folder, _ = files
    for name, change in [
        ("incr", lambda data: data[:-5]),
        ("incr", lambda data: data[: len(data) // 2] + b"\xff" * 40 + data[len(data) // 2 + 40 :]),
        ("base", lambda data: data[:-5]),
        ("base", lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:]),
    ]:
        copied = tmp_path / "copied"
        shutil.copytree(folder, copied)
        (part,) = copied.glob(f"*.{name}.*")
        part.write_bytes(change(part.read_bytes()))
        summary = transfer("import", "--addr", node.address, copied, code=1)
        assert "offset" in summary["error"] and "nothing was imported" in summary["error"], summary
        assert summary["entries"] == 0 and part.name in summary["error"], summary
        shutil.rmtree(copied)
    assert content(node.address) == {}


def _preamble(key, value, deadline):
    """A snapshot of one string, without a checksum."""
    entry = b"\xfc" + struct.pack("<Q", deadline) + b"\x00" + bytes([len(key)]) + key + bytes([len(value)]) + value
    return b"REDIS0011\xfe\x00" + entry + b"\xff" + bytes(8)


@pytest.mark.timeout(60)
def test_a_deadline_that_a_later_request_takes_back_costs_no_key(tmp_path, node):
    past = int(time.time() * 1000) - 3_600_000
    future = past + 7_200_000
    payload = b"\x00\x03abc" + struct.pack("<H", 11) + bytes(8)
    requests = [
        ["PERSIST", "kept"],
        *[["SET", "sess", "v", "PXAT", past], ["PEXPIREAT", "sess", future]],
        *[["HSET", "c", "a", 1], ["PEXPIREAT", "c", past], ["PERSIST", "c"], ["HSET", "c", "b", 2]],
        *[["RPUSH", "l", "x"], ["PEXPIREAT", "l", past], ["LPOP", "l"], ["RPUSH", "l", "y"]],
        *[["SET", "one", 1, "PXAT", past], ["RENAME", "one", "two"], ["PEXPIREAT", "two", future, "GT"]],
        *[["SET", "over", 1], ["PEXPIREAT", "over", past]],
        ["RESTORE", "later", future, payload, "ABSTTL"],
        *[["SET", "moved", 1, "PXAT", future], ["MOVE", "moved", 9]],
    ]
    file = tmp_path / "appendonly.aof"
    file.write_bytes(_preamble(b"kept", b"k", past) + b"".join(map(encode, requests)))
    summary = transfer("import", "--addr", node.address, file)
    assert summary["complete"] and summary["databases"]["0"]["expired"] == 0, summary
    assert content(node.address) == {
        (0, b"kept"): (b"k", None),
        (0, b"sess"): (b"v", future),
        (0, b"c"): ({b"a": b"1", b"b": b"2"}, None),
        (0, b"l"): ([b"y"], None),
        (0, b"two"): (b"1", future),
        (0, b"later"): (b"abc", future),
        (9, b"moved"): (b"1", future),
    }


@pytest.mark.timeout(60)
def test_files_that_cannot_be_applied_say_what_to_do(tmp_path, node):
    for name, requests, options, part in [
        ("a.aof", [["SET", "k", 1], ["SWAPDB", 0, 1]], [], "BGREWRITEAOF"),
        ("b.aof", [["SELECT", 2], ["SET", "k", 1], ["MOVE", "k", 1]], ["--db", 1], "BGREWRITEAOF"),
        ("c.aof", [["SET", "k", 1], ["MOVE", "k", 20]], [], "--db N"),
        ("d.aof.1.incr.aof", [["SET", "k", 1]], [], "manifest"),
    ]:
        file = tmp_path / name
        file.write_bytes(b"".join(map(encode, requests)))
        summary = transfer("import", "--addr", node.address, file, *options, code=1)
        assert part in summary["remedy"], summary
    assert content(node.address) == {}
