"""What gets no reply goes to the dead letter topic, and holds nobody up [K10]."""

import json

import pytest

from tests.harness.world import World, a_cancel, a_create, an_update, by_correlation, wait_for

LIMIT = 128 * 1024


def padded(size: int) -> bytes:
    """A usable create of exactly `size` bytes."""
    command = a_create(note="")
    room = size - len(json.dumps(command).encode())
    command["payload"]["note"] = "x" * room
    return json.dumps(command).encode()


def nested(depth: int, correlation_id: str = "deep") -> bytes:
    """A cancel of an unknown order with `depth` brackets open at once."""
    command = a_cancel("nobody", extra="HERE") | {"correlation_id": correlation_id}
    inner = depth - 2
    return json.dumps(command).replace('"HERE"', "[" * inner + "]" * inner).encode()


def raw(parts: str, command_type: str = "update_order_status", correlation_id: str = '"c-1"') -> bytes:
    payload = f'{{"order_id": "nobody", "status": "PLACED"{parts}}}'
    text = f'{{"type": "{command_type}", "correlation_id": {correlation_id}, "payload": {payload}}}'
    return text.encode()


DEAD = {
    "over 128 KiB": padded(LIMIT + 1),
    "nested 33 deep": nested(33),
    "nested 33 deep without an end": b'{"type": "cancel_order", "correlation_id": "c", "payload": ' + b"[" * 33,
    "tombstone": None,
    "garbage": b"\x00\xff garbage",
    "empty": b"",
    "Latin-1": '{"type": "cancel_order", "correlation_id": "Zoë"}'.encode("latin-1"),
    "cut off": raw("")[:-1],
    "array": b'[{"type": "cancel_order", "correlation_id": "c"}]',
    "text": b'"cancel_order"',
    "null": b"null",
    "no type": b'{"correlation_id": "c", "payload": {"order_id": "nobody"}}',
    "unknown type": raw("", "delete_order"),
    "type of another kind": b'{"type": ["cancel_order"], "correlation_id": "c", "payload": {}}',
    "no correlation id": b'{"type": "cancel_order", "payload": {"order_id": "nobody"}}',
    "empty correlation id": raw("", correlation_id='""'),
    "number as correlation id": raw("", correlation_id="7"),
    "long correlation id": raw("", correlation_id=f'"{"c" * 256}"'),
    "NUL in the correlation id": raw("", correlation_id='"c\\u0000"'),
    "lone surrogate in the correlation id": raw("", correlation_id='"\\ud800"'),
    "create without any id": b'{"type": "create_order", "payload": {"customer_id": "c", "saga_id": 7}}',
}


def test_every_unreadable_record_becomes_one_untouched_dead_letter(running: World) -> None:
    """[K10]"""
    places = {name: running.send(value, key=name.encode())[0] for name, value in DEAD.items()}
    running.settle()
    letters = {row["key"].decode(): row for row in running.dead_letters()}
    assert len(running.dead_letters()) == len(letters) == len(DEAD)
    for name, value in DEAD.items():
        headers, place = letters[name]["headers"], places[name]
        assert letters[name]["value"] == value, name
        assert headers["error"]
        assert headers["original_topic"] == running.commands
        assert (headers["original_partition"], headers["original_offset"]) == (str(place.partition), str(place.offset))
    assert running.replies() == []


def test_unreadable_records_without_a_key_stay_without_one(running: World) -> None:
    """[K10]"""
    running.send(None, b"garbage", b"", partition=2)
    running.settle()
    letters = running.dead_letters()
    assert sorted((row["value"] is None, row["value"] or b"") for row in letters) == [
        (False, b""), (False, b"garbage"), (True, b""),
    ]  # fmt: skip
    assert {row["key"] for row in letters} == {None}


def test_a_key_that_is_no_text_stays_as_it_is(running: World) -> None:
    """[K10]"""
    running.send(b"\xff\x00", key=b"\x00\xff\xfe")
    running.settle()
    (letter,) = running.dead_letters()
    assert (letter["key"], letter["value"]) == (b"\x00\xff\xfe", b"\xff\x00")


def test_what_is_just_within_the_limits_gets_its_reply(running: World) -> None:
    """[K10] [R6]"""
    rows = running.ask(padded(LIMIT), nested(32))
    assert sorted(row["body"]["type"] for row in rows) == ["order.cancellation_failed", "order.created"]
    assert running.dead_letters() == []


@pytest.mark.parametrize("tombstone", [True, False], ids=["tombstone", "over 128 KiB"])
def test_size_and_tombstones_come_first_whatever_the_record_holds(running: World, tombstone: bool) -> None:
    """[K10]"""
    running.send(None if tombstone else padded(LIMIT + 1), key=b"order-1")
    running.settle()
    assert (len(running.dead_letters()), running.replies(), running.count("orders")) == (1, [], 0)


def test_a_known_type_with_a_correlation_id_gets_a_reply_whatever_else_is_wrong(running: World) -> None:
    """[K10] [R7]"""
    wrong = {
        "duplicate_key": ', "status": "CREATED"',
        "number_out_of_range": ', "n": NaN',
        "invalid_text": ', "note": "\\ud800"',
    }
    more = {"infinity": ', "n": -Infinity', "exponent": ', "n": 1e400', "nul": ', "note": "\\u0000"'}
    more["digits"] = f', "n": {"9" * 5000}'
    rows = by_correlation(
        running.ask(*[raw(part, correlation_id=f'"{name}"') for name, part in (wrong | more).items()])
    )
    assert {row["body"]["type"] for row in rows.values()} == {"order.status_update_failed"}
    assert {rows[code]["payload"]["code"] for code in wrong} == set(wrong)
    assert {row["payload"]["order_id"] for row in rows.values()} == {"nobody"}
    assert set(rows) == set(wrong | more)
    assert running.dead_letters() == []


def test_a_duplicated_envelope_field_is_readable_too(running: World) -> None:
    """[K10]"""
    twice = b'{"type": "x", "type": "cancel_order", "correlation_id": "a", "correlation_id": "b", "payload": {}}'
    (row,) = running.ask(twice)
    assert (row["body"]["type"], row["body"]["correlation_id"]) == ("order.cancellation_failed", "b")


def test_neighbours_of_unreadable_records_are_handled(running: World) -> None:
    """[K10]"""
    good = [a_create() for _ in range(len(DEAD))]
    mixed = [part for pair in zip(good, DEAD.values(), strict=True) for part in pair]
    rows = by_correlation(running.ask(*mixed, partition=1))
    assert set(rows) == {it["correlation_id"] for it in good}
    assert len(running.dead_letters()) == len(DEAD)


def test_a_dead_letter_that_is_sent_again_is_judged_again(running: World) -> None:
    """It claims no identity. [K10] [K8]"""
    for times in (1, 2, 3):
        running.send(b"garbage", key=b"k")
        running.settle()
        letters = running.dead_letters()
        assert [row["value"] for row in letters] == [b"garbage"] * times
    assert len({row["headers"]["original_offset"] for row in letters}) == 3
    assert running.count("command_identities") == 0


def test_a_hundred_unreadable_records_in_a_row_ring_an_alarm_until_a_good_one_comes(running: World) -> None:
    """[K10]"""
    running.send(*[b"garbage"] * 120, partition=0)
    running.settle()
    wait_for(lambda: running.alarm("dead_letters"), "the alarm")
    running.ask(an_update("nobody", "PLACED"), partition=0)
    wait_for(lambda: not running.alarm("dead_letters"), "the end of the alarm")
    assert len(running.dead_letters()) == 120
