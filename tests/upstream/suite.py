"""The test suite that Redis itself comes with, run from outside against redis-server and against one node of ours.

    cargo xtask upstream --suite DIR [--unit NAME …] [--jobs N]

DIR is a checkout or an unpacked release of Redis 7.0.15; nothing of it is kept here. What counts is what
redis-server passes in the same run, without DEBUG, replication and cluster mode, which the external profile
leaves out, and without comparing the names of encodings, whose limits are constants here. A test that
redis-server passes and we do not has to be explained in docs/compatibility.md.

Each unit runs against a server of its own, so that none inherits what another one left behind.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.nodes import Cluster
from support.processes import ROOT
from support.redis_server import RedisServer

PAGE = ROOT / "docs/compatibility.md"
# Of what redis-server passes, in percent.
GOAL = 95
VERSION = "7.0.15"
TAGS = "-needs:debug -needs:repl -cluster"
SECONDS_PER_UNIT = 600
# Ports of servers that the suite itself would start; it asks for a range even where it starts none.
FIRST_PORT = 21_111
PORTS_PER_UNIT = 200
# What the suite empties before each block of tests. A server without functions has none.
SETUP = "    r function flush\n"
# About replication, persistence files and cluster mode of Redis itself.
LEFT_OUT = ("unit/cluster", "unit/aofrw", "unit/shutdown", "unit/oom-score-adj", "unit/tls", "unit/moduleapi", "integration/")
# Tests that are not run against us because they fail for a reason of docs/compatibility.md and leave their connection
# out of step, so that none of the unit behind them would count. They count as failed.
LEFT_OUT_TESTS = {
    "unit/introspection": (
        "MONITOR can log commands issued by the scripting engine",
        "MONITOR can log commands issued by functions",
    ),
    "unit/tracking": (
        "Tracking only occurs for scripts when a command calls a read-only command",
        "Tracking invalidation message of eviction keys should be before response",
    ),
}
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
PASSED = re.compile(r"^\[ok\]: (.*?)(?: \(\d+ ms\))?$", re.M)
FAILED = re.compile(r"^\[err\]: (.*?)(?: in tests/\S+\.tcl)?$\n?(.*)$", re.M)
STOPPED = re.compile(r"^\[(?:exception|TIMEOUT)\]:? ?(.*)$", re.M)


class Unit:
    """What one server made of one unit."""

    def __init__(self, output):
        text = COLOUR.sub("", output)
        self.failed = {name: reason.strip()[:200] for name, reason in FAILED.findall(text)}
        self.passed = set(PASSED.findall(text)) - set(self.failed)
        stopped = STOPPED.search(text)
        self.stopped = stopped.group(1)[:200] if stopped else None


def units(suite):
    """All units that the suite names, without those that we leave out."""
    text = (suite / "tests/test_helper.tcl").read_text()
    names = re.search(r"set ::all_tests \{(.*?)\}", text, re.S).group(1).split()
    return [name for name in names if not name.startswith(LEFT_OUT)]


def copy(source, folder):
    """The suite with its set-up as a server without functions can bear it."""
    shutil.copytree(source / "tests", folder / "tests")
    shutil.copytree(source / "utils", folder / "utils")
    file = folder / "tests/support/server.tcl"
    text = file.read_text()
    if text.count(SETUP) != 1:
        raise SystemExit(f"{file} is not that of Redis {VERSION}: its set-up is another one")
    file.write_text(text.replace(SETUP, "    catch {r function flush}\n"))
    return folder


def run(suite, unit, address, at, without=()):
    """Output of one unit against the server at `address`, without some of its tests."""
    host, port = address.rsplit(":", 1)
    argv = ["tclsh", "tests/test_helper.tcl", "--host", host, "--port", port, "--single", unit, "--tags", TAGS]
    argv += ["--durable", "--clients", "1", "--timeout", "240", "--no-latency", "--ignore-encoding", "--ignore-digest"]
    argv += ["--baseport", str(FIRST_PORT + at * PORTS_PER_UNIT), "--portcount", str(PORTS_PER_UNIT - 50)]
    for test in without:
        argv += ["--skiptest", test]
    try:
        ended = subprocess.run(
            argv, cwd=suite, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS_PER_UNIT, check=False
        )
        output = ended.stdout
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"") + f"\n[TIMEOUT]: not over after {SECONDS_PER_UNIT} s\n".encode()
    return output.decode(errors="replace")


def both(source, folder, unit, at):
    """The same unit against redis-server and against us, one after the other."""
    name = unit.replace("/", "-")
    suite = copy(source, folder / f"suite-{name}")
    redis = RedisServer(folder / f"redis-{name}", "--enable-debug-command", "no")
    try:
        theirs = run(suite, unit, redis.address, at)
    finally:
        redis.stop()
    with Cluster(folder / f"repligo-{name}", nodes=1) as node:
        ours = run(suite, unit, node.nodes[0].address, at, LEFT_OUT_TESTS.get(unit, ()))
    (folder / f"{name}.redis.txt").write_text(theirs)
    (folder / f"{name}.repligo.txt").write_text(ours)
    shutil.rmtree(suite)
    return Unit(theirs), Unit(ours)


def explained():
    """Names of tests that the page gives a reason for; a name that ends in `…` stands for all that begin so."""
    rows = re.findall(r"^\| `([^`]+)` \| `(.+?)` \| (.+) \|$", PAGE.read_text(), re.M)
    return {(unit, name) for unit, name, _ in rows}


def has_reason(reasons, unit, test):
    return any(of == unit and (name == test or (name.endswith("…") and test.startswith(name[:-1]))) for of, name in reasons)


def report(results, folder):
    """Prints the score; true if it is reached and every other failure has its reason."""
    reasons = explained()
    passed = wanted = 0
    bare = []
    print(f"{'unit':28} {'redis':>6} {'ours':>6}")
    for unit, (theirs, ours) in results.items():
        good = theirs.passed & ours.passed
        wanted += len(theirs.passed)
        passed += len(good)
        print(f"{unit:28} {len(theirs.passed):6} {len(good):6}  {ours.stopped or ''}")
        for test in sorted(theirs.passed - good):
            if not has_reason(reasons, unit, test):
                bare.append((unit, test, ours.failed.get(test, "it did not run")))
    for unit, test, reason in bare:
        print(f"unexplained: {unit}: {test}\n    {reason}")
    share = 100 * passed / wanted if wanted else 0
    print(f"{passed} of {wanted} tests that redis-server {VERSION} passes: {share:.1f} % (goal {GOAL} %)")
    print(f"{len(bare)} failures have no line in {PAGE.relative_to(ROOT)}; output of all units is in {folder}")
    summary = {unit: [len(theirs.passed), len(theirs.passed & ours.passed)] for unit, (theirs, ours) in results.items()}
    (folder / "summary.json").write_text(json.dumps(summary, indent=1))
    return share >= GOAL and not bare


def main():
    arguments = argparse.ArgumentParser(prog="cargo xtask upstream", description="Redis' own test suite against one node")
    arguments.add_argument("--suite", type=Path, required=True, help=f"folder of Redis {VERSION}, with tests/ in it")
    arguments.add_argument("--unit", action="append", help="only this unit, such as unit/type/list; may be repeated")
    arguments.add_argument("--jobs", type=int, default=2, help="units at once")
    asked = arguments.parse_args()
    if not (asked.suite / "tests/test_helper.tcl").exists():
        raise SystemExit(f"{asked.suite} has no tests/test_helper.tcl: unpack the sources of Redis {VERSION} and name their folder")
    if shutil.which("tclsh") is None:
        raise SystemExit("tclsh is missing: install the Debian package tcl")
    names = asked.unit or units(asked.suite)
    folder = Path(tempfile.mkdtemp(prefix="upstream-", dir=ROOT / "target"))
    jobs = max(1, asked.jobs)
    results = {}
    with ThreadPoolExecutor(jobs) as pool:
        runs = {name: pool.submit(both, asked.suite, folder, name, at) for at, name in enumerate(names)}
        for name, running in runs.items():
            results[name] = running.result()
            theirs, ours = results[name]
            print(f"{name}: {len(theirs.passed & ours.passed)} of {len(theirs.passed)}", flush=True)
    print()
    sys.exit(0 if report(results, folder) else 1)


if __name__ == "__main__":
    main()
