"""Why does it wait? A chain of checks, each of which depends on the ones before: the first that fails is the cause.

The way of a command is followed as the service goes it: database, broker, log, owner of the partition, stored offset,
decision, outbox, events topic, readers. What was found once is kept in the Case; why_*.py has the checks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.config.config import Settings
from app.kafka.operator import Place, place_of
from app.models.operator_errors import NotPossible
from app.operations import why_commands, why_events, why_ground, why_outcome, why_readers
from app.operations.why_case import Case, Check
from app.wire.fields import is_id

__all__ = ["Check", "Why", "why"]

CHAIN: Sequence[Callable[[Case], Check | None]] = (
    why_ground.database,
    why_ground.tables,
    why_ground.key,
    why_ground.row,
    why_ground.broker,
    why_commands.log,
    why_commands.topic,
    why_commands.owner,
    why_commands.handled,
    why_events.on_topic,
    why_commands.known,
    why_outcome.readable,
    why_outcome.carried_out,
    why_outcome.decided,
    why_events.outbox,
    why_readers.place,
    why_readers.readers,
    why_events.caller,
)
"""The checks in their order. One that has nothing to do with the id returns None."""


@dataclass(frozen=True, slots=True)
class Why:
    """`subject`: what the id is; `order_ids`: the orders concerned, as far as they are known; `cause`: the first check
    that fails, None if all that could be asked are passed."""

    subject: str
    order_ids: Sequence[str]
    checks: Sequence[Check]
    cause: Check | None


def why(settings: Settings, some_id: str) -> Why:
    """Say why an order, saga or command waits, by any of its ids: order, saga or correlation id, Idempotency-Key, or
    `topic/partition/offset` of a command or an event. Of an event id: where that event is, and who has passed it.

    Changes nothing. Each check takes 2 s at the longest and all together 8 s; one that cannot be asked has `ok` None,
    and those behind the first that fails are not asked. Raises NotPossible if the text cannot be an id.
    """
    some_id = some_id.strip()
    if not is_id(some_id):
        raise NotPossible("An id is a text of 1 to 255 characters.")
    command, event = (_place(topic, some_id) for topic in (settings.commands_topic, settings.events_topic))
    case = Case(settings, some_id, command, event)
    checks: list[Check] = []
    try:
        for ask in CHAIN:
            check = ask(case)
            if check is not None:
                checks.append(check)
                if check.ok is False:
                    break
    finally:
        case.close()
    failed = [check for check in checks if check.ok is False]
    return Why(_subject(case), _order_ids(case), checks, failed[0] if failed else None)


def _place(topic: str, some_id: str) -> Place | None:
    """Return the place that the id is, None if it is none of this topic."""
    found = place_of(some_id)
    return found if found is not None and found.topic == topic else None


def _order_ids(case: Case) -> list[str]:
    facts = case.facts
    if facts is None:
        return []
    return [row.order_id for row in facts.orders] or list({row.order_id: None for row in facts.changes})


def _subject(case: Case) -> str:
    """Return in words what the id is."""
    facts = case.facts
    orders = (
        []
        if facts is None
        else [f"order {row.order_id} ({row.order_status}, version {row.version})" for row in facts.orders]
    )
    kinds = []
    if facts is not None and case.event_id is not None:
        kinds += [f"event of order {row.order_id}, version {row.version}" for row in facts.changes] or ["event"]
    if case.place is not None:
        kinds.append(f"command at {case.place}")
    if facts is not None and (facts.answers or facts.key_holders):
        kinds.append("Idempotency-Key")
    named = ", ".join([*kinds, *orders])
    return f"{case.id}: {named}" if named else case.id
