"""The bytes of every command and every record that answers: one example file each, read and written exactly.

In the files `<order_id>`, `<event_id>`, `<time>` and `<correlation_id>` stand for what differs from run to run. With
UPDATE_EXAMPLES=1 the replies are written anew: look at the difference before you commit it.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from tests.harness.world import Row, World

EXAMPLES = Path(__file__).parents[1] / "contract" / "examples" / "kafka"
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{1,6}\+00:00")
SAGA = "saga-0190f3c2"


def example(name: str) -> Any:
    return json.loads((EXAMPLES / f"{name}.json").read_text())


def command(name: str, order_id: str = "", correlation_id: str = SAGA, **payload: object) -> dict[str, Any]:
    """The command of the file, with what differs filled in, and other fields of its payload where given."""
    filled = json.dumps(example(name)).replace("<order_id>", order_id).replace("<correlation_id>", correlation_id)
    body: dict[str, Any] = json.loads(filled)
    body["payload"] |= payload
    return body


def shape(row: Row) -> dict[str, Any]:
    """Key, headers and bytes with the placeholders in them."""
    body = row["body"]
    known = {body["event_id"]: "<event_id>", body["correlation_id"]: "<correlation_id>"}
    order_id = body["payload"].get("order_id")
    if order_id:
        known[order_id] = "<order_id>"

    def generic(text: str) -> str:
        for actual, placeholder in known.items():
            text = text.replace(actual, placeholder)
        return TIME.sub("<time>", text)

    headers = {name: generic(value) for name, value in row["headers"].items()}
    return {"key": generic(row["key"].decode()), "headers": headers, "value": generic(row["value"].decode())}


def assert_like(name: str, row: Row) -> None:
    actual = shape(row)
    if os.environ.get("UPDATE_EXAMPLES"):
        written = json.dumps(actual | {"value": json.loads(actual["value"])}, indent=2, ensure_ascii=False)
        (EXAMPLES / f"{name}.json").write_text(written + "\n")
    expected = example(name)
    expected["value"] = json.dumps(expected["value"], separators=(",", ":"), ensure_ascii=False)
    assert actual == expected, name


def test_the_replies_to_a_create_are_those_of_the_examples(running: World) -> None:
    """[K2] [K3] [K4]"""
    (failed,) = running.ask(command("create_order", customer_id=None))
    (created,) = running.ask(command("create_order"))
    (repeated,) = running.ask(command("create_order", note="again"))
    assert_like("order.creation_failed", failed)
    assert_like("order.created", created)
    assert_like("order.created.repeated", repeated)


def test_the_replies_to_a_status_update_are_those_of_the_examples(running: World) -> None:
    """[K2] [K3] [K5]"""
    (created,) = running.ask(command("create_order"))
    order_id = created["payload"]["order_id"]
    (updated,) = running.ask(command("update_order_status", order_id))
    (repeated,) = running.ask(command("update_order_status", order_id, note="again"))
    (failed,) = running.ask(command("update_order_status", order_id, status="LOST"))
    assert_like("order.status_updated", updated)
    assert_like("order.status_updated.repeated", repeated)
    assert_like("order.status_update_failed", failed)


def test_the_replies_to_a_cancel_are_those_of_the_examples(running: World) -> None:
    """[K2] [K3] [K6] [K9]"""
    first, second = (
        running.ask(command("create_order", saga_id=f"saga-{it}"))[0]["payload"]["order_id"] for it in range(2)
    )
    (cancelled,) = running.ask(command("cancel_order", first))
    (repeated,) = running.ask(command("cancel_order", first, reason="Another"))
    (failed,) = running.ask(command("cancel_order", "unknown-order"))
    running.ask(command("update_order_status", second, status="DELIVERED"))
    (final,) = running.ask(command("cancel_order", second))
    assert_like("order.cancelled", cancelled)
    assert_like("order.cancelled.repeated", repeated)
    assert_like("order.cancellation_failed", failed)
    assert_like("order.cancelled.final", final)


def test_a_dead_letter_is_that_of_the_example(running: World) -> None:
    """[K10]"""
    expected = example("dead_letter")
    running.send(expected["value"].encode(), key=expected["key"].encode(), partition=1)
    running.settle()
    (letter,) = running.dead_letters()
    letter["headers"] |= {"event_id": "<event_id>"}
    letter["headers"]["original_topic"] = letter["headers"]["original_topic"].replace(
        running.commands, "order_commands"
    )
    actual = {"key": letter["key"].decode(), "headers": letter["headers"], "value": letter["value"].decode()}
    assert actual == expected
