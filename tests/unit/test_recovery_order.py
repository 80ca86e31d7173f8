"""The order in which what the topics tell is done again: that in which it was done."""

import json
from collections.abc import Sequence
from uuid import UUID, uuid4

from app.models.records import identity
from app.operations.attempts import Record
from app.operations.recovery_order import Handled, Step, steps
from app.wire.announced import Announced

REPLY, CHANGE = "order.status_updated", "ORDER_UPDATED"


def event(key: str, version: int | None, kind: str = CHANGE) -> Announced:
    return Announced(uuid4(), key, kind, version, b"{}")


def command(partition: int, offset: int, order_id: str, reply: Announced | None = None, mark: object = None) -> Handled:
    payload = {"order_id": order_id, "status": "PLACED", "mark": mark or offset}
    body = {"type": "update_order_status", "correlation_id": "c", "payload": payload}
    return Handled(partition, Record(offset, None, json.dumps(body).encode(), offset), reply)


def names(found: Sequence[Step]) -> list[UUID | int]:
    return [it.record.offset if isinstance(it, Handled) else it.event_id for it in found]


def test_a_command_waits_for_what_happened_to_its_order_before_it() -> None:
    created, updated, completed = event("a", 1), event("a", 2, REPLY), event("a", 3)
    log = [command(0, 7, "a", updated)]
    assert names(list(steps([created, updated, completed], {0: log}))) == [created.event_id, 7, completed.event_id]


def test_commands_of_two_partitions_go_as_the_replies_about_their_order_went() -> None:
    first, second = event("a", 2, REPLY), event("a", 3, REPLY)
    logs = {0: [command(0, 1, "a", second)], 1: [command(1, 2, "a", first)]}
    assert names(list(steps([first, second], logs))) == [2, 1]


def test_a_duplicate_comes_after_the_copy_that_was_answered() -> None:
    reply, later = event("a", 2, REPLY), event("b", 2, REPLY)
    copy = command(0, 1, "a", mark="same")
    logs = {0: [copy, command(0, 2, "b", later)], 1: [command(1, 9, "a", reply, mark="same")]}
    assert names(list(steps([reply, later], logs))) == [9, 1, 2]


def test_a_duplicate_of_what_was_handled_waits_for_nothing() -> None:
    """Neither for what happened to its order later, by a command behind it; nor one whose first copy came before."""
    first, later = event("a", 2, REPLY), event("a", 3, REPLY)
    old = command(0, 1, "a")
    log = [old, command(0, 2, "a", first, mark="m"), command(0, 3, "a", mark="m"), command(0, 4, "a", later)]
    last = event("a", 4, REPLY)
    logs = {0: log, 1: [command(1, 0, "a", last)]}  # the oldest: the first to go if none could
    assert names(list(steps([first, later, last], logs, [identity(old.record)]))) == [1, 2, 3, 4, 0]


def test_commands_that_nobody_answered_yet_are_left_to_the_service() -> None:
    reply = event("a", 2, REPLY)
    logs = {0: [command(0, 1, "a", reply), command(0, 2, "a")], 1: [command(1, 3, "a")]}
    assert names(list(steps([reply], logs))) == [1]


def test_topics_with_a_gap_come_to_an_end() -> None:
    """Two commands that wait for each other's replies, and changes behind a reply without its command."""
    one, other, orphan, behind = event("a", 3, REPLY), event("b", 3, REPLY), event("c", 2, REPLY), event("c", 3)
    logs = {0: [command(0, 1, "b"), command(0, 2, "a", one)], 1: [command(1, 3, "a"), command(1, 4, "b", other)]}
    found = names(list(steps([one, other, orphan, behind], logs)))
    assert sorted(map(str, found)) == sorted(map(str, [1, 2, 3, 4, behind.event_id]))
