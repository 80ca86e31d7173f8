"""Kafka clients with the settings that proved right; each is built in the thread that uses it, never at import."""

import os
import socket
import uuid
from collections.abc import Sequence
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError, TopicAlreadyExistsError
from kafka.serializer import Serializer

from app.config.config import Settings

BOOTSTRAP_MS = 5_000
REQUEST_MS = 10_000
PARTITIONS = 3
DEAD_LETTER_BYTES = 16 * 1024 * 1024  # a dead letter is as large as somebody else's record

TOMBSTONE = object()  # a value of None: the producer refuses one without a key, the serializer below makes it


class TopicsMissing(Exception):
    """A topic is not there and may not be made; the sentence names it."""


def _common(settings: Settings) -> dict[str, Any]:
    return {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "client_id": f"order-service-{socket.gethostname()}-{os.getpid()}",
        "bootstrap_timeout_ms": BOOTSTRAP_MS,
        "request_timeout_ms": REQUEST_MS,
        "metadata_max_age_ms": 60_000,
        "reconnect_backoff_max_ms": 1_000,
    }


def producer(settings: Settings) -> KafkaProducer:
    """Return an idempotent producer that waits for all acknowledgements. Blocks up to 5 s; raises KafkaError."""
    return KafkaProducer(
        **_common(settings),
        enable_idempotence=True,
        acks="all",
        linger_ms=0,
        batch_size=262_144,
        delivery_timeout_ms=30_000,
        max_block_ms=5_000,
        max_request_size=DEAD_LETTER_BYTES,
        metrics_enabled=False,
        value_serializer=_TombstoneOrBytes(),
    )


def group_consumer(settings: Settings) -> KafkaConsumer:
    """Return a member of the commands' group. Blocks up to 5 s; raises KafkaError."""
    return KafkaConsumer(
        settings.commands_topic,
        **_common(settings),
        group_id=settings.group_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=settings.consumer_batch,
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=max(settings.session_timeout_ms // 4, 300),
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 * 1024 * 1024,
        metrics_enabled=False,
    )


def reader(settings: Settings) -> KafkaConsumer:
    """Return a consumer without a group, for read-back. Blocks up to 5 s; raises KafkaError."""
    return KafkaConsumer(
        **_common(settings), enable_auto_commit=False, auto_offset_reset="earliest", metrics_enabled=False
    )


def ensure_topics(settings: Settings, topics: Sequence[str]) -> dict[str, uuid.UUID]:
    """Create the topics that are missing and return the id of each (nil where the broker has none).

    Blocks up to some seconds. Raises TopicsMissing with a sentence where creating is not allowed, and KafkaError.
    """
    admin = KafkaAdminClient(**_common(settings))
    try:
        missing = sorted(set(topics) - set(admin.list_topics()))
        for topic in missing:
            _create(admin, topic, settings)
        described = {topic["name"]: topic for topic in admin.describe_topics(list(topics))}
        return {topic: uuid.UUID(str(described[topic].get("topic_id") or uuid.UUID(int=0))) for topic in topics}
    finally:
        admin.close()


def _create(admin: KafkaAdminClient, topic: str, settings: Settings) -> None:
    options: dict[str, Any] = {"num_partitions": PARTITIONS}
    if topic == settings.dead_letter_topic:
        options["configs"] = {"max.message.bytes": str(DEAD_LETTER_BYTES)}
    try:
        admin.create_topics({topic: options}, wait_for_metadata=True)
    except TopicAlreadyExistsError:
        return  # another instance was faster
    except KafkaError as error:
        raise TopicsMissing(f"Topic {topic} is missing and cannot be created: {type(error).__name__}") from error


class _TombstoneOrBytes(Serializer):  # type: ignore[misc]
    """A plain function would serve too, with a DeprecationWarning."""

    def serialize(self, topic: str, headers: Sequence[tuple[str, bytes]], data: Any) -> bytes | None:
        """Return the bytes as they are, None for TOMBSTONE."""
        return None if data is TOMBSTONE else data
