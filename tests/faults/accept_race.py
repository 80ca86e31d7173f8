"""python -m tests.faults.accept_race: many runners want the same order at the same moment; exactly one gets it."""

import argparse
import threading
from collections import Counter
from collections.abc import Sequence

from tests.faults.row import Row, run
from tests.harness.found import await_quiet, query, read_topic
from tests.harness.load import ORDER_DETAILS, Connection
from tests.harness.stack import Stack, new_stack

RUNNERS = 20
QUIET_SECONDS = 30.0

Answers = list[tuple[int, str]]


def new_orders(port: int, count: int) -> list[str]:
    """Make so many orders that wait for a runner."""
    orders = []
    with Connection([port]) as connection:
        for _ in range(count):
            made = connection.call("POST", "/createOrder", {"customer_id": "c", "order_details": ORDER_DETAILS})
            assert made is not None
            orders.append(made[1]["order_id"])
            connection.call("POST", "/updateOrderStatus", {"orderId": orders[-1], "status": "CREATED"})
    return orders


def race(ports: Sequence[int], orders: Sequence[str], runners: int = RUNNERS) -> dict[str, Answers]:
    """Let the runners go for each order from a barrier; return status and code of every answer, by order."""
    answers: dict[str, Answers] = {order_id: [] for order_id in orders}
    barrier = threading.Barrier(runners)

    def accept_all(runner: int) -> None:
        with Connection([ports[runner % len(ports)]]) as connection:
            for order_id in orders:
                barrier.wait(60)
                body = {"orderId": order_id, "runner_id": f"runner-{runner}"}
                status, answer = connection.call("POST", "/verifyAndAcceptOrder", body) or (0, {})
                answers[order_id].append((status, answer.get("code", "")))

    threads = [threading.Thread(target=accept_all, args=[runner], daemon=True) for runner in range(runners)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    return answers


def judge(stack: Stack, answers: dict[str, Answers], row: Row, runners: int = RUNNERS) -> None:
    """Hold the answers, the table and the topic against the promise [R5]."""
    statuses = [Counter(status for status, _ in got) for got in answers.values()]
    row.figures["orders x runners"] = f"{len(answers)} x {runners}"
    row.figures["orders with one winner"] = sum(got[200] == 1 for got in statuses)
    row.figures["orders accepted twice"] = sum(got[200] > 1 for got in statuses)
    row.figures["clean refusals (400)"] = sum(got[400] for got in statuses)
    row.figures["answers that are neither"] = sum(got.total() - got[200] - got[400] for got in statuses)
    row.require(all(got == Counter({200: 1, 400: runners - 1}) for got in statuses), "not one winner each")
    row.figures["quiet after, s"] = await_quiet(stack, QUIET_SECONDS)
    events = [it.body for it in read_topic(stack.broker.bootstrap, stack.events_topic)]
    accepted = Counter(it["payload"]["orderId"] for it in events if it["type"] == "ORDER_ACCEPTED")
    row.figures["ORDER_ACCEPTED on the topic"] = accepted.total()
    row.require(accepted == Counter(dict.fromkeys(answers, 1)), "not one ORDER_ACCEPTED each")
    held = query(stack.database_url, "SELECT count(*) FROM orders WHERE order_status = 'ACCEPTED' AND version = 3")
    row.require(held[0][0] == len(answers), "an order is not accepted once")
    lost = [int(instance.metric("order_lost_races_total")) for instance in stack.instances]
    row.figures["lost compare-and-swaps, by instance"] = lost
    row.require_struck(sum(lost) > 0, "no compare-and-swap was lost")


def program(options: argparse.Namespace) -> Row:
    """Race for orders against two instances."""
    row = Row("accept race")
    with new_stack() as stack:
        stack.start(2)
        orders = new_orders(stack.ports[0], options.times)
        judge(stack, race(stack.ports, orders), row)
    return row


if __name__ == "__main__":
    run(program, times=200)
