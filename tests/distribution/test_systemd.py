"""`packaging/systemd/repligo.service`: judged by systemd's own tools without a running systemd, and by what the
program really asks of the kernel.
"""

import os
import re

import pytest

from support.nodes import binary
from support.processes import ROOT, Process, run_tool
from support.redis_server import free_port
from support.wire import Connection

UNIT = ROOT / "packaging/systemd/repligo.service"
# In tenths, as systemd-analyze counts; 2.0 is "OK", and an unhardened service has 9.6.
EXPOSURE_MAX = 20


def settings(name):
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def test_systemd_accepts_the_unit(tmp_path):
    # The verifier looks for the program, which is not installed here.
    unit = tmp_path / "repligo.service"
    text = UNIT.read_text().replace("/usr/bin/repligo", str(binary()))
    unit.write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE))
    code, output, errors = run_tool(["systemd-analyze", "verify", "--man=no", unit])
    said = (output + errors).decode()
    assert code == 0 and "repligo.service" not in said, said


def test_little_is_exposed():
    argv = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", UNIT]
    code, output, errors = run_tool(argv)
    assert code == 0, (output + errors).decode()


def test_a_wrong_configuration_is_not_tried_again_and_a_stop_has_time():
    assert settings("RestartPreventExitStatus") == ["2"] and settings("Restart") == ["on-failure"]
    assert int(settings("TimeoutStopSec")[0]) >= 30
    # The boot id is read from /proc/sys.
    assert not settings("ProcSubset")


def allowed_calls():
    """The system calls that the unit lets through, in systemd's order: allowed sets, then forbidden ones."""
    allowed = set()
    for line in settings("SystemCallFilter"):
        names = set().union(*(expand(word) for word in line.removeprefix("~").split()))
        allowed = allowed - names if line.startswith("~") else allowed | names
    return allowed


def expand(name):
    if not name.startswith("@"):
        return {name}
    output = run_tool(["systemd-analyze", "syscall-filter", "--no-pager", name])[1].decode()
    members = [line.strip() for line in output.splitlines()[1:]]
    return set().union(*(expand(member) for member in members if member and not member.startswith("#")))


@pytest.mark.parametrize("durability", ["os", "fsync"])
def test_the_program_needs_no_system_call_that_the_unit_forbids(durability, tmp_path):
    trace = tmp_path / "trace"
    ports = [free_port(), free_port()]
    # The peer port would follow the client port, which may be too high for that.
    flags = ["--listen", f"127.0.0.1:{ports[0]}", "--admin-listen", f"127.0.0.1:{ports[1]}"]
    flags += ["--peer-listen", "127.0.0.1:0"]
    flags += ["--data-dir", tmp_path / "data", "--durability", durability, "--maxmemory", "64MiB"]
    flags += ["--config", mapping(tmp_path)]
    program = ["strace", "--follow-forks", "--quiet=all", "--output", trace, binary(), "serve", *flags]
    process = Process(program, tmp_path / "log", env={"PATH": os.environ["PATH"]})
    process.wait_for("it is ready", lambda: "repligo ready" in process.tail(), 40)
    with Connection(f"127.0.0.1:{ports[0]}", 20) as connection:
        for number in range(100):
            connection.ask("SET", f"key:{number}", "v" * 1000, "EX", "1000")
        connection.ask("SET", "item:1", "one")
        assert connection.ask("GET", "item:1") == b"one"
        connection.ask("INFO", "everything")
    run_tool(["curl", "-sf", f"http://127.0.0.1:{ports[1]}/metrics"])
    pid = int(re.search(r"pid=(\d+)", process.tail())[1])
    run_tool(["kill", str(pid)])
    process.child.wait(40)
    used = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(errors="replace"), re.MULTILINE))
    assert {"write", "fdatasync"} & used, "the trace holds the calls of a node"
    # systemd sets limits before it starts the program, whose own try to raise them may fail; and only as root does
    # SQLite give its files to the owner of the database.
    optional = {"prlimit64", "setrlimit", "fchown"}
    assert used - allowed_calls() - optional == set()


def mapping(folder):
    """A database behind a keyspace, so that SQLite's calls are in the trace too."""
    run_tool(["sqlite3", folder / "app.db", "CREATE TABLE items (id INTEGER PRIMARY KEY, body TEXT)"])
    config = folder / "repligo.toml"
    config.write_text(
        '[origin.main]\nurl = "sqlite:app.db"\n\n[[keyspace]]\nname = "items"\npattern = "item:{id:int}"\n'
        'origin = "main"\nmode = "write-through"\ntable = "items"\nvalue = "raw"\nvalue_column = "body"\n'
    )
    return config
