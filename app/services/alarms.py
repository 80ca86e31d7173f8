"""Alarms: what a person should look at. They belong to the service: whatever process rings, every process shows it.

Who rings never waits: it changes the memory of its process, and a thread carries that to the table and brings back what
the others ring. While the database is away, a process shows what it rings itself and what it last knew of the others,
and the table learns of it later.
"""

import functools
import logging
import os
import re
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg2

from app.database.alarms import LEASE_SECONDS, LONGEST_NAME, LONGEST_TEXT, NOBODY, Alarm, AlarmTable, Change, merged
from app.database.database import DatabaseTrouble
from app.utils.deadline import Deadline
from app.utils.metrics import ALARMS
from app.utils.supervisor import Beat

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # how old what is shown of the others may be, a call to the database not counted
RENEW_SECONDS = 10.0
TIDY_SECONDS = 10.0
MOST_KEPT = 500  # in the memory of one process
MOST_KINDS = 100

OVERFLOW = "alarms_overflow"


@dataclass(slots=True)
class _Raised:
    """An alarm of this process. Times are monotonic; `unsaved`: how often it rang since the table was told."""

    sentence: str
    evidence: str
    since: float
    last: float
    count: int = 0
    unsaved: int = 0
    saved_at: float | None = None
    saved_as: tuple[str, str] | None = None

    @property
    def over(self) -> bool:
        return time.monotonic() - self.last > LEASE_SECONDS

    @property
    def is_due(self) -> bool:
        """Whether the table should hear of it."""
        new = self.saved_at is None or self.saved_as != (self.sentence, self.evidence)
        return new or (self.unsaved > 0 and time.monotonic() - (self.saved_at or 0) > RENEW_SECONDS)


class Alarms:
    """The alarms of the service as this process knows them. All methods return at once, from any thread."""

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

        Ring again at least every few seconds while it lasts: one that was not renewed for LEASE_SECONDS is over.
        """
        self._raise(self._conditions, name, sentence, evidence)

    def happened(self, name: str, sentence: str, evidence: str = "") -> None:
        """Raise the alarm of something that happened once; it stays until a person acknowledges it.

        `name` tells it from any other happening. Told again in the same words it is the same one.
        """
        self._raise(self._happenings, name, sentence, evidence)

    def clear(self, name: str) -> None:
        """Say that a condition is over as far as this process sees; one that it did not raise is left alone."""
        name = _clean(name, LONGEST_NAME)
        if name not in self._conditions:
            return
        with self._lock:
            if self._conditions.pop(name, None) is not None:
                self._over(name, "is over")
                self._show()
        self._changed.set()

    def all(self) -> dict[str, str]:
        """Return the open alarms of the service with their sentences."""
        return {alarm.name: alarm.sentence for alarm in self.open()}

    def open(self) -> list[Alarm]:
        """Return the open alarms of the service, one a name."""
        with self._lock:
            return self._open()

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

    def synchronise(self, table: AlarmTable) -> None:
        """Tell the table what is new, and learn what the others ring. Raises DatabaseTrouble and psycopg2's errors."""
        try:
            self._write(table)
        finally:
            found = [alarm for alarm in table.open() if alarm.holder != self.holder]
            with self._lock:
                self._others, self._seen_at = found, time.monotonic()
                self._show()

    def release(self) -> None:
        """Take every condition of this process back, because it ends."""
        for name in list(self._conditions):
            self.clear(name)

    def _raise(self, raised: dict[str, _Raised], name: str, sentence: str, evidence: str) -> None:
        name, sentence, evidence = _clean(name, LONGEST_NAME), _clean(sentence), _clean(evidence)
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
            new = not known.count
            known.sentence, known.evidence, known.last = sentence, evidence, now
            known.count, known.unsaved = known.count + 1, known.unsaved + 1
            if raised is self._happenings:
                self._remember(name, sentence)
            else:
                self._ended.discard(name)
            if new:
                self._show()

    def _remember(self, name: str, sentence: str) -> None:
        self._told[name] = sentence
        while len(self._told) > MOST_KEPT:
            del self._told[next(iter(self._told))]

    def _over(self, name: str, words: str) -> None:
        log.info("alarm %s %s", name, words)
        self._ended.add(name)

    def _open(self) -> list[Alarm]:
        for name in [name for name, raised in self._conditions.items() if raised.over]:
            del self._conditions[name]
            self._over(name, f"is over: it was not renewed for {LEASE_SECONDS} s")
        ours = [_alarm(name, self.holder, raised, raised.count) for name, raised in self._conditions.items()]
        ours += [_alarm(name, NOBODY, raised, raised.unsaved) for name, raised in self._happenings.items()]
        stale = self.age is not None and self.age > LEASE_SECONDS
        others = [alarm for alarm in self._others if not (stale and alarm.lasts)]
        return list(merged([*others, *ours]).values())

    def _write(self, table: AlarmTable) -> None:
        with self._lock:
            self._open()  # what nobody renewed is over
            ended = set(self._ended)
            due = [
                (raised, Change(name, holder, raised.sentence, raised.evidence, _age(raised), raised.unsaved))
                for holder, kept in ((self.holder, self._conditions), (NOBODY, self._happenings))
                for name, raised in kept.items()
                if raised.is_due
            ]
        if ended:
            table.end(self.holder, ended)
        if due:
            table.keep([change for _, change in due])
        with self._lock:
            self._ended -= ended - self._conditions.keys()
            for raised, change in due:
                raised.unsaved -= change.count
                raised.saved_at, raised.saved_as = time.monotonic(), (change.sentence, change.evidence)
                if change.holder == NOBODY and not raised.unsaved:
                    self._happenings.pop(change.name, None)

    def _show(self) -> None:
        """Set the metric of each kind of alarm."""
        counts: Counter[str] = Counter()
        for name in {*self._conditions, *self._happenings, *(alarm.name for alarm in self._others)}:
            kind = kind_of(name)
            known = kind in self._kinds or len(self._kinds) < MOST_KINDS
            counts[kind if known else "other"] += 1
            self._kinds.add(kind if known else "other")
        for kind in self._kinds:
            ALARMS.labels(kind).set(counts[kind])


class AlarmKeeper:
    """The work of the thread between the memory and the table."""

    def __init__(
        self, alarms: Alarms, table: AlarmTable, now_and_then: Callable[[Alarms], None] = lambda _: None
    ) -> None:
        """`now_and_then`: called every TIDY_SECONDS; may ring, and raise DatabaseTrouble."""
        self._alarms = alarms
        self._table = table
        self._now_and_then = now_and_then
        self._trouble: str | None = None

    def run(self, stop: threading.Event, beat: Beat, ready: Callable[[], bool]) -> None:
        """Keep the two together until `stop`, whenever `ready`; at the end this process holds no condition."""
        next_tidying = Deadline(0)
        while not stop.is_set():
            beat()
            if ready() and self._try(tidy=next_tidying.passed) and next_tidying.passed:
                next_tidying = Deadline(TIDY_SECONDS)
            self._alarms.wait(LOOK_SECONDS)
        self._alarms.release()
        if ready():
            self._try(tidy=False)

    def _try(self, *, tidy: bool) -> bool:
        try:
            self._alarms.synchronise(self._table)
            if tidy:
                self._table.tidy()
                self._now_and_then(self._alarms)
        except (DatabaseTrouble, psycopg2.Error) as error:
            reason = str(error).partition("\n")[0]
            if reason != self._trouble:
                log.warning("alarms stay with this process: %s", reason)
            self._trouble = reason
            return False
        self._trouble = None
        return True


@functools.lru_cache(maxsize=2 * MOST_KEPT)
def kind_of(name: str) -> str:
    """Return what the names of the same kind of alarm have in common: all before the first number."""
    words = name.split("_")
    kind = words[:1]
    for word in words[1:]:
        if re.search("[0-9]", word):
            break
        kind.append(word)
    return "_".join(kind)


def _alarm(name: str, holder: str, raised: _Raised, count: int) -> Alarm:
    def moment(at: float) -> datetime:
        return datetime.now(UTC) - timedelta(seconds=time.monotonic() - at)

    return Alarm(name, holder, raised.sentence, raised.evidence, moment(raised.since), moment(raised.last), count)


def _age(raised: _Raised) -> int:
    return int(time.monotonic() - raised.since)


def _clean(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return the text as the database can hold it."""
    return text.encode(errors="replace").decode().replace("\0", "?")[:longest]
