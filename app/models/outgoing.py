"""What leaves: a row of a lane on its way into a topic, and how far the topic's log is known to hold our records."""

import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from app.models.records import LogPosition


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to send. `value` None is a tombstone (a dead letter may be one).

    `inserted_at`: when its transaction began, in monotonic seconds.
    """

    id: int
    event_id: uuid.UUID
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    inserted_at: float = field(default_factory=time.monotonic)


Positions = Mapping[int, LogPosition]
"""By partition."""


@dataclass(frozen=True, slots=True)
class LogEnd:
    """The end of the log of a partition's leader, beyond what consumers can read. `asked_at`: monotonic seconds."""

    position: LogPosition
    epoch: int
    asked_at: float


@dataclass(frozen=True, slots=True)
class Portion:
    """The event ids of some records that were read from a partition, and the offset after them."""

    event_ids: Collection[uuid.UUID]
    next_offset: int


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of the records that were sent.

    `late` has, by partition, each unacknowledged record and all records after it. An empty list says that the partition
    is no longer late. So no unsent record lies before a position.
    """

    acknowledged: Sequence[Outgoing] = ()
    positions: Positions = field(default_factory=dict)
    """By partition, the position after the acknowledged records."""
    late: Mapping[int, Sequence[Outgoing]] = field(default_factory=dict)
    begins: Mapping[int, int] = field(default_factory=dict)
    """By partition, the first offset that was acknowledged."""


class LeaseLost(Exception):
    """Another relay may lead by now; nothing may be sent any more."""
