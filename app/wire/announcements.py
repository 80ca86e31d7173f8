"""The event of a change, made again from the change's line of history and its order when the event's bytes are lost.

The new event has the id, version, key, type, status and time of the lost one. The history does not tell what the order
looked like then: the `event` text of an HTTP event is the order as it is now, with the version that it has now.
"""

import uuid
from dataclasses import dataclass, replace
from datetime import datetime

from app.models.order import OrderState, OrderStatus
from app.models.records import ReceivedCommand
from app.models.rules import Change, ChangeKind, Refusal
from app.models.writes import Event
from app.wire.command_types import COMMAND_TYPES
from app.wire.events import http_event
from app.wire.replies import reply

_COMMANDS = {kind.makes: kind.name for kind in COMMAND_TYPES.values()}
_NOT_KEPT = Refusal("", "The history does not have the command")


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
    traceparent: str | None = None


def announcement(line: HistoryLine, order: OrderState) -> Event:
    """Return the event of the change. Raises ValueError for a kind of change, or a status, that there is not."""
    kind = ChangeKind(line.kind)
    if line.door != "kafka":
        change = Change(kind, None, order, line.runner_id)
        return http_event(change, line.change_id, line.correlation_id, line.version, line.created_at)
    if kind not in _COMMANDS:
        raise ValueError(f"no command makes a change of the kind {kind}")
    after = replace(order, order_status=OrderStatus(line.to_status), version=line.version)
    received = ReceivedCommand(_COMMANDS[kind], line.correlation_id, _NOT_KEPT, line.order_id, order.saga_id)
    again = reply(received, Change(kind, None, after, line.runner_id), line.change_id, line.created_at)
    return Event(again.type, again.payload)
