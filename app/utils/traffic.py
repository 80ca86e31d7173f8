"""How busy callers keep this process: work that is not theirs makes room for them."""

CALL_SECONDS = 0.001  # that a call may take of the process, generously


class Traffic:
    """Counts the calls that were answered."""

    def __init__(self) -> None:
        self.calls = 0

    def pause_after(self, seconds: float, calls: int) -> float:
        """Return how long to let callers go first, after work of `seconds` that began at `calls`.

        As long as the calls that came meanwhile may take, and no longer than the work took: so it goes on at half of
        its speed beside any number of callers, and at nearly all of it beside a few.
        """
        return min(seconds, (self.calls - calls) * CALL_SECONDS)
