"""The event of a change, made again from the change's line of history and its order when the event's bytes are lost.

The new event has the id, version, key, type, status and time of the lost one. The history does not tell what the order
looked like then: the `event` text of an HTTP event is the order as it is now, with the version that it has now.
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

_COMMANDS = {
    ChangeKind.CREATED: "create_order",
    ChangeKind.UPDATED: "update_order_status",
    ChangeKind.CANCELLED: "cancel_order",
}
"""The command that makes each kind of change over Kafka. No command makes the other kinds."""


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """A line of history: the columns that an event is made of."""

    change_id: uuid.UUID
    order_id: str
    version: int
    kind: str
    to_status: str
    runner_id: str | None
    door: str
    correlation_id: str
    created_at: datetime


def announcement(line: HistoryLine, order: OrderState) -> Event:
    """Return the event of the change. Raises ValueError for a kind of change that its door does not make."""
    kind = ChangeKind(line.kind)
    event_type, payload = _of_command(line, kind, order) if line.door == "kafka" else _of_http(line, kind, order)
    payload |= {"correlation_id": line.correlation_id, "version": line.version}
    return Event(event_type, envelope(event_type, line.change_id, line.correlation_id, line.created_at, payload))


def _of_command(line: HistoryLine, kind: ChangeKind, order: OrderState) -> tuple[str, dict[str, object]]:
    if kind not in _COMMANDS:
        raise ValueError(f"no command makes a change of the kind {kind}")
    payload: dict[str, object] = {"order_id": line.order_id, "status": line.to_status, "saga_id": order.saga_id}
    if kind is ChangeKind.CREATED:
        payload |= {"customer_id": order.cust_id}
    if kind is ChangeKind.CANCELLED:
        payload = {"order_id": line.order_id, "reason": order.cancel_reason}
    return COMMAND_TYPES[_COMMANDS[kind]].success, payload


def _of_http(line: HistoryLine, kind: ChangeKind, order: OrderState) -> tuple[str, dict[str, object]]:
    return EVENT_TYPES[kind], {
        "customerId": order.cust_id,
        "runnerId": line.runner_id,
        "orderId": line.order_id,
        "status": kind.value,
        "event": encode(order.to_wire()).decode(),
        "source": SOURCE,
    }
