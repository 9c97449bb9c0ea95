"""Frameworks of Node: sessions in connect-redis."""

import json
from pathlib import Path

from support.processes import TOOLS

HERE = Path(__file__).parent
PACKAGES = TOOLS / "npm"
REQUESTS = 120


def test_connect_redis_keeps_sessions(failover):
    site = failover.run("site", ["node", HERE / "sessions.cjs", PACKAGES, failover.url(0), REQUESTS])
    failover.wait_for("half is done", lambda: "half" in site.tail())
    failover.kill()
    failover.wait_for("all is done", lambda: not site.is_running())
    assert site.child.returncode == 0, site.tail()
    report = json.loads(site.tail(1))
    assert report["basket"] == [f"/{number}" for number in range(REQUESTS)]
    assert report["sessions"] == 1 and 50 < report["ttl"] <= 60 and report["left"] == 0
