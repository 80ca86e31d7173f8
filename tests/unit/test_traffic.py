"""Long work beside callers makes room for them."""

import pytest

from app.utils.traffic import CALL_SECONDS, OVERLOADED_SECONDS, OVERLOADED_TIMES, Traffic


@pytest.mark.parametrize(
    ("seconds", "calls", "pause"), [(0.1, 0, 0.0), (0.1, 3, 3 * CALL_SECONDS), (0.1, 500, 0.1), (0.0, 500, 0.0)]
)
def test_work_pauses_for_the_calls_that_came_meanwhile(seconds: float, calls: int, pause: float) -> None:
    traffic = Traffic()
    traffic.calls = 7
    before = traffic.calls
    traffic.calls += calls
    assert traffic.pause_after(seconds, before) == pytest.approx(pause)


@pytest.mark.parametrize(
    ("seconds", "pause"), [(0.1, 0.1 * OVERLOADED_TIMES), (4.0, OVERLOADED_SECONDS), (12.0, 12.0), (0.0, 0.0)]
)
def test_it_pauses_longer_while_callers_are_turned_away(seconds: float, pause: float) -> None:
    """No longer than a supervised thread may be silent."""
    traffic = Traffic()
    traffic.is_overloaded = True
    traffic.calls = 1_000_000
    assert traffic.pause_after(seconds, 0) == pytest.approx(pause)
