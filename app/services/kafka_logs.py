"""The commands topic and the lanes' topics as kafka-python sees them: the ports of consumer.py and relay.py."""

import contextlib
import functools
import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import (
    InvalidRecordError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from kafka.partitioner.default import murmur2

from app.config.config import Settings
from app.services import kafka_clients, kafka_looks
from app.services.checkpoint import Checkpoint
from app.services.kafka_clients import TOMBSTONE
from app.services.log_check import PartitionAway
from app.services.metrics import LAG
from app.services.records import Record
from app.services.relay import LeadLost, Outgoing, Position, Positions, RecordRefused, SendFailed
from app.utils.logging import correlation_id

log = logging.getLogger(__name__)

POLL_MS = 200
OVERDUE_SECONDS = 0.05
LOOK_UP_MS = 5_000
MISSING_SECONDS = 3.0  # a broker that has just started may not know its topics yet
ACKNOWLEDGE_SECONDS = 60.0  # twice the producer's own limit, which does not count everything
HOLD_SECONDS = 1.0
SHUT_MS = 100.0
READ_BACK_SECONDS = 60.0
KEYS_REMEMBERED = 2_000  # orders whose partition is known: half a MiB
LONGEST_KEY = 255  # of an order; a dead letter's is its sender's, and may have a MiB
LONGEST_VALUE = 1024 * 1024  # far below what a producer takes

_NEVER = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidRecordError)


class TopicGone(Exception):
    """The topic was deleted under the running service: what opens it next makes it anew."""


class KafkaCommandLog:
    """One membership of the commands' group, in one thread, from opening to closing."""

    def __init__(self, settings: Settings, consumer: KafkaConsumer, topic_id: uuid.UUID) -> None:
        self.topic = settings.commands_topic
        self._settings = settings
        self._consumer = consumer
        self._topic_id = topic_id
        self._missing_since: float | None = None

    def poll(self) -> Mapping[int, Sequence[Record]]:
        """Return the next records by partition; blocks up to POLL_MS. Raises KafkaError: then build a new log."""
        self._finish_joining()
        wait_ms = self._wait_ms()
        polled = self._consumer.poll(timeout_ms=wait_ms)
        if not wait_ms and not polled:
            time.sleep(OVERDUE_SECONDS)
        return {place.partition: records for place, records in polled.items()}

    def _finish_joining(self) -> None:
        """Take up a join that outlived the poll it began in.

        Where only newer metadata asked for it, kafka-python 3.0.12 forgets it: the group thinks it has a member that
        has its partitions, and the member has none, sends no heartbeats and never notices.
        """
        coordinator = self._consumer._coordinator
        if coordinator.rejoining:
            coordinator.request_rejoin()

    def _wait_ms(self) -> int:
        """Return how long a poll may wait: until the next heartbeat is due, and not at all while one is not answered.

        kafka-python 3.0.12 would not wait then either, but ask a thousand times a second, and remember each time until
        the fetch under way ends: a network that swallows everything costs 50 MiB in the 10 s that a request may take.
        """
        coordinator = self._consumer._coordinator
        if coordinator.need_rejoin():
            return POLL_MS
        return int(min(POLL_MS, max(coordinator.time_to_next_poll() * 1000, 0)))

    def assigned(self) -> set[int]:
        """Return the partitions that are ours at the moment."""
        return {place.partition for place in self._consumer.assignment()}

    def topic_id(self) -> uuid.UUID:
        """Return the topic's id as of the last metadata. Raises TopicGone where that has no such topic."""
        # There is no public way to it on a consumer, and asking an admin client every time would block.
        self._require_topic()
        self._topic_id = self._consumer._cluster.topic_id(self.topic) or self._topic_id
        return self._topic_id

    def _require_topic(self) -> None:
        if self._consumer._cluster.partitions_for_topic(self.topic) is not None:
            self._missing_since = None
        elif self._missing_since is None:
            self._missing_since = time.monotonic()
        elif time.monotonic() > self._missing_since + MISSING_SECONDS:
            raise TopicGone(f"topic {self.topic} is not there any more")

    def ask_topic_id(self) -> uuid.UUID:
        """Return the topic's id as the broker has it now. Blocks for seconds; raises KafkaError and TopicsMissing."""
        return kafka_clients.ensure_topics(self._settings, [self.topic])[self.topic]

    def bounds(self, partition: int) -> tuple[int, int]:
        """Return the first offset in the log and the one after the last. Blocks for seconds; raises PartitionAway."""
        return kafka_looks.bounds(self._consumer, self._place(partition))

    def checkpoint_at(self, partition: int, offset: int) -> Checkpoint | None:
        """Return the checkpoint of the record there, None without one. Blocks for seconds; raises PartitionAway."""
        return kafka_looks.checkpoint_at(self._consumer, self._place(partition), offset)

    def first_since(self, partition: int, timestamp: int) -> int | None:
        """Return the offset of the first record that is not older. Blocks for seconds; raises PartitionAway."""
        return kafka_looks.first_since(self._consumer, self._place(partition), timestamp)

    def compacted(self) -> bool:
        """Return whether the topic may lose single records. Blocks for seconds; raises PartitionAway."""
        try:
            return kafka_clients.is_compacted(self._settings, self.topic)
        except KafkaError as error:
            raise PartitionAway(f"the topic's settings are not told: {type(error).__name__}") from error

    def known_end(self, partition: int) -> int | None:
        """Return the offset after the last as the last fetch had it, None before the first; asks nobody."""
        end: int | None = self._consumer.highwater(self._place(partition)) if partition in self.assigned() else None
        return end

    def committed(self, partition: int) -> int | None:
        """Return the group's committed offset. Blocks up to LOOK_UP_MS; raises PartitionAway."""
        try:
            offset: int | None = self._consumer.committed(self._place(partition), timeout_ms=LOOK_UP_MS)
        except KafkaError as error:
            raise PartitionAway(f"the group's offset is not told: {type(error).__name__}") from error
        return offset

    def seek(self, partition: int, offset: int) -> None:
        """Make `offset` the next to be polled; ends a pause."""
        if partition in self.assigned():
            self._consumer.resume(self._place(partition))
            self._consumer.seek(self._place(partition), offset)

    def pause(self, partition: int) -> None:
        """Poll nothing from the partition until it is sought again."""
        if partition in self.assigned():
            self._consumer.pause(self._place(partition))

    def commit(self, partition: int, offset: int) -> None:
        """Tell the group how far we are, for displays of lag; nobody waits for it."""
        place = self._place(partition)
        self._consumer.commit_async({place: OffsetAndMetadata(offset, "", -1)}, callback=_note_commit)
        end = self.known_end(partition)
        if end is not None:
            LAG.labels(partition).set(max(end - offset, 0))

    def close(self) -> None:
        """Leave the group. Call from the thread that polls."""
        try:
            self._consumer.close(autocommit=False, timeout_ms=LOOK_UP_MS)
        except KafkaError as error:
            log.warning("closing the consumer: %s", type(error).__name__)

    def _place(self, partition: int) -> TopicPartition:
        return TopicPartition(self.topic, partition)


@contextlib.contextmanager
def open_commands(settings: Settings) -> Iterator[KafkaCommandLog]:
    """Join the group, and leave it at the end. Raises KafkaError and TopicsMissing."""
    topic = settings.commands_topic
    topic_id = kafka_clients.ensure_topics(settings, [topic])[topic]
    commands = KafkaCommandLog(settings, kafka_clients.group_consumer(settings), topic_id)
    try:
        yield commands
    finally:
        commands.close()


def _note_commit(_: object, result: object) -> None:
    if isinstance(result, Exception):
        log.debug("group commit: %s", result)


class KafkaEventLog:
    """The topic of one lane: one producer, and a reader for the time of a read-back."""

    def __init__(self, settings: Settings, topic: str, topic_id: uuid.UUID, producer: KafkaProducer) -> None:
        self._settings = settings
        self._topic = topic
        self._topic_id = topic_id
        self._producer = producer
        self._gate = _Gate(producer)

    def ends(self) -> Positions:
        """Return the position after the last record of each partition. Raises KafkaError."""
        with self._reader() as reader:
            return {
                place.partition: Position(self._topic_id, offset)
                for place, offset in reader.end_offsets(self._places(reader), timeout_ms=LOOK_UP_MS).items()
            }

    def event_ids(self, start: Positions, end: Positions) -> Iterator[Collection[uuid.UUID]]:
        """Yield the event ids between the positions, as polled. Blocks up to READ_BACK_SECONDS; raises KafkaError."""
        give_up = time.monotonic() + READ_BACK_SECONDS
        with self._reader() as reader:
            unread = {
                TopicPartition(self._topic, partition): end[partition].next_offset
                for partition in end
                if start[partition].next_offset < end[partition].next_offset
            }
            reader.assign(list(unread))
            for place in unread:
                reader.seek(place, start[place.partition].next_offset)
            while unread:
                if time.monotonic() > give_up:
                    raise KafkaTimeoutError("reading back took too long")
                polled = reader.poll(timeout_ms=POLL_MS)
                yield [_event_id(record.headers) for records in polled.values() for record in records]
                done = [
                    place for place, stop in unread.items() if reader.position(place, timeout_ms=LOOK_UP_MS) >= stop
                ]
                for place in done:
                    del unread[place]

    def send(self, records: Sequence[Outgoing], check: Callable[[], None], hold: Callable[[], None]) -> Positions:
        """Send all together, wait for all; return the positions after them. Raises SendFailed and RecordRefused.

        `check` is called by the producer's thread each time before something leaves, what is sent again included.
        """
        self._gate.shut()
        futures = [(record, self._append(record)) for record in records]
        for record, sent in futures:
            sent.add_errback(self._gate.fail, record)
        self._gate.open(check)
        offsets: dict[int, int] = {}
        give_up = time.monotonic() + ACKNOWLEDGE_SECONDS
        for record, sent in futures:
            while not sent.is_done:
                if self._gate.failure is not None:
                    raise self._gate.failure
                if time.monotonic() > give_up:
                    raise SendFailed("Kafka acknowledged too late")
                with contextlib.suppress(KafkaError):  # the wait ended, or the send failed: the future tells which
                    sent.get(timeout=HOLD_SECONDS)
                hold()
            if sent.failed():
                raise _failed(record, sent.exception)
            metadata = sent.value
            if log.isEnabledFor(logging.DEBUG):
                correlation_id.set(dict(record.headers).get("correlation_id", b"").decode() or None)
                log.debug("sent %s to %s/%s at %s", record.event_id, self._topic, metadata.partition, metadata.offset)
            if metadata.offset >= 0:  # a retry that the broker knew already has none
                offsets[metadata.partition] = metadata.offset
        return {partition: Position(self._topic_id, offset + 1) for partition, offset in offsets.items()}

    def _append(self, record: Outgoing) -> Any:
        """Return the future of a record that is with the producer now. Raises SendFailed and RecordRefused.

        What is usual goes past the producer's checks of each record, to where it gathers them: a third of all the time
        that an event takes. What it would refuse or ask the cluster for first goes through its front door.
        """
        value, headers = TOMBSTONE if record.value is None else record.value, list(record.headers)
        partition = self._partition(record.key)
        try:
            if partition is None or record.value is None or len(record.value) > LONGEST_VALUE:
                return self._producer.send(
                    self._topic, value=value, key=record.key, headers=headers, partition=partition
                )
            place = TopicPartition(self._topic, partition)
            return self._producer._accumulator.append(place, None, record.key, value, headers)[0]
        except KafkaError as error:
            raise _failed(record, error) from error

    def _partition(self, key: bytes | None) -> int | None:
        """Return the default partitioner's choice [K2], None where that is left to the producer: its hash in pure
        Python is a tenth of the cost of a send."""
        if key is None or len(key) > LONGEST_KEY:
            return None
        partitions = self._producer._metadata.partitions_for_topic(self._topic)
        return _hash(key) % len(partitions) if partitions else None

    def _places(self, reader: KafkaConsumer) -> list[TopicPartition]:
        partitions = reader.partitions_for_topic(self._topic)
        return [TopicPartition(self._topic, partition) for partition in sorted(partitions)]

    @contextlib.contextmanager
    def _reader(self) -> Iterator[KafkaConsumer]:
        reader = kafka_clients.reader(self._settings)
        try:
            yield reader
        finally:
            reader.close(autocommit=False, timeout_ms=LOOK_UP_MS)


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
        """Let everything out whenever `check` does not raise LeadLost."""
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
        except LeadLost:  # until the lead is proved again, or given up
            return SHUT_MS
        wait_ms: float = self._send()
        return wait_ms


@contextlib.contextmanager
def open_events(settings: Settings, topic: str) -> Iterator[KafkaEventLog]:
    """Open a producer for the topic, and discard it at the end. Raises KafkaError and TopicsMissing."""
    topic_id = kafka_clients.ensure_topics(settings, [topic])[topic]
    producer = kafka_clients.producer(settings)
    try:
        yield KafkaEventLog(settings, topic, topic_id, producer)
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
        sender.join(LOOK_UP_MS / 1000)


def _failed(record: Outgoing, error: BaseException | None) -> SendFailed:
    reason = type(error).__name__
    if isinstance(error, _NEVER):
        return RecordRefused(f"Kafka refuses record {record.id} for good: {reason}")
    return SendFailed(f"record {record.id} was not acknowledged: {reason}")


def _event_id(headers: Sequence[tuple[str, bytes | None]]) -> uuid.UUID:
    value = next((value for name, value in headers if name == "event_id"), None) or b""
    try:
        return uuid.UUID(value.decode())
    except ValueError:
        return uuid.UUID(int=0)  # somebody else's record
