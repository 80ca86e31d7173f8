"""A line: what waits, first come first served, and how many have been served so far."""

from collections import deque
from typing import TypeVar

T = TypeVar("T")


class Line(deque[T]):
    """A deque that counts what was served. What is removed otherwise, because it waited too long, does not count."""

    served = 0

    def serve(self) -> T:
        """Remove and return what has waited for the longest."""
        self.served += 1
        return self.popleft()
