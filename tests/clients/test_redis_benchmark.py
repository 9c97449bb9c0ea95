"""redis-benchmark with the tests that everybody runs; what counts here is that it works, not how fast."""

import pytest

from support.processes import run_tool

REQUESTS = 20_000
TESTS = {b"PING_INLINE", b"PING_MBULK", b"SET", b"GET", b"INCR", b"MSET (10 keys)"}


@pytest.mark.parametrize("depth", [1, 16])
def test_the_usual_benchmark_runs_without_an_error(entry, depth):
    host, port = entry
    argv = ["redis-benchmark", "-h", host, "-p", port, "-t", "set,get,incr,mset,ping"]
    code, output, errors = run_tool([*argv, "-n", REQUESTS, "-P", depth, "-q"], 50)
    assert code == 0, (code, output[-300:], errors[-300:])
    # It complains when CONFIG GET of save or appendonly is not answered.
    assert b"WARNING" not in output + errors and b"Error" not in output + errors, (output[-300:], errors)
    lines = output.replace(b"\r", b"\n").split(b"\n")
    assert TESTS == {line.split(b":")[0] for line in lines if b"requests per second" in line}
