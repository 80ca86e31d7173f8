"""`dead-letters judge`: what a replay would do, by the service's own code, rolled back."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.models import rules
from app.models.operator_errors import NotPossible
from app.operations import judge as operations
from app.operations.judge import REPEAT, judge, judge_bytes
from tests.cli.test_dead_letters import a_letter
from tests.cli.test_moves import rows
from tests.cli.test_orders import an_order
from tests.harness.terminal import Terminal
from tests.harness.world import World, a_cancel, a_create, an_update

Make = Callable[[World], Terminal]


def letters(world: World, *commands: object) -> list[int]:
    return [a_letter(world, it if isinstance(it, bytes) else json.dumps(it).encode()) for it in commands]


def judged(world: World, ids: list[int]) -> list[tuple[str, str]]:
    return [(it.verdict, it.would_be) for it in judge(world.settings(), ids)]


def test_each_is_judged_as_the_service_would_handle_it_and_nothing_is_left_of_it(untouched: World) -> None:
    an_order(untouched, "order-1", 0, "PLACED")
    an_order(untouched, "order-2", 1, "COMPLETED")
    ids = letters(
        untouched,
        an_update("order-1", "DELIVERED"),
        an_update("order-2", "PLACED"),
        a_cancel("order-2"),
        a_create("saga-1"),
        an_update("nobody's", "PLACED"),
        b"{",
        b"x" * 200_000,
    )
    before = rows(untouched)
    assert judged(untouched, ids) == [
        ("change", "order.status_updated, version 2"),
        (
            "refused",
            "refused: status_not_allowed: Order cannot be updated in status: COMPLETED (order.status_update_failed)",
        ),
        ("unchanged", "unchanged: order.cancelled without a version"),
        ("change", "order.created, version 1"),
        ("refused", "refused: order_not_found: Order not found (order.status_update_failed)"),
        ("unreadable", "still unreadable: The command is not a JSON object"),
        ("unreadable", "still unreadable: The command is larger than 131072 bytes"),
    ]
    assert rows(untouched) == before


def test_what_is_judged_is_what_a_replay_does(running: World, terminal: Make) -> None:
    order_id = running.create()
    ids = letters(running, an_update(order_id, "CREATED"), an_update(order_id, "CREATED"), a_cancel(order_id))
    expected = [(it.reply_type, it.correlation_id, it.version) for it in judge(running.settings(), ids)]
    before = len(running.replies())
    for letter in ids:
        terminal(running).prints("dead-letters", "replay", letter)
        running.settle()
    told = [
        (it["body"]["type"], it["body"]["correlation_id"], it["payload"].get("version")) for it in running.replies()
    ]
    assert sorted(told[before:], key=str) == sorted(expected, key=str)
    assert [version for _, _, version in expected] == [2, None, 3]


def test_bytes_that_were_handled_or_come_twice_are_repeats(running: World) -> None:
    order_id = running.create()
    handled = an_update(order_id, "CREATED")
    running.ask(handled)
    cancel = a_cancel(order_id)
    ids = letters(running, handled, cancel, cancel)
    assert judged(running, ids) == [
        ("repeat", REPEAT),
        ("change", "order.cancelled, version 3"),
        ("repeat", REPEAT),
    ]


def test_a_repeat_is_seen_in_a_later_portion_too(untouched: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "PORTION", 2)
    an_order(untouched, "order-1", 0, "PLACED")
    cancel = a_cancel("order-1")
    ids = letters(untouched, cancel, b"{", b"{", cancel)
    assert [it.verdict for it in judge(untouched.settings(), ids)] == ["change", "unreadable", "unreadable", "repeat"]


def test_one_that_the_service_cannot_handle_is_told_from_its_neighbours(
    untouched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_order(untouched, "order-1", 0, "PLACED")
    decide = rules.decide

    def fails(order: Any, command: Any, now: Any, **given: Any) -> Any:
        if command.order_id == "order-2":
            raise ZeroDivisionError
        return decide(order, command, now, **given)

    monkeypatch.setattr(rules, "decide", fails)
    ids = letters(untouched, a_cancel("order-2"), a_cancel("order-1"))
    before = rows(untouched)
    fault, other = judge(untouched.settings(), ids)
    assert (fault.verdict, other.would_be) == ("fault", "order.cancelled, version 2")
    assert fault.would_be.startswith("a fault of the service, answered with internal_error: ZeroDivisionError")
    assert rows(untouched) == before


def test_what_cannot_be_sent_again_is_not_judged(untouched: World, terminal: Make) -> None:
    first, second = letters(untouched, b"{", b"{")
    terminal(untouched).prints("dead-letters", "discard", first, "--yes")
    untouched.query("UPDATE dead_letters SET length = 9, sha256 = '\\x00' WHERE id = %s", (second,))
    shown = terminal(untouched).json("dead-letters", "judge", first, second)["judgements"]
    assert [it["verdict"] for it in shown] == ["settled", "settled"]
    assert shown[0]["would_be"].startswith("nothing: it was discarded at ")
    assert shown[1]["would_be"] == "nothing: only its beginning was kept, so it cannot be sent again"
    assert terminal(untouched).refusal("dead-letters", "judge", first, 99) == "There is no dead letter 99."
    assert "would be" in terminal(untouched).prints("dead-letters", "judge", first)


def test_a_mended_copy_is_judged_before_it_is_sent(untouched: World) -> None:
    an_order(untouched, "order-1", 0, "PLACED")
    mended = json.dumps(a_cancel("order-1")).encode()
    before = rows(untouched)
    assert judge_bytes(untouched.settings(), None, mended[:-1]).verdict == "unreadable"
    found = judge_bytes(untouched.settings(), b"key", mended)
    assert (found.id, found.would_be, found.order_id) == (None, "order.cancelled, version 2", "order-1")
    assert judge_bytes(untouched.settings(), None, None).would_be == "still unreadable: The record is a tombstone"
    assert rows(untouched) == before


def test_too_many_at_once_are_refused(untouched: World) -> None:
    with pytest.raises(NotPossible, match="take 1000 at the most"):
        judge(untouched.settings(), range(1, 1002))
