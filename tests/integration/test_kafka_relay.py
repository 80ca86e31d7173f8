"""The relay: order, crash between acknowledgement and delete, lanes that do not wait for one another [K3, K13]."""

import json
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest
from kafka.admin import ConfigResource

from app.database.lane_lease import PostgresLease
from app.models.outgoing import LeaseLost
from tests.harness.world import World, a_cancel, a_create, details, raising_once, wait_for
from tools.stack.broker import Broker

BACKLOG = """
INSERT INTO outbox (event_id, aggregateid, type, correlation_id, version, payload)
SELECT gen_random_uuid(), 'order-' || mod(n, 50), 'ORDER_UPDATED', 'c-' || n, n,
       convert_to('{"payload": {"n": ' || n || '}}', 'UTF8')
FROM generate_series(1, %s) AS n
"""
LARGE = "x" * 5000


def fill(world: World, rows: int) -> None:
    world.query(BACKLOG, (rows,))


def numbers(world: World) -> dict[int, list[int]]:
    """What the rows of the backlog say, by partition, in the order of the log."""
    found = defaultdict(list)
    for row in world.replies():
        found[row["partition"]].append(row["payload"]["n"])
    return found


def allow(world: World, topic: str, size: int) -> None:
    """What an operator does about a record that is refused."""
    world.wire.admin.alter_configs([ConfigResource("TOPIC", topic, configs={"max.message.bytes": str(size)})])


def with_small(world: World, topic: str) -> World:
    """Make the topics, of which one takes small records only, and start."""
    world.wire.create_topics(*{world.commands, world.events, world.letters} - {topic})
    world.wire.create_topics(topic, max_message_bytes=2000)
    world.start()
    return world


def types(world: World) -> list[str]:
    return sorted(row["body"]["type"] for row in world.replies())


def test_a_backlog_of_five_thousand_rows_drains_in_the_order_of_its_ids(world: World) -> None:
    """[K3] [K13]"""
    fill(world, 5000)
    world.start()
    world.settle()
    found = numbers(world)
    assert sorted(number for lane in found.values() for number in lane) == list(range(1, 5001))
    assert len(found) == 3
    assert all(lane == sorted(lane) for lane in found.values())


def test_rows_that_are_committed_while_it_runs_leave_in_order_over_many_batches(world: World) -> None:
    """[K3]"""
    world.start(RELAY_BATCH="7")
    for _ in range(5):
        fill(world, 100)
    world.settle()
    for lane in numbers(world).values():
        once = sorted(set(lane))
        assert lane == once * 5


def test_batches_larger_than_the_topic_takes_leave_in_smaller_ones(untouched: World) -> None:
    """A managed cluster may have a low message.max.bytes, which is about a whole batch. [K3] [K13]"""
    fill(untouched, 2000)
    app = with_small(untouched, untouched.events).apps[0]
    untouched.settle()
    found = numbers(untouched)
    assert sorted(number for lane in found.values() for number in lane) == list(range(1, 2001))
    assert all(lane == sorted(lane) for lane in found.values())
    assert app.extensions["alarms"].all() == {}


def test_a_crash_between_acknowledgement_and_delete_leaves_no_twin(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[K13]"""
    with raising_once(monkeypatch, PostgresLease, "confirm_sent", LeaseLost("crash")) as crashed:
        world.start()
        world.ask(*[a_create() for _ in range(20)])
        assert crashed
    ids = [row["body"]["event_id"] for row in world.replies()]
    assert len(ids) == len(set(ids)) == 20


def test_without_read_back_the_same_crash_leaves_twins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the test above can fail; each twin has the event id and version of its original. [K13]"""
    monkeypatch.setattr(PostgresLease, "known", lambda *_: ())
    with raising_once(monkeypatch, PostgresLease, "confirm_sent", LeaseLost("crash")) as crashed:
        world.start()
        world.ask(*[a_create() for _ in range(20)])
        assert crashed
    rows = world.replies()
    assert len(rows) > len({row["body"]["event_id"] for row in rows}) == 20
    assert len({row["value"] for row in rows}) == 20


def test_dead_letters_have_no_twins_after_a_crash_either(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """[K10]"""
    with raising_once(monkeypatch, PostgresLease, "confirm_sent", LeaseLost("crash")) as crashed:
        world.start()
        world.send(*[b"garbage %d" % number for number in range(20)])
        world.settle()
        assert crashed
    assert len(world.dead_letters()) == 20


def test_a_dead_letter_that_its_topic_refuses_is_passed_by(untouched: World) -> None:
    """[K10] The others of its lane leave, and events anyway."""
    world = with_small(untouched, untouched.letters)
    world.send(LARGE.encode(), b"small", LARGE.encode() + b"2", b"smaller", partition=0)
    world.send(a_create())
    wait_for(lambda: types(world) == ["order.created"], "the reply")
    wait_for(lambda: len(world.dead_letters()) == 2, "the small ones", 40)
    refused = "SELECT event_id, refusal FROM dead_letters WHERE sent_at IS NULL ORDER BY id"
    wait_for(lambda: all(row[1] for row in world.query(refused)), "both to be passed by")
    rows = world.query(refused)
    assert len(rows) == 2
    for _, refusal in rows:
        assert "for good: MessageSizeTooLargeError" in refusal
        wait_for(lambda: world.alarm("dead_letters_refused"), "the alarm")
    allow(world, world.letters, 100_000)
    runner = world.apps[0].test_cli_runner()
    ids = [str(row[0]) for row in world.query("SELECT id FROM dead_letters WHERE refusal IS NOT NULL")]
    assert runner.invoke(args=["orders", "dead-letters", "retry", *ids]).exit_code == 0
    world.settle()
    assert sorted(len(row["value"]) for row in world.dead_letters()) == [5, 7, 5000, 5001]


def test_an_event_that_kafka_refuses_stops_its_lane_in_order_and_no_other(untouched: World) -> None:
    """[K3] [K10]"""
    world = with_small(untouched, untouched.events)
    order_id = world.create()
    world.send(a_cancel(order_id, reason=LARGE), partition=0)
    wait_for(lambda: world.alarm("relay_events"), "the alarm")
    world.send(a_cancel(order_id, reason="later"), b"garbage", partition=0)
    wait_for(world.dead_letters, "the dead letter")
    assert types(world) == ["order.created"]
    assert world.count("outbox") == 2
    allow(world, world.events, 100_000)
    world.settle()
    mine = [row["payload"]["reason"] for row in world.replies() if row["body"]["type"] == "order.cancelled"]
    assert mine == [LARGE, LARGE]
    wait_for(lambda: not world.alarm("relay_events"), "the end of the alarm")


def test_the_outbox_fills_while_the_broker_is_down_and_drains_in_order_without_twins(
    running: World, broker: Broker
) -> None:
    """[K3] [K13]"""
    client = running.apps[0].test_client()
    order: dict[str, Any] = {"orderId": running.create()}
    broker.kill()
    try:
        for number in range(30):
            status = ("CREATED", "PLACED")[number % 2]
            assert client.post("/updateOrderStatus", json={**order, "status": status}).status_code == 200
        client.post("/createOrder", json={"customer_id": "c", "order_details": details()})
        assert running.count("outbox") == 31
    finally:
        broker.start()
    running.settle(60)
    mine = [row for row in running.replies() if row["key"].decode() == order["orderId"]]
    assert [row["payload"]["version"] for row in mine] == list(range(1, 32))
    assert json.loads(mine[-1]["payload"]["event"])["version"] == 31


def test_a_topic_that_grows_keeps_the_order_of_each_order_in_time(running: World) -> None:
    """[K2] The first record by the new number is written after the last by the old one is acknowledged."""
    client = running.apps[0].test_client()
    body = {"customer_id": "c", "order_details": details()}
    orders = [client.post("/createOrder", json=body).get_json()["order_id"] for _ in range(20)]
    wait_for(lambda: not running.count("outbox"), "an empty outbox")
    running.wire.admin.create_partitions({running.events: 6})
    changes = 0
    while not running.alarm("events_partitions_3_6"):
        status = ("CREATED", "PLACED")[changes % 2]
        for order_id in orders:
            assert client.post("/updateOrderStatus", json={"orderId": order_id, "status": status}).status_code == 200
        changes += 1
        assert changes < 2000
    client.post("/updateOrderStatus", json={"orderId": orders[0], "status": "ACCEPTED"})
    running.settle()
    assert running.query("SELECT count(*) FROM relay_positions WHERE topic = %s", (running.events,)) == [(6,)]
    rows = sorted(running.replies(), key=lambda row: (row["body"]["timestamp"], row["payload"]["version"]))
    places = [[row["partition"] for row in rows if row["key"].decode() == order_id] for order_id in orders]
    assert all(sum(one != other for one, other in pairwise(found)) <= 1 for found in places)
    assert len({row["body"]["event_id"] for row in rows}) == len(rows)
