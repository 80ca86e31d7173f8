"""When commands cannot be handled: how many may be given up, and what a person is told.

By default the fault is the service's: commands wait, and nothing is moved. Only a command that is proved to be at fault
itself is given up, because it is then answered with a failure for good.
"""

from dataclasses import dataclass

from app.models.errors import DatabaseTrouble, ServiceTrouble
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline

GIVE_UPS_IN_A_ROW = 3  # more are not the messages' fault
DEAD_LETTERS_IN_A_ROW = 100  # so many say that a producer is broken, not a message
RING_SECONDS = 3.0  # a restart of the database or a lock is over by then


def wait_sentence(partition: int, reason: str) -> str:
    """Return what an alarm says of commands that wait. `reason`: why, or what another such alarm says of them."""
    wait = f"Commands of partition {partition} wait: "
    return wait + reason.removeprefix(wait)


class Breaker:
    """Counts the commands given up in a row. It outlives a consumer: a new one would begin to count anew."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def check(self) -> None:
        """Raise ServiceTrouble where so many were given up already that the next command cannot be at fault."""
        if self._in_a_row >= GIVE_UPS_IN_A_ROW:
            raise ServiceTrouble(f"{self._in_a_row} commands in a row were given up; no other is until one is handled")

    def given_up(self) -> None:
        """Count one."""
        self._in_a_row += 1

    def handled(self) -> None:
        """Note that a command was handled as it should be."""
        self._in_a_row = 0


class DeadLetterAlarm:
    """Rings while all that comes is dead letters."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._in_a_row = 0

    def count(self, letters: int, records: int) -> None:
        """Count the dead letters of a batch; a good command among them ends the row."""
        self._in_a_row = self._in_a_row + letters if letters == records else 0
        if letters < records:
            self._alarms.clear("dead_letters")
        self.renew()

    def renew(self) -> None:
        """Ring again while no good command has come."""
        if self._in_a_row >= DEAD_LETTERS_IN_A_ROW:
            ends = "`flask orders dead-letters groups` shows them; the next readable command ends this alarm"
            self._alarms.ring("dead_letters", f"Over {DEAD_LETTERS_IN_A_ROW} unreadable commands in a row: {ends}")

    def end(self) -> None:
        """Take the alarm back: no good command can come here and end the row."""
        self._in_a_row = 0
        self._alarms.clear("dead_letters")


@dataclass(frozen=True, slots=True)
class _Wait:
    ring_at: Deadline
    looking_up: bool


class WaitingCommands:
    """The partitions whose commands wait, each with an alarm that says why once that has lasted."""

    def __init__(self, alarms: Alarms, ring_seconds: float = RING_SECONDS) -> None:
        self._alarms = alarms
        self._ring_seconds = ring_seconds
        self._waits: dict[int, _Wait] = {}

    def waits(self, partition: int, trouble: DatabaseTrouble, *, looking_up: bool = False) -> None:
        """Note that the partition's commands wait; `looking_up`: its offset could not even be looked up."""
        wait = self._waits.setdefault(partition, _Wait(Deadline(self._ring_seconds), looking_up))
        if wait.ring_at.passed:
            self._alarms.ring(f"commands_wait_{partition}", wait_sentence(partition, trouble.reason))

    def looked_up(self, partition: int) -> None:
        """Note that the offset was found: where only that was missing, nothing waits any more."""
        if partition in self._waits and self._waits[partition].looking_up:
            self.end(partition)

    def end(self, partition: int) -> None:
        """Note that commands were handled, or that another instance has the partition now."""
        if self._waits.pop(partition, None) is not None:
            self._alarms.clear(f"commands_wait_{partition}")
