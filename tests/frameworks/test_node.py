"""Frameworks of Node: sessions in connect-redis, jobs in BullMQ."""

import json
from pathlib import Path

from support.processes import TOOLS

HERE = Path(__file__).parent
PACKAGES = TOOLS / "npm"
REQUESTS = 120
JOBS = 40


def test_connect_redis_keeps_sessions(failover):
    site = failover.run("site", ["node", HERE / "sessions.cjs", PACKAGES, failover.url(0), REQUESTS])
    failover.wait_for("half is done", lambda: "half" in site.tail())
    failover.kill()
    failover.wait_for("all is done", lambda: not site.is_running())
    assert site.child.returncode == 0, site.tail()
    report = json.loads(site.tail(1))
    assert report["basket"] == [f"/{number}" for number in range(REQUESTS)]
    assert report["sessions"] == 1 and 50 < report["ttl"] <= 60 and report["left"] == 0


def test_bullmq_runs_each_job_once(failover):
    ports = [node.address.rpartition(":")[2] for node in failover.stays]
    queue = failover.run("bullmq", ["node", HERE / "bullmq.cjs", PACKAGES, *ports, JOBS])

    def ran():
        return [int(line.split()[1]) for line in queue.tail(1000).splitlines() if line.startswith("ran ")]

    failover.wait_for("a part of the jobs has run", lambda: len(ran()) >= JOBS // 4)
    assert len(ran()) < JOBS
    failover.kill()
    failover.wait_for("all jobs have finished", lambda: not queue.is_running())
    assert queue.child.returncode == 0, queue.tail()
    numbers = [*range(JOBS), 1000, 1001, 1002, 1003]
    done = next(line for line in queue.tail(1000).splitlines() if line.startswith("done "))
    report = json.loads(done.removeprefix("done "))
    assert report["results"] == [number * number for number in numbers]
    assert sorted(ran()) == sorted([*numbers, 1000, 1004, 1005])
    assert report["counts"]["failed"] == report["counts"]["wait"] == report["counts"]["active"] == 0
