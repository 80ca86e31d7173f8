"""Alarms are the service's: every process shows the same ones, and a process that is gone takes its own along."""

import threading

import pytest
from flask import Flask

from app.database.alarms import AlarmTable
from app.database.database import Database
from app.database.pool import Pool
from app.services import alarms as subject
from app.utils.alarms import MOST_KEPT, OVERFLOW, Alarms
from tests.harness.terminal import Terminal
from tests.harness.world import World, service_of, wait_for

Shown = dict[str, str]
WORKERS = 4


@pytest.fixture
def workers(untouched: World) -> list[Flask]:
    """Four processes' worth of the service; none speaks to Kafka."""
    return [untouched.start(ROLES="api", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1") for _ in range(WORKERS)]


def alarms_of(app: Flask) -> Alarms:
    found: Alarms = app.extensions["alarms"]
    return found


def shown(app: Flask) -> Shown:
    part = app.test_client().get("/readyz").get_json()["parts"]["alarms"]
    assert part["ok"] is not part["open"]
    assert part["details"].keys() == part["open"].keys()
    return dict(part["open"])


def everywhere(workers: list[Flask], expected: Shown) -> None:
    wait_for(lambda: all(shown(app) == expected for app in workers), f"{expected} at each worker")


def test_every_worker_gives_the_same_answer_whoever_rang(workers: list[Flask]) -> None:
    """24 answers of four workers."""
    alarms_of(workers[2]).ring("offset_0", "The log is cut")
    everywhere(workers, {"offset_0": "The log is cut"})
    answers = [shown(workers[number % WORKERS]) for number in range(24)]
    assert answers == [{"offset_0": "The log is cut"}] * 24
    alarms_of(workers[2]).clear("offset_0")
    everywhere(workers, {})


def test_a_condition_lasts_until_the_last_who_sees_it_clears_it(workers: list[Flask]) -> None:
    for app in workers[:2]:
        alarms_of(app).ring("broker_away", "No broker answers")
    everywhere(workers, {"broker_away": "No broker answers"})
    wait_for(lambda: details(workers[3], "broker_away")["count"] == 2, "both to be counted")
    alarms_of(workers[0]).clear("broker_away")
    wait_for(lambda: details(workers[3], "broker_away")["count"] == 1, "one to be over")
    alarms_of(workers[1]).clear("broker_away")
    everywhere(workers, {})


def details(app: Flask, name: str) -> dict[str, object]:
    found: dict[str, object] = app.test_client().get("/readyz").get_json()["parts"]["alarms"]["details"][name]
    return found


def test_a_process_that_stops_takes_its_conditions_back_and_leaves_what_happened(
    untouched: World, workers: list[Flask]
) -> None:
    leaving = workers[0]
    alarms_of(leaving).ring("offset_0", "The log is cut")
    alarms_of(leaving).happened("commands_lost_0_17", "Commands 17 to 19 are lost", "begin 20")
    everywhere(workers, {"commands_lost_0_17": "Commands 17 to 19 are lost", "offset_0": "The log is cut"})
    service_of(leaving).stop()
    untouched.apps.remove(leaving)
    everywhere(workers[1:], {"commands_lost_0_17": "Commands 17 to 19 are lost"})
    assert details(workers[1], "commands_lost_0_17")["evidence"] == "begin 20"


def test_a_condition_of_a_process_that_died_ends_by_itself(
    untouched: World, workers: list[Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "TIDY_SECONDS", 0.1)
    everywhere(workers, {})
    row = (
        "INSERT INTO alarms (name, holder, sentence, evidence, since, last_at, count) "
        "VALUES ('offset_1', 'a dead host:1', 'The log is cut', '', now(), now() - %s * interval '1 s', 1)"
    )
    untouched.query(row, (50,))
    everywhere(workers, {"offset_1": "The log is cut"})
    untouched.query("UPDATE alarms SET last_at = now() - interval '61 s'")
    everywhere(workers, {})
    ending = "SELECT ending FROM alarms WHERE name = 'offset_1'"
    assert wait_for(lambda: untouched.query(ending)[0][0], "its end") == "not renewed"


def test_what_happened_survives_a_restart_and_ends_when_a_person_acknowledges_it(untouched: World) -> None:
    happened = {"commands_lost_0_17": "Commands 17 to 19 are lost"}
    first = untouched.start(ROLES="api")
    alarms_of(first).happened(*happened.popitem())
    wait_for(lambda: untouched.count("alarms"), "the row")
    untouched.stop()
    second = untouched.start(ROLES="api")
    everywhere([second], {"commands_lost_0_17": "Commands 17 to 19 are lost"})
    Terminal(untouched).prints("alarms", "acknowledge", "commands_lost_0_17", "--as", "alice")
    everywhere([second], {})
    alarms_of(second).happened("commands_lost_0_17", "Commands 17 to 19 are lost")
    wait_for(lambda: untouched.query("SELECT count FROM alarms") == [(2,)], "the repetition")
    everywhere([second], {})


def test_while_the_database_is_away_memory_shows_them_and_the_table_hears_of_them_later(
    untouched: World, workers: list[Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    available = vars(Database)["available"]
    monkeypatch.setattr(Database, "available", property(lambda _: False))
    alarms_of(workers[0]).ring("relay_events", "Kafka refuses record 1")
    alarms_of(workers[0]).happened("events_lost_0_3", "Events are lost")
    assert alarms_of(workers[0]).all().keys() == {"relay_events", "events_lost_0_3"}
    monkeypatch.setattr(Database, "available", available)
    everywhere(workers, {"relay_events": "Kafka refuses record 1", "events_lost_0_3": "Events are lost"})


def test_a_table_that_may_not_be_written_is_said_once_and_memory_shows_the_rest(
    untouched: World, caplog: pytest.LogCaptureFixture
) -> None:
    untouched.query("ALTER TABLE alarms ADD CONSTRAINT ck_none CHECK (false)")
    (app,) = [untouched.start(ROLES="api")]
    alarms_of(app).ring("offset_0", "The log is cut")
    wait_for(lambda: "alarms stay with this process" in caplog.text, "the line")
    before = alarms_of(app).age
    wait_for(lambda: (alarms_of(app).age or 9) < 0.5 and before is not None, "another look")
    assert shown(app) == {"offset_0": "The log is cut"}
    assert caplog.text.count("alarms stay with this process") == 1


def test_the_metric_has_a_label_a_kind(workers: list[Flask]) -> None:
    for number in range(3):
        alarms_of(workers[0]).happened(f"test_range_lost_0_{number}", "Lost")
    metric = 'order_alarms{alarm="test_range_lost"} 3.0'
    wait_for(lambda: metric in workers[1].test_client().get("/metrics").text, metric)


def test_who_rings_never_waits_for_the_table(untouched: World) -> None:
    blocked = threading.Event()

    class Slow(AlarmTable):
        def keep(self, changes: object) -> None:
            blocked.wait(20)

    alarms = Alarms()
    keeper = subject.AlarmKeeper(alarms, Slow(Pool(Database(untouched.database_url), 1)))
    stop = threading.Event()
    thread = threading.Thread(target=keeper.run, args=(stop, lambda: None, lambda: True))
    thread.start()
    try:
        for number in range(1000):
            alarms.happened(f"lost_{number}", "Lost")
            alarms.ring(f"offset_{number}", "Cut")
            alarms.clear(f"offset_{number}")
        assert OVERFLOW in alarms.all()
        assert len(alarms.all()) == MOST_KEPT + 1
    finally:
        stop.set()
        blocked.set()
        alarms.wake()
        thread.join(10)
