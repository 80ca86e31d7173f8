"""The ports of the relay: the rows of a lane, as the one that leads has them, and the topic that they go to."""

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to send. `value` None is a tombstone (a dead letter may be one)."""

    id: int
    event_id: uuid.UUID
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Position:
    """Up to where a partition holds nothing that is still to be sent."""

    topic_id: uuid.UUID
    next_offset: int


Positions = Mapping[int, Position]


@dataclass(frozen=True, slots=True)
class LogEnd:
    """Where the log of a partition's leader ends, whatever of it can be read already. `asked_at` is monotonic."""

    position: Position
    epoch: int
    asked_at: float


@dataclass(frozen=True, slots=True)
class Portion:
    """The event ids of some records of a partition, and the offset after them."""

    event_ids: Collection[uuid.UUID]
    next_offset: int


@dataclass(frozen=True, slots=True)
class Sent:
    """The records that are acknowledged, the positions after them, and by partition those that are not yet.

    A record is late too while one before it in its partition is: positions have nothing behind them to be sent.
    """

    acknowledged: Sequence[Outgoing] = ()
    positions: Positions = field(default_factory=dict)
    late: Mapping[int, Sequence[Outgoing]] = field(default_factory=dict)
    begins: Mapping[int, int] = field(default_factory=dict)
    """By partition, the first offset that was acknowledged."""


class SendFailed(Exception):
    """A record was given up; whether it is in the log is not known."""


class RecordRefused(SendFailed):
    """The broker will never take this record; a person must decide."""

    def __init__(self, sentence: str, event_id: uuid.UUID | None = None) -> None:
        super().__init__(sentence)
        self.event_id = event_id


class LeadLost(Exception):
    """Another relay may be leading by now; nothing may be sent any more."""


class Lead(Protocol):
    """The rows of one lane, held by the leader. Every method raises LeadLost when the lead is gone."""

    def next_batch(self) -> Sequence[Outgoing]:
        """Return the oldest rows that are not set aside."""

    def set_aside(self, partition: int, ids: Collection[int]) -> Mapping[int, int]:
        """Take rows out of the way until their partition can be written to; return the ids that they have now."""

    def aside(self, partition: int) -> Sequence[Outgoing]:
        """Return the oldest rows that were set aside for the partition."""

    def known(self, event_ids: Collection[uuid.UUID]) -> Collection[uuid.UUID]:
        """Return which of these event ids are in the log already."""

    def confirm(self, ids: Collection[int], positions: Positions) -> None:
        """Forget the rows that are in the log, and move the positions."""

    def note(self, event_ids: Collection[uuid.UUID], positions: Positions) -> None:
        """Remember that these event ids are in the log, and move the positions behind them."""

    def positions(self) -> Positions:
        """Return the stored positions."""

    def move(self, positions: Positions) -> None:
        """Store the positions."""

    def pass_by(self, event_id: uuid.UUID, refusal: str) -> bool:
        """Keep why the topic refuses the record; tell whether it is left out from now on."""

    def hold(self) -> None:
        """Prove to the server that the leader lives."""

    def check(self) -> None:
        """Raise LeadLost when the last proof of life is too old to be sure."""


class EventLog(Protocol):
    """The topic of one lane. Every method may raise KafkaError."""

    topic_id: uuid.UUID

    def require_topic(self) -> None:
        """Return where the topic is there, as last heard, and the one that was opened. Raises SendFailed."""

    def partitions(self) -> int:
        """Return how many partitions the topic has, as last heard."""

    def partition(self, record: Outgoing, count: int) -> int:
        """Return the partition of the record where there are `count`."""

    def epochs(self) -> Mapping[int, int]:
        """Return the leader's epoch of each partition, as last heard."""

    def leader_ends(self, partitions: Collection[int]) -> Mapping[int, LogEnd | str]:
        """Return where the logs of these partitions' leaders end, or why one does not tell. Blocks for a moment."""

    def read(self, places: Mapping[int, int]) -> Mapping[int, Portion]:
        """Return some records from these offsets on, as far as they can be read. Blocks for a moment."""

    def done_reading(self) -> None:
        """Let go of what reading needs."""

    def send(
        self, records: Sequence[tuple[int, Outgoing]], check: Callable[[], None], hold: Callable[[], None]
    ) -> Sent:
        """Send each to its partition and wait for the acknowledgements, for a while only where others came.

        `check` is called before whatever leaves, `hold` every second of the wait. Raises SendFailed, RecordRefused.
        """

    def late(self) -> Sent:
        """Return what became of the records that were late. Raises SendFailed and RecordRefused."""
