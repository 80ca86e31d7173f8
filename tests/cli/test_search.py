"""`search`: one text, whatever kind of id it is."""

import time
import uuid
from collections.abc import Callable

import pytest

from app.operations import search as operations
from app.operations.search import Found, search
from tests.cli.test_dead_letters import a_letter
from tests.cli.test_orders import an_order
from tests.harness.builders import create_body
from tests.harness.terminal import Terminal
from tests.harness.world import World, a_cancel, an_update, wait_for

Make = Callable[[World], Terminal]


def found_by(found: Found) -> dict[str, list[str]]:
    return {order.order_id: list(found.by[order.order_id]) for order in found.orders}


def test_an_order_is_found_by_each_of_its_ids(running: World, subtests: pytest.Subtests) -> None:
    order_id = running.create(saga_id="saga-1")
    running.ask(a_cancel(order_id) | {"correlation_id": "saga-3"})
    running.create(saga_id="saga-2")
    customer = running.query("SELECT cust_id FROM orders WHERE order_id = %s", (order_id,))[0][0]
    running.query("UPDATE orders SET cust_id = 'ann', runner_id = 'bob' WHERE order_id = %s", (order_id,))
    event_id = running.query("SELECT change_id FROM order_changes WHERE version = 2")[0][0]
    assert customer != "ann"
    ids = {
        order_id: "order id",
        "saga-1": "saga",
        "saga-3": "correlation id",
        str(event_id): "event id",
        "ann": "customer",
        "bob": "runner",
    }
    for some_id, by in ids.items():
        with subtests.test(by):
            found = search(running.settings(), some_id)
            assert list(found_by(found)) == [order_id]
            assert by in found_by(found)[order_id]
            assert (found.notes, found.log_seconds) == ([], None)


def test_an_answer_under_a_key_leads_to_its_order(running: World, terminal: Make) -> None:
    client = running.apps[-1].test_client()
    made = client.post("/createOrder", json=create_body(), headers={"Idempotency-Key": "key-1"}).get_json()
    found = terminal(running).json("search", "key-1")
    assert [(key["path"], key["status"], key["order_id"]) for key in found["keys"]] == [
        ("/createOrder", 201, made["order_id"])
    ]
    assert [(order["orderId"], order["foundBy"]) for order in found["orders"]] == [
        (made["order_id"], ["Idempotency-Key"])
    ]


def test_what_was_only_refused_under_a_key_is_found(running: World, terminal: Make) -> None:
    client = running.apps[-1].test_client()
    body = {"orderId": "order-1", "runner_id": "runner-1"}
    for _ in range(2):
        assert client.post("/verifyAndAcceptOrder", json=body, headers={"Idempotency-Key": "key-1"}).status_code == 404
    wait_for(lambda: running.query("SELECT 1 FROM http_refusals"), "the thread that stores it")
    (refused,) = terminal(running).json("search", "key-1")["refused"]
    assert (refused["path"], refused["code"], refused["order_id"]) == (
        "/verifyAndAcceptOrder",
        "order_not_found",
        "order-1",
    )
    assert "/verifyAndAcceptOrder" in terminal(running).prints("search", "order-1")


def test_the_place_of_a_command_leads_to_the_record_and_its_order(running: World, terminal: Make) -> None:
    order_id = running.create(saga_id="saga-1")
    (place,) = running.send(a_cancel(order_id))
    running.settle()
    text = f"{running.commands}/{place.partition}/{place.offset}"
    found = terminal(running).json("search", text)
    (record,) = found["records"]
    assert (record["place"], record["kind"], record["type"]) == (text, "command", "cancel_order")
    assert [order["orderId"] for order in found["orders"]] == [order_id]
    assert found["notes"] == [f"Kafka was asked for {text}."]
    beyond = search(running.settings(), f"{running.commands}/{place.partition}/{place.offset + 100}")
    assert beyond.notes == [
        f"Kafka was asked for {running.commands}/{place.partition}/{place.offset + 100}: it has no record there."
    ]


def test_the_place_of_an_event_leads_to_its_order(running: World) -> None:
    order_id = running.create(saga_id="saga-1")
    (event,) = running.replies()
    found = search(running.settings(), f"{running.events}/{event['partition']}/{event['offset']}")
    (record,) = found.records
    assert (record.kind, record.order_id, record.correlation_id) == ("event", order_id, "saga-1")
    assert list(found_by(found)) == [order_id]


def test_a_dead_letter_is_found_by_the_place_of_its_command(running: World) -> None:
    (place,) = running.send(b"no command")
    running.settle()
    found = search(running.settings(), f"{running.commands}/{place.partition}/{place.offset}")
    assert [(command.outcome, command.kept_as) for command in found.commands] == [("unreadable", "dead letter 1")]
    assert [record.kind for record in found.records] == ["unreadable command"]


def test_a_dead_letter_is_found_by_its_event_id(untouched: World) -> None:
    letter = a_letter(untouched, b"{")
    ((event_id,),) = untouched.query("SELECT event_id FROM dead_letters WHERE id = %s", (letter,))
    assert [command.kept_as for command in search(untouched.settings(), str(event_id)).commands] == [
        f"dead letter {letter}"
    ]


def test_a_refused_and_a_repeated_command_are_found_by_order_and_correlation_id(running: World) -> None:
    order_id = running.create()
    refused, cancel = an_update(order_id, "COMPLETED") | {"correlation_id": "saga-9"}, a_cancel(order_id)
    running.ask(cancel, cancel, refused, key=order_id.encode())
    outcomes = {command.outcome for command in search(running.settings(), order_id).commands}
    assert outcomes == {"repeat", "status_not_allowed"}
    (command,) = search(running.settings(), "saga-9").commands
    assert (command.order_id, command.type, command.repeats) == (order_id, "update_order_status", 0)
    assert (command.place or "").startswith(f"{running.commands}/")


def test_the_event_id_of_a_refusals_reply_is_looked_for_in_the_log(running: World) -> None:
    order_id = running.create()
    running.ask(a_cancel(order_id))
    (reply,) = running.ask(an_update(order_id, "COMPLETED") | {"correlation_id": "saga-9"})
    assert not running.query("SELECT 1 FROM order_changes WHERE correlation_id = 'saga-9'")
    found = search(running.settings(), reply["headers"]["event_id"])
    assert [record.correlation_id for record in found.records] == ["saga-9"]
    assert "Kafka was asked" in found.notes[0]
    unknown = search(running.settings(), str(uuid.uuid5(uuid.NAMESPACE_DNS, "nobody")))
    assert (unknown.records, len(unknown.notes)) == ([], 1)
    assert "that is all of it" in unknown.notes[0]


def test_nothing_is_said_to_have_an_unknown_id_and_kafka_is_not_asked(untouched: World, terminal: Make) -> None:
    assert terminal(untouched).prints("search", "nobody's") == "Nothing has this id.\n"
    assert terminal(untouched).json("search", str(uuid.uuid4()))["log_seconds"] is None


def test_a_list_that_leaves_orders_out_says_how_many(untouched: World, terminal: Make) -> None:
    for number in range(5):
        an_order(untouched, f"order-{number}", number, customer="ann")
    shown = terminal(untouched).json("search", "ann", "--limit", 2)
    assert [order["orderId"] for order in shown["orders"]] == ["order-4", "order-3"]
    assert shown["notes"] == ["3 orders more are not shown."]


def test_without_its_index_a_search_works_and_says_that_it_is_slow(running: World) -> None:
    order_id = running.create(saga_id="saga-1")
    running.ask(a_cancel(order_id) | {"correlation_id": "saga-3"})
    for spoil in (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_order_changes_ids'::regclass",
        "DROP INDEX ix_order_changes_ids",
    ):
        running.query(spoil)
        found = search(running.settings(), "saga-3")
        assert list(found_by(found)) == [order_id]
        assert "so all of it was read" in found.notes[0]


def test_a_broker_that_is_frozen_costs_a_second_and_is_named(
    untouched: World, frozen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "LOG_SECONDS", 0.3)
    untouched.environment["KAFKA_BOOTSTRAP_SERVERS"] = frozen
    began = time.monotonic()
    found = search(untouched.settings(), f"{untouched.events}/0/1")
    assert time.monotonic() - began < 10  # Kafka's client itself waits for half a minute
    assert "Kafka was asked for 0.3 s and did not answer" in found.notes[0]
