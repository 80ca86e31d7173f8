"""A record of the events topic, read again: the order is to the last field what was announced."""

from uuid import uuid4

import pytest

from app.models.rules import Change, ChangeKind
from app.wire.announced import Announced, announced, change_of, time_of
from app.wire.events import EVENT_TYPES, http_event
from tests.unit.builders import an_order


@pytest.mark.parametrize("kind", ChangeKind)
def test_a_change_is_read_from_its_event_as_it_was(kind: ChangeKind) -> None:
    order = an_order("ACCEPTED", runner_id="runner-1", version=3)
    event_id = uuid4()
    sent = http_event(Change(kind, None, order, "runner-1"), event_id, "c-1")
    headers = [("event_id", str(event_id).encode()), ("type", EVENT_TYPES[kind].encode()), ("version", b"3")]
    found = announced(b"order-1", sent.payload, headers)
    assert found is not None
    assert found.has_order
    told = change_of(found)
    assert (told.kind, told.order, told.runner_id, told.correlation_id) == (kind, order, "runner-1", "c-1")
    assert time_of(found) == order.updated_at


def test_a_record_of_somebody_else_is_none_of_ours() -> None:
    assert announced(b"key", b"{}", []) is None
    assert announced(b"key", b"{}", [("event_id", b"no uuid"), ("type", b"x")]) is None
    assert announced(b"\xff", b"{}", [("event_id", str(uuid4()).encode()), ("type", b"x")]) is None


@pytest.mark.parametrize("value", [b"", b"no JSON", b"[]", b"{}", b'{"timestamp": 1, "payload": {"event": "{}"}}'])
def test_an_event_that_is_not_as_we_write_it_is_refused(value: bytes) -> None:
    event = Announced(uuid4(), "order-1", "ORDER_UPDATED", 2, value)
    for read in (change_of, time_of):
        with pytest.raises(ValueError, match="not as this service writes it"):
            read(event)
