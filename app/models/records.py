"""The records of the commands topic as the consumer takes them from its log."""

from dataclasses import dataclass
from typing import Protocol

Headers = tuple[tuple[str, bytes | None], ...]


class Record(Protocol):
    """What is used of a Kafka record. `timestamp` in milliseconds since 1970."""

    @property
    def offset(self) -> int:
        """Its place."""

    @property
    def timestamp(self) -> int:
        """Its time."""

    @property
    def key(self) -> bytes | None:
        """Its key."""

    @property
    def value(self) -> bytes | None:
        """Its value."""


@dataclass(frozen=True, slots=True)
class UnreadRecord:
    """A record, or a whole batch of them, that cannot be decoded or is too large to be kept: a dead letter as it is.

    `value` is what is known of it: the record's value, or all its bytes; of a large one the beginning only, with the
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
