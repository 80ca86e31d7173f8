"""Reading back: before a leader writes to a partition, it has read all that may be in there of its predecessors.

A partition goes through these states, each for itself:
- closed: its leader is asked where its log ends. Once it has answered, stray sends get the settling time to land, and
  what can be read is read: portion by portion, each with the position after it in one transaction, so that whoever
  leads next goes on there. Read to the end means to the end of the leader's own log, asked for after the settling. A
  consumer sees less of a replicated topic: what in-sync followers do not have yet is there all the same, and stays
  when they become the leader.
- draining: the rows that were set aside for it leave first.
- open: rows leave as they come.
- late: what was sent is not acknowledged, others are. Its rows are set aside until it is, or until the producer gives
  up, which ends the lead.
A change of the partition's leader closes it again: another replica may have more.

There is no limit for the whole, which may be millions of records; each call does a bounded piece.
"""

import logging
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from app.kafka.ports import EventLog, Lead, LogEnd, Outgoing, Position, Positions
from app.utils.alarms import Alarms
from app.utils.metrics import READ_BACKS

log = logging.getLogger(__name__)

GRACE_SECONDS = 1.0  # which those that are not open yet get before the others go on without them
RING_SECONDS = 5.0  # an election takes less
ASLEEP_SECONDS = 2.0


@dataclass(slots=True)
class _Partition:
    """`since`: when it was last read back or acknowledged. `position` is None before its log was seen."""

    since: float
    read: bool = False
    open: bool = False
    late: bool = False
    position: Position | None = None
    read_at: float = -math.inf
    end: int = -1
    settled_end: int | None = None  # the first that was asked for after the settling: ours are before it
    answered_at: float | None = None
    epoch: int = -1
    reading: bool = False
    reason: str = "has not been read back"

    def close(self, reason: str, now: float) -> None:
        if self.read:
            self.since = now
        self.read = self.open = self.reading = False
        self.answered_at = self.settled_end = None
        self.reason = reason


class ReadBack:
    """The partitions of one lane's topic during one lead."""

    def __init__(
        self,
        lane: str,
        lead: Lead,
        events: EventLog,
        alarms: Alarms,
        settle_seconds: float,
        now: Callable[[], float],
    ) -> None:
        self._lane = lane
        self._lead = lead
        self._events = events
        self._alarms = alarms
        self._now = now
        self._stored = dict(lead.positions())
        self._first = not self._stored
        # Nothing waits, so nothing can be on its way.
        self._settle_seconds = settle_seconds if lead.next_batch() else 0.0
        self._partitions: dict[int, _Partition] = {}
        self._looked_at = now()
        self.count = 0
        """How many partitions rows go to: it follows the topic's number when nothing older is on its way."""

    # For those who send

    @property
    def all_open(self) -> bool:
        """Whether every partition is open."""
        return bool(self._partitions) and all(it.open for it in self._partitions.values())

    @property
    def may_send(self) -> bool:
        """Whether some are open, and those that are not have had their time."""
        if not any(it.open for it in self._partitions.values()):
            return False
        unread = [it for it in self._partitions.values() if not it.read]
        return all(self._now() > it.since + self._settle_seconds + GRACE_SECONDS for it in unread)

    def is_open(self, partition: int) -> bool:
        """Whether rows of the partition may leave as they come."""
        return partition in self._partitions and self._partitions[partition].open

    def drain(self) -> tuple[int, Sequence[Outgoing]]:
        """Return a partition that is read back and the rows that were set aside for it; where none is, it is open."""
        for partition, it in self._partitions.items():
            if it.read and not it.open and not it.late:
                rows = self._lead.aside(partition)
                if rows:
                    return partition, rows
                it.open = True
                self._alarms.clear(self._alarm(partition))
        if self.all_open and self.count != len(self._partitions):
            self._grow()
        return 0, []

    def went_on(self, begins: Mapping[int, int], positions: Positions) -> None:
        """Note from where and up to where what was sent is acknowledged.

        Where it begins before what was acknowledged earlier, the broker came back with an older copy of its log.
        """
        for partition, position in positions.items():
            it = self._partitions[partition]
            before, it.position = it.position, position
            first = begins.get(partition, position.next_offset)
            if before is not None and before.topic_id == position.topic_id and first < before.next_offset:
                self._lose(partition, first, before, position)

    def owes(self, partition: int, rows: bool) -> None:
        """Note whether acknowledgements of the partition are outstanding."""
        it = self._partitions[partition]
        if rows and not it.late:
            it.since, it.open = self._now(), False
        it.late, it.reason = rows, "does not acknowledge what is sent"

    # For the leader's loop

    def look(self) -> bool:
        """Take every partition that is not read back a step further; return whether one was. Blocks for a moment.

        Raises LeadLost, SendFailed where the topic is gone, and KafkaError.
        """
        self._skip_sleep()
        self._follow_topic()
        closed = [partition for partition, it in self._partitions.items() if not it.read and not it.late]
        went_on = False
        if closed:
            for partition, end in self._events.leader_ends(closed).items():
                self._hear(partition, end)
            went_on = self._read()
            if all(it.read for it in self._partitions.values()):
                self._finish()
        self._ring()
        return went_on or any(it.read and not it.open and not it.late for it in self._partitions.values())

    def _skip_sleep(self) -> None:
        """Time for which nobody looked, as this process was frozen or busy, does not count as waiting."""
        slept = self._now() - self._looked_at
        self._looked_at = self._now()
        if slept > ASLEEP_SECONDS:
            for it in self._partitions.values():
                it.since += slept

    def _follow_topic(self) -> None:
        self._events.require_topic()
        for partition in range(len(self._partitions), self._events.partitions()):
            self._partitions[partition] = _Partition(self._now())
        if not self.count:
            self.count = self._count_before()
        for partition, epoch in self._events.epochs().items():
            it = self._partitions.get(partition)
            if it is not None and it.read and not it.late and epoch > it.epoch >= 0:
                it.close("has another leader", self._now())

    def _count_before(self) -> int:
        """Return how many partitions the last leader's rows went to; all, where the topic is new."""
        topic_id = self._events.topic_id
        stored = [partition for partition, it in self._stored.items() if _same(it.topic_id, topic_id)]
        return min(max(stored, default=len(self._partitions) - 1) + 1, len(self._partitions))

    def _grow(self) -> None:
        """Use the partitions that came: all that was sent by the old number is acknowledged."""
        old, self.count = self.count, len(self._partitions)
        new = {partition: self._partitions[partition].position for partition in range(old, self.count)}
        self._store({partition: position for partition, position in new.items() if position is not None})
        self._alarms.happened(
            f"{self._lane}_partitions_{old}_{self.count}",
            f"The topic of the {self._words} has {self.count} partitions instead of {old}: the records of an order can "
            f"be in two of them from now on, the later ones in the new one",
        )

    def _hear(self, partition: int, end: LogEnd | str) -> None:
        it = self._partitions[partition]
        if isinstance(end, str):
            it.close(end, self._now())
            return
        if it.answered_at is None:
            it.answered_at = self._now()
        if it.position is None or it.position.topic_id != end.position.topic_id:
            it.position = self._start(partition, end)
        missing = end.position.next_offset - it.position.next_offset
        if missing < 0 and end.asked_at < it.read_at:
            return  # the log was that short when it was asked for
        if missing < 0:
            self._lose(partition, end.position.next_offset, it.position, end.position)
            it.position = end.position
        if it.settled_end is None or end.epoch != it.epoch:
            settled = end.asked_at >= it.answered_at + self._settle_seconds
            it.settled_end = end.position.next_offset if settled else None
        it.epoch, it.reason = end.epoch, "is read back"
        it.end = end.position.next_offset if it.settled_end is None else it.settled_end
        if missing > 0 and not it.reading:
            it.reading = True
            READ_BACKS.labels(self._lane).inc()
            log.info("relay %s reads back: %s records of partition %s", self._lane, missing, partition)
        it.read = it.settled_end is not None and it.position.next_offset >= it.settled_end

    def _start(self, partition: int, end: LogEnd) -> Position:
        """Return where reading begins: at the stored position, at the beginning of what was made anew since.

        Nothing of ours can be in a topic that nobody has relayed to yet: then it is its end.
        """
        topic_id = end.position.topic_id
        if not any(_same(it.topic_id, topic_id) for it in self._stored.values()):
            # The next leader knows by these how many partitions rows went to.
            self._store({it: Position(topic_id, 0) for it in self._partitions})
        if self._first:
            self._store({partition: end.position})
            return end.position
        known = self._stored.get(partition)
        if known is None or not _same(known.topic_id, topic_id):
            return Position(topic_id, 0)
        return Position(topic_id, known.next_offset)

    def _read(self) -> bool:
        places = {
            partition: it.position.next_offset
            for partition, it in self._partitions.items()
            if it.reading and it.position is not None and it.position.next_offset < it.end
        }
        portions = self._events.read(places) if places else {}
        if not portions:
            return False
        positions = {}
        for partition, portion in portions.items():
            position = self._partitions[partition].position
            if position is not None:
                positions[partition] = Position(position.topic_id, portion.next_offset)
                self._partitions[partition].position = positions[partition]
                self._partitions[partition].read_at = self._now()
        self._lead.note([it for portion in portions.values() for it in portion.event_ids], positions)
        return True

    def _finish(self) -> None:
        """All is read back."""
        self._events.done_reading()
        self._first = False

    def _lose(self, partition: int, first: int, stored: Position, end: Position) -> None:
        """The log was cut: what is missing is lost, and the position must not stay where nothing is."""
        last = stored.next_offset - 1
        self._alarms.happened(
            f"{self._lane}_lost_{partition}_{first}_{last}",
            f"Kafka has lost {self._words} that it had acknowledged: partition {partition} of their topic ends at "
            f"offset {first}, and records up to {last} were written",
        )
        self._store({partition: end})

    def _store(self, positions: Positions) -> None:
        self._lead.move(positions)
        self._stored |= positions

    def _ring(self) -> None:
        self._skip_sleep()
        for partition, it in self._partitions.items():
            waits = it.late or not it.read
            if waits and self._now() > it.since + self._settle_seconds + RING_SECONDS:
                self._alarms.ring(
                    self._alarm(partition),
                    f"Partition {partition} of the topic of the {self._words} {it.reason}: what goes there waits",
                )

    def _alarm(self, partition: int) -> str:
        return f"{self._lane}_partition_{partition}"

    @property
    def _words(self) -> str:
        return self._lane.replace("_", " ")


def _same(one: uuid.UUID, other: uuid.UUID) -> bool:
    """Whether two ids are of the same topic: brokers that give none (nil) may give one once they are newer."""
    return one == other or not one.int or not other.int
