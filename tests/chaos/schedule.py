"""What a seed decides: the mode, one pair of kinds, and when what begins and how long it lasts."""

import itertools
import random
from dataclasses import dataclass

from .faults import FSYNC_ONLY, KINDS

_FIRST_S = 1.0
_DISTANCE_S = (0.8, 3.0)
_LENGTH_S = (0.4, 4.0)
# One run of so many has its faults apart, so that the gap that each of them leaves can be measured.
_APART_EVERY = 4
_APART_S = (5.0, 6.0)
_APART_LENGTH_S = (0.4, 3.0)
# One run of so many has its clients come in over TLS as a user, and users change meanwhile.
_USERS_EVERY = 2
# So long before the end nothing begins any more.
_LAST_S = 2.0


@dataclass(frozen=True)
class Step:
    """One fault."""

    at: float
    kind: str
    length: float
    at_leader: bool
    seed: int


@dataclass(frozen=True)
class Plan:
    """All that a seed decides."""

    seed: int
    durability: str
    kinds: tuple
    steps: tuple
    users: bool = False


def pairs(kinds):
    """Every pair of these kinds once; one kind alone makes a pair with itself."""
    ordered = [kind for kind in KINDS if kind in kinds]
    return list(itertools.combinations(ordered, 2)) or [(ordered[0], ordered[0])]


def draw(seed, seconds, kinds):
    """The plan of a seed: the pairs of kinds go round, so that as many seeds as there are pairs meet all of them."""
    dice = random.Random(f"chaos {seed}")
    every = pairs(kinds)
    pair = every[seed % len(every)]
    durability = "fsync" if FSYNC_ONLY & set(pair) else dice.choice(("os", "fsync"))
    is_apart = random.Random(f"apart {seed}").randrange(_APART_EVERY) == 0
    distances, lengths = (_APART_S, _APART_LENGTH_S) if is_apart else (_DISTANCE_S, _LENGTH_S)
    steps, at = [], _FIRST_S
    order = list(pair)
    while at < max(seconds - _LAST_S, _FIRST_S + 0.1):
        dice.shuffle(order)
        for kind in order:
            length = min(dice.uniform(*lengths), max(0.5, seconds - at))
            steps.append(Step(at, kind, length, dice.random() < 0.6, dice.randrange(1 << 30)))
            at += dice.uniform(*distances)
            if at >= seconds - _LAST_S:
                break
    users = random.Random(f"users {seed}").randrange(_USERS_EVERY) == 0
    return Plan(seed, durability, pair, tuple(steps), users)
