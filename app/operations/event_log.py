"""What the log has of one order: the records of its commands, of its events and replies, and who has passed them."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from app.config.config import Settings
from app.kafka.event_places import FoundRecord, GroupOffsets, LogLook, Wanted, open_look
from app.models.operator_errors import KafkaUnusable
from app.operations.order_facts import CommandFact, OrderFacts
from app.utils.ids import reply_id
from app.wire.command_types import COMMAND_TYPES

NO_GROUPS = (
    "No group is seen that reads the events: none has committed an offset there, or DESCRIBE on them is missing."
)
Place = tuple[int, int]
"""A partition and an offset of the commands topic."""


@dataclass(frozen=True, slots=True)
class LogFindings:
    """`replies`: the event ids of the replies to commands that changed nothing; `asked`: whether the log was asked."""

    commands: Mapping[Place, FoundRecord]
    replies: Mapping[Place, uuid.UUID]
    events: Mapping[uuid.UUID, FoundRecord]
    groups: Sequence[GroupOffsets]
    notes: Sequence[str]
    asked: bool


NOTHING = LogFindings({}, {}, {}, (), (), asked=False)


def look(settings: Settings, facts: OrderFacts) -> LogFindings:
    """Return what the log has. Blocks for about a second at the longest; raises nothing: `notes` say what failed."""
    try:
        with open_look(settings) as opened:
            commands = opened.commands(_places(facts))
            replies = _replies(facts, commands)
            events = opened.events(list(_wanted(facts, replies)))
            groups, notes = _groups(opened)
            return LogFindings(commands, replies, events, groups, [*opened.notes, *notes], asked=True)
    except KafkaUnusable as error:
        return replace(NOTHING, notes=[f"The log was not asked: {str(error).rstrip('.')}."])


def reply_key(fact: CommandFact) -> str:
    """Return the key of the reply to a command that changed nothing."""
    is_refused_create = COMMAND_TYPES[fact.type].subject == "saga_id" and fact.outcome != "unchanged"
    return fact.correlation_id if is_refused_create or fact.order_id is None else fact.order_id


def _places(facts: OrderFacts) -> Iterator[Place]:
    """Yield the places of the commands, the newest first."""
    for line in reversed(facts.changes):
        if line.partition is not None and line.offset is not None:
            yield line.partition, line.offset
    for fact in reversed(facts.commands):
        if fact.partition is not None and fact.offset is not None:
            yield fact.partition, fact.offset


def _replies(facts: OrderFacts, commands: Mapping[Place, FoundRecord]) -> dict[Place, uuid.UUID]:
    found = {}
    for fact in facts.commands:
        if fact.partition is not None and fact.offset is not None:
            place = fact.partition, fact.offset
            if place in commands and fact.partition in facts.topic_ids:
                found[place] = reply_id(facts.topic_ids[fact.partition], *place, commands[place].timestamp)
    return found


def _wanted(facts: OrderFacts, replies: Mapping[Place, uuid.UUID]) -> Iterator[Wanted]:
    held = {event.event_id for event in facts.held}
    for line in facts.changes:
        if line.change_id not in held:
            yield Wanted(line.change_id, facts.order.order_id, line.at)
    for fact in facts.commands:
        event_id = replies.get((fact.partition or 0, fact.offset or 0)) if fact.offset is not None else None
        if event_id is not None and event_id not in held:
            yield Wanted(event_id, reply_key(fact), fact.created_at)


def _groups(opened: LogLook) -> tuple[Sequence[GroupOffsets], Sequence[str]]:
    """Return the groups, and why they are not told."""
    try:
        groups = opened.groups()
        return groups, () if groups else (NO_GROUPS,)
    except KafkaUnusable as error:
        return (), [f"Nothing is told of the groups that read the events: {str(error).rstrip('.')}."]
