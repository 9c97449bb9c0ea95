"""A backup is one point of the log, taken from a running cluster; a new cluster of any size begins with it, and nothing of
the old one takes part in that. What is cut, damaged or foreign is refused, and nothing is touched."""

import json
import re
import subprocess
import threading
import time

import pytest
import redis

from faults.database import mapped_cluster
from membership.members import SECONDS, Fleet
from support.nodes import Cluster, binary
from support.processes import Process
from support.redis_server import free_port
from support.waiting import wait_until
from support.wire import Connection

from .tool import backup, restore, tool, verify


class Pairs:
    """Writes the same number to two keys in one transaction, again and again."""

    def __init__(self, client):
        self.client = client
        self.written = 0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        wait_until("pairs are written", lambda: self.written > 20, SECONDS)
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join(30)

    def _run(self):
        while not self._ends.is_set():
            number = self.written + 1
            with self.client.pipeline() as block:
                # Far apart in the table: a walk meets them at different times.
                block.mset({f"left:{number % 100}": number, "left": number})
                block.mset({"right": number, f"right:{number % 100}": number})
                block.execute()
            self.written = number


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A cluster of three with keys, deadlines and a user, and a backup that a follower has given under load."""
    with Fleet(tmp_path_factory.mktemp("old")) as fleet:
        names = ("n1", "n2", "n3")
        for name in names:
            fleet.peer(name)
        fleet.launch(*names)
        fleet.await_serving("n1")
        leader = fleet.leader("n1")
        follower = next(name for name in names if name != leader)
        client = fleet.client(leader)
        client.mset({f"key:{number}": "x" * 100 for number in range(20_000)})
        client.rpush("list", *range(1000))
        client.set("short", "v", px=60_000)
        client.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~app:*", "+@all")
        file = fleet.directory / "all.backup"
        with Pairs(fleet.client(leader)) as pairs:
            before = pairs.written
            # Of the nodes that are named a follower is taken.
            addresses = ",".join([fleet.nodes[leader].address, fleet.nodes[follower].address])
            told = backup(addresses, file)
        # A write whose fate is unknown may be in it too.
        fleet.facts = {"file": file, "told": told, "before": before, "after": pairs.written + 1}
        if fleet.leader("n1") == leader:
            assert told["node"] == follower, told
        yield fleet


def test_a_backup_says_its_point_and_is_read_as_a_node_would(old):
    told, found = old.facts["told"], verify(old.facts["file"])
    for fact in ("cluster", "generation", "index", "term", "time_ms", "keys", "bytes"):
        assert told[fact] == found[fact] and told[fact], (fact, told, found)
    assert found["members"] == ["n1", "n2", "n3"] and found["users"] == 1, found
    assert found["keys"] >= 20_004 and abs(found["time_ms"] - time.time() * 1000) < 60_000, found
    assert old.facts["file"].stat().st_size == found["bytes"]
    assert old.facts["file"].stat().st_mode & 0o777 == 0o600
    text = tool("backup", "verify", old.facts["file"])
    assert "whole and undamaged" in text and f"entry {found['index']} of term {found['term']}" in text, text
    text = tool("backup", "--addr", old.nodes["n1"].address, "--output", old.facts["file"], code=1)
    assert "exists" in text and verify(old.facts["file"]) == found, text


def test_a_new_cluster_of_another_size_has_one_point_of_all_data_and_old_nodes_take_no_part(old, tmp_path):
    told = old.facts["told"]
    with Fleet(tmp_path) as new:
        new.secret = old.secret
        for name in ("n1", "n2"):
            new.peer(name)
        line = ",".join(f"{name}={new.peer(name)}" for name in ("n1", "n2"))
        made = restore(old.facts["file"], tmp_path / "n1", "--name", "n1", "--cluster", line)
        assert made["generation"] == told["generation"] + 1 and made["cluster"] != told["cluster"], made
        text = tool("restore", old.facts["file"], "--data-dir", tmp_path / "n1", code=1)
        assert "not empty" in text and "nothing is ever overwritten" in text, text
        new.launch("n1")
        new.await_serving("n1")
        client = new.client("n1", decode_responses=True)
        # All of one moment, and of one that was not over when the backup was asked for.
        left, right = (int(value) for value in client.mget("left", "right"))
        assert old.facts["before"] <= left == right <= old.facts["after"], (left, right, old.facts)
        sides = [[client.get(f"{side}:{number}") for number in range(100)] for side in ("left", "right")]
        assert sides[0] == sides[1]
        assert client.llen("list") == 1000 and client.get("key:19999") == "x" * 100
        assert 0 < client.pttl("short") <= 60_000, "deadlines are points in time"
        with redis.Redis("127.0.0.1", new.ports["n1"][0], username="app", password="pw") as app:
            assert app.set("app:1", "1")
        # An empty node joins; one of the old cluster, which runs, is refused.
        new.launch("n2")
        new.await_voters("n1", ["n1", "n2"])
        new.await_serving("n2")
        assert new.client("n2").llen("list") == 1000
        old.stop("n3")
        old.peer("n3")
        (old.directory / "n3").rename(tmp_path / "n3")
        new.launch("n3")
        stranger = new.nodes["n3"].started
        wait_until("n3 is refused", lambda: "the clusters differ" in stranger.tail(60), SECONDS)
        assert sorted(member["name"] for member in new.members("n1").values()) == ["n1", "n2"]


def test_what_is_cut_damaged_or_foreign_is_refused_and_nothing_is_made(old, tmp_path):
    whole = old.facts["file"].read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    for name, data, part in (
        ("cut", whole[: len(whole) // 3], "it is cut"),
        ("short", whole[:11], "it is cut"),
        ("changed", changed, "damaged near byte"),
        ("longer", whole + b"x", "something follows"),
        ("empty", b"", "no backup of Repligo"),
        ("export", b"*2\r\n$4\r\nECHO\r\n$37\r\nrepligo-export version=2 created-ms=1\r\n", "`repligo import` reads it"),
    ):
        file = tmp_path / name
        file.write_bytes(data)
        for words in (["backup", "verify", file], ["restore", file, "--data-dir", tmp_path / "made"]):
            text = tool(*words, code=1)
            assert part in text and str(file) in text and "do: " in text, text
        assert not (tmp_path / "made").exists(), name
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("mine")
    text = tool("restore", old.facts["file"], "--data-dir", other, code=1)
    assert "not empty (it holds file)" in text, text
    assert [path.name for path in other.iterdir()] == ["file"]
    text = tool("restore", old.facts["file"], "--data-dir", tmp_path / "made", "--name", "n1", "--cluster", "n2=h:1", code=1)
    assert "n1 is not in the cluster line" in text and not (tmp_path / "made").exists(), text
    # Directories for all nodes of a line would be as many clusters.
    words = ["restore", old.facts["file"], "--data-dir", tmp_path / "made", "--cluster", "n2=h:2,n1=h:1"]
    text = tool(*words, "--name", "n2", code=1)
    assert "with --name n1" in text and "--join" in text and not (tmp_path / "made").exists(), text
    text = tool(*words, "--name", "n1")
    assert "--cluster n2=h:2,n1=h:1 --cluster-secret-file FILE" in text, text
    text = tool("restore", old.facts["file"], "--data-dir", tmp_path / "single")
    assert "none can join" in text and "loaded anew from the database" in text, text
    text = tool("backup", code=2)
    assert "give --output FILE" in text, text
    text = tool("backup", "--addr", f"127.0.0.1:{free_port()}", "--output", tmp_path / "none", code=1)
    assert text.count("do: ") == 1 and "start the node" in text, text


def test_a_backup_to_standard_output_is_paced_and_one_is_read_at_a_time(tmp_path):
    with Cluster(tmp_path, nodes=1) as cluster:
        node = cluster.nodes[0]
        with node.connect() as connection:
            connection.ask("MSET", *[word for n in range(200) for word in (f"key:{n}", "x" * 10_000)])
            # Whoever comes next waits for its end.
            held = str(json.loads(connection.ask("REPLIGO.BACKUP", "BEGIN"))["id"])
            assert connection.call("REPLIGO.BACKUP", "BEGIN").raw.startswith(b"-BUSY")
            with open(tmp_path / "out", "wb") as out:
                argv = [binary(), "backup", "--addr", node.address, "--output", "-", "--rate", "2MiB"]
                began = time.monotonic()
                running = subprocess.Popen([str(word) for word in argv], stdout=out, stderr=subprocess.PIPE)
                assert connection.ask("REPLIGO.BACKUP", "END", held) == b"OK"
                _, errors = running.communicate(timeout=60)
            assert running.returncode == 0, errors
            # 2 MB at 2 MiB a second.
            assert time.monotonic() - began > 0.8 and b"point: entry" in errors, errors
            assert verify(tmp_path / "out")["keys"] == 200
            refused = (("STATE", "99", b"no such backup"), ("STOP", b"usage:"), ("READ", "1", b"usage:"))
            for *words, part in refused:
                assert part in connection.call("REPLIGO.BACKUP", *words).raw
            connection.ask("MULTI")
            connection.ask("REPLIGO.BACKUP", "BEGIN")
            assert b"cannot be used inside MULTI" in connection.call("EXEC").raw


def test_rows_of_a_database_are_loaded_anew_and_an_old_fence_is_taken_away_by_hand(tmp_path):
    file = tmp_path / "all.backup"
    with mapped_cluster(tmp_path / "old", nodes=1) as (cluster, database):
        node = cluster.nodes[0]
        with node.connect(20) as connection:
            connection.ask("SET", "item:a", "at the backup")
            connection.ask("SET", "plain", "1")
            backup(node.address, file)
            connection.ask("SET", "item:a", "later")
    restore(file, tmp_path / "new", "--name", "n1")
    ports = [free_port() for _ in range(3)]
    argv = [binary(), "serve", "--config", database.config, "--data-dir", tmp_path / "new"]
    argv += ["--listen", f"127.0.0.1:{ports[0]}", "--admin-listen", f"127.0.0.1:{ports[1]}"]
    argv += ["--peer-listen", f"127.0.0.1:{ports[2]}"]
    started = Process([str(word) for word in argv], tmp_path / "new.log")
    try:
        started.wait_for("it serves", lambda: "repligo ready" in started.tail(100), SECONDS)
        with Connection(f"127.0.0.1:{ports[0]}", 20) as connection:
            # The old cluster may still write: what is loaded now could be old in a moment.
            refused = connection.call("GET", "item:a").raw
            assert refused.startswith(b"-ORIGINDOWN") and b"belongs to cluster" in refused, refused
            assert connection.ask("GET", "plain") == b"1"
            refused = connection.call("SET", "item:a", "new").raw
            assert refused.startswith((b"-ORIGINDOWN", b"-UNKNOWN")), refused
            words = re.compile(r"DELETE FROM repligo_lane WHERE cluster='[0-9a-f]+'")
            statement = started.wait_for("it says what to do", lambda: words.search(started.tail(100)), SECONDS)
            with database.open() as other:
                other.execute("UPDATE items SET value = ? WHERE name = 'a'", (b"latest",))
                other.execute(statement.group())
            # The database has the later truth.
            wait_until("it is loaded", lambda: connection.call("GET", "item:a").raw == b"$6\r\nlatest\r\n", SECONDS)
            wait_until("it is written", lambda: connection.call("SET", "item:a", "new").raw == b"+OK\r\n", SECONDS)
        assert database.rows("items")[b"item:a"] == b"new"
    finally:
        started.stop(20)
