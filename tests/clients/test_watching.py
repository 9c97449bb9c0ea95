"""CLIENT PAUSE holds requests back and loses none; MONITOR shows them, but no secrets. With one thread and with several."""

import re
import time

import pytest

from support.nodes import Cluster
from support.resp import encode
from support.waiting import wait_until
from support.wire import Closed, Connection

LONG = 600_000
SPREAD = ["--workers", "3", "--workers-busy-percent", "0"]


@pytest.fixture(scope="module", params=[["--workers", "1"], SPREAD], ids=["one", "three"])
def node(request, tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("watching"), nodes=1, extra=request.param) as cluster:
        yield cluster.nodes[0]


@pytest.fixture
def operator(node):
    with node.connect() as connection:
        yield connection
        connection.ask("CLIENT", "UNPAUSE")


def clients(connection):
    """Flags and last command of each client, by its number."""
    lines = connection.ask("CLIENT", "LIST").decode().splitlines()
    return {int(line["id"]): (line["flags"], line["cmd"]) for line in (dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines)}


def hold(operator, connection, *words):
    """Sends a request and returns when the node has read it and holds it back."""
    number = connection.number
    connection.send(encode(words))
    wait_until(f"{words} is held back", lambda: "b" in clients(operator).get(number, ("", ""))[0])


def numbered(node):
    connection = node.connect()
    connection.number = connection.ask("CLIENT", "ID")
    return connection


def test_a_pause_of_writes_holds_them_back_and_lets_reads_through(node, operator):
    with numbered(node) as writer, numbered(node) as block, numbered(node) as script, node.connect() as reader:
        operator.ask("SET", "k", "old")
        for words in (("MULTI",), ("SET", "k", "block"), ("GET", "k")):
            block.ask(*words)
        operator.ask("CLIENT", "PAUSE", LONG, "WRITE")
        hold(operator, writer, "SET", "k", "new")
        hold(operator, block, "EXEC")
        hold(operator, script, "EVAL", "return redis.call('get', KEYS[1])", 1, "k")
        assert b"\r\nblocked_clients:3\r\n" in operator.ask("INFO", "clients")
        assert reader.ask("GET", "k") == b"old"
        assert reader.ask("EVAL_RO", "return redis.call('get', KEYS[1])", 1, "k") == b"old"
        assert reader.ask("EVAL", "#!lua flags=no-writes\nreturn redis.call('get', KEYS[1])", 1, "k") == b"old"
        reader.send(encode(["MULTI"]) + encode(["GET", "k"]) + encode(["EXEC"]) + encode(["PING"]))
        assert [reply.value.plain() for reply in reader.read_all(4)] == [b"OK", b"QUEUED", [b"old"], b"PONG"]
        assert operator.ask("CLIENT", "UNPAUSE") == b"OK"
        assert b"\r\nblocked_clients:0\r\n" in operator.ask("INFO", "clients")
        assert writer.read().value.plain() == b"OK"
        assert block.read().value.plain()[0] == b"OK"
        assert script.read().value.plain() in (b"old", b"new", b"block")


def test_a_pause_of_writes_lets_scripts_through_that_say_they_write_nothing(node, operator):
    reads, writes = ("#!lua flags=no-writes\nreturn 1", "#!lua\nreturn 2")
    register = "redis.register_function{function_name='%s', callback=function() return %d end, flags={%s}}\n"
    library = "#!lua name=paused\n" + register % ("reads", 3, "'no-writes'") + register % ("writes", 4, "")
    written = operator.ask("SCRIPT", "LOAD", writes)
    operator.ask("FUNCTION", "LOAD", "REPLACE", library)
    with numbered(node) as held, numbered(node) as function, node.connect() as reader:
        operator.ask("CLIENT", "PAUSE", LONG, "WRITE")
        # Also one that became known in the pause.
        read = reader.ask("SCRIPT", "LOAD", reads)
        assert (reader.ask("EVALSHA", read, 0), reader.ask("FCALL", "reads", 0)) == (1, 3)
        hold(operator, held, "EVALSHA", written, 0)
        hold(operator, function, "FCALL", "writes", 0)
        assert operator.ask("CLIENT", "UNPAUSE") == b"OK"
        assert (held.read().value.plain(), function.read().value.plain()) == (2, 4)
    operator.ask("FUNCTION", "DELETE", "paused")


def test_a_pause_of_everything_holds_new_clients_back_too_and_can_be_ended(node, operator):
    with numbered(node) as asker, numbered(node) as ender:
        # A shorter and weaker one changes nothing.
        assert ender.ask("CLIENT", "PAUSE", LONG) == b"OK"
        late = Connection(node.address)
        late.send(encode(["PING"]) + encode(["CLIENT", "ID"]))
        asker.send(encode(["INCR", "n"]) + encode(["INCR", "n"]) + encode(["GET", "n"]))
        with pytest.raises(TimeoutError):
            asker.read(0.3)
        ender.send(encode(["CLIENT", "UNPAUSE"]))
        assert ender.read().value.plain() == b"OK"
        assert [reply.value.plain() for reply in asker.read_all(3)] == [1, 2, b"2"]
        assert late.read().value.plain() == b"PONG"
        late.close()


def test_a_pause_ends_by_itself(node, operator):
    with node.connect() as asker:
        began = time.monotonic()
        operator.ask("CLIENT", "PAUSE", 700)
        asker.ask("PING")
        assert time.monotonic() - began >= 0.7


def test_who_hangs_up_while_paused_is_gone(node, operator):
    leaver = numbered(node)
    operator.ask("CLIENT", "PAUSE", LONG, "WRITE")
    hold(operator, leaver, "SET", "k", "never")
    leaver.close()
    wait_until("the client is gone", lambda: leaver.number not in clients(operator))
    operator.ask("CLIENT", "UNPAUSE")
    assert operator.ask("GET", "k") != b"never"


def test_what_is_no_pause_is_refused(operator):
    for words, text in (
        (("x",), "timeout is not an integer or out of range"),
        (("-1",), "timeout is negative"),
        (("9223372036854775807",), "timeout is out of range"),
        (("1", "some"), "CLIENT PAUSE mode must be WRITE or ALL"),
        (("1", "ALL", "x"), "unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP."),
    ):
        assert text in operator.call("CLIENT", "PAUSE", *words).value.data.decode(), words
    assert operator.ask("CLIENT", "PAUSE", 0) == b"OK"
    assert operator.ask("PING") == b"PONG"


def shown(monitor, until):
    """The words of each line that a monitor is told, up to the one that ends so."""
    lines = []
    while not lines or not lines[-1].endswith(until):
        text = monitor.read().value.data.decode()
        when, where, words = re.fullmatch(r"(\d+\.\d{6}) \[(\d+) 127\.0\.0\.1:\d+\] (.*)", text).groups()
        assert abs(float(when) - time.time()) < 100
        lines.append(f"{where} {words}")
    return lines


def test_a_monitor_is_shown_every_request_but_no_secret(node):
    with node.connect() as monitor, node.connect() as asker:
        monitor.send(encode(["MONITOR"]) + encode(["PING"]))
        assert [reply.value.plain() for reply in monitor.read_all(2)] == [b"OK", b"PONG"]
        for words in (
            ("set", "k", 'a"\x00\n'),
            ("AUTH", "a secret"),
            ("HELLO", "3", "AUTH", "user", "a secret"),
            ("NOTHING",),
            ("CONFIG", "SET", "requirepass", ""),
            ("ACL", "SETUSER", "u", ">a secret"),
            ("SELECT", "3"),
            ("MULTI",),
            ("INCR", "n"),
            ("EXEC",),
            ("GET", "n"),
        ):
            asker.call(*words)
        asker.send(encode(["SET", "k", "v"]) * 3 + encode(["GET", "end"]))
        asker.read_all(4)
        assert shown(monitor, '"GET" "end"') == [
            '0 "PING"',
            '0 "set" "k" "a\\"\\x00\\n"',
            '0 "AUTH" "(redacted)"',
            '0 "HELLO" "3" "AUTH" "(redacted)" "(redacted)"',
            '3 "SELECT" "3"',
            '3 "MULTI"',
            '3 "INCR" "n"',
            '3 "EXEC"',
            '3 "GET" "n"',
            *['3 "SET" "k" "v"'] * 3,
            '3 "GET" "end"',
        ]
        assert "can't interact" in monitor.call("GET", "k").value.data.decode()
        assert monitor.ask("RESET") == b"RESET"
        asker.ask("GET", "unseen")
        assert monitor.ask("GET", "k") == b'a"\x00\n'


def test_a_monitor_that_does_not_read_is_cut_off_and_holds_nobody_up(node, operator):
    operator.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1048576 1048576 1")
    with node.connect() as monitor, node.connect() as asker:
        assert monitor.ask("MONITOR") == b"OK"
        value = "x" * 30_000
        for _ in range(1_000):
            assert asker.ask("SET", "k", value) == b"OK"
        with pytest.raises(Closed):
            for _ in range(2_000):
                monitor.read()
    operator.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 33554432 8388608 60")


def test_who_loses_the_right_is_shown_nothing_more(node, operator):
    operator.ask("ACL", "SETUSER", "watcher", "on", "nopass", "+@all", "~*")
    with node.connect() as monitor, node.connect() as other:
        monitor.ask("AUTH", "watcher", "x")
        operator.ask("ACL", "SETUSER", "peeker", "on", "nopass", "+@all", "-@admin")
        other.ask("AUTH", "peeker", "x")
        assert b"NOPERM" in other.call("MONITOR").raw
        assert monitor.ask("MONITOR") == b"OK"
        operator.ask("ACL", "SETUSER", "watcher", "-monitor")
        with pytest.raises(Closed):
            for _ in range(100):
                monitor.read()
    operator.ask("ACL", "DELUSER", "watcher", "peeker")
