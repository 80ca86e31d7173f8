"""Two sample commands: handled and rolled back, they show whether the service can handle commands at all."""

import json
from dataclasses import dataclass

from app.models.records import Headers


@dataclass(frozen=True, slots=True)
class Sample:
    """A record that no topic has."""

    value: bytes
    saga_id: str = "rehearsal"
    offset: int = 0
    timestamp: int = 0
    key: bytes | None = None
    headers: Headers = ()


def _command(command_type: str, **payload: object) -> Sample:
    envelope = {"type": command_type, "correlation_id": "rehearsal", "timestamp": None, "payload": payload}
    return Sample(json.dumps(envelope).encode())


A_CREATE = _command(
    "create_order",
    customer_id="rehearsal",
    saga_id="rehearsal",
    order_details={"foodItems": [{"name": "Soup", "price": 1, "quantity": 1}], "deliveryLocation": "nowhere"},
)


def an_update(order_id: str) -> Sample:
    """Return an update of the order that the create makes."""
    return _command("update_order_status", order_id=order_id, status="PLACED")
