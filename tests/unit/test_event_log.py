"""What the topic of a lane makes of the producer's futures, and of keys."""

import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError
from kafka.partitioner.default import DefaultPartitioner

from app.config.config import Settings
from app.kafka import event_topic
from app.kafka.event_topic import KafkaEventLog
from app.kafka.quirks.producer import LONGEST_KEY, GatedProducer
from app.kafka.relay_ports import SendFailed
from app.models.outgoing import Outgoing
from app.models.records import LogPosition

TOPIC = uuid.UUID(int=1)


class Future:
    """What became of a record: at an offset, nothing yet, or an error."""

    def __init__(self, offset: int | None = None, error: Exception | None = None) -> None:
        self.is_done = offset is not None or error is not None
        self.value, self.exception = SimpleNamespace(offset=offset), error

    def failed(self) -> bool:
        return self.exception is not None


def a_record(number: int, key: bytes | None = b"k") -> Outgoing:
    return Outgoing(number, uuid.UUID(int=number), key, b"{}", ())


def a_log(*late: tuple[int, int, Future]) -> KafkaEventLog:
    """A log that has sent records: partition, number, future."""
    metadata = SimpleNamespace(partitions_for_topic=lambda topic: {0, 1}, topic_id=lambda topic: TOPIC)
    producer: Any = SimpleNamespace(_sender=SimpleNamespace(_send_producer_data=lambda: 0.0), _metadata=metadata)
    log = KafkaEventLog(Settings.load({}), "events", TOPIC, GatedProducer(producer, "events"))
    log._late = [(partition, a_record(number), future) for partition, number, future in late]
    log._late_since = float("inf")
    return log


def numbers(records: Any) -> list[int]:
    return [record.id for record in records]


def test_a_record_is_late_while_one_before_it_in_its_partition_is() -> None:
    """[K13] Else the position would be behind a record whose row is still there."""
    log = a_log((0, 1, Future(7)), (0, 2, Future()), (0, 3, Future(9)), (1, 4, Future(5)))
    sent = log.late()
    assert numbers(sent.acknowledged) == [1, 4]
    assert sent.positions == {0: LogPosition(TOPIC, 8), 1: LogPosition(TOPIC, 6)}
    assert {partition: numbers(records) for partition, records in sent.late.items()} == {0: [2, 3], 1: []}
    log._late[0][2].is_done, log._late[0][2].value.offset = True, 8
    assert numbers(log.late().acknowledged) == [2, 3]
    assert not log.late().late


def test_a_repetition_that_the_broker_knew_has_no_offset_and_moves_no_position() -> None:
    sent = a_log((0, 1, Future(-1))).late()
    assert (numbers(sent.acknowledged), sent.positions) == ([1], {})


def test_a_late_record_that_is_given_up_ends_the_lead() -> None:
    with pytest.raises(SendFailed, match="record 2 was not acknowledged: KafkaTimeoutError"):
        a_log((0, 1, Future(7)), (1, 2, Future(error=KafkaTimeoutError()))).late()


def test_what_is_late_for_too_long_ends_the_lead() -> None:
    log = a_log((0, 1, Future()))
    log._late_since = float("-inf")
    with pytest.raises(SendFailed, match="too late"):
        log.late()


@pytest.mark.parametrize("key", [b"order-1", b"\xff\x00", b"x" * 300])
def test_a_key_has_the_partition_of_kafkas_default_partitioner(key: bytes) -> None:
    """[K2]"""
    seven = set(range(7))
    cluster = SimpleNamespace(
        topics=lambda: {"events"},
        partitions_for_topic=lambda _: seven,
        available_partitions_for_topic=lambda _: seven,
    )
    theirs = DefaultPartitioner().partition("events", key, key, b"", b"", cluster)
    assert a_log().partition(a_record(1, key), 7) == theirs


def test_a_record_without_a_key_has_one_partition_whoever_sends_it() -> None:
    """[K10] What one leader sent without an answer must be read back before the next one sends it."""
    assert {a_log().partition(a_record(number, None), 3) for number in range(9)} == {0, 1, 2}
    assert a_log().partition(a_record(5, None), 3) == a_log().partition(a_record(5, None), 3)


def test_records_of_a_topic_that_is_another_one_are_given_up_at_once() -> None:
    log = a_log((0, 1, Future()))
    log._producer._metadata.topic_id = lambda topic: uuid.UUID(int=2)
    with pytest.raises(SendFailed, match="made anew"):
        log.late()


def test_records_of_a_topic_that_is_gone_are_given_up_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    log = a_log((0, 1, Future()))
    log._producer._metadata.partitions_for_topic = lambda topic: None
    log.late()
    monkeypatch.setattr(event_topic, "GONE_SECONDS", 0.0)
    with pytest.raises(SendFailed, match="not there any more"):
        log.late()


def test_a_key_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """But a long one, which is no order's, is not remembered."""
    hashed: list[bytes] = []

    def murmur2(key: bytes) -> int:
        hashed.append(key)
        return 7

    monkeypatch.setattr(event_topic, "murmur2", murmur2)
    log, key, long = a_log(), b"hashed-once", b"x" * (LONGEST_KEY + 1)
    assert [log.partition(a_record(1, key), 7) for key in (key, key, long, long)] == [0] * 4
    assert hashed == [key, long, long]
