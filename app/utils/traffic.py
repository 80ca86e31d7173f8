"""How busy HTTP callers keep this process: background work makes room for them."""

CALL_SECONDS = 0.001  # of the process that one call takes, generously


class Traffic:
    """Counts the answered calls."""

    def __init__(self) -> None:
        self.calls = 0

    def pause_after(self, seconds: float, calls: int) -> float:
        """Return the seconds to leave to callers after work that took `seconds` and began at `calls`.

        That is what the calls since then may take, and at most what the work took. So the work goes on at half of its
        speed beside any number of callers, and at nearly full speed beside a few.
        """
        return min(seconds, (self.calls - calls) * CALL_SECONDS)
