"""`repligo bench` against repligo and redis-server: the document, the comparison, mistakes, and an interruption."""

import json
import os
import pty
import signal
import subprocess
import time

import pytest

from support.nodes import binary
from support.processes import Process, run_tool
from support.redis_server import RedisServer, free_port
from support.wire import Connection

FIELDS = {"ops", "seconds", "ops_per_second", "errors", "wrong_replies", "latency_us", "cpu_us_per_op", "settings"}
PERCENTILES = ["min", "p50", "p90", "p99", "p999", "p9999", "max"]
SHORT = ["--seconds", 1, "--warmup", "0.1", "--keys", 5000]


def bench(*words, expect=0):
    """The document; standard output must hold nothing else."""
    code, output, errors = run_tool([binary(), "bench", "--json", *words], seconds=50)
    assert code == expect, (code, output[-500:], errors.decode())
    assert output.count(b"\n") == 1, output[-500:]
    # No terminal, no progress.
    assert expect != 0 or errors == b"", errors
    return json.loads(output)


@pytest.fixture(scope="module")
def address(request):
    def find(name):
        return request.getfixturevalue("redis_server").address if name == "redis" else (
            request.getfixturevalue("single").nodes[0].address
        )

    return find


@pytest.mark.parametrize("server", ["repligo", "redis"])
@pytest.mark.parametrize(
    "load",
    [
        ["--load", "--workload", "get", "--pipeline", 64],
        ["--workload", "mixed", "--reads", 50, "--distribution", "zipf", "--threads", 2],
        ["--load", "--rate", 3000, "--pipeline", 2, "--value-bytes", 5000],
    ],
)
def test_every_reply_is_right_and_the_document_complete(address, server, load):
    document = bench("--addr", address(server), *SHORT, *load)
    assert document.keys() >= FIELDS and document["kind"] == "run"
    assert document["server"]["name"] == server and len(document["server"]["cpu_pids"]) == 1
    assert document["wrong_replies"] == 0 and document["errors"] == 0, document
    assert document["ops"] == document["gets"] + document["sets"] > 500
    assert document["ops_per_second"] == pytest.approx(document["ops"] / document["seconds"])
    values = [document["latency_us"][name] for name in PERCENTILES]
    assert values == sorted(values) and values[0] > 0, values
    assert document["cpu_seconds"] > 0 and document["cpu_us_per_op"] > 0, document
    if "--load" in load:
        assert document["misses"] == 0 and document["load"]["sampled"] == 1000
        assert document["load"]["dbsize_after"] >= 5000
    if "--rate" in load:
        assert document["loop"] == "open" and document["ops"] == 3000
    else:
        assert document["loop"] == "closed"


def test_a_comparison_alternates_and_gives_ratios(address):
    words = ["--addr", address("repligo"), "--compare", address("redis"), "--repeats", 2, "--load", "--pipeline", 16]
    document = bench(*words, "--seconds", "0.5", "--warmup", "0.1", "--keys", 5000)
    assert document["kind"] == "compare" and document["repeats"] == 2
    assert (document["a"]["server"]["name"], document["b"]["server"]["name"]) == ("repligo", "redis")
    for name in ["ops_per_second", "p50_us", "p99_us", "cpu_us_per_op"]:
        for spread in [document["a"][name], document["b"][name], document["ratio"][name]]:
            assert 0 < spread["min"] <= spread["median"] <= spread["max"], (name, document)
    for side in "ab":
        runs = document[side]["runs"]
        assert [run["wrong_replies"] for run in runs] == [0, 0] and all(run["ops"] > 500 for run in runs)
    pairs = zip(document["a"]["runs"], document["b"]["runs"], strict=True)
    ratios = sorted(a["ops_per_second"] / b["ops_per_second"] for a, b in pairs)
    assert ratios == pytest.approx([document["ratio"]["ops_per_second"][end] for end in ("min", "max")])


def test_people_get_a_page_that_says_what_was_measured(address):
    words = [binary(), "bench", "--addr", address("redis"), *SHORT]
    code, output, _ = run_tool(words)
    said = output.decode()
    assert code == 0, said
    for part in ["redis 7.0", "closed loop: service time", "p99.99", "server CPU", "wrong       0 replies"]:
        assert part in said, said
    code, output, _ = run_tool([*words, "--rate", 1000, "--compare", address("repligo"), "--repeats", 1])
    said = output.decode()
    assert code == 0 and "a/b, pair by pair" in said and "repligo" in said, said


def test_a_value_that_somebody_else_wrote_is_a_wrong_reply(tmp_path):
    """The keys of a run are known by their prefix: one of them gets a foreign value between two runs."""
    server = RedisServer(tmp_path)
    try:
        words = ["--addr", server.address, "--keys", 100, "--requests", 2000, "--warmup", 0, "--workload", "get"]
        assert bench(*words, "--load")["wrong_replies"] == 0
        with Connection(server.address) as connection:
            left, right = sorted(connection.ask("KEYS", "bench:*"))[:2]
            connection.ask("SET", left, connection.ask("GET", right))
        document = bench(*words, expect=1)
        assert document["wrong_replies"] > 0 and left.decode() in document["wrong_examples"][0], document
    finally:
        server.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_with_what_was_measured(address, tmp_path, number):
    words = [binary(), "bench", "--addr", address("redis"), "--seconds", 600, "--warmup", 0, "--json"]
    process = Process(words, tmp_path / "bench.json")
    time.sleep(1)
    process.signal(number)
    assert process.child.wait(20) == 0, process.tail()
    document = json.loads(process.log.read_text())
    assert document["interrupted"] and document["ops"] > 100 and document["seconds"] < 60, document


def test_a_server_that_cannot_be_used_is_named_with_a_remedy(tmp_path):
    nobody = f"127.0.0.1:{free_port()}"
    document = bench("--addr", nobody, expect=1)
    assert document["kind"] == "error" and nobody in document["error"] and "--addr" in document["remedy"], document
    server = RedisServer(tmp_path, "--requirepass", "secret")
    try:
        document = bench("--addr", server.address, expect=1)
        assert "NOAUTH" in document["error"] and "--password" in document["remedy"], document
        document = bench("--addr", server.address, "--password", "wrong", expect=1)
        assert "WRONGPASS" in document["error"], document
        assert bench("--addr", server.address, "--password", "secret", *SHORT)["ops"] > 100
    finally:
        server.stop()


def test_a_server_that_is_full_is_reported_by_code_word(tmp_path):
    server = RedisServer(tmp_path, "--maxmemory", "1kb", "--maxmemory-policy", "noeviction")
    try:
        document = bench("--addr", server.address, "--workload", "set", "--requests", 3000, "--warmup", 0, expect=1)
        assert document["errors_by_code"] == {"OOM": 3000} and document["ops"] == 0, document
        document = bench("--addr", server.address, "--load", expect=1)
        assert "OOM" in document["error"] and "keys were written" in document["error"], document
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--addr", "6379"], ["--addr 6379", "HOST:PORT"]),
        (["--client", "5"], ["--client", "--clients"]),
        (["--rate", "-5"], ["-5"]),
        (["--seconds", "0"], ["--seconds 0", "0.001"]),
        (["--threads", "60"], ["--threads 60", "--clients 50"]),
        (["--distribution", "zipff"], ["zipff", "zipf:THETA"]),
        (["--value-bytes", "3"], ["--value-bytes", "16"]),
        (["--keys", "1000000000"], ["--key-bytes 16", "at least 17"]),
    ],
)
def test_wrong_words_are_refused_with_a_remedy(words, parts):
    code, output, errors = run_tool([binary(), "bench", *words])
    said = errors.decode()
    assert code == 2 and output == b"", said
    assert all(part in said for part in parts), said


def test_a_terminal_gets_progress_on_standard_error_only(address):
    terminal, side = pty.openpty()
    words = [binary(), "bench", "--addr", address("redis"), "--seconds", "1.2", "--warmup", "0.4", "--json"]
    with subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, stderr=side) as process:
        os.close(side)
        output, _ = process.communicate(timeout=30)
    said = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert process.returncode == 0 and json.loads(output)["ops"] > 0
    assert "warming up" in said and "measuring:" in said and "s left" in said, said
    assert said.endswith("\r\x1b[K"), "the line is removed at the end"


def test_the_completion_script_knows_it():
    script = subprocess.run([binary(), "completions", "bash"], capture_output=True, text=True, check=True).stdout
    assert "--timeline-ms" in script and "--compare-cpu-pid" in script
