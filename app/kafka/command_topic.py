"""The commands topic by kafka-python."""

import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError

from app.config.config import Settings
from app.kafka import clients, command_looks, topics
from app.kafka.command_ports import PartitionAway
from app.kafka.quirks.connections import metadata_of
from app.kafka.quirks.group import finish_joining, poll_ms
from app.models.records import Checkpoint, Record

log = logging.getLogger(__name__)

POLL_MS = 200
OVERDUE_SECONDS = 0.05
LOOK_UP_MS = 5_000
MISSING_SECONDS = 3.0  # a broker that has just started may not know its topics yet


class TopicGone(Exception):
    """The topic was deleted under the running service; opening it again makes it anew."""


class KafkaCommandLog:
    """One membership of the commands' group, in one thread, from opening to closing.

    The port CommandLog, which describes its methods (command_ports.py).
    """

    def __init__(self, settings: Settings, consumer: KafkaConsumer, topic_id: uuid.UUID) -> None:
        self.topic = settings.commands_topic
        self._settings = settings
        self._consumer = consumer
        self._topic_id = topic_id
        self._missing_since: float | None = None

    def poll(self) -> Mapping[int, Sequence[Record]]:
        """Block up to POLL_MS. Raises KafkaError: then build a new log."""
        finish_joining(self._consumer)
        wait_ms = poll_ms(self._consumer, POLL_MS)
        polled = self._consumer.poll(timeout_ms=wait_ms)
        if not wait_ms and not polled:
            time.sleep(OVERDUE_SECONDS)
        return {place.partition: records for place, records in polled.items()}

    def assigned(self) -> set[int]:
        return {place.partition for place in self._consumer.assignment()}

    def topic_id(self) -> uuid.UUID:
        """Return the id as of the last metadata. Raises TopicGone if the topic is missing there for MISSING_SECONDS."""
        cluster = metadata_of(self._consumer)
        if cluster.partitions_for_topic(self.topic) is not None:
            self._missing_since = None
        elif self._missing_since is None:
            self._missing_since = time.monotonic()
        elif time.monotonic() > self._missing_since + MISSING_SECONDS:
            raise TopicGone(f"topic {self.topic} is not there any more")
        self._topic_id = cluster.topic_id(self.topic) or self._topic_id
        return self._topic_id

    def ask_topic_id(self) -> uuid.UUID:
        """Raises KafkaError and TopicsMissing."""
        return topics.ensure_topic(self._settings, self.topic)

    def bounds(self, partition: int) -> tuple[int, int]:
        return command_looks.bounds(self._consumer, self._place(partition))

    def checkpoint_at(self, partition: int, offset: int) -> Checkpoint | None:
        return command_looks.checkpoint_at(self._consumer, self._place(partition), offset)

    def first_since(self, partition: int, timestamp: int) -> int | None:
        return command_looks.first_since(self._consumer, self._place(partition), timestamp)

    def compacted(self) -> bool:
        try:
            return topics.is_compacted(self._settings, self.topic)
        except KafkaError as error:
            raise PartitionAway(f"whether the topic is compacted is not told: {error}"[:200]) from error

    def committed(self, partition: int) -> int | None:
        try:
            offset: int | None = self._consumer.committed(self._place(partition), timeout_ms=LOOK_UP_MS)
        except KafkaError as error:
            raise PartitionAway(f"the group's offset is not told: {type(error).__name__}") from error
        return offset

    def seek(self, partition: int, offset: int) -> None:
        if partition in self.assigned():
            self._consumer.resume(self._place(partition))
            self._consumer.seek(self._place(partition), offset)

    def pause(self, partition: int) -> None:
        if partition in self.assigned():
            self._consumer.pause(self._place(partition))

    def commit(self, partition: int, offset: int) -> None:
        """Returns at once."""
        place = self._place(partition)
        self._consumer.commit_async({place: OffsetAndMetadata(offset, "", -1)}, callback=_note_commit)

    def close(self) -> None:
        """Leave the group. Call from the thread that polls."""
        try:
            self._consumer.close(autocommit=False, timeout_ms=LOOK_UP_MS)
        except KafkaError as error:
            log.warning("closing the consumer: %s", type(error).__name__)

    def _place(self, partition: int) -> TopicPartition:
        return TopicPartition(self.topic, partition)


@contextlib.contextmanager
def open_commands(
    settings: Settings, require: Callable[[str | None], None] = topics.accept_any
) -> Iterator[KafkaCommandLog]:
    """Join the group, and leave it at the end. Raises KafkaError, TopicsMissing, and what `require` raises."""
    topic = settings.commands_topic
    topic_id = topics.ensure_topic(settings, topic, require)
    commands = KafkaCommandLog(settings, clients.group_consumer(settings), topic_id)
    try:
        yield commands
    finally:
        commands.close()


def _note_commit(_: object, result: object) -> None:
    if isinstance(result, Exception):
        log.debug("group commit: %s", result)
