"""From the bytes of a record to a command, a refusal with a reply, or a dead letter [K2, K4-K7, K10]."""

from dataclasses import dataclass
from typing import Any

from app.models.commands import Command
from app.models.errors import Refused
from app.models.records import ReceivedCommand
from app.models.rules import Refusal
from app.wire import fields
from app.wire.command_types import COMMAND_TYPES, CommandType
from app.wire.decoder import MAX_BYTES, MAX_DEPTH, decode, decode_leniently, too_deep


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that gets no reply: the sentence says why."""

    error: str


def parse_record(value: bytes | None, traceparent: str | None = None) -> ReceivedCommand | DeadLetter:
    """Return what the value of a record asks for, or why it gets no reply. Raises nothing.

    `traceparent`: the trace that the record's headers name.
    """
    if value is None:
        return DeadLetter("The record is a tombstone")
    if len(value) > MAX_BYTES:
        return DeadLetter(f"The command is larger than {MAX_BYTES} bytes")
    if too_deep(value):
        return DeadLetter(f"The command is nested deeper than {MAX_DEPTH} levels")
    try:
        seen, unreadable = decode(value), None
    except Refused as error:
        seen, unreadable = decode_leniently(value), Refusal(error.code, str(error))
    if not isinstance(seen, dict):
        return DeadLetter("The command is not a JSON object")
    name = seen.get("type")
    kind = COMMAND_TYPES.get(name) if isinstance(name, str) else None
    if kind is None:
        return DeadLetter("The command has no known type")
    payload = seen.get("payload")
    named = payload if isinstance(payload, dict) else {}
    saga_id = _usable_id(named.get("saga_id"))
    correlation_id = _usable_id(seen.get("correlation_id")) or _usable_id(named.get("correlation_id"))
    if correlation_id is None and kind.subject == "saga_id":
        correlation_id = saga_id
    if correlation_id is None:
        return DeadLetter("The command has no usable correlation_id")
    command = unreadable or _command(kind, {} if payload is None else payload)
    order_id = _usable_id(named.get("order_id"))
    return ReceivedCommand(kind.name, correlation_id, command, order_id, saga_id, traceparent)


def _command(kind: CommandType, payload: Any) -> Command | Refusal:
    if not isinstance(payload, dict):
        return Refusal("invalid_field", "payload must be an object")
    try:
        return fields.parse_body(kind.payload, payload).command()
    except Refused as error:
        return Refusal(error.code, str(error))


def _usable_id(text: Any) -> str | None:
    """Return the text where it can serve as an id, else None."""
    return text if isinstance(text, str) and fields.is_id(text) else None
