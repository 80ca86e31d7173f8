"""How much waits in a lane is told without counting all of it."""

import pytest

from app.database.lanes import EVENTS as EVENTS_LANE
from app.database.pool import Pool
from app.database.watched import LaneLook, QueuedRows, WatchTable, read_seen
from app.utils.deadline import Deadline
from tests.integration.test_housekeeping import Run, run

__all__ = ["run"]

EVENTS = (
    "INSERT INTO outbox (event_id, aggregateid, type, correlation_id, version, payload, created_at) "
    "SELECT gen_random_uuid(), 'order-1', 'ORDER_UPDATED', 'corr-1', n, '{}', now() - %s * interval '1 s' "
    "FROM generate_series(1, %s) AS n"
)


def test_few_rows_are_counted_and_many_are_told_from_their_ids(
    pool: Pool, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = LaneLook("outbox")
    assert look.look(pool) == QueuedRows(None, 0, 0.0)
    run(EVENTS, 90, 9_000)
    run("DELETE FROM outbox WHERE version BETWEEN 2 AND 11")
    found = look.look(pool)
    assert (found.depth, 90 <= found.age < 120) == (8_990, True)
    run(EVENTS, 1, 30_000)
    assert look.look(pool).depth == 39_000  # ten of them are gone, and not counted


def test_a_row_that_comes_back_by_hand_is_seen_again(pool: Pool, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    look = LaneLook("outbox")
    run(EVENTS, 1, 10)
    run("DELETE FROM outbox")
    assert look.look(pool).depth == 0
    run(
        "INSERT INTO outbox (id, event_id, aggregateid, type, correlation_id, payload) OVERRIDING SYSTEM VALUE "
        "VALUES (3, gen_random_uuid(), 'order-1', 'ORDER_UPDATED', 'corr-1', '{}')"
    )
    monkeypatch.setattr(look, "_walk", Deadline(0))
    assert look.look(pool).oldest_id == 3


def test_rows_that_wait_for_their_partition_count_too(pool: Pool, run: Run) -> None:
    look = LaneLook("outbox")
    run(EVENTS, 90, 3)
    run(EVENTS, 1, 2)
    run(EVENTS_LANE.set_aside.replace("%s", "ARRAY[1, 2, 3]", 1), 1 << 44)
    found = look.look(pool)
    assert (found.depth, found.oldest_id, 90 <= found.age < 120) == (5, 1 - (1 << 44), True)
    run("DELETE FROM outbox WHERE id > 0")
    assert look.look(pool).depth == 3


def test_one_process_watches_and_another_takes_over(pool: Pool, run: Run) -> None:
    first, second = WatchTable(pool, "host:1"), WatchTable(pool, "host:2")
    assert [first.acquire(), second.acquire(), first.acquire()] == [True, False, True]
    first.store_seen({"lanes": {}})
    second.store_seen({"lanes": {"events": {}}})
    assert read_seen(pool, Deadline(2)) == {"lanes": {}}
    first.release()
    assert [second.acquire(), first.acquire()] == [True, False]
    run("UPDATE watch SET held_until = now() - interval '1 s'")
    assert first.acquire()
