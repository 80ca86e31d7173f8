"""Between rows of the `orders` table and OrderState."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC
from operator import attrgetter
from typing import Any

from app.models.order import OrderState, OrderStatus, PaymentStatus
from app.models.statements import ORDER

_TIMES = tuple(place for place, kind in enumerate(ORDER.values()) if kind == "timestamp")
_STATUS = list(ORDER).index("order_status")
_PAYMENT = list(ORDER).index("payment_status")

_in_order = attrgetter(*ORDER)

assert set(ORDER) == {field.name for field in fields(OrderState)}


def to_state(row: Sequence[Any]) -> OrderState:
    """Return the order in a row whose columns are those of ORDER; its times become aware."""
    values = list(row)
    values[_STATUS] = OrderStatus(values[_STATUS])
    values[_PAYMENT] = PaymentStatus(values[_PAYMENT])
    for place in _TIMES:
        if values[place] is not None:
            values[place] = values[place].replace(tzinfo=UTC)
    return OrderState(**dict(zip(ORDER, values, strict=True)))


def to_row(order: OrderState) -> list[Any]:
    """Return the values of an order in the order of the columns ORDER."""
    return list(_in_order(order))
