"""Network namespaces of Linux, for tests that need literal ports or several machines."""

import functools
import subprocess

import pytest


@functools.cache
def why_not():
    """Why this machine has none; None where it has."""
    try:
        completed = subprocess.run(
            ["unshare", "--net", "--pid", "--fork", "--mount-proc", "ip", "link", "set", "lo", "up"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if completed.returncode == 0 else completed.stderr.strip()


def needs_namespaces(test):
    """Skips a test where namespaces cannot be made, with the reason."""
    return pytest.mark.skipif(why_not() is not None, reason=f"no network namespaces here: {why_not()}")(test)
