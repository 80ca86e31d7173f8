"""The thread that does jobs: what a person started, and the nightly check.

A job belongs to one process at a time, by a lease that the thread renews while a thread of the job's own does one item
after the other: an item may take minutes. Each item is marked in the transaction of its effect, so another process that
takes the job over, after a crash or a freeze, goes on behind what is done. What cannot be done is marked with its
reason, and the job goes on. What a trouble keeps from being done (no broker, no database, a missing right) is tried
again until the job's deadline.
"""

import logging
import threading
from collections.abc import Mapping, Sequence

from app.database.jobs import JobTable
from app.models.errors import DatabaseAway, DatabaseError
from app.models.jobs import DONE, FAILED, STOPPED, ItemDone, JobItem, Kind, TakenJob
from app.models.operator_errors import NotFound, NotPossible, OperationFailed
from app.services.nightly import Nightly
from app.utils.alarms import Alarms
from app.utils.logging import Repeats
from app.utils.supervisor import Beat

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
LEASE_SECONDS = 10.0
RENEW_SECONDS = 1.0
REST_SECONDS = 10.0  # after a trouble
LEAVE_SECONDS = 5.0  # for the item at hand, when this process ends
MOST_ATTEMPTS = 5  # a job that ends its process each time is not tried for ever
LOST = ("lost", "")
ALARM = "jobs_wait"

Ending = tuple[str, str]
"""The state and the reason with which a job ends before all is done."""


class Jobs:
    """The work of one thread. `kinds`: what each kind of job does."""

    def __init__(self, table: JobTable, kinds: Mapping[str, Kind], nightly: Nightly, alarms: Alarms) -> None:
        self._table = table
        self._kinds = kinds
        self._nightly = nightly
        self._alarms = alarms
        self._repeats = Repeats()

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Do jobs until `stop`, or until the database is away. An alarm rings while the table cannot be worked with."""
        while not stop.wait(LOOK_SECONDS):
            beat()
            try:
                self._nightly.start_if_due(self._table)
                while not stop.is_set() and (job := self._take()) is not None:
                    self._carry_out(job, stop, beat)
            except DatabaseAway:
                self._alarms.clear(ALARM)  # another trouble, with signs of its own
                return
            except DatabaseError as error:
                self._repeats.say(log, logging.WARNING, f"jobs wait: {error.reason}")
                self._alarms.ring(ALARM, f"Jobs wait, the nightly check too: {error.reason}")

    def _take(self) -> TakenJob | None:
        job = self._table.take(self._kinds, LEASE_SECONDS)
        self._alarms.clear(ALARM)
        return job

    def _carry_out(self, job: TakenJob, stop: threading.Event, beat: Beat) -> None:
        """Do the job as far as it goes. If the database fails at its end, the job is taken again, and only ended."""
        log.info("job %s, %s by %s: begins", job.id, job.kind, job.who)
        if (over := _over(job)) is not None:
            self._end(job, *over)
            return
        work = JobThread(self._kinds[job.kind], self._table.items(job), self._table)
        work.start()
        while not work.ended.wait(RENEW_SECONDS):
            beat()
            over = over or self._look(job)
            if over is not None or stop.is_set():
                work.halt()
            if stop.is_set():
                work.ended.wait(LEAVE_SECONDS)
                break
        if over == LOST:
            log.warning("job %s: another process has it", job.id)
        elif work.ended.is_set():  # else its lease runs out, and another process goes on
            self._leave(job, work, over)

    def _look(self, job: TakenJob) -> Ending | None:
        """Renew the lease; return the state and the reason with which the job ends now, None if it goes on."""
        try:
            renewed = self._table.renew(job, LEASE_SECONDS)
        except DatabaseError as error:
            log.info("job %s: its lease is not renewed: %s", job.id, error.reason)
            return None
        return LOST if renewed is None else _ending(*renewed)

    def _leave(self, job: TakenJob, work: "JobThread", over: Ending | None) -> None:
        if work.finished:
            self._end(job, DONE, "")
        elif over is not None:
            self._end(job, *over)
        elif work.bug is not None:
            self._end(job, FAILED, f"The code fails: {work.bug}")
        elif work.trouble is not None:
            self._table.rest(job, REST_SECONDS, work.trouble)
            log.warning("job %s rests: %s", job.id, work.trouble)
        else:
            self._table.rest(job, 0, None)

    def _end(self, job: TakenJob, state: str, why: str) -> None:
        total, done, failed, first_failure, first = self._table.count(job)
        outcome = f"{done} of {total} done" + (f", {failed} failed" if failed else "")
        if total == 1 and done:
            outcome = str(first)
        elif first_failure is not None:
            outcome += f"; the first: {first_failure}"
        if state == DONE and failed == total:
            state = FAILED
        outcome = f"{why}; {outcome}" if why else outcome
        self._table.end(job, state, outcome)
        log.info("job %s is %s: %s", job.id, state, outcome)


def _over(job: TakenJob) -> Ending | None:
    """Return the state and the reason with which a job ends before it goes on."""
    if job.attempts >= MOST_ATTEMPTS:
        return FAILED, f"{job.attempts} processes ended while they did it"
    return _ending(job.stopped_by, job.late)


def _ending(stopped_by: str | None, late: bool) -> Ending | None:
    if stopped_by is not None:
        return STOPPED, f"Stopped by {stopped_by}"
    return (FAILED, "Not done by its deadline") if late else None


class JobThread:
    """Does the items of a job, one after the other, in a thread of its own: they may block for minutes.

    The thread does not keep the process from ending.
    """

    def __init__(self, kind: Kind, items: Sequence[JobItem], table: JobTable) -> None:
        self._kind = kind
        self._items = items
        self._table = table
        self._halt = threading.Event()
        self.ended = threading.Event()
        self.finished = False
        self.trouble: str | None = None
        self.bug: str | None = None

    def start(self) -> None:
        threading.Thread(target=self._run, name="job", daemon=True).start()

    def halt(self) -> None:
        """Ask it to end after the item at hand."""
        self._halt.set()

    def _run(self) -> None:
        try:
            self._do_all()
        except OperationFailed as failure:
            self.trouble = str(failure)
        except DatabaseError as error:
            self.trouble = error.reason
        except Exception as error:  # of any kind: who started the job must hear of it
            log.exception("a job fails")
            self.bug = f"{type(error).__name__}: {error}"[:500]
        finally:
            self.ended.set()

    def _do_all(self) -> None:
        with self._kind() as do:
            for item in self._items:
                if self._halt.is_set():
                    return
                try:
                    do(item)
                except ItemDone:
                    log.info("job %s: another process has done item %s", item.job_id, item.number)
                except (NotFound, NotPossible) as refusal:
                    self._table.fail_item(item, str(refusal))
        self.finished = True
