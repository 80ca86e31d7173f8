"""A page of a list: the orders without their large texts, which are loaded by id later.

So a page has a bounded size whatever the orders hold (a description may have 128 KiB, a page a thousand of them), and
all but these texts are of one snapshot. The texts are as if they were: a description never changes, and a reason to
cancel is set once, with the last status that its order has.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.models.order import OrderState

LISTED_BYTES = 1024
"""The longest large text that comes with its page."""
ROW_BYTES = 8 * 1024
"""The most that an order of a page has: two such texts, and six with 255 characters of 4 bytes."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An order of a page. `left_out`: the size in bytes of each text that the order lacks, by its name."""

    order: OrderState
    left_out: Mapping[str, int]

    @property
    def bytes_left_out(self) -> int:
        """How many bytes are to be loaded."""
        return sum(self.left_out.values())

    def with_texts(self, texts: Mapping[str, Any]) -> OrderState:
        """Return the order with the texts that it lacks."""
        return replace(self.order, **{name: texts[name] for name in self.left_out})


@dataclass(frozen=True, slots=True)
class Page:
    """One page: how many orders match in all, and the orders that are on it as rows, which `to_listed` reads."""

    total: int
    rows: Sequence[tuple[Any, ...]]
    to_listed: Callable[[tuple[Any, ...]], Listed]

    def orders(self, first: int, count: int) -> list[Listed]:
        """Return a portion of the orders. One takes ten microseconds: a whole page in one go would hold up the loop."""
        return [self.to_listed(row) for row in self.rows[first : first + count]]
