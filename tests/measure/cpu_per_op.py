"""CPU per operation of the server: Repligo (one node, durability none) against redis-server, in one run.

Usage: .tools/venv/bin/python tests/measure/cpu_per_op.py [--requests N] [--repeats N]
Both servers run side by side on free ports of loopback; redis-benchmark drives them in alternation, and user plus
system time comes from /proc. Times are never asserted: the machine decides them; the ratio in one run is the result.
"""

import argparse
import os
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def wait_for(port):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def drive(port, test, pipeline, requests):
    command = ["redis-benchmark", "-p", str(port), "-t", test, "-n", str(requests), "-P", str(pipeline)]
    subprocess.run([*command, "-c", "50", "-r", "100000", "-q"], check=True, stdout=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=400_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = free_port(), free_port()
        repligo = ["serve", "--listen", f"127.0.0.1:{ours}", "--peer-listen", f"127.0.0.1:{free_port()}"]
        repligo += ["--admin-listen", f"127.0.0.1:{free_port()}", "--durability", "none", "--data-dir", f"{folder}/d"]
        redis = ["--port", str(theirs), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        servers = {
            "repligo": (subprocess.Popen([ROOT / "target/release/repligo", *repligo], **quiet), ours),
            "redis": (subprocess.Popen([ROOT / ".tools/bin/redis-server", *redis], **quiet), theirs),
        }
        try:
            for _, port in servers.values():
                wait_for(port)
            print("| operation | repligo µs/op (min–max) | redis µs/op (min–max) | ratio of medians |\n|---|---|---|---|")
            for pipeline in (1, 16):
                for test in ("get", "set"):
                    measure(servers, test, pipeline, options)
        finally:
            for process, _ in servers.values():
                process.terminate()
                process.wait(10)


def measure(servers, test, pipeline, options):
    spent = {name: [] for name in servers}
    for _ in range(options.repeats):
        for name, (process, port) in servers.items():
            before = cpu_seconds(process.pid)
            drive(port, test, pipeline, options.requests)
            spent[name].append((cpu_seconds(process.pid) - before) / options.requests * 1e6)
    shown = {name: f"{statistics.median(s):.2f} ({min(s):.2f}–{max(s):.2f})" for name, s in spent.items()}
    ratio = statistics.median(spent["repligo"]) / statistics.median(spent["redis"])
    print(f"| {test.upper()}, 50 clients, pipeline {pipeline} | {shown['repligo']} | {shown['redis']} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
