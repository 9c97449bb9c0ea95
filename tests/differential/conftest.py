"""Where the compared replies come from: a single node, a leader, and followers that forward."""

import os

import pytest

from .pair import Pair

# `redis` compares Redis with itself: it judges the cases, not the server.
MODES = ("single", "leader", "follower")


def modes():
    return ("redis",) if os.environ.get("REPLIGO_DIFFERENTIAL") == "redis" else MODES


@pytest.fixture(scope="session")
def second_redis(tmp_path_factory):
    from support.redis_server import RedisServer

    server = RedisServer(tmp_path_factory.mktemp("second-redis"))
    yield server
    server.stop()


@pytest.fixture
def pair(request, redis_server):
    """Opens a pair for (mode, protocol); the nodes start when a test first needs them."""

    def addresses(mode):
        if mode == "redis":
            return [request.getfixturevalue("second_redis").address]
        if mode == "single":
            return [request.getfixturevalue("single").nodes[0].address]
        cluster = request.getfixturevalue("cluster")
        leader = cluster.leader()
        return [leader.address] if mode == "leader" else [node.address for node in cluster.followers(leader)]

    return lambda mode, protocol: Pair(mode, addresses(mode), redis_server.address, protocol)
