"""The Debian package database goes in through `redis-cli --pipe` while the leader dies, and while it sleeps.

Beside it a client that records every reply writes synthetic keys, half of them mapped. Afterwards every
acknowledged key is equal on all nodes and, where it is mapped, in the database.
"""

import time

import pytest

from faults.database import Database
from faults.reading import assert_held_by_all
from support.nodes import Cluster
from support.waiting import wait_until

from .packages import STATUS, Pipe, packages, stream
from .recorder import Recorder

TABLES = {"packages": "pkg:", "synthetic": "item:"}
PAUSE_SECONDS = 5.0


def kill(cluster, leader):
    leader.kill()
    survivors = [node for node in cluster.nodes if node is not leader]
    yield
    assert cluster.leader() in survivors
    leader.start(cluster.directory / "restarted.log")
    wait_until("the killed node serves again", lambda: leader.role() == "follower", 30)


def pause(_, leader):
    leader.pause()
    time.sleep(PAUSE_SECONDS)
    leader.resume()
    yield


@pytest.mark.skipif(not STATUS.exists(), reason=f"{STATUS} is missing: this is not a Debian system")
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("harm", "synthetic"), [(kill, 200_000), (pause, 40_000)])
def test_packages_and_synthetic_keys(tmp_path, harm, synthetic):
    database = Database(tmp_path, TABLES)
    installed = packages()
    requests = stream(installed)
    assert len(installed) > 100, "a Debian system has more packages"
    with Cluster(tmp_path, options=("--config", database.config)) as cluster:
        leader = cluster.leader()
        first, second = cluster.followers(leader)
        recorder = Recorder(second.address, synthetic, [b"plain:", b"item:"])
        recorder.start()
        pipe = Pipe(first.address)
        wait_until("the recorder is under way", lambda: len(recorder.acknowledged) > synthetic // 20, 60)
        pipe.feed(requests[: len(requests) // 2])
        harmed = harm(cluster, leader)
        next(harmed)
        pipe.feed(requests[len(requests) // 2 :])
        said = pipe.finish(90).decode()
        recorder.finish(150)
        next(harmed, None)

        assert f"errors: 0, replies: {len(requests)}" in said, said
        assert recorder.refused == [], recorder.refused[:5]
        assert len(recorder.acknowledged) == synthetic
        assert_held_by_all(cluster, {**installed, **recorder.acknowledged})
        assert database.rows("packages") == installed
        mapped = {key: value for key, value in recorder.acknowledged.items() if key.startswith(b"item:")}
        assert len(mapped) == synthetic // 2
        assert database.rows("synthetic") == mapped
