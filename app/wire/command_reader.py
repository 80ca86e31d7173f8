"""From the bytes of a record to a command, a refusal with a reply, or a dead letter [K2, K4-K7, K10]."""

from dataclasses import dataclass
from typing import Any

from app.models.commands import Command, CompensateOrder, CreateOrder, UpdateStatus
from app.models.records import ReceivedCommand
from app.models.rules import Refusal
from app.utils.decoder import MAX_BYTES, MAX_DEPTH, Unreadable, decode, decode_leniently, is_storable, too_deep
from app.wire import fields
from app.wire.fields import Id, Input, InvalidFields, OrderDetails, Payment, Status, Text

DEFAULT_REASON = "Cancellation requested"


class CreateOrderPayload(Input):
    """Payload of `create_order` [K4]."""

    customer_id: Id
    order_details: OrderDetails
    saga_id: Id

    def command(self) -> CreateOrder:
        """Return the command that the payload asks for."""
        return self.order_details.create(self.customer_id, self.saga_id)


class UpdateStatusPayload(Input):
    """Payload of `update_order_status` [K5]."""

    order_id: Id
    status: Status
    payment_status: Payment | None = None

    def command(self) -> UpdateStatus:
        """Return the command that the payload asks for."""
        return UpdateStatus(order_id=self.order_id, status=self.status, payment_status=self.payment_status)


class CancelOrderPayload(Input):
    """Payload of `cancel_order` [K6]."""

    order_id: Id
    reason: Text = DEFAULT_REASON

    def command(self) -> CompensateOrder:
        """Return the command that the payload asks for."""
        return CompensateOrder(order_id=self.order_id, reason=self.reason)


PAYLOADS: dict[str, type[CreateOrderPayload | UpdateStatusPayload | CancelOrderPayload]] = {
    "create_order": CreateOrderPayload,
    "update_order_status": UpdateStatusPayload,
    "cancel_order": CancelOrderPayload,
}
"""Every command that this service takes, by its type on the wire."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that gets no reply: the sentence says why."""

    error: str


def parse_record(value: bytes | None) -> ReceivedCommand | DeadLetter:
    """Read the bytes of one record. Never raises: whatever they are, they have one of the two fates."""
    if value is None:
        return DeadLetter("The record is a tombstone")
    if len(value) > MAX_BYTES:
        return DeadLetter(f"The command is larger than {MAX_BYTES} bytes")
    if too_deep(value):
        return DeadLetter(f"The command is nested deeper than {MAX_DEPTH} levels")
    try:
        seen, unreadable = decode(value), None
    except Unreadable as error:
        seen, unreadable = decode_leniently(value), Refusal(error.code, str(error))
    if not isinstance(seen, dict):
        return DeadLetter("The command is not a JSON object")
    command_type = seen.get("type")
    if not isinstance(command_type, str) or command_type not in PAYLOADS:
        return DeadLetter("The command has no known type")
    payload = seen.get("payload")
    named = payload if isinstance(payload, dict) else {}
    saga_id = _usable(named.get("saga_id"))
    correlation_id = _usable(seen.get("correlation_id")) or _usable(named.get("correlation_id"))
    if correlation_id is None and command_type == "create_order":
        correlation_id = saga_id
    if correlation_id is None:
        return DeadLetter("The command has no usable correlation_id")
    command = unreadable or _command(command_type, {} if payload is None else payload)
    return ReceivedCommand(command_type, correlation_id, command, _usable(named.get("order_id")), saga_id)


def _command(command_type: str, payload: Any) -> Command | Refusal:
    if not isinstance(payload, dict):
        return Refusal("invalid_field", "payload must be an object")
    try:
        return fields.read(PAYLOADS[command_type], payload).command()
    except InvalidFields as error:
        return Refusal(error.code, str(error))


def _usable(text: Any) -> str | None:
    """Return the text where it can serve as an id, else None."""
    fits = isinstance(text, str) and 1 <= len(text) <= fields.MAX_ID_LENGTH and is_storable(text)
    return text if fits else None
