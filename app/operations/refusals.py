"""Requests that were refused, or lost races, as the table tells of them (app/services/refusals.py writes it)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Connection, Select, String, func, select, union
from sqlalchemy.dialects.postgresql import aggregate_order_by

from app.models.refusals import LOST_RACE, RefusedAlike
from app.models.service_tables import http_refusals as table
from app.utils.spans import span
from app.utils.text import counted
from app.wire.codes import CODES

MOST_ROWS = 1000  # the newest, that are looked at for each id
MOST = 50

_rows = table.c


@dataclass(frozen=True, slots=True)
class Refused(RefusedAlike):
    """Those of some time. `at`: when the last of them came."""

    at: datetime

    @property
    def outcome(self) -> str:
        """HTTP status and code; LOST_RACE where nothing was refused."""
        return self.code if self.code == LOST_RACE else f"{CODES.get(self.code, (400, ''))[0]} {self.code}"

    def is_of(self, some_id: str) -> bool:
        """Tell whether the requests had this Idempotency-Key, or the last of them this correlation id."""
        return some_id in (self.key, self.correlation_id)

    def told(self, now: datetime) -> str:
        """Return a line for a person."""
        last = f"the last {span((now - self.at).total_seconds())} ago"
        if self.code == LOST_RACE:
            return f"{self.path} lost {counted(self.times, 'race')} and was decided again, {last}"
        return f"{self.path} was answered {self.outcome} {counted(self.times, 'time')}, {last}"


def of_orders(order_ids: Sequence[str]) -> list[ColumnElement[bool]]:
    """Return the condition of requests about these orders."""
    return [_rows.order_id == order_id for order_id in order_ids]


def of_id(some_id: str) -> list[ColumnElement[bool]]:
    """Return the conditions of requests with this id of an order, Idempotency-Key or correlation id."""
    return [_rows.order_id == some_id, _rows.key == some_id, _rows.correlation_id == some_id]


def read(connection: Connection, conditions: Sequence[ColumnElement[bool]]) -> list[Refused]:
    """Return what was refused, the latest first, MOST at most. Each condition has an index of its own."""
    if not conditions:
        return []
    rows = union(*(_newest(condition) for condition in conditions)).subquery().c
    last = func.max(rows.created_at)
    newest_first = aggregate_order_by(rows.correlation_id, rows.created_at.desc())
    correlation_ids: Any = func.array_agg(newest_first, type_=ARRAY(String))
    query = (
        select(rows.path, rows.code, rows.order_id, rows.key, correlation_ids[1], func.sum(rows.times), last)
        .group_by(rows.path, rows.code, rows.order_id, rows.key)
        .order_by(last.desc())
        .limit(MOST)
    )
    return [Refused(*row) for row in connection.execute(query)]


def _newest(condition: ColumnElement[bool]) -> Select[Any]:
    return select(table).where(condition).order_by(_rows.id.desc()).limit(MOST_ROWS).subquery().select()
