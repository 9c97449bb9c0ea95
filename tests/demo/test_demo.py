"""`repligo demo --headless`: the main job, judged by its own verdict and by its files."""

import json
import os

import pytest

from support.nodes import binary
from support.processes import run_tool

SECONDS = 20


@pytest.mark.timeout(150)
def test_demo_loses_nothing_while_leaders_are_killed(tmp_path):
    environment = {"PATH": os.environ["PATH"]}
    words = [binary(), "demo", "--seconds", SECONDS, "--headless", "--dir", tmp_path / "demo"]
    code, output, errors = run_tool(words, seconds=120, env=environment)
    said = (output + errors).decode(errors="replace")[-3000:]
    verdict = json.loads(output.decode().strip().splitlines()[-1])
    assert code == 0, said
    assert verdict["lost"] == 0 and verdict["origin_mismatches"] == 0, verdict
    assert verdict["failovers"] >= 2, verdict
    assert verdict["acked"] > 20_000, verdict
    # A part of the keys is mapped, so the table is not empty.
    assert verdict["origin_rows"] > 0, verdict
    assert {"unknown", "longest_gap_ms"} <= verdict.keys()
    history = (tmp_path / "demo/history.jsonl").read_text().splitlines()
    assert len(history) >= verdict["acked"]
    assert all(isinstance(json.loads(line), dict) for line in history[:100])
