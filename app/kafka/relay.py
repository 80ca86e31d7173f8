"""The outbox relay: rows leave in the order of their ids, through one leader, each once.

Decision 1 names the two faults that can still force a second copy.

A leader sends a batch, waits for the acknowledgements, and only then drops exactly those rows. A crash between the two
would send the rows again. So a new leader, and the same leader after a failed send, first reads each partition back
(read_back.py) and does not send what is there already. That includes events whose rows come later: after the database
went back to an older state, commands are done again and make the same event ids.

Order is promised per key, and a key has one partition. While a partition cannot be written to, its rows are set aside
and the rows of other partitions leave.

This file and read_back.py decide; input and output are behind the ports LaneLease and EventLog. The relay does not use
Kafka transactions: their markers break the old clients in the field.
"""

import logging
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from app.kafka.read_back import ReadBack
from app.kafka.relay_ports import EventLog, LaneLease, RecordRefused, SendFailed
from app.models.outgoing import Outgoing, Sent
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline
from app.utils.limits import RELAY_STOP_SECONDS
from app.utils.metrics import ANNOUNCE_TIME, LEADER, READ_BACK_REMOVED, RELAY_FAILURES, RELAYED
from app.utils.supervisor import Beat

log = logging.getLogger(__name__)

STUCK_SECONDS = 20.0  # a leader stuck at a refused record gives the lease up sooner; one that leads longer is past it
STEP_DOWN_SECONDS = 1.0  # relays that stand by try for the lease twice in that time
CYCLE_SECONDS = 0.022
RECHECK_SECONDS = 0.2  # between two attempts to open partitions that are not open


@dataclass
class Relay:
    """Relays one lane. `run` is the work of one thread; `wake` may be called from any.

    `batch_limit`: the most rows of a batch; 0 switches the pause after a smaller batch off. `generation`: which secrets
    new clients use. `broker_answers`: whether any broker does, as far as this process knows.
    """

    lane: str
    acquire_lease: Callable[[threading.Event, Beat], AbstractContextManager[LaneLease | None]]
    open_log: Callable[[], AbstractContextManager[EventLog]]
    alarms: Alarms
    poll_seconds: float
    settle_seconds: float
    batch_limit: int
    now: Callable[[], float] = time.monotonic
    generation: Callable[[], int] = lambda: 0
    broker_answers: Callable[[], bool] = lambda: True

    def __post_init__(self) -> None:
        self.leading = False
        self._wake = threading.Event()
        self._steps_down = False

    def wake(self) -> None:
        """Say that there is something to send; returns at once."""
        if not self._wake.is_set():
            self._wake.set()

    def step_down(self) -> None:
        """Give the lease up, and leave it to others for STEP_DOWN_SECONDS; returns at once."""
        self._steps_down = True
        self.wake()

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Stand by until the lease is free, lead until `stop`. Any trouble raises: the next run reads back first.

        A refused record that the lane leaves out ends neither the lease nor the run. A relay that has stood by for
        STUCK_SECONDS clears its own alarm: the leader got past the record, or rings for it.
        """
        standing_by = Deadline(STUCK_SECONDS)
        LEADER.labels(self.lane).set(0)  # who never led is seen to stand by, too

        def stand_by() -> None:
            beat()
            if standing_by.passed:
                self.alarms.clear(f"relay_{self.lane}")

        with self.acquire_lease(stop, stand_by) as lease:
            if lease is None:
                return
            self._steps_down = False
            self._show_leading(True)
            try:
                while not (stop.is_set() or self._steps_down):
                    self._run_leading(lease, stop, beat)
            finally:
                self._show_leading(False)
        if self._steps_down:
            stop.wait(STEP_DOWN_SECONDS)

    def _run_leading(self, lease: LaneLease, stop: threading.Event, beat: Beat) -> None:
        """Relay until `stop` or `step_down`, until a refused record was left out, or there are new secrets for Kafka.

        That ends the producer, and what became of its other records is not known: the next call reads back first.
        """
        generation = self.generation()
        with self.open_log() as events:
            alarms, settle, answers = self.alarms, self.settle_seconds, self.broker_answers
            partitions = ReadBack(self.lane, lease, events, alarms, settle, self.now, answers)
            leader = Leader(self.lane, lease, events, partitions, _until_too_late(stop, beat))
            while not (stop.is_set() or self._steps_down) and self.generation() == generation:
                beat()
                self._wake.clear()
                began = self.now()
                advanced = partitions.advance()
                done = self._step(leader)
                if done is None:
                    return
                if not done and not advanced:
                    seconds = self.poll_seconds if partitions.all_open else min(self.poll_seconds, RECHECK_SECONDS)
                    self._wake.wait(seconds)
                else:
                    self._pace(done, began, stop)

    def _pace(self, done: int, began: float, stop: threading.Event) -> None:
        """Pause after a small batch until CYCLE_SECONDS have passed since it began: the next one is larger, and costs
        the same. A single row is no load; after a full batch others wait already.

        What it bought: without it the relay took 0.3 of the 0.63 ms of CPU of a create (decision 17's prototype).
        Fails without it: test_a_batch_that_could_have_been_larger_is_followed_by_a_pause.
        """
        if 1 < done < self.batch_limit:
            stop.wait(max(0.0, began + CYCLE_SECONDS - self.now()))

    def _step(self, leader: "Leader") -> int | None:
        """Return how many rows the leader dealt with, None if it left a refused one out."""
        try:
            done = leader.step()
        except RecordRefused as error:
            RELAY_FAILURES.labels(self.lane).inc()
            if leader.lease.leave_out(error.event_id, str(error)):
                self.alarms.happened(f"{self.lane}_refused", str(error))
                return None
            self.alarms.ring(f"relay_{self.lane}", str(error))
            raise
        except SendFailed:
            RELAY_FAILURES.labels(self.lane).inc()
            raise
        if done:
            self.alarms.clear(f"relay_{self.lane}")
        return done

    def _show_leading(self, leading: bool) -> None:
        self.leading = leading
        LEADER.labels(self.lane).set(leading)
        log.info("relay %s %s", self.lane, "leads" if leading else "no longer leads")


def _until_too_late(stop: threading.Event, beat: Beat) -> Callable[[], None]:
    """Return a beat that raises SendFailed RELAY_STOP_SECONDS after the first one that found the relay asked to stop.

    The next leader reads back what is not acknowledged by then.
    """
    late: Deadline | None = None

    def keep_on() -> None:
        nonlocal late
        beat()
        if stop.is_set():
            late = late or Deadline(RELAY_STOP_SECONDS)
            if late.passed:
                raise SendFailed("stopped while waiting for acknowledgements")

    return keep_on


@dataclass
class Leader:
    """Sends rows with one producer, until the producer or the lease is lost.

    `keep_on` is called every second of a wait and may raise to end it.
    """

    lane: str
    lease: LaneLease
    events: EventLog
    partitions: ReadBack
    keep_on: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self._late: dict[uuid.UUID, int] = {}  # by event id, the row ids of late records after they were set aside
        self._found_since_log = 0  # rows that were in the log already, since the last log line about such rows

    def step(self) -> int:
        """Send the oldest rows that are not in the log already, and drop those that are acknowledged or were there.

        Sets rows of partitions that are not open aside. Returns how many rows were dropped or set aside. Raises
        SendFailed, RecordRefused and LeaseLost.
        """
        done = self._confirm(self.events.late()) if self._late else 0
        partition, aside = self.partitions.drain()
        fresh = self.lease.next_batch() if self.partitions.may_send else []
        known = self._known([*aside, *fresh])
        send = [(partition, row) for row in aside if row.event_id not in known]
        wait = defaultdict(list)
        for row in fresh:
            if row.event_id not in known:
                place = self.events.partition(row, self.partitions.count)
                if self.partitions.is_open(place):
                    send.append((place, row))
                else:
                    wait[place].append(row.id)
        for place, ids in wait.items():
            self.lease.set_aside(place, ids)
        sent = self.events.send(send, self.lease.require_valid, self._renew) if send else Sent()
        done += self._confirm(sent, [row for row in (*aside, *fresh) if row.event_id in known])
        return done + sum(map(len, wait.values()))

    def _renew(self) -> None:
        self.lease.renew()
        self.keep_on()

    def _known(self, rows: Sequence[Outgoing]) -> Collection[uuid.UUID]:
        """Return the event ids of those rows that a read-back has found in the log."""
        if not rows:
            self.lease.renew()
            self._log_found()
            return ()
        return self.lease.known([row.event_id for row in rows])

    def _confirm(self, sent: Sent, found: Sequence[Outgoing] = ()) -> int:
        """Drop the acknowledged rows and those that a read-back has found; set the late ones aside."""
        gone = [*sent.acknowledged, *found]
        if gone:
            self.lease.confirm_sent([self._late.pop(row.event_id, row.id) for row in gone], sent.positions)
            self.partitions.note_acknowledged(sent.begins, sent.positions)
        self._count(sent.acknowledged)
        self._found_since_log += len(found)
        if not found:
            self._log_found()
        for partition, rows in sent.late.items():
            new = [row for row in rows if row.event_id not in self._late]
            ids = self.lease.set_aside(partition, [row.id for row in new]) if new else {}
            self._late |= {row.event_id: ids.get(row.id, row.id) for row in new}
            self.partitions.note_late(partition, bool(rows))
        return len(gone)

    def _count(self, acknowledged: Sequence[Outgoing]) -> None:
        now = time.monotonic()
        RELAYED.labels(self.lane).inc(len(acknowledged))
        ANNOUNCE_TIME.labels(self.lane).observe_all([now - row.inserted_at for row in acknowledged])

    def _log_found(self) -> None:
        if self._found_since_log:
            READ_BACK_REMOVED.labels(self.lane).inc(self._found_since_log)
            log.info("relay %s read back: %s records were in the log already", self.lane, self._found_since_log)
            self._found_since_log = 0
