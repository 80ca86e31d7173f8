"""What must be right for a figure to count: every answer, every row, every event."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any


class Wrong(Exception):
    """An answer was wrong or an event is missing; the sentence says which. No figure of this run counts."""


def require(holds: bool, sentence: str) -> None:
    """Raise Wrong unless `holds`."""
    if not holds:
        raise Wrong(sentence)


FIELDS = {
    "orderId": "order_id",
    "custId": "cust_id",
    "runnerId": "runner_id",
    "orderDescription": "order_description",
    "foodFee": "food_fee",
    "deliveryFee": "delivery_fee",
    "storeLocation": "store_location",
    "deliveryLocation": "delivery_location",
    "orderStatus": "order_status",
    "sagaId": "saga_id",
    "createdAt": "created_at",
    "updatedAt": "updated_at",
    "acceptedAt": "accepted_at",
    "placedAt": "placed_at",
    "pickedUpAt": "picked_up_at",
    "deliveredAt": "delivered_at",
    "completedAt": "completed_at",
    "cancelledAt": "cancelled_at",
    "paymentStatus": "payment_status",
    "cancelReason": "cancel_reason",
    "version": "version",
}
"""The order JSON of the contract, and the column of each."""


def order_differs(order: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which an order's JSON is not its row, with both values."""
    pairs = {name: (_plain(order.get(name)), _column(row[column])) for name, column in FIELDS.items()}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


@dataclass(frozen=True, slots=True)
class Announced:
    """An event as it is on the topic, or in the outbox."""

    event_id: str
    order_id: str
    value: bytes


def event_differs(event: Announced, row: Mapping[str, Any], event_type: str) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which the event of a change is not as the contract has it for the row."""
    envelope = json.loads(event.value)
    payload = envelope["payload"]
    expected = {
        "key": row["order_id"],
        "type": event_type,
        "event_id": event.event_id,
        "source": "order-service",
        "orderId": row["order_id"],
        "customerId": row["cust_id"],
        "runnerId": row["runner_id"],
        "version": row["version"],
        "correlation_id": payload["correlation_id"],
    }
    found = {**payload, **envelope, "key": event.order_id}
    pairs = {name: (found.get(name), wanted) for name, wanted in expected.items()}
    differs = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    return differs | order_differs(json.loads(payload["event"]), row)


def _column(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    return float(value) if isinstance(value, Decimal) else value


def _plain(value: Any) -> Any:
    """Return a time as a time; a text that is none is left as it is."""
    if isinstance(value, str) and value[4:5] == "-" and "T" in value:
        return datetime.fromisoformat(value)
    return value
