"""A short run of chaos, and that its judge rejects what is wrong: `cargo xtask chaos` is the long form."""

import json
import os
import subprocess
import sys

import pytest

from support.processes import ROOT

from . import site
from .faults import FSYNC_ONLY, KINDS
from .rights import judge as judge_rights
from .run import judge, longest_gap_us
from .schedule import draw, pairs
from .users import Change, Use

# One kind of processes and one of the network, so that leaders change.
SHORT = ["pause", "partition"]
SECONDS = 5


@pytest.mark.skipif(site.own_namespaces()[1] is not None, reason=f"no namespaces: {site.own_namespaces()[1]}")
@pytest.mark.parametrize("seed", [3, 4], ids=["plain", "users"])
def test_a_short_run_loses_nothing_and_reads_nothing_stale(tmp_path, seed):
    ledger = tmp_path / "ledger"
    argv = [sys.executable, "-m", "chaos", "--seeds", f"{seed}..{seed + 1}", "--seconds", str(SECONDS), "--kinds", ",".join(SHORT)]
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
    if seed == 4:
        users = facts["users"]
        assert users["acknowledged"] > 5 and min(users["uses"], users["refused"], users["seen"]) > 20, users


def test_as_many_seeds_as_there_are_pairs_of_kinds_meet_every_pair():
    every = pairs(KINDS)
    assert len(every) == len(KINDS) * (len(KINDS) - 1) // 2
    plans = [draw(seed, 20, KINDS) for seed in range(len(every))]
    assert {plan.kinds for plan in plans} == set(every)
    for plan in plans:
        assert {step.kind for step in plan.steps} == set(plan.kinds), plan
        assert plan.durability == "fsync" or not FSYNC_ONLY & set(plan.kinds)
    assert {plan.durability for plan in plans} == {"os", "fsync"} and {plan.users for plan in plans} == {False, True}
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


def users_at_rest(token, *more):
    return [b"user default on nopass sanitize-payload ~* &* +@all", b"user guest0 on nopass ~guest ~token:%d +get" % token, *more]


# The user has a right until 20 to 30, no right until 50 to 60, and the right to read from then on.
CHANGES = [
    Change("guest0", 1, "grant", 0, 10),
    Change("guest0", 2, "nothing", 20, 30),
    Change("guest0", 3, "read-only", 50, 60),
]
USES = [("set", 25, 35), ("get", 55, 58), ("get", 70, 80), ("set", 1, 5)]
SEQUENCES = [[1, 2, 3], [1, 3], [2, 3]]


@pytest.mark.parametrize("use, sequence, last, part", [
    (None, None, None, None),
    (("set", 31, 35), None, None, "a right that was lost was used"),
    (("get", 40, 45), None, None, "a right that was lost was used"),
    (("set", 70, 80), None, None, "a right that was lost was used"),
    (None, [1, 3, 2], None, "have no order"),
    (None, [1, 2, 1], None, "have no order"),
    (None, [1, 4], None, "that nobody asked for"),
    (None, None, {"n1": users_at_rest(3), "n2": users_at_rest(2)}, "have other users"),
    (None, None, {"n1": users_at_rest(3), "n2": users_at_rest(3, b"user more off")}, "have other users"),
    (None, None, {"n1": users_at_rest(2), "n2": users_at_rest(2)}, "have no order"),
])
def test_what_cannot_be_of_users_is_rejected(use, sequence, last, part):
    uses = [Use("guest0", right, "n1", invoked, returned) for right, invoked, returned in [*USES, *([use] if use else [])]]
    sequences = {"guest0": SEQUENCES + ([sequence] if sequence else [])}
    found = judge_rights(CHANGES, uses, sequences, last or {"n1": users_at_rest(3), "n2": users_at_rest(3)})
    assert (not found) if part is None else any(part in text for text in found), found


def test_a_change_of_which_nobody_knows_may_be_in_force_at_any_time_after_it():
    unknown = [*CHANGES, Change("guest0", 4, "grant", 65, None)]
    late = [Use("guest0", "set", "n1", 90, 95)]
    for token in (3, 4):
        assert not judge_rights(unknown, late, {}, {"n1": users_at_rest(token)})
    assert judge_rights(unknown, [Use("guest0", "set", "n1", 61, 64)], {}, {"n1": users_at_rest(4)})
    # Once it was seen it is in force, and stays so.
    assert not judge_rights(unknown, late, {"guest0": [[1, 2, 4]]}, {"n1": users_at_rest(4)})
    assert judge_rights(unknown, late, {"guest0": [[1, 2, 4]]}, {"n1": users_at_rest(3)})
