"""How busy HTTP callers keep this process: background work makes room for them."""

CALL_SECONDS = 0.001  # of the process that one call takes, generously
OVERLOADED_TIMES = 3.0  # what the work took, while callers are turned away, …
OVERLOADED_SECONDS = 5.0  # … and so much at the longest


class Traffic:
    """Counts the answered calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.is_overloaded = False
        """Whether callers were turned away lately."""

    def pause_after(self, seconds: float, calls: int) -> float:
        """Return the seconds to leave to callers after work that took `seconds` and began at `calls`.

        That is what the calls since then may take, and at most what the work took. So the work goes on at half of its
        speed beside any number of callers, and at nearly full speed beside a few. While callers are turned away, it
        goes on at a quarter of its speed.
        """
        usual = min(seconds, (self.calls - calls) * CALL_SECONDS)
        return max(usual, min(seconds * OVERLOADED_TIMES, OVERLOADED_SECONDS)) if self.is_overloaded else usual
