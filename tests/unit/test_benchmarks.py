"""What the benchmarks' tables say follows from their figures, and a wrong event does not pass."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.benchmarks.check import FIELDS, Announced, event_differs
from tests.benchmarks.measure import Sample, interleaved, median, percentile
from tests.benchmarks.peers.orders import change_event
from tests.benchmarks.table import Target, rates, ratio_table, times
from tools.sections import write_section

NOW = datetime(2026, 11, 22, 12, 0, 0, 500, UTC).replace(tzinfo=None)  # as the table holds it
LATER = NOW.replace(microsecond=501)


def row(**changed: Any) -> dict[str, Any]:
    values = dict.fromkeys(FIELDS.values())
    values |= {"order_id": "o-1", "cust_id": "c-1", "food_fee": Decimal("19.75"), "delivery_fee": Decimal("2.99")}
    values |= {"order_status": "PENDING", "version": 1, "created_at": NOW, "updated_at": NOW}
    return values | changed


@pytest.mark.parametrize(
    ("value", "verdict"), [(8.0, "aim reached"), (4.0, "reached"), (3.0, "missed by 25 %"), (0.4, "missed by 90 %")]
)
def test_a_ratio_is_judged_by_how_much_it_reaches(value: float, verdict: str) -> None:
    assert Target("ratio", 4, 8).verdict(value) == verdict


@pytest.mark.parametrize(
    ("value", "verdict"), [(2.0, "aim reached"), (5.0, "reached"), (6.0, "missed by 20 %"), (15.0, "missed by 200 %")]
)
def test_a_limit_is_judged_by_how_much_it_is_exceeded(value: float, verdict: str) -> None:
    assert Target("limit", 5, 2, "ms").verdict(value) == verdict


def test_the_ratio_of_times_is_inverted() -> None:
    slow, fast = Sample(p50=100.0, rate=10.0), Sample(p50=1.0, rate=1000.0)
    assert times("list_first", fast, slow).value == rates("get", fast, slow).value == 100.0


def test_a_figure_that_is_missing_is_no_ratio() -> None:
    with pytest.raises(ValueError, match="no such figure"):
        rates("get", Sample(rate=1.0), Sample())


def test_the_table_has_both_sides_and_the_verdict() -> None:
    line = ratio_table([rates("get", Sample(rate=3000.0), Sample(rate=1500.0))], 20_000)[-1]
    assert line == "| getOrderDetails ÷ ORM | 3,000 /s | 1,500 /s | 2.00 | 2 | 3 | reached |"


def test_a_title_says_how_many_orders_there_were() -> None:
    line = ratio_table([times("list_deep", Sample(p50=1.0), Sample(p50=50.0))], 20_000)[-1]
    assert line.startswith("| list page 1,000 with exact total at 20,000 orders ÷ OFFSET + count, time |")


@pytest.mark.parametrize(("share", "value"), [(50, 50), (99, 99), (99.5, 100), (0, 1)])
def test_a_percentile_is_a_value_that_was_seen(share: float, value: float) -> None:
    assert percentile([float(it) for it in range(100, 0, -1)], share) == value


def test_medians_are_of_each_figure_by_itself() -> None:
    samples = [Sample(rate=1.0, p50=9.0), Sample(rate=3.0, p50=7.0), Sample(rate=2.0)]
    assert median(samples) == Sample(rate=2.0, p50=8.0)


def test_sides_take_turns_after_a_short_round_that_does_not_count() -> None:
    seen = []

    def side(name: str, seconds: float) -> dict[str, Sample]:
        seen.append((name, seconds))
        return {name: Sample(rate=seconds)}

    found = interleaved([lambda it: side("a", it), lambda it: side("b", it)], 2, 3.0)
    assert seen == [("a", 1.0), ("b", 1.0), ("a", 3.0), ("b", 3.0), ("a", 3.0), ("b", 3.0)]
    assert found == {"a": Sample(rate=3.0), "b": Sample(rate=3.0)}


def created() -> Announced:
    event = change_event(SimpleNamespace(**row()), "ORDER_CREATED", "created", "id")
    return Announced(str(event.event_id), event.key, event.payload)


def test_an_event_that_tells_the_row_passes() -> None:
    assert event_differs(created(), row(), "ORDER_CREATED") == {}


@pytest.mark.parametrize(
    ("column", "value"), [("food_fee", Decimal("19.76")), ("version", 2), ("runner_id", "r-1"), ("updated_at", LATER)]
)
def test_an_event_that_tells_another_row_is_found(column: str, value: object) -> None:
    assert event_differs(created(), row(**{column: value}), "ORDER_CREATED")


def test_an_event_of_another_order_or_kind_or_id_is_found() -> None:
    other = replace(created(), order_id="o-2", event_id="another")
    assert set(event_differs(other, row(), "ORDER_ACCEPTED")) == {"key", "type", "event_id"}


def test_a_section_is_replaced_between_its_marks_only(tmp_path: Path) -> None:
    document = tmp_path / "it.md"
    document.write_text("before\n<!-- a begins -->\nold\n<!-- a ends -->\nafter\n")
    write_section(document, "a", ["new", "lines"])
    assert document.read_text() == "before\n<!-- a begins -->\nnew\nlines\n<!-- a ends -->\nafter\n"
    with pytest.raises(ValueError, match="no place for b"):
        write_section(document, "b", ["new"])
