"""What clients take of a node's memory is told as it is, and given back."""

import time
from pathlib import Path

import pytest
from support.nodes import Cluster
from support.resp import encode
from support.waiting import wait_until

_MIB = 1 << 20


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("memory"), nodes=1, extra=["--durability", "none"]) as cluster:
        yield cluster.nodes[0]


def resident(node):
    status = Path(f"/proc/{node.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def fields(line):
    pairs = (word.split("=", 1) for word in line.decode().split())
    return {name: int(value) if value.lstrip("-").isdigit() else value for name, value in pairs}


def listed(connection, number):
    return fields(connection.ask("CLIENT", "LIST", "ID", number))


def figures(connection):
    lines = connection.ask("INFO", "memory").decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def test_the_ratio_of_an_empty_node_counts_the_process_itself(node):
    with node.connect() as connection:
        told = figures(connection)
    assert int(told["used_memory_startup"]) > 100_000
    assert int(told["used_memory"]) >= int(told["used_memory_startup"])
    assert 1.0 <= float(told["mem_fragmentation_ratio"]) < 100.0
    assert int(told["mem_clients_normal"]) > 0


def test_the_own_request_is_in_the_query_buffer(node):
    with node.connect() as connection:
        line = fields(connection.ask("CLIENT", "LIST"))
    assert (line["qbuf"], line["argv-mem"]) == (26, 10)
    assert line["tot-mem"] > line["qbuf"] + line["qbuf-free"] + line["rbs"]


def test_an_idle_client_holds_no_buffers(node):
    with node.connect() as connection, node.connect() as idle:
        number = idle.ask("CLIENT", "ID")
        line = listed(connection, number)
        assert [line[name] for name in ("qbuf", "qbuf-free", "multi-mem", "rbs", "obl", "oll", "omem")] == [0] * 7
        assert 0 < line["rbp"] < 100 and 0 < line["tot-mem"] < 10_000


def test_half_a_request_a_block_and_unread_replies_are_counted(node):
    with node.connect() as connection, node.connect() as other:
        number = other.ask("CLIENT", "ID")
        request = encode(("SET", "half", b"x" * 50_000))
        other.send(request[:20_000])
        wait_until("half a request is there", lambda: listed(connection, number)["qbuf"] == 20_000)
        assert listed(connection, number)["tot-mem"] > 20_000
        other.send(request[20_000:])
        assert other.read().raw == b"+OK\r\n"
        other.ask("MULTI")
        other.ask("SET", "queued", b"x" * 5_000)
        assert 5_000 < listed(connection, number)["multi-mem"] < 10_000
        other.ask("DISCARD")
        assert listed(connection, number)["multi-mem"] == 0
        connection.ask("SET", "long", b"x" * (8 * _MIB))
        other.send(encode(("GET", "long")) * 2)
        unread = lambda: listed(connection, number)
        wait_until("replies pile up", lambda: unread()["omem"] + unread()["rbs"] > 4 * _MIB)
        line = unread()
        assert line["tot-mem"] > line["omem"] + line["rbs"]
        assert [len(other.read(30.0).raw) for _ in range(2)] == [8 * _MIB + 12] * 2
        connection.ask("DEL", "long")


def test_memory_of_a_value_of_512_mib_is_given_back_when_it_goes(node):
    with node.connect(60.0) as connection:
        connection.ask("PING")
        before = resident(node)
        assert connection.ask("SETRANGE", "a", str((512 << 20) - 1), "x") == 512 << 20
        assert connection.ask("DEL", "a") == 1
        wait_until("it is given back", lambda: resident(node) < before + 32 * _MIB, seconds=10)


def test_more_than_a_million_words_are_a_request_and_others_go_on(node):
    words = (1 << 20) + 1
    with node.connect(120.0) as connection, node.connect(60.0) as other:
        before = resident(node)
        connection.send(b"*%d\r\n$6\r\nEXISTS\r\n" % words + b"$1\r\nx\r\n" * (words - 2))
        assert other.ask("PING") == b"PONG"
        connection.send(b"$1\r\nx\r\n")
        start = time.monotonic()
        assert connection.read(60.0).raw == b":0\r\n"
        print(f"executed in {time.monotonic() - start:.3f} s")
        wait_until("its memory is given back", lambda: resident(node) < before + 16 * _MIB, seconds=10)
    with node.connect() as connection:
        connection.send(b"*5000000\r\n")
        assert connection.read().raw == b"-ERR Protocol error: too big request\r\n"
