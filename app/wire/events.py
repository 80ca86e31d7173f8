"""The records that go out on the events topic, as finished bytes [K2, K3, K12]."""

import uuid
from datetime import datetime
from typing import Any

from app.models.rules import Change, ChangeKind
from app.models.writes import NO_EVENT, Event
from app.wire.encoder import encode

SOURCE = "order-service"

EVENT_TYPES = {kind: f"ORDER_{kind.name}" for kind in ChangeKind}
"""The event of a change of each kind, over HTTP or by an operator. A Kafka change has its reply alone [K7]."""


def http_event(
    change: Change, change_id: uuid.UUID, correlation_id: str, version: int = 0, time: datetime | None = None
) -> Event:
    """Return the event of an HTTP change, NO_EVENT where it is not announced [H7].

    `version` and `time` of the change where the order may have moved on since: when it is announced again.
    """
    if not change.announce:
        return NO_EVENT
    order = change.order
    payload = {
        "customerId": order.cust_id,
        "runnerId": change.runner_id,
        "orderId": order.order_id,
        "status": change.kind.value,
        "event": encode(order.to_wire()).decode(),
        "correlation_id": correlation_id,
        "source": SOURCE,
        "version": version or order.version,
    }
    event_type = EVENT_TYPES[change.kind]
    return Event(event_type, envelope(event_type, change_id, correlation_id, time or order.updated_at, payload))


def envelope(
    event_type: str, event_id: uuid.UUID, correlation_id: str, now: datetime, payload: dict[str, Any]
) -> bytes:
    """Return the bytes of one record: the envelope of the contract around `payload` [K2]."""
    return encode(
        {
            "type": event_type,
            "correlation_id": correlation_id,
            "timestamp": now.isoformat(),
            "payload": payload,
            "source": SOURCE,
            "event_id": str(event_id),
        }
    )
