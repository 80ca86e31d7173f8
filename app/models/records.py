"""What is known of Kafka records: checkpoints, positions in a log, batches, and the commands in them."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.models.commands import Command
from app.models.rules import Refusal

NO_EPOCH = -1
NO_ID = uuid.UUID(int=0)  # of a topic on brokers that have no ids

Headers = tuple[tuple[str, bytes | None], ...]


class Record(Protocol):
    """What the service reads of a Kafka record. `timestamp` in milliseconds since 1970."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def timestamp(self) -> int:
        """When it was produced, or appended, if the topic says so."""

    @property
    def key(self) -> bytes | None:
        """Its key."""

    @property
    def value(self) -> bytes | None:
        """Its value; None is a tombstone."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """Its headers."""


@dataclass(frozen=True, slots=True)
class UnreadRecord:
    """A record, or a whole batch of them, that cannot be decoded or is too large to keep: a dead letter as it is.

    `value` is what is known of it: the record's value, or all its bytes; of a large record the beginning only, with the
    length and SHA-256 of all. `next_offset` is where the log goes on after it.
    """

    offset: int
    next_offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    length: int | None
    sha256: bytes | None
    error: str
    headers: Headers = ()
    damaged: bool = False


def after(record: Record) -> int:
    """Return the offset that follows the record."""
    return record.next_offset if isinstance(record, UnreadRecord) else record.offset + 1


def leader_epoch(record: object) -> int:
    """Return the epoch of the leader that appended the record, NO_EPOCH if it is not known."""
    epoch: int = getattr(record, "leader_epoch", NO_EPOCH)
    return epoch


def identity(record: Record) -> bytes:
    """Return what a command is known by [K8]."""
    return identity_of(record.value)


def identity_of(value: bytes | None) -> bytes:
    """Return the SHA-256 of a command's bytes."""
    return hashlib.sha256(value or b"").digest()


def digest(key: bytes | None, value: bytes | None) -> bytes:
    """Return the SHA-256 of a record's bytes."""
    found = hashlib.sha256()
    for part in (key, value):
        found.update(b"-" if part is None else b"%d:" % len(part))
        found.update(part or b"")
    return found.digest()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A handled record: what tells it from any other that a log may have at the same offset.

    `digest` is None if the record cannot be read: such a checkpoint proves nothing.
    """

    offset: int
    timestamp: int
    digest: bytes | None
    leader_epoch: int = NO_EPOCH

    @classmethod
    def of(cls, record: Record) -> "Checkpoint":
        """Return the checkpoint of a record."""
        known = None if isinstance(record, UnreadRecord) else digest(record.key, record.value)
        return cls(record.offset, record.timestamp, known, leader_epoch(record))


@dataclass(frozen=True, slots=True)
class LogPosition:
    """A position in the log of one partition: what lies before `next_offset` is done."""

    topic_id: uuid.UUID
    next_offset: int


def is_other_topic(one: uuid.UUID, other: uuid.UUID) -> bool:
    """Tell whether two ids are of two topics. NO_ID may be any topic's."""
    return one != other and NO_ID not in (one, other)


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Where this service took over from another one, whose commands lie before and are not recognised."""

    offset: int | None  # None after the topic was made anew
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class StoredOffset(LogPosition):
    """How far a partition's commands are handled. `last_handled`: the record before `next_offset`, if it is known."""

    last_handled: Checkpoint | None = None
    take_over: TakeOver | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition, without gaps that hold commands: from `expected` up to before `next_offset`."""

    topic: str
    topic_id: uuid.UUID
    partition: int
    expected: int
    next_offset: int
    records: Sequence[Record]


@dataclass(frozen=True, slots=True)
class ReceivedCommand:
    """A record that gets exactly one reply. `command` is a Refusal if the payload is unusable.

    `traceparent`: the trace that it belongs to, None without one.
    """

    type: str
    correlation_id: str
    command: Command | Refusal
    order_id: str | None
    saga_id: str | None
    traceparent: str | None = None
