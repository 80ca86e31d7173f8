"""verifyAndAcceptOrder on orders that are CREATED, each once: this service, the ORM's select for update."""

import json
from typing import Any

from tests.benchmarks.bench import Bench, Served
from tests.benchmarks.cases import case
from tests.benchmarks.load import Load
from tests.benchmarks.measure import interleaved
from tests.benchmarks.rounds import ON_THE_TOPIC, Writes
from tests.benchmarks.table import Result, rates

ORDERS_A_SECOND = 6000  # more than are accepted: each order is there for one runner
ACCEPTED = "SELECT count(*) FROM orders WHERE order_status = 'ACCEPTED'"
CREATED_IDS = "SELECT order_id FROM orders WHERE order_status = 'CREATED' ORDER BY random() LIMIT %s"


@case("accept")
def accept(bench: Bench) -> Result:
    """The same table for both."""
    options = bench.options
    orders = int(ORDERS_A_SECOND * options.seconds * (options.rounds + 1))
    ours = bench.ours(bench.database("accept_ours", orders, "CREATED"))
    peer = bench.peer("usual_outbox", bench.database("accept_peer", orders, "CREATED", counted=False))
    sides = [accepts(bench, served, orders) for served in (ours, peer)]
    found = interleaved(sides, options.rounds, options.seconds)
    ours.events.require_end()
    row = rates("accept", found[f"this service, {ON_THE_TOPIC}"], found[f"usual_outbox, {ON_THE_TOPIC}"])
    return Result([row], {f"verifyAndAcceptOrder: {name}": sample for name, sample in found.items()})


def accepts(bench: Bench, served: Served, orders: int, **options: Any) -> Writes:
    """Return rounds of accepts of so many of the database's orders."""
    served.database.settle_loaded()
    ids = served.database.write_values(bench.folder / f"{served.events.topic}.created", CREATED_IDS, orders)
    body = json.dumps({"orderId": "@", "runner_id": "runner-1"})
    load = Load("POST", "/verifyAndAcceptOrder", 200, body, ids)
    return Writes(bench, served, load, "ORDER_ACCEPTED", ACCEPTED, **options)
