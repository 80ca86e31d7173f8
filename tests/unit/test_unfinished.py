"""The bound of what unfinished requests hold: the oldest give their places, those at work keep theirs."""

import logging

import pytest

from app.server.unfinished import Unfinished


class Holder:
    def __init__(self, unfinished: Unfinished, *, is_at_work: bool = False) -> None:
        self._unfinished = unfinished
        self.held = 0
        self.is_at_work = is_at_work
        self.is_closed = False

    def hold(self, size: int) -> None:
        self._unfinished.hold(self, size)

    def evict(self) -> None:
        self.is_closed = True
        self.hold(0)


def closed(holders: list[Holder]) -> list[bool]:
    return [it.is_closed for it in holders]


@pytest.fixture
def bound() -> Unfinished:
    return Unfinished(100)


def test_the_oldest_give_their_places(bound: Unfinished) -> None:
    """By when the request began to hold something, however it has grown since."""
    holders = [Holder(bound) for _ in range(4)]
    for it in holders:
        it.hold(25)
    assert (closed(holders), bound.held) == ([False] * 4, 100)
    holders[0].hold(0)  # its request is whole, and it begins the next one
    holders[0].hold(25)
    holders[3].hold(30)
    assert (closed(holders), bound.held) == ([False, True, False, False], 80)
    holders[0].hold(60)
    assert (closed(holders), bound.held) == ([False, True, True, False], 90)


def test_who_waits_for_an_answer_keeps_its_place(bound: Unfinished) -> None:
    at_work, slow, late = Holder(bound, is_at_work=True), Holder(bound), Holder(bound)
    for it in (at_work, slow, late):
        it.hold(40)
    assert closed([at_work, slow, late]) == [False, True, False]


def test_a_request_that_becomes_whole_is_no_longer_the_oldest(bound: Unfinished) -> None:
    """What its client has sent ahead still counts."""
    first, second, third = (Holder(bound) for _ in range(3))
    for it in (first, second):
        it.hold(40)
    first.is_at_work = True
    first.hold(30)
    third.hold(40)
    assert (closed([first, second, third]), bound.held) == ([False, True, False], 70)


def test_where_all_are_at_work_the_one_that_brings_more_goes(bound: Unfinished) -> None:
    holders = [Holder(bound, is_at_work=True) for _ in range(3)]
    for it in holders:
        it.hold(40)
    assert (closed(holders), bound.held) == ([False, False, True], 80)


def test_the_log_tells_of_it_once_in_a_while(bound: Unfinished, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            Holder(bound).hold(60)
    assert [it.getMessage() for it in caplog.records] == [
        "unfinished requests hold more than 100 bytes: the oldest are closed"
    ]
