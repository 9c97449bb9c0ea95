"""Transfers through a leader that is killed: they go on with another node, and nothing is missing or doubled."""

import json

import pytest

from support.nodes import Cluster, binary
from support.processes import Process
from support.redis_server import RedisServer
from support.wire import Connection

from .tool import ask_all, content, expected, mixed, streams, transfer, write

KEYS = 8000
# Slow enough that the leader dies in the middle.
RATE = 2500


def _run_and_kill(cluster, words, log, is_midway):
    """Runs the command, kills the leader when it is midway, and returns the summary."""
    leader = cluster.leader()
    process = Process([binary(), *words, "--rate", RATE, "--json"], log)
    process.wait_for("it is midway", is_midway, 40)
    leader.kill()
    assert process.child.wait(100) == 0, process.tail()
    return json.loads(process.log.read_text().splitlines()[-1]), leader


def _addresses(cluster):
    # The leader first, so that its death breaks the connection.
    leader = cluster.leader()
    return ",".join(node.address for node in [leader, *cluster.followers(leader)])


@pytest.mark.timeout(180)
@pytest.mark.parametrize("existing", ["--fail-existing", "--skip-existing", "--replace"])
def test_an_import_goes_on_when_the_leader_dies(tmp_path, existing):
    old = RedisServer(tmp_path / "redis")
    try:
        entries = mixed(11, KEYS)
        write(old.address, entries)
        with Connection(old.address, 30) as connection:
            ask_all(connection, streams())
        held = content(old.address)
        file = tmp_path / "all.repligo"
        transfer("export", "--addr", old.address, "--output", file)
    finally:
        old.stop()
    with Cluster(tmp_path / "cluster") as cluster:
        words = ["import", "--addr", _addresses(cluster), file, existing, "--verify", "full"]
        with cluster.leader().connect() as connection:

            def is_midway():
                return connection.ask("DBSIZE") > KEYS // 64

            summary, leader = _run_and_kill(cluster, words, tmp_path / "import.json", is_midway)
        assert summary["complete"] and summary["entries"] == len(held), summary
        assert summary["reconnects"] >= 1 and summary["verification"]["compared"] == len(held), summary
        for node in cluster.followers(leader):
            assert content(node.address) == held


@pytest.mark.timeout(180)
def test_an_export_goes_on_when_the_leader_dies(tmp_path):
    with Cluster(tmp_path / "cluster") as cluster:
        entries = mixed(12, KEYS)
        write(cluster.leader().address, entries)
        file = tmp_path / "all.repligo"
        partial = tmp_path / "all.repligo.partial"

        def is_midway():
            return partial.exists() and partial.stat().st_size > 100_000

        words = ["export", "--addr", _addresses(cluster), "--output", file]
        summary, _ = _run_and_kill(cluster, words, tmp_path / "export.json", is_midway)
        assert summary["complete"] and summary["entries"] == len(entries) and summary["reconnects"] >= 1, summary
    into = RedisServer(tmp_path / "redis")
    try:
        transfer("import", "--addr", into.address, file, "--verify", "full")
        assert content(into.address) == expected(entries)
    finally:
        into.stop()


@pytest.mark.timeout(60)
def test_a_source_that_comes_back_with_nothing_is_no_success(tmp_path):
    """A Redis without persistence restarts empty: the walk begins anew and cannot hide what is gone."""
    old = RedisServer(tmp_path / "redis")
    port = old.address.split(":")[1]
    entries = [(0, b"k%d" % number, b"v", None) for number in range(6000)]
    write(old.address, entries)
    process = Process(
        [binary(), "export", "--addr", old.address, "--output", tmp_path / "f", "--rate", 2000, "--json"],
        tmp_path / "export.json",
    )
    partial = tmp_path / "f.partial"
    process.wait_for("it has begun", partial.exists, 20)
    old.process.kill()
    again = Process([*old.process.argv[:4], port, *old.process.argv[5:]], tmp_path / "again.log")
    try:
        code = process.child.wait(40)
        summary = json.loads(process.log.read_text().splitlines()[0])
        assert summary["rescans"] == 1 and summary["reconnects"] >= 1, summary
        assert summary["entries"] + summary["vanished"] <= 6000
        assert code == 1 and "fewer keys were found" in json.dumps(summary["verification"]["problems"]), summary
    finally:
        again.stop()


@pytest.mark.timeout(60)
def test_a_target_that_stays_away_ends_the_import_with_the_way_to_go_on(tmp_path):
    old, into = RedisServer(tmp_path / "redis"), RedisServer(tmp_path / "into")
    try:
        write(old.address, [(0, b"k%d" % number, b"v", None) for number in range(6000)])
        words = ["import", "--from", old.address, "--to", into.address, "--rate", 2000, "--patience", 1, "--json"]
        process = Process([binary(), *words], tmp_path / "import.json")
        with Connection(into.address) as connection:
            process.wait_for("it has begun", lambda: connection.ask("DBSIZE") > 0, 20)
        into.process.kill()
        assert process.child.wait(30) == 1
        summary = json.loads(process.log.read_text().splitlines()[0])
        assert "no answer for 1 s" in summary["error"] and "--skip-existing" in summary["remedy"], summary
        assert 0 < summary["entries"] < 6000, summary
    finally:
        old.stop()
        into.stop()
