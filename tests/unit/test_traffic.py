"""Long work beside callers makes room for them."""

import pytest

from app.utils.traffic import CALL_SECONDS, Traffic


@pytest.mark.parametrize(
    ("seconds", "calls", "pause"), [(0.1, 0, 0.0), (0.1, 3, 3 * CALL_SECONDS), (0.1, 500, 0.1), (0.0, 500, 0.0)]
)
def test_work_pauses_for_the_calls_that_came_meanwhile(seconds: float, calls: int, pause: float) -> None:
    traffic = Traffic()
    traffic.calls = 7
    before = traffic.calls
    traffic.calls += calls
    assert traffic.pause_after(seconds, before) == pytest.approx(pause)
