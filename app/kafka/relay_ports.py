"""The two ports of the relay: the rows of a lane, held by a lease, and the topic that they go to."""

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from app.models.outgoing import LogEnd, Outgoing, Portion, Positions, Sent


class SendFailed(Exception):
    """The producer gave a record up; whether the record is in the log is not known."""


class RecordRefused(SendFailed):
    """The broker will never take this record; a person must decide."""

    def __init__(self, sentence: str, event_id: uuid.UUID) -> None:
        super().__init__(sentence)
        self.event_id = event_id


class LaneLease(Protocol):
    """The leader's hold on the rows of one lane. Every method raises LeaseLost once the lease is lost."""

    def next_batch(self) -> Sequence[Outgoing]:
        """Return the oldest rows that are not set aside."""

    def set_aside(self, partition: int, ids: Collection[int]) -> Mapping[int, int]:
        """Take rows out of the way until their partition can be written to; return their new ids by the old ones."""

    def aside(self, partition: int) -> Sequence[Outgoing]:
        """Return the oldest rows that were set aside for the partition, as many as `next_batch` would."""

    def known(self, event_ids: Collection[uuid.UUID]) -> Collection[uuid.UUID]:
        """Return which of these event ids a read-back has found in the log."""

    def confirm_sent(self, ids: Collection[int], positions: Positions) -> None:
        """Take exactly these rows, which are in the log, out of the lane, and advance the positions. Commits."""

    def note(self, event_ids: Collection[uuid.UUID], positions: Positions) -> None:
        """Remember that these event ids are in the log, and store the positions after them, in one transaction."""

    def positions(self) -> Positions:
        """Return the stored positions."""

    def store_positions(self, positions: Positions) -> None:
        """Store the positions, also if they go back (a log that was cut). Commits."""

    def leave_out(self, event_id: uuid.UUID, refusal: str) -> bool:
        """Store why the topic refuses the record; tell whether the lane leaves the record out from now on. Commits."""

    def renew(self) -> None:
        """Prove to the server that the leader lives, unless it has just done so."""

    def require_valid(self) -> None:
        """Raise LeaseLost when the last proof of life is too old to be sure."""


class EventLog(Protocol):
    """The topic of one lane. Every method may raise KafkaError."""

    topic_id: uuid.UUID

    def partition(self, record: Outgoing, count: int) -> int:
        """Return the record's partition in a topic of `count` partitions."""

    def epochs(self) -> Mapping[int, int]:
        """Return the epoch of each partition's leader, as last heard; -1 if there is none. Raises SendFailed if
        the topic that was opened is gone."""

    def leader_ends(self, partitions: Collection[int]) -> Mapping[int, LogEnd | str]:
        """Return where the logs of these partitions' leaders end, or why a leader does not say. Blocks for a moment."""

    def read(self, places: Mapping[int, int]) -> Mapping[int, Portion]:
        """Return some records from these offsets on, as far as consumers can read. Blocks for a moment."""

    def done_reading(self) -> None:
        """Close what reading has opened."""

    def send(
        self, records: Sequence[tuple[int, Outgoing]], require_valid: Callable[[], None], renew: Callable[[], None]
    ) -> Sent:
        """Send each record to its partition and wait for the acknowledgements, of slow partitions only for a while.

        `require_valid` is called before each request that leaves, `renew` every second of the wait. Raises SendFailed,
        RecordRefused.
        """

    def late(self) -> Sent:
        """Return what became of the records that were late. Raises SendFailed and RecordRefused."""
