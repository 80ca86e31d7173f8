"""Charts: well-formed SVG without script and inline style, whatever the figures are."""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from app.console.charts import Chart, ChartMark, Series, described, draw, shown

NOON = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


def a_chart(*lines: Sequence[float | None], marks: Sequence[ChartMark] = (), whole: bool = False) -> Chart:
    times = [NOON + timedelta(minutes=number) for number in range(len(lines[0]) if lines else 0)]
    series = [Series(f"line {number}", values) for number, values in enumerate(lines)]
    return Chart("c", "What is <drawn>", "per minute", times, series, marks, whole)


def tree(chart: Chart) -> ElementTree.Element:
    text = str(draw(chart))
    assert not re.search(r"style=|<style|<script|nan|inf", text, re.IGNORECASE)
    return ElementTree.fromstring(text)  # noqa: S314 - our own


def runs(chart: Chart) -> list[int]:
    """How many points each line has that is drawn."""
    return [len(line.attrib["points"].split()) for line in tree(chart).findall("polyline")]


def grid(chart: Chart) -> list[str | None]:
    return [text.text for text in tree(chart).findall("text") if text.attrib["class"] == "y"]


def test_without_a_figure_it_says_so() -> None:
    found = tree(a_chart())
    assert [text.text for text in found.findall("text")] == ["No figures yet"]
    assert found.findtext("desc") == "No figures yet."
    assert a_chart().rows == []


def test_one_figure_is_a_dot() -> None:
    found = tree(a_chart([3.0]))
    assert (runs(a_chart([3.0])), len(found.findall("circle"))) == ([], 1)


@pytest.mark.parametrize("unknown", [None, math.nan, math.inf])
def test_what_is_not_known_interrupts_the_line(unknown: float | None) -> None:
    chart = a_chart([1, 2, unknown, 4, 5, 6, unknown, 8])
    assert (runs(chart), len(tree(chart).findall("circle"))) == ([2, 3], 1)
    assert chart.rows[1] == (NOON + timedelta(minutes=6), ["–"])
    assert chart.most == 8


def test_where_nothing_is_known_there_is_an_axis_and_no_line() -> None:
    chart = a_chart([None, math.nan])
    assert (runs(chart), grid(chart)) == ([], ["0", "1"])
    assert "nothing is known" in described(chart)


@pytest.mark.parametrize(
    ("most", "whole", "lines"),
    [
        (0, True, ["0", "1"]),
        (1, True, ["0", "1"]),
        (3, True, ["0", "1", "2", "3"]),
        (0.07, False, ["0", "0.02", "0.04", "0.06", "0.08"]),
        (1000, True, ["0", "500", "1,000"]),
        (1_234_567, True, ["0", "500,000", "1,000,000", "1,500,000"]),
    ],
)
def test_the_grid_has_round_figures(most: float, whole: bool, lines: list[str]) -> None:
    assert grid(a_chart([0, most], whole=whole)) == lines


def test_a_day_of_figures_is_drawn_and_has_few_times_below() -> None:
    chart = a_chart([float(number % 17) for number in range(1440)])
    assert runs(chart) == [1440]
    times = [text.text for text in tree(chart).findall("text") if text.attrib["class"] == "x"]
    assert len(times) <= 8
    assert "16:00" in times
    assert not tree(chart).findall("rect")


def test_all_points_are_inside_of_the_picture() -> None:
    chart = a_chart([0, -5, 1e12])
    (line,) = tree(chart).findall("polyline")
    for point in line.attrib["points"].split():
        x, y = map(float, point.split(","))
        assert (0 <= x <= 720, 0 <= y <= 190) == (True, True)


def test_marks_are_drawn_where_they_belong_with_their_words() -> None:
    marks = [
        ChartMark(NOON + timedelta(minutes=1), "release", "release <B> began"),
        ChartMark(NOON - timedelta(hours=1), "act", "before"),
        ChartMark(NOON + timedelta(hours=1), "alarm over", "after"),
    ]
    chart = a_chart([1, 2, 3], marks=marks)
    (mark,) = tree(chart).findall("g")
    assert (mark.attrib["class"], mark.findtext("title")) == ("mark m-release", "12:01 release <B> began")
    assert "12:01: release <B> began." in described(chart)


def test_a_mark_in_the_minute_that_is_not_drawn_yet_stays_inside_of_the_picture() -> None:
    chart = a_chart([1, 2], marks=[ChartMark(NOON + timedelta(seconds=110), "act", "now")])
    (mark,) = tree(chart).findall("g")
    assert mark.find("line").attrib["x1"] == "708.0"  # type: ignore[union-attr]


def test_whoever_sees_no_picture_gets_title_sentence_and_table() -> None:
    chart = a_chart([1, 9, 2], [0.5, None, 0.25])
    found = tree(chart)
    assert found.attrib["aria-labelledby"].split() == ["c-title", "c-desc"]
    assert found.findtext("title") == "What is <drawn>, per minute"
    told = "From 12:00 to 12:02 UTC. line 0: last 2, at most 9 at 12:01. line 1: last 0.25, at most 0.5 at 12:00."
    assert found.findtext("desc") == told
    assert [values for _, values in chart.rows] == [["2", "0.25"], ["9", "–"], ["1", "0.5"]]
    assert chart.latest == [("line 0", "2"), ("line 1", "0.25")]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0"), (12.0, "12"), (0.0421, "0.0421"), (1234.5, "1,234"), (99.96, "100"), (0.00004, "0.00004")],
)
def test_figures_have_three_digits_that_count(value: float | None, text: str) -> None:
    assert shown(value) == text
