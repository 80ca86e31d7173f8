"""`dead-letters`: look at them, send them again, let them be."""

import json
from collections.abc import Callable

import pytest

from app.models.operator_errors import DatabaseUnusable
from app.operations.audit import AuditedChange
from app.operations.send_command import BEGUN
from tests.harness.terminal import Terminal
from tests.harness.world import World, raising_once

Make = Callable[[World], Terminal]

A_LETTER = (
    'INSERT INTO dead_letters (event_id, topic, partition, "offset", key, value, error, sent_at) VALUES '
    "(gen_random_uuid(), %s, 0, 7, %s, %s, 'It is no JSON', CASE WHEN %s THEN now() END) RETURNING id"
)


def a_letter(world: World, value: bytes | None, key: bytes | None = None, *, sent: bool = True) -> int:
    return int(world.query(A_LETTER, (world.commands, key, value, sent))[0][0])


def resolution(world: World, letter: int) -> str | None:
    (found,) = world.query("SELECT resolution FROM dead_letters WHERE id = %s", (letter,))[0]
    return None if found is None else str(found)


def test_a_list_has_what_nobody_decided_about_newest_first(untouched: World, terminal: Make) -> None:
    first, second, third = (a_letter(untouched, b"x" * size) for size in (1, 2, 3))
    terminal(untouched).prints("dead-letters", "discard", second, "--yes")
    listed = terminal(untouched).json("dead-letters", "list")["dead_letters"]
    assert [(letter["id"], letter["bytes"]) for letter in listed] == [(third, 3), (first, 1)]
    assert "discarded" in terminal(untouched).prints("dead-letters", "list", "--all")


def test_a_letter_is_shown_with_its_bytes(untouched: World, terminal: Make) -> None:
    letter = a_letter(untouched, b"\xff\x00{", b"order-1")
    shown = terminal(untouched).json("dead-letters", "show", letter)
    assert (shown["key"], shown["value"], shown["value_base64"]) == ("order-1", None, "/wB7")
    assert r"\xff\x00{" in terminal(untouched).prints("dead-letters", "show", letter)
    raw = terminal(untouched).run("dead-letters", "show", letter, "--bytes")
    assert raw.stdout_bytes == b"\xff\x00{"


@pytest.mark.parametrize(("key", "value"), [(b"order-1", b"\xff{"), (None, b"{"), (b"order-1", None), (None, None)])
def test_a_replay_sends_the_same_key_and_bytes(
    world: World, terminal: Make, key: bytes | None, value: bytes | None
) -> None:
    letter = a_letter(world, value, key)
    place = terminal(world).json("dead-letters", "replay", letter, "--as", "alice")["place"]
    (record,) = world.wire.read(world.commands)
    assert (record["key"], record["value"], record["headers"]) == (key, value, {})
    assert (record["partition"], record["offset"]) == (place["partition"], place["offset"])
    assert resolution(world, letter) == "replayed"
    assert terminal(world).audit() == [("alice", "replay", f"dead letter {letter}", None)]


def test_a_letter_is_replayed_once(world: World, terminal: Make) -> None:
    letter = a_letter(world, b"{")
    terminal(world).prints("dead-letters", "replay", letter)
    assert f"Dead letter {letter} was replayed at" in terminal(world).refusal("dead-letters", "replay", letter)
    assert len(world.wire.read(world.commands)) == 1


def test_a_letter_that_cannot_be_sent_stays_undecided_and_its_audit_line_says_why(
    untouched: World, terminal: Make
) -> None:
    letter = a_letter(untouched, b"{")
    refusal = terminal(untouched).refusal("dead-letters", "replay", letter)
    assert "There is no topic" in refusal
    assert resolution(untouched, letter) is None
    assert untouched.query("SELECT subject, detail FROM operator_actions") == [(f"dead letter {letter}", refusal)]


def test_a_letter_that_was_sent_but_could_not_be_marked_stays_undecided_and_has_an_audit_line(
    world: World, terminal: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = a_letter(world, b"{")
    with raising_once(monkeypatch, AuditedChange, "complete", DatabaseUnusable("The database is away.")):
        refusal = terminal(world).refusal("dead-letters", "replay", letter)
    assert refusal.startswith(f"Dead letter {letter} was sent again as {world.commands}/")
    assert refusal.endswith(", but is not marked so: The database is away.")
    assert resolution(world, letter) is None
    assert world.query("SELECT subject, detail FROM operator_actions") == [(f"dead letter {letter}", BEGUN)]
    assert [record["value"] for record in world.wire.read(world.commands)] == [b"{"]


def test_a_replayed_letter_is_judged_again(running: World, terminal: Make) -> None:
    running.ask(b"{")
    terminal(running).prints("dead-letters", "replay", 1)
    running.settle()
    assert [record["value"] for record in running.dead_letters()] == [b"{", b"{"]
    (left,) = terminal(running).json("dead-letters", "list")["dead_letters"]
    assert left["id"] == 2


def test_a_discarded_letter_stays_in_the_table(untouched: World, terminal: Make) -> None:
    letter = a_letter(untouched, b"{")
    terminal(untouched).prints("dead-letters", "discard", letter, "--yes", "--as", "alice")
    assert resolution(untouched, letter) == "discarded"
    assert terminal(untouched).audit() == [("alice", "discard", f"dead letter {letter}", None)]
    assert "was discarded already" in terminal(untouched).refusal("dead-letters", "discard", letter, "--yes")


def test_a_discard_frees_the_bytes_of_all_that_are_named_or_of_none(untouched: World, terminal: Make) -> None:
    first, second = a_letter(untouched, b"{", b"k"), a_letter(untouched, b"[", b"k")
    assert "There is no dead letter 99" in terminal(untouched).refusal("dead-letters", "discard", first, 99, "--yes")
    assert untouched.count("dead_letters", "value IS NOT NULL AND key IS NOT NULL") == 2
    terminal(untouched).prints("dead-letters", "discard", first, second, "--yes")
    assert untouched.count("dead_letters", "value IS NULL AND key IS NULL AND resolution = 'discarded'") == 2
    assert "was discarded at" in terminal(untouched).refusal("dead-letters", "replay", first)


def test_a_discard_asks_first(untouched: World, terminal: Make) -> None:
    letter = a_letter(untouched, b"{")
    assert terminal(untouched).run("dead-letters", "discard", letter, stdin=b"n\n").exit_code == 1
    assert resolution(untouched, letter) is None
    assert terminal(untouched).run("dead-letters", "discard", letter, stdin=b"y\n").exit_code == 0
    assert resolution(untouched, letter) == "discarded"


def test_several_are_replayed_and_the_first_that_cannot_be_ends_it(world: World, terminal: Make) -> None:
    first, second, third = (a_letter(world, value) for value in (b"1", b"2", b"3"))
    world.query("UPDATE dead_letters SET length = 9, sha256 = '\\x00' WHERE id = %s", (second,))
    refused = terminal(world).refusal("dead-letters", "replay", third, second, first)
    assert refused == (
        f"Of dead letter {second} only the beginning was kept: ask its sender for all of it. "
        f"Sent again before it: {first}."
    )
    assert [resolution(world, letter) for letter in (first, second, third)] == ["replayed", None, None]
    done = terminal(world).json("dead-letters", "replay", third)
    assert done["id"] == third
    assert len(world.wire.read(world.commands)) == 2


def test_a_refused_letter_is_offered_again_or_discarded(untouched: World, terminal: Make) -> None:
    first, second = (a_letter(untouched, b"{", sent=False) for _ in range(2))
    assert "is not refused" in terminal(untouched).refusal("dead-letters", "retry", first)
    untouched.query("UPDATE dead_letters SET refusal = 'too large'")
    assert "refused" in terminal(untouched).prints("dead-letters", "list")
    (renewed,) = terminal(untouched).json("dead-letters", "retry", first, "--as", "alice")["ids"]
    assert untouched.count("dead_letters", f"id = {renewed} AND refusal IS NULL AND value = '{{'") == 1
    terminal(untouched).prints("dead-letters", "discard", second, "--yes")
    assert untouched.count("dead_letters") == 1
    assert bytes(terminal(untouched).audit()[-1][-1]) == b"{"


def test_an_unsent_letter_leaves_the_lane_only_when_that_is_asked_for(untouched: World, terminal: Make) -> None:
    letter = a_letter(untouched, b"too large", b"key", sent=False)
    assert "still to be sent" in terminal(untouched).refusal("dead-letters", "discard", letter)
    terminal(untouched).prints("dead-letters", "discard", letter, "--unsent", "--yes", "--as", "alice")
    assert untouched.count("dead_letters") == 0
    ((*line, data),) = terminal(untouched).audit()
    assert (line, bytes(data)) == (["alice", "discard", f"dead letter {letter}"], b"too large")


def test_an_unknown_letter_is_one_sentence(untouched: World, terminal: Make) -> None:
    for command in ("show", "replay", "discard"):
        assert terminal(untouched).refusal("dead-letters", command, 99) == "There is no dead letter 99."


def test_a_mended_letter_can_be_sent_from_its_bytes(running: World, terminal: Make) -> None:
    running.ask(b'{"type": "cancel_order", "correlation_id": "saga-1", "payload": {"order_id": "order-1"}')
    raw = terminal(running).run("dead-letters", "show", 1, "--bytes").stdout_bytes
    before = len(running.replies())
    terminal(running).prints("send-command", "--raw", "--file", "-", stdin=raw + b"}")
    running.settle()
    assert [json.loads(reply["value"])["correlation_id"] for reply in running.replies()[before:]] == ["saga-1"]
