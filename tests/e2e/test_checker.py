"""A checker that cannot fail proves nothing: each planted fault is found, and the sound history passes."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.faults.checker import check
from tests.harness.found import Found, Line, Record, Row, query
from tests.harness.history import FAIL, INFO, OK, UNREADABLE, Operation, digest

Planted = tuple[list[Operation], Found]

JUNK = b"not JSON"


def sent(f: str, number: int, answer: Any, status: int = 200, outcome: str = OK, **value: Any) -> Operation:
    told = {"attempt": f"key-{number}", "correlation_id": f"c{number}", "status": status, "answer": answer} | value
    return Operation("http-0", f, "o1", told, float(number), number + 0.5, outcome)


def order(version: int, status: str, runner: str | None = None) -> dict[str, Any]:
    return {"orderId": "o1", "version": version, "orderStatus": status, "runnerId": runner}


def line(order_id: str, version: int, change: tuple[str, str | None, str], cause: str, **other: Any) -> Line:
    kind, before, after = change
    values = {"runner_id": None, "door": "http"} | other
    return Line(order_id, version, f"e-{order_id}-{version}", kind, before, after, correlation_id=cause, **values)


def event(offset: int, name: str, event_id: str, cause: str, payload: dict[str, Any], partition: int = 0) -> Record:
    body = {"type": name, "event_id": event_id, "correlation_id": cause, "payload": payload}
    headers = (("event_id", event_id.encode()),)
    return Record(partition, offset, b"k", json.dumps(body).encode(), headers)


def announced(offset: int, version: int, status: str, runner: str | None = None) -> Record:
    payload = {"orderId": "o1", "version": version, "event": json.dumps(order(version, status, runner))}
    return event(offset, "ORDER_UPDATED", f"e-o1-{version}", f"c{version}", payload)


def command(name: str, cause: str) -> bytes:
    return json.dumps({"type": name, "correlation_id": cause, "payload": {}}).encode()


def produced(f: str, value: bytes, cause: str | None) -> Operation:
    return Operation("kafka-0", f, "o2", {"digest": digest(value), "correlation_id": cause}, 9.0, 9.5, OK)


def sound() -> Planted:
    """o1 over HTTP: created, freed, accepted. o2 over Kafka: created. One refusal, one silence, one dead letter."""
    make = command("create_order", "saga")
    operations = [
        sent("create", 1, {"order_id": "o1"}, 201),
        sent("update", 2, {"order": order(2, "CREATED")}),
        sent("accept", 3, {"order_id": "o1"}, runner="r"),
        sent("accept", 4, {"code": "order_taken"}, 400, FAIL, runner="s"),
        sent("cancel", 5, None, 503, INFO),
        sent("get", 6, order(3, "ACCEPTED", "r")),
        produced("create_order", make, "saga"),
        produced(UNREADABLE, JUNK, None),
    ]
    lines = [
        line("o1", 1, ("created", None, "PENDING"), "c1"),
        line("o1", 2, ("updated", "PENDING", "CREATED"), "c2"),
        line("o1", 3, ("accepted", "CREATED", "ACCEPTED"), "c3", runner_id="r"),
        line("o2", 1, ("created", None, "PENDING"), "saga", door="kafka"),
    ]
    reply = {"order_id": "o2", "status": "PENDING", "saga_id": "saga", "version": 1}
    events = [
        announced(0, 1, "PENDING"),
        announced(1, 2, "CREATED"),
        announced(2, 3, "ACCEPTED", "r"),
        event(3, "order.created", "e-o2-1", "saga", reply),
    ]
    letter = Record(0, 0, b"k", JUNK, (("original_partition", b"0"), ("original_offset", b"1")))
    return operations, Found(
        rows=[Row("o1", "ACCEPTED", "PENDING", "r", 3, None), Row("o2", "PENDING", "PENDING", None, 1, "saga")],
        lines=lines,
        commands=[Record(0, 0, None, make), Record(0, 1, b"k", JUNK), Record(1, 0, None, make)],
        events=events,
        dead_letters=[letter],
    )


def without_event(number: int) -> Planted:
    operations, found = sound()
    return operations, replace(found, events=[it for at, it in enumerate(found.events) if at != number])


def with_event(record: Record) -> Planted:
    operations, found = sound()
    return operations, replace(found, events=[*found.events, record])


def with_operation(operation: Operation) -> Planted:
    operations, found = sound()
    return [*operations, operation], found


def changed(**parts: Callable[[Found], Any]) -> Planted:
    operations, found = sound()
    return operations, replace(found, **{name: change(found) for name, change in parts.items()})


FAULTS: dict[str, tuple[str, Callable[[], Planted]]] = {
    "a write that was answered is lost": ("I1", lambda: with_operation(sent("create", 8, {"order_id": "o8"}, 201))),
    "a refused write was done": ("I1", lambda: with_operation(sent("cancel", 2, {}, 400, FAIL))),
    "one key was done twice": ("I1", lambda: with_operation(sent("update", 3, None, 503, INFO, attempt="key-2"))),
    "one key was answered twice, differently": (
        "I1",
        lambda: with_operation(sent("update", 8, {"order": order(1, "PENDING")}, attempt="key-2")),
    ),
    "an answer names a status that the order never had": (
        "I1",
        lambda: with_operation(sent("update", 8, {"order": order(2, "DELIVERED")})),
    ),
    "an event that nobody caused": ("I2", lambda: with_event(event(9, "order.cancelled", "e9", "ghost", {}))),
    "an event of a change that was rolled back": ("I2", lambda: with_event(announced(9, 4, "PLACED"))),
    "an order that nobody asked for": (
        "I2",
        lambda: changed(lines=lambda it: [*it.lines, line("o9", 1, ("created", None, "PENDING"), "c9")]),
    ),
    "an event is missing": ("I3", lambda: without_event(1)),
    "a line of the history is missing": ("I3", lambda: changed(lines=lambda it: [*it.lines[:1], *it.lines[2:]])),
    "events were never sent": ("I3", lambda: changed(outbox=lambda _: 1)),
    "two events are swapped": (
        "I4",
        lambda: changed(
            events=lambda it: [replace(it.events[0], offset=1), replace(it.events[1], offset=0), *it.events[2:]]
        ),
    ),
    "an order's events are in two partitions": (
        "I4",
        lambda: changed(events=lambda it: [*it.events[:2], replace(it.events[2], partition=1), it.events[3]]),
    ),
    "an event is in the log twice": ("I5", lambda: with_event(replace(announced(9, 2, "CREATED"), offset=9))),
    "a command has no reply": ("I6", lambda: without_event(3)),
    "a command has two replies": (
        "I6",
        lambda: with_event(event(9, "order.creation_failed", "e9", "saga", {"saga_id": "saga"})),
    ),
    "a dead letter is missing": ("I6", lambda: changed(dead_letters=lambda _: [])),
    "a dead letter is there twice": (
        "I6",
        lambda: changed(dead_letters=lambda it: [*it.dead_letters, *it.dead_letters]),
    ),
    "a dead letter has other bytes": (
        "I6",
        lambda: changed(dead_letters=lambda it: [replace(it.dead_letters[0], value=b"other")]),
    ),
    "an acknowledged command is not in the log": ("I6", lambda: changed(commands=lambda it: it.commands[1:2])),
    "a runner took an order that was not free": (
        "I7",
        lambda: changed(lines=lambda it: [*it.lines[:2], replace(it.lines[2], from_status="PENDING"), it.lines[3]]),
    ),
    "a row is not what its last event says": (
        "I7",
        lambda: changed(rows=lambda it: [replace(it.rows[0], runner_id="s"), it.rows[1]]),
    ),
    "a saga made two orders": ("I7", lambda: changed(rows=lambda it: [*it.rows, replace(it.rows[1], order_id="o3")])),
    "a client read less than it wrote": ("I8", lambda: with_operation(sent("get", 8, order(1, "PENDING")))),
}


def violated(planted: Planted) -> set[str]:
    return {mark.split()[0] for mark, sentences in check(*planted).items() if sentences}


def test_the_sound_history_passes() -> None:
    assert violated(sound()) == set()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    mark, plant = FAULTS[fault]
    assert mark in violated(plant())


def test_what_waits_is_seen_without_asking_for_its_columns(database_url: str) -> None:
    assert query(database_url, "SELECT FROM generate_series(1, 2)") == [(), ()]
    assert query(database_url, "SELECT FROM generate_series(1, 0)") == []
    assert query(database_url, "CREATE TABLE it ()") == []
