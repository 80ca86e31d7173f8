"""The producer's gate on a scripted sender: what leaves when, and what a record that fails proves [K13]."""

import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import InvalidRecordError, KafkaTimeoutError, MessageSizeTooLargeError

from app.kafka.quirks.producer import SHUT_MS, GatedProducer, failure_of
from app.kafka.relay_ports import RecordRefused, SendFailed
from app.models.outgoing import LeaseLost, Outgoing

SENT_MS = 7.0


def a_record(key: bytes | None = b"k", value: bytes | None = b"{}") -> Outgoing:
    return Outgoing(1, uuid.UUID(int=1), key, value, ())


class Library:
    """kafka-python's producer, its sender and its accumulator, as far as they are used. `steps`: what was called."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self._metadata = None
        self._sender = self._accumulator = self
        self.alive = True

    def send(self, *_: object, **__: object) -> None:
        self.steps.append("send")

    def append(self, *_: object) -> list[None]:
        self.steps.append("append")
        return [None]

    def _send_producer_data(self) -> float:
        self.steps.append("leave")
        return SENT_MS

    def wakeup(self) -> None:
        self.steps.append("wake")

    def close(self, timeout: float) -> None:
        raise KafkaTimeoutError("records are left")

    def is_alive(self) -> bool:
        return self.alive

    def force_close(self) -> None:
        self.alive = False

    def join(self, timeout: float) -> None:
        self.steps.append("join")


def gated() -> tuple[GatedProducer, Any]:
    library: Any = Library()
    return GatedProducer(library, "events"), library


def test_records_leave_once_the_gate_opens_and_not_before() -> None:
    producer, library = gated()
    producer.append(0, a_record())
    assert (library._send_producer_data(), library.steps) == (SHUT_MS, ["append"])
    producer.open(lambda: None)
    assert (library._send_producer_data(), library.steps) == (SENT_MS, ["append", "wake", "leave"])
    producer.shut()
    assert library._send_producer_data() == SHUT_MS


def test_the_lease_is_asked_for_before_each_request() -> None:
    """A leader that was frozen with records in hand sends nothing on waking."""
    producer, library = gated()
    lost = [False, True, False]

    def require_valid() -> None:
        if lost.pop(0):
            raise LeaseLost("the lease ran out")

    producer.open(require_valid)
    assert [library._send_producer_data() for _ in range(3)] == [SENT_MS, SHUT_MS, SENT_MS]


def test_after_a_failure_nothing_leaves_any_more() -> None:
    """A later record may belong to the same order."""
    producer, library = gated()
    producer.open(lambda: None)
    producer.fail(a_record(), KafkaTimeoutError())
    producer.open(lambda: None)
    assert library._send_producer_data() == SHUT_MS
    assert str(producer.failure) == "record 1 was not acknowledged: KafkaTimeoutError"


@pytest.mark.parametrize(
    ("record", "way"),
    [
        (a_record(), "append"),
        (a_record(key=None), "append"),
        (a_record(value=None), "send"),
        (a_record(key=b"x" * 256), "send"),
        (a_record(value=bytes(1024 * 1024 + 1)), "send"),
    ],
    ids=["usual", "without a key", "tombstone", "long key", "large value"],
)
def test_a_usual_record_goes_past_the_checks_of_send(record: Outgoing, way: str) -> None:
    producer, library = gated()
    producer.append(0, record)
    assert library.steps == [way]


def test_a_producer_that_is_discarded_leaves_no_thread() -> None:
    """Its own close() does, when records are left."""
    producer, library = gated()
    producer.discard()
    assert (library.alive, library.steps) == (False, ["join"])


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (MessageSizeTooLargeError(), RecordRefused, "MessageSizeTooLargeError"),
        (InvalidRecordError("Compacted topic cannot accept message without key"), RecordRefused, "InvalidRecordError"),
        (InvalidRecordError("Timestamp 1 is out of range"), SendFailed, "InvalidTimestampError"),
        (InvalidRecordError("one of the batch"), SendFailed, "InvalidRecordError"),
        (KafkaTimeoutError(), SendFailed, "KafkaTimeoutError"),
    ],
)
def test_a_record_is_refused_for_good_only_where_the_error_is_its_own(
    error: Exception, kind: type[SendFailed], reason: str
) -> None:
    failure = failure_of(a_record(), error)
    assert type(failure) is kind
    assert str(failure).endswith(reason)


def test_a_library_without_these_members_is_noticed_at_once() -> None:
    with pytest.raises(AttributeError):
        GatedProducer(SimpleNamespace(_metadata=None, _sender=SimpleNamespace()), "events")
