"""The relay: events that are in the outbox all at once, from the first to the last on the topic.

The peer is kafka-python as installed, without crc32c, on the same batches.
"""

import json
from dataclasses import dataclass
from types import SimpleNamespace

from tests.benchmarks.backlog import Backlog
from tests.benchmarks.bench import Bench
from tests.benchmarks.cases import case
from tests.benchmarks.check import require
from tests.benchmarks.measure import interleaved
from tests.benchmarks.peers.orders import change_event, order_of
from tests.benchmarks.rounds import COMPARED, DETAILS
from tests.benchmarks.table import Result, rates
from tests.benchmarks.topics import appended

ORDERS = 4000
FILL = """
INSERT INTO outbox (event_id, aggregateid, type, correlation_id, version, payload)
SELECT event_id, order_id, %(type)s, %(correlation_id)s, version, convert_to(replace(replace(
    %(payload)s, %(event_id)s, event_id::text), %(order_id)s, order_id), 'UTF8')
FROM (SELECT n, gen_random_uuid() AS event_id, md5('order' || n %% %(orders)s)::uuid::text AS order_id,
    n / %(orders)s + 1 AS version FROM generate_series(0, %(count)s - 1) AS n) AS made ORDER BY n
"""


@case("relay")
def relay(bench: Bench) -> Result:
    """This service relays while it also serves HTTP and consumes; the peer does nothing else."""
    ours = bench.ours(bench.database("relay_ours"))
    peer = bench.peer("relay", bench.database("relay_peer", counted=False))
    sides = [Events(bench, ours), Events(bench, peer)]
    found = interleaved(sides, bench.options.rounds, bench.options.seconds)
    ours.events.require_end()
    row = rates("relay", found["this service"], found["relay"])
    return Result([row], {f"relay: {name}": sample for name, sample in found.items()})


@dataclass
class Events(Backlog):
    """Rounds of events, of ORDERS orders in turn, each as large as the event of a new order."""

    def work_off(self, count: int) -> float:
        """Commit so many events at once and wait until all are on the topic."""
        served, row = self.served, order_of({"customer_id": "customer-1", "order_details": DETAILS})
        event = change_event(SimpleNamespace(**row), "ORDER_CREATED", "created", "relay")
        named = {"event_id": str(event.event_id), "order_id": event.key, "payload": event.payload.decode()}
        named |= {"type": event.type, "correlation_id": event.correlation_id}
        served.database.fill(FILL, {**named, "orders": ORDERS, "count": count})
        served.events.await_count(count)
        served.database.settle()
        records = served.events.take(count)
        for record in records[:: max(count // COMPARED, 1)]:
            body, headers = json.loads(record.value), {name: text.decode() for name, text in record.headers}
            expected = (headers["event_id"], record.key.decode(), event.type)
            same = (body["event_id"], body["payload"]["orderId"], headers["type"]) == expected
            require(same, f"{served.name}: the record {record.key} is not the row that was written")
        first, last = appended(records)
        return max(last - first, 0.001)
