"""`repligo bench` through a fault: the leader is killed, and no request drops out of the account."""

import json
import time

import pytest

from support.nodes import Cluster, binary
from support.processes import Process

RATE = 2000
SECONDS = 7
INTERVAL_MS = 20


def longest_silence(timeline):
    """When the intervals began that are the longest run without an answer."""
    longest, run = [], []
    for point in timeline:
        run = [*run, point["t_ms"]] if point["ops"] == 0 else []
        longest = max(longest, run, key=len)
    return longest


@pytest.mark.timeout(120)
def test_the_timeline_shows_a_killed_leader_and_the_schedule_is_kept(tmp_path):
    with Cluster(tmp_path / "cluster") as cluster:
        leader = cluster.leader()
        addresses = ",".join(node.address for node in cluster.nodes)
        words = [binary(), "bench", "--addr", addresses, "--json", "--rate", RATE, "--seconds", SECONDS, "--warmup", 1]
        words += ["--reads", 50, "--keys", 1000, "--clients", 30, "--timeline-ms", INTERVAL_MS]
        process = Process(words, tmp_path / "bench.json")
        time.sleep(3)
        leader.kill()
        code = process.child.wait(60)
        document = json.loads(process.log.read_text())
    shown = {name: value for name, value in document.items() if name != "timeline"}
    assert code == 0 and document["wrong_replies"] == 0 and not document["gave_up"], shown
    # Each scheduled request ended in one way.
    assert document["ops"] + document["errors"] + document["unanswered"] == RATE * SECONDS, shown
    # Only what was in flight to the dead node may have failed: one request of each of its ten clients, and connections
    # that were made while it died.
    assert document["errors"] <= 40 and document["reconnects"] >= 10, shown
    timeline = document["timeline"]
    assert sum(point["ops"] for point in timeline) == document["ops"]
    assert sum(point["errors"] for point in timeline) == document["errors"]
    # An outage of about a lease, in which nobody was answered, and whose requests waited for its length.
    silent = longest_silence(timeline)
    assert len(silent) * INTERVAL_MS >= 150, timeline
    outage_us = len(silent) * INTERVAL_MS * 1000
    assert document["latency_us"]["max"] >= 0.8 * outage_us, (shown, silent)
    after = [point for point in timeline if point["t_ms"] > silent[-1]]
    assert max(point["max"] or 0 for point in after) >= 0.8 * outage_us, timeline
    assert len(after) * INTERVAL_MS > 500 and after[-1]["ops"] > 0, timeline
