"""The topics: those that are missing are created, and a broker is asked for their settings, age and offsets.

Each function blocks for some seconds at the longest and raises KafkaError.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError
from kafka.protocol.consumer import OffsetSpec

from app.config.config import Settings
from app.kafka import clients
from app.kafka.quirks.connections import cluster_of
from app.models.records import NO_ID

CLUSTERS_DEFAULT = -1
NO_LEADER = -1
YOUNGER_MS = 3_000


class TopicsMissing(Exception):
    """A topic is not there and may not be made; the sentence names it."""


class SettingsNotTold(KafkaError):
    """The broker told no settings of a topic: without the right DESCRIBE_CONFIGS the answer is empty."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`begin`: the first offset in a log; `readable`: where it ends for readers of committed records; `end`: where it
    ends, which is later while a transaction is open."""

    begin: int
    readable: int
    end: int


def accept_any(cluster_id: str | None) -> None:
    """Say of no cluster that it is not ours."""


def ensure_topic(settings: Settings, topic: str, require: Callable[[str | None], None] = accept_any) -> uuid.UUID:
    """Create the topic if it is missing, and return its id (nil where the broker has none).

    `require` is called with the cluster's id before anything is made, and may raise. Raises TopicsMissing where
    creating is not allowed.
    """
    with closing(clients.admin(settings)) as admin:
        require(cluster_of(admin).get("cluster_id"))
        if topic not in admin.list_topics():
            _create(admin, topic, settings)
        (described,) = admin.describe_topics([topic])
        return topic_id_of(described)


def retention_seconds(settings: Settings, topic: str) -> float | None:
    """Return how long the topic can keep a record, None where that is for ever, not told, or no broker answers.

    A record goes with its segment, which may be one segment's time younger than its newest record.
    """
    try:
        found = _configs(settings, topic, ["cleanup.policy", "retention.ms", "segment.ms"])
    except KafkaError:
        return None
    if found.get("cleanup.policy") != "delete" or int(found["retention.ms"]) < 0:
        return None
    return (int(found["retention.ms"]) + int(found["segment.ms"])) / 1000


def is_compacted(settings: Settings, topic: str) -> bool:
    """Return whether the topic is compacted. Raises SettingsNotTold too, a KafkaError."""
    return "compact" in _configs(settings, topic, ["cleanup.policy"]).get("cleanup.policy", "")


def holds_only_younger(settings: Settings, topic: str, since: datetime) -> bool:
    """Tell whether the topic is missing, or no record that it ever had is older: then its cluster can be one that was
    known before and was made anew.

    In each partition the offset 0 is the next one, or is that of such a record: where records were deleted nothing is
    known of them.
    """
    with closing(clients.admin(settings, YOUNGER_MS)) as admin:
        described = described_topic(admin, topic)
        if described is None:
            return True
        places = [TopicPartition(topic, partition["partition_index"]) for partition in described["partitions"]]
        since_ms = int(since.timestamp() * 1000)
        ends, younger = (_offsets(admin, places, spec, YOUNGER_MS) for spec in (OffsetSpec.LATEST, since_ms))
    return all(ends[number] == 0 or younger.get(number) == 0 for number in ends)


def described_topic(admin: KafkaAdminClient, topic: str) -> Mapping[str, Any] | None:
    """Return what the broker says of a topic, None where there is none. A question about one topic may create it, so
    all are asked for."""
    return next((described for described in admin.describe_topics() if described["name"] == topic), None)


def topic_id_of(described: Mapping[str, Any]) -> uuid.UUID:
    """Return the id of a topic that the broker has described."""
    return uuid.UUID(str(described.get("topic_id") or NO_ID))


def bounds(admin: KafkaAdminClient, topic: str, partitions: Iterable[int], ask_ms: int) -> dict[int, Bounds]:
    """Return the bounds of these partitions' logs. Blocks up to three times `ask_ms` per leader, and as long for a
    partition without one."""
    places = [TopicPartition(topic, partition) for partition in partitions]
    begins = _offsets(admin, places, OffsetSpec.EARLIEST, ask_ms)
    ends = _offsets(admin, places, OffsetSpec.LATEST, ask_ms)
    # Last: what came meanwhile is no transaction.
    readable = _offsets(admin, places, OffsetSpec.LATEST, ask_ms, isolation="read_committed")
    return {each: Bounds(begins[each], readable[each], max(ends[each], readable[each])) for each in sorted(begins)}


def committed_offsets(admin: KafkaAdminClient, group: str, topic: str, partitions: Iterable[int]) -> dict[int, int]:
    """Return the group's offsets, where there are any."""
    places = [TopicPartition(topic, partition) for partition in partitions]
    found = admin.list_group_offsets({group: places}).get(group, {})
    return {place.partition: known.offset for place, known in found.items() if known.offset >= 0}


def _offsets(
    admin: KafkaAdminClient,
    places: Iterable[TopicPartition],
    spec: OffsetSpec | int,
    ask_ms: int,
    isolation: str = "read_uncommitted",
) -> dict[int, int]:
    found = admin.list_partition_offsets(dict.fromkeys(places, spec), isolation_level=isolation, timeout_ms=ask_ms)
    return {place.partition: known.offset for place, known in found.items()}


def _configs(settings: Settings, topic: str, names: list[str]) -> dict[str, str]:
    with closing(clients.admin(settings)) as admin:
        asked = ConfigResource(ConfigResourceType.TOPIC, topic, names)
        described = admin.describe_configs([asked], config_filter="all")
    found = described.get("topic", {}).get(topic)
    if not found:  # kafka-python 3.0.12 leaves the error of the answer out
        raise SettingsNotTold(f"no settings of {topic} are told: DESCRIBE_CONFIGS may be missing")
    return {name: config["value"] for name, config in found.items()}


def _create(admin: KafkaAdminClient, topic: str, settings: Settings) -> None:
    options: dict[str, Any] = {"num_partitions": settings.topic_partitions}
    options["replication_factor"] = settings.topic_replication or CLUSTERS_DEFAULT
    if topic == settings.dead_letter_topic:
        options["configs"] = {"max.message.bytes": str(clients.DEAD_LETTER_BYTES)}
    try:
        admin.create_topics({topic: options}, wait_for_metadata=True)
    except TopicAlreadyExistsError:
        return  # another instance was faster
    except KafkaError as error:
        raise TopicsMissing(f"Topic {topic} is missing and cannot be created: {type(error).__name__}") from error
