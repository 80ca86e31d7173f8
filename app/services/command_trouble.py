"""When commands cannot be handled: whose fault it is, how many may be given up, and who is told that the others wait.

The default is that it is ours: commands wait, and nothing is moved. Only what is proved to be one command's own fault
lets it be given up, because what is given up is answered with a failure for good.
"""

from dataclasses import dataclass

from app.models.errors import DatabaseTrouble, ServiceTrouble
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline

GIVE_UPS_IN_A_ROW = 3  # more are not the messages' fault
RING_SECONDS = 3.0  # a restart of the database or a lock is over by then


class Breaker:
    """Counts the commands given up in a row. It outlives a consumer: a new one would begin to count anew."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def check(self) -> None:
        """Raise ServiceTrouble where so many were given up already that it cannot be the next command's fault."""
        if self._in_a_row >= GIVE_UPS_IN_A_ROW:
            raise ServiceTrouble(f"{self._in_a_row} commands in a row were given up; no other is until one is handled")

    def given_up(self) -> None:
        """Count one."""
        self._in_a_row += 1

    def handled(self) -> None:
        """Note that a command was handled as it should be."""
        self._in_a_row = 0


@dataclass(frozen=True, slots=True)
class _Wait:
    ring_at: Deadline
    looking_up: bool


class Waiting:
    """The partitions whose commands wait, each with an alarm that says why once that has lasted."""

    def __init__(self, alarms: Alarms, ring_seconds: float = RING_SECONDS) -> None:
        self._alarms = alarms
        self._ring_seconds = ring_seconds
        self._waits: dict[int, _Wait] = {}

    def waits(self, partition: int, trouble: DatabaseTrouble, *, looking_up: bool = False) -> None:
        """Note that the partition's commands wait; `looking_up`: its offset could not even be looked up."""
        wait = self._waits.setdefault(partition, _Wait(Deadline(self._ring_seconds), looking_up))
        if wait.ring_at.passed:
            self._alarms.ring(f"commands_wait_{partition}", f"Commands of partition {partition} wait: {trouble.reason}")

    def looked_up(self, partition: int) -> None:
        """Note that the offset was found: where that was all that was missing, nothing waits any more."""
        if partition in self._waits and self._waits[partition].looking_up:
            self.over(partition)

    def over(self, partition: int) -> None:
        """Note that commands were handled, or that the partition is somebody else's now."""
        if self._waits.pop(partition, None) is not None:
            self._alarms.clear(f"commands_wait_{partition}")
