"""`waits`: orders by their time in their status, beside what is usual."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from app.database.database import Database
from app.database.pool import Pool
from app.operations import waits as operations
from app.operations.waits import waits
from app.services.housekeeping import Housekeeping
from app.utils.alarms import Alarms
from tests.harness.terminal import Terminal
from tests.harness.world import World

Make = Callable[[World], Terminal]

AN_ORDER = (
    "INSERT INTO orders (order_id, cust_id, order_description, food_fee, delivery_fee, delivery_location, saga_id, "
    "order_status, created_at, updated_at, accepted_at, placed_at) "
    "VALUES (%s, 'ann', '[]', 1, 1, 'Dorm', 'saga-1', %s, %s, %s, %s, %s)"
)
A_CHANGE = (
    "INSERT INTO order_changes (order_id, version, change_id, kind, from_status, to_status, payment_status, door, "
    "correlation_id, created_at) VALUES (%s, %s, gen_random_uuid(), 'k', %s, %s, 'PENDING', 'http', 'c', %s)"
)


def ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def an_order(world: World, order_id: str, status: str, made: float, **times: float) -> None:
    given = {name: ago(minutes).replace(tzinfo=None) for name, minutes in {"created_at": made, **times}.items()}
    row = order_id, status, given["created_at"], given["created_at"], given.get("accepted_at"), given.get("placed_at")
    world.query(AN_ORDER, row)


def a_life(world: World, order_id: str, *changes: tuple[str | None, str, float]) -> None:
    """Write the history: from which status to which, so many minutes ago."""
    for version, (came_from, to, minutes) in enumerate(changes, 1):
        world.query(A_CHANGE, (order_id, version, came_from, to, ago(minutes)))


def test_the_longest_in_its_status_is_first_and_finished_orders_are_left_out(untouched: World, terminal: Make) -> None:
    an_order(untouched, "old", "ACCEPTED", 90, accepted_at=10)
    an_order(untouched, "waits", "PLACED", 80, placed_at=70)
    an_order(untouched, "new", "PENDING", 5)
    an_order(untouched, "done", "COMPLETED", 500)
    found = waits(untouched.settings())
    assert [waiting.order_id for waiting in found.oldest] == ["waits", "old", "new"]
    assert [round(waiting.seconds / 60) for waiting in found.oldest] == [70, 10, 5]
    assert (found.oldest[0].saga_id, found.left_out, found.notes) == ("saga-1", 0, [])
    shown = terminal(untouched).prints("waits", "--limit", 1)
    assert ("And 2 more." in shown, "waits" in shown, "done" in shown) == (True, True, False)


def test_the_history_tells_since_when_an_order_without_a_time_of_its_status_waits(untouched: World) -> None:
    an_order(untouched, "cleared", "CREATED", 90)
    a_life(untouched, "cleared", (None, "CREATED", 90), ("CREATED", "ACCEPTED", 50), ("ACCEPTED", "CREATED", 20))
    untouched.query(A_CHANGE, ("cleared", 4, "CREATED", "CREATED", ago(1)))  # a payment, for example
    (waiting,) = waits(untouched.settings()).oldest
    assert round(waiting.seconds / 60) == 20


def test_each_status_has_the_usual_time_of_the_last_day_and_what_is_over_it(untouched: World) -> None:
    for number in range(20):
        a_life(untouched, f"done-{number}", (None, "PENDING", 100), ("PENDING", "CREATED", 100 - number - 1))
    a_life(untouched, "long ago", (None, "PENDING", 20_000), ("PENDING", "CREATED", 10_000))
    an_order(untouched, "slow", "PENDING", 30)
    an_order(untouched, "usual", "PENDING", 10)
    found = waits(untouched.settings())
    pending = next(age for age in found.statuses if age.status == "PENDING")
    assert (pending.orders, pending.slower, pending.sample, pending.exact) == (2, 1, 20, True)
    assert pending.p95_seconds == pytest.approx(19.05 * 60, abs=5)
    assert [(waiting.order_id, waiting.is_over) for waiting in found.oldest] == [("slow", True), ("usual", False)]
    assert [age.p95_seconds for age in found.statuses if age.status != "PENDING"] == [None] * 5


def test_a_list_that_may_lack_an_order_says_so(untouched: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "WALKED", 2)
    for number, accepted in enumerate((1, 2, 60)):
        an_order(untouched, f"order-{number}", "ACCEPTED", 100 - number, accepted_at=accepted)
    found = waits(untouched.settings(), limit=1)
    assert found.left_out == 2
    assert found.notes[0].startswith("Of ACCEPTED only the 2 orders were looked at that were made first")


def test_the_day_is_found_at_the_end_of_a_long_history(untouched: World) -> None:
    untouched.query(
        "INSERT INTO order_changes (order_id, version, change_id, kind, from_status, to_status, payment_status, door, "
        "correlation_id, created_at) SELECT n, v, gen_random_uuid(), 'k', CASE v WHEN 2 THEN 'PENDING' END, "
        "CASE v WHEN 1 THEN 'PENDING' ELSE 'CREATED' END, 'PENDING', 'http', 'c', "
        "now() - (20000 - n) * interval '1 minute' + v * CASE WHEN n < 15000 THEN interval '9 minutes' "
        "ELSE interval '7 seconds' END FROM generate_series(1, 20000) AS n, generate_series(1, 2) AS v ORDER BY n, v"
    )
    pending = waits(untouched.settings()).statuses[0]
    assert pending.p95_seconds == pytest.approx(7.0)
    assert 300 < pending.sample < 1500


def test_of_very_many_slower_orders_the_counts_of_the_lists_tell(
    untouched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "WALKED", 2)
    a_life(untouched, "done", (None, "PENDING", 100), ("PENDING", "CREATED", 90))
    for number, minutes in enumerate((2, 20, 70, 1500, 3000)):
        an_order(untouched, f"order-{number}", "PENDING", minutes)
    counted = operations.waits(untouched.settings()).statuses[0]
    assert (counted.slower, counted.exact) == (4, False)
    fold(untouched)
    assert operations.waits(untouched.settings()).statuses[0] == counted


def fold(world: World) -> None:
    pool = Pool(Database(world.settings().database_url), 1)
    Housekeeping(pool, dict, Alarms()).fold(threading.Event(), lambda: None)
    pool.drop_idle()
    assert world.count("order_count_deltas") == 0
