"""Builders with defaults: a test names only what matters to it."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, settings

from app.models.commands import CreateOrder
from app.models.order import OrderState, OrderStatus

BOUNDED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MADE = NOW - timedelta(days=2)
EARLIER = NOW - timedelta(hours=1)
TIMES = ("accepted_at", "placed_at", "picked_up_at", "delivered_at", "completed_at", "cancelled_at")


def an_order(status: str = "CREATED", runner_id: str | None = None, **other: Any) -> OrderState:
    """An order with every time set, so that a test sees which one is touched."""
    values: dict[str, Any] = {
        "order_id": "order-1",
        "cust_id": "customer-1",
        "order_description": "[]",
        "food_fee": Decimal("10.00"),
        "delivery_fee": Decimal("3.99"),
        "delivery_location": "Dorm 5",
        "version": 7,
        "created_at": MADE,
        "updated_at": EARLIER,
        **dict.fromkeys(TIMES, EARLIER),
    }
    return OrderState(order_status=OrderStatus(status), runner_id=runner_id, **values | other)


def a_create(**other: Any) -> CreateOrder:
    values: dict[str, Any] = {
        "customer_id": "customer-1",
        "order_description": "[1]",
        "food_fee": Decimal("12.99"),
        "delivery_fee": Decimal("3.99"),
        "store_location": "Store",
        "delivery_location": "Dorm 5",
        "saga_id": "saga-1",
    }
    return CreateOrder(**values | other)


def an_item(**other: Any) -> dict[str, Any]:
    return {"name": "Burrito", "price": 8.5, "quantity": 2} | other


def some_details(**other: Any) -> dict[str, Any]:
    return {"foodItems": [an_item()], "deliveryLocation": "Dorm 5"} | other


PAYLOADS: dict[str, dict[str, Any]] = {
    "create_order": {"customer_id": "customer-1", "order_details": some_details(), "saga_id": "saga-1"},
    "update_order_status": {"order_id": "order-1", "status": "PLACED"},
    "cancel_order": {"order_id": "order-1", "reason": "too late"},
}


def an_envelope(command_type: str = "cancel_order", **other: Any) -> dict[str, Any]:
    envelope = {"type": command_type, "correlation_id": "corr-1", "payload": PAYLOADS.get(command_type, {})}
    return envelope | other


def a_command(command_type: str = "cancel_order", **other: Any) -> bytes:
    """The bytes of a command; `...` as a value leaves the field out."""
    fields = an_envelope(command_type, **other).items()
    return json.dumps({name: value for name, value in fields if value is not ...}).encode()
