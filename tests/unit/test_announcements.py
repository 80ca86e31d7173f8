"""Events made again: each kind of change of each door is announced as it was the first time, no other is announced."""

import uuid

import pytest

from app.models.commands import CompensateOrder, UpdateStatus
from app.models.order import OrderStatus
from app.models.records import ReceivedCommand
from app.models.rules import Change, ChangeKind, create, decide
from app.models.writes import Event
from app.wire.announcements import HistoryLine, announcement
from app.wire.command_reader import parse_record
from app.wire.command_types import COMMAND_TYPES
from app.wire.events import http_event
from app.wire.replies import reply
from tests.unit.builders import NOW, a_command, a_create, an_order

ID = uuid.UUID(int=7)


def changes_by_commands() -> dict[str, Change]:
    """By command type, a change that the command makes."""
    order = an_order("CREATED", saga_id="saga-1")
    decided = {
        "create_order": create(a_create(), "order-1", NOW),
        "update_order_status": decide(order, UpdateStatus(order_id="order-1", status=OrderStatus.PLACED), NOW),
        "cancel_order": decide(order, CompensateOrder(order_id="order-1", reason="too late"), NOW),
    }
    return {name: change for name, change in decided.items() if isinstance(change, Change)}


def a_line(change: Change, door: str) -> HistoryLine:
    order = change.order
    told = (change.kind.value, order.order_status.value, change.runner_id, door, "corr-1", order.updated_at)
    return HistoryLine(ID, order.order_id, order.version, *told)


def test_every_command_has_its_reply_again() -> None:
    made = changes_by_commands()
    assert made.keys() == COMMAND_TYPES.keys()
    for command_type, change in made.items():
        received = parse_record(a_command(command_type))
        assert isinstance(received, ReceivedCommand)
        sent = reply(received, change, ID, NOW)
        assert announcement(a_line(change, "kafka"), change.order) == Event(sent.type, sent.payload)


@pytest.mark.parametrize("kind", list(ChangeKind))
def test_a_kind_of_change_that_no_command_makes_is_not_announced_as_another(kind: ChangeKind) -> None:
    line = a_line(Change(kind, None, an_order(), None), "kafka")
    if kind in {change.kind for change in changes_by_commands().values()}:
        assert announcement(line, an_order()).type is not None
    else:
        with pytest.raises(ValueError, match=f"no command makes a change of the kind {kind}"):
            announcement(line, an_order())


@pytest.mark.parametrize("kind", list(ChangeKind))
def test_every_kind_of_change_over_http_has_its_event_again(kind: ChangeKind) -> None:
    change = Change(kind, None, an_order("ACCEPTED", "runner-1"), "runner-1")
    assert announcement(a_line(change, "http"), change.order) == http_event(change, ID, "corr-1")
