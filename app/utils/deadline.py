"""Deadlines of calls that wait."""

import time


class Deadline:
    """A point in monotonic time that several calls share."""

    __slots__ = ("at",)

    def __init__(self, seconds: float) -> None:
        """Set the deadline `seconds` from now."""
        self.at = time.monotonic() + seconds

    def sooner(self, seconds: float, at_most: float | None = None) -> "Deadline":
        """Return the deadline of a part that leaves `seconds` for the rest and itself takes `at_most` seconds."""
        left = self.remaining - seconds
        return Deadline(left if at_most is None else min(left, at_most))

    @property
    def remaining(self) -> float:
        """Seconds left; zero or less once the deadline has passed."""
        return self.at - time.monotonic()

    @property
    def passed(self) -> bool:
        """Whether the deadline has passed."""
        return self.remaining <= 0
