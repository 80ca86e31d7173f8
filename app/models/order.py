"""The order as a value, without a database: the rules decide about it, the wire shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class OrderStatus(StrEnum):
    """Where an order stands; the value is the name on the wire and in the table [O4]."""

    PENDING = "PENDING"
    CREATED = "CREATED"
    ACCEPTED = "ACCEPTED"
    PLACED = "PLACED"
    ON_THE_WAY = "ON_THE_WAY"
    DELIVERED = "DELIVERED"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"


class PaymentStatus(StrEnum):
    """Where the money stands, as the orchestrators report it [O5]."""

    PENDING = "PENDING"
    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"
    REFUNDED = "REFUNDED"
    FAILED = "FAILED"


TIME_OF_STATUS: Mapping[OrderStatus, str] = MappingProxyType(
    {
        OrderStatus.ACCEPTED: "accepted_at",
        OrderStatus.PLACED: "placed_at",
        OrderStatus.ON_THE_WAY: "picked_up_at",
        OrderStatus.DELIVERED: "delivered_at",
        OrderStatus.COMPLETED: "completed_at",
        OrderStatus.CANCELLED: "cancelled_at",
    }
)
"""The time that entering a status sets [R3]. PENDING and CREATED set none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderState:
    """One version of one order. Times are aware and in UTC, money is in dollars with two decimals.

    An order of a table that was taken over may lack what each of ours has; on the wire that is null.
    """

    order_id: str
    cust_id: str
    runner_id: str | None = None
    order_description: str
    food_fee: Decimal
    delivery_fee: Decimal
    store_location: str | None = None
    delivery_location: str
    order_status: OrderStatus = OrderStatus.PENDING
    payment_status: PaymentStatus = PaymentStatus.PENDING
    cancel_reason: str | None = None
    saga_id: str | None = None
    version: int = 1
    created_at: datetime
    updated_at: datetime
    accepted_at: datetime | None = None
    placed_at: datetime | None = None
    picked_up_at: datetime | None = None
    delivered_at: datetime | None = None
    completed_at: datetime | None = None
    cancelled_at: datetime | None = None

    @property
    def holder(self) -> str | None:
        """The runner that has the order now: only from ACCEPTED up to COMPLETED does a runner hold one [R4]."""
        held = OrderStatus.ACCEPTED, OrderStatus.PLACED, OrderStatus.ON_THE_WAY
        held_to_the_end = OrderStatus.DELIVERED, OrderStatus.COMPLETED
        return self.runner_id if self.order_status in held + held_to_the_end else None

    def to_wire(self) -> dict[str, Any]:
        """Return the order JSON of the contract [O1-O5]; the encoder writes Decimal as a number, a time in ISO 8601."""
        return {
            "orderId": self.order_id,
            "custId": self.cust_id,
            "runnerId": self.runner_id,
            "orderDescription": self.order_description,
            "foodFee": _money(self.food_fee),
            "deliveryFee": _money(self.delivery_fee),
            "storeLocation": self.store_location,
            "deliveryLocation": self.delivery_location,
            "orderStatus": self.order_status.value,
            "sagaId": self.saga_id,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "acceptedAt": self.accepted_at,
            "placedAt": self.placed_at,
            "pickedUpAt": self.picked_up_at,
            "deliveredAt": self.delivered_at,
            "completedAt": self.completed_at,
            "cancelledAt": self.cancelled_at,
            "paymentStatus": self.payment_status.value,
            "cancelReason": self.cancel_reason,
            "version": self.version,
        }


def _money(amount: Decimal | None) -> Decimal | None:
    return amount if amount is not None and amount.is_finite() else None  # numeric has a NaN, JSON has not
