"""What a statement gets in an array arrives as it was, whatever is in it."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as any_

from app.database.pool import Pool
from app.database.statement import Statement
from app.models.order import OrderStatus
from app.utils.deadline import Deadline

TEXTS = ["", " ", " a ", "NULL", "null", "{}", "{a,b}", ",", '"', '""', "'", "\\", '\\"', "\\\\x41", "\\n", "\n\r\t"]
TEXTS += ["\x01", "$1", "%s", "ä€𝄞", "\u2028", OrderStatus.ON_THE_WAY]
NOON = datetime(2026, 11, 23, 12, 0, 0, 1, UTC)
LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


def there_and_back(pool: Pool, kind: str, values: list[Any]) -> list[Any]:
    unnest = "SELECT it FROM unnest($values) WITH ORDINALITY AS n (it, place)"
    statement = Statement(f"back_{kind}", {"values": f"{kind}[]"}, unnest)
    return [value for (value,) in pool.run(statement, [values], Deadline(5))]


@pytest.mark.parametrize(("kind", "values"), [
    ("text", TEXTS),
    ("text", [None, "NULL", None]),
    ("text", []),
    ("integer", [0, -1, 2**31 - 1, None]),
    ("bigint", [-(2**63), 2**63 - 1]),
    ("numeric", [Decimal("0.00"), Decimal("-1E+3"), Decimal("999.99"), Decimal("1E-30"), None]),
    ("uuid", [UUID(int=0), UUID(int=2**128 - 1), None]),
    ("timestamp", [NOON, LONG_AGO, None]),
    ("timestamptz", [NOON, LONG_AGO, None]),
])  # fmt: skip
def test_an_array_arrives_as_it_was(pool: Pool, kind: str, values: list[Any]) -> None:
    assert there_and_back(pool, kind, values) == values


def test_a_time_with_its_zone_is_stored_and_read_as_utc_has_it(pool: Pool) -> None:
    assert there_and_back(pool, "timestamp", [NOON, NOON.replace(tzinfo=None)]) == [NOON, NOON]


def test_bytes_arrive_as_they_were(pool: Pool) -> None:
    values = [b"", bytes(range(256)), b'\\x"{}', None]
    arrived = there_and_back(pool, "bytea", values)
    assert [None if value is None else bytes(value) for value in arrived] == values


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(any_.lists(any_.none() | any_.text(any_.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_any_texts_arrive_as_they_were(pool: Pool, values: list[str | None]) -> None:
    assert there_and_back(pool, "text", values) == values
