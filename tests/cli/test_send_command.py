"""`send-command`: what an orchestrator would send, and any bytes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.terminal import Terminal
from tests.harness.world import World, by_correlation, details

Make = Callable[[World], Terminal]


def test_the_service_does_what_was_sent(running: World, terminal: Make) -> None:
    payload = {"customer_id": "customer-1", "order_details": details(), "saga_id": "saga-1"}
    sent = terminal(running).json("send-command", "create_order", "--payload", json.dumps(payload))
    running.settle()
    assert by_correlation(running.replies())["saga-1"]["body"]["type"] == "order.created"
    assert sent["correlation_id"] == "saga-1"
    assert running.wire.ends(running.commands)[sent["place"]["partition"]] == sent["place"]["offset"] + 1


def test_a_command_from_a_file_has_the_key_and_the_correlation_id_that_were_asked_for(
    world: World, terminal: Make, tmp_path: Path
) -> None:
    file = tmp_path / "payload.json"
    file.write_text('{"order_id": "order-1", "status": "PLACED"}')
    options = ("--file", file, "--key", "order-1", "--correlation-id", "saga-2")
    printed = terminal(world).prints("send-command", "update_order_status", *options)
    (record,) = world.wire.read(world.commands)
    assert (record["key"], record["headers"]) == (b"order-1", {})
    body = json.loads(record["value"])
    assert body["payload"] == {"order_id": "order-1", "status": "PLACED"}
    assert (body["type"], body["correlation_id"]) == ("update_order_status", "saga-2")
    assert f"partition {record['partition']}, offset {record['offset']}, correlation id saga-2" in printed


def test_raw_bytes_arrive_as_they_are(world: World, terminal: Make) -> None:
    terminal(world).prints("send-command", "--raw", "--file", "-", stdin=b"\xff\x00{")
    assert [(record["key"], record["value"]) for record in world.wire.read(world.commands)] == [(None, b"\xff\x00{")]


def test_what_was_sent_has_an_audit_line_with_its_bytes(world: World, terminal: Make) -> None:
    there = terminal(world)
    there.prints("send-command", "--raw", "--payload", "{}", "--as", "alice")
    place = world.query("SELECT detail FROM operator_actions")[0][0]
    assert place.startswith(f"sent as {world.commands}/")
    [(who, action, subject, data)] = there.audit()
    assert (who, action, subject, bytes(data)) == ("alice", "send-command", f"raw to {world.commands}", b"{}")


def test_what_was_not_sent_has_a_line_that_says_so(untouched: World, terminal: Make) -> None:
    there = terminal(untouched)
    refusal = there.refusal("send-command", "--raw", "--payload", "x")
    assert untouched.query("SELECT detail FROM operator_actions") == [(refusal,)]


def test_without_the_database_nothing_is_sent(world: World, terminal: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(world.environment, "DATABASE_URL", "postgresql://u:p@127.0.0.1:1/nowhere")
    assert "nowhere at 127.0.0.1:1" in terminal(world).refusal("send-command", "--raw", "--payload", "x")
    assert world.wire.read(world.commands) == []


def test_a_payload_that_is_no_object_is_not_sent(world: World, terminal: Make) -> None:
    refusal = terminal(world).refusal
    assert "Malformed JSON" in refusal("send-command", "cancel_order", "--payload", "{")
    assert refusal("send-command", "cancel_order", "--payload", "[]") == "The payload must be a JSON object."
    assert world.wire.read(world.commands) == []


def test_a_topic_that_is_missing_is_said_and_not_made(untouched: World, terminal: Make) -> None:
    refusal = terminal(untouched).refusal("send-command", "--raw", "--payload", "x")
    assert refusal.startswith(f"There is no topic {untouched.commands} at ")
    assert untouched.commands not in untouched.wire.admin.list_topics()
