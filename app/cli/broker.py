"""What the commands ask of Kafka: how far a topic and a group are, and one record to be sent. Never joins the group."""

import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError
from kafka.protocol.consumer import OffsetSpec

from app.cli.output import Failure
from app.config.config import Settings
from app.services import event_log
from app.services.relay_ports import Outgoing, RecordRefused, SendFailed
from app.utils.deadline import Deadline

BOOTSTRAP_MS = 4_000
REQUEST_MS = 5_000
ACKNOWLEDGE_SECONDS = 8.0
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Partition:
    """`begin`: the first offset in the log; `end`: the next one; `committed`: the group's, None before the first."""

    begin: int
    end: int
    committed: int | None


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is now. `id` is another one once it was made anew."""

    id: uuid.UUID
    partitions: Mapping[int, Partition]


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
        described = _describe(admin, settings, name)
        places = [TopicPartition(name, partition["partition_index"]) for partition in described["partitions"]]
        begins = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST), timeout_ms=REQUEST_MS)
        ends = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST), timeout_ms=REQUEST_MS)
        committed = admin.list_group_offsets({group: places}).get(group, {})
    partitions = {
        place.partition: Partition(begins[place].offset, ends[place].offset, _committed(committed.get(place)))
        for place in sorted(places)
    }
    return Topic(uuid.UUID(str(described.get("topic_id") or uuid.UUID(int=0))), partitions)


def send(settings: Settings, topic: str, key: bytes | None, value: bytes | None) -> Place:
    """Send one record to a topic that is there, wait for all acknowledgements (acks=all) and return its place.

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
        with event_log.open_events(settings, topic) as log:
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
        admin = KafkaAdminClient(
            bootstrap_servers=list(settings.bootstrap_servers),
            client_id=f"order-service-operator-{socket.gethostname()}-{os.getpid()}",
            bootstrap_timeout_ms=BOOTSTRAP_MS,
            request_timeout_ms=REQUEST_MS,
            reconnect_backoff_max_ms=1_000,
        )
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
