"""What tells one record from any other that a log may have at the same offset."""

import hashlib
from dataclasses import dataclass

from app.models.records import Record, UnreadRecord

NO_EPOCH = -1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A record that was handled. `digest` is None where the record cannot be read: then it says nothing."""

    offset: int
    timestamp: int
    digest: bytes | None
    leader_epoch: int = NO_EPOCH

    @classmethod
    def of(cls, record: Record) -> "Checkpoint":
        """Return the checkpoint of a record."""
        known = None if isinstance(record, UnreadRecord) else digest(record.key, record.value)
        return cls(record.offset, record.timestamp, known, leader_epoch(record))


def leader_epoch(record: object) -> int:
    """Return the epoch of the leader that appended the record, NO_EPOCH where that is not known."""
    epoch: int = getattr(record, "leader_epoch", NO_EPOCH)
    return epoch


def digest(key: bytes | None, value: bytes | None) -> bytes:
    """Return the SHA-256 of a record's bytes."""
    found = hashlib.sha256()
    for part in (key, value):
        found.update(b"-" if part is None else b"%d:" % len(part))
        found.update(part or b"")
    return found.digest()


def as_row(known: Checkpoint | None) -> tuple[int | None, int | None, bytes | None, int | None]:
    """Return the columns that it has in PostgreSQL."""
    if known is None or known.digest is None:
        return None, None, None, None
    return known.offset, known.timestamp, known.digest, known.leader_epoch
