"""The status strip: what each part shows, and why, on every instance; without the database what one process knows."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from flask import Flask

from app.services import strip
from app.services.strip import BAD, GOOD, UNKNOWN, Light, Strip
from tests.contract.conftest import Tables, make_app
from tests.harness.builders import Caller
from tests.harness.world import wait_for

WELL: dict[str, Any] = {
    "consumer": {"ok": True, "last_error": None},
    "relay-events": {"ok": True},
    "relay": {"ok": True, "leads": ["events", "dead_letters"]},
    "broker": {"ok": True, "reason": None},
}
AWAY = {"ok": False, "reason": "KafkaConnectionError"}
TELL = (
    "INSERT INTO instances (name, host, pid, version, commit, roles, started_at, seen_at, parts) "
    "VALUES (%s, 'host', 7, '1', 'c', 'all', now() - interval '1 hour', now() - make_interval(secs => %s), %s)"
)
SEEN = (
    "INSERT INTO watch VALUES (1, 'w', now(), now(), %s) ON CONFLICT (id) DO UPDATE SET seen_at = now(), "
    "seen = excluded.seen"
)


@pytest.fixture(autouse=True)
def _empty(tables: Tables) -> Iterator[None]:
    yield
    tables.rows("DELETE FROM instances")
    tables.rows("DELETE FROM watch")


@pytest.fixture
def app(url: str) -> Flask:
    return make_app(url)


@pytest.fixture(autouse=True)
def _patient_strip(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked for is found also on a machine with other things to do."""
    monkeypatch.setattr(strip, "LOOK_SECONDS", 4.0)


def lights(app: Flask) -> dict[str, Light]:
    found: Strip = app.extensions["console"].strip
    return {light.name: light for light in found.lights()}


def tell(tables: Tables, name: str, silent: float = 0, **parts: Any) -> None:
    tables.rows(TELL, name, silent, json.dumps({key: value for key, value in (WELL | parts).items() if value}))


def test_all_is_well(app: Flask, tables: Tables) -> None:
    tell(tables, "a")
    tell(tables, "b", relay={"ok": True, "leads": []})
    assert [(light.name, light.level, light.word, light.cause) for light in lights(app).values()] == [
        ("instances", GOOD, "2 up", ""),
        ("database", GOOD, "answers", ""),
        ("broker", GOOD, "answers", ""),
        ("consumer", GOOD, "up to date", ""),
        ("relay", GOOD, "up to date", ""),
    ]


def test_what_waits_is_what_the_watch_saw(app: Flask, tables: Tables) -> None:
    tell(tables, "a")
    lanes = {"events": {"depth": 1234, "oldest_seconds": 1}}
    seen = {"lanes": lanes, "commands": {"0": {"lag": 3}, "1": {"lag": None}}}
    tables.rows(SEEN, json.dumps(seen))
    shown = lights(app)
    assert (shown["consumer"].word, shown["relay"].word) == ("3 wait", "1,234 wait")


def test_an_instance_that_says_nothing_is_named_and_after_a_while_forgotten(app: Flask, tables: Tables) -> None:
    tell(tables, "a")
    tell(tables, "lost", silent=4.2)
    shown = lights(app)["instances"]
    assert (shown.level, shown.word) == (BAD, "1 up, 1 silent")
    assert re.fullmatch(r"Process 7 on host has said nothing for [4-9] s: it was killed, or stands still", shown.cause)
    tables.rows("UPDATE instances SET seen_at = now() - interval '11 minutes' WHERE name = 'lost'")
    assert lights(app)["instances"].level == GOOD


def test_of_several_silent_instances_the_newest_loss_is_named(app: Flask, tables: Tables) -> None:
    tell(tables, "lost", silent=200.2)
    tell(tables, "lost since", silent=4.2)
    said = r"Process 7 on host has said nothing for [4-9] s: it was killed, or stands still; 1 more fell silent before"
    assert re.fullmatch(said, lights(app)["instances"].cause)


def test_an_instance_that_started_since_is_in_the_place_of_the_lost_one(app: Flask, tables: Tables) -> None:
    for name, silent in (("lost", 20), ("lost too", 40), ("new", 0)):
        tell(tables, name, silent=silent)
    tables.rows("UPDATE instances SET started_at = now() - interval '10 seconds' WHERE name = 'new'")
    assert lights(app)["instances"].word == "1 up, 1 silent"
    tell(tables, "newer")
    tables.rows("UPDATE instances SET started_at = now() WHERE name = 'newer'")
    assert lights(app)["instances"].word == "2 up"


@pytest.mark.parametrize(
    ("parts", "name", "word", "cause"),
    [
        ({"broker": AWAY}, "broker", "away", "No broker answers: KafkaConnectionError"),
        ({"broker": AWAY}, "consumer", "waits", "It waits for a broker: no command is handled"),
        ({"broker": AWAY}, "relay", "waits", "It waits for a broker: no event leaves"),
        (
            {"consumer": {"ok": False, "last_error": "ValueError: x"}},
            "consumer",
            "up to date",
            "The consumer stands still: ValueError: x",
        ),
        (
            {"relay-events": {"ok": False, "last_error": None}},
            "relay",
            "up to date",
            "The relay stands still: its heartbeat is too old",
        ),
        (
            {"consumer": None},
            "consumer",
            "nobody",
            "No instance handles commands: none with ROLES=all or worker tells of itself",
        ),
    ],
)
def test_each_part_says_why_it_is_not_well(
    app: Flask, tables: Tables, parts: dict[str, Any], name: str, word: str, cause: str
) -> None:
    tell(tables, "a", **parts)
    shown = lights(app)[name]
    assert (shown.level, shown.word, shown.cause) == (BAD, word, cause)


def test_a_broker_that_one_of_two_instances_cannot_reach(app: Flask, tables: Tables) -> None:
    tell(tables, "a")
    tell(tables, "b", broker=AWAY)
    shown = lights(app)
    assert (shown["broker"].level, shown["broker"].word) == (BAD, "away from 1 of 2")
    assert shown["consumer"].level == GOOD


@pytest.mark.parametrize(
    ("alarm", "part"),
    [
        ("database_fails", "database"),
        ("held_snapshot", "database"),
        ("broker_away", "broker"),
        ("partitions_without_leader", "broker"),
        ("another_cluster", "broker"),
        ("topics_unknown", "broker"),
        ("consumer_fails", "consumer"),
        ("foreign_member", "consumer"),
        ("commands_stalled_2", "consumer"),
        ("dead_letters", "consumer"),
        ("events_stalled", "relay"),
        ("relay_events", "relay"),
    ],
)
def test_an_alarm_is_the_cause(app: Flask, tables: Tables, alarm: str, part: str) -> None:
    tell(tables, "a", broker=AWAY if alarm == "broker_away" else WELL["broker"])
    app.extensions["alarms"].ring(alarm, "Because of this")
    assert (lights(app)[part].level, lights(app)[part].cause) == (BAD, "Because of this")


def test_a_lane_that_nobody_leads_while_events_wait(app: Flask, tables: Tables) -> None:
    tell(tables, "a", relay={"ok": True, "leads": []})
    assert lights(app)["relay"].level == GOOD
    tables.rows(SEEN, json.dumps({"lanes": {"events": {"depth": 1}}}))
    assert lights(app)["relay"].cause == "No instance leads the lane of events: another session may hold its lock"


def test_without_the_database_a_process_shows_what_it_knows() -> None:
    shown = lights(make_app("postgresql://postgres@127.0.0.1:1/nothing"))
    assert (shown["database"].level, shown["database"].word) == (BAD, "away")
    assert shown["database"].cause == "The database is away: nobody listens at its address"
    assert (shown["instances"].level, shown["broker"].level) == (UNKNOWN, BAD)


def test_a_locked_table_makes_the_strip_red_in_time(app: Flask, tables: Tables) -> None:
    with tables.connect() as holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLE instances IN ACCESS EXCLUSIVE MODE")
        shown = lights(app)["database"]
    holder.close()
    assert (shown.level, shown.word) == (BAD, "slow")


def test_a_lock_that_others_wait_for_is_named_at_once_and_leads_to_the_page_that_mends_it(
    app: Flask, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strip, "HELD_SECONDS", 0.0)
    tell(tables, "a")
    order_id = Caller(make_app(tables.url).test_client()).create()
    lock = "SELECT 1 FROM orders WHERE order_id = %s FOR UPDATE"
    with closing(tables.connect()) as holder, closing(psycopg2.connect(tables.url, async_=True)) as waiter:
        holder.cursor().execute(lock, (order_id,))
        assert lights(app)["database"].level == GOOD, "nobody waits"
        wait_for(lambda: waiter.poll() == 0, "a connection")
        waiter.cursor().execute(lock, (order_id,))
        wait_for(lambda: lights(app)["database"].word == "locked", "the waiter")
        shown = lights(app)["database"]
        assert shown.cause.startswith(f"Session {holder.info.backend_pid} of ")
        assert "keeps 1 session waiting for a lock" in shown.cause
        page = app.test_client().get("/console/strip").text
        assert '<a href="/console/database">Database</a> has more' in page
        holder.rollback()
        assert lights(app)["database"].word == "locked", "who waited tries again in a moment"
    monkeypatch.setattr(strip, "MET_SECONDS", 0.0)
    assert lights(make_app(tables.url))["database"].level == GOOD
