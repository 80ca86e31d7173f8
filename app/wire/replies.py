"""The one reply of each command [K4-K9], built where its decision is known."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.models.commands import CompensateOrder
from app.models.order import OrderState, OrderStatus
from app.models.records import ReceivedCommand
from app.models.rules import Change, Decision, Refusal
from app.utils.text import clip
from app.wire.events import envelope

SUCCESS_TYPES = {
    "create_order": "order.created",
    "update_order_status": "order.status_updated",
    "cancel_order": "order.cancelled",
}
FAILURE_TYPES = {
    "create_order": "order.creation_failed",
    "update_order_status": "order.status_update_failed",
    "cancel_order": "order.cancellation_failed",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """One row of the outbox."""

    event_id: uuid.UUID
    key: str
    type: str
    correlation_id: str
    version: int | None
    payload: bytes


def reply(received: ReceivedCommand, decision: Decision, event_id: uuid.UUID, now: datetime) -> Reply:
    """Return the reply that tells `decision` to the sender of the command."""
    if isinstance(decision, Refusal):
        return _failure(received, decision, event_id, now)
    order = decision.order
    payload = _success_payload(received, order)
    version = order.version if isinstance(decision, Change) else None
    if version is not None:
        payload["version"] = version
    return _reply(received, SUCCESS_TYPES[received.type], order.order_id, payload, version, event_id, now)


def _success_payload(received: ReceivedCommand, order: OrderState) -> dict[str, Any]:
    if received.type == "create_order":
        # As it was when it was made, also for a repeat [K8].
        status = OrderStatus.PENDING.value
        return {
            "order_id": order.order_id,
            "customer_id": order.cust_id,
            "status": status,
            "saga_id": received.saga_id,
        }
    if received.type == "update_order_status":
        return {"order_id": order.order_id, "status": order.order_status.value, "saga_id": order.saga_id}
    if order.order_status is not OrderStatus.CANCELLED:
        reason = f"Already in final state: {order.order_status}"
        return {"order_id": order.order_id, "reason": reason, "status": order.order_status.value}
    assert isinstance(received.command, CompensateOrder)
    reason = order.cancel_reason if order.cancel_reason is not None else received.command.reason
    return {"order_id": order.order_id, "reason": reason}


def _failure(received: ReceivedCommand, refusal: Refusal, event_id: uuid.UUID, now: datetime) -> Reply:
    name, subject = (
        ("saga_id", received.saga_id) if received.type == "create_order" else ("order_id", received.order_id)
    )
    payload: dict[str, Any] = {name: subject, "error": clip(refusal.message), "code": refusal.code}
    key = received.order_id if name == "order_id" else None
    return _reply(received, FAILURE_TYPES[received.type], key, payload, None, event_id, now)


def _reply(
    received: ReceivedCommand,
    reply_type: str,
    key: str | None,
    payload: dict[str, Any],
    version: int | None,
    event_id: uuid.UUID,
    now: datetime,
) -> Reply:
    payload["correlation_id"] = received.correlation_id
    body = envelope(reply_type, event_id, received.correlation_id, now, payload)
    return Reply(event_id, key or received.correlation_id, reply_type, received.correlation_id, version, body)
