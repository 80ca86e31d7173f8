"""Rows of the `orders` table as OrderState, and back.

A table that was taken over, or that a person writes to, holds whatever the types of its columns allow. No such value
may keep a list, or another order, from being read: a value that an order cannot have is read as unknown.
"""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeVar

import psycopg2.extensions

from app.database.orders_sql import ORDER_COLUMNS
from app.models.order import OrderState, OrderStatus, PaymentStatus

_STATUS = list(ORDER_COLUMNS).index("order_status")
_PAYMENT = list(ORDER_COLUMNS).index("payment_status")
_TIMESTAMP = 1114  # the type's number in every PostgreSQL

_STATUSES: dict[Any, OrderStatus] = {status.value: status for status in OrderStatus}
_PAYMENTS: dict[Any, PaymentStatus] = {status.value: status for status in PaymentStatus}
_PUTS = [getattr(OrderState, name).__set__ for name in ORDER_COLUMNS]
"""Each puts a value into its slot. The constructor of a frozen dataclass takes three times as long, and a page has a
thousand orders."""

_in_order = attrgetter(*ORDER_COLUMNS)

assert set(ORDER_COLUMNS) == {field.name for field in fields(OrderState)}

Status = TypeVar("Status", OrderStatus, PaymentStatus)


def to_state(row: Sequence[Any]) -> OrderState:
    """Return the order of a row that has the columns ORDER_COLUMNS."""
    values = list(row)
    values[_STATUS] = _STATUSES.get(values[_STATUS]) or _unknown(OrderStatus, values[_STATUS])
    values[_PAYMENT] = _PAYMENTS.get(values[_PAYMENT]) or _unknown(PaymentStatus, values[_PAYMENT])
    order = object.__new__(OrderState)
    for put, value in zip(_PUTS, values, strict=True):
        put(order, value)
    return order


def to_row(order: OrderState) -> list[Any]:
    """Return the values of an order in the order of the columns ORDER_COLUMNS."""
    return list(_in_order(order))


def read_time(value: str | bytes | None, _: object = None) -> datetime | None:
    """Return a timestamp, which is in UTC, as an aware time; None for times beyond Python's: infinity, year 10000."""
    if value is None:
        return None
    try:
        return datetime.fromisoformat(f"{value!s}+00:00")
    except ValueError:
        return None


def _unknown(statuses: type[Status], value: Any) -> Status:
    """Return a status of any name, for a table without our constraint. The rules take it for PENDING."""
    unknown = str.__new__(statuses, value or "")
    unknown._name_ = unknown._value_ = value or ""
    return unknown


# psycopg2's own reader raises for one such time, and the whole answer is lost. This one is faster, too.
psycopg2.extensions.register_type(psycopg2.extensions.new_type((_TIMESTAMP,), "ORDER_TIME", read_time))
