"""In and out: what one server holds is what the other one holds, byte by byte and to the millisecond."""

import json
import os
import signal
import subprocess
import time

import pytest

from support.nodes import Cluster, binary
from support.processes import Process, run_tool
from support.redis_server import RedisServer
from support.waiting import wait_until
from support.wire import Connection

from .tool import ask_all, content, expected, mixed, streams, transfer, write


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A Redis that the tests fill and empty."""
    server = RedisServer(tmp_path_factory.mktemp("old"))
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


@pytest.mark.timeout(120)
def test_a_file_carries_redis_into_a_node_and_back(tmp_path, old, node):
    entries = mixed(1, 3000)
    write(old.address, entries)
    file = tmp_path / "all.repligo"
    out = transfer("export", "--addr", old.address, "--output", file, "--verify", "full")
    assert out["complete"] and out["entries"] == len(entries) and out["verification"]["compared"] == len(entries), out
    assert sum(database["entries"] for database in out["databases"].values()) == len(entries)
    assert file.stat().st_size == out["bytes"] and file.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("*.partial"))
    into = transfer("import", "--addr", node.address, file, "--verify", "full")
    assert into["complete"] and into["entries"] == len(entries), into
    assert content(node.address) == expected(entries)
    back = tmp_path / "back.repligo"
    transfer("export", "--addr", node.address, "--output", back)
    with Connection(old.address) as connection:
        connection.ask("FLUSHALL")
    transfer("import", "--addr", old.address, back)
    assert content(old.address) == expected(entries)


@pytest.mark.timeout(60)
def test_redis_cli_takes_the_file_too(tmp_path, old, node):
    entries = mixed(2, 500)
    write(node.address, entries)
    code, data, err = run_tool([binary(), "export", "--addr", node.address, "--output", "-", "--json"])
    assert code == 0 and json.loads(err)["entries"] == len(entries), err
    host, port = old.address.split(":")
    code, out, _ = run_tool(["redis-cli", "-h", host, "-p", port, "--pipe"], data=data)
    assert code == 0 and b"errors: 0" in out, out
    assert content(old.address) == expected(entries)
    # And a stream is an input like a file.
    with Connection(old.address) as connection:
        connection.ask("FLUSHALL")
    into = transfer("import", "--addr", old.address, "-", data=data)
    assert into["complete"] and content(old.address) == expected(entries), into


@pytest.mark.timeout(60)
@pytest.mark.parametrize("direction", ["in", "out"])
def test_a_copy_needs_no_file(old, node, direction):
    one, two = (old, node) if direction == "in" else (node, old)
    entries = mixed(3, 2000)
    write(one.address, entries)
    copied = transfer("import", "--from", one.address, "--to", two.address, "--verify", "full")
    assert copied["complete"] and copied["entries"] == len(entries) == copied["verification"]["compared"], copied
    assert content(two.address) == expected(entries)


@pytest.mark.timeout(60)
def test_one_database_and_one_pattern_can_be_chosen(tmp_path, old, node):
    write(old.address, [(db, b"%s:%d" % (kind, db), b"v", None) for db in range(3) for kind in (b"a", b"b")])
    file = tmp_path / "some.repligo"
    out = transfer("export", "--addr", old.address, "--output", file, "--match", "a:*")
    assert out["entries"] == 3
    transfer("import", "--addr", node.address, file, "--db", 2)
    assert content(node.address) == {(2, b"a:2"): (b"v", None)}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("way", ["file", "copy"])
def test_streams_go_both_ways_with_all_that_their_groups_know(tmp_path, old, node, way):
    with Connection(old.address, 30) as connection:
        ask_all(connection, streams())
    held = content(old.address)
    assert len(held) == 3
    for source, target in ((old, node), (node, old)):
        with Connection(target.address) as connection:
            connection.ask("FLUSHALL")
        file = tmp_path / f"{target.address}.repligo"
        words = ["import", "--addr", target.address, file]
        if way == "copy":
            words = ["import", "--from", source.address, "--to", target.address]
        else:
            transfer("export", "--addr", source.address, "--output", file, "--verify", "full")
        summary = transfer(*words, "--verify", "full")
        assert summary["complete"] and summary["verification"]["compared"] == 3, summary
        assert content(target.address) == held


@pytest.mark.timeout(60)
def test_what_happens_to_keys_that_are_there_is_chosen(tmp_path, old, node):
    write(old.address, [(0, b"a", b"new", None), (0, b"b", b"new", None)])
    file = tmp_path / "two.repligo"
    transfer("export", "--addr", old.address, "--output", file)
    write(node.address, [(0, b"b", b"old", None)])
    refused = transfer("import", "--addr", node.address, file, code=1)
    assert "has the key b already; nothing was imported" in refused["error"], refused
    assert content(node.address) == {(0, b"b"): (b"old", None)}
    skipped = transfer("import", "--addr", node.address, file, "--skip-existing", "--verify", "full")
    assert skipped["databases"]["0"]["existing"] == 1 and skipped["entries"] == 1, skipped
    assert content(node.address) == {(0, b"a"): (b"new", None), (0, b"b"): (b"old", None)}
    replaced = transfer("import", "--addr", node.address, file, "--replace", "--verify", "full")
    assert replaced["entries"] == 2, replaced
    assert content(node.address) == {(0, b"a"): (b"new", None), (0, b"b"): (b"new", None)}


@pytest.mark.timeout(60)
def test_what_has_expired_is_not_written(tmp_path, old, node):
    write(old.address, [(0, b"soon", b"v", int(time.time() * 1000) + 1500), (0, b"stays", b"v", None)])
    file = tmp_path / "soon.repligo"
    assert transfer("export", "--addr", old.address, "--output", file)["entries"] == 2
    time.sleep(2)
    into = transfer("import", "--addr", node.address, file)
    assert into["databases"]["0"]["expired"] == 1 and into["complete"], into
    assert content(node.address) == {(0, b"stays"): (b"v", None)}


@pytest.mark.timeout(120)
def test_keys_that_vanish_or_change_meanwhile_are_handled(tmp_path, old, node):
    lasting = {(0, b"stay:%d" % number): (b"v%d" % number, None) for number in range(20_000)}
    write(old.address, [(0, key, value, None) for (_, key), (value, _) in lasting.items()])
    far = int(time.time() * 1000) + 3_600_000
    with Connection(old.address, 30) as writer:
        file = tmp_path / "live.repligo"
        words = [binary(), "export", "--addr", old.address, "--output", file, "--json", "--rate", 20_000]
        process = Process(words, tmp_path / "live.json")
        rounds = 0
        while process.is_running():
            rounds += 1
            requests = [["SET", f"hot:{key}", f"plain{rounds}"] for key in range(300)]
            requests += [["SET", f"hot:{key}", f"dead{rounds}", "PXAT", far + rounds] for key in range(300)]
            requests += [["DEL", f"hot:{key}"] for key in range(0, 300, 3)]
            ask_all(writer, requests)
    summary = json.loads(process.log.read_text().splitlines()[-1])
    assert process.child.returncode == 0 and rounds > 3, summary
    transfer("import", "--addr", node.address, file)
    found = content(node.address)
    assert {name: held for name, held in found.items() if name[1].startswith(b"stay:")} == lasting
    # A value never goes with the deadline of another one.
    for (_, key), (value, deadline) in found.items():
        if key.startswith(b"hot:"):
            round_of = int(value.decode().lstrip("plaindeadspwo") or 0)
            wanted = None if value.startswith(b"plain") else far + round_of
            assert deadline == wanted, (key, value, deadline)


@pytest.mark.timeout(120)
def test_a_rate_is_kept(tmp_path, old):
    write(old.address, [(0, b"k%d" % number, b"v", None) for number in range(2000)])
    start = time.monotonic()
    transfer("export", "--addr", old.address, "--output", tmp_path / "slow.repligo", "--rate", 1000)
    assert time.monotonic() - start > 1.5


@pytest.mark.timeout(120)
def test_an_interrupted_export_leaves_no_file_and_an_interrupted_import_can_go_on(tmp_path, old, node):
    entries = [(number % 3, b"k%d" % number, b"v" * 100, None) for number in range(9000)]
    write(old.address, entries)
    file = tmp_path / "whole.repligo"
    command = [binary(), "export", "--addr", old.address, "--output", tmp_path / "cut.repligo", "--rate", 1000, "--json"]
    process = Process(command, tmp_path / "cut.json")
    process.wait_for("it writes", lambda: (tmp_path / "cut.repligo.partial").exists(), 20)
    process.signal(signal.SIGINT)
    assert process.child.wait(20) == 130
    assert not list(tmp_path.glob("cut.repligo*")), list(tmp_path.iterdir())
    transfer("export", "--addr", old.address, "--output", file)
    process = Process([binary(), "import", "--addr", node.address, file, "--rate", 2000, "--json"], tmp_path / "half.json")
    with Connection(node.address) as connection:
        connection.ask("SELECT", 1)
        process.wait_for("the second block is begun", lambda: connection.ask("DBSIZE") > 0, 30)
    process.signal(signal.SIGINT)
    assert process.child.wait(20) == 130
    half = json.loads(process.log.read_text().splitlines()[0])
    assert half["error"] == "interrupted" and "--from-block 2 --skip-existing" in half["remedy"], half
    rest = transfer("import", "--addr", node.address, file, "--from-block", 2, "--skip-existing")
    assert rest["complete"] and content(node.address) == expected(entries), rest


@pytest.mark.timeout(60)
def test_passwords_come_from_files_or_the_environment_and_never_from_the_command_line(tmp_path, node):
    locked = RedisServer(tmp_path / "locked", "--requirepass", "se cret")
    secret = tmp_path / "secret"
    secret.write_text("se cret\n")
    base = ["export", "--addr", locked.address, "--overwrite", "--output", tmp_path / "f.repligo"]
    clean = {name: value for name, value in os.environ.items() if name not in ("REDISCLI_AUTH", "REPLIGO_REQUIREPASS")}
    try:
        refused = transfer(*base, code=1, env=clean)
        assert "NOAUTH" in refused["error"] and "--password-file" in refused["remedy"], refused
        transfer(*base, "--password-file", secret, env=clean)
        transfer(*base, "--password-file", secret, "--user", "default", env=clean)
        transfer(*base, env={**clean, "REDISCLI_AUTH": "se cret"})
        wrong = transfer(*base, code=1, env={**clean, "REPLIGO_REQUIREPASS": "wr0ng"})
        assert "WRONGPASS" in wrong["error"] and "wr0ng" not in json.dumps(wrong), wrong
        copy = ["import", "--from", locked.address, "--to", node.address]
        transfer(*copy, "--from-password-file", secret, env=clean)
        transfer(*copy, env={**clean, "REPLIGO_FROM_PASSWORD": "se cret"})
        code, _, err = run_tool([binary(), *base, "--password", "x"])
        assert code == 2 and b"--password" in err
    finally:
        locked.stop()


@pytest.mark.timeout(60)
def test_a_server_is_not_copied_into_itself(node):
    write(node.address, [(0, b"k", b"v", None)])
    text = transfer("import", "--from", node.address, "--to", node.address, "--replace", code=1)["error"]
    assert "hold the same data" in text


@pytest.mark.timeout(60)
def test_a_target_that_refuses_says_so_and_is_not_believed(tmp_path, old, node):
    entries = [(0, b"k%d" % number, b"v" * 1000, None) for number in range(5000)]
    write(node.address, entries)
    with Connection(old.address) as connection:
        connection.ask("CONFIG", "SET", "maxmemory", "3mb", "maxmemory-policy", "noeviction")
        full = transfer("import", "--from", node.address, "--to", old.address, code=1)
        assert "OOM" in full["error"] and "maxmemory" in full["remedy"] and "--skip-existing" in full["remedy"], full
        # A server that evicts takes everything and does not keep it: the count shows that.
        connection.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
        lost = transfer("import", "--from", node.address, "--to", old.address, "--replace", code=1)
        assert lost["entries"] == 5000 and not lost["complete"], lost
        assert any("has lost, evicted or deleted" in text for text in lost["verification"]["problems"]), lost
        connection.ask("CONFIG", "SET", "maxmemory", "0")


@pytest.mark.timeout(60)
def test_a_missing_server_and_an_existing_file_are_told_at_once(tmp_path, old):
    file = tmp_path / "there"
    file.write_text("precious")
    text = transfer("export", "--addr", old.address, "--output", file, code=1)["error"]
    assert "exists" in text and file.read_text() == "precious"
    with subprocess.Popen(["true"]):
        pass
    gone = transfer("export", "--addr", "127.0.0.1:1", "--output", tmp_path / "x", code=1)
    assert "cannot connect to 127.0.0.1:1" in gone["error"], gone


@pytest.mark.timeout(180)
def test_a_hundred_thousand_keys_go_both_ways_in_reasonable_time(tmp_path, old, node):
    entries = [(number % 2, b"key:%08d" % number, b"value:%08d" % number, None) for number in range(100_000)]
    write(old.address, entries)
    start = time.monotonic()
    file = tmp_path / "many.repligo"
    assert transfer("export", "--addr", old.address, "--output", file)["entries"] == 100_000
    assert transfer("import", "--addr", node.address, file)["complete"]
    took = time.monotonic() - start
    assert took < 60, took
    with Connection(node.address, 60) as connection:
        wait_until("all are there", lambda: connection.ask("DBSIZE") == 50_000, 5)
