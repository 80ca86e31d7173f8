"""Deadlines of waiting calls."""

import time


class Deadline:
    """A point in monotonic time that several calls share as their budget."""

    __slots__ = ("at",)

    def __init__(self, seconds: float) -> None:
        """Start a budget of `seconds` from now."""
        self.at = time.monotonic() + seconds

    def sooner(self, seconds: float, at_most: float | None = None) -> "Deadline":
        """Return the deadline of a part that leaves `seconds` to the rest, and takes `at_most` so many itself."""
        left = self.remaining - seconds
        return Deadline(left if at_most is None else min(left, at_most))

    @property
    def remaining(self) -> float:
        """Seconds left; zero or less when it has passed."""
        return self.at - time.monotonic()

    @property
    def passed(self) -> bool:
        """Whether nothing is left."""
        return self.remaining <= 0
