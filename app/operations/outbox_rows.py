"""Some rows of the outbox, also of an outbox with a million rows, which has an index on its ids alone.

Ids follow the time of commit within seconds, in the queue as in the range of each partition that is set aside. So the
rows of a moment are found by halving, in some dozens of short looks.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, func, select
from sqlalchemy.exc import DBAPIError

from app.database.lanes import ASIDE_RANGE
from app.models.kafka_tables import outbox
from app.utils.ids import WITH_TIME
from app.utils.limits import BATCH_SECONDS

OUTBOX_MS = 500
FEW = 5_000  # ids that are read as they are
SLACK = timedelta(seconds=BATCH_SECONDS + 5)  # a transaction's time is of its beginning, an id of its insert
MOST_RANGES = 100
MOST_MOMENTS = 10  # that are looked for one by one
_OUT_OF_TIME = "57014"

_id, _at = outbox.c.id, outbox.c.created_at
_COLUMNS = [column for column in outbox.c if column.name != "payload"]
Ids = tuple[int, int]
"""From the first id on, up to before the second."""


def find(connection: Connection, where: ColumnElement[bool], times: Sequence[datetime]) -> Sequence[Row[Any]] | None:
    """Return the rows that fulfil the condition and were written at about these times, in the order of leaving.

    Without a time those that wait the longest are looked at. None if they cannot be told in time: no statement takes
    longer than OUTBOX_MS. In a long outbox a row that an operator put back behind all others may be missed. Raises
    DBAPIError.
    """
    limit = func.set_config
    try:
        with connection.begin_nested():
            before = connection.scalar(select(func.current_setting("statement_timeout")))
            connection.execute(select(limit("statement_timeout", str(OUTBOX_MS), True)))
            found = [row for ids in _all_ids(connection, times) for row in _rows(connection, where, ids)]
            connection.execute(select(limit("statement_timeout", before, True)))
            return found
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) != _OUT_OF_TIME:
            raise
        return None


def moment_of(event_id: UUID) -> list[datetime]:
    """Return when the event was made, as its id says it; nothing where an id does not tell."""
    if event_id.version != WITH_TIME:
        return []
    with suppress(ValueError, OverflowError):
        return [datetime.fromtimestamp((event_id.int >> 80) / 1000, UTC)]
    return []


def _rows(connection: Connection, where: ColumnElement[bool], ids: Ids) -> Sequence[Row[Any]]:
    return connection.execute(select(*_COLUMNS).where(_id >= ids[0], _id < ids[1], where).order_by(_id)).all()


def _all_ids(connection: Connection, times: Sequence[datetime]) -> Iterator[Ids]:
    """Yield the ids that rows of these times can have, in each range."""
    for first, end in _ranges(connection):
        if end - first <= FEW or not times:
            yield first, min(end, first + FEW)
            continue
        oldest = connection.scalar(select(_at).where(_id >= first).order_by(_id).limit(1))
        moments = sorted(moment for moment in times if oldest is None or moment + SLACK >= oldest)
        if len(moments) > MOST_MOMENTS:
            yield _between(connection, (first, end), moments[0], moments[-1])
        else:
            yield from _merged([_between(connection, (first, end), moment, moment) for moment in moments])


def _ranges(connection: Connection) -> Iterator[Ids]:
    """Yield where the ids begin and end: of the queue, and of each partition that is set aside."""
    last = connection.scalar(select(_id).order_by(_id.desc()).limit(1))
    for _ in range(MOST_RANGES):
        if last is None:
            return
        begin = last // ASIDE_RANGE * ASIDE_RANGE
        first = connection.scalar(select(_id).where(_id >= begin).order_by(_id).limit(1))
        yield begin if first is None else first, last + 1
        last = connection.scalar(select(_id).where(_id < begin).order_by(_id.desc()).limit(1))


def _between(connection: Connection, ids: Ids, first: datetime, last: datetime) -> Ids:
    return _narrowed(connection, ids, first - SLACK)[0], _narrowed(connection, ids, last + SLACK)[1]


def _narrowed(connection: Connection, ids: Ids, moment: datetime) -> Ids:
    """Return a few ids among which the rows from this moment on begin."""
    first, end = ids
    while end - first > FEW:
        middle = (first + end) // 2
        query = select(_id, _at).where(_id >= middle, _id < end).order_by(_id).limit(1)
        row = connection.execute(query).first()
        if row is None or row.created_at >= moment:
            end = middle
        else:
            first = row.id
    return first, end


def _merged(found: Sequence[Ids]) -> Iterator[Ids]:
    """Yield each id once; `found` is in the order of times."""
    rest = list(found)
    while rest:
        first, end = rest.pop(0)
        while rest and rest[0][0] <= end:
            end = max(end, rest.pop(0)[1])
        yield first, end
