"""One record of the log for a person who searches: by its place, or by its event id among the newest of a topic.

Nothing here joins the group or creates a topic. Each look has a client of its own, ends about when its seconds are
over, and raises KafkaUnusable if no broker answers by then.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from app.config.config import Settings
from app.kafka import clients
from app.kafka.event_reader import event_ids_of
from app.kafka.quirks.connections import hear_of, metadata_of
from app.kafka.security import name_of
from app.models.operator_errors import KafkaUnusable
from app.models.records import Headers, after
from app.utils.deadline import Deadline

MOST_READ = 5_000  # records of a topic, newest first, among which an event id is looked for
POLL_MS = 100
CLOSE_MS = 100


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record as the log has it. `at`: its timestamp."""

    topic: str
    partition: int
    offset: int
    at: datetime
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class EventLook:
    """What a look for an event id found: how many records it read, and whether these are all that the topic holds."""

    record: LogRecord | None
    read: int
    whole: bool


def record_at(settings: Settings, topic: str, partition: int, offset: int, seconds: float) -> LogRecord | None:
    """Return the record at the place, None if the log holds none there."""
    place, deadline = TopicPartition(topic, partition), Deadline(seconds)
    with _reading(settings, seconds) as reader:
        if place not in _places(reader, topic, deadline):
            return None
        if offset >= _ends(reader, [place], deadline)[place]:
            return None
        reader.assign([place])
        reader.seek(place, offset)
        for _, record in _records(reader, deadline):
            is_it = record.offset <= offset < after(record)
            return kept(place, record) if is_it else None
    raise KafkaUnusable(f"Kafka did not show {topic}/{partition}/{offset} within {seconds:g} s.")


def find_event(settings: Settings, topic: str, event_id: UUID, seconds: float) -> EventLook:
    """Look for the record with this event id among the newest MOST_READ of the topic, or those that time allows."""
    deadline, read = Deadline(seconds), 0
    with _reading(settings, seconds) as reader:
        places = _places(reader, topic, deadline)
        if not places:
            return EventLook(None, 0, whole=True)
        begins: Mapping[TopicPartition, int] = reader.beginning_offsets(places, timeout_ms=_left_ms(deadline))
        unread = dict(_ends(reader, places, deadline))
        reader.assign(places)
        firsts = {place: max(begins[place], end - MOST_READ // len(places)) for place, end in unread.items()}
        whole = firsts == dict(begins)
        unread = {place: end for place, end in unread.items() if firsts[place] < end}
        for place, first in firsts.items():
            reader.seek(place, first)
        if not unread:
            return EventLook(None, 0, whole)
        for place, record in _records(reader, deadline):
            read += 1
            if event_id in event_ids_of([record]):
                return EventLook(kept(place, record), read, whole)
            if place in unread and after(record) >= unread[place]:
                del unread[place]
                if not unread:
                    return EventLook(None, read, whole)
    return EventLook(None, read, whole=False)


def ends(settings: Settings, topic: str, seconds: float) -> dict[int, int]:
    """Return where each partition of the topic ends."""
    deadline = Deadline(seconds)
    with _reading(settings, seconds) as reader:
        places = _places(reader, topic, deadline)
        return {place.partition: end for place, end in _ends(reader, places, deadline).items()}


def find_replies(
    settings: Settings, topic: str, begins: Mapping[int, int], correlation_id: str, count: int, seconds: float
) -> list[LogRecord]:
    """Return the first `count` records from there on with the correlation id, fewer if they do not come in time."""
    deadline, found = Deadline(seconds), list[LogRecord]()
    wanted = ("correlation_id", correlation_id.encode())
    with _reading(settings, seconds) as reader:
        reader.assign([TopicPartition(topic, number) for number in begins])
        for number, begin in begins.items():
            reader.seek(TopicPartition(topic, number), begin)
        for place, record in _records(reader, deadline):
            if wanted in getattr(record, "headers", ()):
                found.append(kept(place, record))
                if len(found) == count:
                    break
    return found


def _places(reader: KafkaConsumer, topic: str, deadline: Deadline) -> list[TopicPartition]:
    """Return the partitions of the topic, none if it is not there."""
    hear_of(reader, [topic], _left_ms(deadline))
    return [TopicPartition(topic, number) for number in sorted(metadata_of(reader).partitions_for_topic(topic) or ())]


def _records(reader: KafkaConsumer, deadline: Deadline) -> Iterator[tuple[TopicPartition, Any]]:
    """Yield what the assigned partitions hold until the deadline."""
    while not deadline.passed:
        for place, polled in reader.poll(timeout_ms=min(POLL_MS, _left_ms(deadline))).items():
            yield from ((place, record) for record in polled)


def _ends(reader: KafkaConsumer, places: Sequence[TopicPartition], deadline: Deadline) -> Mapping[TopicPartition, int]:
    ends: Mapping[TopicPartition, int] = reader.end_offsets(places, timeout_ms=_left_ms(deadline))
    return ends


def _left_ms(deadline: Deadline) -> int:
    return max(int(deadline.remaining * 1000), 1)


def kept(place: TopicPartition, record: Any) -> LogRecord:
    """Return what is kept of a record that was polled."""
    at = datetime.fromtimestamp(max(record.timestamp, 0) / 1000, UTC)
    headers = tuple(getattr(record, "headers", ()))
    return LogRecord(place.topic, place.partition, record.offset, at, record.key, record.value, headers)


@contextmanager
def _reading(settings: Settings, seconds: float) -> Iterator[KafkaConsumer]:
    reader = None
    try:
        reader = clients.quick_reader(settings, int(seconds * 1000))
        yield reader
    except KafkaError as error:
        raise KafkaUnusable(f"Kafka was asked for {seconds:g} s and did not answer ({name_of(error)}).") from None
    finally:
        if reader is not None:
            reader.close(autocommit=False, timeout_ms=CLOSE_MS)
