"""A budget of seconds that several calls share."""

import time

import pytest

from app.utils.deadline import Deadline


def test_a_deadline_counts_down_and_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    budget = Deadline(4.0)
    assert (budget.remaining, budget.passed) == (4.0, False)
    now[0] = 103.5
    assert (budget.remaining, budget.passed) == (0.5, False)
    now[0] = 104.0
    assert (budget.remaining, budget.passed) == (0.0, True)
    now[0] = 105.0
    assert (budget.remaining, budget.passed) == (-1.0, True)


def test_no_budget_is_a_deadline_that_has_passed() -> None:
    assert Deadline(0).passed
