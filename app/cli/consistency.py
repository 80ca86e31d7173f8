"""What must be true between the tables, as queries that find where it is not. All of it is read at one instant."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Subquery, cast, column, exists, func, not_, or_, select, text
from sqlalchemy import Text as SqlText

from app.models.models import (
    Order,
    dead_letters,
    lost_events,
    order_changes,
    order_count_deltas,
    order_count_floors,
    outbox,
    saga_orders,
    taken_out_events,
)
from app.wire.command_types import COMMAND_TYPES

EXAMPLES = 3

_orders = Order.__table__
_KINDS = "kinds_of_order(order_status, cust_id, runner_id, created_at) AS kinds"
MISCOUNTED = text(
    "SELECT concat(kind, ' ', value, ' (', sum(counted), ', there are ', sum(found), ')') AS example FROM ("
    "SELECT kind, value, orders AS counted, 0 AS found FROM order_counts "
    f"UNION ALL SELECT kinds.kind, kinds.value, sign, 0 FROM order_count_deltas, {_KINDS} "
    f"UNION ALL SELECT kinds.kind, kinds.value, 0, 1 FROM orders, {_KINDS}"
    ") AS both_ways GROUP BY kind, value HAVING sum(counted) <> sum(found)"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, in one sentence with some examples."""

    check: str
    count: int
    sentence: str
    examples: tuple[str, ...]

    def __str__(self) -> str:
        more = f" and {self.count - len(self.examples)} more" if self.count > len(self.examples) else ""
        return f"{self.sentence}: {', '.join(self.examples)}{more}." if self.examples else f"{self.sentence}."


def examine(connection: Connection, late_seconds: int) -> list[Finding]:
    """Return everything that is wrong between the tables. Blocks for some seconds per million changes."""
    found = []
    for check, (sentence, query) in _checks(timedelta(seconds=late_seconds)).items():
        rows = connection.execute(query.add_columns(func.count().over()).limit(EXAMPLES)).all()
        if rows:
            found.append(Finding(check, rows[0][1], sentence, tuple(row[0] for row in rows)))
    return found


def count(connection: Connection) -> dict[str, int]:
    """Return how many rows were compared, by table."""
    tables = (_orders, order_changes, saga_orders, outbox, dead_letters)
    return {str(table.name): connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


def _checks(late: timedelta) -> Mapping[str, tuple[str, Select[Any]]]:
    history = (
        select(
            order_changes.c.order_id,
            func.min(order_changes.c.version).label("lowest"),
            func.max(order_changes.c.version).label("highest"),
            func.count().label("lines"),
        )
        .group_by(order_changes.c.order_id)
        .subquery()
    )
    return {**_of_history(history), **_of_outbox(late), **_of_sagas(), **_of_dead_letters(late), **_of_counts()}


def _of_history(history: Subquery) -> dict[str, tuple[str, Select[Any]]]:
    last = order_changes
    # An order that was taken over has version 1 and no line of it.
    newest = func.coalesce(history.c.highest, 1)
    to_last = (last.c.order_id == history.c.order_id) & (last.c.version == history.c.highest)
    return {
        "version": (
            "The version of an order is not that of its last line of history",
            select(_text(_orders.c.order_id, " (", _orders.c.version, ", history ", newest, ")"))
            .select_from(_orders.outerjoin(history, history.c.order_id == _orders.c.order_id))
            .where(_orders.c.version != newest),
        ),
        "gap": (
            "The history of an order has a gap, or does not begin at version 1 or 2",
            select(_text(history.c.order_id, " (", history.c.lowest, " to ", history.c.highest, ")")).where(
                or_(
                    history.c.lowest.not_in((1, 2)),
                    history.c.lines != history.c.highest - history.c.lowest + 1,
                )
            ),
        ),
        "status": (
            "The status of an order is not that of its last line of history",
            select(_text(_orders.c.order_id, " (", _orders.c.order_status, ", history ", last.c.to_status, ")"))
            .select_from(_orders.join(history, history.c.order_id == _orders.c.order_id).join(last, to_last))
            .where(or_(_orders.c.order_status != last.c.to_status, _orders.c.payment_status != last.c.payment_status)),
        ),
        "history_without_order": (
            "There is history of an order that is not there",
            select(history.c.order_id).where(not_(_is_order(history.c.order_id))),
        ),
    }


def _of_outbox(late: timedelta) -> dict[str, tuple[str, Select[Any]]]:
    event = _text(outbox.c.id, " (", outbox.c.type, " of ", outbox.c.aggregateid, ")")
    line = exists().where(order_changes.c.order_id == outbox.c.aggregateid, order_changes.c.version == outbox.c.version)
    refusals = tuple(kind.failure for kind in COMMAND_TYPES.values())
    taken, lost = taken_out_events.c, lost_events.c
    return {
        "event_without_history": (
            "An event in the outbox has a version that is not in the history",
            select(event).where(outbox.c.version.is_not(None), not_(line)),
        ),
        "event_without_order": (
            "An event in the outbox is about an order that is not there",
            select(event).where(outbox.c.type.not_in(refusals), not_(_is_order(outbox.c.aggregateid))),
        ),
        "late_event": (
            f"An event has waited in the outbox for over {late.seconds} s",
            select(event).where(outbox.c.created_at < func.now() - late),
        ),
        "lost_event": (
            "Kafka has lost an event that it had acknowledged (see `flask orders outbox announce-again`)",
            select(_text(lost.order_id, " (version ", lost.version, ")"))
            .where(lost.announced_at.is_(None))
            .order_by(lost.order_id, lost.version),
        ),
        "taken_out_event": (
            "An event was taken out of the outbox: consumers have a hole (see `flask orders outbox put-back`)",
            select(
                _text(taken.outbox_id, " (", taken.type, " of ", taken.aggregateid, ", version ", taken.version, ")")
            ).where(taken.put_back_at.is_(None)),
        ),
    }


def _of_sagas() -> dict[str, tuple[str, Select[Any]]]:
    points = exists().where(_orders.c.order_id == saga_orders.c.order_id, _orders.c.saga_id == saga_orders.c.saga_id)
    known = exists().where(saga_orders.c.saga_id == _orders.c.saga_id)
    return {
        "saga_without_order": (
            "A saga id points to an order that is not there, or that is another saga's",
            select(_text(saga_orders.c.saga_id, " (", saga_orders.c.order_id, ")")).where(not_(points)),
        ),
        "order_without_saga": (
            "An order was made by a saga id that is not remembered: sent again it would make a second order",
            select(_text(_orders.c.order_id, " (", _orders.c.saga_id, ")")).where(
                _orders.c.saga_id.is_not(None), not_(known)
            ),
        ),
    }


def _of_dead_letters(late: timedelta) -> dict[str, tuple[str, Select[Any]]]:
    letters = dead_letters.c
    return {
        "late_dead_letter": (
            f"A dead letter has waited to be sent for over {late.seconds} s",
            select(_text(letters.id, " (", letters.error, ")")).where(
                letters.sent_at.is_(None), letters.created_at < func.now() - late
            ),
        )
    }


def _of_counts() -> dict[str, tuple[str, Select[Any]]]:
    miscounted = MISCOUNTED.columns(column("example", SqlText)).subquery("miscounted")
    deltas = order_count_deltas.c
    floor = select(func.max(order_count_floors.c.id)).scalar_subquery()
    return {
        "count": ("The number of orders of a list is wrong (see `flask orders recount`)", select(miscounted.c.example)),
        "count_unseen": (
            "A change of an order lies below the floor of the counts, so lists miss it (see `flask orders recount`)",
            select(_text(deltas.id, " (", deltas.sign, " ", deltas.order_status, ")")).where(deltas.id <= floor),
        ),
    }


def _is_order(order_id: ColumnElement[str]) -> ColumnElement[bool]:
    return exists().where(_orders.c.order_id == order_id)


def _text(*parts: ColumnElement[Any] | str) -> ColumnElement[str]:
    return func.concat(*(part if isinstance(part, str) else cast(part, SqlText) for part in parts))
