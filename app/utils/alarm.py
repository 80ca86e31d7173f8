"""One alarm as a value: what the memory of a process, the table of alarms and `/readyz` say of it."""

import functools
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

LONGEST_NAME = 255
LONGEST_TEXT = 2000
MOST_KEPT = 500
"""Alarms in the memory of one process."""
NOBODY = ""
"""The holder of what happened once."""

ENDS_BY_ITSELF = "by itself, when its cause is over"
OVER, EXPIRED, ACKNOWLEDGED = "over", "not renewed", "acknowledged"
"""How an alarm ended."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One open alarm, as one holder sees it. `holder` is empty for what happened once."""

    name: str
    holder: str
    sentence: str
    evidence: str
    since: datetime
    last: datetime
    count: int

    @property
    def lasts(self) -> bool:
        """Whether it is a condition, which ends by itself."""
        return self.holder != NOBODY

    def as_dict(self) -> dict[str, object]:
        """Return what is known of it but its name, for JSON."""
        return {
            "sentence": self.sentence,
            "evidence": self.evidence or None,
            "since": self.since,
            "last": self.last,
            "count": self.count,
            "ends": ENDS_BY_ITSELF if self.lasts else f"flask orders alarms acknowledge {self.name}",
        }


@dataclass(frozen=True, slots=True)
class Change:
    """What the table does not know yet. `age`: seconds since the alarm was raised; `count`: how often it rang since the
    table was told."""

    name: str
    holder: str
    sentence: str
    evidence: str
    age: int
    count: int


def merged(alarms: Iterable[Alarm]) -> dict[str, Alarm]:
    """Return one alarm per name, where several processes hold it: the latest sentence, the first begin, all counts."""
    found: dict[str, Alarm] = {}
    for alarm in sorted(alarms, key=lambda alarm: alarm.last):
        before = found.get(alarm.name, replace(alarm, count=0))
        found[alarm.name] = replace(alarm, since=min(before.since, alarm.since), count=before.count + alarm.count)
    return dict(sorted(found.items()))


@functools.lru_cache(maxsize=2 * MOST_KEPT)
def kind_of(name: str) -> str:
    """Return the part of the name before its first number, which all alarms of a kind have in common."""
    first, *others = name.split("_")
    return "_".join([first, *itertools.takewhile(lambda word: not re.search("[0-9]", word), others)])


def clean(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return the text as the database can hold it."""
    return text.encode(errors="replace").decode().replace("\0", "?")[:longest]
