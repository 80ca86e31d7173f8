"""Where our last word lies on the events topic, and which consumer groups have read it."""

from functools import partial
from uuid import UUID

from app.kafka.event_places import FoundRecord, GroupOffsets, LogLook, Wanted, open_look
from app.models.operator_errors import KafkaUnusable
from app.operations.guarded import NotAsked
from app.operations.why_case import Case, Check, LastWord, cannot
from app.operations.why_ground import ASK_SECONDS
from app.utils.ids import reply_id
from app.utils.spans import span
from app.utils.text import listed


def place(case: Case) -> Check | None:
    """Where does our last word lie on the events topic, and since when?"""
    word = case.word
    if word is None:
        return None
    try:
        case.record, case.groups, notes = case.within(partial(_find, case, word))
    except (KafkaUnusable, NotAsked) as reason:
        return cannot("place", "The events topic", reason)
    topic, record = case.settings.events_topic, case.record
    if record is None:
        said = (
            f"Our last word was not found on {topic}: too old for the topic, too far to look for, or never announced."
        )
        return Check("place", None, said, notes, "flask orders outbox find-lost tells whether Kafka has lost events")
    at = f"{topic}/{record.partition}/{record.offset}"
    return Check("place", True, f"{record.type or 'Our last word'} lies at {at}, for {_age(case, record)}.", notes)


def readers(case: Case) -> Check | None:
    """Which consumer groups have passed it, and which stand before it?"""
    record = case.record
    if record is None:
        return None
    if not case.groups:
        return Check("readers", None, "No consumer group has an offset on the events topic, or none may be seen.")
    passed = [each.group for each in case.groups if each.has_passed(record)]
    behind = [each for each in case.groups if not each.has_passed(record)]
    if not behind:
        all_of_them = f"All {len(passed)} groups have" if len(passed) > 1 else "The only group has"
        return Check("readers", True, f"{all_of_them} passed it: {listed(passed)}.")
    names = listed(each.group for each in behind)
    stands = f"Group {names} stands" if len(behind) == 1 else f"Groups {names} stand"
    said = f"{stands} before it, which lies there for {_age(case, record)}: the consumer is away, frozen or slow."
    evidence = [*(_behind(each, record) for each in behind), *(f"{group} has passed it" for group in passed)]
    heals = (
        f"Restart the consumers of {names}; kafka-consumer-groups.sh --describe --group {behind[0].group} shows them"
    )
    return Check("readers", False, said, evidence, heals)


def _find(case: Case, word: LastWord) -> tuple[FoundRecord | None, list[GroupOffsets], list[str]]:
    """Look for the event on the topic, and for the groups that read the topic."""
    with open_look(case.settings, ASK_SECONDS) as look:
        event_id = word.event_id or _reply_id(case, word, look)
        found = None
        if event_id is not None and word.key is not None:
            found = look.events([Wanted(event_id, word.key, word.at)]).get(event_id)
        return found, look.groups() if found else [], look.notes


def _reply_id(case: Case, word: LastWord, look: LogLook) -> UUID | None:
    """Return the event id of the reply to a command that changed nothing: it follows from the command's record."""
    at, standing = word.place, case.standing
    if at is None or standing is None or standing.topic is None:
        return None
    record = look.commands([(at.partition, at.offset)]).get((at.partition, at.offset))
    return None if record is None else reply_id(standing.topic.id, at.partition, at.offset, record.timestamp)


def _age(case: Case, record: FoundRecord) -> str:
    return span(case.known.ago(record.at))


def _behind(group: GroupOffsets, record: FoundRecord) -> str:
    stands = group.next_offsets.get(record.partition)
    if stands is None:
        return f"{group.group} has no offset in partition {record.partition}"
    return f"{group.group} stands at {stands}, {record.offset - stands + 1} records before it is past"
