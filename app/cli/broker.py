"""What the commands ask of Kafka: how far a topic and a group are, and one record to be sent. Never joins the group."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError
from kafka.protocol.consumer import OffsetSpec

from app.cli.output import Failure
from app.config.config import Settings
from app.kafka import clients, event_topic
from app.kafka.clients import accept_any
from app.kafka.ports import RecordRefused, SendFailed
from app.models.outgoing import Outgoing
from app.services.known_cluster import holds_only_younger
from app.utils.deadline import Deadline

REQUEST_MS = 5_000
ACKNOWLEDGE_SECONDS = 8.0
LOOK_SECONDS = 0.1
READ_SECONDS = 10.0  # without a record


@dataclass(frozen=True, slots=True)
class Partition:
    """`begin`: the first offset in the log; `end`: the next one; `committed`: the group's, None before the first;
    `readable`: the end for who reads committed records, below `end` while a transaction is open."""

    begin: int
    end: int
    committed: int | None
    readable: int


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is now. `id` is another one once it was made anew."""

    id: uuid.UUID
    partitions: Mapping[int, Partition]
    cluster_id: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is in the log."""

    topic: str
    partition: int
    offset: int


def commands_topic(settings: Settings) -> Topic:
    """Return how far the commands topic and our group are. Blocks up to some seconds; raises Failure."""
    name, group = settings.commands_topic, settings.group_id
    with _admin(settings) as admin:
        cluster = clients.cluster_of(admin).get("cluster_id") or ""
        described = _describe(admin, settings, name)
        places = [TopicPartition(name, partition["partition_index"]) for partition in described["partitions"]]
        begins = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST), timeout_ms=REQUEST_MS)
        ends = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST), timeout_ms=REQUEST_MS)
        readable = admin.list_partition_offsets(
            dict.fromkeys(places, OffsetSpec.LATEST), isolation_level="read_committed", timeout_ms=REQUEST_MS
        )
        committed = admin.list_group_offsets({group: places}).get(group, {})
    partitions = {
        place.partition: Partition(
            begins[place].offset, ends[place].offset, _committed(committed.get(place)), readable[place].offset
        )
        for place in sorted(places)
    }
    return Topic(uuid.UUID(str(described.get("topic_id") or uuid.UUID(int=0))), partitions, cluster)


def cluster_id(settings: Settings) -> str:
    """Return the id of the cluster at our addresses. Blocks up to some seconds; raises Failure."""
    with _admin(settings) as admin:
        found: str = clients.cluster_of(admin).get("cluster_id") or ""
    return found


def is_made_anew(settings: Settings, seen_at: datetime) -> bool:
    """Tell whether the cluster at our addresses can be the one that was last seen then, made anew. Raises Failure."""
    with _admin(settings) as admin:
        return holds_only_younger(admin, settings.commands_topic, seen_at)


def records(settings: Settings, topic: str, partition: int, begin: int, end: int) -> Iterator[Any]:
    """Yield the records of a partition from `begin` up to before `end`. Raises Failure where the log stands still."""
    place, patience = TopicPartition(topic, partition), Deadline(READ_SECONDS)
    try:
        with closing(clients.reader(settings)) as reader:
            reader.assign([place])
            reader.seek(place, begin)
            while reader.position(place, timeout_ms=REQUEST_MS) < end:
                polled = [it for polled in reader.poll(timeout_ms=500).values() for it in polled]
                if polled:
                    patience = Deadline(READ_SECONDS)
                elif patience.passed:
                    raise Failure(f"The log of {topic}/{partition} cannot be read.")
                yield from (record for record in polled if record.offset < end)
    except KafkaError as error:
        raise _away(settings, error) from None


def send(
    settings: Settings,
    topic: str,
    key: bytes | None,
    value: bytes | None,
    require: Callable[[str | None], None] = accept_any,
) -> Place:
    """Send one record to a topic that is there, wait for all acknowledgements (acks=all) and return its place.

    `require` is called with the cluster's id before.

    `value` None is a tombstone. Blocks up to some seconds; raises Failure, which says so where the outcome is open.
    """
    with _admin(settings) as admin:
        _describe(admin, settings, topic)
    patience = Deadline(ACKNOWLEDGE_SECONDS)

    def hold() -> None:
        if patience.passed:
            raise SendFailed

    record = Outgoing(0, uuid.uuid4(), key, value, ())
    try:
        with event_topic.open_events(settings, topic, require) as log:
            sent = log.send([(log.partition(record, log.partitions()), record)], lambda: None, hold)
            while not sent.positions:
                hold()
                time.sleep(LOOK_SECONDS)
                sent = log.late()
            ((partition, position),) = sent.positions.items()
    except RecordRefused:
        raise Failure(f"Kafka refuses the record for topic {topic}: it is larger than the topic allows.") from None
    except SendFailed:
        raise Failure(f"Kafka has not acknowledged the record: whether {topic} has it is not known.") from None
    except KafkaError as error:
        raise _away(settings, error) from None
    return Place(topic, partition, position.next_offset - 1)


@contextmanager
def _admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    try:
        admin = clients.admin(settings, REQUEST_MS)
        try:
            yield admin
        finally:
            admin.close()
    except KafkaError as error:
        raise _away(settings, error) from None


def _describe(admin: KafkaAdminClient, settings: Settings, topic: str) -> dict[str, Any]:
    # All topics are asked for: asking for one may create it.
    for described in admin.describe_topics():
        if described["name"] == topic:
            found: dict[str, Any] = described
            return found
    raise Failure(f"There is no topic {topic} at {', '.join(settings.bootstrap_servers)}.")


def _committed(found: object) -> int | None:
    offset = getattr(found, "offset", -1)
    return None if offset < 0 else offset


def _away(settings: Settings, error: KafkaError) -> Failure:
    servers = ", ".join(settings.bootstrap_servers)
    return Failure(f"The broker at {servers} does not answer (KAFKA_BOOTSTRAP_SERVERS, {type(error).__name__}).")
