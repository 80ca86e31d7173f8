"""Stored offsets and batches of commands in PostgreSQL: the port CommandStore of consumer.py."""

import uuid
from collections.abc import Sequence
from typing import Any

from app.database import batches_sql as sql
from app.database.pool import Pool
from app.models.records import NO_EPOCH, Batch, Checkpoint, Floor, StoredOffset
from app.services.command_batch import CommandBatches, as_row
from app.services.order_service import Clock, utc_now
from app.utils.deadline import Deadline

CALL_SECONDS = 5.0


class PostgresCommandStore:
    """Every method commits and raises DatabaseTrouble."""

    def __init__(self, pool: Pool, clock: Clock = utc_now, identity_days: int = 30) -> None:
        """`identity_days`: how long a command is known by its bytes at the least."""
        self._pool = pool
        self._batches = CommandBatches(pool, clock)
        self._identity_days = identity_days

    def offset(self, topic: str, partition: int) -> StoredOffset | None:
        """Return the stored offset."""
        rows = self._pool.run(sql.FIND_OFFSET, (topic, partition), Deadline(CALL_SECONDS))
        return stored_offset(*rows[0]) if rows else None

    def first_offset(self, topic: str, partition: int, offset: StoredOffset) -> None:
        """Store the offset where there is none yet."""
        floor = (None, None) if offset.floor is None else (offset.floor.offset, offset.floor.taken_at)
        row = (topic, partition, offset.topic_id, offset.next_offset, *floor)
        self._pool.run(sql.FIRST_OFFSET, row, Deadline(CALL_SECONDS))

    def reset_offset(self, topic: str, partition: int, old: StoredOffset, new: StoredOffset) -> None:
        """Replace the stored offset if it is still `old`, and forget the trail from there on."""
        floor = new.floor and new.floor.offset
        place = (topic, partition, old.topic_id, old.next_offset, new.topic_id, new.next_offset, floor)
        self._pool.run(sql.RESET_OFFSET, (*place, *as_row(new.behind)), Deadline(CALL_SECONDS))

    def trail(self, topic: str, partition: int, below: int) -> list[Checkpoint]:
        """Return older checkpoints below an offset, newest first."""
        place = (topic, partition, below, self._identity_days)
        return [Checkpoint(*_known(row)) for row in self._pool.run(sql.FIND_TRAIL, place, Deadline(CALL_SECONDS))]

    def keep_checkpoint(self, topic: str, partition: int) -> None:
        """Add what the stored offset stands behind to the trail, and thin the trail."""
        self._pool.run(sql.KEEP_CHECKPOINT, (topic, partition), Deadline(CALL_SECONDS))

    def handle(self, batch: Batch, *, give_up: str | None = None) -> int:
        """Commit the effects of a batch and the new offset; return the number of dead letters."""
        return self._batches.handle(batch, give_up=give_up)

    def rehearse(self) -> None:
        """Raise DatabaseTrouble where not even a sample of a command can be handled; commits nothing."""
        self._batches.rehearse()


def stored_offset(topic_id: uuid.UUID, next_offset: int, *row: Any) -> StoredOffset:
    """Return a row of `consumer_offsets`. What an older version moved stands behind nothing known."""
    *last, floor_offset, floor_at = row
    behind = Checkpoint(*_known(last)) if last[0] == next_offset - 1 and last[2] is not None else None
    return StoredOffset(topic_id, next_offset, behind, floor_at and Floor(floor_offset, floor_at))


def _known(row: Sequence[Any]) -> tuple[int, int, bytes, int]:
    offset, timestamp, digest, epoch = row
    return offset, timestamp, bytes(digest), NO_EPOCH if epoch is None else epoch
