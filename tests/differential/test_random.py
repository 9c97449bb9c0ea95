"""Thousands of random requests, compared reply by reply. A seed of your own: REPLIGO_SEED=7."""

import os

import pytest

from .conftest import modes
from .generate import Generator

REQUESTS = int(os.environ.get("REPLIGO_REQUESTS", "5000"))
SEED = int(os.environ.get("REPLIGO_SEED", "1"))


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("mode", modes())
def test_random_requests_are_answered_as_redis_does(pair, mode, protocol):
    # Each kind of node meets other requests; together they are more than one stream would be.
    seed = SEED * 100 + modes().index(mode) * 10 + protocol
    with pair(mode, protocol) as both:
        for step in Generator(seed).steps(REQUESTS):
            both.run([step])
            # After a difference the two states differ, and what follows tells little.
            if both.differences:
                break
    if both.differences:
        pytest.fail(f"seed {SEED}, after {both.compared} requests: {both.report()}", pytrace=False)
    assert both.compared >= REQUESTS


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("mode", modes())
def test_random_places_are_found_as_redis_finds_them(pair, mode, protocol):
    seed = SEED * 100 + modes().index(mode) * 10 + protocol
    with pair(mode, protocol) as both:
        for step in Generator(seed).places(REQUESTS // 5):
            both.run([step])
            if both.differences:
                break
    if both.differences:
        pytest.fail(f"seed {SEED}, after {both.compared} requests: {both.report()}", pytrace=False)
    assert both.compared >= REQUESTS // 5
