"""The one reply of each command [K4-K9], built where its decision is known."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.models.records import ReceivedCommand
from app.models.rules import Change, Decision, Refusal
from app.utils.text import clip
from app.wire.command_types import COMMAND_TYPES
from app.wire.events import envelope


@dataclass(frozen=True, slots=True)
class Reply:
    """One row of the outbox."""

    event_id: uuid.UUID
    key: str
    type: str
    correlation_id: str
    version: int | None
    payload: bytes
    traceparent: str | None


def reply(received: ReceivedCommand, decision: Decision, event_id: uuid.UUID, now: datetime) -> Reply:
    """Return the reply that tells the sender of the command what was decided."""
    kind, correlation_id = COMMAND_TYPES[received.type], received.correlation_id
    key, version = received.order_id, None
    if isinstance(decision, Refusal):
        reply_type, subject = kind.failure, key
        if kind.subject == "saga_id":
            key, subject = None, received.saga_id
        payload: dict[str, Any] = {kind.subject: subject, "error": clip(decision.message), "code": decision.code}
    else:
        reply_type, key = kind.success, decision.order.order_id
        payload = kind.reply(received, decision.order)
        if isinstance(decision, Change):
            payload["version"] = version = decision.order.version
    payload["correlation_id"] = correlation_id
    body = envelope(reply_type, event_id, correlation_id, now, payload)
    return Reply(event_id, key or correlation_id, reply_type, correlation_id, version, body, received.traceparent)
