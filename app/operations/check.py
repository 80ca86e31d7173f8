"""Whether everything that is stored agrees, and the counts of the lists anew if they do not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from app.config.config import Settings
from app.database import consistency
from app.database.consistency import EXAMPLES, Finding
from app.database.database import Database
from app.database.pool import Pool
from app.database.same_database import AnotherDatabase, require_same
from app.kafka.one_look import look_once
from app.models.errors import DatabaseTrouble
from app.models.models import order_counts
from app.models.operator_errors import KafkaUnusable, OperationFailed
from app.operations import alarms
from app.operations.audit import Operator
from app.operations.offsets import Stored, disagreement, our_topic, read_stored
from app.operations.transaction import transaction
from app.services.watch import CHECK


@dataclass(frozen=True, slots=True)
class Report:
    """What is wrong; `notes`: what could not be compared, and what happened; `compared`: rows by table."""

    ok: bool
    findings: Sequence[Finding]
    notes: Sequence[str]
    compared: Mapping[str, int]


def check(settings: Settings, *, late_seconds: int = 60, deadline_seconds: int = 120) -> Report:
    """Compare all that is stored, at one instant, with itself and with the log. Changes nothing.

    `late_seconds`: after which an unsent row is late. Blocks for some seconds per million changes. If the broker is
    away, the report says so in a note.
    """
    with transaction(settings, deadline_seconds, snapshot=True) as connection:
        compared = consistency.count(connection)
        findings = consistency.examine(connection, late_seconds)
        stored = read_stored(connection, settings.commands_topic)
        rung = [alarm for alarm in alarms.read(connection, ended=False) if alarm.name != CHECK]
    findings += [Finding("alarm", 1, alarm.sentence, (f"alarm {alarm.name}",)) for alarm in rung if alarm.holders]
    notes = [f"Not acknowledged yet: {alarm.name}: {alarm.sentence}" for alarm in rung if not alarm.holders]
    try:
        findings += _of_addresses(settings)
    except DatabaseTrouble as trouble:
        notes.append(f"DATABASE_URL was not compared with WORKER_DATABASE_URL: {trouble.reason}")
    of_log, not_asked = _of_log(settings, stored, late_seconds)
    findings, notes = findings + of_log, notes + not_asked
    return Report(not findings, findings, notes, compared)


def recount(operator: Operator, *, deadline_seconds: int = 120) -> int:
    """Count all orders anew; return how many there are. Orders cannot be written meanwhile.

    Blocks for some seconds per million orders. The user needs EXECUTE on recount_orders() (migrations/grants.sql).
    """
    with operator.change("recount", deadline_seconds) as change:
        change.connection.execute(select(func.recount_orders()))
        by_status = select(func.coalesce(func.sum(order_counts.c.orders), 0)).where(order_counts.c.kind == "status")
        counted = int(change.connection.scalar(by_status) or 0)
        change.record("order_counts", f"{counted} orders")
    return counted


def _of_addresses(settings: Settings) -> Sequence[Finding]:
    if not settings.worker_database_url:
        return []
    workers, callers = Database(settings.worker_database_url), Database(settings.database_url)
    try:
        require_same(Pool(workers, 1), Pool(callers, 1))
    except AnotherDatabase as other:
        return [Finding("another_database", 1, str(other), ())]
    finally:
        workers.drop_idle()
        callers.drop_idle()
    return []


def _of_log(settings: Settings, stored: Stored, late_seconds: int) -> tuple[list[Finding], list[str]]:
    """Return findings and notes. The log is read after the tables: meanwhile it only grows."""
    name = settings.commands_topic
    try:
        topic = our_topic(settings)
    except OperationFailed as failure:
        return [], [f"The offsets were not compared with the log: {failure}"]
    wrong = {partition: disagreement(partition, offset, topic) for partition, offset in stored.items()}
    found = [Finding("offset", 1, sentence, (f"{name}/{number}",)) for number, sentence in wrong.items() if sentence]
    try:
        positions = {number: (offset.topic_id, offset.next_offset) for number, offset in stored.items()}
        look = look_once(settings, positions, late_seconds)
    except KafkaUnusable as failure:
        return found, [f"Kafka was not asked for what waits: {failure}"]
    found += [Finding(alarm, 1, sentence, ()) for alarm, sentence in look.alarms.items()]
    if look.late:
        sentence = f"A command has waited to be handled for over {late_seconds} s, by its own time"
        found.append(Finding("late_command", len(look.late), sentence, tuple(look.late[:EXAMPLES])))
    if look.unread:
        places = "{}{}".format(", ".join(look.unread[:EXAMPLES]), " and others" if look.unread[EXAMPLES:] else "")
        return found, [f"Kafka did not hand out in time what waits first, so its age is not known: {places}"]
    return found, []
