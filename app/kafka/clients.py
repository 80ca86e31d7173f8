"""Kafka clients with the settings that proved right; each is built in the thread that uses it, never at import."""

import os
import socket
from collections.abc import Callable
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError

from app.config.config import Settings
from app.kafka import security
from app.kafka.client_errors import KafkaReasons
from app.kafka.quirks.connections import Client, open_client
from app.kafka.quirks.group import heed_refused_heartbeats
from app.kafka.quirks.producer import TombstoneOrBytes
from app.kafka.quirks.records import get_past_any_record
from app.kafka.security import ClientRefused
from app.utils.limits import PRODUCER_DELIVERY_MS, PRODUCER_REQUEST_MS

OUR_CLIENT_ID = "order-service-"
BOOTSTRAP_MS = 5_000
GROUP_METADATA_MS = 5_000  # so soon new partitions are seen, and that the commands' topic is gone
READ_BACK_BYTES = 4 * 1024 * 1024
DEAD_LETTER_BYTES = 16 * 1024 * 1024  # a dead letter is as large as somebody else's record


def producer(settings: Settings) -> KafkaProducer:
    """Return an idempotent producer that waits for all acknowledgements. Blocks up to 5 s; raises KafkaError."""
    return _open(
        KafkaProducer,
        settings,
        allow_auto_create_topics=False,
        enable_idempotence=True,
        acks="all",
        linger_ms=0,
        batch_size=262_144,
        delivery_timeout_ms=PRODUCER_DELIVERY_MS,
        max_block_ms=5_000,
        max_request_size=DEAD_LETTER_BYTES,
        metadata_max_age_ms=GROUP_METADATA_MS,
        metrics_enabled=False,
        value_serializer=TombstoneOrBytes(),
    )


def group_consumer(settings: Settings) -> KafkaConsumer:
    """Return a member of the commands' group. Blocks up to 5 s; raises KafkaError."""
    consumer = _consumer(
        settings,
        settings.commands_topic,
        group_id=settings.group_id,
        max_poll_records=settings.consumer_batch,
        session_timeout_ms=settings.session_timeout_ms,
        metadata_max_age_ms=GROUP_METADATA_MS,
        heartbeat_interval_ms=max(settings.session_timeout_ms // 4, 300),
        isolation_level="read_committed",
    )
    get_past_any_record(consumer)
    heed_refused_heartbeats(consumer)
    return consumer


def reader(settings: Settings) -> KafkaConsumer:
    """Return a consumer without a group, for read-back. Blocks up to 5 s; raises KafkaError."""
    consumer = _consumer(settings, max_partition_fetch_bytes=READ_BACK_BYTES)
    get_past_any_record(consumer)
    return consumer


def quick_reader(settings: Settings, ask_ms: int) -> KafkaConsumer:
    """Return a consumer without a group that waits `ask_ms` for a connection and for an answer. Blocks as long; raises
    KafkaError."""
    limits = {"bootstrap_timeout_ms": ask_ms, "request_timeout_ms": ask_ms, "fetch_max_wait_ms": ask_ms // 10}
    consumer = _consumer(settings, **limits)
    get_past_any_record(consumer)
    return consumer


def committed_reader(settings: Settings) -> KafkaConsumer:
    """Return a consumer without a group that reads one committed record. Blocks up to 5 s; raises KafkaError."""
    return _consumer(settings, isolation_level="read_committed", max_poll_records=1)


def admin(settings: Settings, ask_ms: int | None = None) -> KafkaAdminClient:
    """Return an admin client that waits `ask_ms` for a connection and for an answer, by default as long as the other
    clients. Blocks as long; raises KafkaError."""
    limits = {} if ask_ms is None else {"bootstrap_timeout_ms": ask_ms, "request_timeout_ms": ask_ms}
    return _open(KafkaAdminClient, settings, **limits)


def _consumer(settings: Settings, *topics: str, **options: Any) -> KafkaConsumer:
    return _open(
        KafkaConsumer,
        settings,
        *topics,
        allow_auto_create_topics=False,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        metrics_enabled=False,
        **options,
    )


def client_id(host: str, pid: int) -> str:
    """Return the name under which a process of ours meets brokers, and is a member of the group."""
    return f"{OUR_CLIENT_ID}{host}-{pid}"


def _open(make: Callable[..., Client], settings: Settings, *topics: str, **options: Any) -> Client:
    """kafka-python only says that it found no broker; why is in its log."""
    common = {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "client_id": client_id(socket.gethostname(), os.getpid()),
        "bootstrap_timeout_ms": BOOTSTRAP_MS,
        "request_timeout_ms": PRODUCER_REQUEST_MS,
        "metadata_max_age_ms": 60_000,
        "reconnect_backoff_max_ms": 1_000,
    }
    reasons = KafkaReasons()
    with reasons.listening():
        try:
            return open_client(make, *topics, **common | security.options(settings) | options)
        except ClientRefused:
            raise
        except KafkaError as error:
            if (refusal := reasons.refusal()) is None:
                raise
            raise ClientRefused(refusal) from error
