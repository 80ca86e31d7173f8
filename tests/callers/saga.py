"""The create-order saga's side of the wire: its commands, its reply, and when all is quiet again."""

import time
import uuid
from datetime import UTC, datetime
from typing import Any

from tests.callers.old_client import OldClient, Record
from tests.harness.found import query
from tests.harness.stack import Stack
from tests.harness.world import details

ANSWERS = {
    "order.created",
    "order.creation_failed",
    "order.status_updated",
    "order.status_update_failed",
    "order.cancelled",
}
"""What the orchestrator knows; it logs every other type and waits on."""


def command(command_type: str, saga_id: str, /, **payload: object) -> Record:
    """Return a command as the orchestrator writes it: naive UTC time, correlation id = saga id."""
    sent_at = datetime.now(UTC).replace(tzinfo=None).isoformat()
    return {"type": command_type, "correlation_id": saga_id, "timestamp": sent_at, "payload": payload}


def new_saga() -> str:
    """Return a saga id."""
    return str(uuid.uuid4())


def a_create(saga_id: str, **fields: object) -> Record:
    """Return a `create_order`."""
    payload: dict[str, Any] = {"customer_id": "customer-1", "order_details": details(), "saga_id": saga_id}
    return command("create_order", saga_id, **payload | fields)


class Orchestrator:
    """Sends commands to one stack and waits for their replies."""

    def __init__(self, stack: Stack, client: OldClient) -> None:
        self.stack, self.client = stack, client

    def send(self, *commands: Record) -> None:
        """Send and wait for nothing."""
        self.client.send(self.stack.commands_topic, *commands)

    def replies(self, saga_id: str) -> list[Record]:
        """Return the replies so far that the saga understands."""
        found = self.client.records(self.stack.events_topic, correlation_id=saga_id)
        return [it["value"] for it in found if it["value"]["type"] in ANSWERS]

    def ask(self, *commands: Record) -> list[Record]:
        """Send commands of one saga, wait for a reply to each, and return these."""
        saga_id = commands[0]["correlation_id"]
        known = len(self.replies(saga_id))
        self.send(*commands)

        def arrived() -> list[Record]:
            found = self.replies(saga_id)[known:]
            return found if len(found) >= len(commands) else []

        return list(self.client.until(arrived, f"replies to {commands}"))

    def create(self, saga_id: str) -> str:
        """Have the saga's order made; return its id."""
        (reply,) = self.ask(a_create(saga_id))
        assert reply["type"] == "order.created", reply
        return str(reply["payload"]["order_id"])


def await_quiet(stack: Stack, client: OldClient, commands: int, seconds: float = 30.0) -> None:
    """Block until so many commands are on the topic, all are handled, all replies sent, and the client has them."""
    handled = "SELECT coalesce(sum(next_offset), 0) FROM consumer_offsets WHERE topic = %s"
    announced = "SELECT coalesce(sum(next_offset), 0) FROM relay_positions WHERE topic = %s"
    deadline = time.monotonic() + seconds
    url = stack.database_url

    def quiet() -> bool:
        return (
            query(url, handled, [stack.commands_topic]) == [(commands,)]
            and query(url, "SELECT count(*) FROM outbox") == [(0,)]
            and query(url, announced, [stack.events_topic]) == [(len(client.records(stack.events_topic)),)]
        )

    while not quiet():
        assert time.monotonic() < deadline, f"not quiet after {seconds} s"
        time.sleep(0.1)
