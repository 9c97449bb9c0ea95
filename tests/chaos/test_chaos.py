"""A short run of chaos, and that its judge rejects what is wrong: `cargo xtask chaos` is the long form."""

import json
import os
import subprocess
import sys

import pytest

from support.processes import ROOT

from . import site
from .faults import FSYNC_ONLY, KINDS
from .run import judge, longest_gap_us
from .schedule import draw, pairs

# One kind of processes and one of the network, so that leaders change.
SHORT = ["pause", "partition"]
SECONDS = 5


@pytest.mark.skipif(site.own_namespaces()[1] is not None, reason=f"no namespaces: {site.own_namespaces()[1]}")
def test_a_short_run_loses_nothing_and_reads_nothing_stale(tmp_path):
    ledger = tmp_path / "ledger"
    argv = [sys.executable, "-m", "chaos", "--seeds", "3..4", "--seconds", str(SECONDS), "--kinds", ",".join(SHORT)]
    completed = subprocess.run(
        [*argv, "--ledger", str(ledger)],
        capture_output=True,
        text=True,
        timeout=55,
        cwd=ROOT / "tests",
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    facts = json.loads(ledger.read_text())
    assert not facts["skipped"] and not facts["violations"], facts
    assert any(fault["nodes"] for fault in facts["faults"]), facts
    # As many as the slowest machine does in the quiet second before the first fault.
    assert facts["counts"]["acknowledged"] > 50 and facts["counts"]["reads"] > 50, facts
    assert "0 lost, 0 stale, 0 false outcomes" in completed.stdout, completed.stdout


def test_as_many_seeds_as_there_are_pairs_of_kinds_meet_every_pair():
    every = pairs(KINDS)
    assert len(every) == len(KINDS) * (len(KINDS) - 1) // 2
    plans = [draw(seed, 20, KINDS) for seed in range(len(every))]
    assert {plan.kinds for plan in plans} == set(every)
    for plan in plans:
        assert {step.kind for step in plan.steps} == set(plan.kinds), plan
        assert plan.durability == "fsync" or not FSYNC_ONLY & set(plan.kinds)
    assert {plan.durability for plan in plans} == {"os", "fsync"}
    assert draw(7, 20, KINDS) == draw(7, 20, KINDS) != draw(7 + len(every), 20, KINDS)


GOOD = [
    "1 0 10 20 write 5 ok",
    "2 0 30 40 write 6 refused",
    "3 0 50 60 read value 5",
    "1 1000 10 20 append 7 count 1",
    "1000000 0 90 91 read value 5",
    "1000000 1000 90 91 read list 7",
]


@pytest.mark.parametrize("place, line, name", [
    (None, None, None),
    (2, "3 0 50 60 read value nil", "broken"),
    (2, "3 0 50 60 read value 6", "false"),
    (4, "1000000 0 90 91 read value nil", "lost"),
    (5, "1000000 1000 90 91 read list ", "lost"),
])
def test_a_history_with_one_wrong_line_is_rejected(tmp_path, place, line, name):
    lines = list(GOOD)
    if place is not None:
        lines[place] = line
    (tmp_path / "history").write_text("\n".join(lines) + "\n")
    counts, found = judge(tmp_path / "history")
    assert counts["operations"] == len(GOOD) and counts["audited"] == 2
    if name is None:
        assert not found, found
    else:
        assert counts[name] == 1 and found, (counts, found)


def test_the_longest_gap_counts_the_ends():
    assert longest_gap_us([110, 120, 900], 100, 1000) == 780
    assert longest_gap_us([], 100, 1000) == 900
    assert longest_gap_us([500], 100, 1000) == 500
