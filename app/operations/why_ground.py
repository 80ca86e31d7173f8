"""The ground of all checks: the database, the locks on tables and rows, an Idempotency-Key, the broker."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import Row

from app.kafka.standing import standing
from app.models.operator_errors import DatabaseUnusable, KafkaUnusable
from app.operations.alarms import ListedAlarm
from app.operations.guarded import NotAsked
from app.operations.why_case import Case, Check
from app.operations.why_facts import Facts
from app.utils.spans import span
from app.utils.text import counted

HELD_SECONDS = 1.0  # our own locks are held for milliseconds
QUIET_SECONDS = 5.0  # while a fault lasts, requests ring more often
ASK_SECONDS = 1.5  # a broker, for one answer
OF_DATABASE = ("database_read_only", "database_fails")
OF_TOPICS = ("another_cluster", "topics_missing", "topics_unknown", "kafka_rights", "partitions_without_leader")


def database(case: Case) -> Check:
    """Does PostgreSQL answer, and does it take writes?"""
    name, heals = "database", "flask orders database"
    try:
        case.facts = case.first_read()
    except (DatabaseUnusable, NotAsked) as reason:
        return Check(name, False, f"PostgreSQL is not usable: {str(reason).rstrip('.')}.", heals=heals)
    facts = case.facts
    if facts.takes_writes is not None:
        return Check(name, False, f"PostgreSQL takes no changes: {facts.takes_writes}.", heals=heals)
    rung = [alarm for alarm in ringing(facts, *OF_DATABASE) if not _is_past(alarm, facts)]
    if rung:
        return Check(name, False, f"{rung[0].sentence.rstrip('.')}.", evidence_of(rung, facts), _shown(rung[0]))
    evidence = [f"Not looked at: {each}" for each in facts.unknown]
    evidence += evidence_of(ringing(facts, "held_snapshot"), facts)  # it makes looks slow, and nothing wait
    return Check(name, True, "PostgreSQL answers and takes changes.", evidence)


def _is_past(alarm: ListedAlarm, facts: Facts) -> bool:
    """Tell whether commands were handled since it rang last: without requests, it stays open for a minute."""
    is_quiet = facts.ago(alarm.last_at) > QUIET_SECONDS
    return is_quiet and any(moved_at > alarm.last_at for moved_at in facts.moved_at.values())


def tables(case: Case) -> Check:
    """Does somebody keep our tables from being written?"""
    held = [row for row in case.known.table_locks if row.held is None or row.held >= HELD_SECONDS]
    if not held:
        return Check("tables", True, "Nobody keeps our tables from being written.")
    first = held[0]
    sentence = (
        f"Table {first.name} is locked ({first.mode}) by {first.holder}; {counted(first.behind, 'session')} behind it."
    )
    return Check("tables", False, sentence, list(map(_held, held)), first.mend)


def key(case: Case) -> Check | None:
    """Was the id an Idempotency-Key, and what was answered under it? None if it was none."""
    facts = case.known
    for row in facts.key_holders:
        evidence = [_held(row), *_refused(facts)]
        where = f"A request to {row.path} with this key is at work: {row.holder}"
        if row.blocked_by is None:
            return Check("key", False, f"{where}; repeats get 409 until it is answered.", evidence, row.mend)
        sentence = f"{where}, waits for a lock that {row.blocked_by} holds; repeats get 409 meanwhile."
        return Check("key", False, sentence, evidence, row.unblock)
    refused = _refused(facts)
    if not facts.answers:
        if facts.last_refused(case.id) is None:
            return None
        said = "Requests came with it and were refused; no answer is stored: the next one is worked on anew."
        return Check("key", True, said, refused)
    newest = max(facts.answers, key=lambda row: row.created_at)
    evidence = [f"{row.path}: {row.status} at {row.created_at:%Y-%m-%d %H:%M:%S} UTC" for row in facts.answers]
    evidence += refused
    told = f"{newest.path} was answered {newest.status} under this key, {span(facts.ago(newest.created_at))} ago"
    return Check("key", True, f"{told}; a repeat with the same bytes gets that answer again.", evidence)


def row(case: Case) -> Check | None:
    """Does somebody hold the order's row? None if no order is known."""
    facts = case.known
    if not facts.orders:
        return None
    evidence = [] if facts.last_refused(case.id) else _refused(facts)
    if facts.refused:
        number, ago = counted(len(facts.refused), "accept"), span(facts.ago(facts.refused[0].refused_at))
        evidence += [f"{number} of it refused in the last hour, the last {ago} ago: another runner was faster"]
    held = [row for row in facts.row_locks if row.held is None or row.held >= HELD_SECONDS]
    if not held:
        return Check("row", True, "Nobody holds the order's row.", evidence)
    first = held[0]
    since = "" if first.held is None else f" for {span(first.held)}"
    behind = f"{counted(first.behind, 'session')} behind it"
    sentence = f"The row of order {first.name} has been locked{since} by {first.holder}; {behind}."
    return Check("row", False, sentence, [*map(_held, held), *evidence], first.mend)


def broker(case: Case) -> Check:
    """Does a broker answer, and is the topic of the commands there?"""
    servers, topic = ", ".join(case.settings.bootstrap_servers), case.settings.commands_topic
    start = f"Start or mend the broker, or the way to it (KAFKA_BOOTSTRAP_SERVERS={servers})"
    try:
        found = case.within(partial(standing, case.settings, ASK_SECONDS))
    except (KafkaUnusable, NotAsked) as reason:
        rung = evidence_of(ringing(case.known, "broker_away"), case.known)
        return Check("broker", False, f"Kafka is not usable: {str(reason).rstrip('.')}.", rung, start)
    case.standing = found
    if found.topic is None or found.topic.error:
        why = "is missing" if found.topic is None or found.topic.missing else f"is not told ({found.topic.error})"
        return Check("broker", False, f"Kafka answers, but the topic {topic} {why}.", heals="flask orders alarms")
    wrong = ringing(case.known, *OF_TOPICS)
    if wrong:
        said = f"{wrong[0].sentence.rstrip('.')}."
        return Check("broker", False, said, evidence_of(wrong, case.known), _shown(wrong[0]))
    return Check("broker", True, f"Kafka at {servers} answers.")


def _refused(facts: Facts) -> list[str]:
    """Return a line for what was answered under the key, or about the order, how often and when last."""
    return [one.told(facts.now) for one in facts.http_refusals]


def ringing(facts: Facts, *names: str) -> list[ListedAlarm]:
    """Return the open alarms of these names in the order of the names; one that ends with `_` stands for its kind."""
    return [
        alarm
        for name in names
        for alarm in facts.alarms
        if alarm.name == name or (name.endswith("_") and alarm.name.startswith(name))
    ]


def evidence_of(alarms: Sequence[ListedAlarm], facts: Facts) -> list[str]:
    """Return a line per alarm."""
    return [f"Alarm {each.name}, for {span(facts.ago(each.since))}: {each.sentence}" for each in alarms]


def _shown(alarm: ListedAlarm) -> str:
    return f"flask orders alarms show {alarm.name}"


def _held(row: Row[Any]) -> str:
    age = "an unknown time" if row.held is None else span(row.held)
    begun = "" if row.query_start is None else f", last query at {row.query_start} UTC"
    return f"{row.holder}: transaction open for {age}{begun}"
