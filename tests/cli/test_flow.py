"""`flow`: the figures of the last minutes, of whatever processes there are, and what happened meanwhile."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.database.database import Database
from app.database.flow import FlowTable
from app.database.pool import Pool
from app.models.flow import Figures, Lead, Waiting, Work
from app.operations import flow as subject
from app.operations.flow import flow
from app.operations.flow_marks import MarkKind
from app.services.flow import FlowKeeper
from tests.harness.builders import create_body
from tests.harness.terminal import Terminal
from tests.harness.world import World, an_update, service_of, wait_for

Make = Callable[[World], Terminal]
HERE, THERE = "host-1:17:aa", "host-2:18:bb"
A_ROW = "INSERT INTO flow_minutes VALUES (date_trunc('minute', now()) - %s * interval '1 min', %s, %s)"


def tell(world: World, minutes_ago: int, holder: str, **figures: Any) -> None:
    """Store the minute of a process as that does it. It runs release A since yesterday, unless it says otherwise."""
    began = figures.pop("began", datetime.now(UTC) - timedelta(days=1)).isoformat()
    row = Figures(figures.pop("build", "A"), began, **figures)
    world.query(A_ROW, (minutes_ago, holder, json.dumps(asdict(row))))


def a_while_ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def test_two_instances_are_put_together_and_a_minute_that_nobody_told_stays_unknown(untouched: World) -> None:
    latency = {"0.1": 49, "0.2": 1, "+Inf": 0}
    work = Work({"created": 2, "updated": 1}, {"final": 1}, 1, 50, 3, latency)
    tell(untouched, 3, HERE, work=work, waiting=Waiting(4, 1.25, 5, 0.5))
    tell(untouched, 3, THERE, work=work, waiting=Waiting(2, 3.0))
    tell(untouched, 1, HERE)
    found = flow(untouched.settings(), minutes=4)
    assert [minute.processes for minute in found.minutes] == [0, 2, 0, 1]
    both, nobody, idle = found.minutes[1:]
    assert (both.created, both.changed, both.refused, both.repeats) == (4, 6, 2, 2)
    assert (both.calls, both.unavailable) == (100, 6)
    assert (both.p50, both.p99) == (0.051, 0.15)
    assert (both.lag, both.lag_seconds, both.outbox, both.outbox_seconds) == (4, 3.0, 5, 0.5)
    assert (nobody.p50, nobody.lag, idle.p50, idle.lag) == (None, None, None, None)
    assert [after.at - before.at for before, after in zip(found.minutes, found.minutes[1:], strict=False)] == [
        timedelta(minutes=1)
    ] * 3


def test_the_minute_that_has_just_ended_is_left_out_until_a_process_has_told_it(untouched: World) -> None:
    tell(untouched, 2, HERE)
    assert [minute.processes for minute in flow(untouched.settings(), minutes=3).minutes] == [0, 1]


def test_what_happened_is_marked(untouched: World) -> None:
    tell(untouched, 5, HERE)
    tell(untouched, 3, HERE, leads=(Lead("dead_letters", a_while_ago(3).isoformat()),))
    tell(untouched, 2, THERE, build="B", began=a_while_ago(2.5))
    untouched.query("INSERT INTO operator_actions (who, action, subject, detail) VALUES ('alice', 'retry', 's', '')")
    an_alarm = (
        "INSERT INTO alarms (name, holder, sentence, evidence, since, last_at, count, ended_at, ending) "
        "VALUES (%s, %s, '', '', now() - %s * interval '1 min', now() - %s * interval '1 min', 1, "
        "now() - %s * interval '1 min', %s)"
    )
    untouched.query(an_alarm, ("x", HERE, 6, 4, 4, "over"))
    untouched.query(an_alarm, ("x", THERE, 7, 4, 3.5, "over"))
    untouched.query(an_alarm, ("y", HERE, 1, 0, None, None))
    untouched.query(an_alarm, ("z", HERE, 90, 80, 80, "over"))
    found = flow(untouched.settings(), minutes=10)
    assert [(mark.kind, mark.text) for mark in found.marks] == [
        (MarkKind.ALARM, "alarm x"),
        (MarkKind.ALARM_OVER, "alarm x is over"),
        (MarkKind.LEADER, "host-1:17 leads dead letters"),
        (MarkKind.RELEASE, "release B began"),
        (MarkKind.ALARM, "alarm y"),
        (MarkKind.ACT, "alice: retry"),
    ]


def test_what_is_too_much_is_left_out_and_that_is_said(
    untouched: World, monkeypatch: pytest.MonkeyPatch, terminal: Make
) -> None:
    monkeypatch.setattr(subject, "MOST_ROWS", 2)
    monkeypatch.setattr(subject, "MOST_MARKS", 1)
    for minute in (1, 2, 3):
        tell(untouched, minute, HERE)
        untouched.query(
            f"INSERT INTO operator_actions (who, action, subject, detail) VALUES ('a', 'b{minute}', '', '')"
        )
    found = flow(untouched.settings(), minutes=3)
    assert ([minute.processes for minute in found.minutes], found.more_rows) == ([0, 1, 1], True)
    assert ([mark.text for mark in found.marks], found.more_marks) == (["a: b3"], 2)
    printed = terminal(untouched).prints("flow", "--minutes", 3)
    assert "And 2 things that happened before." in printed
    assert "Older figures are left out" in printed


def test_it_is_printed(untouched: World, terminal: Make) -> None:
    tell(untouched, 1, HERE, work=Work({"created": 7}, calls=8, latency={"0.1": 8}))
    shown = terminal(untouched).json("flow", "--minutes", 2)
    assert [minute["created"] for minute in shown["minutes"]] == [0, 7]
    last = terminal(untouched).prints("flow", "--minutes", 2).splitlines()[-1]
    assert last.split()[2:] == ["1", "7", "7", "0", "0", "8", "0", "0.05", "0.099", "-", "-", "-", "-"]


def test_a_process_stores_what_it_did(world: World) -> None:
    """Its last piece of a minute, too, with the orders over both doors and the lead of its lanes."""
    app = world.start()
    world.create("saga-of-the-flow")
    world.ask(an_update("unknown", "PLACED"))
    client = app.test_client()
    order = client.post("/createOrder", json=create_body(), headers={"Idempotency-Key": "k"})
    client.post("/createOrder", json=create_body(), headers={"Idempotency-Key": "k"})
    assert order.status_code == 201
    assert client.post("/completeOrder", json={"orderId": "unknown"}).status_code == 404
    wait_for(lambda: world.query("SELECT 1 FROM watch WHERE seen IS NOT NULL"), "a look of the watch")
    service_of(app).stop()
    figures = [json.loads(row[0]) for row in world.query("SELECT figures FROM flow_minutes ORDER BY minute")]
    done = [minute["work"] for minute in figures]
    assert sum(work["changes"].get("created", 0) for work in done) == 2
    assert sum(work["refusals"].get("order_not_found", 0) for work in done) == 2
    assert (sum(work["repeats"] for work in done), sum(work["calls"] for work in done)) == (1, 3)
    assert sum(sum(work["latency"].values()) for work in done) == 3
    assert {lead["lane"] for minute in figures for lead in minute["leads"]} == {"events", "dead_letters"}
    waits = [minute["waiting"] for minute in figures]
    assert any(minute["events"] is not None and minute["commands"] is not None for minute in waits)


def test_a_row_told_twice_stays_one(untouched: World) -> None:
    pool = Pool(Database(untouched.settings().database_url), 1)
    table = FlowTable(pool, HERE)
    for created in (1, 2):
        table.keep(Figures("A", "", Work({"created": created})), 70.0)
    keeper = FlowKeeper(table)
    keeper.close()
    keeper.store()
    pool.drop_idle()
    assert untouched.count("flow_minutes", "now() - minute > interval '60 s'") == 1
    assert untouched.count("flow_minutes") == 2
