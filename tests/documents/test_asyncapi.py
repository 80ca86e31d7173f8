"""The AsyncAPI document is a valid one, and what the service takes and sends is what it says."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft7Validator

from app import create_app
from app.config.config import Settings
from app.database import lanes
from app.models import rules
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
from app.models.rules import Change, ChangeKind, Refusal
from app.wire import command_reader, events, replies
from app.wire.command_reader import DeadLetter
from app.wire.command_types import COMMAND_TYPES
from app.wire.encoder import encode
from tests.documents.validation import problems
from tests.unit.builders import EARLIER, NOW, an_order, some_details
from tools.documents import asyncapi, messages

SCHEMA = json.loads(Path(__file__).with_name("asyncapi-3.0.0").joinpath("schema.json").read_text())
DOCUMENT: Mapping[str, Any] = json.loads(encode(asyncapi.document()))
MESSAGES: Mapping[str, Any] = DOCUMENT["components"]["messages"]
ID = "order-1"
EVENT_ID = UUID("01a20435-9f10-7b5a-8c55-1d8a3f0e9b21")


def orders() -> Iterator[OrderState | None]:
    """No order, and one in each status, with a runner and without, of a saga and not."""
    yield None
    for status, runner, saga in itertools.product(OrderStatus, (None, "r"), (None, "s")):
        yield an_order(status, runner, saga_id=saga)


COMMANDS_OVER_HTTP: Sequence[OrderCommand] = (
    *(UpdateStatus(order_id=ID, status=status) for status in OrderStatus),
    AcceptOrder(order_id=ID, runner_id="r"),
    CancelOrder(order_id=ID),
    CancelAcceptance(order_id=ID),
    ClearRunner(order_id=ID),
    CompleteOrder(order_id=ID),
)


def changes(command: OrderCommand) -> list[Change]:
    """What the command changes of these orders."""
    decisions = [rules.decide(order, command, NOW) for order in orders()]
    return [decision for decision in decisions if isinstance(decision, Change)]


def refused_fields(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same schemas, but taking no field that they do not name."""
    if isinstance(schema, list):
        return [refused_fields(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if "properties" in schema else {}
    return {**{key: refused_fields(part) for key, part in schema.items()}, **closed}


CLOSED = {"components": refused_fields(DOCUMENT["components"])}


def problems_of_record(value: bytes) -> list[str]:
    """What is wrong with a record that the service sends, fields that are not documented included."""
    record = json.loads(value)
    return problems(CLOSED, MESSAGES[record["type"]]["payload"], record)


def test_the_document_is_valid_asyncapi_3() -> None:
    assert [error.message for error in Draft7Validator(SCHEMA).iter_errors(DOCUMENT)] == []
    assert DOCUMENT["asyncapi"] == "3.0.0"


def test_every_command_reply_and_event_is_documented() -> None:
    """[K4] [K5] [K6] [K10] [K12] [K15]"""
    answers = {reply for kind in COMMAND_TYPES.values() for reply in (kind.success, kind.failure)}
    announced = {change.kind for command in COMMANDS_OVER_HTTP for change in changes(command)}
    announced |= {ChangeKind.CREATED, ChangeKind.FORGOTTEN}
    sent = {*answers, *(events.EVENT_TYPES[kind] for kind in announced)}
    assert MESSAGES.keys() == COMMAND_TYPES.keys() | sent | {"dead_letter"}
    assert DOCUMENT["channels"]["order_events"]["messages"].keys() == sent


def test_each_command_is_answered_by_its_two_replies() -> None:
    """[K7]"""
    for command, kind in COMMAND_TYPES.items():
        names = [reply["$ref"].rpartition("/")[2] for reply in DOCUMENT["operations"][command]["reply"]["messages"]]
        assert names == [kind.success, kind.failure]


@pytest.mark.parametrize("name", MESSAGES)
def test_every_example_has_the_documented_shape(name: str) -> None:
    message = MESSAGES[name]
    assert message["examples"]
    for example in message["examples"]:
        assert problems(DOCUMENT, message["payload"], example["payload"]) == []
        assert problems(DOCUMENT, message.get("headers", {}), example.get("headers", {})) == []


def test_the_examples_of_commands_are_read_as_commands() -> None:
    """[K10]"""
    for command in COMMAND_TYPES:
        for example in MESSAGES[command]["examples"]:
            assert isinstance(command_reader.parse_record(encode(example["payload"])), ReceivedCommand)
    (letter,) = MESSAGES["dead_letter"]["examples"]
    assert command_reader.parse_record(letter["payload"].encode()) == DeadLetter(letter["headers"]["error"])


@pytest.mark.parametrize(
    "payload",
    [
        {"order_id": ID, "status": "PLACED"},
        {"order_id": ID, "status": "CREATED", "payment_status": "AUTHORIZED"},
        {"order_id": ID, "status": "COMPLETED", "payment_status": "FAILED"},
        {"order_id": ID, "status": "EATEN"},
        {"order_id": 7, "status": "PLACED"},
        {"order_id": ID},
        {"order_id": ID, "reason": ""},
        {"order_id": ID, "reason": 7},
        {"customer_id": "c", "saga_id": "s", "order_details": some_details()},
        {"customer_id": "c", "saga_id": 7, "order_details": some_details()},
        {},
    ],
    ids=json.dumps,
)
@pytest.mark.parametrize("command_type", COMMAND_TYPES)
def test_every_reply_has_the_documented_shape(command_type: str, payload: Mapping[str, Any]) -> None:
    """[K2] [K4] [K5] [K6] [K7] [K9]"""
    received = command_reader.parse_record(encode({"type": command_type, "correlation_id": "c", "payload": payload}))
    assert isinstance(received, ReceivedCommand)
    for order in orders():
        if isinstance(received.command, CreateOrder):
            decision: rules.Decision = rules.create(received.command, ID, EARLIER)
        elif isinstance(received.command, Refusal):
            decision = received.command
        else:
            decision = rules.decide(order, received.command, EARLIER)
        reply = replies.reply(received, decision, EVENT_ID, EARLIER)
        assert problems_of_record(reply.payload) == []


@pytest.mark.parametrize("command", COMMANDS_OVER_HTTP, ids=lambda command: type(command).__name__)
def test_every_event_has_the_documented_shape(command: OrderCommand) -> None:
    """[K2] [K3] [K12]"""
    assert changes(command)
    for change in changes(command):
        event = events.http_event(change, EVENT_ID, "c")
        assert event.payload is not None
        assert problems_of_record(event.payload) == []
        order = json.loads(json.loads(event.payload)["payload"]["event"])
        assert problems(CLOSED, {"$ref": "#/components/schemas/Order"}, order) == []


def test_the_event_of_a_new_order_has_the_documented_shape() -> None:
    """[K12]"""
    made = Change(ChangeKind.CREATED, None, an_order("PENDING"), None)
    event = events.http_event(made, EVENT_ID, "c")
    assert event.payload is not None
    assert problems_of_record(event.payload) == []


def test_a_record_that_is_not_as_documented_is_found() -> None:
    example = MESSAGES["order.created"]["examples"][0]
    record = example["payload"]
    wrong = [{**record, "source": "else"}, {**record, "more": 1}, {**record, "timestamp": "noon"}]
    wrong += [{**record, "payload": {**record["payload"], **change}} for change in ({"version": 0}, {"more": 1})]
    for broken in wrong:
        assert problems_of_record(encode(broken))


def test_the_headers_are_those_that_the_relay_writes() -> None:
    """[K2] [K10]"""
    written = {lane.name: lane.headers for lane in (lanes.EVENTS, lanes.DEAD_LETTERS)}
    assert {"event_id", *written["events"]} == messages.RecordHeaders.model_fields.keys()
    assert {"event_id", *written["dead_letters"]} == messages.DeadLetterHeaders.model_fields.keys()


def test_the_document_names_the_topics_and_the_group_of_the_settings() -> None:
    """[K1]"""
    names = {"KAFKA_COMMANDS_TOPIC": "a", "KAFKA_EVENTS_TOPIC": "b", "KAFKA_DEAD_LETTER_TOPIC": "c"}
    client = create_app(Settings.load({**names, "KAFKA_GROUP_ID": "g"})).test_client()
    document = client.get("/asyncapi.json").get_json()
    assert [channel["address"] for channel in document["channels"].values()] == ["a", "b", "c"]
    assert document["operations"]["create_order"]["bindings"]["kafka"]["groupId"]["const"] == "g"
