"""Spans of time as people say them."""

import pytest

from app.utils.spans import span


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1.0, "0.0 s"),
        (0.44, "0.4 s"),
        (75.0, "75 s"),
        (180.0, "3 min"),
        (7_200.0, "2 h"),
        (172_800.0, "2 days"),
    ],
)
def test_a_span_is_said_in_the_largest_unit_that_fits_twice(seconds: float, said: str) -> None:
    assert span(seconds) == said
