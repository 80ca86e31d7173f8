"""What `/metrics` shows of the whole service, at each of its processes."""

import time
from contextlib import closing

import psycopg2
import pytest

from app.database.pool import Pool
from app.database.snapshots import HeldSnapshots
from app.services import watch
from tests.harness.world import World, a_create, wait_for
from tests.integration.test_horizon import a_snapshot
from tests.integration.test_watch import metric


def test_announcing_is_timed_repeats_are_counted_and_the_processes_are_seen(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "WATCH_LOOK_SECONDS", 0.3)
    app, command = world.start(), a_create()
    announced = 'order_announce_seconds_count{lane="events"}'
    soon = 'order_announce_seconds_bucket{lane="events",le="10.0"}'
    text = app.test_client().get("/metrics").text
    before, soon_before = (metric(app, name) if name in text else 0.0 for name in (announced, soon))
    world.ask(command)
    world.send(command)
    wait_for(lambda: metric(app, announced) == before + 1, "the acknowledgement")
    assert metric(app, soon) == soon_before + 1
    wait_for(lambda: metric(app, 'order_repeats_total{door="kafka"}') >= 1, "the repeat")
    assert metric(app, 'order_announce_seconds_sum{lane="events"}') > 0
    wait_for(lambda: metric(app, 'order_instances{state="here"}') == 1, "the process")
    assert metric(app, 'order_instances{state="silent"}') == 0
    assert 0 <= metric(app, "order_snapshot_age_seconds") < 60


def test_a_command_that_waits_is_as_old_as_its_time_stamp(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "WATCH_LOOK_SECONDS", 0.3)
    app = world.start()
    lag = 'order_commands_lag_seconds{partition="0"}'
    wait_for(lambda: lag in app.test_client().get("/metrics").text, "the first look")
    world.send(b"not a command", partition=0)
    offset = "SELECT next_offset FROM consumer_offsets WHERE partition = 0"
    wait_for(lambda: world.query(offset) == [(1,)], "the first command")
    with closing(psycopg2.connect(world.database_url)) as other, other.cursor() as cursor:
        cursor.execute(f"{offset} FOR UPDATE")
        an_hour_ago = int((time.time() - 3600) * 1000)
        world.wire.producer.send(world.commands, b"no command", partition=0, timestamp_ms=an_hour_ago).get(30)
        wait_for(lambda: metric(app, lag) > 3000, "the lag")
    wait_for(lambda: metric(app, lag) == 0, "no lag")


def test_the_oldest_snapshot_is_as_old_as_its_transaction(pool: Pool, database_url: str) -> None:
    held = HeldSnapshots(pool)
    with a_snapshot(database_url) as one, closing(psycopg2.connect(database_url)) as other, other.cursor() as cursor:

        def is_its_age() -> bool:
            before = held.oldest_seconds()
            cursor.execute(
                "SELECT extract(epoch FROM clock_timestamp() - xact_start)::float8 FROM pg_stat_activity "
                "WHERE pid = %s",
                (one.info.backend_pid,),
            )
            return bool(0 < before <= cursor.fetchall()[0][0])

        wait_for(is_its_age, "an end of sessions that only begin")
