"""A server that asks for a password: what strangers may do, and every way to authenticate."""

import pytest

from support.nodes import Cluster
from support.redis_server import RedisServer

from . import script
from .conftest import modes
from .pair import Pair

PASSWORD = "secret"
CASES = script.load(script.CASES / "password")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """Addresses of a guarded node and a guarded Redis."""
    options = ("--requirepass", PASSWORD)
    theirs = RedisServer(tmp_path_factory.mktemp("guarded-redis"), *options)
    if "redis" in modes():
        ours = RedisServer(tmp_path_factory.mktemp("guarded-second"), *options)
        yield ours.address, theirs.address
        ours.stop()
    else:
        with Cluster(tmp_path_factory.mktemp("guarded"), nodes=1, extra=options, password=PASSWORD) as ours:
            yield ours.nodes[0].address, theirs.address
    theirs.stop()


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
def test_a_password_is_asked_for_as_in_redis(guarded, case):
    ours, theirs = guarded
    # The cases speak HELLO themselves, so that they cover both protocols.
    with Pair("single", [ours], theirs, 2, PASSWORD) as both:
        both.run(case.steps)
    if both.differences:
        pytest.fail(f"tests/differential/cases/password/{case.file}.txt:{case.line}: {both.report()}", pytrace=False)
