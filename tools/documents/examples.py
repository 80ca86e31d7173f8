"""One order's life, for the examples of the documents: the rules themselves make each state of it."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from app.models.commands import AcceptOrder, CancelOrder, ClearRunner, OrderCommand, UpdateStatus
from app.models.order import OrderState, OrderStatus, PaymentStatus
from app.models.rules import Change, decide

ORDER_ID = "01a20435-8cd0-7303-b4d3-9c5bde2f68e3"
CUSTOMER, RUNNER, SAGA = "customer-1", "runner-1", "saga-7d0c"
CORRELATION_ID = "b1f8a0f6-33a5-4b1e-8f5e-5a3c3c1f1d11"
EVENT_ID = uuid.UUID("01a20435-9f10-7b5a-8c55-1d8a3f0e9b21")
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(minutes=40)

ITEMS = [{"name": "Burrito", "price": 8.5, "quantity": 2}]
DETAILS: Mapping[str, Any] = {
    "foodItems": ITEMS,
    "storeLocation": "Food court",
    "deliveryLocation": "Dorm 5",
    "deliveryFee": 2.5,
}
TEXT_DETAILS: Mapping[str, Any] = {
    "foodItems": [{"item_name": "Soup", "price": "4.20", "quantity": "1", "spicy": True}],
    "deliveryLocation": "Library",
}

PENDING = OrderState(
    order_id=ORDER_ID,
    cust_id=CUSTOMER,
    order_description='[{"name":"Burrito","price":8.5,"quantity":2}]',
    food_fee=Decimal("17.00"),
    delivery_fee=Decimal("2.50"),
    store_location="Food court",
    delivery_location="Dorm 5",
    created_at=NOON,
    updated_at=NOON,
)


def after(order: OrderState, command: OrderCommand, minutes: int) -> OrderState:
    """Return the order after a command that the rules carry out, so many minutes after noon."""
    decision = decide(order, command, NOON + timedelta(minutes=minutes))
    assert isinstance(decision, Change)
    return decision.order


def _updated(order: OrderState, status: OrderStatus, minutes: int) -> OrderState:
    return after(order, UpdateStatus(order_id=ORDER_ID, status=status), minutes)


CREATED = after(
    PENDING,
    UpdateStatus(order_id=ORDER_ID, status=OrderStatus.CREATED, payment_status=PaymentStatus.AUTHORIZED),
    1,
)
ACCEPTED = after(CREATED, AcceptOrder(order_id=ORDER_ID, runner_id=RUNNER), 2)
PLACED = _updated(ACCEPTED, OrderStatus.PLACED, 5)
DELIVERED = _updated(_updated(PLACED, OrderStatus.ON_THE_WAY, 20), OrderStatus.DELIVERED, 30)
COMPLETED = _updated(DELIVERED, OrderStatus.COMPLETED, 31)
CANCELLED = after(CREATED, CancelOrder(order_id=ORDER_ID), 3)
CLEARED = after(ACCEPTED, ClearRunner(order_id=ORDER_ID), 3)
FROM_A_SAGA = replace(PENDING, saga_id=SAGA)
