"""`check`: silent about a sound database, and it finds each kind of damage."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.kafka import broker_view
from tests.cli.test_alarms import an_alarm
from tests.cli.test_orders import an_order
from tests.harness.terminal import Terminal
from tests.harness.world import World, a_cancel, a_create, an_update, wait_for

Make = Callable[[World], Terminal]

A_LINE = "INSERT INTO order_changes (order_id, version, change_id, kind, from_status, to_status, payment_status, door, "
A_LINE += "correlation_id) VALUES ('{}', {}, gen_random_uuid(), 'updated', 'PENDING', '{}', 'PENDING', 'http', 'c')"
AN_EVENT = "INSERT INTO outbox (event_id, aggregateid, type, correlation_id, version, payload, created_at) "
AN_EVENT += "VALUES (gen_random_uuid(), '{}', '{}', 'c', {}, '', now() - interval '{} s')"
A_LETTER = 'INSERT INTO dead_letters (event_id, topic, partition, "offset", error, created_at) '
A_LETTER += "VALUES (gen_random_uuid(), 't', 0, 0, 'no JSON', now() - interval '{} s')"


def test_nothing_is_wrong_after_ordinary_work(running: World, terminal: Make) -> None:
    order_id = running.create()
    running.ask(an_update(order_id, "CREATED"), an_update(order_id, "ACCEPTED"), an_update("unknown", "PLACED"), b"{")
    running.ask(a_cancel(order_id), a_create(saga_id="saga-1"), a_create(saga_id="saga-1"))
    printed = terminal(running).prints("check")
    assert printed.startswith("Nothing is wrong.\nCompared: 2 orders, 5 order_changes, 2 saga_orders")


def test_taken_over_rows_and_fresh_refusals_are_sound(untouched: World, terminal: Make) -> None:
    an_order(untouched, "taken-over", 0)
    an_order(untouched, "changed-since", 0, "PLACED")
    untouched.query("UPDATE orders SET version = 2 WHERE order_id = 'changed-since'")
    untouched.query(A_LINE.format("changed-since", 2, "PLACED"))
    untouched.query(AN_EVENT.format("nobody", "order.cancellation_failed", "NULL", 1))
    untouched.query(A_LETTER.format(1))
    assert terminal(untouched).json("check")["findings"] == []


DAMAGE = {
    "version": "UPDATE orders SET version = 5",
    "gap": A_LINE.format("order-1", 4, "CREATED"),
    "status": A_LINE.format("order-1", 2, "PLACED"),
    "history_without_order": A_LINE.format("gone", 1, "PLACED"),
    "event_without_history": AN_EVENT.format("order-1", "ORDER_UPDATED", 9, 1),
    "event_without_order": AN_EVENT.format("gone", "ORDER_UPDATED", "NULL", 1),
    "late_event": AN_EVENT.format("order-1", "ORDER_UPDATED", "NULL", 90),
    "lost_event": "INSERT INTO lost_events VALUES (gen_random_uuid(), 'order-1', 1)",
    "saga_without_order": "INSERT INTO saga_orders VALUES ('saga-1', 'gone')",
    "order_without_saga": "UPDATE orders SET saga_id = 'saga-1'",
    "late_dead_letter": A_LETTER.format(90),
    "count": "INSERT INTO order_counts VALUES ('customer', 'customer-1', 1)",
    "count_unseen": "INSERT INTO order_count_floors SELECT max(id) FROM order_count_deltas",
}


def test_each_kind_of_damage_is_found(untouched: World, terminal: Make, subtests: pytest.Subtests) -> None:
    for kind, damage in DAMAGE.items():
        with subtests.test(kind):
            untouched.query("TRUNCATE orders, order_changes, outbox, saga_orders, dead_letters, lost_events")
            an_order(untouched, "order-1", 0)
            untouched.query(A_LINE.format("order-1", 1, "CREATED"))
            untouched.query(damage)
            result = terminal(untouched).run("check", "--json")
            assert result.exit_code == 1
            assert kind in [finding["check"] for finding in json.loads(result.stdout)["findings"]]


def test_many_of_a_kind_are_counted_and_three_are_named(untouched: World, terminal: Make) -> None:
    for name in range(5):
        an_order(untouched, f"order-{name}", 0)
    untouched.query("UPDATE orders SET version = 2")
    result = terminal(untouched).run("check")
    assert result.exit_code == 1
    assert "The version of an order is not that of its last line of history: order-" in result.stdout
    assert "(2, history 1) and 2 more.\n" in result.stdout


def compared(terminal: Terminal) -> Any:
    """Return the check, once Kafka tells how far the group is."""
    result = terminal.run("check")
    return None if "were not compared" in result.stdout else result


def test_an_offset_beyond_the_log_is_found(world: World, terminal: Make) -> None:
    topic_id = world.wire.admin.describe_topics([world.commands])[0]["topic_id"]
    world.query("INSERT INTO consumer_offsets VALUES (%s, 0, %s, 5)", (world.commands, str(topic_id)))
    result = wait_for(lambda: compared(terminal(world)), "the coordinator of groups, which a new broker makes late")
    assert result.exit_code == 1
    assert f"The log ends at 0, before the stored offset 5: {world.commands}/0.\n" in result.stdout


def test_without_a_topic_the_rest_is_compared_and_that_is_said(untouched: World, terminal: Make) -> None:
    printed = terminal(untouched).prints("check")
    assert "The offsets were not compared with the log: There is no topic" in printed
    assert "Nothing is wrong." in printed


def five_late(world: World) -> None:
    """Send a command that is years old to each of five partitions."""
    world.wire.create_topics(world.commands, world.events, world.letters, partitions=5)
    for partition in range(5):
        world.wire.producer.send(world.commands, b"{}", partition=partition, timestamp_ms=1_700_000_000_000).get(20)


def test_of_many_late_commands_three_are_named(untouched: World, terminal: Make) -> None:
    five_late(untouched)
    late = wait_for(lambda: all_read(terminal(untouched)), "every record that waits")
    assert (late["check"], late["count"], len(late["examples"])) == ("late_command", 5, 3)


def all_read(terminal: Terminal) -> Any:
    """Return the one finding, once Kafka hands out all that waits within the second that a look has."""
    body = json.loads(terminal.run("check", "--json").stdout)
    assert len(body["findings"]) == 1 or body["notes"], "what was not read is said"
    return None if body["notes"] else body["findings"][0]


def test_what_kafka_does_not_hand_out_in_time_is_said(
    untouched: World, terminal: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An age that is not known is no age that is well."""
    five_late(untouched)
    monkeypatch.setattr(broker_view, "PEEK_MS", 0)
    body = json.loads(terminal(untouched).run("check", "--json").stdout)
    places = ", ".join(f"{untouched.commands}/{partition}" for partition in range(3))
    sentence = "Kafka did not hand out in time what waits first, so its age is not known"
    assert (body["findings"], body["notes"]) == ([], [f"{sentence}: {places} and others"])


def test_what_keeps_commands_waiting_is_found(world: World, terminal: Make) -> None:
    """Open alarms of conditions, and commands that are late by their own time; what happened once is a note."""
    an_alarm(world, "kafka_rights", "host:1", "Kafka's ACLs do not let the service WRITE order_events")
    an_alarm(world, "commands_lost_0_17", sentence="Commands are lost")
    world.wire.producer.send(world.commands, b"{}", partition=1, timestamp_ms=1_700_000_000_000).get(20)
    result = terminal(world).run("check", "--json")
    body = json.loads(result.stdout)
    assert result.exit_code == 1
    assert {finding["check"]: finding["examples"] for finding in body["findings"]} == {
        "alarm": ["alarm kafka_rights"],
        "late_command": [f"{world.commands}/1 at 0"],
    }
    assert body["notes"] == ["Not acknowledged yet: commands_lost_0_17: Commands are lost"]
