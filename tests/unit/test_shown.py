"""How values are written for people, on the command line and on the console."""

from typing import Any

import pytest

from app.cli.output import printable
from app.console.texts import hop


@pytest.mark.parametrize(
    ("value", "shown"),
    [(True, "yes"), (False, "no"), (None, "-"), (1.4692166, "1.469"), (4.25, "4.25"), (3, "3"), ("a\x1bb", "a\\x1bb")],
)
def test_a_value_is_one_short_word_of_a_line(value: Any, shown: str) -> None:
    assert printable(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0041, "4 ms"), (1.24, "1.2 s"), (180.0, "3 min"), (-0.3, "clocks differ by 300 ms"), (None, "–")],
)
def test_a_hop_of_less_than_nothing_tells_of_the_clocks(seconds: float | None, shown: str) -> None:
    assert hop(seconds) == shown
