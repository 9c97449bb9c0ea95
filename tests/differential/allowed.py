"""The differences that are meant: rows of `allowed.tsv`, the only place where one may be allowed.

A row names the modes, the request, both replies (regular expressions over the printed forms) and the
reason. A row that no reply needed is itself a failure, so the file cannot rot.
"""

import re
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent / "allowed.tsv"
ROWS_MAX = 25


@dataclass
class Row:
    """One allowed difference."""

    line: int
    modes: set
    request: re.Pattern
    theirs: re.Pattern
    ours: re.Pattern
    reason: str
    used: bool = False


def parse(text):
    """The rows of the file's text; the first line names the columns."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if number == 1 or not line.strip() or line.startswith("#"):
            continue
        modes, request, theirs, ours, reason = line.split("\t")
        if len(reason.split()) < 4:
            raise ValueError(f"allowed.tsv:{number}: a reason is a sentence")
        patterns = [re.compile(pattern, re.DOTALL) for pattern in (request, theirs, ours)]
        rows.append(Row(number, set(modes.split(",")), *patterns, reason))
    return rows


ROWS = parse(FILE.read_text())


def is_allowed(mode, request, theirs, ours):
    """True if a row covers the difference; remembers that it did."""
    for row in ROWS:
        applies = "all" in row.modes or mode in row.modes
        if applies and row.request.fullmatch(request) and row.theirs.fullmatch(theirs) and row.ours.fullmatch(ours):
            row.used = True
            return True
    return False
