"""The one reply of each command: type, key, payload, and whether it carries a version [K3-K9]."""

import json
import uuid
from dataclasses import replace
from typing import Any

import pytest

from app.models.commands import CompensateOrder
from app.models.records import ReceivedCommand
from app.models.rules import Change, ChangeKind, Decision, Refusal, Unchanged, create, decide
from app.wire.command_reader import parse_record
from app.wire.replies import Reply, reply
from tests.unit.builders import NOW, PAYLOADS, a_command, a_create, an_order

EVENT_ID = uuid.UUID(int=7)
SUCCESS = {"create_order": "created", "update_order_status": "status_updated", "cancel_order": "cancelled"}
FAILURE = {
    "create_order": "order.creation_failed",
    "update_order_status": "order.status_update_failed",
    "cancel_order": "order.cancellation_failed",
}


def a_received_command(command_type: str, **payload: Any) -> ReceivedCommand:
    found = parse_record(a_command(command_type, payload=PAYLOADS[command_type] | payload))
    assert isinstance(found, ReceivedCommand)
    return found


def answered(command_type: str, decision: Decision, **payload: Any) -> Reply:
    return reply(a_received_command(command_type, **payload), decision, EVENT_ID, NOW)


def payload_of(sent: Reply) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(sent.payload)["payload"]
    return payload


def moved(kind: ChangeKind = ChangeKind.UPDATED, **fields: Any) -> Change:
    after = an_order(**fields)
    return Change(kind, replace(after, version=after.version - 1), after, None)


def test_the_envelope_is_complete_and_its_time_has_an_offset() -> None:
    """[K2]"""
    sent = answered("cancel_order", Unchanged(an_order("CANCELLED")))
    body = json.loads(sent.payload)
    assert list(body) == ["type", "correlation_id", "timestamp", "payload", "source", "event_id"]
    assert (body["type"], body["correlation_id"], body["source"]) == (sent.type, "corr-1", "order-service")
    assert (body["timestamp"], body["event_id"]) == ("2026-03-01T12:00:00+00:00", str(EVENT_ID))
    assert (sent.event_id, sent.correlation_id) == (EVENT_ID, "corr-1")


def test_a_created_order_is_told_with_its_customer_and_saga() -> None:
    """[K4] [K3]"""
    sent = answered("create_order", create(a_create(), "order-9", NOW))
    assert (sent.type, sent.key, sent.version) == ("order.created", "order-9", 1)
    assert payload_of(sent) == {
        "order_id": "order-9",
        "customer_id": "customer-1",
        "status": "PENDING",
        "saga_id": "saga-1",
        "version": 1,
        "correlation_id": "corr-1",
    }


def test_a_repeated_create_is_answered_as_when_the_order_was_made() -> None:
    """[K8]"""
    sent = answered("create_order", Unchanged(an_order("DELIVERED", cust_id="first")), customer_id="other")
    assert (sent.version, payload_of(sent)["status"], payload_of(sent)["customer_id"]) == (None, "PENDING", "first")
    assert "version" not in payload_of(sent)


def test_an_updated_status_is_told_with_the_orders_saga() -> None:
    """[K5] [K3]"""
    sent = answered("update_order_status", moved(status="PLACED", saga_id="its-saga"))
    assert (sent.type, sent.key, sent.version) == ("order.status_updated", "order-1", 7)
    expected = {"order_id": "order-1", "status": "PLACED", "saga_id": "its-saga", "version": 7}
    assert payload_of(sent) == expected | {"correlation_id": "corr-1"}


def test_a_repeated_update_tells_the_status_that_the_order_has_now() -> None:
    """[K8]"""
    sent = answered("update_order_status", Unchanged(an_order("PLACED")))
    expected = {"order_id": "order-1", "status": "PLACED", "saga_id": None, "correlation_id": "corr-1"}
    assert (payload_of(sent), sent.version) == (expected, None)


def test_a_cancelled_order_is_told_with_its_reason() -> None:
    """[K6] [K3]"""
    sent = answered("cancel_order", moved(ChangeKind.CANCELLED, status="CANCELLED", cancel_reason="too late"))
    assert (sent.type, sent.key, sent.version) == ("order.cancelled", "order-1", 7)
    expected = {"order_id": "order-1", "reason": "too late", "version": 7, "correlation_id": "corr-1"}
    assert payload_of(sent) == expected


@pytest.mark.parametrize(("first", "told"), [("first", "first"), ("", ""), (None, "too late")])
def test_a_repeated_cancel_tells_the_first_reason_else_its_own(first: str | None, told: str) -> None:
    """[K8]"""
    sent = answered("cancel_order", Unchanged(an_order("CANCELLED", cancel_reason=first)))
    assert payload_of(sent) == {"order_id": "order-1", "reason": told, "correlation_id": "corr-1"}


@pytest.mark.parametrize("status", ["DELIVERED", "COMPLETED"])
def test_a_compensation_that_comes_too_late_comes_to_an_end(status: str) -> None:
    """[K9]"""
    command = a_received_command("cancel_order").command
    assert isinstance(command, CompensateOrder)
    decision = decide(an_order(status), command, NOW)
    sent = answered("cancel_order", decision)
    assert (sent.type, sent.version, sent.key) == ("order.cancelled", None, "order-1")
    expected = {"order_id": "order-1", "reason": f"Already in final state: {status}", "status": status}
    assert payload_of(sent) == expected | {"correlation_id": "corr-1"}


@pytest.mark.parametrize("command_type", ["update_order_status", "cancel_order"])
def test_a_refusal_names_the_order_that_was_named(command_type: str) -> None:
    """[K5] [K6] [K7]"""
    sent = answered(command_type, Refusal("order_not_found", "Order not found"), order_id="gone")
    assert (sent.type, sent.key, sent.version) == (FAILURE[command_type], "gone", None)
    expected = {"order_id": "gone", "error": "Order not found", "code": "order_not_found"}
    assert payload_of(sent) == expected | {"correlation_id": "corr-1"}


@pytest.mark.parametrize("command_type", ["update_order_status", "cancel_order"])
@pytest.mark.parametrize("order_id", [None, 5, "x" * 256])
def test_a_refusal_without_a_usable_order_id_goes_by_the_correlation_id(command_type: str, order_id: Any) -> None:
    """[K7]"""
    sent = answered(command_type, Refusal("code", "No"), order_id=order_id)
    assert (sent.key, payload_of(sent)["order_id"]) == ("corr-1", None)


@pytest.mark.parametrize(("saga_id", "told"), [("saga-1", "saga-1"), (None, None), ("x" * 256, None)])
def test_a_refused_create_names_its_saga(saga_id: str | None, told: str | None) -> None:
    """[K4] [K7]"""
    sent = answered("create_order", Refusal("code", "No"), saga_id=saga_id)
    assert (sent.type, sent.key, sent.version) == ("order.creation_failed", "corr-1", None)
    assert payload_of(sent) == {"saga_id": told, "error": "No", "code": "code", "correlation_id": "corr-1"}


@pytest.mark.parametrize(("length", "kept"), [(200, "x" * 200), (201, "x" * 199 + "…"), (9000, "x" * 199 + "…")])
@pytest.mark.parametrize("command_type", FAILURE)
def test_the_error_has_at_most_200_characters(command_type: str, length: int, kept: str) -> None:
    """[H1] The orchestrator keeps it in a column of 255."""
    sent = answered(command_type, Refusal("code", "x" * length))
    assert payload_of(sent)["error"] == kept


@pytest.mark.parametrize("command_type", SUCCESS)
def test_every_command_has_a_reply_of_its_own_kind(command_type: str) -> None:
    """[K7]"""
    assert answered(command_type, Unchanged(an_order("CANCELLED"))).type == f"order.{SUCCESS[command_type]}"
    assert answered(command_type, Refusal("code", "No")).type == FAILURE[command_type]
