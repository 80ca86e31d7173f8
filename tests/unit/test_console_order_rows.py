"""The road of an order, and the rows of its time line."""

from datetime import UTC, datetime, timedelta

import pytest

from app.console.order_rows import Stop, rows, stops
from app.operations.timeline import Became, Came, Entry, Took

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


def entry(seconds: float, before: str | None, after: str | None, outcome: str | None = None) -> Entry:
    """What came so many seconds after noon; `after`: None where the order became nothing new."""
    became = None if after is None else Became(1, before, after, "PENDING", ())
    came = Came("kafka", None, "update_order_status", "saga-1", None, None, outcome)
    return Entry(NOON + timedelta(seconds=seconds), came, became, None, Took(None, None))


def test_the_road_has_what_was_and_what_may_come() -> None:
    found = stops("CREATED", [entry(0, None, "PENDING"), entry(2, "PENDING", "CREATED")])
    assert found[:2] == [
        Stop("PENDING", NOON, None, False),
        Stop("CREATED", NOON + timedelta(seconds=2), 2.0, True),
    ]
    assert [stop.status for stop in found[2:]] == ["ACCEPTED", "PLACED", "ON_THE_WAY", "DELIVERED", "COMPLETED"]
    assert not any(stop.at or stop.is_here for stop in found[2:])


def test_a_cancelled_order_has_no_road_ahead() -> None:
    found = stops("CANCELLED", [entry(0, None, "PENDING"), entry(5, "PENDING", "CANCELLED")])
    assert [(stop.status, stop.took, stop.is_here) for stop in found] == [
        ("PENDING", None, False),
        ("CANCELLED", 5.0, True),
    ]


def test_an_order_that_went_back_took_no_time_below_zero() -> None:
    there_and_back = [
        entry(0, None, "PENDING"),
        entry(1, "PENDING", "CREATED"),
        entry(2, "CREATED", "ACCEPTED"),
        entry(3, "ACCEPTED", "CREATED"),
    ]
    found = {stop.status: stop for stop in stops("CREATED", there_and_back)}
    assert found["CREATED"].took == 3.0
    assert found["ACCEPTED"].took is None
    assert found["CREATED"].is_here


def test_a_payment_alone_is_no_stop() -> None:
    found = stops("CREATED", [entry(1, "PENDING", "CREATED"), entry(9, "CREATED", "CREATED")])
    assert found[1].at == NOON + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [(None, "done"), ("final", "refused"), ("unchanged", "unchanged"), ("repeat", "repeat")],
)
def test_a_row_tells_how_it_ended_and_how_long_after_the_one_before(outcome: str | None, kind: str) -> None:
    found = rows([entry(0, None, "PENDING"), entry(1.5, None, None, outcome)])
    assert [(row.gap, row.kind) for row in found] == [(None, "done"), (1.5, kind)]
