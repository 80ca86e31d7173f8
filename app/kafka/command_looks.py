"""Looks into a topic beside what is polled: where a partition begins and ends, and some records of it.

Each look asks for one partition, so that a partition without a leader does not stop the others.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, LeaderNotAvailableError, OffsetOutOfRangeError, for_code
from kafka.protocol.consumer import FetchRequest, IsolationLevel

from app.kafka.command_ports import PartitionAway
from app.kafka.quirks.connections import answer_of, metadata_of
from app.kafka.quirks.records import records_in
from app.kafka.topics import NO_LEADER
from app.models.records import Checkpoint, Record

LOOK_MS = 2_000
ONE_BATCH = 1  # bytes: the broker sends the whole first batch however little is asked for
LAST_VERSION_BY_NAME = 12  # of Fetch: later ones name topics by their ids
NO_SESSION = {"session_id": 0, "session_epoch": -1}

Found = TypeVar("Found")


def ask(partition: TopicPartition, look: Callable[[], Found | None]) -> Found:
    """Return what the look finds. Raises PartitionAway where it fails, or finds nothing."""
    try:
        found = look()
    except KafkaError as error:
        raise PartitionAway(_reason(error)) from error
    if found is None:
        raise PartitionAway(f"nothing is known of {partition}")
    return found


def bounds(consumer: KafkaConsumer, place: TopicPartition) -> tuple[int, int]:
    """Return the first offset in the log and the one after the last. Blocks up to twice LOOK_MS."""
    require_leader(consumer, place)
    begin: int = ask(place, lambda: consumer.beginning_offsets([place], timeout_ms=LOOK_MS).get(place))
    end: int = ask(place, lambda: consumer.end_offsets([place], timeout_ms=LOOK_MS).get(place))
    return begin, end


def first_since(consumer: KafkaConsumer, place: TopicPartition, timestamp: int, look_ms: int = LOOK_MS) -> int | None:
    """Return the offset of the first record that is not older, None without one. Blocks up to `look_ms`."""
    require_leader(consumer, place)
    found = ask(place, lambda: consumer.offsets_for_times({place: timestamp}, timeout_ms=look_ms))[place]
    return None if found is None or found.offset < 0 else found.offset


def checkpoint_at(consumer: KafkaConsumer, place: TopicPartition, offset: int) -> Checkpoint | None:
    """Return the checkpoint of the record at the offset, None where there is none. Blocks up to LOOK_MS.

    The request has no session, so the consumer's own fetches and positions stay as they are.
    """
    first = next(records_from(consumer, place, offset), None)
    return Checkpoint.of(first) if first is not None and first.offset == offset else None


def records_from(
    consumer: KafkaConsumer, place: TopicPartition, offset: int, most_bytes: int = ONE_BATCH, look_ms: int = LOOK_MS
) -> Iterator[Record]:
    """Yield some records from the offset on: the first batch, more of them up to `most_bytes`; none beyond the log.

    Asks one time. Blocks up to `look_ms`. Raises PartitionAway.
    """
    fetched = ask(place, lambda: _fetch(consumer, place, offset, most_bytes, look_ms))
    error = for_code(fetched.error_code)
    if error is OffsetOutOfRangeError:
        return
    if fetched.error_code:
        raise PartitionAway(error.__name__)
    yield from records_in(place, fetched.records or b"", offset)


def require_leader(consumer: KafkaConsumer, place: TopicPartition) -> None:
    """Raise PartitionAway at once where the metadata has no leader, and have the metadata asked for anew.

    kafka-python would wait for a leader until the time-out, partition after partition, while the others stand still.
    """
    cluster = metadata_of(consumer)
    if cluster.leader_for_partition(place) == NO_LEADER:
        cluster.request_update()
        raise PartitionAway(LeaderNotAvailableError.__name__)


def _fetch(consumer: KafkaConsumer, place: TopicPartition, offset: int, most_bytes: int, look_ms: int) -> Any:
    cluster = metadata_of(consumer)
    leader = cluster.leader_for_partition(place)
    if leader in (None, NO_LEADER):
        cluster.request_update()
        raise LeaderNotAvailableError
    partition = FetchRequest.FetchTopic.FetchPartition(
        partition=place.partition,
        current_leader_epoch=-1,
        fetch_offset=offset,
        last_fetched_epoch=-1,
        partition_max_bytes=most_bytes,
    )
    request = FetchRequest(
        max_wait_ms=0,
        min_bytes=0,
        max_bytes=most_bytes,
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        **NO_SESSION,
        topics=[FetchRequest.FetchTopic(topic=place.topic, partitions=[partition])],
        forgotten_topics_data=[],
        rack_id="",
        max_version=LAST_VERSION_BY_NAME,
    )
    for topic in answer_of(consumer, leader, request, look_ms).responses:
        for fetched in topic.partitions:
            return fetched
    return None


def _reason(error: KafkaError) -> str:
    told, name = str(error), type(error).__name__
    return (told if told.startswith(name) else f"{name}: {told}".strip(": "))[:200]
