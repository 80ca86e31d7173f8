"""Reading a lane's topic back: where its leaders' logs end, and the event ids in them.

The end that a consumer is told is the high watermark, which all in-sync followers have reached. While a follower lags,
its leader's log is longer, and what is there stays when that follower becomes the leader. OffsetForLeaderEpoch of the
present epoch tells the end of the leader's own log; a former leader refuses to answer for an epoch that is over.
"""

import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka import TopicPartition
from kafka.errors import IncompatibleBrokerVersion, KafkaError, NoError, UnsupportedVersionError, for_code
from kafka.protocol.consumer import OffsetForLeaderEpochRequest

from app.config.config import Settings
from app.kafka import clients
from app.kafka.quirks.connections import ask, metadata_of
from app.kafka.topics import NO_LEADER
from app.models.outgoing import LogEnd, Portion
from app.models.records import LogPosition

log = logging.getLogger(__name__)

ANSWER_SECONDS = 0.3  # an answer that takes longer is looked for at the next call
SILENT_SECONDS = 1.0
READ_MS = 100
MOST_RECORDS = 5_000  # a portion
LOOK_UP_MS = 5_000
CLOSE_MS = 1_000
POLL_SECONDS = 0.005

_Topic = OffsetForLeaderEpochRequest.OffsetForLeaderTopic
_Partition = _Topic.OffsetForLeaderPartition
_TOO_OLD = (IncompatibleBrokerVersion, UnsupportedVersionError)


@dataclass
class _Asked:
    """A request that is with a broker: the future of its answer, and the epochs that it asks about, by partition."""

    answer: Any
    epochs: Mapping[int, int]
    at: float = field(default_factory=time.monotonic)


class EventReader:
    """One consumer without a group, in one thread, from opening to closing."""

    def __init__(self, settings: Settings, topic: str, topic_id: uuid.UUID) -> None:
        """Blocks up to 5 s. Raises KafkaError."""
        self._topic = topic
        self._topic_id = topic_id
        self._consumer = clients.reader(settings)
        self._cluster = metadata_of(self._consumer)
        self._cluster.add_topic(topic)
        self._asked: dict[int, _Asked] = {}  # by broker
        self._places: dict[int, int] = {}
        self._too_old = False

    def close(self) -> None:
        try:
            self._consumer.close(autocommit=False, timeout_ms=CLOSE_MS)
        except KafkaError as error:
            log.warning("closing the reader: %s", type(error).__name__)

    def leader_ends(self, partitions: Collection[int]) -> dict[int, LogEnd | str]:
        """Return where the logs of these partitions' leaders end, or why a leader does not say.

        A partition whose leader has not answered yet is left out. Blocks for ANSWER_SECONDS; raises KafkaError.
        """
        found: dict[int, LogEnd | str] = {}
        by_leader = defaultdict(list)
        for partition in partitions:
            leader = self._cluster.leader_for_partition(self._place(partition))
            if leader is None:  # not heard of yet
                self._cluster.request_update()
            elif leader == NO_LEADER:
                found[partition] = "has no leader"
            else:
                by_leader[leader].append(partition)
        for leader, led in by_leader.items():
            epochs = {each: self._cluster.leader_epoch_for_partition(self._place(each)) for each in led}
            if self._too_old or any(epoch is None or epoch < 0 for epoch in epochs.values()):
                found |= self._watermarks(led)
            elif leader not in self._asked:
                self._ask(leader, epochs)
        self._await()
        for leader in list(self._asked):
            found |= self._take_answer(leader, partitions)
        if any(isinstance(end, str) for end in found.values()):
            self._cluster.request_update()
        return found

    def read(self, places: Mapping[int, int]) -> dict[int, Portion]:
        """Return some records from these offsets on, MOST_RECORDS in all. Blocks for READ_MS; raises KafkaError."""
        self._consumer.assign([self._place(partition) for partition in places])
        for partition, offset in places.items():
            if self._places.get(partition) != offset:
                self._consumer.seek(self._place(partition), offset)
        polled = self._consumer.poll(timeout_ms=READ_MS, max_records=MOST_RECORDS)
        self._places = {
            partition: self._consumer.position(self._place(partition), timeout_ms=0) or offset
            for partition, offset in places.items()
        }
        return {
            partition: Portion(event_ids_of(polled.get(self._place(partition), ())), place)
            for partition, place in self._places.items()
            if place != places[partition]
        }

    def _place(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)

    def _ask(self, leader: int, epochs: Mapping[int, int]) -> None:
        wanted = [
            _Partition(partition=partition, current_leader_epoch=epoch, leader_epoch=epoch)
            for partition, epoch in epochs.items()
        ]
        request = OffsetForLeaderEpochRequest(replica_id=-1, topics=[(self._topic, wanted)])
        self._asked[leader] = _Asked(ask(self._consumer, leader, request), epochs)

    def _watermarks(self, partitions: Sequence[int]) -> dict[int, LogEnd | str]:
        """Return the ends that consumers are told, where brokers know no epochs. Blocks up to LOOK_UP_MS."""
        asked_at = time.monotonic()
        ends = self._consumer.end_offsets([self._place(each) for each in partitions], timeout_ms=LOOK_UP_MS)
        return {place.partition: LogEnd(LogPosition(self._topic_id, end), -1, asked_at) for place, end in ends.items()}

    def _await(self) -> None:
        """Wait for the answers to what was just asked, ANSWER_SECONDS at the longest."""
        give_up = time.monotonic() + ANSWER_SECONDS
        new = [asked for asked in self._asked.values() if time.monotonic() < asked.at + ANSWER_SECONDS]
        while time.monotonic() < give_up and not all(asked.answer.is_done for asked in new):
            time.sleep(POLL_SECONDS)

    def _take_answer(self, leader: int, partitions: Collection[int]) -> dict[int, LogEnd | str]:
        """Return what the leader says of these partitions; nothing while its answer may still come."""
        asked = self._asked[leader]
        if not asked.answer.is_done:
            silent = time.monotonic() > asked.at + SILENT_SECONDS
            why = f"has a leader that does not answer, broker {leader}"
            return dict.fromkeys(asked.epochs.keys() & partitions, why) if silent else {}
        del self._asked[leader]
        if asked.answer.failed():
            self._too_old = isinstance(asked.answer.exception, _TOO_OLD)
            why = f"has a leader that cannot be asked, broker {leader}: {type(asked.answer.exception).__name__}"
            return dict.fromkeys(asked.epochs.keys() & partitions, why)
        told: dict[int, LogEnd | str] = {}
        unknown = []
        for answer in (answer for topic in asked.answer.value.topics for answer in topic.partitions):
            number = answer.partition
            if number not in partitions or self._cluster.leader_for_partition(self._place(number)) != leader:
                continue  # a leader that was frozen may answer when another one leads
            if answer.error_code == NoError.errno and answer.end_offset < 0:
                unknown.append(number)  # a leader keeps no epochs where a topic's records have an old format
            else:
                told[number] = self._end(answer, asked)
        return told | self._watermarks(unknown) if unknown else told

    def _end(self, answer: Any, asked: _Asked) -> LogEnd | str:
        error = for_code(answer.error_code)
        if error is not NoError:
            return f"has a leader that does not tell where its log ends: {error.__name__}"
        return LogEnd(LogPosition(self._topic_id, answer.end_offset), asked.epochs[answer.partition], asked.at)


def event_ids_of(records: Sequence[Any]) -> list[uuid.UUID]:
    """Return the ids of our own records; a topic is open to others."""
    found = (event_id_in(getattr(record, "headers", ())) for record in records)
    return [event_id for event_id in found if event_id is not None]


def event_id_in(headers: Sequence[tuple[str, bytes | None]]) -> uuid.UUID | None:
    """Return the event id that a record names, None where it is none of ours."""
    value = next((value for name, value in headers if name == "event_id"), None) or b""
    try:
        return uuid.UUID(value.decode())
    except ValueError:
        return None
