"""How many commands wait in each partition, whoever has it: the log's end against the stored offset.

What an open transaction holds back waits too, although no reader of committed records sees it.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from kafka.errors import KafkaError

from app.kafka.broker_view import KafkaView, TopicView
from app.services.waiting import Ends

PEEKS = 3  # partitions that are read in one look

Stored = Mapping[int, tuple[uuid.UUID, int]]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in one partition: from `first` on; `lag` and `first` are None where nothing is known or waits.

    `held`: all of it waits for the end of an open transaction.
    """

    first: int | None
    lag: int | None
    seconds: float
    held: bool = False


class CommandsLag:
    """Looks at all partitions. Use from one thread."""

    def __init__(self, topic: str, view: KafkaView) -> None:
        self._topic = topic
        self._view = view
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._ends: dict[int, Ends] = {}
        self._nothing_until: dict[int, int] = {}  # from the stored offset on there is no record up to here
        self._before: dict[int, tuple[int, int]] = {}  # first and end at the last look
        self._id: uuid.UUID | None = None

    def look(self, topic: TopicView, stored: Stored) -> dict[int, Waiting]:
        """Return what waits, by partition. Raises KafkaError only where nobody answers at all."""
        if topic.id != self._id:
            self.forget()
            self._id = topic.id
        bounds = self._view.bounds(self._topic, topic)
        unknown = [partition for partition in bounds if partition not in stored]
        committed = self._committed(unknown)
        found, peeks = {}, PEEKS
        for partition in sorted(topic.leaders):
            if partition not in bounds:
                found[partition] = Waiting(None, None, 0.0)
                continue
            begin, committed_end, end = bounds[partition].begin, bounds[partition].committed, bounds[partition].end
            topic_id, offset = stored.get(partition, (topic.id, committed.get(partition, begin)))
            same = topic.id == topic_id or not topic.id.int or not topic_id.int
            first = max(offset if same else begin, begin)
            if self._nothing_until.get(partition, 0) > end:
                del self._nothing_until[partition]
            first = max(first, self._nothing_until.get(partition, 0))
            if first < committed_end and peeks and self._before.get(partition) == (first, end):
                peeks -= 1
                first = self._peek(partition, first, committed_end)
            self._before[partition] = first, end
            seconds = self._ends.setdefault(partition, Ends()).look(first, end)
            held = committed_end <= first < end
            found[partition] = Waiting(first if first < end else None, max(end - first, 0), seconds, held)
        return found

    def _committed(self, partitions: list[int]) -> dict[int, int]:
        if not partitions:
            return {}
        try:
            return self._view.committed(self._topic, partitions)
        except KafkaError:
            return {}

    def _peek(self, partition: int, first: int, end: int) -> int:
        """Return from where on something waits: what ends a transaction has an offset and is nothing to handle."""
        try:
            record = self._view.first_record(self._topic, partition, first)
        except KafkaError:
            return first
        if record.offset is None and record.position > first:
            self._nothing_until[partition] = min(record.position, end)
        return max(first, record.position)
