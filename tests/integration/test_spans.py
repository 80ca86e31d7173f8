"""The spans of calls, commands and records: who is whose child, what they say, and what they do not say."""

import json
from collections.abc import Iterator

import pytest
from opentelemetry.trace import SpanKind, StatusCode
from werkzeug.test import Client, TestResponse

from tests.harness.builders import Caller, create_body
from tests.harness.door import open_door, through
from tests.harness.spans import Spans, attributes, parent_of, recorded, traceparent_of
from tests.harness.world import World, a_create, an_update, by_correlation, wait_for

CALLER = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{CALLER}-01", f"00-{CALLER}-00"
PERSON, PLACE = "planted-ann", "planted-street"


@pytest.fixture
def spans() -> Iterator[Spans]:
    """Those of sampled traces."""
    with recorded() as found:
        yield found


@pytest.fixture
def roots() -> Iterator[Spans]:
    """Those of all traces."""
    with recorded(roots=True) as found:
        yield found


@pytest.fixture
def api(running: World) -> Iterator[Caller]:
    """By the service's own server, as callers come in."""
    with open_door(running.apps[0]) as port:
        yield Caller(Client(through(port), TestResponse))


def send(world: World, *commands: tuple[object, str | None]) -> None:
    """Send commands in one batch, each with its traceparent."""
    for command, trace in commands:
        value = command if isinstance(command, bytes) else json.dumps(command).encode()
        headers = [] if trace is None else [("traceparent", trace.encode())]
        world.wire.producer.send(world.commands, value=value, headers=headers, partition=0)
    world.wire.producer.flush()
    world.settle()


def ended(spans: Spans, name: str, count: int) -> None:
    """Wait for so many spans: what they are about can be seen a moment before they end."""
    wait_for(lambda: len(spans.named(name)) == count, f"{count} spans {name}")


def test_a_call_is_a_span_of_its_trace_and_its_event_another_one(running: World, api: Caller, spans: Spans) -> None:
    """[K16] The caller's span, the call, the record: each is the child of the one before."""
    made = api.post("/createOrder", create_body(PERSON), traceparent=SAMPLED, x_correlation_id="call-1")
    running.settle()
    ended(spans, f"send {running.events}", 1)
    call, record = spans.one("POST /createOrder"), spans.one(f"send {running.events}")
    assert (call.kind, parent_of(call)) == (SpanKind.SERVER, CALLER)
    assert (record.kind, parent_of(record)) == (SpanKind.PRODUCER, traceparent_of(call)[3:52])
    assert attributes(call) == {
        "http.request.method": "POST",
        "http.route": "/createOrder",
        "http.response.status_code": 201,
        "http.response.header.x-correlation-id": ("call-1",),
    }
    assert attributes(record) == {
        "messaging.system": "kafka",
        "messaging.operation.type": "send",
        "messaging.operation.name": "send",
        "messaging.destination.name": running.events,
        "messaging.destination.partition.id": str(running.replies()[0]["partition"]),
        "messaging.kafka.offset": 0,
        "messaging.message.id": running.replies()[0]["headers"]["event_id"],
        "messaging.message.conversation_id": "call-1",
        "messaging.kafka.message.key": made.json["order_id"],
        "order.event": "ORDER_CREATED",
    }
    assert {span.status.status_code for span in spans.all()} == {StatusCode.UNSET}
    [statement] = call.events
    assert statement.name == "statement"
    assert dict(statement.attributes or {}) == {"db.operation.name": "create", "db.operation.batch.size": 1}
    assert (record.start_time or 0) < (call.end_time or 0) < (record.end_time or 0)  # from the commit on
    [row] = running.replies()
    assert row["headers"]["traceparent"] == traceparent_of(record)
    assert running.query("SELECT traceparent FROM order_changes") == [(traceparent_of(call),)]


def test_what_is_not_sampled_has_no_span_and_goes_on_as_it_came(running: World, api: Caller, spans: Spans) -> None:
    """[K16] Nothing is added where the caller named no trace."""
    for name, trace in (("unsampled", UNSAMPLED), ("none", "")):
        headers = {"traceparent": trace} if trace else {}
        assert api.post("/createOrder", create_body(), x_correlation_id=name, **headers).status_code == 201
    send(running, (a_create("saga-1"), UNSAMPLED), (a_create("saga-2"), None))
    found = by_correlation(running.replies())
    traces = {name: row["headers"].get("traceparent") for name, row in found.items()}
    assert traces == {"unsampled": UNSAMPLED, "none": None, "saga-1": UNSAMPLED, "saga-2": None}
    assert spans.all() == []


@pytest.mark.parametrize("trace", ["", SAMPLED.upper(), SAMPLED.replace("00-", "ff-", 1), f"{SAMPLED}-more"])
def test_a_call_without_a_usable_trace_begins_one(running: World, api: Caller, roots: Spans, trace: str) -> None:
    api.post("/createOrder", create_body(), traceparent=trace)
    running.settle()
    ended(roots, f"send {running.events}", 1)
    call, record = roots.one("POST /createOrder"), roots.one(f"send {running.events}")
    assert (parent_of(call), parent_of(record)) == (None, traceparent_of(call)[3:52])
    assert CALLER[:32] not in traceparent_of(call)


@pytest.mark.parametrize("by_flask", [False, True])
def test_a_span_of_a_call_has_the_route_the_status_and_no_person(
    running: World, api: Caller, roots: Spans, *, by_flask: bool
) -> None:
    """An error is what the service could not do (5xx); the probes and what is not about orders have no span."""
    caller = Caller(running.apps[0].test_client()) if by_flask else api
    for path in ("/health", "/readyz", "/openapi.json", f"/nowhere/{PERSON}", f"/orders/customer/{PERSON}"):
        caller.get(path)
    caller.get("/orders", runnerId=PERSON, limit="many")
    running.apps[0].extensions["guard"].admit = failing
    caller.get("/getOrderDetails", orderId=PERSON)
    del running.apps[0].extensions["guard"].admit
    told = [(span.name, attributes(span)["http.response.status_code"], span.status.status_code) for span in roots.all()]
    assert told == [
        ("GET /orders/customer/{id}", 200, StatusCode.UNSET),
        ("GET /orders", 400, StatusCode.UNSET),
        ("GET /getOrderDetails", 500, StatusCode.ERROR),
    ]
    assert attributes(roots.all()[-1])["error.type"] == "500"
    assert PERSON not in "".join(span.to_json() for span in roots.all())


def failing(*_: object) -> None:
    raise RuntimeError(PERSON)


def test_a_command_is_a_span_of_its_trace_and_its_reply_another_one(running: World, spans: Spans) -> None:
    """[K16] The command's span links to the batch's; the reply's trace is the command's, whatever became of it."""
    other = f"00-{'ab' * 16}-{'cd' * 8}-01"
    created = a_create("saga-1", customer_id=PERSON)
    send(running, (created, SAMPLED), (an_update("nobody", "PLACED"), other), (b"no JSON", other), (a_create(), None))
    ended(spans, f"send {running.events}", 2)
    ended(spans, f"process {running.commands}", 3)
    first, refused, letter = sorted(
        spans.named(f"process {running.commands}"), key=lambda span: attributes(span)["messaging.kafka.offset"]
    )
    assert {span.kind for span in (first, refused, letter)} == {SpanKind.CONSUMER}
    assert [parent_of(span) for span in (first, refused, letter)] == [CALLER, other[3:52], other[3:52]]
    assert [attributes(span)["order.outcome"] for span in (first, refused, letter)] == [
        "done",
        "order_not_found",
        "dead_letter",
    ]
    assert [span.status.status_code for span in (first, refused, letter)] == [
        StatusCode.UNSET,
        StatusCode.UNSET,
        StatusCode.ERROR,
    ]
    sent = {parent_of(span): span for span in spans.named(f"send {running.events}")}
    assert sent.keys() == {traceparent_of(first)[3:52], traceparent_of(refused)[3:52]}
    replies = [row["headers"].get("traceparent") for row in running.replies()]
    assert {*replies} == {*map(traceparent_of, sent.values()), None}
    batches = [span.get_span_context() for span in spans.named(f"commit {running.commands}")]
    for span in (first, refused, letter):
        [link] = span.links
        assert link.context in batches
    assert PERSON not in "".join(span.to_json() for span in spans.all())


def test_a_batch_says_when_its_parts_were_done(running: World, spans: Spans) -> None:
    send(running, (a_create(), SAMPLED))
    ended(spans, f"commit {running.commands}", 1)
    whole, command = spans.one(f"commit {running.commands}"), spans.one(f"process {running.commands}")
    assert parent_of(whole) == traceparent_of(command)[3:52]
    assert [event.name for event in whole.events] == ["locked", "written"]
    assert attributes(whole)["messaging.batch.message_count"] == 1


def test_a_repeated_command_has_a_span_in_its_own_trace_and_no_reply(running: World, spans: Spans) -> None:
    """[K8] [K16]"""
    other = f"00-{'ab' * 16}-{'cd' * 8}-01"
    send(running, (a_create("saga-1", timestamp="t"), SAMPLED))
    [first] = running.replies()
    send(running, (a_create("saga-1", timestamp="t"), other))
    ended(spans, f"process {running.commands}", 2)
    done, repeated = spans.named(f"process {running.commands}")
    assert [attributes(span)["order.outcome"] for span in (done, repeated)] == ["done", "repeated"]
    assert parent_of(repeated) == other[3:52]
    assert running.replies() == [first]


def test_commands_without_a_trace_belong_to_that_of_their_batch(running: World, roots: Spans) -> None:
    send(running, (a_create(), None), (a_create(), None))
    ended(roots, f"send {running.events}", 2)
    ended(roots, f"process {running.commands}", 2)
    wait_for(lambda: roots.named(f"commit {running.commands}"), "the batch's span")
    batches = {traceparent_of(span)[3:52]: span for span in roots.named(f"commit {running.commands}")}
    assert {parent_of(span) for span in batches.values()} == {None}
    assert {parent_of(span) for span in roots.named(f"process {running.commands}")} <= batches.keys()
