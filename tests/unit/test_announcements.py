"""Events made again: each kind of change of each door is announced as it was the first time, no other is announced."""

import uuid

import pytest

from app.models.commands import Command, CreateOrder
from app.models.order import OrderStatus
from app.models.records import ReceivedCommand
from app.models.rules import Change, ChangeKind, Refusal, create, decide
from app.models.writes import Event
from app.wire.announcements import HistoryLine, announcement
from app.wire.command_reader import parse_record
from app.wire.command_types import COMMAND_TYPES
from app.wire.events import http_event
from app.wire.replies import reply
from tests.unit.builders import NOW, a_command, an_order

ID = uuid.UUID(int=7)


def received(command_type: str) -> ReceivedCommand:
    found = parse_record(a_command(command_type))
    assert isinstance(found, ReceivedCommand)
    return found


def a_change_by(command: Command | Refusal) -> Change:
    """A change that the command makes, of an order in the first status that allows it."""
    assert not isinstance(command, Refusal)
    if isinstance(command, CreateOrder):
        return create(command, "order-1", NOW)
    decisions = (decide(an_order(status, "runner-1", saga_id="saga-1"), command, NOW) for status in OrderStatus)
    return next(decision for decision in decisions if isinstance(decision, Change))


def a_line(change: Change, door: str) -> HistoryLine:
    order = change.order
    told = (change.kind.value, order.order_status.value, change.runner_id, door, "corr-1", order.updated_at)
    return HistoryLine(ID, order.order_id, order.version, *told)


@pytest.mark.parametrize("command_type", COMMAND_TYPES)
def test_every_command_has_its_reply_again(command_type: str) -> None:
    change = a_change_by(received(command_type).command)
    assert change.kind is COMMAND_TYPES[command_type].makes
    sent = reply(received(command_type), change, ID, NOW)
    assert announcement(a_line(change, "kafka"), change.order) == Event(sent.type, sent.payload)


@pytest.mark.parametrize("kind", list(ChangeKind))
def test_a_kind_of_change_that_no_command_makes_is_not_announced_as_another(kind: ChangeKind) -> None:
    line = a_line(Change(kind, None, an_order(), None), "kafka")
    if kind in {command_type.makes for command_type in COMMAND_TYPES.values()}:
        assert announcement(line, an_order()).type is not None
    else:
        with pytest.raises(ValueError, match=f"no command makes a change of the kind {kind}"):
            announcement(line, an_order())


@pytest.mark.parametrize("kind", list(ChangeKind))
def test_every_kind_of_change_over_http_has_its_event_again(kind: ChangeKind) -> None:
    change = Change(kind, None, an_order("ACCEPTED", "runner-1"), "runner-1")
    assert announcement(a_line(change, "http"), change.order) == http_event(change, ID, "corr-1")
