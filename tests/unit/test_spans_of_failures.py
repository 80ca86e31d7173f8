"""How the spans of commands and records end that were not carried out, and that there is none while tracing is off."""

import uuid

import pytest
from opentelemetry.trace import StatusCode

from app.database.batches import BatchEffects
from app.kafka.record_spans import RecordSpans
from app.models.errors import OffsetMoved
from app.models.outgoing import Outgoing
from app.models.records import Batch, ReceivedCommand
from app.models.rules import Refusal
from app.services.command_service import BUG
from app.services.command_spans import spans_of
from tests.harness.spans import attributes, recorded
from tests.unit.scripted_commands import TOPIC, Sent

TRACE = f"00-{'ab' * 16}-{'cd' * 8}-01"
RECORD = Sent(5, headers=(("traceparent", TRACE.encode()),))
COMMAND = ReceivedCommand("cancel_order", "corr-1", Refusal("code", "message"), "order-1", None, TRACE)
BATCH = Batch("order_commands", TOPIC, 0, 5, 6, [RECORD])
HEADERS = (("event_id", b"e"), ("type", b"t"), ("correlation_id", b"c"), ("traceparent", TRACE.encode()))
SENT = Outgoing(1, uuid.UUID(int=1), b"order-1", b"{}", HEADERS)


def test_a_command_that_was_given_up_is_an_error() -> None:
    with recorded() as found, spans_of(BATCH, [(RECORD, COMMAND)], []) as spans:
        effects = BatchEffects(unfulfilled=[(RECORD, COMMAND, None, BUG.code)])
        spans.decided(effects)
    [command] = found.named("process order_commands")
    assert (command.status.status_code, attributes(command)["error.type"]) == (StatusCode.ERROR, "internal_error")


def test_a_batch_that_was_rolled_back_is_an_error_and_so_are_its_commands() -> None:
    with recorded() as found, pytest.raises(OffsetMoved), spans_of(BATCH, [(RECORD, COMMAND)], []):
        raise OffsetMoved
    assert [(span.name, attributes(span)["error.type"]) for span in found.all()] == [
        ("process order_commands", "OffsetMoved"),
        ("commit order_commands", "OffsetMoved"),
    ]
    assert {span.status.status_code for span in found.all()} == {StatusCode.ERROR}


def test_a_record_that_was_not_acknowledged_is_an_error() -> None:
    with recorded() as found:
        spans = RecordSpans("order_events")
        [(_, first), (_, second)] = spans.begin([(0, SENT), (1, Outgoing(2, uuid.UUID(int=2), b"k", b"{}", HEADERS))])
        spans.acknowledged([(second, -1)])
        spans.close()
    done, lost = found.named("send order_events")
    assert (done.status.status_code, "messaging.kafka.offset" in attributes(done)) == (StatusCode.UNSET, False)
    assert (lost.status.status_code, attributes(lost)["error.type"]) == (StatusCode.ERROR, "unacknowledged")
    assert dict(first.headers).keys() == dict(HEADERS).keys()
    assert dict(first.headers)["traceparent"] != TRACE.encode()


def test_while_tracing_is_off_everything_goes_on_as_it_came() -> None:
    commands, records = [(RECORD, COMMAND)], [(0, SENT)]
    with spans_of(BATCH, commands, []) as spans:
        assert spans.commands is commands
    assert RecordSpans("order_events").begin(records) is records
