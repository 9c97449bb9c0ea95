"""Judges what users, watchers and wardens of a run have seen: `users.py` says who they are.

Changes of a user are in one order: that in which any node shows two of them, and that of time where one was
acknowledged before the other was asked for. A right that is used belongs to a change that may have been in force then.
"""

import graphlib

from .users import KINDS, tokens_of


def judge(changes, uses, sequences, lists):
    """Violations, as texts."""
    found = _at_rest(lists)
    for user in sorted({change.user for change in changes}):
        of_user = [change for change in changes if change.user == user]
        last = {name: tokens_of(lines).get(user) for name, lines in lists.items()}
        found += _order(user, of_user, sequences.get(user, ()), last)
        found += _used(of_user, [use for use in uses if use.user == user])
    return found


def _at_rest(lists):
    """Every node has the same users in the end."""
    (first, one), *others = lists.items()
    return [f"{first} and {name} have other users: {one} and {other}" for name, other in others if other != one]


def _order(user, changes, sequences, last):
    """Whether there is one order of all changes."""
    known = {change.token for change in changes}
    before = {token: set() for token in known}
    for seen in [*sequences, *([token] for token in last.values())]:
        strangers = [token for token in seen if token not in known]
        if strangers:
            return [f"{user} shows changes that were refused or that nobody asked for: {strangers}"]
    for seen in sequences:
        for earlier, later in zip(seen, seen[1:], strict=False):
            before[later].add(earlier)
    acknowledged = [change for change in changes if change.returned is not None]
    for earlier in acknowledged:
        for later in changes:
            if earlier.returned < later.invoked:
                before[later.token].add(earlier.token)
    applied = {change.token for change in acknowledged}.union(*sequences)
    for token in set(last.values()):
        before[token] |= applied - {token}
    try:
        graphlib.TopologicalSorter(before).prepare()
    except graphlib.CycleError as error:
        return [f"the changes of {user} have no order: {error.args[1]}"]
    return []


def _used(changes, uses):
    """No right is used after the acknowledgement of its loss."""
    return [
        f"a right that was lost was used: {use}" for use in uses
        if not any(_may_be_in_force(change, changes, use) for change in changes)
    ]


def _may_be_in_force(change, changes, use):
    """It grants the right, was asked for before the answer, and nothing had surely replaced it before the request."""
    if f"+{use.right}" not in KINDS[change.kind] or change.invoked > use.returned:
        return False
    if change.returned is None:
        return True
    return not any(
        other.returned is not None and change.returned < other.invoked and other.returned < use.invoked
        for other in changes
    )
