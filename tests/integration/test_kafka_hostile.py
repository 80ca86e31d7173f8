"""Hostile commands through the real consumer: each is answered or a dead letter, and none holds up its partition."""

import json
from collections.abc import Iterator
from typing import Any

from app.models.records import ReceivedCommand
from app.wire.command_reader import parse_record
from app.wire.command_types import COMMAND_TYPES
from tests.fuzz.commands_target import MAX_RECORDS, SEPARATOR
from tests.fuzz.mutations import mutations
from tests.fuzz.targets import corpus, tokens
from tests.harness.hostile import TEXTS, UNSTORABLE
from tests.harness.world import World, a_cancel, a_create, an_update, by_correlation, details

WRONG: list[Any] = [None, True, 1, -1, 1.5, 10**400, "", [], {}, [[]], {"a": 1}, "x" * 256, "x" * 10_000]
MUTATIONS = 400


def with_each_wrong_value(command: dict[str, Any]) -> Iterator[bytes]:
    """Yield the command with a value of another type in each of its fields, envelope and payload alike."""
    for part in (command, command["payload"], command["payload"].get("order_details", {})):
        for name in part:
            right = part[name]
            for wrong in WRONG:
                part[name] = wrong
                yield json.dumps(command).encode()
            part[name] = right


def records() -> list[bytes]:
    """The fuzzer's kept records, some mutations of them, deep and large ones, and wrong types: none twice."""
    kept = corpus("commands")
    found = [part for data in [*kept, *mutations(kept, tokens("commands"), 3, MUTATIONS)] for part in _parts(data)]
    for command in (a_create("s-1"), an_update("o-1", "PLACED"), a_cancel("o-1", reason="r")):
        found += with_each_wrong_value(command)
    found += [b"[" * 60_000, b'{"a":' * 20_000, b"9" * 100_000, b'{"n":1e999999999999999999999}', b"\xff" * 100, b"\0"]
    return sorted({*found} - {b""})


def _parts(data: bytes) -> list[bytes]:
    return data.split(SEPARATOR)[:MAX_RECORDS]


def test_every_record_is_answered_once_or_a_dead_letter(running: World) -> None:
    """[K7] [K10] The last one of each partition is a good command: nothing before it is stuck."""
    sent = records()
    for partition in range(3):
        running.send(*sent[partition::3], partition=partition)
    good = [a_create() for _ in range(3)]
    for partition, command in enumerate(good):
        running.send(command, partition=partition)
    running.settle(60)
    expected = [found.correlation_id for found in map(parse_record, sent) if isinstance(found, ReceivedCommand)]
    replies = running.replies()
    assert sorted(row["body"]["correlation_id"] for row in replies) == sorted(
        [*expected, *(command["correlation_id"] for command in good)]
    )
    assert len(running.dead_letters()) == len(sent) - len(expected)
    assert len(expected) > 100
    assert {row["payload"].get("code") for row in replies}.isdisjoint({"internal_error"})
    assert {row["body"]["type"] for row in replies} <= {
        name for kind in COMMAND_TYPES.values() for name in (kind.success, kind.failure)
    }
    assert running.count("given_up_commands") == 0


def test_texts_are_kept_as_sent_or_refused_whatever_header_and_key_stand_beside(running: World) -> None:
    """[R6] [K2] [K10] In every text field; keys and headers of a record mean nothing."""
    for place, (name, text) in enumerate(TEXTS.items()):
        command = a_create(text, customer_id=text, correlation_id=name, order_details=_details(text))
        headers = [(text, text.encode()), ("correlation_id", b"\xff\0"), ("", b"")]
        value = json.dumps(command).encode()
        key = text.encode() if place % 2 else b"\xff\0\r\n"
        running.wire.producer.send(running.commands, value, key, headers=headers).get(timeout=20)
    running.settle()
    made = by_correlation(running.replies())
    assert set(made) == set(TEXTS)
    assert {row["body"]["type"] for row in made.values()} == {"order.created"}
    for name, text in TEXTS.items():
        assert made[name]["payload"]["saga_id"] == made[name]["payload"]["customer_id"] == text
        row = running.query("SELECT cust_id, saga_id, delivery_location FROM orders WHERE saga_id = %s", (text,))
        assert row == [(text, text, text)]
    reasons = {name: a_cancel(made[name]["payload"]["order_id"], reason=text) for name, text in TEXTS.items()}
    cancelled = by_correlation(running.ask(*reasons.values()))
    for name, command in reasons.items():
        assert cancelled[command["correlation_id"]]["payload"]["reason"] == TEXTS[name]
    unknown = by_correlation(running.ask(*(an_update(text, "PLACED") for text in TEXTS.values())))
    assert {row["payload"]["code"] for row in unknown.values()} == {"order_not_found"}
    refused = by_correlation(running.ask(*(a_create(customer_id=text) for text in UNSTORABLE.values())))
    assert {row["payload"]["code"] for row in refused.values()} == {"invalid_text"}
    assert running.dead_letters() == []


def _details(text: str) -> dict[str, Any]:
    items = [{"name": text, text: text, "price": 1, "quantity": 1}]
    return details(foodItems=items, deliveryLocation=text, storeLocation=text)
