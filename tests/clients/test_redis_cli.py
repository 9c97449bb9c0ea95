"""redis-cli, in all the ways in which scripts use it."""

import pytest

from support.processes import run_tool
from support.resp import encode

FED = 20_000


def run(entry, *arguments, data=None):
    """Runs redis-cli to its end."""
    host, port = entry
    return run_tool(["redis-cli", "-h", host, "-p", port, *arguments], data=data)


def cli(entry, *arguments, data=None):
    """Its output, where it has nothing to complain about."""
    code, output, errors = run(entry, *arguments, data=data)
    assert code == 0, (arguments, code, output[-500:], errors[-500:])
    assert errors == b"", errors[-500:]
    return output


@pytest.mark.parametrize("protocol", ["-2", "-3"])
def test_commands_from_the_command_line(entry, protocol):
    assert cli(entry, protocol, "SET", "greeting", "hello world") == b"OK\n"
    assert cli(entry, protocol, "GET", "greeting") == b"hello world\n"
    assert cli(entry, protocol, "--no-raw", "GET", "greeting") == b'"hello world"\n'
    assert cli(entry, protocol, "--no-raw", "GET", "absent") == b"(nil)\n"
    assert cli(entry, protocol, "--no-raw", "INCRBY", "n", "42") == b"(integer) 42\n"
    assert cli(entry, protocol, "MGET", "greeting", "absent", "n") == b"hello world\n\n42\n"
    assert cli(entry, protocol, "--no-raw", "EXPIRE", "n", "100") == b"(integer) 1\n"
    assert b"wrong number of arguments" in cli(entry, protocol, "GET")
    assert b"unknown command" in cli(entry, protocol, "NOTHING")
    assert b"redis_version:" in cli(entry, protocol, "INFO", "server")
    assert b'"greeting"' in cli(entry, protocol, "--csv", "KEYS", "*")


def test_one_connection_with_many_commands(entry):
    script = b"SET a 1\nINCR a\nMULTI\nINCR a\nGET a\nEXEC\nSELECT 3\nGET a\nWATCH a\nPING\n"
    output = cli(entry, data=script).split(b"\n")
    assert output[:10] == [b"OK", b"2", b"OK", b"QUEUED", b"QUEUED", b"3", b"3", b"OK", b"", b"OK"]


def test_other_databases_values_from_standard_input_and_repetition(entry):
    assert cli(entry, "-n", "5", "SET", "k", "five") == b"OK\n"
    assert cli(entry, "GET", "k") == b"\n"
    assert cli(entry, "-n", "5", "GET", "k") == b"five\n"
    value = bytes(range(256)) * 10
    assert cli(entry, "-x", "SET", "binary", data=value) == b"OK\n"
    assert cli(entry, "--raw", "GET", "binary") == value + b"\n"
    assert cli(entry, "-r", "5", "INCR", "count") == b"1\n2\n3\n4\n5\n"


def test_a_stream_is_fed_through_pipe_mode(entry):
    requests = [encode(("SET", f"key:{number}", f"value {number}")) for number in range(FED)]
    output = cli(entry, "--pipe", data=b"".join(requests))
    assert f"errors: 0, replies: {FED}".encode() in output
    assert cli(entry, "DBSIZE") == b"%d\n" % FED
    assert cli(entry, "GET", f"key:{FED - 1}") == f"value {FED - 1}\n".encode()


def test_pipe_mode_takes_inline_requests_and_counts_errors(entry):
    code, output, errors = run(entry, "--pipe", data=b"SET a 1\r\nINCR a\r\nNOTHING\r\nGET a\r\n")
    assert code == 1 and b"errors: 1, replies: 4" in output
    assert errors.startswith(b"ERR unknown command 'NOTHING'")
    assert cli(entry, "GET", "a") == b"2\n"


def test_scan_mode_finds_every_key_once(entry):
    names = sorted(b"user:%d" % number for number in range(500))
    words = [word for name in [*names, b"other"] for word in (name, b"x")]
    cli(entry, "--pipe", data=encode(("MSET", *words)))
    assert sorted(cli(entry, "--scan", "--pattern", "user:*").splitlines()) == names
    assert len(cli(entry, "--scan").splitlines()) == len(names) + 1
