"""`timeline`: what came in, what the order became, what went out; with the log, without it, and with a part of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from uuid import UUID

import pytest
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition

from app import create_app
from app.database.lanes import ASIDE_RANGE, EVENTS
from app.kafka.event_places import Wanted, open_look
from app.operations import event_log, outbox_rows
from app.operations.timeline import MISSING, Difference, Entry, timeline
from tests.harness.builders import create_body
from tests.harness.terminal import Terminal
from tests.harness.world import World, a_cancel, a_create, an_update

Make = Callable[[World], Terminal]
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOWHERE = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second is short beside other tests."""
    monkeypatch.setattr(event_log, "open_look", partial(open_look, seconds=10))


def over_http(world: World, path: str, body: dict[str, object], **headers: str) -> dict[str, object]:
    """Have a call answered by an app of its own, whose threads do not run."""
    client = create_app(world.settings()).test_client()
    answer = client.post(path, json=body, headers={name.replace("_", "-"): it for name, it in headers.items()})
    assert answer.status_code < 300, answer.text
    return dict(answer.json or {})


def shapes(entries: Iterator[Entry] | list[Entry]) -> list[tuple[object, ...]]:
    """Of each entry: kind, outcome, version, what went out, and what became of it."""
    return [
        (
            entry.came and entry.came.kind,
            entry.came and entry.came.outcome,
            entry.became and entry.became.version,
            entry.went and entry.went.type,
            entry.went and entry.went.state,
        )
        for entry in entries
    ]


@contextmanager
def group_at(world: World, group: str, offsets: dict[int, int]) -> Iterator[None]:
    """A group that reads the events, and has committed these offsets."""
    bootstrap = world.environment["KAFKA_BOOTSTRAP_SERVERS"]
    with closing(KafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)) as consumer:
        places = {TopicPartition(world.events, number): OffsetAndMetadata(at, "", -1) for number, at in offsets.items()}
        consumer.assign(list(places))
        consumer.commit(places)
        yield


def test_an_order_of_both_doors_is_told_from_its_first_command_to_its_readers(running: World) -> None:
    running.ask(a_create("saga-1", customer_id=...), key=b"saga-1", partition=1)
    create = a_create("saga-1")
    order_id = str(running.ask(create, key=b"saga-1", partition=1)[0]["payload"]["order_id"])
    over_http(
        running, "/updateOrderStatus", {"orderId": order_id, "status": "CREATED"}, idempotency_key="key-1",
        traceparent=TRACE, x_correlation_id="call-1",
    )  # fmt: skip
    over_http(running, "/verifyAndAcceptOrder", {"orderId": order_id, "runner_id": "runner-1"})
    over_http(running, "/cancelAcceptance", {"orderId": order_id})
    refused, same = an_update(order_id, "NONE"), an_update(order_id, "CREATED", payment_status="PENDING")
    running.ask(refused, same, create, create, partition=2)
    rows = {row["body"]["event_id"]: row for row in running.replies()}
    reader, late = f"{running.group}.reader", f"{running.group}.late"
    partition, begin = min(
        (row["partition"], row["offset"]) for row in rows.values() if row["key"] == order_id.encode()
    )
    with group_at(running, reader, {partition: 99}), group_at(running, late, {partition: begin + 1}):
        found = timeline(running.settings(), order_id)
    assert found.notes == []
    assert shapes(list(found.entries)) == [
        ("create_order", "missing_fields", None, "order.creation_failed", "acknowledged"),
        ("create_order", None, 1, "order.created", "acknowledged"),
        ("updated", None, 2, "ORDER_UPDATED", "acknowledged"),
        ("accepted", None, 3, "ORDER_ACCEPTED", "acknowledged"),
        ("acceptanceCancelled", None, 4, "ORDER_ACCEPTANCE_CANCELLED", "acknowledged"),
        ("update_order_status", "invalid_status", None, "order.status_update_failed", "acknowledged"),
        ("update_order_status", "unchanged", None, "order.status_updated", "acknowledged"),
        ("create_order", "repeat", None, None, None),
    ]
    failed, first, second, third, fourth, *_, last = found.entries
    for number, entry in enumerate([first, *found.entries[2:7]]):
        assert entry.went is not None
        row = rows[str(entry.went.event_id)]
        assert entry.went.place == f"{running.events}/{row['partition']}/{row['offset']}"
        assert (entry.went.groups[reader], entry.went.groups[late]) == (True, number == 0)
        assert entry.took.to_log is not None
        assert -0.1 < entry.took.to_log < 20
    assert first.came is not None
    assert (first.came.place, first.came.key) == (f"{running.commands}/1/1", "saga-1")
    assert failed.went is not None
    failure = rows[str(failed.went.event_id)]
    assert failed.went.place == f"{running.events}/{failure['partition']}/{failure['offset']}"
    assert first.took.to_change is not None
    assert second.came is not None
    assert (second.came.door, second.came.key, second.came.traceparent) == ("http", "key-1", TRACE)
    assert second.came.trace_id == TRACE.split("-")[1]
    assert (second.came.correlation_id, second.came.place) == ("call-1", None)
    assert third.became is not None
    assert third.became.differences == [
        Difference("status", "CREATED", "ACCEPTED"),
        Difference("runner", None, "runner-1"),
    ]
    assert fourth.became is not None
    assert fourth.became.differences[1:] == [Difference("runner", "runner-1", None)]
    assert last.came is not None
    assert (last.came.times, last.came.place) == (2, f"{running.commands}/2/3")


def test_a_person_and_a_program_see_it(running: World, terminal: Make) -> None:
    order_id = running.create("saga-1")
    running.ask(a_cancel(order_id) | {"correlation_id": "saga-1b"})
    text = terminal(running).prints("timeline", order_id)
    for words in ("kafka: create_order", "status: PENDING → CANCELLED", "order.cancelled, version 2", "acknowledged 2"):
        assert words in text
    document = terminal(running).json("timeline", order_id)
    assert [entry["became"]["version"] for entry in document["entries"]] == [1, 2]
    assert [change["version"] for change in document["changes"]] == [1, 2]
    assert document["notes"] == [event_log.NO_GROUPS]


def test_what_waits_or_was_taken_out_or_is_lost_is_told(untouched: World) -> None:
    order_id = str(over_http(untouched, "/createOrder", create_body())["order_id"])
    for status in ("CREATED", "PLACED", "DELIVERED"):
        over_http(untouched, "/updateOrderStatus", {"orderId": order_id, "status": status})
    untouched.query("UPDATE outbox SET refusal = 'too large' WHERE version = 2")
    untouched.query(
        "WITH gone AS (DELETE FROM outbox WHERE version = 3 RETURNING *) INSERT INTO taken_out_events (event_id, "
        "outbox_id, aggregateid, type, correlation_id, version, payload, refusal, created_at) SELECT event_id, id, "
        "aggregateid, type, correlation_id, version, payload, 'too large', created_at FROM gone"
    )
    untouched.query(
        "WITH gone AS (DELETE FROM outbox WHERE version = 4 RETURNING *) "
        "INSERT INTO lost_events (change_id, order_id, version) SELECT event_id, aggregateid, version FROM gone"
    )
    found = timeline(untouched.settings(), order_id, with_log=False)
    assert [(entry.went and entry.went.type, entry.went and entry.went.state) for entry in found.entries] == [
        ("ORDER_CREATED", "waits in the outbox"),
        ("ORDER_UPDATED", "waits in the outbox: Kafka refuses it, too large"),
        ("ORDER_UPDATED", "was taken out of the outbox: too large"),
        ("ORDER_UPDATED", "is lost"),
    ]


def test_without_a_broker_the_rest_is_shown_soon(
    untouched: World, terminal: Make, frozen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with one that says nothing."""
    monkeypatch.setattr(event_log, "open_look", open_look)
    order_id = str(over_http(untouched, "/createOrder", create_body())["order_id"])
    for broker in (NOWHERE, frozen):
        untouched.environment["KAFKA_BOOTSTRAP_SERVERS"] = broker
        began = time.monotonic()
        found = timeline(untouched.settings(), order_id)
        assert time.monotonic() - began < 10  # Kafka's client itself waits for half a minute
        assert [entry.went and entry.went.state for entry in found.entries] == ["waits in the outbox"]
        assert [note.startswith("The log was not asked: ") for note in found.notes] == [True]
    shown = terminal(untouched).prints("timeline", order_id, "--without-log")
    assert "waits in the outbox" in shown
    assert "The log" not in shown


def test_an_event_that_the_topic_has_no_more_is_said_to_be_missing(world: World) -> None:
    order_id = str(over_http(world, "/createOrder", create_body())["order_id"])
    world.query("DELETE FROM outbox")
    found = timeline(world.settings(), order_id)
    assert [entry.went and entry.went.state for entry in found.entries] == ["was not found on the topic"]
    assert found.notes == [event_log.NO_GROUPS, MISSING]


def test_the_time_for_the_log_is_bounded_and_what_is_missing_is_said(running: World) -> None:
    order_id = running.create()
    (line,) = timeline(running.settings(), order_id).changes
    with open_look(running.settings()) as look:
        look._deadline.at = 0
        assert look.events([Wanted(line.change_id, order_id, line.at)]) == {}
        assert look.notes == ["The look at the log ended after 1 s: not everything was looked for."]


@pytest.mark.parametrize("places", [[(0, 0)], [(0, 7), (1, 0)]])
def test_a_command_that_the_topic_has_no_more_is_not_made_up(world: World, places: list[tuple[int, int]]) -> None:
    with open_look(world.settings()) as look:
        assert look.commands(places) == {}
        assert look.events([Wanted(UUID(int=1), "order-1", world.query("SELECT now()")[0][0])]) == {}
        assert look.notes == []


def test_an_event_that_waits_is_found_in_a_long_outbox_too(untouched: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its time, also among those of partitions that are set aside."""
    monkeypatch.setattr(outbox_rows, "FEW", 8)
    others = (
        "INSERT INTO outbox (event_id, aggregateid, type, correlation_id, payload, created_at) SELECT "
        "gen_random_uuid(), 'other', 't', 'c', '', now() + i * interval '1 minute' FROM generate_series(%s, %s) AS i"
    )
    untouched.query(others, (-400, -1))
    order_id = str(over_http(untouched, "/createOrder", create_body())["order_id"])
    untouched.query(others, (1, 400))
    for step in range(3):
        (entry,) = timeline(untouched.settings(), order_id, with_log=False).entries
        assert entry.went is not None
        assert entry.went.state == "waits in the outbox"
        ids = [row_id for (row_id,) in untouched.query("SELECT id FROM outbox WHERE id > 0")]
        of_order = untouched.query("SELECT id FROM outbox WHERE aggregateid = %s", (order_id,))[0][0]
        if step == 0:
            aside = [row_id for row_id in ids if row_id % 2 == of_order % 2]
            untouched.query(EVENTS.set_aside, (aside, ASIDE_RANGE))
        elif step == 1:
            untouched.query(EVENTS.set_aside, ([row_id for row_id in ids if row_id % 3], 2 * ASIDE_RANGE))


def test_only_what_was_written_at_about_the_time_is_looked_at(
    untouched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the test above would hold whatever is halved."""
    monkeypatch.setattr(outbox_rows, "FEW", 8)
    order_id = str(over_http(untouched, "/createOrder", create_body())["order_id"])
    untouched.query(
        "INSERT INTO outbox (event_id, aggregateid, type, correlation_id, payload, created_at) SELECT "
        "gen_random_uuid(), 'other', 't', 'c', '', now() + i * interval '1 minute' FROM generate_series(1, 400) AS i"
    )
    untouched.query("UPDATE outbox SET id = DEFAULT WHERE aggregateid = %s", (order_id,))
    (entry,) = timeline(untouched.settings(), order_id, with_log=False).entries
    assert entry.went is not None
    assert entry.went.state == "is in the outbox no more"


def test_an_outbox_that_is_not_read_in_time_is_a_note(untouched: World, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id = str(over_http(untouched, "/createOrder", create_body())["order_id"])
    monkeypatch.setattr(outbox_rows, "OUTBOX_MS", 1)
    untouched.query(
        "INSERT INTO outbox (event_id, aggregateid, type, correlation_id, payload) SELECT gen_random_uuid(), "
        "repeat('o', 200), 't', 'c', repeat('x', 900)::bytea FROM generate_series(1, 4500)"
    )
    monkeypatch.setattr(outbox_rows, "FEW", 10_000)
    untouched.query("ALTER TABLE outbox ALTER payload SET STORAGE EXTERNAL")
    found = timeline(untouched.settings(), order_id, with_log=False)
    assert found.notes == ["The outbox was not looked through in time: see `flask orders outbox`."]
