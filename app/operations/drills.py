"""Drills: one fault made on purpose, how long the service takes to get over it, and the proof that it did.

Each runs the same way: nothing may be wrong before; the fault; until everything is quiet; an order that goes through;
everything compared. A line of the audit has the end. While a drill runs its alarm is open, by which the processes hear
of it (app/models/drills.py) and everybody sees it.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from app.config.config import Settings
from app.models.drills import DRILL, HOLDER, DrillName, asked, taken_by
from app.models.kafka_tables import dead_letters, outbox
from app.models.operator_errors import NotPossible, OperationFailed
from app.models.service_tables import alarms as table
from app.operations import alarms
from app.operations.audit import AuditedChange, Operator
from app.operations.check import check
from app.operations.drill_canary import Canary, send_canary, send_twice, send_unreadable
from app.operations.offsets import show
from app.operations.transaction import transaction
from app.utils.alarms import OVER
from app.utils.deadline import Deadline
from app.utils.limits import ALARM_LEASE_SECONDS

TAKE_SECONDS = 8.0  # a process hears of an alarm within a second or two
QUIET_SECONDS = 90.0
STEADY_SECONDS = 2.0  # quiet for so long is quiet
PAUSE_SECONDS = 0.2

WHAT: Mapping[DrillName, str] = {
    DrillName.LEADER: "the leader of the lane of events steps down",
    DrillName.DEAD_LETTER_LEADER: "the leader of the lane of dead letters steps down, and an unreadable record comes",
    DrillName.CONSUMER: "a consumer leaves its group and joins it again",
    DrillName.SESSIONS: "the service's sessions in PostgreSQL are ended",
    DrillName.INSTANCE: "a worker of one instance is stopped by SIGTERM",
    DrillName.RECORDS: "an unreadable record comes, and a command that comes twice",
}


@dataclass(frozen=True, slots=True)
class DrillReport:
    """How a drill went. `taken_by`: the process that took it; `acted`: what was done; `quiet_seconds`: until no alarm
    was open and nothing waited; `canary`: the order that went through afterwards; `wrong`: what `check` says, None if
    nothing is wrong; `line`: of the audit."""

    name: DrillName
    line: int
    taken_by: str
    acted: str
    quiet_seconds: float
    canary: Canary
    wrong: str | None


def drill(operator: Operator, name: DrillName, *, reason: str) -> DrillReport:
    """Carry out a drill. Raises NotPossible unless DRILLS=1 here and in the service, and everything is well before.

    It also says so if the service does not become quiet or the canary does not go through. Blocks for some seconds, at
    the longest for QUIET_SECONDS, four replies and two checks.
    """
    settings = operator.settings
    if not settings.drills:
        raise NotPossible("Drills are off: set DRILLS=1 for the service and for this command.")
    _require_well(settings)
    line = _begin(operator, name, reason)
    outcome = f"{reason}; begun, its end is not known"
    try:
        process = _await_taken(settings)
        began = time.monotonic()
        acted = _ACTS[name](operator, line)
        quiet = _await_quiet(settings, began)
        canary = send_canary(operator, line)
    except OperationFailed as failure:
        outcome = f"{reason}; failed: {failure}"
        raise
    else:
        outcome = f"{reason}; taken by {process}; {acted}; quiet after {quiet:.1f} s; canary {canary.order_id}"
    finally:
        with suppress(OperationFailed):
            _end(settings)
        operator.complete(line, outcome)
    wrong = _what_is_wrong(settings)
    operator.complete(line, f"{outcome}; {'check: ' + wrong if wrong else 'check is clean'}")
    return DrillReport(name, line, process, acted, quiet, canary, wrong)


def _require_well(settings: Settings) -> None:
    wrong = _what_is_wrong(settings)
    open_alarms = [alarm.name for alarm in alarms.find(settings)]
    if open_alarms:
        wrong = f"the alarm {open_alarms[0]} is open"
    if wrong:
        raise NotPossible(f"A drill begins where nothing is wrong, and {wrong}.")


def _what_is_wrong(settings: Settings) -> str | None:
    report = check(settings)
    return None if report.ok else f"`check` finds: {report.findings[0]}"


def _begin(operator: Operator, name: DrillName, reason: str) -> int:
    """Write the audit line and the alarm that asks for the drill. Raises NotPossible if another drill runs."""
    with operator.change("drill") as change:
        line = change.record(f"drill {name.value}", f"{reason}; begun, its end is not known")
        _ask(change, name, line)
    return line


def _ask(change: AuditedChange, name: DrillName, line: int) -> None:
    now = func.clock_timestamp()
    row = {"name": DRILL, "holder": HOLDER, "evidence": asked(name, line), "since": now, "last_at": now, "count": 1}
    row |= {"sentence": f"{change.who} asked for a drill: {WHAT[name]}", "ended_at": None, "ending": None}
    lease = func.make_interval(0, 0, 0, 0, 0, 0, ALARM_LEASE_SECONDS)
    is_over = table.c.ended_at.is_not(None) | (table.c.last_at < func.now() - lease)
    written = insert(table).values(row)
    written = written.on_conflict_do_update(index_elements=["name", "holder"], set_=row, where=is_over)
    if not change.connection.execute(written).rowcount:
        raise NotPossible("Another drill runs: wait for its end.")


def _await_taken(settings: Settings) -> str:
    deadline = Deadline(TAKE_SECONDS)
    while not deadline.passed:
        with transaction(settings) as connection:
            evidence = connection.scalar(select(table.c.evidence).where(*_OURS))
        process = taken_by(evidence or "")
        if process is not None:
            return process
        time.sleep(PAUSE_SECONDS)
    raise NotPossible("No process of the service takes drills: set DRILLS=1 for the service too, and restart it.")


def _await_quiet(settings: Settings, began: float) -> float:
    """Return after how many seconds no alarm was open any more and nothing waited, for STEADY_SECONDS."""
    deadline, since, loud = Deadline(QUIET_SECONDS), None, "nothing is known"
    while not deadline.passed:
        now = time.monotonic()
        try:
            found = _loud(settings)
        except OperationFailed as failure:
            found = str(failure)
        if found is not None:
            since, loud = None, found
        elif since is None:
            since = now
        elif now - since >= STEADY_SECONDS:
            return since - began
        time.sleep(PAUSE_SECONDS)
    raise NotPossible(f"The service is not quiet {QUIET_SECONDS:g} s after the drill: {loud}.")


def _loud(settings: Settings) -> str | None:
    """Return what is not quiet yet, None if everything is. The alarm of the drill is renewed."""
    with transaction(settings) as connection:
        connection.execute(update(table).where(*_OURS).values(last_at=func.now()))
        waits = connection.scalar(select(outbox.c.id).limit(1))
        unsent = dead_letters.c.sent_at.is_(None), dead_letters.c.refusal.is_(None)
        letters = connection.scalar(select(dead_letters.c.id).where(*unsent).limit(1))
        rung = [alarm.name for alarm in alarms.read(connection, ended=False) if alarm.name != DRILL]
    if rung:
        return f"the alarm {rung[0]} is open"
    if waits is not None or letters is not None:
        return "the outbox is not empty"
    lag = sum(partition.lag or 0 for partition in show(settings))
    return f"{lag} commands wait" if lag else None


def _end(settings: Settings) -> None:
    with transaction(settings) as connection:
        connection.execute(update(table).where(*_OURS).values(ended_at=func.now(), ending=OVER))


def _end_sessions(operator: Operator, _: int) -> str:
    """End the sessions that the service has in this database as this user; no other ones."""
    with transaction(operator.settings) as connection:
        ended = len(connection.execute(_SESSIONS).all())
    if not ended:
        raise NotPossible("This command's database user has no session of the service: give it the service's user.")
    return f"{ended} sessions were ended"


def _send_records(operator: Operator, line: int) -> str:
    return f"{send_unreadable(operator, line)}; {send_twice(operator, line)}"


def _done_by_process(_: Operator, __: int) -> str:
    return "done"


_OURS = table.c.name == DRILL, table.c.holder == HOLDER, table.c.ended_at.is_(None)
_SESSIONS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'order-service' "
    "AND usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()"
)
_ACTS: Mapping[DrillName, Callable[[Operator, int], str]] = {
    DrillName.LEADER: _done_by_process,
    DrillName.DEAD_LETTER_LEADER: send_unreadable,
    DrillName.CONSUMER: _done_by_process,
    DrillName.SESSIONS: _end_sessions,
    DrillName.INSTANCE: _done_by_process,
    DrillName.RECORDS: _send_records,
}
