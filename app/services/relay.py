"""The outbox relay: rows leave in the order of their ids, through one leader, each exactly once in the log.

A leader sends a batch, waits for every acknowledgement, and only then forgets exactly those rows. A crash between the
two would leave twins, so whoever takes the lead (and after every failed send that is the same again) first lets
stray sends land and reads the topic from the last confirmed position: what is there already is not sent again. That
includes records whose rows are not there yet: after the database went back to an older state, commands are done again
and make the same event ids.
Decisions are here; input and output are behind Lead and EventLog. It does not use Kafka transactions: their markers
break the old clients in the field.
"""

import logging
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from app.services.alarms import Alarms
from app.services.metrics import LEADER, READ_BACK_REMOVED, READ_BACKS, RELAY_FAILURES, RELAYED
from app.services.supervisor import Beat
from app.utils.deadline import Deadline

log = logging.getLogger(__name__)

STOP_PATIENCE_SECONDS = 3.0
STUCK_SECONDS = 20.0  # a relay whose record is refused leads for a few seconds only: longer, and nothing is stuck
MOST_KNOWN = 200_000  # event ids of the log that are remembered without a row: about 25 MiB


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to send. `value` None is a tombstone (a dead letter may be one)."""

    id: int
    event_id: uuid.UUID
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Position:
    """Up to where a partition holds nothing that is still to be sent."""

    topic_id: uuid.UUID
    next_offset: int


Positions = Mapping[int, Position]


class SendFailed(Exception):
    """A record was given up; whether it is in the log is not known."""


class RecordRefused(SendFailed):
    """The broker will never take this record; a person must decide."""


class LeadLost(Exception):
    """Another relay may be leading by now; nothing may be sent any more."""


class Lead(Protocol):
    """The rows of one lane, held by the leader. Every method raises LeadLost when the lead is gone."""

    def next_batch(self) -> Sequence[Outgoing]:
        """Return the oldest rows."""

    def confirm(self, ids: Collection[int], positions: Positions) -> None:
        """Forget the rows that are in the log, and move the positions."""

    def forget(self, event_ids: Collection[uuid.UUID]) -> int:
        """Forget the rows with these event ids; return how many there were."""

    def positions(self) -> Positions:
        """Return the stored positions."""

    def move(self, positions: Positions) -> None:
        """Store the positions."""

    def hold(self) -> None:
        """Prove to the server that the leader lives."""

    def check(self) -> None:
        """Raise LeadLost when the last proof of life is too old to be sure."""


class EventLog(Protocol):
    """The topic of one lane."""

    def ends(self) -> Positions:
        """Return the position after the last record of each partition."""

    def event_ids(self, start: Positions, end: Positions) -> Iterable[Collection[uuid.UUID]]:
        """Yield the event ids between two positions, in portions."""

    def send(self, records: Sequence[Outgoing], check: Callable[[], None], hold: Callable[[], None]) -> Positions:
        """Send, wait for every acknowledgement and return the positions after them; `check` before whatever leaves.

        `hold` is called every second of the wait. Raises SendFailed and RecordRefused.
        """


class Relay:
    """Relays one lane. `run` is the work of one thread; `wake` may be called from any."""

    def __init__(
        self,
        lane: str,
        lead: Callable[[threading.Event, Beat], AbstractContextManager[Lead | None]],
        open_log: Callable[[], AbstractContextManager[EventLog]],
        alarms: Alarms,
        poll_seconds: float,
        settle_seconds: float,
    ) -> None:
        self.lane = lane
        self._lead = lead
        self._open_log = open_log
        self._alarms = alarms
        self._poll_seconds = poll_seconds
        self._settle_seconds = settle_seconds
        self._wake = threading.Event()
        self.leading = False

    def wake(self) -> None:
        """Say that there is something to send; returns at once."""
        self._wake.set()

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Stand by until the lead is free, lead until `stop`. Any trouble raises: the next run reads back first.

        Who stands by for long takes its own alarm back: the leader got past the record, or rings for it.
        """
        others = Deadline(STUCK_SECONDS)

        def stand_by() -> None:
            beat()
            if others.passed:
                self._alarms.clear(f"relay_{self.lane}")

        with self._lead(stop, stand_by) as lead:
            if lead is None:
                return
            self._show_leading(True)
            try:
                self._run_leading(lead, stop, beat)
            finally:
                self._show_leading(False)

    def _run_leading(self, lead: Lead, stop: threading.Event, beat: Beat) -> None:
        with self._open_log() as events:
            known: set[uuid.UUID] = set()
            read_back(self.lane, lead, events, lambda: stop.wait(self._settle_seconds), known)
            patience = _Patience(stop)

            def keep_on() -> None:
                beat()
                patience.check()

            while not stop.is_set():
                beat()
                self._wake.clear()
                if not self._step(lead, events, keep_on, known):
                    self._wake.wait(self._poll_seconds)

    def _step(self, lead: Lead, events: EventLog, keep_on: Callable[[], None], known: Collection[uuid.UUID]) -> int:
        try:
            sent = relay_batch(lead, events, keep_on, known)
        except RecordRefused as error:
            self._alarms.ring(f"relay_{self.lane}", str(error))
            RELAY_FAILURES.labels(self.lane).inc()
            raise
        except SendFailed:
            RELAY_FAILURES.labels(self.lane).inc()
            raise
        if sent:
            RELAYED.labels(self.lane).inc(sent)
            self._alarms.clear(f"relay_{self.lane}")
        return sent

    def _show_leading(self, leading: bool) -> None:
        self.leading = leading
        LEADER.labels(self.lane).set(leading)
        log.info("relay %s %s", self.lane, "leads" if leading else "no longer leads")


class _Patience:
    """Once we are to stop, how long acknowledgements are still waited for; the next leader reads the rest back."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._until: Deadline | None = None

    def check(self) -> None:
        """Raise SendFailed when the patience is at its end."""
        if not self._stop.is_set():
            return
        self._until = self._until or Deadline(STOP_PATIENCE_SECONDS)
        if self._until.passed:
            raise SendFailed("stopped while waiting for acknowledgements")


def relay_batch(
    lead: Lead, events: EventLog, keep_on: Callable[[], None] = lambda: None, known: Collection[uuid.UUID] = ()
) -> int:
    """Send the oldest rows but the `known`, and forget them once all are acknowledged; return how many were forgotten.

    `keep_on` is called every second of the wait and may raise to end it. Raises SendFailed and LeadLost.
    """

    def hold() -> None:
        lead.hold()
        keep_on()

    batch = lead.next_batch()
    unsent = [record for record in batch if record.event_id not in known]
    if batch:
        positions = events.send(unsent, lead.check, hold) if unsent else {}
        lead.confirm([record.id for record in batch], positions)
    return len(batch)


def read_back(
    lane: str, lead: Lead, events: EventLog, settle: Callable[[], object], known: set[uuid.UUID] | None = None
) -> int:
    """Forget the rows that are in the log already; return how many there were.

    Adds to `known` the event ids in that part of the log, MOST_KNOWN at most. Positions of a topic that nobody has
    relayed to yet are its ends: nothing of ours can be in it. They are stored before the first send. Blocks for the
    settling time and the reading.
    """
    if lead.next_batch():
        settle()
    ends = events.ends()
    stored = lead.positions()
    start = where_to_read(stored, ends) if stored else ends
    removed = 0
    if any(start[partition].next_offset < end.next_offset for partition, end in ends.items()):
        READ_BACKS.labels(lane).inc()
        for event_ids in events.event_ids(start, ends):
            removed += lead.forget(event_ids)
            lead.hold()
            _remember(known, event_ids)
        READ_BACK_REMOVED.labels(lane).inc(removed)
        log.info("relay %s read back: %s records were in the log already", lane, removed)
    lead.move(ends)
    return removed


def _remember(known: set[uuid.UUID] | None, event_ids: Collection[uuid.UUID]) -> None:
    if known is None:
        return
    if len(known) + len(event_ids) > MOST_KNOWN:
        log.warning("over %s records were written since the stored position; later twins are not seen", MOST_KNOWN)
        return
    known.update(event_ids)


def where_to_read(stored: Positions, ends: Positions) -> Positions:
    """Return where reading begins: at the stored positions, at the beginning of what was made anew since."""
    start = {}
    for partition, end in ends.items():
        known = stored.get(partition)
        same = known is not None and known.topic_id == end.topic_id
        start[partition] = known if known is not None and same else Position(end.topic_id, 0)
    return start
