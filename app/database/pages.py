"""A page of a list as it comes from PostgreSQL: its statement leaves large texts behind, which are loaded by id later.

So a page has a bounded size whatever the orders hold (a description may have 128 KiB, a page a thousand of them), and
all but these texts are of one snapshot. The texts are as if they were: a description never changes, and a reason to
cancel is set once, with the last status that its order has.

Rows become orders a portion at a time: the two milliseconds that psycopg2 takes for a thousand rows are in one go, what
follows is five times as much.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.database.rows import to_state
from app.database.statement import Statement
from app.database.statements import ORDER
from app.models.order import OrderState

LARGE_TEXTS = ("order_description", "cancel_reason")  # each other text has 255 characters at most
LISTED_BYTES = 1024  # the longest of these texts that comes with its page
ROW_BYTES = 8 * 1024  # the most that a row of a page has: two such texts, and six with 255 characters of 4 bytes


def _listed(column: str) -> str:
    if column not in LARGE_TEXTS:
        return f"page.{column}"
    return f"CASE WHEN octet_length(page.{column}) <= {LISTED_BYTES} THEN page.{column} END"


def _length(column: str) -> str:
    return f"CASE WHEN octet_length(page.{column}) > {LISTED_BYTES} THEN octet_length(page.{column}) END"


LISTED = ", ".join([*map(_listed, ORDER), *map(_length, LARGE_TEXTS)])
"""What is selected of an order that is called `page`."""

LOAD_TEXTS = Statement(
    "load_texts",
    {"order_ids": "text[]"},
    f"SELECT order_id, {', '.join(LARGE_TEXTS)} FROM orders WHERE order_id = ANY ($order_ids)",
)


@dataclass(frozen=True, slots=True)
class Listed:
    """An order of a page. `left_out`: the texts that its order lacks, each with the bytes that it has."""

    order: OrderState
    left_out: Mapping[str, int]

    @property
    def bytes_left_out(self) -> int:
        """How many bytes are to be loaded."""
        return sum(self.left_out.values())

    def with_texts(self, texts: Mapping[str, Any]) -> OrderState:
        """Return the order with what it lacks."""
        return replace(self.order, **{name: texts[name] for name in self.left_out})


@dataclass(frozen=True, slots=True)
class Page:
    """One page: how many orders match in all, and the rows of those that are on it."""

    total: int
    rows: Sequence[tuple[Any, ...]]

    def orders(self, first: int, count: int) -> list[Listed]:
        """Return the orders of a portion of it: ten microseconds each."""
        return [_to_listed(row) for row in self.rows[first : first + count]]


_NOTHING: Mapping[str, int] = {}


def _to_listed(row: tuple[Any, ...]) -> Listed:
    order, lengths = to_state(row[: len(ORDER)]), row[len(ORDER) :]
    if not any(lengths):
        return Listed(order, _NOTHING)
    return Listed(order, {name: length for name, length in zip(LARGE_TEXTS, lengths, strict=True) if length})
