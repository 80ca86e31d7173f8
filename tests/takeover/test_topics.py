"""The service takes the topics over: it goes on where the group stands, among records without keys and headers."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.callers.http import post, update
from tests.callers.old_client import OldClient, Record, commit
from tests.callers.saga import a_create, await_quiet, command, new_saga
from tests.harness.found import query
from tests.harness.predecessor import leave_behind
from tests.harness.stack import Stack
from tests.harness.world import details

LEFT_ROWS = 100
COMMANDS = 60
PARTITIONS = 3
SESSION_MS = "6000"  # the shortest that this broker grants


@pytest.fixture
def client(stack: Stack) -> Iterator[OldClient]:
    """An old client that reads both topics."""
    with closing(OldClient(stack.broker.bootstrap, stack.events_topic, stack.commands_topic)) as made:
        yield made


def places(client: OldClient, topic: str, count: int) -> list[Record]:
    """Wait for so many records of the topic; return them."""
    client.until(lambda: len(client.records(topic)) >= count, f"{count} records of {topic}")
    return client.records(topic)


def an_old_reply(sent: Record) -> Record:
    """What the service before this one answered: no source, no event id, a naive time."""
    payload = {"order_id": f"old-{sent['correlation_id'][:8]}", "customer_id": "customer-1", "status": "PENDING"}
    return sent | {"type": "order.created", "payload": payload | {"saga_id": sent["correlation_id"]}}


def commit_half(stack: Stack, sent: list[Record]) -> tuple[set[str], set[str]]:
    """Commit the middle of each partition; return the correlation ids of the commands before it and after it."""
    lengths = Counter(it["partition"] for it in sent)
    offsets = [lengths[partition] // 2 for partition in range(PARTITIONS)]
    commit(stack.broker.bootstrap, stack.name, stack.commands_topic, offsets)
    done = {it["value"]["correlation_id"] for it in sent if it["offset"] < offsets[it["partition"]]}
    return done, {it["value"]["correlation_id"] for it in sent} - done


def test_commands_before_the_committed_offset_are_done_and_none_after_it_is_skipped(
    stack: Stack, client: OldClient
) -> None:
    """[K11] [K2] With a history on both topics and the table of the service before."""
    left = leave_behind(stack.database_url, LEFT_ROWS, "varchar")
    creates = [a_create(new_saga()) for _ in range(COMMANDS)]
    client.send(stack.commands_topic, *creates)
    sent = places(client, stack.commands_topic, COMMANDS)
    done, waiting = commit_half(stack, sent)
    history = [an_old_reply(it) for it in creates if it["correlation_id"] in done]
    client.send(stack.events_topic, *history)
    places(client, stack.events_topic, len(history))
    stack.start(1, KAFKA_SESSION_TIMEOUT_MS=SESSION_MS)
    await_quiet(stack, client, COMMANDS)
    replies = [it["value"] for it in client.records(stack.events_topic)]
    assert Counter(it["correlation_id"] for it in replies if "event_id" in it) == dict.fromkeys(waiting, 1)
    assert len(replies) == COMMANDS
    assert query(stack.database_url, "SELECT count(*) FROM orders") == [(len(left) + len(waiting),)]


def test_commands_without_keys_reach_the_orders_that_were_taken_over(stack: Stack, client: OldClient) -> None:
    """[K5] [K6] [K3] Sagas that were under way at the take-over are carried on, from version 2."""
    left = leave_behind(stack.database_url, LEFT_ROWS, "varchar")
    pending = [it for it, order in left.items() if order["orderStatus"] == "PENDING"]
    stack.start(1, KAFKA_SESSION_TIMEOUT_MS=SESSION_MS)
    updates = [command("update_order_status", new_saga(), order_id=it, status="CREATED") for it in pending[::2]]
    cancels = [command("cancel_order", new_saga(), order_id=it, reason="No money") for it in pending[1::2]]
    client.send(stack.commands_topic, *updates, *cancels)
    await_quiet(stack, client, len(pending))
    replies = [it["value"] for it in client.records(stack.events_topic)]
    assert Counter(it["type"] for it in replies) == {
        "order.status_updated": len(updates),
        "order.cancelled": len(cancels),
    }
    assert {it["payload"]["version"] for it in replies} == {2}
    assert {it["correlation_id"] for it in replies} == {it["correlation_id"] for it in updates + cancels}


def test_consumers_find_the_old_shapes_in_every_record(stack: Stack, client: OldClient) -> None:
    """[K2] [K4] [K12] [K14]"""
    (instance,) = stack.start(1, KAFKA_SESSION_TIMEOUT_MS=SESSION_MS)
    saga = a_create(new_saga())
    client.send(stack.commands_topic, saga)
    made = post(f"{instance.url}/createOrder", {"customer_id": "customer-2", "order_details": details()})
    assert update(instance.url, made.body["order_id"], "CREATED").status == 200
    records = {it["value"]["type"]: it["value"] for it in places(client, stack.events_topic, 3)}
    assert records.keys() == {"order.created", "ORDER_CREATED", "ORDER_UPDATED"}
    for record in records.values():
        assert {"type", "correlation_id", "timestamp", "payload"} <= record.keys()
    wanted = {"customer_id": "customer-1", "status": "PENDING", "saga_id": saga["correlation_id"]}
    assert wanted.items() <= records["order.created"]["payload"].items()
    event = records["ORDER_UPDATED"]["payload"]
    assert (event["customerId"], event["runnerId"], event["status"]) == ("customer-2", None, "updated")
    order = json.loads(event["event"])
    assert order["orderStatus"] == "CREATED"
    assert order["orderId"] == event["orderId"] == made.body["order_id"]
