"""A command as an orchestrator would send it, or any bytes."""

import uuid
from collections.abc import Mapping
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

BEGUN = "begun, its end is not known"


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
    return Sent(correlation_id, _send(operator, command_type, key, command_bytes(command_type, correlation_id, body)))


def send_raw(operator: Operator, data: bytes, *, key: str | None = None) -> Sent:
    """Send the bytes to the commands topic as they are."""
    return Sent(None, _send(operator, "raw", key, data))


def command_bytes(command_type: str, correlation_id: str, payload: Mapping[str, Any]) -> bytes:
    """Return a command as an orchestrator sends it now."""
    now = datetime.now(UTC).isoformat()
    return encode({"type": command_type, "correlation_id": correlation_id, "timestamp": now, "payload": payload})


def _send(operator: Operator, what: str, key: str | None, data: bytes) -> Place:
    topic = operator.settings.commands_topic
    with operator.change("send-command") as change:
        line = change.record(f"{what} to {topic}", BEGUN, data)
    place = send_begun(operator, line, topic, None if key is None else key.encode(), data)
    try:
        operator.complete(line, f"sent as {place}")
    except DatabaseUnusable as failure:
        sent = f"The command was sent as {place}, but its audit line"
        raise DatabaseUnusable(f"{sent} does not say so: {failure}") from None
    return place


def send_begun(operator: Operator, line: int, topic: str, key: bytes | None, value: bytes | None) -> Place:
    """Send a record whose audit line is committed and says BEGUN; return its place. The caller completes the line.

    So a record that may be on the topic has a line, however this program ends. Raises OperationFailed if the record was
    not sent, or may not have been; then the line says why.
    """
    try:
        return kafka.send(operator.settings, topic, key, value, partial(require_ours, operator.settings))
    except OperationFailed as failure:
        operator.complete(line, str(failure))
        raise


def _payload(data: bytes) -> dict[str, Any]:
    try:
        body = decode(data)
    except Refused as error:
        raise NotPossible(f"The payload cannot be read: {error}.") from None
    if not isinstance(body, dict):
        raise NotPossible("The payload must be a JSON object.")
    return body
