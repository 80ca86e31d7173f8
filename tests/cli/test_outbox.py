"""`outbox`: what waits for Kafka, and the record that it will never take."""

import json
from collections.abc import Callable

import pytest

from app.database.lanes import ASIDE_RANGE, EVENTS
from app.operations import lanes
from tests.harness.terminal import Terminal
from tests.harness.world import World, a_create, an_update, wait_for

Make = Callable[[World], Terminal]

AN_EVENT = (
    "INSERT INTO outbox (event_id, aggregateid, type, correlation_id, version, payload, created_at) VALUES "
    "(gen_random_uuid(), 'order-1', 'ORDER_UPDATED', 'corr-1', %s, %s, now() - interval '90 s') RETURNING id"
)


def an_event(world: World, version: int, payload: bytes = b"{}") -> int:
    return int(world.query(AN_EVENT, (version, payload))[0][0])


def test_depth_age_and_the_oldest_events_are_shown(untouched: World, terminal: Make) -> None:
    assert terminal(untouched).prints("outbox") == "No event waits.\n"
    oldest, *_ = (an_event(untouched, version) for version in (2, 3))
    shown = terminal(untouched).json("outbox", "--limit", 1)
    assert (shown["depth"], [event["id"] for event in shown["oldest"]]) == (2, [oldest])
    assert 90 <= shown["oldest_age_seconds"] < 120
    assert terminal(untouched).prints("outbox").startswith("2 events wait, the oldest for 9")


def a_refused_event(world: World, version: int, payload: bytes = b"{}") -> int:
    event = an_event(world, version, payload)
    world.query("UPDATE outbox SET refusal = 'too large' WHERE id = %s", (event,))
    return event


def test_lanes_and_what_a_person_decides_are_shown(untouched: World, terminal: Make) -> None:
    out, refused = a_refused_event(untouched, 2), a_refused_event(untouched, 3)
    terminal(untouched).prints("outbox", "take-out", out, "--yes")
    untouched.query("INSERT INTO lost_events (change_id, order_id, version) VALUES (gen_random_uuid(), 'order-9', 1)")
    shown = terminal(untouched).json("outbox", "lanes")
    assert [(lane["name"], lane["depth"]) for lane in shown["lanes"]] == [("events", None), ("dead_letters", None)]
    assert [event["id"] for event in shown["refused"]] == [refused]
    assert [event["outbox_id"] for event in shown["taken_out"]] == [out]
    assert (shown["lost_in_all"], shown["notes"]) == (1, [])
    printed = terminal(untouched).prints("outbox", "lanes")
    assert "Taken out, 1 in all:" in printed
    assert "Refused dead letters" not in printed


def holes(world: World, terminal: Make) -> list[str]:
    found = json.loads(terminal(world).run("check", "--json").stdout)["findings"]
    return [example for finding in found if finding["check"] == "taken_out_event" for example in finding["examples"]]


def test_an_event_that_kafka_has_not_refused_stays(untouched: World, terminal: Make) -> None:
    """The broker may be away: it leaves when that is back."""
    event = an_event(untouched, 2)
    assert "Kafka has not refused event" in terminal(untouched).refusal("outbox", "take-out", event, "--yes")
    assert (untouched.count("outbox"), terminal(untouched).audit()) == (1, [])


def test_a_hole_is_a_finding_until_the_event_is_put_back(untouched: World, terminal: Make) -> None:
    event = a_refused_event(untouched, 2, b'{"a": 1}')
    untouched.query("UPDATE outbox SET traceparent = 'trace'")
    columns = "event_id, aggregateid, type, correlation_id, version, payload, traceparent"
    before = untouched.query(f"SELECT {columns} FROM outbox")
    terminal(untouched).prints("outbox", "take-out", event, "--yes")
    assert holes(untouched, terminal) == [f"{event} (ORDER_UPDATED of order-1, version 2)"]
    printed = terminal(untouched).prints("outbox", "put-back", event, "--yes", "--as", "bob")
    assert "waits for Kafka again, with nothing of its order before it that is younger" in printed
    assert untouched.query(f"SELECT {columns} FROM outbox") == before
    assert (holes(untouched, terminal), terminal(untouched).audit()[-1][:3]) == (
        [],
        ("bob", "put-back", f"outbox {event}"),
    )
    assert "No event" in terminal(untouched).refusal("outbox", "put-back", event, "--yes")
    again = int(untouched.query("UPDATE outbox SET refusal = 'too large' RETURNING id")[0][0])
    terminal(untouched).prints("outbox", "take-out", again, "--yes")
    assert holes(untouched, terminal) == [f"{again} (ORDER_UPDATED of order-1, version 2)"]


def test_what_is_put_back_goes_before_younger_versions_that_wait(untouched: World, terminal: Make) -> None:
    event = a_refused_event(untouched, 2)
    younger = an_event(untouched, 3)
    terminal(untouched).prints("outbox", "take-out", event, "--yes")
    terminal(untouched).prints("outbox", "put-back", event, "--yes")
    assert untouched.query("SELECT id FROM outbox ORDER BY id") == [(event,), (younger,)]


def test_what_is_set_aside_for_its_partition_is_taken_out_and_put_back(untouched: World, terminal: Make) -> None:
    """Its id is below zero then; younger versions of its order are set aside too, and stay behind it."""
    event, younger = a_refused_event(untouched, 2), an_event(untouched, 3)
    untouched.query("UPDATE outbox SET traceparent = 'trace'")
    untouched.query(EVENTS.set_aside, ([event, younger], 2 * ASIDE_RANGE))
    refused = event - 2 * ASIDE_RANGE
    assert f"Event {refused}" in terminal(untouched).prints("outbox", "take-out", refused, "--yes")
    terminal(untouched).prints("outbox", "put-back", refused, "--yes")
    placed = [(refused,), (younger - 2 * ASIDE_RANGE,)]
    assert untouched.query("SELECT id FROM outbox WHERE traceparent = 'trace' ORDER BY id") == placed


def test_what_is_put_back_late_says_after_which_version(untouched: World, terminal: Make) -> None:
    event = a_refused_event(untouched, 2)
    untouched.query(
        "INSERT INTO order_changes (order_id, version, change_id, kind, to_status, payment_status, door, "
        "correlation_id) VALUES ('order-1', 3, gen_random_uuid(), 'k', 'PLACED', 'PENDING', 'http', 'c')"
    )
    terminal(untouched).prints("outbox", "take-out", event, "--yes")
    assert terminal(untouched).json("outbox", "put-back", event, "--yes")["after_version"] == 3


def test_what_is_taken_out_keeps_its_bytes_in_the_audit_line(untouched: World, terminal: Make) -> None:
    event = a_refused_event(untouched, 2, b'{"a": 1}')
    printed = terminal(untouched).prints("outbox", "take-out", event, "--yes", "--as", "alice")
    assert printed == f"Event {event}, ORDER_UPDATED of order-1 (version 2), was taken out.\n"
    assert untouched.count("outbox") == 0
    ((*line, data),) = terminal(untouched).audit()
    assert (line, bytes(data)) == (["alice", "take-out", f"outbox {event}"], b'{"a": 1}')


def test_a_no_takes_nothing_out(untouched: World, terminal: Make) -> None:
    event = an_event(untouched, 2)
    assert terminal(untouched).run("outbox", "take-out", event, stdin="n\n").exit_code == 1
    assert (untouched.count("outbox"), terminal(untouched).audit()) == (1, [])


def test_nothing_is_taken_from_under_a_relay_that_leads(
    untouched: World, terminal: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = a_refused_event(untouched, 2)
    untouched.query("SELECT pg_advisory_lock(hashtextextended('relay:events', 0))")
    monkeypatch.setattr(lanes, "WAIT_SECONDS", 1)
    assert "nothing is stuck there" in terminal(untouched).refusal("outbox", "take-out", event, "--yes")


def test_what_is_put_back_under_a_relay_that_leads_goes_behind(
    untouched: World, terminal: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = a_refused_event(untouched, 2)
    younger = an_event(untouched, 3)
    terminal(untouched).prints("outbox", "take-out", event, "--yes")
    untouched.query("SELECT pg_advisory_lock(hashtextextended('relay:events', 0))")
    monkeypatch.setattr(lanes, "WAIT_SECONDS", 1)
    terminal(untouched).prints("outbox", "put-back", event, "--yes")
    assert untouched.query("SELECT id, version FROM outbox ORDER BY id") == [(younger, 3), (younger + 1, 2)]


def test_the_lane_goes_on_after_the_record_that_kafka_refuses(untouched: World, terminal: Make) -> None:
    world = untouched
    world.wire.create_topics(world.commands, world.letters)
    world.wire.create_topics(world.events, max_message_bytes=4000)
    world.start()
    world.ask(a_create())
    event = int(world.query(AN_EVENT, (None, b'{"payload": "%s"}' % (b"y" * 5000)))[0][0])
    wait_for(lambda: world.alarm("relay_events"), "the alarm of the refused record")
    world.send(an_update("unknown", "PLACED"))
    terminal(world).prints("outbox", "take-out", event, "--yes")
    world.settle()
    assert {reply["body"]["type"] for reply in world.replies()} == {"order.created", "order.status_update_failed"}
