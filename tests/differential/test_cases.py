"""Every case of every file, in both protocols, on every kind of node."""

import pytest

from . import script
from .conftest import modes

CASES = script.load()


@pytest.mark.parametrize(
    ("mode", "protocol", "case"),
    [
        pytest.param(mode, protocol, case, id=f"{mode}-RESP{protocol}-{case.name}")
        for mode in modes()
        for protocol in (2, 3)
        for case in CASES
        if protocol in case.protocols
    ],
)
def test_replies_are_those_of_redis(pair, mode, protocol, case):
    with pair(mode, protocol) as both:
        both.run(case.steps)
    if both.differences:
        pytest.fail(f"tests/differential/cases/{case.file}.txt:{case.line}: {both.report()}", pytrace=False)


def test_there_are_hundreds_of_requests():
    """The files are the substance of this comparison; they must not become empty by a slip of the parser."""
    requests = sum(len(getattr(step, "requests", [step])) for case in CASES for step in case.steps)
    assert len(CASES) >= 150 and requests >= 1200, (len(CASES), requests)
