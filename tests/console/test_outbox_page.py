"""The page of outbox and relay: what waits, who leads, and each act to its end, as the tables tell it."""

import json
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.console.pages import outbox as page
from app.operations.transaction import LOCK_SECONDS
from tests.console.conftest import FORM
from tests.contract.conftest import Tables
from tests.harness.builders import create_body

AN_EVENT = (
    "INSERT INTO outbox (event_id, aggregateid, type, correlation_id, version, payload, refusal) VALUES "
    "(gen_random_uuid(), 'order-1', 'ORDER_UPDATED', 'c', 2, '{}', %s) RETURNING id"
)
A_LETTER = (
    'INSERT INTO dead_letters (event_id, topic, partition, "offset", value, error, refusal) VALUES '
    "(gen_random_uuid(), 'order_commands', 0, 7, 'x', 'e', 'too large') RETURNING id"
)
WHY = {"reason": "the topic's limit cannot be raised"}


@pytest.fixture
def clean(tables: Tables) -> Iterator[Tables]:
    yield tables
    for table in ("outbox", "taken_out_events", "dead_letters", "lost_events", "watch", "instances"):
        tables.rows(f"DELETE FROM {table}")


@pytest.fixture
def operator(acting: Flask) -> FlaskClient:
    return acting.test_client()


def act(client: FlaskClient, name: str, **form: object) -> str:
    """Post the form of an act and return the page that it leads to, without the strip."""
    answer = client.post(f"/console/outbox/{name}", data=WHY | form, headers=FORM)
    assert answer.status_code == 303, answer.text
    return client.get(answer.headers["Location"], headers={"HX-Request": "true"}).text


def audit(tables: Tables) -> tuple[str, str]:
    (line,) = tables.rows("SELECT action, detail FROM operator_actions ORDER BY id DESC LIMIT 1")
    return line["action"], line["detail"].partition("; reason: ")[2]


def test_lanes_are_shown_as_the_watch_saw_them_with_who_leads(clean: Tables, client: FlaskClient) -> None:
    oldest = clean.one(AN_EVENT, None)
    lane = {"depth": 1234, "oldest_seconds": 75.0, "oldest_id": oldest}
    seen = json.dumps({"lanes": {"events": lane, "dead_letters": {"depth": 0, "oldest_seconds": 0.0}}})
    clean.rows("INSERT INTO watch VALUES (1, 'h', now(), now(), %s)", seen)
    clean.rows(
        "INSERT INTO instances VALUES ('h', 'host-7', 17, '1', 'c', 'all', now(), now(), %s)",
        json.dumps({"relay": {"ok": True, "leads": ["events"]}}),
    )
    shown = client.get("/console/outbox", headers={"HX-Request": "true"}).text
    assert "1,234</td>" in shown
    assert "1 min</td>" in shown
    assert "host-7 17" in shown
    assert shown.count("nobody leads") == 1
    assert f">{oldest}</td>" in shown


def test_without_a_watch_a_dash_says_that_nothing_is_known(clean: Tables, client: FlaskClient) -> None:
    clean.rows(AN_EVENT, None)
    shown = client.get("/console/outbox", headers={"HX-Request": "true"}).text
    assert shown.count("–</td>") >= 4
    assert "ORDER_UPDATED" in shown


def test_a_refused_event_is_taken_out_and_put_back(clean: Tables, operator: FlaskClient) -> None:
    event = clean.one(AN_EVENT, "larger than the topic allows")
    shown = operator.get("/console/outbox").text
    assert f"Kafka refuses event {event}" in shown
    assert "Consumers will not see this event" in shown
    assert "It is out of the outbox" in act(operator, "take-out", id=event)
    assert (clean.one("SELECT count(*) FROM outbox"), audit(clean)) == (0, ("take-out", WHY["reason"]))
    assert f"Put event {event} back" in operator.get("/console/outbox").text
    assert "It waits in the outbox, as id " in act(operator, "put-back", id=event)
    assert (clean.one("SELECT count(*) FROM outbox"), audit(clean)) == (1, ("put-back", WHY["reason"]))
    gone = clean.one("DELETE FROM outbox RETURNING event_id")
    assert "It is not found in the outbox any more" in operator.get(f"/console/outbox/events/{gone}").text


def test_nothing_is_taken_from_under_a_relay_that_leads(
    clean: Tables, operator: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "LEASE_LIMITS", (2, 1000))
    event = clean.one(AN_EVENT, "too large")
    with closing(clean.connect()) as leader, leader.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtextextended('relay:events', 0))")
        answer = operator.post("/console/outbox/take-out", data=WHY | {"id": event}, headers=FORM)
    assert answer.status_code == 409
    assert "A relay has led the lane events for 1 s" in answer.text
    assert clean.one("SELECT count(*) FROM outbox") == 1


def test_refused_dead_letters_are_offered_again(clean: Tables, operator: FlaskClient) -> None:
    letter = clean.one(A_LETTER)
    assert f'value="{letter}"' in operator.get("/console/outbox").text
    assert "not asked yet" in act(operator, "retry", ids=letter)
    assert audit(clean) == ("retry", WHY["reason"])
    renewed = clean.one("UPDATE dead_letters SET sent_at = now() RETURNING id")
    assert renewed > letter
    assert "has it" in operator.get(f"/console/outbox/letters?ids={renewed},x,{10**30}").text


def test_lost_events_are_announced_again(clean: Tables, operator: FlaskClient) -> None:
    assert operator.post("/createOrder", json=create_body()).status_code == 201
    clean.rows("DELETE FROM outbox")
    clean.rows(
        "INSERT INTO lost_events (change_id, order_id, version) SELECT change_id, order_id, version "
        "FROM order_changes ORDER BY created_at DESC LIMIT 1"
    )
    assert "not announced again: 1" in operator.get("/console/outbox").text
    act(operator, "announce-again")
    assert (clean.one("SELECT count(*) FROM outbox"), audit(clean)) == (1, ("announce-again", WHY["reason"]))
    shown = operator.get("/console/outbox").text
    assert "not announced again: 0" in shown
    assert "Announce them again</button>" not in shown


@pytest.mark.parametrize(
    "form",
    [{"id": "1"}, {"id": "1", "reason": " "}, {"id": "x", "reason": "because"}, {"id": "9" * 30, "reason": "because"}],
)
def test_an_act_needs_a_reason_and_a_number(operator: FlaskClient, form: dict[str, str]) -> None:
    assert operator.post("/console/outbox/take-out", data=form, headers=FORM).status_code == 400


@pytest.mark.parametrize("name", ["take-out", "put-back", "retry", "announce-again"])
def test_where_the_console_is_to_look_at_only_nothing_is_done(clean: Tables, client: FlaskClient, name: str) -> None:
    event = clean.one(AN_EVENT, "too large")
    answer = client.post(f"/console/outbox/{name}", data=WHY | {"id": event, "ids": "1"}, headers=FORM)
    assert answer.status_code == 403
    assert "CONSOLE=rw" in client.get("/console/outbox").text


def test_what_is_not_there_is_refused(clean: Tables, operator: FlaskClient) -> None:
    for name, form in (("take-out", {"id": 5}), ("put-back", {"id": 5}), ("retry", {"ids": "5"})):
        assert operator.post(f"/console/outbox/{name}", data=WHY | form, headers=FORM).status_code == 404
    unknown = "00000000-0000-0000-0000-000000000000"
    assert operator.get(f"/console/outbox/events/{unknown}").status_code == 404


def test_a_locked_table_takes_its_parts_away_and_nothing_else(clean: Tables, client: FlaskClient) -> None:
    clean.rows("INSERT INTO lost_events (change_id, order_id, version) VALUES (gen_random_uuid(), 'order-9', 1)")
    client.get("/console/outbox")
    with closing(clean.connect()) as holder, holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        answer = client.get("/console/outbox")
        assert time.monotonic() - began < LOCK_SECONDS
    assert answer.status_code == 200
    assert "The oldest events could not be read: a table is locked by somebody else." in answer.text
    assert "order-9" in answer.text
