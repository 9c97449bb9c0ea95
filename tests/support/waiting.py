"""Waiting with a bound: the only way in which a test waits for something to become true."""

import time


class Late(AssertionError):
    """What was waited for did not happen in time."""


def wait_until(what, check, seconds=10.0, pause=0.01):
    """Calls `check` until it returns something true, and returns that; raises `Late` after `seconds`.

    An `OSError` of `check` counts as "not yet", since what is waited for is often a port or a file.
    """
    deadline = time.monotonic() + seconds
    reason = ""
    while True:
        try:
            value = check()
            if value:
                return value
        except OSError as error:
            reason = f" ({error})"
        if time.monotonic() >= deadline:
            raise Late(f"{what}: not within {seconds} s{reason}")
        time.sleep(pause)


def quickest(action, attempts=3):
    """Seconds of the fastest of a few attempts: what always takes long is found, a moment of a busy machine is not."""
    took = []
    for _ in range(attempts):
        start = time.monotonic()
        action()
        took.append(time.monotonic() - start)
    return min(took)
