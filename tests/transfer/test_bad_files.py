"""Hostile and damaged input of `repligo import`: refused with the place, and nothing of it is written."""

import random
import zlib

import pytest

from support.nodes import Cluster
from support.resp import encode
from support.wire import Connection

from .tool import content, mixed, transfer, write


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("node"), nodes=1) as cluster:
        yield cluster.nodes[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, node):
    """The bytes of an export with several blocks; the node is empty afterwards."""
    write(node.address, mixed(21, 400, databases=4))
    file = tmp_path_factory.mktemp("whole") / "whole.repligo"
    transfer("export", "--addr", node.address, "--output", file)
    with Connection(node.address) as connection:
        connection.ask("FLUSHALL")
    return file.read_bytes()


def _refused(node, file, data):
    """Imports the bytes as a file: refused, and nothing is written. Returns the error."""
    file.write_bytes(data)
    summary = transfer("import", "--addr", node.address, file, code=1)
    assert not summary["complete"] and summary["entries"] == 0, summary
    with Connection(node.address) as connection:
        assert connection.ask("INFO", "keyspace") == b"# Keyspace\r\n", summary
    assert summary["remedy"], summary
    return summary["error"]


@pytest.mark.timeout(120)
def test_a_file_that_was_cut_or_changed_is_refused_with_its_place(tmp_path, node, whole):
    chance = random.Random(5)
    for _ in range(12):
        text = _refused(node, tmp_path / "cut", whole[: chance.randrange(200, len(whole))])
        assert "cut" in text and "offset" in text, text
    for _ in range(25):
        changed = bytearray(whole)
        changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        text = _refused(node, tmp_path / "changed", changed)
        assert "offset" in text or "no export" in text or "version" in text, text
    middle = len(whole) // 2
    assert "offset" in _refused(node, tmp_path / "hole", whole[:middle] + bytes(4096) + whole[middle + 4096 :])
    assert "behind the end" in _refused(node, tmp_path / "twice", whole + whole)


@pytest.mark.timeout(120)
def test_what_is_no_export_is_refused(tmp_path, node):
    gzip = zlib.compress(b"x" * 1000)
    for data in [b"", b"\n", b"VALKEY080\xfa\x09redis-ver", gzip, b"FLUSHALL\r\n", encode(["FLUSHALL"]), b"*" * 100_000]:
        assert "no export of repligo" in _refused(node, tmp_path / "other", data)
    folder = transfer("import", "--addr", node.address, tmp_path, code=1)
    assert "it is a folder" in folder["error"]
    missing = transfer("import", "--addr", node.address, tmp_path / "missing", code=1)
    assert "No such file" in missing["error"]


@pytest.mark.timeout(60)
def test_of_a_stream_that_is_cut_only_whole_blocks_are_written(node, whole):
    # A stream cannot be checked before: what is in front of the damage is right, and the rest is named.
    second = whole.index(b"block=2 ")
    third = whole.index(b"block=3 ")
    cut = whole[: (second + third) // 2]
    summary = transfer("import", "--addr", node.address, "-", code=1, data=cut)
    assert "block 2" in summary["error"] and "it was cut" in summary["error"], summary
    held = content(node.address)
    assert len(held) == summary["entries"] > 0 and {db for db, _ in held} == {0}, summary
    with Connection(node.address) as connection:
        connection.ask("FLUSHALL")
