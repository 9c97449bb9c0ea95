"""Judges a history of keys with one writer each and growing values.

Such a history is linearizable if, per key: a read sees nothing older than what was acknowledged, or read, before
it began; nothing that was not yet being written when it ended; and nothing whose write was refused.
"""

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass


@dataclass
class Write:
    """One write; `fate` is acknowledged, refused (the server said: not applied) or unknown."""

    key: bytes
    value: int
    start: float
    end: float | None
    fate: str


@dataclass
class Read:
    """One read; value 0 stands for an absent key."""

    key: bytes
    value: int
    start: float
    end: float
    node: str


class _Floor:
    """The largest value known at a time: from acknowledged writes and finished reads."""

    def __init__(self, events):
        self.times, self.values = [], []
        highest = 0
        for end, value in sorted(events):
            highest = max(highest, value)
            self.times.append(end)
            self.values.append(highest)

    def before(self, moment):
        """The largest value whose event ended before this moment."""
        position = bisect_left(self.times, moment)
        return self.values[position - 1] if position else 0


def violations(writes, reads):
    """Everything that is wrong, as text."""
    found = []
    writes_of, reads_of = defaultdict(dict), defaultdict(list)
    for write in writes:
        writes_of[write.key][write.value] = write
    for read in reads:
        reads_of[read.key].append(read)
    for key, seen in reads_of.items():
        written = writes_of[key]
        floor = _Floor(
            [(write.end, write.value) for write in written.values() if write.fate == "acknowledged"]
            + [(read.end, read.value) for read in seen]
        )
        for read in seen:
            least = floor.before(read.start)
            if read.value < least:
                found.append(f"stale: {read} although {least} was acknowledged or read before")
            write = written.get(read.value)
            if read.value and write is None:
                found.append(f"invented: {read} was never written")
            elif write is not None and write.fate == "refused":
                found.append(f"refused and yet there: {read}, {write}")
            elif write is not None and write.start > read.end:
                found.append(f"from the future: {read}, {write}")
    return found


def lost(writes, final):
    """Acknowledged writes that the final values (key → number) do not contain."""
    return [write for write in writes if write.fate == "acknowledged" and final.get(write.key, 0) < write.value]
