"""The watch: whatever keeps commands or events waiting is shown at every process, with its reason, and ends with it."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import ACL, ACLFilter, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from kafka.record.default_records import DefaultRecordBatchBuilder

from app.kafka.broker_view import KafkaView
from app.services import watch
from tests.harness.stack import FaultBroker
from tests.harness.world import World, a_create, wait_for


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch looks more often, and what waits rings sooner: the tests would wait for it."""
    monkeypatch.setattr(watch, "WATCH_LOOK_SECONDS", 0.5)
    monkeypatch.setattr(watch, "EARLY_SECONDS", 0.5)
    monkeypatch.setattr(watch, "WAITING_SECONDS", 3.0)
    monkeypatch.setattr(watch, "STILL_SECONDS", 0.2)


def part(app: Flask, name: str) -> dict[str, Any]:
    found: dict[str, Any] = app.test_client().get("/readyz").get_json()["parts"][name]
    return found


def lag(app: Flask) -> dict[str, int]:
    return dict(part(app, "topics")["lag"])


def metric(app: Flask, name: str) -> float:
    lines = app.test_client().get("/metrics").text.splitlines()
    (value,) = (line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} "))
    return float(value)


def alarm(world: World, name: str, seconds: float = 40.0) -> str:
    return str(wait_for(lambda: world.alarm(name), f"the alarm {name}", seconds))


def over(world: World, name: str) -> None:
    wait_for(lambda: not world.alarm(name), f"the end of {name}", 40)


NOTHING_WAITS = {"0": 0, "1": 0, "2": 0}


def with_a_transactional_producer(world: World, broker: FaultBroker) -> tuple[Flask, KafkaProducer]:
    """Start the service; nothing waits."""
    app = world.start()
    wait_for(lambda: lag(app) == NOTHING_WAITS, "no lag")
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=world.group)
    producer.init_transactions()
    return app, producer


def test_lag_is_known_before_the_first_command_and_beside_the_markers_of_transactions(
    world: World, broker: FaultBroker
) -> None:
    app, producer = with_a_transactional_producer(world, broker)
    for end in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        producer.send(world.commands, b"not a command", partition=0).get(30)
        end()
    producer.close()
    handled = "SELECT next_offset FROM consumer_offsets WHERE partition = 0"
    wait_for(lambda: world.query(handled) == [(1,)], "the command")
    assert world.wire.ends(world.commands)[0] == 4
    wait_for(lambda: lag(app) == NOTHING_WAITS and part(app, "topics")["ok"], "no lag")


def test_commands_that_an_open_transaction_holds_back_are_counted_and_it_is_named(
    world: World, broker: FaultBroker
) -> None:
    app, producer = with_a_transactional_producer(world, broker)
    producer.begin_transaction()
    producer.send(world.commands, b"not a command", partition=0).get(30)
    world.send(a_create(), partition=0)
    assert "an open transaction holds the partition" in alarm(world, "commands_stalled_0")
    assert lag(app) == {"0": 2, "1": 0, "2": 0}
    assert metric(app, 'order_commands_lag_seconds{partition="0"}') > 2
    producer.commit_transaction()
    producer.close()
    over(world, "commands_stalled_0")
    wait_for(lambda: lag(app) == NOTHING_WAITS, "no lag")


def test_what_a_stranger_in_the_group_keeps_is_counted_and_named_at_every_process(
    world: World, broker: FaultBroker
) -> None:
    stranger = KafkaConsumer(
        world.commands, bootstrap_servers=broker.bootstrap, group_id=world.group, client_id="stranger"
    )
    wait_for(lambda: stranger.poll(timeout_ms=100) or stranger.assignment(), "its partitions")
    world.start()
    wait_for(lambda: stranger.poll(timeout_ms=100) or 0 < len(stranger.assignment()) < 3, "the rebalance", 40)
    kept = min(place.partition for place in stranger.assignment())
    world.send(*[a_create() for _ in range(4)], partition=kept)
    api = world.start(ROLES="api")
    wait_for(lambda: stranger.poll(timeout_ms=100) or world.alarm(f"commands_stalled_{kept}"), "the alarm", 40)
    assert "stranger at 127.0.0.1 has the partition" in alarm(world, f"commands_stalled_{kept}")
    assert f"stranger at 127.0.0.1 has {kept}" in alarm(world, "foreign_member")
    assert lag(api)[str(kept)] == 4
    assert metric(api, f'order_commands_lag{{partition="{kept}"}}') == 4
    assert metric(api, f'order_commands_lag_seconds{{partition="{kept}"}}') > 2
    stranger.close()
    over(world, f"commands_stalled_{kept}")
    over(world, "foreign_member")
    wait_for(lambda: lag(api) == NOTHING_WAITS, "no lag")


def test_a_clock_ahead_of_the_broker_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    app = world.start()
    world.create()
    append = DefaultRecordBatchBuilder.append

    def append_ahead(builder: object, offset: int, timestamp: object, *record: object) -> object:
        if threading.current_thread().name.startswith("relay"):
            timestamp = int(time.time() + 7200) * 1000
        return append(builder, offset, timestamp, *record)

    with monkeypatch.context() as patch:
        patch.setattr(DefaultRecordBatchBuilder, "append", append_ahead)
        world.send(*[a_create() for _ in range(20)], *[b"not a command"] * 20)
        sentence = alarm(world, "events_stalled")
        assert "InvalidTimestampError" in sentence
        assert "message.timestamp.after.max.ms" in sentence
        wait_for(lambda: metric(app, "order_outbox_depth") == 20, "the depth")
        assert "InvalidTimestampError" in alarm(world, "dead_letters_stalled")
        assert metric(app, "order_outbox_oldest_seconds") > 0
    over(world, "events_stalled")
    over(world, "dead_letters_stalled")
    world.settle()
    assert len(world.dead_letters()) == 20
    assert world.count("alarms", "strpos(name, 'refused') > 0") == 0
    wait_for(lambda: metric(app, "order_outbox_depth") == 0, "the depth")


@contextmanager
def denied(admin: KafkaAdminClient, operation: ACLOperation, topic: str) -> Iterator[None]:
    """Revoke a right of everybody."""
    pattern = ResourcePattern(ResourceType.TOPIC, topic)
    allowed = ACL("User:*", "*", ACLOperation.ALL, ACLPermissionType.ALLOW, pattern)
    forbidden = ACL("User:*", "*", operation, ACLPermissionType.DENY, pattern)
    admin.create_acls([allowed, forbidden])
    try:
        yield
    finally:
        admin.delete_acls([ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, pattern)])


def test_a_right_to_write_that_is_missing_is_named(world: World, admin: KafkaAdminClient) -> None:
    app = world.start()
    world.create()
    with denied(admin, ACLOperation.WRITE, world.events):
        assert f"WRITE {world.events}" in alarm(world, "kafka_rights")
        world.send(a_create())
        assert "TopicAuthorizationFailedError" in alarm(world, "events_stalled")
        assert part(app, "topics")["denied"] == [f"WRITE {world.events}"]
    over(world, "kafka_rights")
    over(world, "events_stalled")
    world.settle()


def test_topics_that_are_missing_are_named_and_made_nowhere(untouched: World, admin: KafkaAdminClient) -> None:
    view = KafkaView(untouched.settings())
    names = [untouched.commands, untouched.events]
    assert [topic.missing for topic in view.topics(names).values()] == [True, True]
    untouched.wire.create_topics(untouched.commands)
    wait_for(lambda: [topic.missing for topic in view.topics(names).values()] == [False, True], "the topic")
    assert view.topics([untouched.commands])[untouched.commands].leaderless == []
    view.close()


def test_nothing_is_known_of_what_waits_while_nobody_watches(untouched: World) -> None:
    api = untouched.start(ROLES="api")
    assert math.isnan(metric(api, "order_outbox_depth"))
    assert math.isnan(metric(api, "order_outbox_oldest_seconds"))
    assert part(api, "broker") == {"ok": False, "reason": "no process of the service watches"}


def test_a_broker_that_is_away_is_shown_in_one_sentence_and_keeps_http_ready(world: World, broker: FaultBroker) -> None:
    app = world.start()
    wait_for(lambda: lag(app) == NOTHING_WAITS, "no lag")
    assert metric(app, 'order_commands_lag{partition="0"}') == 0
    try:
        broker.kill()
        sentence = alarm(world, "broker_away", 15)
        assert sentence == f"No Kafka broker of {broker.bootstrap} answers"
        answer = app.test_client().get("/readyz")
        assert (answer.status_code, answer.get_json()["parts"]["broker"]["ok"]) == (200, False)
        wait_for(lambda: math.isnan(metric(app, 'order_commands_lag{partition="0"}')), "a look that knows no lag")
        assert metric(app, "order_outbox_depth") == 0
    finally:
        broker.start()
    over(world, "broker_away")
    wait_for(lambda: lag(app) == NOTHING_WAITS, "no lag", 40)
    assert world.query("SELECT DISTINCT name FROM alarms") == [("broker_away",)], "no other fault, then or afterwards"


def test_a_worker_is_ready_once_a_broker_has_answered_it(world: World) -> None:
    """So a rollout stops at the first worker that no broker takes; what serves callers is ready without Kafka."""
    nowhere = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    serving, lost = world.start(**nowhere), world.start(ROLES="worker", **nowhere)
    wait_for(
        lambda: all(is_ready_but_for_kafka(app) for app in (serving, lost)), "the database and the broker's refusal"
    )
    assert [app.test_client().get("/readyz").status_code for app in (serving, lost)] == [200, 503]
    worker = world.start(ROLES="worker")
    wait_for(lambda: worker.test_client().get("/readyz").status_code == 200, "readiness")
    worker.extensions["kafka_service"].pulse.part = {"ok": False, "reason": "it went away"}
    assert worker.test_client().get("/readyz").status_code == 200


def is_ready_but_for_kafka(app: Flask) -> bool:
    parts = app.test_client().get("/readyz").get_json()["parts"]
    return bool(parts["database"]["ok"] and parts["schema"]["ok"]) and parts["broker"]["reason"] != "not asked yet"
