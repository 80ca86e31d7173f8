"""What strikes in one seed: a few faults, each at a point of an instance or at a time."""

import random
from dataclasses import dataclass
from enum import StrEnum

from tests.simulation.kafka import Fate

FAULTS = (2, 3)
LATEST_SECONDS = 4.0  # faults with a time
ANYWHERE = ""
LATEST_POINT = {ANYWHERE: 100} | dict.fromkeys(
    ("poll", "move_offset", "claim_commands", "COMMIT", "oldest", "send %s", "sent %s: %s", "forget"), 4
)
"""Of points with this label, which one at the latest: most faults strike where it hurts, the others anywhere."""
DOWN_SECONDS = 2.0
FREEZE_SECONDS = (1.0, 7.0, 10.0, 10.0, 10.0)  # mostly beyond the lease and both session time-outs
AWAY_SECONDS = 2.0
STILL_SECONDS = 9.0
LATEST_SEND = 8


class Kind(StrEnum):
    """The faults, by what counts them."""

    CRASH = "crashes"
    FREEZE = "freezes"
    CUT = "database connections cut"
    ACKNOWLEDGEMENT = "acknowledgements lost or late"
    MOVE = "partitions moved"
    POLL = "polls failed"
    FOLLOWER = "followers that stood still"
    RESTART = "database restarts"


_WEIGHTS = {
    Kind.CRASH: 6,
    Kind.FREEZE: 7,
    Kind.CUT: 3,
    Kind.ACKNOWLEDGEMENT: 3,
    Kind.MOVE: 3,
    Kind.POLL: 1,
    Kind.FOLLOWER: 2,
    Kind.RESTART: 1,
}
AT_A_POINT = (Kind.CRASH, Kind.FREEZE, Kind.CUT)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `at` counts the instance's points with the label `place`, or records sent, or is a time."""

    kind: Kind
    instance: int
    place: str
    at: float
    seconds: float
    fate: Fate


def draw_faults(chance: random.Random, instances: int) -> list[Fault]:
    """Draw the faults of a seed."""
    kinds = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=chance.choice(FAULTS))
    return [_draw(chance, kind, instances) for kind in kinds]


def _draw(chance: random.Random, kind: Kind, instances: int) -> Fault:
    seconds = {Kind.CRASH: DOWN_SECONDS, Kind.RESTART: AWAY_SECONDS, Kind.FOLLOWER: STILL_SECONDS}.get(
        kind, 0.0
    ) * chance.random()
    if kind is Kind.FREEZE:
        seconds = chance.choice(FREEZE_SECONDS)
    place = chance.choice(list(LATEST_POINT)) if chance.random() < 0.6 else ANYWHERE
    at = chance.random() * LATEST_SECONDS
    if kind in AT_A_POINT:
        at = chance.randint(1, LATEST_POINT[place])
    if kind is Kind.ACKNOWLEDGEMENT:
        at = chance.randrange(LATEST_SEND)
    fate = chance.choice([Fate.LATE, Fate.KNOWN, Fate.UNHEARD, Fate.LOST])
    return Fault(kind, chance.randrange(instances), place, at, seconds, fate)
