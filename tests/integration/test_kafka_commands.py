"""Every command's success and every refusal: one reply each, with the command's correlation id [K4-K7]."""

import json
from typing import Any

import pytest
from confluent_kafka import Producer

from app.wire.command_types import COMMAND_TYPES
from tests.harness.world import (
    Row,
    World,
    a_cancel,
    a_command,
    a_create,
    an_update,
    by_correlation,
    details,
)


def without_ids(row: Row) -> dict[str, object]:
    return {name: value for name, value in row["payload"].items() if name != "correlation_id"}


def outcome(row: Row) -> tuple[str, str, str]:
    return row["body"]["type"], row["payload"]["code"], row["payload"]["error"]


def asked(world: World, **commands: Row) -> dict[str, Row]:
    """Send commands at once, each with its name as correlation id; exactly one reply each."""
    replies = by_correlation(world.ask(*[it | {"correlation_id": name} for name, it in commands.items()]))
    assert sorted(replies) == sorted(commands)
    return replies


def test_create_order_makes_a_pending_order(running: World) -> None:
    """[K4] [R1]"""
    (row,) = running.ask(a_create("saga-1", customer_id="ann"))
    order_id = row["payload"]["order_id"]
    expected = {"order_id": order_id, "customer_id": "ann", "status": "PENDING", "saga_id": "saga-1", "version": 1}
    assert (row["body"]["type"], without_ids(row)) == ("order.created", expected)
    assert running.order(order_id) == ("PENDING", "PENDING", None, 1)


def test_update_order_status_tells_the_new_status_and_the_orders_saga(running: World) -> None:
    """[K5]"""
    order_id = running.create("saga-1")
    (row,) = running.ask(an_update(order_id, "PLACED", payment_status="CAPTURED"))
    expected = {"order_id": order_id, "status": "PLACED", "saga_id": "saga-1", "version": 2}
    assert (row["body"]["type"], without_ids(row)) == ("order.status_updated", expected)
    assert running.order(order_id) == ("PLACED", "CAPTURED", None, 2)


def test_cancel_order_tells_the_reason_given_or_the_default(running: World) -> None:
    """[K6]"""
    first, second, third = (running.create() for _ in range(3))
    commands = {"given": a_cancel(first, reason="no funds"), "none": a_cancel(second), "null": a_cancel(third)}
    commands["null"]["payload"]["reason"] = None
    rows = asked(running, **commands)
    assert without_ids(rows["given"]) == {"order_id": first, "reason": "no funds", "version": 2}
    assert {rows[it]["payload"]["reason"] for it in ("none", "null")} == {"Cancellation requested"}
    assert {row["body"]["type"] for row in rows.values()} == {"order.cancelled"}
    assert running.order(third) == ("CANCELLED", "PENDING", "Cancellation requested", 2)


def test_unusable_creates_get_a_creation_failed_with_their_saga_id(running: World) -> None:
    """[K4] [K7]"""
    rows = asked(
        running,
        customer=a_create("s", customer_id=...),
        details=a_create("s", order_details=...),
        location=a_create("s", order_details=details(deliveryLocation=...)),
        empty=a_create("s", order_details=details(foodItems=[])),
        price=a_create("s", order_details=details(foodItems=[{"price": -1, "quantity": 1}])),
        money=a_create("s", order_details=details(deliveryFee=1000)),
    )
    for row in rows.values():
        assert (row["body"]["type"], row["payload"]["saga_id"]) == ("order.creation_failed", "s")
        assert set(row["payload"]) == {"saga_id", "error", "code", "correlation_id"}
    assert outcome(rows["customer"])[1:] == ("missing_fields", "Missing required fields: customer_id")
    assert outcome(rows["money"])[1] == "money_over_ceiling"
    assert running.count("orders") == 0


def test_a_create_without_saga_id_is_refused_with_null(running: World) -> None:
    """[K4] [K7]"""
    commands = {"missing": a_create(), "null": a_create(), "number": a_create(), "long": a_create()}
    del commands["missing"]["payload"]["saga_id"]
    for name, value in {"null": None, "number": 7, "long": "s" * 256}.items():
        commands[name]["payload"]["saga_id"] = value
    rows = asked(running, **commands)
    assert {(row["body"]["type"], row["payload"]["saga_id"]) for row in rows.values()} == {
        ("order.creation_failed", None)
    }
    assert outcome(rows["missing"])[2] == "Missing required fields: saga_id"


def test_unusable_status_updates_get_a_status_update_failed(running: World) -> None:
    """[K5] [K7] [H14]"""
    order_id = running.create()
    rows = asked(
        running,
        unknown=an_update("nobody", "PLACED"),
        status=an_update(order_id, "NONE"),
        case=an_update(order_id, "placed"),
        payment=an_update(order_id, "PLACED", payment_status="PAID"),
        no_order=an_update(..., "PLACED"),
        no_status=an_update(order_id, ...),
        long=an_update("o" * 256, "PLACED"),
    )
    assert {row["body"]["type"] for row in rows.values()} == {"order.status_update_failed"}
    assert outcome(rows["unknown"])[1:] == ("order_not_found", "Order not found")
    assert outcome(rows["status"])[1:] == ("invalid_status", "Invalid status: NONE")
    assert outcome(rows["no_status"])[1:] == ("missing_fields", "Missing required fields: status")
    named = {name: row["payload"]["order_id"] for name, row in rows.items()}
    assert named == dict.fromkeys(rows, order_id) | {"unknown": "nobody", "no_order": None, "long": None}
    assert running.order(order_id) == ("PENDING", "PENDING", None, 1)


def test_unusable_cancels_get_a_cancellation_failed(running: World) -> None:
    """[K6] [K9]"""
    order_id = running.create()
    rows = asked(
        running,
        unknown=a_cancel("nobody"),
        no_order=a_cancel(...),
        number=a_cancel(5),
        reason=a_cancel(order_id, reason={"text": "no"}),
    )
    assert {row["body"]["type"] for row in rows.values()} == {"order.cancellation_failed"}
    assert outcome(rows["unknown"])[1:] == ("order_not_found", "Order not found")
    assert {name: row["payload"]["order_id"] for name, row in rows.items()} == {
        "unknown": "nobody", "no_order": None, "number": None, "reason": order_id,
    }  # fmt: skip
    assert running.order(order_id) == ("PENDING", "PENDING", None, 1)


def test_a_payload_that_is_no_object_is_refused_with_a_reply(running: World) -> None:
    """[K7] [K10]"""
    payloads: list[Any] = [None, [], "text", 5, {}]
    commands = {f"{name} {payload}": a_command(name, payload) for name in COMMAND_TYPES for payload in payloads}
    rows = asked(running, **commands)
    told = {name: row["body"]["type"] for name, row in rows.items()}
    assert told == {name: COMMAND_TYPES[name.split()[0]].failure for name in commands}


def test_a_long_error_is_clipped_to_what_the_orchestrators_column_holds(running: World) -> None:
    """[H1] [K5]"""
    (row,) = running.ask(an_update(running.create(), "N" * 100_000))
    assert len(row["payload"]["error"]) == 200


def test_leaving_a_final_status_is_refused_with_or_without_a_payment(running: World) -> None:
    """[K7] [R2]"""
    for final in ("COMPLETED", "CANCELLED"):
        order_id = running.create_in(final)
        rows = asked(
            running, bare=an_update(order_id, "PLACED"), paid=an_update(order_id, "PLACED", payment_status="REFUNDED")
        )
        for row in rows.values():
            expected = ("order.status_update_failed", "status_not_allowed")
            assert outcome(row) == (*expected, f"Order cannot be updated in status: {final}")
        assert running.order(order_id) == (final, "PENDING", None, 2)


def test_a_payment_beside_the_final_status_that_it_has_is_a_change(running: World) -> None:
    """[K7] [R2] [R4]"""
    order_id = running.create_in("CANCELLED")
    refund = an_update(order_id, "CANCELLED", payment_status="REFUNDED")
    (changed,) = running.ask(refund)
    assert (changed["body"]["type"], changed["payload"]["version"]) == ("order.status_updated", 3)
    (repeated,) = running.ask(refund | {"correlation_id": "again"})
    assert (repeated["body"]["type"], "version" in repeated["payload"]) == ("order.status_updated", False)
    assert running.order(order_id) == ("CANCELLED", "REFUNDED", None, 3)


def test_the_correlation_id_comes_from_envelope_then_payload_then_saga(running: World) -> None:
    """[K2]"""
    unusable = [..., None, "", 7, "c" * 256, "nul\0", "\ud800"]
    commands = [a_create("saga-1", correlation_id="envelope"), a_create("saga-2", correlation_id=...)]
    commands[0]["payload"]["correlation_id"] = "payload"
    for number, value in enumerate(unusable):
        update = an_update("nobody", "PLACED") | {"correlation_id": value}
        update["payload"]["correlation_id"] = f"payload-{number}"
        commands.append({name: part for name, part in update.items() if part is not ...})
    replies = by_correlation(running.ask(*commands))
    assert set(replies) == {"envelope", "saga-2", *(f"payload-{number}" for number in range(len(unusable)))}


def test_extra_fields_and_null_for_optional_ones_are_taken(running: World) -> None:
    """[R7] [K4]"""
    whole = details(storeLocation="", deliveryFee=None, note="ring twice")
    (row,) = running.ask(a_create(order_details=whole, priority=1) | {"trace": {"id": 1}})
    assert row["body"]["type"] == "order.created"
    columns = "delivery_fee::text, food_fee::text, store_location"
    assert running.query(f"SELECT {columns} FROM orders") == [("0.00", "17.00", None)]


def test_commands_are_taken_keyed_and_unkeyed_from_all_partitions(running: World) -> None:
    """[K7]"""
    asked = [a_create() for _ in range(12)]
    for partition in range(3):
        running.send(*asked[2 * partition : 2 * partition + 2], partition=partition)
        running.send(asked[6 + partition], partition=partition, key=b"key")
    running.send(*asked[9:])
    running.settle()
    assert set(by_correlation(running.replies())) == {it["correlation_id"] for it in asked}


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_commands_may_be_compressed(running: World, codec: str) -> None:
    """[K10] In any way that Kafka knows: what cannot be unpacked would stop its partition."""
    settings = {"bootstrap.servers": running.environment["KAFKA_BOOTSTRAP_SERVERS"], "compression.type": codec}
    producer = Producer(settings | {"linger.ms": 100})
    commands = [a_create(f"{codec}-{number}") for number in range(50)]
    for command in commands:
        producer.produce(running.commands, json.dumps(command), partition=0)
    assert producer.flush(20) == 0
    running.settle()
    assert sorted(by_correlation(running.replies())) == sorted(command["correlation_id"] for command in commands)
