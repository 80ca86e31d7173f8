"""Where records lie on the topics, and which groups have passed them: found on demand in limited time, not stored.

A record of a key lies in the key's partition, no earlier than its change was committed. So the look begins there, at
the offset of that time, and reads on for a bounded number of bytes.
"""

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from app.config.config import Settings
from app.kafka import clients
from app.kafka.command_looks import first_since, records_from, require_leader
from app.kafka.command_ports import PartitionAway
from app.kafka.event_reader import event_id_in
from app.kafka.event_topic import partition_of
from app.kafka.quirks.connections import hear_of, metadata_of
from app.kafka.security import name_of
from app.models.operator_errors import KafkaUnusable
from app.models.records import Record, after
from app.utils.deadline import Deadline

LOOK_SECONDS = 1.0  # for everything
CLOCKS = timedelta(seconds=2)  # by which the database's clock may be ahead of the relay's
PORTION_BYTES = 128 * 1024
MOST_PORTIONS = 20  # that are read for one event
MOST_GROUPS = 200
LEAST_MS = 50


@dataclass(frozen=True, slots=True)
class Wanted:
    """An event to look for: its id, its key, and since when it may be on the topic."""

    event_id: uuid.UUID
    key: str
    since: datetime


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """A record in a log. `timestamp`: in milliseconds since 1970; `type`: of an event."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    type: str | None

    @property
    def at(self) -> datetime:
        """Its timestamp."""
        return datetime.fromtimestamp(max(self.timestamp, 0) / 1000, UTC)


@dataclass(frozen=True, slots=True)
class GroupOffsets:
    """A group that reads a topic: the offset that it reads next, by partition. `state`: as Kafka names it, for example
    Stable or Empty; nothing where an old broker does not tell it."""

    group: str
    next_offsets: Mapping[int, int]
    state: str = ""

    def has_passed(self, record: FoundRecord) -> bool:
        """Tell whether the group has the record behind it."""
        return self.next_offsets.get(record.partition, 0) > record.offset


class LogLook:
    """One look at the topics, from one thread. What is not found by the deadline, or lies in a partition that cannot be
    read, is left out, and `notes` tell."""

    def __init__(self, settings: Settings, consumer: KafkaConsumer, seconds: float, deadline: Deadline) -> None:
        self._settings = settings
        self._consumer = consumer
        self._seconds = seconds
        self._deadline = deadline
        self._notes: dict[str, None] = {}

    def begin(self) -> None:
        """Hear of the two topics. Raises KafkaUnusable."""
        with _usable():
            hear_of(self._consumer, (self._settings.commands_topic, self._settings.events_topic), self._left_ms)

    @property
    def notes(self) -> list[str]:
        """What was not looked at, and why: sentences."""
        return list(self._notes)

    def commands(self, places: Iterable[tuple[int, int]]) -> dict[tuple[int, int], FoundRecord]:
        """Return the records at these partitions and offsets of the commands topic, where they are still there.

        Raises KafkaUnusable.
        """
        found = {}
        with _usable():
            for partition, offset in places:
                with self._noting(self._settings.commands_topic, partition):
                    record = next(self._read(self._settings.commands_topic, partition, offset), None)
                    if record is not None and record.offset == offset:
                        found[partition, offset] = _found(partition, record)
        return found

    def events(self, wanted: Sequence[Wanted]) -> dict[uuid.UUID, FoundRecord]:
        """Return the events that are found, the newest first. Raises KafkaUnusable."""
        topic = self._settings.events_topic
        found: dict[uuid.UUID, FoundRecord] = {}
        with _usable():
            count = len(self._partitions(topic))
            others = {each.event_id for each in wanted}
            for one in sorted(wanted, key=lambda event: event.since, reverse=True):
                partition = partition_of(one.key.encode(), count)
                if one.event_id not in found:
                    with self._noting(topic, partition):
                        self._find(one, partition, others, found)
        return found

    def groups(self) -> list[GroupOffsets]:
        """Return the groups that have an offset on the events topic, by name; of those that may be seen.

        Raises KafkaUnusable.
        """
        topic = self._settings.events_topic
        with _usable(), closing(clients.admin(self._settings, self._left_ms)) as admin:
            states = {group["group_id"]: str(group.get("group_state") or "") for group in admin.list_groups()}
            names = sorted(states)[:MOST_GROUPS]
            if len(states) > MOST_GROUPS:
                self._notes[f"Kafka has {len(states)} groups; the first {MOST_GROUPS} by name were asked for."] = None
            places = [TopicPartition(topic, partition) for partition in self._partitions(topic)]
            offsets = admin.list_group_offsets(dict.fromkeys(names, places)) if names else {}
        read = {
            name: {place.partition: known.offset for place, known in found.items() if known.offset >= 0}
            for name, found in offsets.items()
        }
        return [GroupOffsets(name, read[name], states[name]) for name in sorted(read) if read[name]]

    def event_bounds(self) -> dict[int, tuple[int, int]]:
        """Return the first offset in the log of the events topic and the one after the last, by partition.

        Partitions without a leader are left out, and `notes` tell. Raises KafkaUnusable.
        """
        topic, led = self._settings.events_topic, []
        with _usable():
            for partition in self._partitions(topic):
                with self._noting(topic, partition):
                    place = TopicPartition(topic, partition)
                    require_leader(self._consumer, place)
                    led.append(place)
            begins = self._consumer.beginning_offsets(led, timeout_ms=self._left_ms) if led else {}
            ends = self._consumer.end_offsets(led, timeout_ms=self._left_ms) if led else {}
        return {place.partition: (begins[place], ends[place]) for place in led}

    def event_from(self, partition: int, offset: int) -> FoundRecord | None:
        """Return the first event from the offset on, None where there is none or it cannot be read.

        Raises KafkaUnusable.
        """
        topic = self._settings.events_topic
        with _usable(), self._noting(topic, partition):
            for record in self._read(topic, partition, offset):
                return _found(partition, record)
        return None

    def _partitions(self, topic: str) -> Collection[int]:
        partitions: Collection[int] | None = metadata_of(self._consumer).partitions_for_topic(topic)
        if not partitions:
            raise KafkaUnusable(f"there is no topic {topic}")
        return partitions

    def _find(
        self, wanted: Wanted, partition: int, others: set[uuid.UUID], found: dict[uuid.UUID, FoundRecord]
    ) -> None:
        """Read from the event's time on until it is found; note those of the others that lie on the way."""
        topic = self._settings.events_topic
        if self._is_over():
            return
        since = int((wanted.since - CLOCKS).timestamp() * 1000)
        offset = first_since(self._consumer, TopicPartition(topic, partition), since, self._left_ms)
        for _ in range(MOST_PORTIONS if offset is not None else 0):
            last = None
            for record in self._read(topic, partition, offset or 0, PORTION_BYTES):
                last = record
                event_id = event_id_in(record.headers)
                if event_id in others:
                    found[event_id] = _found(partition, record)
                    if event_id == wanted.event_id:
                        return
            if last is None:
                return
            offset = after(last)

    def _read(self, topic: str, partition: int, offset: int, most_bytes: int = 1) -> Iterator[Record]:
        if not self._is_over():
            place = TopicPartition(topic, partition)
            yield from records_from(self._consumer, place, offset, most_bytes, self._left_ms)

    @contextmanager
    def _noting(self, topic: str, partition: int) -> Iterator[None]:
        """Note why the partition cannot be read, if so."""
        try:
            yield
        except PartitionAway as away:
            self._notes[f"{topic}/{partition} cannot be read: {away}."] = None

    def _is_over(self) -> bool:
        if self._deadline.passed:
            self._notes[f"The look at the log ended after {self._seconds:g} s: not everything was looked for."] = None
        return self._deadline.passed

    @property
    def _left_ms(self) -> int:
        return max(int(self._deadline.remaining * 1000), LEAST_MS)


@contextmanager
def open_look(settings: Settings, seconds: float = LOOK_SECONDS) -> Iterator[LogLook]:
    """Open a look that ends after so many seconds, or little later. Raises KafkaUnusable where no broker answers."""
    deadline = Deadline(seconds)
    with _usable():
        consumer = clients.quick_reader(settings, int(seconds * 1000))
    try:
        look = LogLook(settings, consumer, seconds, deadline)
        look.begin()
        yield look
    finally:
        consumer.close(autocommit=False, timeout_ms=LEAST_MS)


@contextmanager
def _usable() -> Iterator[None]:
    try:
        yield
    except (KafkaError, PartitionAway) as error:
        reason = name_of(error) if isinstance(error, KafkaError) else str(error)
        raise KafkaUnusable(reason) from None


def _found(partition: int, record: Record) -> FoundRecord:
    kinds = [value for name, value in record.headers if name == "type" and value is not None]
    kind = kinds[0].decode(errors="replace") if kinds else None
    return FoundRecord(partition, record.offset, record.timestamp, record.key, kind)
