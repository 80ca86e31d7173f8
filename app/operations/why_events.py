"""What we said: is it still in the outbox, and whose move is it once it has left?"""

from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy import Row

from app.database.lanes import ASIDE_RANGE
from app.kafka import log_search
from app.models.operator_errors import DatabaseUnusable, KafkaUnusable
from app.operations.guarded import NotAsked
from app.operations.why_case import Case, Check, LastWord, cannot
from app.operations.why_ground import ASK_SECONDS, evidence_of, ringing
from app.utils.ids import MADE_FROM_A_PLACE
from app.utils.limits import IDLE_MS
from app.utils.spans import span
from app.utils.text import counted

FRESH_SECONDS = 2.0
AGAIN_SECONDS = 0.5


def on_topic(case: Case) -> Check | None:
    """Is it the id of a reply that changed nothing? Such an id is in no table once Kafka has the reply."""
    event_id = case.as_event_id
    if case.known.knows or case.command is not None or event_id is None or event_id.version != MADE_FROM_A_PLACE:
        return None
    topic = case.settings.events_topic
    try:
        look = case.within(partial(log_search.find_event, case.settings, topic, event_id, ASK_SECONDS))
    except (KafkaUnusable, NotAsked) as reason:
        return cannot("topic", f"The newest records of {topic}", reason)
    record = look.record
    if record is None:
        return Check("topic", None, f"It is not the id of any of the {look.read} newest records of {topic}.")
    headers = {name: value.decode(errors="replace") for name, value in record.headers if value is not None}
    said = f"the reply {headers.get('type', '')} for {headers.get('correlation_id', 'nobody')} was sent"
    key = None if record.key is None else record.key.decode(errors="replace")
    case.event_id, case.word = event_id, LastWord(record.at, said, None, None, event_id, key)
    return Check("topic", True, f"It is the id of a record of {topic}.")


def outbox(case: Case) -> Check | None:
    """Is the event or reply still in the outbox, taken out of it, or lost?"""
    facts = case.known
    if facts.waiting and facts.ago(facts.waiting[0].created_at) < FRESH_SECONDS:
        with suppress(DatabaseUnusable, NotAsked):
            case.look_again(AGAIN_SECONDS)  # it may just be leaving
    facts = case.known
    if facts.waiting:
        return _waits(case, facts.waiting[0])
    if facts.taken_out:
        row = facts.taken_out[0]
        ago = span(facts.ago(row.taken_out_at))
        said = f"An operator took event {row.outbox_id} ({row.type}) out of the outbox, {ago} ago."
        heals = f"flask orders outbox put-back {row.outbox_id}"
        return Check("outbox", False, said, [f"Kafka refused it: {row.refusal}"], heals)
    if facts.lost:
        row = facts.lost[0]
        ago = span(facts.ago(row.found_at))
        said = f"Kafka acknowledged the event of version {row.version} and lost it; that was found {ago} ago."
        return Check("outbox", False, said, heals="flask orders outbox announce-again")
    if case.word is None:
        return None
    return Check("outbox", True, "Nothing of it waits in the outbox: Kafka has acknowledged it.")


def caller(case: Case) -> Check | None:
    """Whose move is it, when all checks before are passed?"""
    word, facts = case.word, case.known
    if word is None or case.event_id is not None:
        return None
    ago = span(facts.ago(case.record.at if case.record else word.at))
    if word.repeats and word.repeated_at is not None:
        again = f"came again {counted(word.repeats, 'time')}, the last {span(facts.ago(word.repeated_at))} ago"
        said = f"The command was answered {ago} ago and {again}: a repeat gets no reply [K8]; the caller moves next."
        return Check(
            "caller", False, said, heals="The caller takes the first reply, or sends a command with other bytes"
        )
    if word.code is not None:
        said = f"The command was refused with {word.code}, and that was said {ago} ago: the next move is the caller's."
        return Check(
            "caller",
            False,
            said,
            heals="The caller reads the refusal; flask orders moves ORDER_ID says what is possible",
        )
    return Check("caller", True, f"The next move is the caller's: our last word was {ago} ago.")


def _waits(case: Case, row: Row[Any]) -> Check:
    """Judge an event that waits."""
    facts, aside = case.known, (-row.id - 1) // ASIDE_RANGE if row.id < 0 else None
    of_partition = () if aside is None else (f"events_partition_{aside}",)
    rung = ringing(
        facts, *of_partition, "relay_events", "events_partition_", "events_stalled", "broker_away", "kafka_rights"
    )
    leader = next((each for each in facts.leaders if each.lane == "events"), None)
    evidence = [
        f"Before it: {counted(facts.before, 'event')}",
        "No relay leads the lane"
        if leader is None
        else f"The relay that leads is {leader.holder}, for {span(leader.seconds)}",
        *evidence_of(rung, facts),
    ]
    said = f"{row.type} ({row.correlation_id}) waits in the outbox as {row.id} for {span(facts.ago(row.created_at))}"
    if row.refusal is not None:
        heals = f"Raise max.message.bytes of the topic, or: flask orders outbox take-out {row.id}"
        return Check("outbox", False, f"{said}: Kafka refuses it: {row.refusal.rstrip('.')}.", evidence, heals)
    if aside is not None:
        said += f", set aside because partition {aside} of the topic takes nothing"
    if rung:
        heals = f"Mend what the alarm names (flask orders alarms show {rung[0].name}); the event leaves by itself then"
        return Check("outbox", False, f"{said}: {rung[0].sentence.rstrip('.')}.", evidence, heals)
    if (silent := facts.silent_leader("events")) is not None:
        session = span(IDLE_MS / 1000)
        heals = silent.end_or(
            f"its session with PostgreSQL ends {session} after its last word, and another relay leads"
        )
        return Check("outbox", False, f"{said}: its relay is silent: {silent.falls_silent}.", evidence, heals)
    if leader is None:
        heals = "Start an instance with ROLES=all or worker; a relay that stands by leads within a second"
        return Check("outbox", False, f"{said}: no relay leads.", evidence, heals)
    return Check(
        "outbox",
        False,
        f"{said}, behind {counted(facts.before, 'event')}; a relay leads.",
        evidence,
        "Wait a moment, and ask again",
    )
