"""The create-order saga: unkeyed commands, one reply each, and never a time limit of its own."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.callers.http import order_of, update
from tests.callers.old_client import OldClient, Record
from tests.callers.saga import Orchestrator, a_create, await_quiet, command, new_saga
from tests.harness.found import query
from tests.harness.stack import FaultBroker, Stack
from tools.stack.postgres import Postgres

SAGAS = 300
OUTAGE_SECONDS = 4.0


def test_a_command_without_key_and_with_a_naive_time_makes_an_order(orchestrator: Orchestrator, url: str) -> None:
    """[K2] [K4] [R1]"""
    saga_id = new_saga()
    sent = a_create(saga_id)
    assert "+" not in sent["timestamp"]
    (reply,) = orchestrator.ask(sent)
    order = order_of(url, reply["payload"]["order_id"])
    wanted = {"order_id": order["orderId"], "customer_id": "customer-1", "status": "PENDING", "saga_id": saga_id}
    assert reply["type"] == "order.created"
    assert wanted.items() <= reply["payload"].items()
    assert (order["sagaId"], order["orderStatus"], order["version"]) == (saga_id, "PENDING", 1)


def test_an_order_that_cannot_be_made_fails_with_an_error_that_fits_the_column(orchestrator: Orchestrator) -> None:
    """[K4] [K7] The orchestrator keeps a prefix and the error in 255 characters."""
    (reply,) = orchestrator.ask(a_create(new_saga(), customer_id="c" * 5_000))
    assert reply["type"] == "order.creation_failed"
    assert len(reply["payload"]["error"]) <= 200


def test_a_refused_payment_cancels_the_order(orchestrator: Orchestrator, url: str) -> None:
    """[K6] [K9]"""
    saga_id = new_saga()
    order_id = orchestrator.create(saga_id)
    (reply,) = orchestrator.ask(command("cancel_order", saga_id, order_id=order_id, reason="Payment refused"))
    assert (reply["type"], reply["payload"]["reason"]) == ("order.cancelled", "Payment refused")
    order = order_of(url, order_id)
    assert (order["orderStatus"], order["cancelReason"], order["version"]) == ("CANCELLED", "Payment refused", 2)


def test_an_order_cancelled_while_it_is_paid_stays_cancelled_and_is_refunded(
    orchestrator: Orchestrator, url: str
) -> None:
    """[R2] [K5] [K7] [K9]"""
    saga_id = new_saga()
    order_id = orchestrator.create(saga_id)
    assert update(url, order_id, "CANCELLED").status == 200
    paid = {"order_id": order_id, "status": "CREATED", "payment_status": "AUTHORIZED"}
    (refusal,) = orchestrator.ask(command("update_order_status", saga_id, **paid))
    (cancelled,) = orchestrator.ask(command("cancel_order", saga_id, order_id=order_id, reason="Too late"))
    refund = {"order_id": order_id, "status": "CANCELLED", "payment_status": "REFUNDED"}
    (refunded,) = orchestrator.ask(command("update_order_status", saga_id, **refund))
    answers = [it["type"] for it in (refusal, cancelled, refunded)]
    assert answers == ["order.status_update_failed", "order.cancelled", "order.status_updated"]
    order = order_of(url, order_id)
    assert (order["orderStatus"], order["paymentStatus"], order["version"]) == ("CANCELLED", "REFUNDED", 3)


def test_a_saga_that_its_producer_sent_twice_is_paid_once(stack: Stack) -> None:
    """[K8]"""
    stack.start(1)
    with closing(OldClient(stack.broker.bootstrap, stack.events_topic)) as client:
        orchestrator = Orchestrator(stack, client)
        twice = [a_create(new_saga()) for _ in range(20)]
        orchestrator.send(*twice, *twice)
        await_quiet(stack, client, commands=40)
        created = Counter(it["value"]["correlation_id"] for it in client.records(stack.events_topic))
    assert created == {it["correlation_id"]: 1 for it in twice}
    assert query(stack.database_url, "SELECT count(*) FROM orders") == [(20,)]


class Sagas(threading.Thread):
    """Carries sagas to their end: every third payment is refused, every tenth create has no items."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        super().__init__(daemon=True)
        self.orchestrator = orchestrator
        self.started: list[str] = []
        self.ended: dict[str, str] = {}
        self.commands = 0
        self.stop = threading.Event()
        self._read = 0

    def begin(self, count: int) -> None:
        """Send so many creates."""
        for _ in range(count):
            saga_id = new_saga()
            self.started.append(saga_id)
            usable: dict[str, Any] = {} if len(self.started) % 10 else {"order_details": {"foodItems": []}}
            self._send(a_create(saga_id, **usable))

    def run(self) -> None:
        """Answer each reply once, until `stop`."""
        while not self.stop.wait(0.02):
            records = self.orchestrator.client.records(self.orchestrator.stack.events_topic)
            for record in records[self._read :]:
                self._go_on(record["value"])
            self._read = len(records)

    def _go_on(self, reply: Record) -> None:
        saga_id = reply["correlation_id"]
        if reply["type"] != "order.created":
            self.ended[saga_id] = reply["type"]
            return
        order_id = reply["payload"]["order_id"]
        if self.started.index(saga_id) % 3:
            paid = {"order_id": order_id, "status": "CREATED", "payment_status": "AUTHORIZED"}
            self._send(command("update_order_status", saga_id, **paid))
        else:
            self._send(command("cancel_order", saga_id, order_id=order_id, reason="Payment refused"))

    def _send(self, sent: Record) -> None:
        self.commands += 1
        self.orchestrator.send(sent)


@contextmanager
def own_stack(folder: Path, broker: FaultBroker) -> Iterator[Stack]:
    """Two instances on a PostgreSQL of their own, which may be stopped without others noticing."""
    postgres = Postgres(folder / "postgres")
    postgres.start()
    stack = Stack(folder, postgres, broker, postgres.url())
    try:
        stack.create_topics()
        stack.start(2)
        yield stack
    finally:
        stack.kill_instances()
        postgres.stop("immediate")


def disturb(stack: Stack, sagas: Sagas) -> None:
    """Begin all sagas, a part before each fault."""
    first, second = stack.instances
    for instance in (first, second, first):
        sagas.begin(SAGAS // 6)
        instance.kill()
        instance.start()
    sagas.begin(SAGAS // 6)
    assert second.terminate() == 0
    second.start()
    sagas.begin(SAGAS // 6)
    stack.postgres.stop("immediate")
    sagas.begin(SAGAS - len(sagas.started))
    threading.Event().wait(OUTAGE_SECONDS)  # the outage itself
    stack.postgres.start()


@pytest.mark.timeout(400)
def test_no_saga_hangs_and_none_is_doubled_whatever_dies(tmp_path: Path, broker: FaultBroker) -> None:
    """[K7] [K8] [K13]"""
    with own_stack(tmp_path, broker) as stack, closing(OldClient(broker.bootstrap, stack.events_topic)) as client:
        sagas = Sagas(Orchestrator(stack, client))
        sagas.start()
        disturb(stack, sagas)
        client.until(lambda: len(sagas.ended) == SAGAS, "the end of every saga", 60)
        await_quiet(stack, client, sagas.commands)
        sagas.stop.set()
        sagas.join(10)
        seen = Counter(
            (it["value"]["correlation_id"], it["value"]["type"]) for it in client.records(stack.events_topic)
        )
        orders = query(stack.database_url, "SELECT count(*), count(DISTINCT saga_id) FROM orders")
    assert Counter(sagas.ended.values()) == {
        "order.creation_failed": 30,
        "order.status_updated": 180,
        "order.cancelled": 90,
    }
    assert set(seen.values()) == {1}
    assert len(seen) == sagas.commands == 570
    assert orders == [(270, 270)]
