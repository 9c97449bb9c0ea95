"""Fixtures for all process tests, and the guarantee that nothing outlives the run."""

import pytest

from support.nodes import Cluster, binary
from support.processes import adopt_orphans, kill_descendants
from support.redis_server import RedisServer


def pytest_configure():
    adopt_orphans()


def pytest_unconfigure():
    for line in kill_descendants():
        print(f"killed what a test left behind: {line}")


def pytest_collection_modifyitems(items):
    """Tests that judge what others recorded go last; the order is otherwise as written."""
    items.sort(key=lambda item: item.get_closest_marker("completes") is not None)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


def _cluster(directory, **options):
    try:
        binary()
    except FileNotFoundError as error:
        # Every other test would say the same.
        pytest.exit(str(error), 2)
    return Cluster(directory, **options)


@pytest.fixture(scope="session")
def single(tmp_path_factory):
    """A single node for tests that do not harm it."""
    with _cluster(tmp_path_factory.mktemp("single"), nodes=1) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Three nodes for tests that do not harm them."""
    with _cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster
