"""A record of the events topic, read again: what it announced, and of a change over HTTP the whole order after it."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pydantic.alias_generators import to_camel

from app.models.errors import Refused
from app.models.order import OrderState, OrderStatus, PaymentStatus
from app.models.rules import ChangeKind
from app.wire.decoder import decode
from app.wire.events import EVENT_TYPES

_NOT_OURS = "the event {} is not as this service writes it"
_ORDER_EVENTS = frozenset(EVENT_TYPES.values())
_WIRE = {field.name: to_camel(field.name) for field in fields(OrderState)}
"""The member of the order JSON for each field of OrderState, as `to_wire` writes it."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A record of ours. `version`: None where it announces no change; `value` is its bytes."""

    event_id: uuid.UUID
    key: str
    type: str
    version: int | None
    value: bytes

    @property
    def has_order(self) -> bool:
        """Whether it announces a change over HTTP, or by an operator, with the whole order after it."""
        return self.type in _ORDER_EVENTS and self.version is not None


@dataclass(frozen=True, slots=True)
class AnnouncedChange:
    """A change over HTTP as its event tells it. `runner_id`: the runner concerned [K12]."""

    kind: ChangeKind
    order: OrderState
    runner_id: str | None
    correlation_id: str


def announced(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> Announced | None:
    """Return what the record announces, None where it is none of ours. Raises nothing."""
    named = {name: text for name, text in headers if text is not None}
    try:
        event_id, kind = uuid.UUID(named["event_id"].decode()), named["type"].decode()
        version = int(named["version"]) if "version" in named else None
        return Announced(event_id, (key or b"").decode(), kind, version, value or b"")
    except (KeyError, ValueError):
        return None


def time_of(event: Announced) -> datetime:
    """Return the time in the envelope. Raises ValueError."""
    try:
        return _time(_body(event)["timestamp"])
    except TypeError as error:
        raise ValueError(_NOT_OURS.format(event.event_id)) from error


def change_of(event: Announced) -> AnnouncedChange:
    """Return the change that an event with an order announces. Raises ValueError where it is not as we write it."""
    payload = _body(event)["payload"]
    try:
        order = _order(decode(payload["event"].encode()))
        kind = ChangeKind(payload["status"])
        return AnnouncedChange(kind, order, payload["runnerId"], payload["correlation_id"])
    except (Refused, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(_NOT_OURS.format(event.event_id)) from error


def _body(event: Announced) -> Any:
    try:
        body = decode(event.value)
        body["timestamp"], body["payload"]
    except (Refused, KeyError, TypeError) as error:
        raise ValueError(_NOT_OURS.format(event.event_id)) from error
    return body


def _order(wire: Any) -> OrderState:
    values = {name: wire[member] for name, member in _WIRE.items()}
    for name in ("food_fee", "delivery_fee"):
        values[name] = None if values[name] is None else Decimal(str(values[name]))
    for name in values:
        if name.endswith("_at"):
            values[name] = None if values[name] is None else _time(values[name])
    values["order_status"] = OrderStatus(values["order_status"])
    values["payment_status"] = PaymentStatus(values["payment_status"])
    return OrderState(**values)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
