"""A source that is followed: under load, over broken links, and until clients are moved over."""

import json
import random
import signal
import threading

import pytest

from support.nodes import Cluster, binary
from support.processes import Process
from support.redis_server import RedisServer
from support.waiting import wait_until
from support.wire import Connection

from .tool import ask_all, content, mixed, streams, transfer, write


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("old"), "--repl-diskless-sync-delay", "0", "--repl-backlog-size", "64mb")
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
            ask_all(connection, [["FLUSHALL"], ["FUNCTION", "FLUSH"]])


_LIBRARY = "#!lua name=l\nredis.register_function('f', function() return 1 end)"


class _Load:
    """Writes of all kinds that are not the same when they are applied twice or in another order."""

    def __init__(self, address, seed):
        self.address, self.chance, self.rounds = address, random.Random(seed), 0
        self.stop, self.failure = threading.Event(), None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        try:
            with Connection(self.address, 60) as connection:
                while not self.stop.is_set():
                    ask_all(connection, [words for _ in range(20) for words in self._some()])
                    self.rounds += 1
        except Exception as failure:  # noqa: BLE001  It is told by `end`.
            self.failure = failure

    def _some(self):
        chance = self.chance
        number, text = chance.randrange(50), b"x" * chance.randrange(200)
        simple = [
            ["INCR", f"n{number}"],
            ["RPUSH", f"l{number}", text],
            ["LPOP", f"l{number}"],
            ["APPEND", f"s{number}", b"%d" % number],
            ["ZINCRBY", f"z{number}", "0.5", f"m{number}"],
            ["HINCRBY", f"h{number}", "f", 3],
            ["SPOP", f"e{number}"],
            ["SADD", f"e{number}", number, number + 1, number + 2],
            ["XADD", f"x{number}", "MAXLEN", "50", "*", "f", text],
            ["PEXPIRE", f"s{number}", 3_600_000 + number],
            ["PERSIST", f"s{number}"],
            ["DEL", f"h{number}"],
            ["SETEX", f"t{number}", 3600, text],
            ["EVAL", "redis.call('INCR', KEYS[1]); return redis.call('RPUSH', KEYS[2], ARGV[1])", 2, f"n{number}", f"l{number}", number],
        ]
        words = chance.choice(simple)
        if chance.random() < 0.2:
            return [["MULTI"], words, ["SELECT", 5], chance.choice(simple), ["SELECT", 0], ["EXEC"]]
        return [["SELECT", 5], words, ["SELECT", 0]] if chance.random() < 0.2 else [words]

    def end(self):
        self.stop.set()
        self.thread.join(60)
        assert self.failure is None, self.failure


class _Import:
    """`repligo import --follow` in the background."""

    def __init__(self, source, target, log, *options):
        words = [binary(), "import", "--from", source, "--to", target, "--follow", "--json", *options]
        self.process = Process(words, log)
        self.process.wait_for("it follows", lambda: self.says("following from offset"), 60)

    def says(self, part):
        return part in self.process.log.read_text()

    def end(self, code=0):
        self.process.signal(signal.SIGINT)
        got = self.process.child.wait(60)
        assert got == code, self.process.tail()
        return json.loads(self.process.log.read_text().splitlines()[-1])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("diskless", ["yes", "no"])
def test_a_source_under_load_is_followed_to_the_last_write(tmp_path, old, node, diskless):
    write(old.address, mixed(41, 400))
    with Connection(old.address, 30) as connection:
        ask_all(connection, [["CONFIG", "SET", "repl-diskless-sync", diskless], *streams()])
        load = _Load(old.address, 42)
        importing = _Import(old.address, node.address, tmp_path / "log")
        begun = load.rounds
        wait_until("it is followed for a while", lambda: load.rounds > begun + 40, 60)
        if diskless == "no":
            # What is not taken is told, also if the connection breaks behind it.
            connection.ask("FUNCTION", "LOAD", "REPLACE", _LIBRARY)
            begun = load.rounds
            wait_until("it is followed for a while", lambda: load.rounds > begun + 20, 60)
            connection.ask("CLIENT", "KILL", "TYPE", "replica")
            wait_until("it goes on", lambda: importing.says("the connection goes on from offset"), 30)
            begun = load.rounds
            wait_until("it is followed for a while", lambda: load.rounds > begun + 20, 60)
        load.end()
    summary = importing.end(3 if diskless == "no" else 0)
    assert summary["left_out"] == ({"changes of function libraries": 1} if diskless == "no" else {}), summary
    assert summary["complete"] and summary["verification"]["compared"] > 300, summary
    assert summary["followed"]["lag_bytes"] < 1000 and summary["followed"]["requests"] > 500, summary
    assert summary["followed"]["full_syncs"] == 1 and summary["followed"]["resumed"] == (diskless == "no"), summary
    assert content(node.address) == content(old.address)


@pytest.mark.timeout(60)
def test_what_the_source_cannot_tell_any_more_is_copied_anew(tmp_path, old, node):
    write(old.address, [(0, b"k%d" % number, b"v", None) for number in range(50)])
    importing = _Import(old.address, node.address, tmp_path / "log")
    with Connection(old.address) as connection:
        ask_all(connection, [["SET", "kept", "1"], ["CONFIG", "SET", "repl-backlog-size", "16384"]])
        # The link is cut, and before it comes back more was written than the source remembers.
        words = [["MULTI"], ["CLIENT", "KILL", "TYPE", "replica"], ["DEL", "k7"], ["SET", "long", b"x" * 500_000], ["EXEC"]]
        ask_all(connection, words)
        wait_until("it is copied anew", lambda: importing.says("everything copied anew"), 30)
        wait_until("it follows again", lambda: importing.process.log.read_text().count("following from offset") == 2, 30)
        connection.ask("CONFIG", "SET", "repl-backlog-size", "64mb")
    summary = importing.end()
    assert summary["complete"] and summary["followed"]["full_syncs"] == 2, summary
    assert content(node.address) == content(old.address)


@pytest.mark.timeout(60)
def test_a_source_that_comes_back_without_keys_empties_nothing(tmp_path, node):
    secret = tmp_path / "secret"
    secret.write_text("se cret\n")
    locked = RedisServer(tmp_path / "locked", "--repl-diskless-sync-delay", "0", "--requirepass", "se cret")
    try:
        with Connection(locked.address) as connection:
            ask_all(connection, [["AUTH", "se cret"], ["SET", "a", "1"], ["CONFIG", "SET", "repl-backlog-size", "16384"]])
            options = ["--from-password-file", secret]
            importing = _Import(locked.address, node.address, tmp_path / "log", *options)
            ask_all(connection, [["SET", "b", "2"]])
            with Connection(node.address) as target:
                wait_until("it is there", lambda: target.ask("GET", "b") == b"2", 30)
            long = [["SET", "long", b"x" * 500_000], ["DEL", "long"]]
            ask_all(connection, [["MULTI"], ["CLIENT", "KILL", "TYPE", "replica"], ["FLUSHALL"], *long, ["EXEC"]])
        assert importing.process.child.wait(60) == 1, importing.process.tail()
        assert importing.says("has no keys any more") and importing.says("the target keeps what it has")
        assert content(node.address) == {(0, b"a"): (b"1", None), (0, b"b"): (b"2", None)}
    finally:
        locked.stop()


@pytest.mark.timeout(60)
def test_a_quiet_source_is_caught_up_with_and_refusals_are_clear(tmp_path, old, node):
    write(old.address, mixed(43, 200))
    with Connection(old.address) as connection:
        connection.ask("FUNCTION", "LOAD", _LIBRARY)
    words = ["import", "--from", old.address, "--to", node.address, "--follow", "--until-caught-up"]
    summary = transfer(*words)
    assert summary["complete"] and summary["libraries"] == {"loaded": 1, "existing": 0}, summary
    assert content(node.address) == content(old.address)
    for address in (old.address, node.address):
        with Connection(address) as connection:
            assert connection.ask("FCALL", "f", 0) == 1
            connection.ask("FUNCTION", "FLUSH")
    text = transfer(*words, code=1)["error"]
    assert "has" in text and "keys" in text, text
    with Connection(node.address) as connection:
        connection.ask("FLUSHALL")
    one = transfer(*words, "--db", 3)
    assert content(node.address) == {name: held for name, held in content(old.address).items() if name[0] == 3}, one
    # A node is no source of PSYNC.
    with Connection(old.address) as connection:
        connection.ask("FLUSHALL")
    refused = transfer("import", "--from", node.address, "--to", old.address, "--follow", "--patience", 2, code=1)
    assert "PSYNC" in refused["error"] and "Redis or Valkey" in refused["remedy"], refused


@pytest.mark.timeout(120)
def test_the_leader_of_the_target_is_killed_and_everything_is_applied_once(tmp_path, old):
    with Cluster(tmp_path / "cluster", nodes=3) as cluster:
        load = _Load(old.address, 44)
        leader = cluster.leader()
        # The leader first, so that its death breaks the connection.
        addresses = [node.address for node in [leader, *cluster.followers(leader)]]
        importing = _Import(old.address, ",".join(addresses), tmp_path / "log")
        begun = load.rounds
        wait_until("it is followed", lambda: load.rounds > begun + 20, 60)
        leader.kill()
        begun = load.rounds
        wait_until("it is followed for a while", lambda: load.rounds > begun + 20, 60)
        load.end()
        summary = importing.end()
        assert summary["complete"], summary
        for node in cluster.followers(leader):
            assert content(node.address) == content(old.address)


@pytest.mark.timeout(60)
def test_a_replica_is_followed_in_its_database_and_deadlines_come_at_the_end(tmp_path, node):
    options = ["--databases", "32", "--repl-diskless-sync-delay", "0"]
    first = RedisServer(tmp_path / "first", *options)
    second = None
    try:
        host, port = first.address.split(":")
        second = RedisServer(tmp_path / "second", *options, "--replicaof", f"{host} {port}")
        with Connection(first.address) as connection, Connection(second.address) as replica, Connection(node.address) as target:
            wait_until("the replica is there", lambda: b"master_link_status:up" in replica.ask("INFO", "replication"), 30)
            # From here on the first one names no database any more.
            ask_all(connection, [["SELECT", 3], ["SET", "before", 1, "EX", 3600]])
            wait_until("it came", lambda: b"db3:" in replica.ask("INFO", "keyspace"), 30)
            importing = _Import(second.address, node.address, tmp_path / "log")
            ask_all(connection, [["SET", "behind", 2, "EX", 3600], ["SETEX", "last", 3600, 3]])
            target.ask("SELECT", 3)
            wait_until("it is applied", lambda: target.ask("EXISTS", "last") == 1, 30)
            far = ask_all(target, [["PEXPIRETIME", name] for name in ("before", "behind", "last")])
            assert min(far) > 2**55, far
            held = content(first.address)
            # What the target cannot take ends it, and goes nowhere else.
            ask_all(connection, [["SELECT", 20], ["SET", "x", 1]])
            assert importing.process.child.wait(60) == 1, importing.process.tail()
        assert importing.says("database 20 of the source") and importing.says("give a target with as many databases")
        assert content(node.address) == held and len(held) == 3
        same = transfer("import", "--from", first.address, "--to", second.address, "--follow", code=1)
        assert "hold the same data" in same["error"], same
    finally:
        first.stop()
        if second is not None:
            second.stop()


@pytest.mark.timeout(60)
def test_keys_that_only_the_target_has_are_found(tmp_path, old, node):
    write(old.address, [(0, b"k%d" % number, b"v", None) for number in range(50)])
    importing = _Import(old.address, node.address, tmp_path / "log")
    with Connection(old.address) as connection, Connection(node.address) as target:
        ask_all(connection, [["DEL", "k7"], ["SET", "made", 1], ["DEL", "made"], ["SET", "last", 1]])
        wait_until("it is applied", lambda: target.ask("EXISTS", "last") == 1, 30)
        ask_all(target, [["SET", "k7", "v"], ["SET", "made", 1], ["SET", "stray", 1]])
    summary = importing.end(1)
    problems = " ".join(summary["verification"]["problems"])
    assert "k7 is there" in problems and "made is there" in problems, summary
    assert "counts 50 keys, and the target 53" in problems, summary
