"""Requests that were refused leave facts: the time line of an order tells how often which answer was given."""

import pytest
from flask import Flask

from app.database.database import Database
from app.database.http_refusals import RefusalTable
from app.database.pool import Pool
from app.operations.timeline import Entry, timeline
from tests.contract.conftest import Tables
from tests.harness.builders import Caller, unique


def store(app: Flask, tables: Tables) -> None:
    """Do what the thread does each second."""
    app.extensions["refusals"].store(RefusalTable(Pool(Database(tables.url), 1)))


@pytest.fixture(autouse=True)
def _nothing_waits(app: Flask, tables: Tables) -> None:
    """What earlier tests were refused would fill the queue: here nobody stores it each second."""
    store(app, tables)


def stored(app: Flask, tables: Tables, order_id: str) -> dict[str | None, Entry]:
    """Store what was refused; return the order's lines without a change, by their outcome."""
    store(app, tables)
    lines = timeline(app.extensions["settings"], order_id, with_log=False).entries
    return {entry.came.outcome: entry for entry in lines if entry.came and not entry.became}


def test_what_was_refused_is_a_line_of_the_order_with_its_key_and_how_often(app: Flask, tables: Tables) -> None:
    caller, key = Caller(app.test_client()), unique("key")
    order_id = caller.new("ACCEPTED", "runner-1")
    taken = {"orderId": order_id, "runner_id": "runner-2"}
    for _ in range(2):
        assert caller.post("/verifyAndAcceptOrder", taken, Idempotency_Key=key).status_code == 400
    other = {"orderId": order_id, "runner_id": "runner-3"}
    assert caller.post("/verifyAndAcceptOrder", other, Idempotency_Key=key).status_code == 422
    nonsense = {"orderId": order_id, "status": "NONSENSE"}
    assert caller.post("/updateOrderStatus", nonsense, X_Correlation_ID="call-7").status_code == 400
    found = stored(app, tables, order_id)
    came = {outcome: entry.came for outcome, entry in found.items()}
    accept, reused, update = (
        came[outcome] for outcome in ("400 order_taken", "422 idempotency_key_reused", "400 invalid_status")
    )
    assert accept is not None
    assert (accept.kind, accept.key, accept.times) == ("/verifyAndAcceptOrder", key, 2)
    assert reused is not None
    assert (reused.key, reused.times) == (key, 1)
    assert update is not None
    assert (update.correlation_id, update.key) == ("call-7", None)
    assert stored(app, tables, caller.create()) == {}


def test_a_lost_race_is_a_line_of_the_order(app: Flask, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = Caller(app.test_client())
    order_id = caller.new("CREATED")
    service = app.extensions["order_service"]
    decide = service._decide
    seen: list[object] = []

    def late(*arguments: object) -> object:
        decision = decide(*arguments)
        if len(seen) < 2:  # another change is committed between reading and commit
            seen.append(tables.rows("UPDATE orders SET version = version + 1 WHERE order_id = %s", order_id))
        return decision

    monkeypatch.setattr(service, "_decide", late)
    assert caller.accept(order_id, "runner-1").status_code == 200
    came = stored(app, tables, order_id)["lost_race"].came
    assert came is not None
    assert (came.kind, came.times) == ("/verifyAndAcceptOrder", 2)


def test_refusals_of_calls_that_only_ask_and_of_strangers_leave_nothing(app: Flask, tables: Tables) -> None:
    client = app.test_client()
    assert client.get("/getOrderDetails?orderId=none", headers={"X-Correlation-ID": "asked"}).status_code == 404
    assert client.post("/nothing", headers={"X-Correlation-ID": "asked"}).status_code == 404
    store(app, tables)
    assert tables.one("SELECT count(*) FROM http_refusals WHERE correlation_id = 'asked'") == 0
