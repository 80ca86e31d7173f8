"""How many commands wait in each partition, whichever member has it: the log's end against the stored offset.

A record of an open transaction waits too, although no reader of committed records sees it.
"""

import time
import uuid
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from kafka.errors import KafkaError

from app.kafka.broker_view import KafkaView, TopicView
from app.kafka.topics import Bounds
from app.models.records import is_other_topic

PEEKS = 3  # partitions that are read in one look

Stored = Mapping[int, tuple[uuid.UUID, int]]
"""By partition, topic id and next offset."""


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """What waits in one partition. `first`: the first offset that waits, None if none does or nothing is known;
    `lag`: how many, None if nothing is known; `held`: all of it waits for the end of an open transaction."""

    first: int | None
    lag: int | None
    seconds: float
    held: bool = False


class Ends:
    """Since when a partition has had something that waits, told from how its end grew from look to look."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def look(self, first: int, end: int) -> float:
        """Return for how many seconds the record at `first` has been seen to wait, 0 if nothing waits."""
        now = time.monotonic()
        if self._seen and end < self._seen[-1][1]:
            self._seen.clear()  # another log
        if not self._seen or self._seen[-1][1] != end:
            self._seen.append((now, end))
        while len(self._seen) > 1 and self._seen[0][1] <= first:
            self._seen.popleft()
        oldest = self._seen[0]
        return now - oldest[0] if oldest[1] > first else 0.0


class CommandsLag:
    """Looks at all partitions. Use from one thread."""

    def __init__(self, topic: str, view: KafkaView) -> None:
        self._topic = topic
        self._view = view
        self.reset()

    def reset(self) -> None:
        """Forget all earlier looks."""
        self._ends: dict[int, Ends] = {}
        self._nothing_until: dict[int, int] = {}  # from the stored offset on there is no record before this one
        self._before: dict[int, tuple[int, int]] = {}  # first and end at the last look
        self._id: uuid.UUID | None = None
        self._peeks = 0

    def look(self, topic: TopicView, stored: Stored) -> dict[int, PartitionLag]:
        """Return what waits, by partition. Blocks up to some seconds; if a broker does not answer, less is known."""
        if topic.id != self._id:
            self.reset()
            self._id = topic.id
        self._peeks = PEEKS
        bounds = self._view.bounds(self._topic, topic)
        committed: dict[int, int] = {}
        if new := [partition for partition in bounds if partition not in stored]:
            with suppress(KafkaError):
                committed = self._view.committed(self._topic, new)
        found = {}
        for partition in sorted(topic.leaders):
            if partition not in bounds:
                found[partition] = PartitionLag(None, None, 0.0)
                continue
            begin = bounds[partition].begin
            topic_id, offset = stored.get(partition, (topic.id, committed.get(partition, begin)))
            first = begin if is_other_topic(topic.id, topic_id) else max(offset, begin)
            found[partition] = self._look_at(partition, first, bounds[partition])
        return found

    def _look_at(self, partition: int, first: int, bounds: Bounds) -> PartitionLag:
        """`first`: the first offset that is not handled."""
        end = bounds.end
        if self._nothing_until.get(partition, 0) > end:
            del self._nothing_until[partition]
        first = max(first, self._nothing_until.get(partition, 0))
        if first < bounds.readable and self._peeks and self._before.get(partition) == (first, end):
            self._peeks -= 1
            first = self._peek(partition, first, bounds.readable)
        self._before[partition] = first, end
        seconds = self._ends.setdefault(partition, Ends()).look(first, end)
        held = bounds.readable <= first < end
        return PartitionLag(first if first < end else None, max(end - first, 0), seconds, held)

    def _peek(self, partition: int, first: int, end: int) -> int:
        """Return the first offset that waits: a marker at the end of a transaction has an offset, and is no record."""
        try:
            record = self._view.first_record(self._topic, partition, first)
        except KafkaError:
            return first
        if record.offset is None and record.position > first:
            self._nothing_until[partition] = min(record.position, end)
        return max(first, record.position)
