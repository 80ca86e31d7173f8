"""The event of a change once more, from its line of history and its order, where its own bytes are gone.

It has the event id, version, key, type, status and times that it had. One thing history does not hold: what the order
looked like then. The `event` text of an HTTP event is the order as it is now, and says so by its own version.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime

from app.models.order import OrderState
from app.models.rules import ChangeKind
from app.models.writes import Event
from app.wire.command_types import COMMAND_TYPES
from app.wire.encoder import encode
from app.wire.events import EVENT_TYPES, SOURCE, envelope

_COMMANDS = {ChangeKind.CREATED: "create_order", ChangeKind.CANCELLED: "cancel_order"}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of history, as far as an event tells of it."""

    change_id: uuid.UUID
    order_id: str
    version: int
    kind: str
    to_status: str
    runner_id: str | None
    door: str
    correlation_id: str
    created_at: datetime


def announcement(line: Line, order: OrderState) -> Event:
    """Return the event of the change."""
    kind = ChangeKind(line.kind)
    event_type, payload = _of_command(line, kind, order) if line.door == "kafka" else _of_http(line, kind, order)
    payload |= {"correlation_id": line.correlation_id, "version": line.version}
    return Event(event_type, envelope(event_type, line.change_id, line.correlation_id, line.created_at, payload))


def _of_command(line: Line, kind: ChangeKind, order: OrderState) -> tuple[str, dict[str, object]]:
    command = _COMMANDS.get(kind, "update_order_status")
    payload: dict[str, object] = {"order_id": line.order_id, "status": line.to_status, "saga_id": order.saga_id}
    if kind is ChangeKind.CREATED:
        payload |= {"customer_id": order.cust_id}
    if kind is ChangeKind.CANCELLED:
        payload = {"order_id": line.order_id, "reason": order.cancel_reason}
    return COMMAND_TYPES[command].success, payload


def _of_http(line: Line, kind: ChangeKind, order: OrderState) -> tuple[str, dict[str, object]]:
    return EVENT_TYPES[kind], {
        "customerId": order.cust_id,
        "runnerId": line.runner_id,
        "orderId": line.order_id,
        "status": kind.value,
        "event": encode(order.to_wire()).decode(),
        "source": SOURCE,
    }
