"""Kafka clients with the settings that proved right; each is built in the thread that uses it, never at import."""

import os
import socket as sockets
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket
from kafka.serializer import Serializer

from app.config.config import Settings
from app.kafka.quirks import get_past_any_record
from app.utils.limits import PRODUCER_DELIVERY_MS, PRODUCER_REQUEST_MS

OUR_CLIENT_ID = "order-service-"
BOOTSTRAP_MS = 5_000
GROUP_METADATA_MS = 5_000  # so soon new partitions are seen, and that the commands' topic is gone
CLUSTERS_DEFAULT = -1
READ_BACK_BYTES = 4 * 1024 * 1024
DEAD_LETTER_BYTES = 16 * 1024 * 1024  # a dead letter is as large as somebody else's record

Client = TypeVar("Client")

TOMBSTONE = object()  # a value of None: the producer refuses one without a key, the serializer below makes it


class _ClosingSocket(KafkaNetSocket):
    """Direct connections whose socket is closed when they fail: kafka-python 3.0.12 leaves that to the garbage
    collector, which can take minutes, and by then a broker that is away has cost hundreds of descriptors.

    Its clients choose the class by the scheme of `proxy_url`.
    """

    SCHEMES = ("direct",)
    _made: sockets.socket | None = None

    def socket(self, *address: Any) -> sockets.socket:
        """Remember the socket that is made."""
        self._made = super().socket(*address)
        return self._made

    async def connect(self, *arguments: Any, **options: Any) -> sockets.socket:
        """Return the connected socket. Raises as the library does."""
        connected = False
        try:
            made: sockets.socket = await super().connect(*arguments, **options)
            connected = True
            return made
        finally:
            if self._made is not None and not connected:
                self._made.close()


class TopicsMissing(Exception):
    """A topic is not there and may not be made; the sentence names it."""


def _common(settings: Settings) -> dict[str, Any]:
    return {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "client_id": f"{OUR_CLIENT_ID}{sockets.gethostname()}-{os.getpid()}",
        "bootstrap_timeout_ms": BOOTSTRAP_MS,
        "request_timeout_ms": PRODUCER_REQUEST_MS,
        "metadata_max_age_ms": 60_000,
        "reconnect_backoff_max_ms": 1_000,
        "proxy_url": f"{_ClosingSocket.SCHEMES[0]}://",
    }


def _open(make: Callable[..., Client], settings: Settings, *topics: str, **options: Any) -> Client:
    """Build a client. Where its constructor raises, what it has opened is closed: kafka-python 3.0.12 leaves a thread
    and three descriptors behind with each attempt that found no broker."""
    with ExitStack() as opened:

        def connect(**config: Any) -> KafkaNetClient:
            wire = KafkaNetClient(**config)
            # An admin client has no such option, and asks for the leaders of partitions in the same way.
            wire._manager.cluster.config["allow_auto_create_topics"] = False
            opened.callback(wire.close)
            return wire

        client = make(*topics, kafka_client=connect, **{**_common(settings), **options})
        opened.pop_all()
        return client


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
        value_serializer=_TombstoneOrBytes(),
    )


def group_consumer(settings: Settings) -> KafkaConsumer:
    """Return a member of the commands' group. Blocks up to 5 s; raises KafkaError."""
    consumer = _open(
        KafkaConsumer,
        settings,
        settings.commands_topic,
        allow_auto_create_topics=False,
        group_id=settings.group_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=settings.consumer_batch,
        session_timeout_ms=settings.session_timeout_ms,
        metadata_max_age_ms=GROUP_METADATA_MS,
        heartbeat_interval_ms=max(settings.session_timeout_ms // 4, 300),
        isolation_level="read_committed",
        metrics_enabled=False,
    )
    get_past_any_record(consumer)
    return consumer


def reader(settings: Settings) -> KafkaConsumer:
    """Return a consumer without a group, for read-back. Blocks up to 5 s; raises KafkaError."""
    consumer = _open(
        KafkaConsumer,
        settings,
        allow_auto_create_topics=False,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=READ_BACK_BYTES,
        metrics_enabled=False,
    )
    get_past_any_record(consumer)
    return consumer


def committed_reader(settings: Settings) -> KafkaConsumer:
    """Return a consumer without a group that reads one committed record. Blocks up to 5 s; raises KafkaError."""
    return _open(
        KafkaConsumer,
        settings,
        allow_auto_create_topics=False,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_poll_records=1,
        metrics_enabled=False,
    )


def admin(settings: Settings, ask_ms: int) -> KafkaAdminClient:
    """Return an admin client that waits `ask_ms` for an answer. Blocks as long; raises KafkaError."""
    return _open(KafkaAdminClient, settings, bootstrap_timeout_ms=ask_ms, request_timeout_ms=ask_ms)


def cluster_of(admin: KafkaAdminClient) -> Mapping[str, Any]:
    """Return the cluster's `cluster_id` (None before Kafka 0.10.1) and `brokers`. Blocks up to some seconds; raises
    KafkaError.

    By metadata, which every broker answers: kafka-python 3.0.12's `describe_cluster()` raises KeyError on the answers
    of Kafka 2.8 to 3.6.
    """
    found: dict[str, Any] = admin._manager.run(admin._get_cluster_metadata, [])
    return found


def accept_any(cluster_id: str | None) -> None:
    """Say of no cluster that it is not ours."""


def ensure_topics(
    settings: Settings, topics: Sequence[str], require: Callable[[str | None], None] = accept_any
) -> dict[str, uuid.UUID]:
    """Create the topics that are missing and return the id of each (nil where the broker has none).

    `require` is called with the cluster's id before anything is made. Blocks up to some seconds. Raises what it
    raises, TopicsMissing with a sentence where creating is not allowed, and KafkaError.
    """
    admin = _open(KafkaAdminClient, settings)
    try:
        require(cluster_of(admin).get("cluster_id"))
        missing = sorted(set(topics) - set(admin.list_topics()))
        for topic in missing:
            _create(admin, topic, settings)
        described = {topic["name"]: topic for topic in admin.describe_topics(list(topics))}
        return {topic: uuid.UUID(str(described[topic].get("topic_id") or uuid.UUID(int=0))) for topic in topics}
    finally:
        admin.close()


class SettingsNotTold(KafkaError):
    """The broker told no settings of a topic: without the right DESCRIBE_CONFIGS the answer is empty."""


def retention_seconds(settings: Settings, topic: str) -> float | None:
    """Return how long the topic can keep a record, None where that is for ever or not told.

    A record goes with its segment, which may be one segment's time younger than its newest record. Blocks up to some
    seconds; raises KafkaError.
    """
    try:
        found = _configs(settings, topic, ["cleanup.policy", "retention.ms", "segment.ms"])
    except SettingsNotTold:
        return None
    if found.get("cleanup.policy") != "delete" or int(found["retention.ms"]) < 0:
        return None
    return (int(found["retention.ms"]) + int(found["segment.ms"])) / 1000


def is_compacted(settings: Settings, topic: str) -> bool:
    """Return whether the topic is compacted. Blocks up to some seconds; raises KafkaError, SettingsNotTold too."""
    return "compact" in _configs(settings, topic, ["cleanup.policy"]).get("cleanup.policy", "")


def _configs(settings: Settings, topic: str, names: list[str]) -> dict[str, str]:
    admin = _open(KafkaAdminClient, settings)
    try:
        described = admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, names)], config_filter="all"
        )
    finally:
        admin.close()
    found = described.get("topic", {}).get(topic)
    if not found:  # kafka-python 3.0.12 leaves the error of the answer out
        raise SettingsNotTold(f"no settings of {topic} are told: DESCRIBE_CONFIGS may be missing")
    return {name: config["value"] for name, config in found.items()}


def _create(admin: KafkaAdminClient, topic: str, settings: Settings) -> None:
    options: dict[str, Any] = {"num_partitions": settings.topic_partitions}
    options["replication_factor"] = settings.topic_replication or CLUSTERS_DEFAULT
    if topic == settings.dead_letter_topic:
        options["configs"] = {"max.message.bytes": str(DEAD_LETTER_BYTES)}
    try:
        admin.create_topics({topic: options}, wait_for_metadata=True)
    except TopicAlreadyExistsError:
        return  # another instance was faster
    except KafkaError as error:
        raise TopicsMissing(f"Topic {topic} is missing and cannot be created: {type(error).__name__}") from error


class _TombstoneOrBytes(Serializer):
    """A plain function would serve too, with a DeprecationWarning."""

    def serialize(self, topic: str, headers: Sequence[tuple[str, bytes]], data: Any) -> bytes | None:
        """Return the bytes as they are, None for TOMBSTONE."""
        return None if data is TOMBSTONE else data
