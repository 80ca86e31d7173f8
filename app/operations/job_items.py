"""How an operation marks an item of a job in the transaction of its effect."""

from datetime import UTC, datetime

from sqlalchemy import Connection, select, update

from app.models.jobs import DONE, WAITING, ItemDone, JobItem
from app.models.service_tables import job_items, jobs

_items = job_items.c


def require_waiting(connection: Connection, item: JobItem) -> None:
    """Raise ItemDone if the item is done already."""
    same = (_items.job_id == item.job_id, _items.number == item.number, _items.state == WAITING)
    if connection.execute(select(_items.number).where(*same)).first() is None:
        raise ItemDone


def mark_done(connection: Connection, item: JobItem, result: str) -> None:
    """Mark the item as done. Raises ItemDone if it was so: then the effect must not be committed either.

    Call it before the effect: two processes at one item wait for each other here.
    """
    done = update(job_items).values(state=DONE, result=result, done_at=datetime.now(UTC))
    same = (_items.job_id == item.job_id, _items.number == item.number, _items.state == WAITING)
    if connection.execute(done.where(*same)).rowcount != 1:
        raise ItemDone


def store_result(connection: Connection, item: JobItem, result: str) -> None:
    """Store what the job as a whole has found, as JSON."""
    connection.execute(update(jobs).where(jobs.c.id == item.job_id).values(result=result))
