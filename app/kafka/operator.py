"""What an operator asks of Kafka: how far a topic and a group are, some records, and one record to be sent.

Nothing here joins the group or creates a topic. Every function opens its own client, blocks for some seconds at the
longest (reading: READ_SECONDS without a record) and raises KafkaUnusable.
"""

import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, TopicAuthorizationFailedError

from app.config.config import Settings
from app.kafka import clients, event_topic
from app.kafka.broker_view import TopicView, topic_view
from app.kafka.event_reader import event_ids_of
from app.kafka.quirks.connections import cluster_of
from app.kafka.relay_ports import EventLog, RecordRefused, SendFailed
from app.kafka.security import ClientRefused, name_of
from app.kafka.topics import Bounds, bounds, committed_offsets, described_topic, holds_only_younger
from app.models.operator_errors import KafkaUnusable, NotPossible
from app.models.outgoing import Outgoing
from app.models.records import Record
from app.utils.deadline import Deadline
from app.utils.text import listed

REQUEST_MS = 5_000
SHORT_MS = 1_000  # of a question whose answer is not worth waiting for
ACKNOWLEDGE_SECONDS = 8.0
LOOK_SECONDS = 0.1
POLL_MS = 500
READ_SECONDS = 10.0  # without a record


@dataclass(frozen=True, slots=True)
class Partition(Bounds):
    """A partition's log, and `committed`: the group's offset, None before the first."""

    committed: int | None


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is now. `id` is another one once the topic was made anew."""

    id: uuid.UUID
    partitions: Mapping[int, Partition]
    cluster_id: str


_PLACE = re.compile(r"(?P<topic>[A-Za-z0-9._-]+)/(?P<partition>\d{1,9})/(?P<offset>\d{1,18})")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is in the log."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


def place_of(text: str) -> Place | None:
    """Return the place that `str` wrote so, None if the text is none."""
    found = _PLACE.fullmatch(text)
    return None if found is None else Place(found["topic"], int(found["partition"]), int(found["offset"]))


Send = Callable[[bytes | None, bytes | None], Place]
"""Sends a key and a value."""


def commands_topic(settings: Settings) -> Topic:
    """Return how far the commands topic and our group are."""
    return _topic(settings, settings.commands_topic)


def events_topic(settings: Settings) -> Topic:
    """Return how far the events topic is; of our group, which does not read it, nothing."""
    return _topic(settings, settings.events_topic)


def dead_letter_topic(settings: Settings) -> Topic:
    """Return how far the topic of dead letters is; of our group, which does not read it, nothing."""
    return _topic(settings, settings.dead_letter_topic)


def _topic(settings: Settings, name: str) -> Topic:
    with _admin(settings) as admin:
        cluster = cluster_of(admin).get("cluster_id") or ""
        topic = _describe(admin, settings, name)
        _require_leaders(topic, name)
        logs = bounds(admin, name, topic.leaders, REQUEST_MS)
        committed = committed_offsets(admin, settings.group_id, name, logs)
    partitions = {
        number: Partition(log.begin, log.readable, log.end, committed.get(number)) for number, log in logs.items()
    }
    return Topic(topic.id, partitions, cluster)


def cluster_id(settings: Settings) -> str:
    with _admin(settings) as admin:
        found: str = cluster_of(admin).get("cluster_id") or ""
    return found


def is_made_anew(settings: Settings, seen_at: datetime) -> bool:
    """Tell whether the cluster at our addresses can be the one that was last seen then, made anew."""
    with _answering(settings):
        return holds_only_younger(settings, settings.commands_topic, seen_at)


def partition_of(settings: Settings, topic: str, key: bytes) -> int:
    """Return the partition that a record with the key goes to now. Blocks for about a second at the longest."""
    with _admin(settings, SHORT_MS) as admin:
        count = len(_describe(admin, settings, topic).leaders)
    if not count:
        raise KafkaUnusable(f"Kafka tells nothing about the topic {topic}.")
    return event_topic.partition_of(key, count)


def records(settings: Settings, topic: str, partition: int, begin: int, end: int) -> Iterator[Record]:
    """Yield the records of a partition from `begin` up to before `end`."""
    place = TopicPartition(topic, partition)
    with _answering(settings), closing(clients.reader(settings)) as reader:
        reader.assign([place])
        reader.seek(place, begin)
        for polled in _read(reader, {place: end}, f"The log of {topic}/{partition} cannot be read."):
            yield from (record for record in polled if record.offset < end)


def event_ids(settings: Settings, topic: str, since: datetime) -> Iterator[Sequence[uuid.UUID]]:
    """Yield our event ids on the topic since then, up to its end as of now. Raises NotPossible, too, if retention
    has deleted records since then."""
    with _admin(settings) as admin:
        _require_leaders(_describe(admin, settings, topic), topic)
    try:
        with closing(clients.reader(settings)) as reader:
            ends = _seek(reader, topic, since)
            for polled in _read(reader, ends, f"The topic {topic} cannot be read to its end."):
                yield event_ids_of(polled)
    except KafkaError as error:
        raise KafkaUnusable(f"The topic {topic} cannot be read ({name_of(error)}).") from None


def send(
    settings: Settings, topic: str, key: bytes | None, value: bytes | None, require: Callable[[str | None], None]
) -> Place:
    """Send one record to an existing topic, wait for all acknowledgements (acks=all) and return its place.

    `require` is called with the cluster's id before. `value` None is a tombstone. Raises NotPossible if Kafka
    refuses the record; the sentence of KafkaUnusable says if the outcome is not known.
    """
    with sending(settings, topic, require) as send_one:
        return send_one(key, value)


@contextmanager
def sending(settings: Settings, topic: str, require: Callable[[str | None], None]) -> Iterator[Send]:
    """Open a producer for an existing topic; yield what sends one record after the other. Both raise as `send`.

    After a failure it sends no more: open it anew.
    """
    with _admin(settings) as admin:
        _describe(admin, settings, topic)
    with _answering(settings), event_topic.open_events(settings, topic, require) as log:
        yield partial(_send, settings, log, topic)


def _send(settings: Settings, log: EventLog, topic: str, key: bytes | None, value: bytes | None) -> Place:
    try:
        with _answering(settings):
            return _acknowledged(log, topic, Outgoing(0, uuid.uuid4(), key, value, ()))
    except RecordRefused:
        raise NotPossible(f"Kafka refuses the record for topic {topic}: it is larger than the topic allows.") from None
    except SendFailed as error:
        if TopicAuthorizationFailedError.__name__ in str(error):
            raise NotPossible(f"Kafka's ACLs do not let the service's user WRITE {topic}.") from None
        raise KafkaUnusable(f"Kafka has not acknowledged the record: whether {topic} has it is not known.") from None


def _acknowledged(log: EventLog, topic: str, record: Outgoing) -> Place:
    patience = Deadline(ACKNOWLEDGE_SECONDS)

    def hold() -> None:
        if patience.passed:
            raise SendFailed

    sent = log.send([(log.partition(record, len(log.epochs())), record)], lambda: None, hold)
    while not sent.positions:
        hold()
        time.sleep(LOOK_SECONDS)
        sent = log.late()
    ((partition, position),) = sent.positions.items()
    return Place(topic, partition, position.next_offset - 1)


def _read(reader: KafkaConsumer, ends: Mapping[TopicPartition, int], stuck: str) -> Iterator[Sequence[Any]]:
    """Yield what the assigned partitions hold up to these ends. Raises KafkaUnusable with the sentence `stuck`."""
    patience, unread = Deadline(READ_SECONDS), dict(ends)
    while unread := {
        place: end for place, end in unread.items() if reader.position(place, timeout_ms=REQUEST_MS) < end
    }:
        polled = reader.poll(timeout_ms=POLL_MS)
        if polled:
            patience = Deadline(READ_SECONDS)
        elif patience.passed:
            raise KafkaUnusable(stuck)
        yield from polled.values()


def _seek(reader: KafkaConsumer, topic: str, since: datetime) -> dict[TopicPartition, int]:
    """Go to the first records since then; return where each partition ends."""
    places = [TopicPartition(topic, partition) for partition in sorted(reader.partitions_for_topic(topic) or ())]
    begins = reader.beginning_offsets(places, timeout_ms=REQUEST_MS)
    ends: dict[TopicPartition, int] = reader.end_offsets(places, timeout_ms=REQUEST_MS)
    at = reader.offsets_for_times(dict.fromkeys(places, int(since.timestamp() * 1000)), timeout_ms=REQUEST_MS)
    reader.assign(places)
    for place in places:
        found = at[place].offset if at.get(place) else ends[place]
        if 0 < begins[place] == found:
            raise NotPossible(
                f"Partition {place.partition} of {topic} does not hold so much any more: its first records were "
                "deleted by retention. Take fewer --hours."
            )
        reader.seek(place, found)
    return ends


@contextmanager
def _admin(settings: Settings, ask_ms: int = REQUEST_MS) -> Iterator[KafkaAdminClient]:
    with _answering(settings), closing(clients.admin(settings, ask_ms)) as admin:
        yield admin


@contextmanager
def _answering(settings: Settings) -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        servers, reason = ", ".join(settings.bootstrap_servers), name_of(error)
        if isinstance(error, ClientRefused):
            raise KafkaUnusable(f"The broker at {servers} does not take the client: {reason}.") from None
        raise KafkaUnusable(f"The broker at {servers} does not answer (KAFKA_BOOTSTRAP_SERVERS, {reason}).") from None


def _describe(admin: KafkaAdminClient, settings: Settings, topic: str) -> TopicView:
    described = described_topic(admin, topic)
    if described is None:
        raise KafkaUnusable(f"There is no topic {topic} at {', '.join(settings.bootstrap_servers)}.")
    return topic_view(described)


def _require_leaders(topic: TopicView, name: str) -> None:
    if topic.leaderless:
        places = listed(f"{name}/{number}" for number in topic.leaderless)
        raise KafkaUnusable(f"Kafka has no leader for {places}, so nothing is known of the log.")
