"""From the commit of an order to its event on the topic, one order at a time.

Between two times that others take: the database's when the statement of the change began, which is before its commit,
and the broker's when it appended the record, in whole milliseconds and so taken as the end of its millisecond.
"""

import random
import time

from tests.benchmarks.bench import Bench, Served
from tests.benchmarks.cases import case
from tests.benchmarks.check import require
from tests.benchmarks.measure import Sample, percentile
from tests.benchmarks.rounds import DETAILS
from tests.benchmarks.table import Result, figure
from tests.harness.load import Connection

ORDERS_A_SECOND = 60  # of the measured time
PAUSE_SECONDS = 0.02  # about: so that orders come at any moment of whatever the relay does at intervals
COMMITTED = "SELECT change_id::text, extract(epoch FROM created_at)::float8 FROM order_changes"


@case("latency")
def latency(bench: Bench) -> Result:
    """All rounds at once: there is no other side."""
    ours = bench.ours(bench.database("latency"))
    options = bench.options
    one_by_one(ours, ORDERS_A_SECOND)  # warm up
    waits = one_by_one(ours, int(ORDERS_A_SECOND * options.seconds * options.rounds))
    p50, p99 = percentile(waits, 50), percentile(waits, 99)
    rows = [figure("latency_p50", p50), figure("latency_p99", p99)]
    return Result(rows, {"commit → event on the topic": Sample(p50=p50, p99=p99)})


def one_by_one(served: Served, orders: int) -> list[float]:
    """Make so many orders, and return the ms that each of their events took."""
    rng = random.Random(orders)
    body = {"customer_id": "customer-1", "order_details": DETAILS}
    with Connection([served.port]) as connection:
        for _ in range(orders):
            answer = connection.call("POST", "/createOrder", body)
            require(answer is not None and answer[0] == 201, f"createOrder was answered {answer}")
            time.sleep(rng.uniform(0, 2 * PAUSE_SECONDS))
    served.events.await_count(orders)
    records = served.events.take(orders)
    committed = dict(served.database.rows(COMMITTED))
    ids = [dict(record.headers)["event_id"].decode() for record in records]
    require(all(event_id in committed for event_id in ids), "an event belongs to no change")
    times = [record.timestamp / 1000 + 0.001 for record in records]
    return [(at - committed[event_id]) * 1000 for at, event_id in zip(times, ids, strict=True)]
