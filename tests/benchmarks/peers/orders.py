"""What the peers share: the checked body, the order as JSON, the event around it."""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

CEILING = Decimal("999.99")
CENT = Decimal("0.01")
MAX_QUANTITY = 10_000

Dumps = Callable[[Any], bytes]


class Refused(Exception):
    """The body cannot be used; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Event:
    """One record for the events topic, before it has a place in it."""

    event_id: uuid.UUID
    key: str
    type: str
    correlation_id: str
    version: int
    payload: bytes

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """The headers of the record."""
        named = {"event_id": str(self.event_id), "type": self.type, "correlation_id": self.correlation_id}
        return [(name, text.encode()) for name, text in {**named, "version": str(self.version)}.items()]


def dumps(value: Any) -> bytes:
    """Write JSON with the standard library."""
    return json.dumps(value).encode()


def utc_now() -> datetime:
    """Return the time as the table holds it."""
    return datetime.now(UTC).replace(tzinfo=None)


def order_of(body: Any, saga_id: str | None = None) -> dict[str, Any]:
    """Return the columns of the new order that a body (or a command's payload) asks for. Raises Refused."""
    if not isinstance(body, dict) or not body:
        raise Refused("No data provided")
    details = body.get("order_details")
    details = details if isinstance(details, dict) else {}
    wanted = {"customer_id": body, "foodItems": details, "deliveryLocation": details}
    missing = [name for name, holder in wanted.items() if not holder.get(name)]
    if missing:
        raise Refused(f"Missing required fields: {', '.join(missing)}")
    for value in (body["customer_id"], details["deliveryLocation"], details.get("storeLocation") or "-"):
        if not isinstance(value, str) or len(value) > 255:
            raise Refused("ids and locations must be texts of at most 255 characters")
    items = details["foodItems"]
    fees = food_fee_of(items), fee_of(details.get("deliveryFee") or 0)
    store, place = details.get("storeLocation") or None, details["deliveryLocation"]
    return columns(body["customer_id"], items, *fees, store, place, saga_id)


def food_fee_of(items: Sequence[Any]) -> Decimal:
    """Return what the items cost together. Raises Refused."""
    return cents(sum((_price(item) for item in items), Decimal(0)))


def fee_of(value: Any) -> Decimal:
    """Return a fee as it was sent, a number or its text. Raises Refused."""
    return cents(_amount(value))


def columns(
    customer_id: str,
    items: Sequence[Mapping[str, Any]],
    food_fee: Decimal,
    delivery_fee: Decimal,
    store_location: str | None,
    delivery_location: str,
    saga_id: str | None = None,
) -> dict[str, Any]:
    """Return the columns of a new order."""
    now = utc_now()
    return {
        "order_id": str(uuid.uuid4()),
        "cust_id": customer_id,
        "order_description": json.dumps(items),
        "food_fee": food_fee,
        "delivery_fee": delivery_fee,
        "store_location": store_location,
        "delivery_location": delivery_location,
        "order_status": "PENDING",
        "payment_status": "PENDING",
        "saga_id": saga_id,
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }


def cents(value: Decimal) -> Decimal:
    """Return the fee in cents. Raises Refused over the ceiling."""
    rounded = value.quantize(CENT, ROUND_HALF_UP)
    if rounded > CEILING:
        raise Refused(f"fees must be at most {CEILING} dollars")
    return rounded


def _price(item: Any) -> Decimal:
    quantity = item.get("quantity") if isinstance(item, dict) else None
    if not isinstance(quantity, int) or not 1 <= quantity <= MAX_QUANTITY:
        raise Refused(f"quantity must be a whole number from 1 to {MAX_QUANTITY}")
    return _amount(item.get("price")) * quantity


def _amount(value: Any) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise Refused("prices and fees must be numbers") from None
    if not number.is_finite() or number < 0:
        raise Refused("prices and fees must not be negative")
    return number


def order_json(order: Any) -> dict[str, Any]:
    """Return the JSON of an order, whose attributes are the columns."""
    times = {
        name: getattr(order, column, None)
        for name, column in (
            ("createdAt", "created_at"),
            ("updatedAt", "updated_at"),
            ("acceptedAt", "accepted_at"),
            ("placedAt", "placed_at"),
            ("pickedUpAt", "picked_up_at"),
            ("deliveredAt", "delivered_at"),
            ("completedAt", "completed_at"),
            ("cancelledAt", "cancelled_at"),
        )
    }
    return {
        "orderId": order.order_id,
        "custId": order.cust_id,
        "runnerId": getattr(order, "runner_id", None),
        "orderDescription": order.order_description,
        "foodFee": float(order.food_fee),
        "deliveryFee": float(order.delivery_fee),
        "storeLocation": order.store_location,
        "deliveryLocation": order.delivery_location,
        "orderStatus": order.order_status,
        "sagaId": order.saga_id,
        **{name: time and time.replace(tzinfo=UTC).isoformat() for name, time in times.items()},
        "paymentStatus": order.payment_status,
        "cancelReason": getattr(order, "cancel_reason", None),
        "version": order.version,
    }


def change_event(order: Any, event_type: str, status: str, correlation_id: str, dump: Dumps = dumps) -> Event:
    """Return the event that announces a change made over HTTP."""
    payload = {
        "customerId": order.cust_id,
        "runnerId": getattr(order, "runner_id", None),
        "orderId": order.order_id,
        "status": status,
        "event": dump(order_json(order)).decode(),
        "correlation_id": correlation_id,
        "source": "order-service",
        "version": order.version,
    }
    return envelope(order, event_type, correlation_id, payload, dump)


def envelope(
    order: Any, event_type: str, correlation_id: str, payload: Mapping[str, Any], dump: Dumps = dumps
) -> Event:
    """Return the event around a payload."""
    event_id = uuid.uuid4()
    whole = {
        "type": event_type,
        "correlation_id": correlation_id,
        "timestamp": datetime.now(UTC).isoformat(),
        "payload": payload,
        "source": "order-service",
        "event_id": str(event_id),
    }
    return Event(event_id, order.order_id, event_type, correlation_id, order.version, dump(whole))
