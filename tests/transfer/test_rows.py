"""Keys of keyspaces with a database, and libraries of functions: carried, or named with what to do."""

import json
import sqlite3

import pytest

from support.nodes import Cluster, binary
from support.processes import run_tool
from support.redis_server import RedisServer
from support.wire import Connection

from .tool import ask_all, transfer

_CONFIG = """
[origin.main]
url = "sqlite:{path}"

[[keyspace]]
name = "users"
pattern = "user:{{id:int}}"
origin = "main"
mode = "write-through"
table = "users"
value = "json"
fields = {{ name = "name", age = "age" }}
"""


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """A node that maps `user:{id:int}` to rows."""
    folder = tmp_path_factory.mktemp("rows")
    path = folder / "app.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT, age INTEGER)")
    connection.close()
    config = folder / "repligo.toml"
    config.write_text(_CONFIG.format(path=path))
    with Cluster(folder, nodes=1, options=("--config", config)) as cluster:
        yield cluster.nodes[0]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("plain"), nodes=1) as cluster:
        yield cluster.nodes[0]


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("old"))
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def empty(plain, old, mapped):
    for address in (plain.address, old.address, mapped.address):
        with Connection(address) as connection:
            ask_all(connection, [["FLUSHALL"], ["FUNCTION", "FLUSH"]])


def _row(number, **members):
    return ["SET", f"user:{number}", json.dumps({"name": f"n{number}", "age": number, **members})]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("way", ["file", "server"])
def test_rows_are_left_out_and_counted_and_that_alone_is_no_failure(tmp_path, mapped, plain, way):
    with Connection(mapped.address) as connection:
        ask_all(connection, [*[_row(number) for number in range(7)], ["SET", "plain", "v"]])
    if way == "file":
        file = tmp_path / "all.repligo"
        summary = transfer("export", "--addr", mapped.address, "--output", file, "--verify", "full")
        transfer("import", "--addr", plain.address, file)
    else:
        summary = transfer("import", "--from", mapped.address, "--to", plain.address, "--verify", "full")
    assert summary["complete"] and summary["rows"] == {"users": 7} and summary["entries"] == 1, summary
    with Connection(plain.address) as connection:
        assert (connection.ask("DBSIZE"), connection.ask("GET", "plain")) == (1, b"v")


@pytest.mark.timeout(60)
def test_rows_are_overwritten_where_that_is_asked_for_and_compared_by_meaning(tmp_path, mapped, plain):
    with Connection(plain.address) as connection:
        ask_all(connection, [["SET", "user:1", '{ "age": 5, "name": "ada" }'], ["SET", "user:2", '{"name":"bob"}']])
    file = tmp_path / "all.repligo"
    transfer("export", "--addr", plain.address, "--output", file)
    refused = transfer("import", "--addr", mapped.address, file, code=1)
    assert "keyspace users" in refused["error"] and "nothing was imported" in refused["error"], refused
    assert "--replace" in refused["remedy"] and "then" not in refused["remedy"], refused
    refused = transfer("import", "--from", plain.address, "--to", mapped.address, code=1)
    assert "keyspace users" in refused["error"] and "--replace" in refused["remedy"], refused
    skipped = transfer("import", "--addr", mapped.address, file, "--skip-existing", code=1)
    assert skipped["refusals"]["count"] == 2 and "--replace" in skipped["refusals"]["examples"][0], skipped
    for source in (["--addr", mapped.address, file], ["--from", plain.address, "--to", mapped.address]):
        summary = transfer("import", *source, "--replace", "--verify", "full")
        assert summary["entries"] == 2 == summary["verification"]["compared"], summary
    with Connection(mapped.address) as connection:
        assert json.loads(connection.ask("GET", "user:2")) == {"name": "bob", "age": None}


@pytest.mark.timeout(60)
def test_what_no_row_can_hold_is_refused_with_keyspace_and_type(mapped, plain):
    with Connection(plain.address) as connection:
        ask_all(connection, [["RPUSH", "user:1", "a"], ["SET", "user:2", '{"name":"x"}', "EX", 900], ["SET", "k", "v"]])
    words = ["import", "--from", plain.address, "--to", mapped.address, "--replace"]
    summary = transfer(*words, code=1)
    texts = "\n".join(summary["refusals"]["examples"])
    assert summary["entries"] == 1 and summary["refusals"]["count"] == 2, summary
    assert "keyspace users" in texts and "list" in texts and "deadline" in texts and "MULTI" not in texts, texts


def _library(name):
    return f"#!lua name={name}\nredis.register_function('{name}_f', function() return '{name}' end)"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("way", ["file", "stream", "server"])
def test_libraries_of_functions_are_carried(tmp_path, plain, old, way):
    with Connection(plain.address) as source, Connection(old.address) as target:
        ask_all(source, [["SET", "k", "v"], *[["FUNCTION", "LOAD", _library(name)] for name in ("one", "two")]])
        if way == "server":
            summary = transfer("import", "--from", plain.address, "--to", old.address)
        else:
            file = tmp_path / "all.repligo"
            out = transfer("export", "--addr", plain.address, "--output", file)
            assert out["libraries"]["exported"] == 2, out
            words = [file] if way == "file" else ["-"]
            data = None if way == "file" else file.read_bytes()
            summary = transfer("import", "--addr", old.address, *words, data=data)
        assert summary["complete"] and summary["libraries"]["loaded"] == 2, summary
        assert (target.ask("FCALL", "one_f", 0), target.ask("FCALL", "two_f", 0)) == (b"one", b"two")
        # And back, over another one of the same name.
        ask_all(source, [["FLUSHALL"], ["FUNCTION", "FLUSH"], ["FUNCTION", "LOAD", _library("two") + "\n-- other"]])
        words = ["import", "--from", old.address, "--to", plain.address]
        refused = transfer(*words, code=1)
        assert "two" in refused["error"] and "--replace" in refused["remedy"], refused
        assert transfer(*words, "--replace")["libraries"]["loaded"] == 2
        assert source.ask("FCALL", "one_f", 0) == b"one"


@pytest.mark.timeout(60)
def test_a_file_with_libraries_goes_through_redis_cli(tmp_path, plain, old):
    with Connection(plain.address) as source, Connection(old.address) as target:
        ask_all(source, [["SET", "k", "v"], ["FUNCTION", "LOAD", _library("one")]])
        file = tmp_path / "all.repligo"
        transfer("export", "--addr", plain.address, "--output", file)
        host, port = old.address.split(":")
        code, out, _ = run_tool(["redis-cli", "-h", host, "-p", port, "--pipe"], data=file.read_bytes())
        assert code == 0 and b"errors: 0" in out, out
        assert (target.ask("FCALL", "one_f", 0), target.ask("GET", "k")) == (b"one", b"v")


@pytest.mark.timeout(60)
def test_an_export_without_entries_says_so(tmp_path, plain, old):
    file = tmp_path / "none.repligo"
    transfer("export", "--addr", plain.address, "--output", file)
    code, out, err = run_tool([binary(), "import", "--addr", old.address, str(file)])
    assert code == 0 and b"imported 0 entries" in out, (out, err)


@pytest.mark.timeout(60)
def test_a_key_that_is_there_is_told_with_one_way_to_go_on(plain, old):
    for address in (plain.address, old.address):
        with Connection(address) as connection:
            connection.ask("SET", "k", "v")
    refused = transfer("import", "--from", plain.address, "--to", old.address, code=1)
    assert refused["remedy"].count("run the same command again") == 1, refused
    assert "--skip-existing" in refused["remedy"] and "--replace" in refused["remedy"], refused
