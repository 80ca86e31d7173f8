"""The notification service: it reads events and commands, and keeps one row per correlation id, type and topic."""

from collections import Counter
from contextlib import closing

from tests.callers.http import post, update
from tests.callers.old_client import OldClient
from tests.callers.saga import Orchestrator, a_create, await_quiet, command, new_saga
from tests.harness.stack import Stack
from tests.harness.world import details

OF_EACH_KIND = 35
# A whole life: create and update as commands, their replies, and five HTTP changes under ids of their own.
# Refused payment: create and cancel, and their replies.
# Given back twice, HTTP only: seven changes under one id, two of them accepts.
# One saga with two updates: three commands and three replies, of which two pairs are one row; completed over HTTP.
RECORDS = OF_EACH_KIND * (9 + 4 + 7 + 7)
ROWS = OF_EACH_KIND * (9 + 4 + 6 + 5)
COMMANDS = OF_EACH_KIND * (2 + 2 + 0 + 3)


def created_by_saga(orchestrator: Orchestrator, count: int) -> dict[str, str]:
    """Have orders made; return the order id of each saga."""
    sagas = [new_saga() for _ in range(count)]
    orchestrator.send(*map(a_create, sagas))
    orchestrator.client.until(lambda: all(map(orchestrator.replies, sagas)), "a reply to each create")
    return {saga_id: orchestrator.replies(saga_id)[0]["payload"]["order_id"] for saga_id in sagas}


def updates(orders: dict[str, str], status: str) -> list[dict[str, object]]:
    return [command("update_order_status", saga_id, order_id=it, status=status) for saga_id, it in orders.items()]


def await_replies(orchestrator: Orchestrator, orders: dict[str, str], count: int) -> None:
    """Block until each saga has so many replies."""

    def arrived() -> bool:
        return all(len(orchestrator.replies(saga_id)) == count for saga_id in orders)

    orchestrator.client.until(arrived, f"{count} replies to each saga")


def live_on(url: str, order_id: str) -> None:
    """From CREATED to COMPLETED, each change under an id of its own."""
    accepted = post(f"{url}/verifyAndAcceptOrder", {"orderId": order_id, "runner_id": "runner-1"})
    answers = [update(url, order_id, it) for it in ("PLACED", "ON_THE_WAY", "DELIVERED", "COMPLETED")]
    assert {it.status for it in (accepted, *answers)} == {200}


def give_back(url: str, customer_id: str) -> None:
    """Created, accepted, cleared, accepted, given back, cancelled, all under the customer's id."""
    one_id = {"X-Correlation-ID": customer_id}
    made = post(f"{url}/createOrder", {"customer_id": customer_id, "order_details": details()}, one_id)
    order = {"orderId": made.body["order_id"]}
    runner = {"runner_id": "runner-1"}
    calls: list[tuple[str, dict[str, str]]] = [
        ("updateOrderStatus", {"status": "CREATED"}),
        ("verifyAndAcceptOrder", runner),
        ("clearRunner", runner),
        ("verifyAndAcceptOrder", runner),
        ("cancelAcceptance", {}),
        ("cancelOrder", {}),
    ]
    answers = [post(f"{url}/{path}", order | more, one_id) for path, more in calls]
    assert {it.status for it in answers} == {200}, [it.body for it in answers]


def complete_twice(url: str, order_id: str) -> None:
    """The repeat is no change, so nobody is told of it."""
    answers = [post(f"{url}/completeOrder", {"orderId": order_id}) for _ in range(2)]
    assert {it.status for it in answers} == {200}


def all_states(orchestrator: Orchestrator, url: str) -> None:
    """Take 140 orders through all states."""
    whole, refused, twice = (created_by_saga(orchestrator, OF_EACH_KIND) for _ in range(3))
    cancels = [command("cancel_order", saga_id, order_id=it, reason="No money") for saga_id, it in refused.items()]
    orchestrator.send(*updates(whole | twice, "CREATED"), *cancels)
    await_replies(orchestrator, whole | twice | refused, 2)
    orchestrator.send(*updates(twice, "PLACED"))
    await_replies(orchestrator, twice, 3)
    for number, (lived, completed) in enumerate(zip(whole.values(), twice.values(), strict=True)):
        live_on(url, lived)
        complete_twice(url, completed)
        give_back(url, f"customer-{number}")


def test_140_orders_through_all_states_give_exactly_the_rows_they_should(stack: Stack) -> None:
    """[K2] [K3] [K7] [H16]"""
    (instance,) = stack.start(1)
    topics = (stack.events_topic, stack.commands_topic)
    with closing(OldClient(stack.broker.bootstrap, *topics)) as client:
        all_states(Orchestrator(stack, client), instance.url)
        await_quiet(stack, client, COMMANDS)
        client.until(lambda: len(client.records(stack.commands_topic)) >= COMMANDS, "every command")
        records = [it for topic in topics for it in client.records(topic)]
    rows = Counter((it["value"]["correlation_id"], it["value"]["type"], it["topic"]) for it in records)
    assert (len(records), len(rows)) == (RECORDS, ROWS)
    assert all(correlation_id for correlation_id, _, _ in rows)
