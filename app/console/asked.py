"""A part of a page that cannot be read: a sentence in its place, and the rest of the page is there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.models.errors import DatabaseTrouble
from app.models.operator_errors import OperationFailed

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Asked(Generic[Found]):
    """What an operation returned, or the sentence that says why it did not; the other one is None."""

    found: Found | None
    trouble: str | None = None


def asked(operation: Callable[[], Found]) -> Asked[Found]:
    """Call the operation. What it raises for a person becomes the sentence."""
    try:
        return Asked(operation())
    except OperationFailed as failure:
        return Asked(None, str(failure))
    except DatabaseTrouble as trouble:
        return Asked(None, f"{trouble.reason}.")
