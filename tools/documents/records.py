"""Examples of records on Kafka: the real reader takes the commands, the real builders make what is sent."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.models.commands import (
    AcceptOrder,
    CancelAcceptance,
    CancelOrder,
    ClearRunner,
    CompleteOrder,
    CreateOrder,
    OrderCommand,
    UpdateStatus,
)
from app.models.order import OrderState, OrderStatus
from app.models.records import ReceivedCommand
from app.models.rules import Change, ChangeKind, Decision, Refusal, create, decide
from app.utils.decoder import decode
from app.utils.encoder import encode
from app.wire import command_reader, events, replies
from app.wire.command_reader import DeadLetter
from tools.documents import examples

Example = Mapping[str, Any]

_ID = examples.ORDER_ID
_NO_ORDER = "01a20435-0000-7000-8000-000000000000"
_CREATE = {"customer_id": examples.CUSTOMER, "order_details": examples.DETAILS, "saga_id": examples.SAGA}

# command type: (name, payload, the order that it meets)
_COMMANDS: Mapping[str, Sequence[tuple[str, Mapping[str, Any], OrderState | None]]] = {
    "create_order": (
        ("carried out", _CREATE, None),
        ("refused", {**_CREATE, "order_details": {"foodItems": examples.ITEMS}}, None),
    ),
    "update_order_status": (
        ("carried out", {"order_id": _ID, "status": "CREATED", "payment_status": "AUTHORIZED"}, examples.PENDING),
        ("asked again", {"order_id": _ID, "status": "CREATED"}, examples.CREATED),
        ("refused", {"order_id": _ID, "status": "CREATED"}, examples.CANCELLED),
        ("of no order", {"order_id": _NO_ORDER, "status": "CREATED"}, None),
    ),
    "cancel_order": (
        ("carried out", {"order_id": _ID, "reason": "Payment refused"}, examples.PENDING),
        ("in a final state", {"order_id": _ID, "reason": "Payment refused"}, examples.DELIVERED),
        ("of no order", {"order_id": _NO_ORDER, "reason": "Payment refused"}, None),
    ),
}
_CHANGES: Sequence[tuple[OrderState, OrderCommand]] = (
    (examples.ACCEPTED, UpdateStatus(order_id=_ID, status=OrderStatus.PLACED)),
    (examples.CREATED, AcceptOrder(order_id=_ID, runner_id=examples.RUNNER)),
    (examples.CREATED, CancelOrder(order_id=_ID)),
    (examples.ACCEPTED, CancelAcceptance(order_id=_ID)),
    (examples.ACCEPTED, ClearRunner(order_id=_ID)),
    (examples.DELIVERED, CompleteOrder(order_id=_ID)),
)


def examples_of(message: str) -> list[Example]:
    """Return the examples of a command, reply or event, by its type."""
    if message in _COMMANDS:
        return [{"name": name, "payload": _command(message, payload)} for name, payload, _ in _COMMANDS[message]]
    found = [*_replies(), *_events()]
    return [example for example in found if example["payload"]["type"] == message]


def dead_letters() -> list[Example]:
    """Return the example of a dead letter."""
    value = b'{"type": "create_oder"}'
    letter = command_reader.parse_record(value)
    assert isinstance(letter, DeadLetter)
    headers = {
        "event_id": str(examples.EVENT_ID),
        "error": letter.error,
        "original_topic": "order_commands",
        "original_partition": "0",
        "original_offset": "41",
    }
    return [{"name": "a type with a slip", "headers": headers, "payload": value.decode()}]


def _command(command_type: str, payload: Mapping[str, Any]) -> Example:
    return {
        "type": command_type,
        "correlation_id": examples.SAGA,
        "timestamp": examples.LATER.isoformat(),
        "payload": payload,
    }


def _replies() -> list[Example]:
    found = []
    for command_type, cases in _COMMANDS.items():
        for name, payload, order in cases:
            received = command_reader.parse_record(encode(_command(command_type, payload)))
            assert isinstance(received, ReceivedCommand)
            reply = replies.reply(received, _decision(received, order), examples.EVENT_ID, examples.LATER)
            found.append(_sent(name, reply.payload))
    return found


def _decision(received: ReceivedCommand, order: OrderState | None) -> Decision:
    if isinstance(received.command, Refusal):
        return received.command
    if isinstance(received.command, CreateOrder):
        return create(received.command, _ID, examples.LATER)
    return decide(order, received.command, examples.LATER)


def _events() -> list[Example]:
    made = Change(ChangeKind.CREATED, None, examples.PENDING, None)
    decisions = [made, *(decide(order, command, examples.LATER) for order, command in _CHANGES)]
    found = []
    for change in decisions:
        assert isinstance(change, Change)
        event = events.http_event(change, examples.EVENT_ID, examples.CORRELATION_ID, examples.LATER)
        assert event is not None
        found.append(_sent("a change", event.payload))
    return found


def _sent(name: str, value: bytes) -> Example:
    body = decode(value)
    headers = {"event_id": body["event_id"], "type": body["type"], "correlation_id": body["correlation_id"]}
    version = body["payload"].get("version")
    return {"name": name, "headers": headers | ({"version": str(version)} if version else {}), "payload": body}
