"""Stored offsets and batches of commands in PostgreSQL: the port CommandStore of consumer.py."""

import psycopg2.extras

from app.models import statements as sql
from app.models.database import Pool
from app.services.command_batch import Batch, CommandBatches
from app.services.consumer import StoredOffset
from app.services.order_service import Clock, utc_now
from app.utils.deadline import Deadline

CALL_SECONDS = 5.0

psycopg2.extras.register_uuid()  # type: ignore[no-untyped-call]


class PostgresCommandStore:
    """Every method commits and raises DatabaseTrouble."""

    def __init__(self, pool: Pool, clock: Clock = utc_now) -> None:
        self._pool = pool
        self._batches = CommandBatches(pool, clock)

    def offset(self, topic: str, partition: int) -> StoredOffset | None:
        """Return the stored offset."""
        rows = self._pool.run(sql.FIND_OFFSET, (topic, partition), Deadline(CALL_SECONDS))
        return StoredOffset(*rows[0]) if rows else None

    def first_offset(self, topic: str, partition: int, offset: StoredOffset) -> None:
        """Store the offset where there is none yet."""
        row = (topic, partition, offset.topic_id, offset.next_offset)
        self._pool.run(sql.FIRST_OFFSET, row, Deadline(CALL_SECONDS))

    def reset_offset(self, topic: str, partition: int, old: StoredOffset, new: StoredOffset) -> None:
        """Replace the stored offset if it is still `old`."""
        row = (topic, partition, old.topic_id, old.next_offset, new.topic_id, new.next_offset)
        self._pool.run(sql.RESET_OFFSET, row, Deadline(CALL_SECONDS))

    def handle(self, batch: Batch, *, give_up: str | None = None) -> int:
        """Commit the effects of a batch and the new offset; return the number of dead letters."""
        return self._batches.handle(batch, give_up=give_up)

    def rehearse(self) -> None:
        """Raise DatabaseTrouble where not even a sample of a command can be handled; commits nothing."""
        self._batches.rehearse()
