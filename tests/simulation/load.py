"""What is asked of the service in one seed: a few commands and HTTP calls, about few orders and nearly at once."""

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from app.models.commands import AcceptOrder, CancelOrder, Command, CompleteOrder, CreateOrder, UpdateStatus
from app.models.order import OrderState, OrderStatus
from app.utils.ids import saga_order_id

START = datetime(2026, 9, 21, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)
LOAD_SECONDS = 2.0
LAST_COMMAND_SECONDS = 2 * LOAD_SECONDS
STATUSES = ("CREATED", "PLACED", "ON_THE_WAY", "DELIVERED", "COMPLETED")
UNREADABLE = (b"not JSON", b'{"type": "unknown"}', None)
OLD_ORDER = OrderState(
    order_id="old-order",
    cust_id="customer",
    order_description="[]",
    food_fee=Decimal("10.00"),
    delivery_fee=Decimal("0.00"),
    delivery_location="Dorm 5",
    order_status=OrderStatus.CREATED,
    created_at=START,
    updated_at=START,
)
"""It is there from the start, in version 1."""


@dataclass(frozen=True, slots=True)
class Published:
    """A record for the commands topic. `timestamp` in milliseconds; `gap`: an offset before it is empty."""

    time: float
    partition: int
    value: bytes | None
    timestamp: int
    gap: bool


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP call to one of the instances."""

    time: float
    instance: int
    command: Command
    correlation_id: str


@dataclass(frozen=True, slots=True)
class Load:
    """All of it."""

    commands: list[Published]
    requests: list[Request]


def draw_load(chance: random.Random, instances: int) -> Load:
    """Draw the load of a seed."""
    order_ids = [OLD_ORDER.order_id]
    commands: list[Published] = []
    for saga in range(chance.randint(1, 2)):
        commands += _saga(chance, f"saga-{saga}", order_ids)
    for number in range(chance.randint(2, 4)):
        commands += _published(chance, _change(chance, f"change-{number}", chance.choice(order_ids)))
    for _ in range(chance.randint(0, 3)):
        commands += _published(chance, chance.choice(UNREADABLE))
    requests = [_request(chance, f"http-{number}", instances, order_ids) for number in range(chance.randint(1, 4))]
    return Load(commands, requests)


def _saga(chance: random.Random, saga_id: str, order_ids: list[str]) -> list[Published]:
    """A create, perhaps the same saga's once more, with other bytes."""
    published = _published(chance, _create(saga_id, f"{saga_id}-create"), early=True)
    order_ids.append(saga_order_id(saga_id, published[0].timestamp))
    if chance.random() < 0.4:
        published += _published(chance, _create(saga_id, f"{saga_id}-again"), early=True)
    return published


def _published(chance: random.Random, value: bytes | None, early: bool = False) -> list[Published]:
    """A record, perhaps twice, as old producers do: the same bytes and time, in whatever partition."""
    time = chance.random() * LOAD_SECONDS * (0.3 if early else 1.0)
    times = [time, time + chance.random() * LOAD_SECONDS] if chance.random() < 0.3 else [time]
    stamp = START_MS + int(time * 1000)
    return [Published(at, chance.randrange(3), value, stamp, chance.random() < 0.1) for at in times]


def _create(saga_id: str, correlation_id: str) -> bytes:
    details = {"foodItems": [{"name": "Burrito", "price": 8.5, "quantity": 2}], "deliveryLocation": "Dorm 5"}
    payload = {"customer_id": "customer", "order_details": details, "saga_id": saga_id}
    return _envelope("create_order", correlation_id, payload)


def _change(chance: random.Random, correlation_id: str, order_id: str) -> bytes:
    if chance.random() < 0.2:
        return _envelope("cancel_order", correlation_id, {"order_id": order_id, "reason": "too late"})
    payload = {"order_id": order_id, "status": chance.choice(STATUSES)}
    return _envelope("update_order_status", correlation_id, payload)


def _envelope(command_type: str, correlation_id: str, payload: dict[str, Any]) -> bytes:
    return json.dumps({"type": command_type, "correlation_id": correlation_id, "payload": payload}).encode()


def _request(chance: random.Random, correlation_id: str, instances: int, order_ids: list[str]) -> Request:
    order_id = chance.choice(order_ids)
    commands: list[Command] = [
        UpdateStatus(order_id=order_id, status=OrderStatus(chance.choice(STATUSES))),
        AcceptOrder(order_id=order_id, runner_id="runner"),
        CancelOrder(order_id=order_id),
        CompleteOrder(order_id=order_id),
        _new_order(),
    ]
    time, instance = chance.random() * LOAD_SECONDS, chance.randrange(instances)
    return Request(time, instance, chance.choice(commands), correlation_id)


def _new_order() -> CreateOrder:
    return CreateOrder(
        customer_id="customer",
        order_description="[]",
        food_fee=Decimal("12.99"),
        delivery_fee=Decimal("0.00"),
        store_location=None,
        delivery_location="Dorm 5",
    )
