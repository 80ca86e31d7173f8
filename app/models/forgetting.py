"""What becomes of an order when a person is forgotten, without a database: see app/operations/forget.py.

The order's figures stay: ids of things, fees, statuses, times. What tells about the person goes.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from app.models.order import OrderState, OrderStatus
from app.models.rules import Change, ChangeKind

GONE = "forgotten"
"""What stands in place of words that cannot be left out."""
NO_ITEMS = "[]"
"""A description is a JSON list; readers may parse it."""
OVER = frozenset({OrderStatus.DELIVERED, OrderStatus.COMPLETED, OrderStatus.CANCELLED})
"""In these statuses nobody needs to know any more where the order goes."""
EVERY = frozenset(OrderStatus)


class Role(StrEnum):
    """What a person is to an order."""

    CUSTOMER = "customer"
    RUNNER = "runner"


@dataclass(frozen=True, slots=True)
class Person:
    """A person to forget. `pseudonym`: drawn by lot, so that nothing leads from it to the id."""

    role: Role
    id: str
    pseudonym: str


def forget(order: OrderState, person: Person, now: datetime) -> Change:
    """Take the person out of an order of theirs.

    It is a change with a version: whoever has read the order before fails to write it.
    """
    moved = replace(order, version=order.version + 1, updated_at=now)
    if person.role is Role.RUNNER:
        moved = replace(moved, runner_id=person.pseudonym)
    else:
        moved = replace(moved, cust_id=person.pseudonym, order_description=NO_ITEMS)
        moved = replace(moved, delivery_location=GONE, cancel_reason=None)
    return Change(ChangeKind.FORGOTTEN, order, moved, moved.runner_id)
