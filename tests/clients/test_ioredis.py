"""ioredis through node: its default handshake waits for INFO, and its errors are checked by class."""

import json
from pathlib import Path

from support.processes import TOOLS, run_tool

SCRIPT = Path(__file__).parent / "ioredis.cjs"


def test_ioredis_works(entry):
    host, port = entry
    library = TOOLS / "npm/node_modules/ioredis"
    code, output, errors = run_tool(["node", SCRIPT, library, host, port], 40)
    assert code == 0, f"{output.decode()}\n{errors.decode()}"
    report = json.loads(output.splitlines()[-1])
    assert report["failed"] == [] and report["passed"] >= 20, report
