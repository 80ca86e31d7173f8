"""The topic of one lane as kafka-python sees it: the port EventLog of the relay."""

import contextlib
import functools
import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from kafka import KafkaProducer, TopicPartition
from kafka.errors import (
    InvalidRecordError,
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from kafka.partitioner.default import murmur2

from app.config.config import Settings
from app.kafka import clients
from app.kafka.clients import TOMBSTONE
from app.kafka.event_reader import EventReader
from app.kafka.log_check import NO_ID, is_other_topic
from app.kafka.ports import RecordRefused, SendFailed
from app.models.outgoing import LeaseLost, LogEnd, Outgoing, Portion, Sent
from app.models.records import LogPosition
from app.utils.limits import ACKNOWLEDGE_SECONDS, LEASE_RENEW_SECONDS
from app.utils.logging import correlation_id

log = logging.getLogger(__name__)

LATE_SECONDS = 3.0  # after which those of the other partitions need not wait any longer
GONE_SECONDS = 3.0  # a broker that has just started may not know its topics yet
SHUT_MS = 100.0
END_SECONDS = 5.0
KEYS_REMEMBERED = 2_000  # orders whose partition is known: half a MiB
LONGEST_KEY = 255  # of an order; a dead letter's is its sender's, and may have a MiB
LONGEST_VALUE = 1024 * 1024  # far below what a producer takes

_NEVER = (MessageSizeTooLargeError, RecordListTooLargeError)

_Appended = tuple[int, Outgoing, Any]
"""A record that is with the producer: its partition, itself, the future of its place."""


class KafkaEventLog:
    """The topic of one lane: one producer, and a reader while something is read back."""

    def __init__(self, settings: Settings, topic: str, topic_id: uuid.UUID, producer: KafkaProducer) -> None:
        self.topic_id = topic_id
        self._gone_since: float | None = None
        self._settings = settings
        self._topic = topic
        self._producer = producer
        self._gate = _Gate(producer)
        self._reader: EventReader | None = None
        self._late: list[_Appended] = []
        self._late_since = 0.0

    def partitions(self) -> int:
        """Return how many partitions the topic has, as last heard."""
        return len(self._producer._metadata.partitions_for_topic(self._topic) or ())

    def partition(self, record: Outgoing, count: int) -> int:
        """Return the default partitioner's choice [K2]; a record without a key has one too, and always the same.

        The hash in pure Python is a tenth of the cost of a send, so it is kept.
        """
        key = record.key
        if key is None:
            return record.event_id.int % count
        return (_hash(key) if len(key) <= LONGEST_KEY else _hash.__wrapped__(key)) % count

    def epochs(self) -> Mapping[int, int]:
        """Return the leader's epoch of each partition as the producer last heard of it; -1 where it has none."""
        metadata = self._producer._metadata
        places = (TopicPartition(self._topic, partition) for partition in range(self.partitions()))
        return {place.partition: metadata.leader_epoch_for_partition(place) or 0 for place in places}

    def leader_ends(self, partitions: Collection[int]) -> Mapping[int, LogEnd | str]:
        """Return where these partitions' leaders end, or why one does not tell. Raises KafkaError."""
        return self._open_reader().leader_ends(partitions)

    def read(self, places: Mapping[int, int]) -> Mapping[int, Portion]:
        """Return some records from these offsets on, as far as they can be read. Raises KafkaError."""
        return self._open_reader().read(places)

    def done_reading(self) -> None:
        """Close the reader; the producer may know less of the cluster than it did."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
            self._producer._metadata.request_update()

    def send(
        self, records: Sequence[tuple[int, Outgoing]], require_valid: Callable[[], None], renew: Callable[[], None]
    ) -> Sent:
        """Send all together, wait for all; for LATE_SECONDS only. Raises SendFailed and RecordRefused.

        The producer's thread calls `require_valid` before each request that leaves, repetitions included.
        """
        self._gate.shut()
        appended = [(partition, record, self._append(partition, record)) for partition, record in records]
        for _, record, future in appended:
            future.add_errback(self._gate.fail, record)
        self._gate.open(require_valid)
        began = time.monotonic()
        for _, _, future in appended:
            while not future.is_done and time.monotonic() < began + LATE_SECONDS:
                if self._gate.failure is not None:
                    raise self._gate.failure
                with contextlib.suppress(KafkaError):  # the wait ended, or the send failed: the future tells which
                    future.get(timeout=LEASE_RENEW_SECONDS)
                renew()
        if not self._late:
            self._late_since = began
        self._late += appended
        return self.late()

    def late(self) -> Sent:
        """Return what became of the records that were late. Raises SendFailed and RecordRefused."""
        if self._gate.failure is not None:
            raise self._gate.failure
        self.require_topic()
        done: list[_Appended] = []
        late: list[_Appended] = []
        left: dict[int, list[Outgoing]] = {partition: [] for partition, _, _ in self._late}
        for it in self._late:  # what has one before it that is not acknowledged waits too: a position is behind all
            if left[it[0]] or not it[2].is_done:
                left[it[0]].append(it[1])
                late.append(it)
            else:
                done.append(it)
        self._late = late
        if self._late and time.monotonic() > self._late_since + ACKNOWLEDGE_SECONDS:
            raise SendFailed("Kafka acknowledged too late")
        offsets = self._offsets(done)
        positions = {partition: LogPosition(self.topic_id, found[-1] + 1) for partition, found in offsets.items()}
        begins = {partition: found[0] for partition, found in offsets.items()}
        return Sent([record for _, record, _ in done], positions, left, begins)

    def close(self) -> None:
        """Close what is open for reading; the producer is its opener's."""
        if self._reader is not None:
            self._reader.close()

    def require_topic(self) -> None:
        """Raise SendFailed where the topic is gone, or another one: who opens it next makes it anew or reads it back.

        The producer would wait for its own time-out with each record, and with those after it.
        """
        metadata = self._producer._metadata
        if metadata.partitions_for_topic(self._topic) is None:
            self._gone_since = self._gone_since or time.monotonic()
            if time.monotonic() > self._gone_since + GONE_SECONDS:
                raise SendFailed(f"topic {self._topic} is not there any more")
            return
        self._gone_since = None
        if is_other_topic(metadata.topic_id(self._topic) or NO_ID, self.topic_id):
            raise SendFailed(f"topic {self._topic} was made anew")

    def _offsets(self, done: Sequence[_Appended]) -> dict[int, list[int]]:
        """Return the offsets of the records, as far as they are known, by partition."""
        offsets: dict[int, list[int]] = {}
        for partition, record, future in done:
            if future.failed():
                raise _failed(record, future.exception)
            offset = future.value.offset
            if log.isEnabledFor(logging.DEBUG):
                correlation_id.set(dict(record.headers).get("correlation_id", b"").decode() or None)
                log.debug("sent %s to %s/%s at %s", record.event_id, self._topic, partition, offset)
            if offset >= 0:  # a retry that the broker knew already has none
                offsets.setdefault(partition, []).append(offset)
        return offsets

    def _append(self, partition: int, record: Outgoing) -> Any:
        """Return the future of a record that is with the producer now. Raises SendFailed and RecordRefused.

        What is usual goes past the producer's checks of each record, to where it gathers them: a third of all the time
        that an event takes. What it would refuse or ask the cluster for first goes through its front door.
        """
        value, headers = TOMBSTONE if record.value is None else record.value, list(record.headers)
        try:
            if record.value is None or len(record.value) > LONGEST_VALUE or len(record.key or b"") > LONGEST_KEY:
                return self._producer.send(
                    self._topic, value=value, key=record.key, headers=headers, partition=partition
                )
            place = TopicPartition(self._topic, partition)
            return self._producer._accumulator.append(place, None, record.key, value, headers)[0]
        except KafkaError as error:
            raise _failed(record, error) from error

    def _open_reader(self) -> EventReader:
        if self._reader is None:
            self._reader = EventReader(self._settings, self._topic, self.topic_id)
        return self._reader


class _Gate:
    """Between a producer's records and its thread that sends them; shut at first.

    What was appended meanwhile leaves together: without it the thread would fight for Python's lock to send a record
    or two at a time. Whoever froze with records in hand asks whether he still leads when he wakes, before one leaves.
    And after a failure nothing leaves any more. kafka-python 3.0.12 has no public way to any of it.
    """

    def __init__(self, producer: KafkaProducer) -> None:
        self._sender = producer._sender
        self._send = self._sender._send_producer_data
        self._sender._send_producer_data = self._send_if_open
        self._check: Callable[[], None] | None = None
        self.failure: SendFailed | None = None

    def shut(self) -> None:
        """Let nothing out."""
        self._check = None

    def open(self, check: Callable[[], None]) -> None:
        """Let everything out whenever `check` does not raise LeaseLost."""
        if self.failure is None:
            self._check = check
            self._sender.wakeup()

    def fail(self, record: Outgoing, error: BaseException) -> None:
        """Shut for good: what comes after a record that was given up may belong to the same order."""
        self.failure = self.failure or _failed(record, error)
        self.shut()

    def _send_if_open(self) -> float:
        """Return the milliseconds that the thread may wait for answers and for being woken."""
        check = self._check
        if check is None:
            return SHUT_MS
        try:
            check()
        except LeaseLost:  # until the lead is proved again, or given up
            return SHUT_MS
        wait_ms: float = self._send()
        return wait_ms


@contextlib.contextmanager
def open_events(
    settings: Settings, topic: str, require: Callable[[str | None], None] = clients.accept_any
) -> Iterator[KafkaEventLog]:
    """Open a producer for the topic, and discard it at the end. Raises KafkaError, TopicsMissing, and as `require`."""
    topic_id = clients.ensure_topics(settings, [topic], require)[topic]
    producer = clients.producer(settings)
    try:
        producer.partitions_for(topic)  # from now on it follows the topic
        events = KafkaEventLog(settings, topic, topic_id, producer)
        with contextlib.closing(events):
            yield events
    finally:
        _discard(producer)


@functools.lru_cache(maxsize=KEYS_REMEMBERED)
def _hash(key: bytes) -> int:
    hashed: int = murmur2(key)
    return hashed & 0x7FFFFFFF


def _discard(producer: KafkaProducer) -> None:
    """Close the producer whatever is unsent in it: close() alone leaves its sender alive when records are left."""
    try:
        producer.close(timeout=0)
    except KafkaError as error:
        log.warning("closing the producer: %s", type(error).__name__)
    sender = producer._sender
    if sender is not None and sender.is_alive():
        sender.force_close()
        sender.join(END_SECONDS)


def _failed(record: Outgoing, error: BaseException | None) -> SendFailed:
    """Return what became of a record whose future failed.

    kafka-python 3.0.12 gives the records of a batch InvalidRecordError whatever the broker has against more than one of
    them, a clock that is wrong for example. Of the record itself only that proves something which Kafka says about a
    compacted topic.
    """
    reason = type(error).__name__
    if isinstance(error, InvalidRecordError) and "out of range" in str(error):
        reason = InvalidTimestampError.__name__
    if isinstance(error, _NEVER) or (isinstance(error, InvalidRecordError) and "without key" in str(error)):
        return RecordRefused(f"Kafka refuses record {record.id} for good: {reason}", record.event_id)
    return SendFailed(f"record {record.id} was not acknowledged: {reason}")
