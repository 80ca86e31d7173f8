"""The time line of an order: what came in, what the order became, what went out, and how long each hop took."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from app.config.config import Settings
from app.kafka.event_places import FoundRecord
from app.models.order import OrderState
from app.models.rules import ChangeKind
from app.operations import event_log, order_facts
from app.operations.event_log import LogFindings
from app.operations.order_facts import CommandFact, HeldEvent, OrderFacts
from app.operations.orders import ChangeLine
from app.operations.refusals import Refused
from app.wire.command_types import COMMAND_TYPES
from app.wire.events import EVENT_TYPES

MISSING = (
    "What was not found on the topic was deleted there by its retention, was never announced (testCreateOrder), lies "
    "beyond the look, or is lost (`flask orders outbox find-lost`)."
)
REPEAT = "repeat"
UNCHANGED = "unchanged"
ACKNOWLEDGED = "acknowledged"
NOT_FOUND = "was not found on the topic"
NOT_ASKED = "is in the outbox no more"
_COMMANDS = {kind.makes.value: kind for kind in COMMAND_TYPES.values()}
_EVENTS = {kind.value: event for kind, event in EVENT_TYPES.items()}
_WITHOUT_RUNNER = (ChangeKind.ACCEPTANCE_CANCELLED, ChangeKind.RUNNER_CLEARED)


@dataclass(frozen=True, slots=True)
class Came:
    """What came in. `kind`: the command's type, over HTTP the kind of change, or the path where nothing changed; `key`:
    the Idempotency-Key, or the key of the command's record; `place`: the command's record, `topic/partition/offset`;
    `outcome`: the refusal's code, over HTTP after its status, `lost_race`, `unchanged`, `repeat`, None where it did
    what it asked for; `times`: how often it came again, or was refused alike."""

    door: str
    caller: str | None
    kind: str
    correlation_id: str
    key: str | None
    place: str | None
    outcome: str | None
    traceparent: str | None = None
    times: int | None = None

    @property
    def trace_id(self) -> str | None:
        """The id by which a tracing system finds the trace."""
        return None if self.traceparent is None else self.traceparent.split("-")[1]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that a version has and the one before had not."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Became:
    """What the order became. `differences`: to the version before, as far as the history has it."""

    version: int
    from_status: str | None
    to_status: str
    payment_status: str
    differences: Sequence[Difference]


@dataclass(frozen=True, slots=True)
class Went:
    """What went out. `type` is None where only the lost record had it. `acknowledged_at`: the record's timestamp, given
    as it was sent, moments before; `state`: `acknowledged`, `waits in the outbox`, or what else became of it;
    `groups`: whether each group that reads the topic has passed the record."""

    event_id: UUID | None
    type: str | None
    version: int | None
    place: str | None
    acknowledged_at: datetime | None
    state: str
    groups: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of each hop, None where an end of it is not known. `to_change`: from the timestamp of the command's
    record, `to_log`: from the change to the timestamp of the event's record. Clocks of several hosts are in it."""

    to_change: float | None
    to_log: float | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: something came, perhaps the order became something, perhaps something went out."""

    at: datetime
    came: Came | None
    became: Became | None
    went: Went | None
    took: Took


@dataclass(frozen=True, slots=True)
class Timeline:
    """`changes`: the history alone; `notes`: what could not be looked at, or is left out: sentences."""

    order: OrderState
    entries: Sequence[Entry]
    notes: Sequence[str]
    changes: Sequence[ChangeLine]


def timeline(settings: Settings, order_id: str, *, with_log: bool = True) -> Timeline:
    """Return the time line, the oldest entry first; 200 changes and 200 other commands at the most.

    `with_log`: also look for the records on the topics, and for the groups that have passed them: a second more at the
    longest; what is missing then is a note. Raises NotFound and DatabaseUnusable. Commits nothing; blocks as a
    transaction does. An order that was taken over from the service before begins at version 2.
    """
    facts = order_facts.read(settings, order_id)
    found = event_log.look(settings, facts) if with_log else event_log.NOTHING
    went = _Going(settings.events_topic, facts, found)
    entries = [*_of_changes(facts, found, went), *_of_commands(settings.commands_topic, facts, found, went)]
    entries += _of_refusals(facts.refused)
    entries.sort(key=_moment)
    missing = any(entry.went and entry.went.state == NOT_FOUND for entry in entries)
    notes = [*facts.notes, *found.notes, *([MISSING] if missing else ())]
    return Timeline(facts.order, entries, notes, facts.changes)


def _moment(entry: Entry) -> tuple[datetime, int, int]:
    """Return what entries are sorted by: those of one batch of commands have one time, and follow by their offsets."""
    place = entry.came.place if entry.came else None
    return entry.at, int(place.rpartition("/")[2]) if place else 0, entry.became.version if entry.became else 0


class _Going:
    """What became of the events and replies."""

    def __init__(self, topic: str, facts: OrderFacts, found: LogFindings) -> None:
        self._topic = topic
        self._found = found
        self._held = {event.event_id: event for event in facts.held}

    def of(self, event_id: UUID, kind: str | None, version: int) -> Went:
        """Return what became of the event of a change."""
        return self._went(event_id, kind, version, self._held.get(event_id))

    def reply_to(self, fact: CommandFact) -> Went:
        """Return what became of the reply to a command that changed nothing.

        While it waits it is known by its correlation id and its type: its event id follows from the command's record.
        """
        command = COMMAND_TYPES[fact.type]
        kind = command.success if fact.outcome == UNCHANGED else command.failure
        event_id = self._found.replies.get((fact.partition or 0, fact.offset or 0))
        if event_id is None:
            known = (fact.correlation_id, kind, None)
            waiting = (each for each in self._held.values() if (each.correlation_id, each.type, each.version) == known)
            event_id = next((each.event_id for each in waiting), None)
        return self._went(event_id, kind, None, self._held.get(event_id) if event_id else None)

    def _went(self, event_id: UUID | None, kind: str | None, version: int | None, held: HeldEvent | None) -> Went:
        record = self._found.events.get(event_id) if event_id else None
        if record is None:
            state = held.state if held else NOT_FOUND if self._found.asked else NOT_ASKED
            return Went(event_id, (held and held.type) or kind, version, None, None, state, {})
        place = f"{self._topic}/{record.partition}/{record.offset}"
        groups = {group.group: group.has_passed(record) for group in self._found.groups}
        return Went(event_id, record.type or kind, version, place, record.at, ACKNOWLEDGED, groups)


def _of_changes(facts: OrderFacts, found: LogFindings, going: _Going) -> Iterator[Entry]:
    before: ChangeLine | None = None
    for line in facts.changes:
        command = _COMMANDS.get(line.kind) if line.door == "kafka" else None
        record = found.commands.get((line.partition or 0, line.offset or 0)) if line.topic else None
        key = _text(record.key) if record else facts.keys.get(line.at)
        kind = command.name if command else line.kind
        came = Came(line.door, line.caller, kind, line.correlation_id, key, line.command, None, line.traceparent)
        event = command.success if command else _EVENTS.get(line.kind)
        went = going.of(line.change_id, event, line.version)
        became = Became(line.version, line.from_status, line.to_status, line.payment_status, _differences(before, line))
        yield Entry(line.at, came, became, went, _took(record, line.at, went))
        before = line


def _of_commands(topic: str, facts: OrderFacts, found: LogFindings, going: _Going) -> Iterator[Entry]:
    for fact in facts.commands:
        came = Came("kafka", None, fact.type, fact.correlation_id, None, None, fact.outcome)
        if fact.outcome is not None and fact.offset is not None:
            record = found.commands.get((fact.partition or 0, fact.offset))
            key = _text(record.key) if record else None
            here = replace(came, key=key, place=f"{topic}/{fact.partition}/{fact.offset}")
            went = going.reply_to(fact)
            yield Entry(fact.created_at, here, None, went, _took(record, fact.created_at, went))
        if fact.repeated_at is not None:
            place = f"{topic}/{fact.repeated_partition}/{fact.repeated_offset}"
            again = replace(came, outcome=REPEAT, place=place, times=fact.repeats)
            yield Entry(fact.repeated_at, again, None, None, Took(None, None))


def _of_refusals(refused: Sequence[Refused]) -> Iterator[Entry]:
    """Yield a line for requests that were refused alike, or lost races, at the time of the last."""
    for one in refused:
        came = Came("http", None, one.path, one.correlation_id, one.key, None, one.outcome, times=one.times)
        yield Entry(one.at, came, None, None, Took(None, None))


def _differences(before: ChangeLine | None, line: ChangeLine) -> list[Difference]:
    pairs: list[tuple[str, str | None, str | None]] = [("status", line.from_status, line.to_status)]
    if before is not None or line.from_status is None:
        payment, runner = (before.payment_status, _runner(before)) if before else (None, None)
        pairs += [("payment", payment, line.payment_status), ("runner", runner, _runner(line))]
    return [Difference(*pair) for pair in pairs if pair[1] != pair[2]]


def _runner(line: ChangeLine) -> str | None:
    """Return the order's runner after the change: a line names the runner concerned, also the one that went."""
    return None if line.kind in _WITHOUT_RUNNER else line.runner_id


def _took(command: FoundRecord | None, changed: datetime, went: Went) -> Took:
    return Took(_seconds(command.at if command else None, changed), _seconds(changed, went.acknowledged_at))


def _seconds(begin: datetime | None, end: datetime | None) -> float | None:
    return None if begin is None or end is None else round((end - begin).total_seconds(), 3)


def _text(key: bytes | None) -> str | None:
    return None if key is None else key.decode(errors="backslashreplace")
