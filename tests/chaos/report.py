"""What runs have shown, as lines for people and as lines of JSON for the ledger."""

import json


def command(seed, seconds, kinds):
    """What replays a run: its schedule is the same, its timing is the machine's."""
    chosen = f" --kinds {','.join(kinds)}" if kinds else ""
    return f"cargo xtask chaos --seeds {seed}..{seed + 1} --seconds {seconds:g}{chosen}"


def line(result):
    """One run in one line."""
    if not result["counts"] and not result["violations"]:
        why = "; ".join(f"{kind}: {reason}" for kind, reason in result["skipped"].items())
        return f"seed {result['seed']}: skipped: {why}"
    counts = result["counts"]
    text = (
        f"seed {result['seed']}: {result['durability']} {'+'.join(result['kinds'])}: {len(result['faults'])} faults, "
        f"{counts.get('operations', 0)} operations, {counts.get('acknowledged', 0)} acked, "
        f"{counts.get('unknown', 0)} unknown, {counts.get('refused', 0)} refused, {counts.get('lost', 0)} lost, "
        f"{counts.get('broken', 0)} stale, {false_outcomes(counts)} false outcomes, "
        f"longest gap {result['longest_gap_ms']} ms"
    )
    if result.get("users"):
        users = result["users"]
        text += f"; users over TLS: {users['acknowledged']} changes acked, {users['uses']} uses, {users['refused']} refused"
    if result["skipped"]:
        text += "; skipped " + ", ".join(sorted(result["skipped"]))
    return text + ("; VIOLATED" if result["violations"] else "")


def false_outcomes(counts):
    """Refused and yet seen, there in the end though nobody wrote it, or applied twice."""
    return counts.get("false", 0) + counts.get("resurrected", 0) + counts.get("duplicated", 0)


def as_json(result, commit, profile):
    """One run as a line of the ledger."""
    facts = result | {"violations": [text[:2000] for text in result["violations"]]}
    return json.dumps({"commit": commit, "binary": profile} | facts, separators=(",", ":"))


def _percentile(sorted_values, share):
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]


def summary(results):
    """All runs together: totals, then the gaps that each kind left when it hit the leader."""
    ran = [result for result in results if result["counts"]]
    total = {}
    for result in ran:
        for name, count in result["counts"].items():
            total[name] = total.get(name, 0) + count
    bad = sum(bool(result["violations"]) for result in results)
    lines = [
        f"{len(ran)} runs of {sum(result['seconds'] for result in ran):g} s in all, "
        f"{len(results) - len(ran)} without a history, "
        f"{sum(len(result['faults']) for result in ran)} faults, {total.get('operations', 0)} operations, "
        f"{total.get('acknowledged', 0)} acked, {total.get('lost', 0)} lost, {total.get('broken', 0)} stale, "
        f"{false_outcomes(total)} false outcomes, {total.get('given-up', 0)} keys not judged, "
        f"{sum(result['early'] for result in ran)} expired early, {sum(result['late'] for result in ran)} late, "
        f"{bad} runs violated",
        "kind          faults  at the leader  of them alone: gap p50 ms  p99 ms  max ms",
    ]
    kinds = sorted({fault["kind"] for result in ran for fault in result["faults"]})
    for kind in kinds:
        faults = [fault for result in ran for fault in result["faults"] if fault["kind"] == kind and fault["nodes"]]
        at_leader = [fault for fault in faults if fault["led"]]
        gaps = sorted(fault["gap_ms"] for fault in at_leader if fault.get("alone"))
        shown = f"{_percentile(gaps, 0.5):10}  {_percentile(gaps, 0.99):6}  {gaps[-1]:6}" if gaps else ""
        lines.append(f"{kind:12}  {len(faults):6}  {len(at_leader):13}  {len(gaps):13}  {shown}".rstrip())
    skipped = {kind: why for result in results for kind, why in result["skipped"].items()}
    lines += [f"skipped {kind}: {why}" for kind, why in sorted(skipped.items())]
    return "\n".join(lines)
