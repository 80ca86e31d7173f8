"""Drills: faults that a person makes on purpose, to see the service get over them.

An operator asks for a drill by an alarm of the name DRILL, which every process hears of within a second and everybody
sees. The first process that can do it takes it, and writes so into the alarm's evidence.
"""

from enum import StrEnum

DRILL = "drill"
HOLDER = "drill"


class DrillName(StrEnum):
    """What is done, in the words of the command."""

    LEADER = "leader"
    DEAD_LETTER_LEADER = "dead-letter-leader"
    CONSUMER = "consumer"
    SESSIONS = "sessions"
    INSTANCE = "instance"
    RECORDS = "records"


def asked(name: DrillName, line: int) -> str:
    """Return the evidence of a drill that is asked for. `line`: the id of its audit line."""
    return f"asked: {name.value} {line}"


def taken(name: DrillName, line: int, process: str) -> str:
    """Return the evidence of a drill that the process has taken."""
    return f"taken: {name.value} {line} by {process}"


def read_asked(evidence: str) -> tuple[DrillName, int] | None:
    """Return the drill that is asked for, None if it is taken already, or is unknown to this version."""
    first, _, rest = evidence.partition(": ")
    name, _, line = rest.partition(" ")
    if first != "asked" or name not in list(DrillName) or not line.isdecimal():
        return None
    return DrillName(name), int(line)


def taken_by(evidence: str) -> str | None:
    """Return the process that has taken the drill, None while nobody has."""
    return evidence.partition(" by ")[2] if evidence.startswith("taken: ") else None
