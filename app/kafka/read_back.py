"""Reading back: before a leader writes to a partition, it has read everything that its predecessors may have put there.

Each partition is by itself in one of these states:
- closed: the leader of the partition is asked where its log ends. From its first answer on, sends that are still on
  their way get the settling time to land, and what can be read is read. Each portion is stored together with the
  position after it, in one transaction, so that the next leader goes on there. The partition is read to its end when
  the position reaches an end that was asked for after the settling time. That is the end of the broker's own log: a
  consumer sees less of a replicated topic, and what it does not see stays when a follower becomes the leader.
- draining: the rows that were set aside for it leave first.
- open: rows leave as they come.
- late: other partitions acknowledge, this one does not. Its rows are set aside until it acknowledges, or until the
  producer gives up, which ends the lease.
When a broker becomes the partition's leader, the partition is closed again: another replica may have more.

A read-back may be millions of records and has no time limit; each call reads a bounded portion.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from app.kafka.relay_ports import EventLog, LaneLease
from app.models.outgoing import LogEnd, Outgoing, Positions
from app.models.records import LogPosition, is_other_topic
from app.utils.alarms import Alarms
from app.utils.metrics import READ_BACKS

log = logging.getLogger(__name__)

GRACE_SECONDS = 1.0  # after the settling time, before the open partitions go on without those that are not read back
RING_SECONDS = 5.0  # an election takes less
ASLEEP_SECONDS = 2.0


@dataclass(slots=True)
class _Partition:
    """`since`: when it was last read back or acknowledged. `position` is None before its leader has answered."""

    since: float
    read: bool = False
    open: bool = False
    late: bool = False
    position: LogPosition | None = None
    read_at: float = -math.inf
    end: int = -1
    settled_end: int | None = None  # the first end that was asked for after the settling: our records are before it
    answered_at: float | None = None
    epoch: int = -1
    reading: bool = False
    reason: str = "has not been read back"

    @property
    def is_closed(self) -> bool:
        return not self.read and not self.late

    @property
    def is_draining(self) -> bool:
        return self.read and not self.open and not self.late

    def close(self, reason: str, now: float) -> None:
        if self.read:
            self.since = now
        self.read = self.open = self.reading = False
        self.answered_at = self.settled_end = None
        self.reason = reason


@dataclass
class ReadBack:
    """The partitions of one lane's topic, for as long as one leader has one producer."""

    lane: str
    lease: LaneLease
    events: EventLog
    alarms: Alarms
    settle_seconds: float
    now: Callable[[], float]
    broker_answers: Callable[[], bool] = lambda: True

    def __post_init__(self) -> None:
        self._stored = dict(self.lease.positions())
        self._first = not self._stored
        if not self.lease.next_batch():
            self.settle_seconds = 0.0  # an empty outbox has nothing on its way
        self._partitions: dict[int, _Partition] = {}
        self._looked_at = self.now()
        self.count = 0
        """How many partitions keys are distributed over. It follows the topic's number once nothing older is on its
        way."""

    # For the leader, which sends

    @property
    def all_open(self) -> bool:
        """Whether every partition is open."""
        return bool(self._partitions) and all(partition.open for partition in self._partitions.values())

    @property
    def may_send(self) -> bool:
        """Whether some partitions are open, and those that are not read back have had their time."""
        if not any(partition.open for partition in self._partitions.values()):
            return False
        patience = self.settle_seconds + GRACE_SECONDS
        return all(partition.read or self.now() > partition.since + patience for partition in self._partitions.values())

    def is_open(self, number: int) -> bool:
        """Whether rows of the partition may leave as they come."""
        return number in self._partitions and self._partitions[number].open

    def drain(self) -> tuple[int, Sequence[Outgoing]]:
        """Return a draining partition and the rows that were set aside for it. Opens those without such rows."""
        for number, partition in self._partitions.items():
            if partition.is_draining:
                rows = self.lease.aside(number)
                if rows:
                    return number, rows
                partition.open = True
                self.alarms.clear(self._alarm(number))
        if self.all_open and self.count != len(self._partitions):
            self._grow()
        return 0, []

    def note_acknowledged(self, begins: Mapping[int, int], positions: Positions) -> None:
        """Note the first acknowledged offset and the position after the last one, by partition.

        Offsets below what was acknowledged before mean that the broker came back with an older copy of its log.
        """
        for number, position in positions.items():
            partition = self._partitions[number]
            before, partition.position = partition.position, position
            first = begins.get(number, position.next_offset)
            if before is not None and before.topic_id == position.topic_id and first < before.next_offset:
                self._report_lost(number, first, before, position)

    def note_late(self, number: int, is_late: bool) -> None:
        """Note whether acknowledgements of the partition are outstanding."""
        partition = self._partitions[number]
        if is_late and not partition.late:
            partition.since, partition.open = self.now(), False
        partition.late, partition.reason = is_late, "does not acknowledge what is sent"

    # For the relay's loop

    def advance(self) -> bool:
        """Take every closed partition a step further; return whether one was, or drains. Blocks for a moment.

        Raises LeaseLost, SendFailed if the topic is gone, and KafkaError.
        """
        self._discount_sleep()
        self._follow_topic()
        closed = [number for number, partition in self._partitions.items() if partition.is_closed]
        advanced = False
        if closed:
            for number, end in self.events.leader_ends(closed).items():
                self._take_answer(number, end)
            advanced = self._read()
            if all(partition.read for partition in self._partitions.values()):
                self.events.done_reading()
                self._first = False
        self._ring()
        return advanced or any(partition.is_draining for partition in self._partitions.values())

    def _discount_sleep(self) -> None:
        """Move all times on by a sleep of this process (frozen, or busy), and by the time in which no broker answered:
        a partition did not wait for its own sake then."""
        now = self.now()
        slept, self._looked_at = now - self._looked_at, now
        if slept > ASLEEP_SECONDS or not self.broker_answers():
            for partition in self._partitions.values():
                partition.since += slept

    def _follow_topic(self) -> None:
        epochs = self.events.epochs()
        for number in range(len(self._partitions), len(epochs)):
            self._partitions[number] = _Partition(self.now())
        if not self.count:
            self.count = self._count_before()
        for number, epoch in epochs.items():
            partition = self._partitions[number]
            if partition.read and not partition.late and epoch > partition.epoch >= 0:
                partition.close("has another leader", self.now())

    def _count_before(self) -> int:
        """Return over how many partitions the last leader distributed keys; all, if the topic is new."""
        topic_id = self.events.topic_id
        stored = [number for number, known in self._stored.items() if not is_other_topic(known.topic_id, topic_id)]
        return min(max(stored, default=len(self._partitions) - 1) + 1, len(self._partitions))

    def _grow(self) -> None:
        """Distribute keys over the new partitions too: everything sent by the old number is acknowledged."""
        old, self.count = self.count, len(self._partitions)
        new = {number: self._partitions[number].position for number in range(old, self.count)}
        self._store({number: position for number, position in new.items() if position is not None})
        self.alarms.happened(
            f"{self.lane}_partitions_{old}_{self.count}",
            f"The topic of the {self._words} has {self.count} partitions instead of {old}: the records of an order can "
            f"be in two of them from now on, the later ones in the new one",
        )

    def _take_answer(self, number: int, end: LogEnd | str) -> None:
        """Take a leader's answer: where its log ends, or why it does not say."""
        partition = self._partitions[number]
        if isinstance(end, str):
            partition.close(end, self.now())
            return
        if partition.answered_at is None:
            partition.answered_at = self.now()
        if partition.position is None or partition.position.topic_id != end.position.topic_id:
            partition.position = self._first_position(number, end)
        missing = end.position.next_offset - partition.position.next_offset
        if missing < 0 and end.asked_at < partition.read_at:
            return  # an answer to a question that is older than what was read since
        if missing < 0:
            self._report_lost(number, end.position.next_offset, partition.position, end.position)
            partition.position = end.position
        if partition.settled_end is None or end.epoch != partition.epoch:
            settled = end.asked_at >= partition.answered_at + self.settle_seconds
            partition.settled_end = end.position.next_offset if settled else None
        partition.epoch, partition.reason = end.epoch, "is read back"
        partition.end = end.position.next_offset if partition.settled_end is None else partition.settled_end
        if missing > 0 and not partition.reading:
            partition.reading = True
            READ_BACKS.labels(self.lane).inc()
            log.info("relay %s reads back: %s records of partition %s", self.lane, missing, number)
        settled_end = partition.settled_end
        partition.read = settled_end is not None and partition.position.next_offset >= settled_end

    def _first_position(self, number: int, end: LogEnd) -> LogPosition:
        """Return where reading begins: at the stored position, or at offset 0 of a topic that was made anew since.

        A topic that was never relayed to holds nothing of ours: reading begins, and ends, at its end.
        """
        topic_id = end.position.topic_id
        if all(is_other_topic(position.topic_id, topic_id) for position in self._stored.values()):
            # These rows tell the next leader over how many partitions keys were distributed.
            self._store({each: LogPosition(topic_id, 0) for each in self._partitions})
        if self._first:
            self._store({number: end.position})
            return end.position
        known = self._stored.get(number)
        if known is None or is_other_topic(known.topic_id, topic_id):
            return LogPosition(topic_id, 0)
        return LogPosition(topic_id, known.next_offset)

    def _read(self) -> bool:
        """Read a portion of the partitions that have more, and store what was found; return whether there was any."""
        places = {
            number: partition.position.next_offset
            for number, partition in self._partitions.items()
            if partition.reading and partition.position is not None and partition.position.next_offset < partition.end
        }
        portions = self.events.read(places) if places else {}
        if not portions:
            return False
        positions = {}
        for number, portion in portions.items():
            partition = self._partitions[number]
            if partition.position is not None:
                positions[number] = LogPosition(partition.position.topic_id, portion.next_offset)
                partition.position, partition.read_at = positions[number], self.now()
        self.lease.note([event_id for portion in portions.values() for event_id in portion.event_ids], positions)
        return True

    def _report_lost(self, number: int, first: int, stored: LogPosition, end: LogPosition) -> None:
        """Ring that the log was cut; the stored position must not stay where nothing is."""
        last = stored.next_offset - 1
        self.alarms.happened(
            f"{self.lane}_lost_{number}_{first}_{last}",
            f"Kafka has lost {self._words} that it had acknowledged: partition {number} of their topic ends at "
            f"offset {first}, and records up to {last} were written",
        )
        self._store({number: end})

    def _store(self, positions: Positions) -> None:
        self.lease.store_positions(positions)
        self._stored |= positions

    def _ring(self) -> None:
        self._discount_sleep()
        for number, partition in self._partitions.items():
            waits = partition.late or not partition.read
            if waits and self.now() > partition.since + self.settle_seconds + RING_SECONDS:
                self.alarms.ring(
                    self._alarm(number),
                    f"Partition {number} of the topic of the {self._words} {partition.reason}: what goes there waits",
                )

    def _alarm(self, number: int) -> str:
        return f"{self.lane}_partition_{number}"

    @property
    def _words(self) -> str:
        return self.lane.replace("_", " ")
