"""Commands from their topic to the replies on theirs: this service, the usual way's consumer.

All are published at once by librdkafka, whose part in the machine's work is small; the clock runs from the first
publication until the last reply is on the topic. Half make an order, half change the status of one that is there.
"""

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Producer

from tests.benchmarks.backlog import Backlog
from tests.benchmarks.bench import Bench, Served
from tests.benchmarks.cases import case
from tests.benchmarks.check import require
from tests.benchmarks.measure import interleaved
from tests.benchmarks.rounds import ALL, COMPARED, DETAILS
from tests.benchmarks.table import Result, rates
from tests.benchmarks.topics import PARTITIONS, appended

ORDERS = 20_000
STATUSES = ("PLACED", "ON_THE_WAY", "DELIVERED")
REPLIES = {"create_order": "order.created", "update_order_status": "order.status_updated"}
IDS = "SELECT order_id FROM orders ORDER BY order_id"
PUBLISH_SECONDS = 60.0
QUEUE = 1_000_000


@case("commands")
def commands(bench: Bench) -> Result:
    """Both consume while they also serve HTTP, as they do for their users."""
    ours = bench.ours(bench.database("commands_ours", ORDERS, "CREATED"))
    peer = bench.peer("usual_way", bench.database("commands_peer", ORDERS, "CREATED", counted=False))
    for served in (ours, peer):
        served.database.settle_loaded()
    sides = [Commands(bench, ours), Commands(bench, peer)]
    found = interleaved(sides, bench.options.rounds, bench.options.seconds)
    ours.events.require_end()
    row = rates("commands", found["this service"], found["usual_way"])
    return Result([row], {f"commands: {name}": sample for name, sample in found.items()})


@dataclass
class Commands(Backlog):
    """Rounds of commands. Without `updates` all of them make orders."""

    updates: bool = True
    updated: int = field(default=0, init=False)
    order_ids: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.order_ids = [order_id for (order_id,) in self.served.database.rows(IDS)]
        servers = self.bench.broker.bootstrap
        self._producer = Producer({"bootstrap.servers": servers, "linger.ms": 5, "queue.buffering.max.messages": QUEUE})

    def work_off(self, count: int) -> float:
        """Publish so many commands and wait for the reply of each."""
        before = self.served.database.number(ALL)
        sent = self.commands(count)
        began = self.publish(sent)
        self.served.events.await_count(count)
        return self.judge(sent, before) - began

    def commands(self, count: int) -> list[dict[str, Any]]:
        """Return so many commands, each a change."""
        return [self._update() if self.updates and number % 2 else self._create() for number in range(count)]

    def publish(self, sent: Sequence[dict[str, Any]]) -> float:
        """Publish all, over all partitions in turn; return the time of the first one. Raises Wrong."""
        values = [json.dumps(one).encode() for one in sent]
        began = time.time()
        for number, value in enumerate(values):
            self._producer.produce(self.served.commands_topic, value, partition=number % PARTITIONS)
        left = self._producer.flush(PUBLISH_SECONDS)
        require(left == 0, f"{left} commands could not be published")
        return began

    def judge(self, sent: Sequence[dict[str, Any]], before: int) -> float:
        """Take the replies and return the time of the last. Raises Wrong unless there are all effects and replies."""
        served = self.served
        served.database.settle()
        replies = served.events.take(len(sent))
        made = served.database.number(ALL) - before
        wanted = sum(one["type"] == "create_order" for one in sent)
        require(made == wanted, f"{served.name}: {made} orders for {wanted} commands")
        judge_replies(served, sent, replies)
        return appended(replies)[1]

    def _create(self) -> dict[str, Any]:
        saga = uuid.uuid4().hex
        return command("create_order", saga, {"customer_id": "customer-1", "saga_id": saga, "order_details": DETAILS})

    def _update(self) -> dict[str, Any]:
        """Ask for a status that the order does not have."""
        turn, place = divmod(self.updated, len(self.order_ids))
        self.updated += 1
        payload = {"order_id": self.order_ids[place], "status": STATUSES[turn % len(STATUSES)]}
        return command("update_order_status", uuid.uuid4().hex, payload)


def command(command_type: str, correlation_id: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Return a command in its envelope."""
    return {"type": command_type, "correlation_id": correlation_id, "timestamp": time.time(), "payload": payload}


def judge_replies(served: Served, sent: Sequence[dict[str, Any]], replies: Sequence[Any]) -> None:
    """Raise Wrong unless each command has its one reply; some are compared with the rows that they tell of."""
    bodies = [json.loads(record.value) for record in replies]
    expected = {one["correlation_id"]: REPLIES[one["type"]] for one in sent}
    found = {body["correlation_id"]: body["type"] for body in bodies}
    require(found == expected, f"{served.name}: replies are missing, or of another type than the command asks for")
    some = [body["payload"] for body in bodies[:: max(len(bodies) // COMPARED, 1)]]
    rows = served.database.orders([payload["order_id"] for payload in some])
    for payload in some:
        row = rows[payload["order_id"]]
        later = payload["version"] < row["version"]  # changed again in the same round
        same = later or (payload["status"], payload["version"]) == (row["order_status"], row["version"])
        require(same and payload["saga_id"] == row["saga_id"], f"{served.name}: the reply {payload} is not {row}")
