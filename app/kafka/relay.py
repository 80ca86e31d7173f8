"""The outbox relay: rows leave in the order of their ids, through one leader, each exactly once in the log.

A leader sends a batch, waits for the acknowledgements, and only then forgets exactly those rows. A crash between the
two would leave twins, so whoever takes the lead (and after every failed send that is the same again) first reads each
partition back (read_back.py): what is there already is not sent again. That includes records whose rows are not there
yet: after the database went back to an older state, commands are done again and make the same event ids.

Order is promised per key, and a key has one partition: where a partition cannot be written to, its rows are set aside
and the others leave.
Decisions are here and in read_back.py; input and output are behind Lead and EventLog. It does not use Kafka
transactions: their markers break the old clients in the field.
"""

import logging
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager

from app.kafka.ports import EventLog, Lead, Outgoing, RecordRefused, SendFailed, Sent
from app.kafka.read_back import ReadBack
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline
from app.utils.limits import RELAY_STOP_SECONDS
from app.utils.metrics import LEADER, READ_BACK_REMOVED, RELAY_FAILURES, RELAYED
from app.utils.supervisor import Beat

log = logging.getLogger(__name__)

STUCK_SECONDS = 20.0  # a relay whose record is refused leads for a few seconds only: longer, and nothing is stuck
CYCLE_SECONDS = 0.022  # under load: a batch costs the same however small it is
LOOK_SECONDS = 0.2  # between two looks at partitions that are not open


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
        now: Callable[[], float] = time.monotonic,
        *,
        full: int = 0,
    ) -> None:
        """`full`: how many rows a batch has at most; one that has fewer, but several, is followed by a pause."""
        self.lane = lane
        self._lead = lead
        self._open_log = open_log
        self._alarms = alarms
        self._poll_seconds = poll_seconds
        self._settle_seconds = settle_seconds
        self._now = now
        self._full = full
        self._wake = threading.Event()
        self.leading = False

    def wake(self) -> None:
        """Say that there is something to send; returns at once."""
        if not self._wake.is_set():
            self._wake.set()

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Stand by until the lead is free, lead until `stop`. Any trouble raises: the next run reads back first.

        A record that is refused and left out from then on ends neither the lead nor the run.

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
                while not stop.is_set():
                    self._run_leading(lead, stop, beat)
            finally:
                self._show_leading(False)

    def _run_leading(self, lead: Lead, stop: threading.Event, beat: Beat) -> None:
        """Relay until `stop`, or until a record was passed by.

        A refusal is fatal to the producer, and what else it had on its way is not known: the next one reads back first.
        """
        with self._open_log() as events:
            patience = _Patience(stop)

            def keep_on() -> None:
                beat()
                patience.check()

            partitions = ReadBack(self.lane, lead, events, self._alarms, self._settle_seconds, self._now)
            leader = Leader(self.lane, lead, events, partitions, keep_on)
            while not stop.is_set():
                beat()
                self._wake.clear()
                began = self._now()
                went_on = partitions.look()
                done = self._step(leader)
                if done is None:
                    return
                if not done and not went_on:
                    seconds = self._poll_seconds if partitions.all_open else min(self._poll_seconds, LOOK_SECONDS)
                    self._wake.wait(seconds)
                elif 1 < done < self._full:
                    stop.wait(max(0.0, began + CYCLE_SECONDS - self._now()))

    def _step(self, leader: "Leader") -> int | None:
        """Return how many rows it did something with, None where it passed one by."""
        try:
            done = leader.step()
        except RecordRefused as error:
            RELAY_FAILURES.labels(self.lane).inc()
            if leader.pass_by(error):
                self._alarms.happened(f"{self.lane}_refused", str(error))
                return None
            self._alarms.ring(f"relay_{self.lane}", str(error))
            raise
        except SendFailed:
            RELAY_FAILURES.labels(self.lane).inc()
            raise
        if done:
            self._alarms.clear(f"relay_{self.lane}")
        return done

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
        self._until = self._until or Deadline(RELAY_STOP_SECONDS)
        if self._until.passed:
            raise SendFailed("stopped while waiting for acknowledgements")


class Leader:
    """The rows on their way into the log, for as long as one lead lasts."""

    def __init__(
        self, lane: str, lead: Lead, events: EventLog, partitions: ReadBack, keep_on: Callable[[], None] = lambda: None
    ) -> None:
        """`keep_on` is called every second of a wait and may raise to end it."""
        self._lane = lane
        self._lead = lead
        self._events = events
        self._partitions = partitions
        self._keep_on = keep_on
        self._late: dict[uuid.UUID, int] = {}  # the ids of the rows whose acknowledgement is late, as they are now
        self._in_log = 0

    def step(self) -> int:
        """Send the oldest rows but those that are in the log already, and forget them once they are acknowledged.

        Rows of partitions that are not open are set aside. Returns how many rows it did something with. Raises
        SendFailed, RecordRefused and LeadLost.
        """
        done = self._confirm(self._events.late()) if self._late else 0
        partition, aside = self._partitions.drain()
        fresh = self._lead.next_batch() if self._partitions.may_send else []
        in_log = self._known([*aside, *fresh])
        send = [(partition, row) for row in aside if row.event_id not in in_log]
        wait = defaultdict(list)
        for row in fresh:
            if row.event_id not in in_log:
                place = self._events.partition(row, self._partitions.count)
                if self._partitions.is_open(place):
                    send.append((place, row))
                else:
                    wait[place].append(row.id)
        for place, ids in wait.items():
            self._lead.set_aside(place, ids)
        sent = self._events.send(send, self._lead.check, self._hold) if send else Sent()
        done += self._confirm(sent, [row for row in (*aside, *fresh) if row.event_id in in_log])
        return done + sum(map(len, wait.values()))

    def pass_by(self, refused: RecordRefused) -> bool:
        """Have it kept that the record was refused, and why; tell whether it is left out from now on."""
        return refused.event_id is not None and self._lead.pass_by(refused.event_id, str(refused))

    def _hold(self) -> None:
        self._lead.hold()
        self._keep_on()

    def _known(self, rows: Sequence[Outgoing]) -> Collection[uuid.UUID]:
        if not rows:
            self._lead.hold()
            self._tell()
            return ()
        return self._lead.known([row.event_id for row in rows])

    def _confirm(self, sent: Sent, in_log: Sequence[Outgoing] = ()) -> int:
        """Forget what is acknowledged, and what was there already; set aside what is late."""
        gone = [*sent.acknowledged, *in_log]
        if gone:
            self._lead.confirm([self._late.pop(row.event_id, row.id) for row in gone], sent.positions)
            self._partitions.went_on(sent.begins, sent.positions)
        RELAYED.labels(self._lane).inc(len(sent.acknowledged))
        self._in_log += len(in_log)
        if not in_log:
            self._tell()
        for partition, rows in sent.late.items():
            new = [row for row in rows if row.event_id not in self._late]
            ids = self._lead.set_aside(partition, [row.id for row in new]) if new else {}
            self._late |= {row.event_id: ids.get(row.id, row.id) for row in new}
            self._partitions.owes(partition, bool(rows))
        return len(gone)

    def _tell(self) -> None:
        if self._in_log:
            READ_BACK_REMOVED.labels(self._lane).inc(self._in_log)
            log.info("relay %s read back: %s records were in the log already", self._lane, self._in_log)
            self._in_log = 0
