"""How much waits in a lane is told without counting all of it."""

from types import SimpleNamespace

import pytest

from app.database import watched
from app.database.lanes import EVENTS as EVENTS_LANE
from app.database.pool import Pool
from app.database.watched import LaneLook, QueuedRows, WatchTable, read_seen
from app.utils.deadline import Deadline
from tests.harness.world import wait_for
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
    run(EVENTS, 90, 900)
    run("DELETE FROM outbox WHERE version BETWEEN 2 AND 11")
    found = look.look(pool)
    assert (found.depth, 90 <= found.age < 120) == (890, True)
    run(EVENTS, 1, 30_000)
    assert look.look(pool).depth == 30_900  # ten of them are gone, and not counted


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


def test_of_rows_that_wait_for_several_partitions_the_oldest_tells_the_age(pool: Pool, run: Run) -> None:
    look = LaneLook("outbox")
    for partition, age in enumerate((10, 90, 40)):
        run(EVENTS, age, 2)
        ids = f"ARRAY[{2 * partition + 1}, {2 * partition + 2}]"
        run(EVENTS_LANE.set_aside.replace("%s", ids, 1), (partition + 1) << 44)
    found = look.look(pool)
    assert (found.depth, found.oldest_id, 90 <= found.age < 120) == (6, 5 - (3 << 44), True)


def test_many_rows_that_wait_for_their_partition_are_not_counted(pool: Pool, run: Run) -> None:
    look = LaneLook("outbox")
    run(EVENTS, 1, 3_000)
    run(EVENTS_LANE.set_aside.replace("%s", "ARRAY(SELECT id FROM outbox)", 1), 1 << 44)
    run(EVENTS, 1, 5)
    wait_for(lambda: look.look(pool).depth == 3_005, "PostgreSQL's statistics")


def test_a_walk_over_all_rows_rests_the_longer_the_longer_it_took(
    pool: Pool, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = LaneLook("outbox")
    look.look(pool)
    assert 59 < look._walk.remaining <= 60
    times = iter([0.0, 0.5])
    monkeypatch.setattr(watched, "time", SimpleNamespace(monotonic=lambda: next(times)))
    look._walk = Deadline(0)
    look.look(pool)
    assert 1_400 < look._walk.remaining <= 1_500


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
