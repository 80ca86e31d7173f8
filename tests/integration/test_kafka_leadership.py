"""One relay leads, however many instances run, and another takes over when it is gone [K13]."""

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer
from flask import Flask

from app.kafka.event_topic import KafkaEventLog, open_events
from app.kafka.quirks.producer import GatedProducer
from app.kafka.relay import Relay
from app.models.outgoing import LeaseLost, Outgoing
from tests.harness.world import World, a_create, service_of, wait_for

# Housekeeping has an advisory lock too, for moments.
LOCKS = """
SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
WHERE locktype = 'advisory' AND granted AND datname = current_database() AND classid::bigint << 32 | objid::bigint
    IN (hashtextextended('relay:events', 0), hashtextextended('relay:dead_letters', 0))
"""
LANES = 2


def relay_of(app: Flask) -> Relay:
    """The relay of the events lane."""
    return service_of(app).relays[0]


def leaders(world: World) -> list[Relay]:
    return [relay_of(app) for app in world.apps if relay_of(app).leading]


def two_instances(world: World) -> tuple[Relay, Relay]:
    """Start two; return the events lane's leader and the one that stands by."""
    world.start()
    wait_for(lambda: leaders(world), "a leader")
    world.start()
    world.ask(a_create())
    (leader,) = leaders(world)
    return leader, next(relay_of(app) for app in world.apps if relay_of(app) is not leader)


def retire(monkeypatch: pytest.MonkeyPatch, relay: Relay) -> None:
    """This relay stands by for ever once it has lost its lease."""

    def never(*_: object) -> None:
        raise LeaseLost("retired")

    monkeypatch.setattr(relay, "acquire_lease", never)


def assert_no_twin(world: World, records: int) -> None:
    ids = [row["body"]["event_id"] for row in world.replies()]
    assert len(ids) == len(set(ids)) == records


def test_of_two_instances_one_relays_each_lane(world: World) -> None:
    """[K13]"""
    leader, standby = two_instances(world)
    world.ask(*[a_create() for _ in range(50)])
    assert (leader.leading, standby.leading) == (True, False)
    assert len(world.query(LOCKS)) == LANES
    assert_no_twin(world, 51)


def test_another_takes_over_when_the_leaders_backend_is_terminated(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[K13]"""
    leader, standby = two_instances(world)
    retire(monkeypatch, leader)
    world.query(f"SELECT pg_terminate_backend(pid) FROM ({LOCKS}) AS held")
    world.ask(*[a_create() for _ in range(20)])
    wait_for(lambda: standby.leading and not leader.leading, "the other leader")
    assert_no_twin(world, 21)


def test_another_takes_over_when_the_leading_instance_stops(world: World) -> None:
    """[K13]"""
    leader, standby = two_instances(world)
    first = next(app for app in world.apps if relay_of(app) is leader)
    world.apps.remove(first)
    service_of(first).stop()
    world.ask(a_create())
    assert standby.leading
    assert_no_twin(world, 2)


def test_backends_that_are_terminated_again_and_again_leave_no_twin(running: World) -> None:
    """[K13] [K3]"""
    for _ in range(4):
        running.send(*[a_create() for _ in range(25)])
        running.query(f"SELECT pg_terminate_backend(pid) FROM ({LOCKS}) AS held")
    running.settle()
    assert_no_twin(running, 100)


@pytest.mark.parametrize(("place", "step"), [(KafkaEventLog, "send"), (GatedProducer, "append")])
def test_a_leader_that_is_silent_for_eight_seconds_loses_the_lease_and_sends_nothing_on_waking(
    world: World, monkeypatch: pytest.MonkeyPatch, place: type, step: str
) -> None:
    """[K13] Before a batch, and with its first record in the producer's hands already."""
    leader, standby = two_instances(world)
    frozen, wake = threading.Event(), threading.Event()
    take_the_step: Callable[..., Any] = getattr(place, step)

    def freeze_once(*arguments: Any) -> Any:
        done = take_the_step(*arguments) if step == "append" else None
        if leader.leading and not frozen.is_set():
            frozen.set()
            wake.wait(30)
        return done or take_the_step(*arguments)

    retire(monkeypatch, leader)
    monkeypatch.setattr(place, step, freeze_once)
    world.ask(*[a_create() for _ in range(20)])
    assert frozen.is_set()
    assert standby.leading
    wake.set()
    wait_for(lambda: not leader.leading, "the end of the old lease")
    assert_no_twin(world, 21)


def test_a_leader_that_was_frozen_for_less_sends_as_soon_as_it_has_renewed_its_lease(untouched: World) -> None:
    """[K13] The lease is over, its session is not: nobody else can have led."""
    settings = untouched.settings()
    untouched.wire.create_topics(settings.events_topic)
    checks = [LeaseLost("the lease ran out")] * 3

    def require_valid() -> None:
        if checks:
            raise checks.pop()

    event_id = uuid.uuid4()
    record = Outgoing(1, event_id, b"order-1", b"{}", (("event_id", str(event_id).encode()),))
    with open_events(settings, settings.events_topic) as events:
        began = time.monotonic()
        positions = events.send([(events.partition(record, 3), record)], require_valid, lambda: None).positions
    assert time.monotonic() - began < 10
    assert not checks
    assert sum(position.next_offset for position in positions.values()) == 1


def test_records_of_strangers_do_not_stop_a_read_back(world: World) -> None:
    """A topic is open to others: an event id that is null, none, or no id."""
    world.start()
    world.ask(a_create())
    world.stop()
    stranger = Producer({"bootstrap.servers": world.environment["KAFKA_BOOTSTRAP_SERVERS"]})
    for event_id in (None, b"", b"\xff"):
        stranger.produce(world.events, b"{}", partition=0, headers=[("event_id", event_id)])
    assert stranger.flush(20) == 0
    world.start()
    world.send(a_create("after"))
    world.settle()
    assert sum(world.wire.ends(world.events).values()) == 5


def test_events_that_come_again_long_after_the_read_back_are_not_announced_again(world: World) -> None:
    """[K13] The database went back to an older state; its commands are done again and make the same event ids."""
    world.start()
    world.ask(*[a_create() for _ in range(40)])
    world.stop()
    announced = [row["body"]["event_id"] for row in world.replies()]
    world.query("UPDATE relay_positions SET next_offset = 0 WHERE topic = %s", (world.events,))
    world.start(RELAY_BATCH="7")
    wait_for(lambda: world.count("known_events") >= 40, "the read-back")
    world.ask(a_create())
    world.query(
        "INSERT INTO outbox (event_id, aggregateid, type, correlation_id, payload) "
        "SELECT unnest(%s::uuid[]), 'order-' || random(), 'order.created', 'c', '{}'::bytea",
        (announced,),
    )
    world.settle()
    assert_no_twin(world, 41)
