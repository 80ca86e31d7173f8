"""The commands of both doors. They are built from checked input only."""

from dataclasses import dataclass
from decimal import Decimal

from app.models.order import OrderStatus, PaymentStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOrder:
    """Make a new order. `announce` is false for `testCreateOrder`, which publishes no event [H7]."""

    customer_id: str
    order_description: str
    food_fee: Decimal
    delivery_fee: Decimal
    store_location: str | None
    delivery_location: str
    saga_id: str | None = None
    announce: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateStatus:
    """Move an order to a status and, over Kafka, its payment too."""

    order_id: str
    status: OrderStatus
    payment_status: PaymentStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptOrder:
    """A runner wants the order."""

    order_id: str
    runner_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder:
    """The customer cancels (HTTP)."""

    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompensateOrder:
    """A saga cancels (Kafka `cancel_order`): a compensation, which must come to an end [K9]."""

    order_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAcceptance:
    """The runner gives the order back."""

    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearRunner:
    """Take the order from its runner; without `runner_id` from any runner (but see R8)."""

    order_id: str
    runner_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteOrder:
    """The order is done and paid."""

    order_id: str


OrderCommand = (
    UpdateStatus | AcceptOrder | CancelOrder | CompensateOrder | CancelAcceptance | ClearRunner | CompleteOrder
)
"""The commands about an order that exists."""

Command = CreateOrder | OrderCommand
