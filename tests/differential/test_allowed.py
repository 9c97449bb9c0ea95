"""The file of allowed differences: few, reasoned, and each of them needed."""

import pytest

from . import allowed
from .conftest import MODES, modes


def test_few_differences_are_allowed():
    assert len(allowed.ROWS) <= allowed.ROWS_MAX


@pytest.mark.completes
def test_every_allowed_difference_is_needed(request):
    """Only a whole run can tell, since a row may be needed by any one case."""
    names = [item.nodeid for item in request.session.items]
    whole = all(any(f"[{mode}-RESP{version}-server" in name for name in names) for mode in MODES for version in (2, 3))
    if modes() != MODES or not whole:
        pytest.skip("not a whole run: it cannot tell which rows are needed")
    unused = [row.line for row in allowed.ROWS if not row.used]
    assert not unused, f"rows of allowed.tsv that no reply needed: lines {unused}"
