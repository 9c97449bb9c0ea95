"""What `repligo status` says while nodes are missing or paused: what is wrong, since when, what to do."""

import json
import subprocess
import time

import pytest

from support.nodes import Cluster, binary
from support.waiting import wait_until


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path) as running:
        yield running


def screen(node, *options):
    run = subprocess.run(
        [binary(), "status", "--addr", node.address, *options], capture_output=True, text=True, timeout=20, check=False
    )
    return run.returncode, run.stdout


@pytest.mark.timeout(120)
def test_a_lost_majority_is_named_within_seconds_with_what_to_do(cluster, tmp_path):
    leader = cluster.leader()
    followers = cluster.followers(leader)
    assert screen(leader)[0] == 0 and "wrong:" not in screen(leader)[1]
    for node in followers:
        node.kill()
    start = time.monotonic()
    wait_until("it is unavailable", lambda: screen(leader)[0] == 2, 10, pause=0.1)
    names = ", ".join(sorted(node.name for node in followers))
    text = screen(leader)[1]
    assert f"wrong: no majority: 1 of 3 nodes can be reached, {names} are missing" in text, text
    assert "do: start or reconnect 1 of them" in text and "heard    time since" in text, text
    report = json.loads(screen(leader, "--json")[1])
    # The clocks are read one after the other, and processes are gone before they have been reaped.
    assert report["problems"][0]["since_ms"] < (time.monotonic() - start) * 1000 + 2000, report["problems"]
    assert report["health"] == "unavailable"
    followers[0].start(tmp_path / "again.log")
    wait_until("it serves again", lambda: screen(leader)[0] == 1, 20)
    text = screen(leader)[1]
    assert f"wrong: {followers[1].name} is missing" in text and "no majority" not in text, text


@pytest.mark.timeout(120)
def test_a_paused_leader_is_shown_as_silent_and_not_as_leader(cluster):
    leader = cluster.leader()
    follower = cluster.followers(leader)[0]
    leader.pause()
    try:
        told = f"wrong: {leader.name} is silent"
        wait_until("it is noticed", lambda: told in screen(follower)[1], 15, pause=0.2)
        wait_until("another leads", lambda: screen(follower)[0] == 1, 15)
        rows = {line.split()[0]: line.split()[1] for line in screen(follower)[1].splitlines() if " 127.0.0.1:" in line}
        assert rows[leader.name] == "unknown" and list(rows.values()).count("leader") == 1, rows
    finally:
        leader.resume()
