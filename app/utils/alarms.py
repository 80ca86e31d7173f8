"""Alarms: what a person should look at. They belong to the service: every process shows what any process rings.

Ringing never waits: it changes the memory of this process. A thread (services/alarms.py) carries the memory to the
table and brings back what other processes ring. While the database is away, a process shows its own alarms and what it
last knew of the others; the table learns of its own later.
"""

import functools
import itertools
import logging
import os
import re
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from app.utils.limits import ALARM_LEASE_SECONDS, ALARM_RENEW_SECONDS

log = logging.getLogger(__name__)

MOST_KINDS = 100
OTHER = "other"
OVERFLOW = "alarms_overflow"
LONGEST_NAME = 255
LONGEST_TEXT = 2000
MOST_KEPT = 500  # alarms in the memory of one process
NOBODY = ""  # the holder of what happened once
ENDS_BY_ITSELF = "by itself, when its cause is over"
OVER, EXPIRED, ACKNOWLEDGED = "over", "not renewed", "acknowledged"  # how an alarm ended


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
class AlarmUpdate:
    """What the table does not know of an alarm yet. `age`: seconds since it was raised; `count`: how often it rang
    since the table was told."""

    name: str
    holder: str
    sentence: str
    evidence: str
    age: int
    count: int


@dataclass(slots=True)
class _Raised:
    """An alarm of this process. Times are monotonic; `unsaved`: how often it rang since the table was told."""

    sentence: str
    evidence: str
    since: float
    last: float
    count: int = 0
    unsaved: int = 0
    saved_at: float = 0.0
    saved_as: tuple[str, str] | None = None

    @property
    def is_due(self) -> bool:
        """Whether the table should hear of the alarm."""
        is_new = self.saved_as != (self.sentence, self.evidence)
        return is_new or (self.unsaved > 0 and time.monotonic() - self.saved_at > ALARM_RENEW_SECONDS)

    def update(self, name: str, holder: str) -> AlarmUpdate:
        age = int(time.monotonic() - self.since)
        return AlarmUpdate(name, holder, self.sentence, self.evidence, age, self.unsaved)


Unsaved = tuple[frozenset[str], Sequence[tuple[_Raised, AlarmUpdate]]]
"""What the table does not know yet: the names of conditions that are over, and alarms with their updates."""


class Alarms:
    """The alarms of the service as this process knows them. All methods but `wait` return at once, from any thread."""

    def __init__(self) -> None:
        self.holder = f"{socket.gethostname()[:200]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._conditions: dict[str, _Raised] = {}
        self._happenings: dict[str, _Raised] = {}  # those that the table does not have yet
        self._told: dict[str, str] = {}  # sentences of happenings that were logged
        self._ended: set[str] = set()  # conditions that the table does not know to be over
        self._others: list[Alarm] = []  # what the table has of others, and of happenings
        self._seen_at: float | None = None
        self._kinds: set[str] = set()

    def ring(self, name: str, sentence: str, evidence: str = "") -> None:
        """Raise the alarm of a condition that lasts, or renew it.

        Call again every few seconds while the condition lasts: the alarm ends ALARM_LEASE_SECONDS after the last call.
        """
        self._raise(self._conditions, name, sentence, evidence)

    def happened(self, name: str, sentence: str, evidence: str = "") -> None:
        """Raise the alarm of something that happened once; it stays until a person acknowledges it.

        The same name with the same sentence is the same happening.
        """
        self._raise(self._happenings, name, sentence, evidence)

    def clear(self, name: str) -> None:
        """End a condition that this process raised; those of other processes go on."""
        name = clean(name, LONGEST_NAME)
        if name not in self._conditions:
            return
        with self._lock:
            if self._conditions.pop(name, None) is not None:
                self._note_over(name, "is over")
        self._changed.set()

    def all(self) -> dict[str, str]:
        """Return the open alarms of the service with their sentences."""
        return {alarm.name: alarm.sentence for alarm in self.open()}

    def open(self) -> list[Alarm]:
        """Return the open alarms of the service, one per name."""
        with self._lock:
            self._end_expired()
            return self._open()

    def by_kind(self) -> Mapping[str, int]:
        """Return how many are open of each kind, 0 of a kind that was shown before; beyond MOST_KINDS as OTHER."""
        counts = Counter(kind_of(alarm.name) for alarm in self.open())
        with self._lock:
            self._kinds |= set(sorted(counts.keys() - self._kinds)[: MOST_KINDS - len(self._kinds)])
            shown = Counter(dict.fromkeys(self._kinds, 0))
        for kind, count in counts.items():
            shown[kind if kind in shown else OTHER] += count
        return shown

    @property
    def age(self) -> float | None:
        """How many seconds ago the table was last read, None before the first time."""
        return None if self._seen_at is None else time.monotonic() - self._seen_at

    def wait(self, seconds: float) -> None:
        """Wait until something is new here, `seconds` at the longest."""
        self._changed.wait(seconds)
        self._changed.clear()

    def wake(self) -> None:
        """End a wait."""
        self._changed.set()

    def unsaved(self) -> Unsaved:
        """Return what the table should hear of: what is new at once, repetitions every ALARM_RENEW_SECONDS."""
        with self._lock:
            self._end_expired()
            ended = frozenset(self._ended)
            due = [
                (raised, raised.update(name, holder))
                for holder, kept in ((self.holder, self._conditions), (NOBODY, self._happenings))
                for name, raised in kept.items()
                if raised.is_due
            ]
        return ended, due

    def saved(self, unsaved: Unsaved) -> None:
        """Note that the table has what `unsaved` returned; a happening that it has is kept there alone."""
        ended, due = unsaved
        with self._lock:
            self._ended -= ended - self._conditions.keys()
            for raised, update in due:
                raised.unsaved -= update.count
                raised.saved_at, raised.saved_as = time.monotonic(), (update.sentence, update.evidence)
                if update.holder == NOBODY and not raised.unsaved:
                    self._happenings.pop(update.name, None)

    def learn(self, open_alarms: Sequence[Alarm]) -> None:
        """Take what the table has just shown; this process knows its own conditions better."""
        found = [alarm for alarm in open_alarms if alarm.holder != self.holder]
        with self._lock:
            self._others, self._seen_at = found, time.monotonic()

    def release(self) -> None:
        """End every condition of this process, because the process ends."""
        for name in list(self._conditions):
            self.clear(name)

    def _raise(self, raised: dict[str, _Raised], name: str, sentence: str, evidence: str) -> None:
        name, sentence, evidence = clean(name, LONGEST_NAME), clean(sentence), clean(evidence)
        with self._lock:
            if raised is self._happenings and name not in raised and self._told.get(name) == sentence:
                return  # the table has it
            if name not in raised and len(raised) >= MOST_KEPT:
                log.error("alarm %s: %s", name, sentence)
                name, sentence = OVERFLOW, f"Over {MOST_KEPT} alarms at once: the log has the others"
            now = time.monotonic()
            known = raised.get(name)
            if known is None:
                known = raised[name] = _Raised("", "", now, now)
            if known.sentence != sentence:
                log.error("alarm %s: %s", name, sentence)
                self._changed.set()
            known.sentence, known.evidence, known.last = sentence, evidence, now
            known.count, known.unsaved = known.count + 1, known.unsaved + 1
            if raised is self._happenings:
                self._told[name] = sentence
                while len(self._told) > MOST_KEPT:
                    del self._told[next(iter(self._told))]
            else:
                self._ended.discard(name)

    def _note_over(self, name: str, words: str) -> None:
        log.info("alarm %s %s", name, words)
        self._ended.add(name)

    def _end_expired(self) -> None:
        """End the conditions that were not renewed for ALARM_LEASE_SECONDS."""
        now = time.monotonic()
        for name in [name for name, raised in self._conditions.items() if now - raised.last > ALARM_LEASE_SECONDS]:
            del self._conditions[name]
            self._note_over(name, f"is over: it was not renewed for {ALARM_LEASE_SECONDS} s")

    def _open(self) -> list[Alarm]:
        ours = [_alarm(name, self.holder, raised, raised.count) for name, raised in self._conditions.items()]
        ours += [_alarm(name, NOBODY, raised, raised.unsaved) for name, raised in self._happenings.items()]
        stale = self.age is not None and self.age > ALARM_LEASE_SECONDS
        others = [alarm for alarm in self._others if not (stale and alarm.lasts)]
        return list(merged([*others, *ours]).values())


def _alarm(name: str, holder: str, raised: _Raised, count: int) -> Alarm:
    zero = datetime.now(UTC) - timedelta(seconds=time.monotonic())  # of the monotonic clock
    since, last = (zero + timedelta(seconds=at) for at in (raised.since, raised.last))
    return Alarm(name, holder, raised.sentence, raised.evidence, since, last, count)


def merged(alarms: Iterable[Alarm]) -> dict[str, Alarm]:
    """Return one alarm per name, if several processes hold it: the latest sentence, the first begin, all counts."""
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
