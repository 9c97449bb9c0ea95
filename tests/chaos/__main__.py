"""`cargo xtask chaos`: runs schedules by seed, prints one line per run and a summary, ends with 1 on any violation."""

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from support.nodes import binary
from support.processes import ROOT, adopt_orphans, kill_descendants

from . import report, site
from .faults import KINDS
from .run import judge_program, run


def arguments():
    parser = argparse.ArgumentParser(prog="cargo xtask chaos", description=__doc__)
    parser.add_argument("--seeds", default="0..1", help="A..B, B not included")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the faults of a run")
    parser.add_argument("--kinds", default="", help=f"comma-separated, of: {', '.join(KINDS)}; default: all")
    parser.add_argument("--ledger", type=Path, help="a file of JSON lines to add each run to")
    parser.add_argument("--keep", type=Path, help="keep the histories and logs of runs with a violation below this")
    parser.add_argument("--summary", type=Path, help="only sum up this ledger")
    chosen = parser.parse_args()
    first, _, end = chosen.seeds.partition("..")
    if not (first.isdigit() and end.isdigit() and int(first) < int(end)):
        parser.error("--seeds wants A..B, B not included")
    if not 3.0 <= chosen.seconds <= 120.0:
        parser.error("--seconds: 3 to 120")
    chosen.range = range(int(first), int(end))
    chosen.wanted = [kind for kind in chosen.kinds.split(",") if kind]
    unknown = sorted(set(chosen.wanted) - set(KINDS))
    if unknown:
        parser.error(f"no kind {', '.join(unknown)}; there are: {', '.join(KINDS)}")
    return chosen


def one(seed, chosen, words):
    """A run in a process of its own, which `words` put into namespaces where there are such."""
    folder = tempfile.mkdtemp(prefix=f"repligo-chaos-{seed}-")
    orders = {"seed": seed, "seconds": chosen.seconds, "kinds": chosen.wanted or list(KINDS), "folder": folder}
    argv = [*words, sys.executable, "-m", "chaos", "--one", json.dumps(orders)]
    limit = chosen.seconds + 420
    env = os.environ | ({site.INSIDE: "1"} if words else {})
    completed = subprocess.run(
        argv, capture_output=True, text=True, timeout=limit, stdin=subprocess.DEVNULL, env=env
    )
    try:
        facts = json.loads(completed.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        text = f"the run itself failed ({completed.returncode}): {completed.stderr[-2000:]}"
        facts = {"seed": seed, "violations": [text], "counts": {}, "faults": [], "skipped": {}, "early": 0, "late": 0}
        facts |= {"durability": "", "kinds": [], "seconds": chosen.seconds, "errors": {}, "ended": []}
        facts["longest_gap_ms"] = 0
    if facts["violations"] and chosen.keep:
        keep(Path(folder), chosen.keep / f"seed-{seed}")
    shutil.rmtree(folder, ignore_errors=True)
    return facts


def keep(folder, target):
    target.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        if file.is_file() and file.suffix != ".image":
            shutil.copy(file, target)


def commit():
    words = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(words, capture_output=True, text=True, timeout=10)
    return found.stdout.strip() or "unknown"


def child(text):
    """One run, in its own process: the result is the last line of its output."""
    orders = json.loads(text)
    adopt_orphans()
    try:
        result = run(orders["seed"], orders["seconds"], orders["kinds"], orders["folder"])
        print(json.dumps(dataclasses.asdict(result)), flush=True)
    finally:
        kill_descendants()


def main():
    if sys.argv[1:2] == ["--one"]:
        child(sys.argv[2])
        return 0
    chosen = arguments()
    if chosen.summary:
        print(report.summary([json.loads(text) for text in chosen.summary.read_text().splitlines()]))
        return 0
    judge_program()
    words, why = site.own_namespaces()
    if why is not None:
        print(f"no namespaces here, kinds that need them are skipped: {why}", flush=True)
    revision, profile = commit(), binary().parent.name
    results = []
    for seed in chosen.range:
        facts = one(seed, chosen, words)
        results.append(facts)
        print(report.line(facts), flush=True)
        for violation in facts["violations"]:
            print(f"  {violation[:1500]}")
        if facts["violations"]:
            print(f"  again: {report.command(seed, chosen.seconds, chosen.wanted)}", flush=True)
        if chosen.ledger:
            with open(chosen.ledger, "a") as ledger:
                ledger.write(report.as_json(facts, revision, profile) + "\n")
    print(report.summary(results))
    return 1 if any(facts["violations"] for facts in results) else 0


if __name__ == "__main__":
    sys.exit(main())
