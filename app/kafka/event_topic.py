"""The topic of one lane as kafka-python sees it: the port EventLog of the relay."""

import contextlib
import functools
import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from kafka.errors import KafkaError
from kafka.partitioner.default import murmur2

from app.config.config import Settings
from app.kafka import clients
from app.kafka.event_reader import EventReader
from app.kafka.quirks.producer import LONGEST_KEY, GatedProducer, failure_of
from app.kafka.record_spans import RecordSpans
from app.kafka.relay_ports import EventLog, SendFailed
from app.kafka.topics import accept_any, ensure_topic
from app.models.outgoing import LogEnd, Outgoing, Portion, Sent
from app.models.records import NO_ID, LogPosition, is_other_topic
from app.utils.limits import ACKNOWLEDGE_SECONDS, LEASE_RENEW_SECONDS
from app.utils.logging import about
from app.wire.traces import TRACEPARENT

log = logging.getLogger(__name__)

LATE_SECONDS = 3.0  # after which the records of other partitions do not wait any longer
GONE_SECONDS = 3.0  # a broker that has just started may not know its topics yet
KEYS_REMEMBERED = 2_000  # half a MiB

_Appended = tuple[int, Outgoing, Any]
"""A record that is with the producer: its partition, the record, the future of its place."""


class KafkaEventLog(EventLog):
    """One producer, and a reader while something is read back. The port EventLog describes the methods."""

    def __init__(self, settings: Settings, topic: str, topic_id: uuid.UUID, producer: GatedProducer) -> None:
        self.topic_id = topic_id
        self._gone_since: float | None = None
        self._settings = settings
        self._topic = topic
        self._producer = producer
        self._reader: EventReader | None = None
        self._late: list[_Appended] = []
        self._late_since = 0.0
        self._spans = RecordSpans(topic)

    def partition(self, record: Outgoing, count: int) -> int:
        """Return the default partitioner's choice [K2]; a record without a key has one too, and always the same."""
        key = record.key
        return record.event_id.int % count if key is None else partition_of(key, count)

    def epochs(self) -> Mapping[int, int]:
        self._require_topic()
        return {partition: self._producer.epoch(partition) for partition in range(self._producer.partitions() or 0)}

    def leader_ends(self, partitions: Collection[int]) -> Mapping[int, LogEnd | str]:
        return self._open_reader().leader_ends(partitions)

    def read(self, places: Mapping[int, int]) -> Mapping[int, Portion]:
        return self._open_reader().read(places)

    def done_reading(self) -> None:
        """The producer may know less of the cluster than the reader did, so it asks anew."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
            self._producer.refresh()

    def send(
        self, records: Sequence[tuple[int, Outgoing]], require_valid: Callable[[], None], renew: Callable[[], None]
    ) -> Sent:
        """All leave together. The wait for slow partitions takes LATE_SECONDS.

        The producer's thread calls `require_valid` before each request that leaves, repetitions included.
        """
        producer, records = self._producer, self._spans.begin(records)
        producer.shut()
        appended = [(partition, record, producer.append(partition, record)) for partition, record in records]
        for _, record, future in appended:
            future.add_errback(producer.fail, record)
        producer.open(require_valid)
        began = time.monotonic()
        for _, _, future in appended:
            while not future.is_done and time.monotonic() < began + LATE_SECONDS:
                if producer.failure is not None:
                    raise producer.failure
                with contextlib.suppress(KafkaError):  # the wait ended, or the send failed: the future tells which
                    future.get(timeout=LEASE_RENEW_SECONDS)
                renew()
        if not self._late:
            self._late_since = began
        self._late += appended
        return self.late()

    def late(self) -> Sent:
        if self._producer.failure is not None:
            raise self._producer.failure
        self._require_topic()
        done: list[_Appended] = []
        late: list[_Appended] = []
        left: dict[int, list[Outgoing]] = {partition: [] for partition, _, _ in self._late}
        for appended in self._late:
            partition, record, future = appended
            if left[partition] or not future.is_done:  # behind a record that is not acknowledged, all are late
                left[partition].append(record)
                late.append(appended)
            else:
                done.append(appended)
        self._late = late
        if self._late and time.monotonic() > self._late_since + ACKNOWLEDGE_SECONDS:
            raise SendFailed("Kafka acknowledged too late")
        offsets = self._offsets(done)
        self._spans.acknowledged((record, future.value.offset) for _, record, future in done)
        positions = {partition: LogPosition(self.topic_id, found[-1] + 1) for partition, found in offsets.items()}
        begins = {partition: found[0] for partition, found in offsets.items()}
        return Sent([record for _, record, _ in done], positions, left, begins)

    def close(self) -> None:
        """Close what is open for reading, and the spans; the producer belongs to `open_events`."""
        self._spans.close()
        if self._reader is not None:
            self._reader.close()

    def _require_topic(self) -> None:
        """Raise SendFailed if the topic is gone or another one: opening it makes it anew, or reads it back.

        The producer would wait for its own time-out with each record, and with those behind it.
        """
        if self._producer.partitions() is None:
            self._gone_since = self._gone_since or time.monotonic()
            if time.monotonic() > self._gone_since + GONE_SECONDS:
                raise SendFailed(f"topic {self._topic} is not there any more")
            return
        self._gone_since = None
        if is_other_topic(self._producer.topic_id() or NO_ID, self.topic_id):
            raise SendFailed(f"topic {self._topic} was made anew")

    def _offsets(self, done: Sequence[_Appended]) -> dict[int, list[int]]:
        """Return the offsets of the records, as far as they are known, by partition. Raises SendFailed."""
        offsets: dict[int, list[int]] = {}
        for partition, record, future in done:
            if future.failed():
                raise failure_of(record, future.exception)
            offset = future.value.offset
            if log.isEnabledFor(logging.DEBUG):
                headers = {name: value.decode() for name, value in record.headers}
                about(headers.get("correlation_id"), headers.get(TRACEPARENT))
                log.debug("sent %s to %s/%s at %s", record.event_id, self._topic, partition, offset)
            if offset >= 0:  # a repetition that the broker knew already has none
                offsets.setdefault(partition, []).append(offset)
        return offsets

    def _open_reader(self) -> EventReader:
        if self._reader is None:
            self._reader = EventReader(self._settings, self._topic, self.topic_id)
        return self._reader


@contextlib.contextmanager
def open_events(
    settings: Settings, topic: str, require: Callable[[str | None], None] = accept_any
) -> Iterator[KafkaEventLog]:
    """Open a producer for the topic, and discard it at the end. Raises KafkaError, TopicsMissing, and as `require`."""
    topic_id = ensure_topic(settings, topic, require)
    producer = GatedProducer(clients.producer(settings), topic)
    try:
        producer.follow_topic()
        with contextlib.closing(KafkaEventLog(settings, topic, topic_id, producer)) as events:
            yield events
    finally:
        producer.discard()


def partition_of(key: bytes, count: int) -> int:
    """Return the default partitioner's choice among so many partitions [K2]."""
    return (_hash(key) if len(key) <= LONGEST_KEY else _hash.__wrapped__(key)) % count


@functools.lru_cache(maxsize=KEYS_REMEMBERED)
def _hash(key: bytes) -> int:
    """Return the hash by which Kafka's default partitioner chooses.

    What it does: kafka-python's murmur2 is pure Python, a tenth of the cost of a send, so hashes are remembered.
    What it bought: 11 us of a send if the key was seen before; nothing for new orders (2026-11-22).
    Fails without it: test_a_key_is_hashed_once.
    """
    hashed: int = murmur2(key)
    return hashed & 0x7FFFFFFF
