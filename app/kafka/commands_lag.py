"""How many commands wait in each partition, whichever member has it: the log's end against the stored offset.

A record of an open transaction waits too, although no reader of committed records sees it.
"""

import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from kafka.errors import KafkaError

from app.kafka.broker_view import FirstRecord, KafkaView, TopicView
from app.kafka.topics import Bounds
from app.models.records import is_other_topic

PEEKS = 64  # partitions that are read in one look

Stored = Mapping[int, tuple[uuid.UUID, int]]
"""By partition, topic id and next offset."""


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """What waits in one partition. `first`: the first offset that waits, None if none does or nothing is known;
    `lag`: how many, None if nothing is known; `seconds`: for how long it has been seen to wait; `held`: all of it waits
    for the end of an open transaction; `record`: the first one that waits, if it was read."""

    first: int | None
    lag: int | None
    seconds: float
    held: bool = False
    record: FirstRecord | None = None

    @property
    def lag_seconds(self) -> float | None:
        """Seconds since the time stamp of the first that waits; where that is not known, since it was seen to wait."""
        if self.lag is None:
            return None
        stamp = None if self.record is None else self.record.timestamp
        return self.seconds if stamp is None else max(time.time() - stamp / 1000, self.seconds)

    @property
    def unread(self) -> bool:
        """Whether something waits, or may wait, that no broker handed out in time."""
        return self.lag is None or (self.lag > 0 and self.record is None and not self.held)

    def figures(self) -> dict[str, float | None]:
        """Return what every process shows of it."""
        return {"lag": self.lag, "lag_seconds": self.lag_seconds, "oldest_seconds": self.seconds}


UNKNOWN = PartitionLag(None, None, 0.0)


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
        self._before: dict[int, int] = {}  # by partition, the end at the last look
        self._records: dict[int, FirstRecord] = {}  # the first that waited at the last look, where it was read
        self._id: uuid.UUID | None = None

    @property
    def partitions(self) -> Sequence[int]:
        """Those of the last look."""
        return sorted(self._before)

    def look(self, topic: TopicView, stored: Stored) -> dict[int, PartitionLag]:
        """Return what waits, by partition. Blocks up to some seconds; if a broker does not answer, less is known."""
        if topic.id != self._id:
            self.reset()
            self._id = topic.id
        bounds = self._view.bounds(self._topic, topic)
        firsts = self._firsts(topic, stored, bounds)
        self._read(firsts, bounds)
        return {
            partition: self._lag(partition, firsts[partition], bounds[partition]) if partition in firsts else UNKNOWN
            for partition in sorted(topic.leaders)
        }

    def _firsts(self, topic: TopicView, stored: Stored, bounds: Mapping[int, Bounds]) -> dict[int, int]:
        """Return, by partition, the first offset that is not handled and may be a record's."""
        committed: dict[int, int] = {}
        if new := [partition for partition in bounds if partition not in stored]:
            with suppress(KafkaError):
                committed = self._view.committed(self._topic, new)
        found = {}
        for partition in bounds.keys() & topic.leaders.keys():
            begin, end = bounds[partition].begin, bounds[partition].end
            topic_id, offset = stored.get(partition, (topic.id, committed.get(partition, begin)))
            first = begin if is_other_topic(topic.id, topic_id) else max(offset, begin)
            if self._nothing_until.get(partition, 0) > end:
                del self._nothing_until[partition]
            found[partition] = max(first, self._nothing_until.get(partition, 0))
        return found

    def _read(self, firsts: dict[int, int], bounds: Mapping[int, Bounds]) -> None:
        """Read the first record that waits, in partitions where one waited at the last look, and in all at the first.

        A marker at the end of a transaction has an offset and is no record: `firsts` goes past it.
        """
        self._records = {at: read for at, read in self._records.items() if read.offset == firsts.get(at)}
        wanted = {
            partition: first
            for partition, first in sorted(firsts.items())
            if partition not in self._records
            and first < bounds[partition].readable
            and first < self._before.get(partition, bounds[partition].end)
        }
        read: dict[int, FirstRecord] = {}
        if wanted:
            with suppress(KafkaError):
                read = self._view.first_records(self._topic, dict(islice(wanted.items(), PEEKS)))
        for partition, record in read.items():
            if record.offset is not None:
                self._records[partition] = record
            if record.position > firsts[partition]:
                self._nothing_until[partition] = min(record.position, bounds[partition].readable)
            firsts[partition] = max(firsts[partition], record.position)
        self._before = {partition: bounds[partition].end for partition in firsts}

    def _lag(self, partition: int, first: int, bounds: Bounds) -> PartitionLag:
        end = bounds.end
        seconds = self._ends.setdefault(partition, Ends()).look(first, end)
        held = bounds.readable <= first < end
        lag, record = max(end - first, 0), self._records.get(partition)
        return PartitionLag(first if lag else None, lag, seconds, held, record)
