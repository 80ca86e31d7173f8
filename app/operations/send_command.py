"""A command as an orchestrator would send it, or any bytes."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from app.kafka import operator as kafka
from app.kafka.operator import Place
from app.models.errors import Refused
from app.models.operator_errors import DatabaseUnusable, NotPossible, OperationFailed
from app.operations.audit import Operator
from app.operations.cluster import require_ours
from app.wire.decoder import decode
from app.wire.encoder import encode


@dataclass(frozen=True, slots=True)
class Sent:
    """Where a command is in the log. All replicas have it. `correlation_id` is None for raw bytes."""

    correlation_id: str | None
    place: Place


def send_command(
    operator: Operator, command_type: str, payload: bytes, *, correlation_id: str | None = None, key: str | None = None
) -> Sent:
    """Send the command. Raises NotPossible if the payload is no JSON object.

    Without a correlation id the command gets the payload's saga id, or else a new id.
    """
    body = _payload(payload)
    saga_id = body.get("saga_id")
    correlation_id = correlation_id or (saga_id if isinstance(saga_id, str) else None) or str(uuid.uuid4())
    now = datetime.now(UTC).isoformat()
    envelope = {"type": command_type, "correlation_id": correlation_id, "timestamp": now, "payload": body}
    return Sent(correlation_id, _send(operator, command_type, key, encode(envelope)))


def send_raw(operator: Operator, data: bytes, *, key: str | None = None) -> Sent:
    """Send the bytes to the commands topic as they are."""
    return Sent(None, _send(operator, "raw", key, data))


def _send(operator: Operator, what: str, key: str | None, data: bytes) -> Place:
    """Send the record between two transactions: however this program ends, a record that may be sent has its line."""
    settings = operator.settings
    with operator.change("send-command") as change:
        line = change.record(f"{what} to {settings.commands_topic}", "begun, its end is not known", data)
    encoded = None if key is None else key.encode()
    try:
        place = kafka.send(settings, settings.commands_topic, encoded, data, partial(require_ours, settings))
    except OperationFailed as failure:
        operator.complete(line, str(failure))
        raise
    try:
        operator.complete(line, f"sent as {place}")
    except DatabaseUnusable as failure:
        sent = f"The command was sent as {place}, but its audit line"
        raise DatabaseUnusable(f"{sent} does not say so: {failure}") from None
    return place


def _payload(data: bytes) -> dict[str, Any]:
    try:
        body = decode(data)
    except Refused as error:
        raise NotPossible(f"The payload cannot be read: {error}.") from None
    if not isinstance(body, dict):
        raise NotPossible("The payload must be a JSON object.")
    return body
