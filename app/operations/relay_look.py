"""The outbox and the relay on one page: what waits by lane, who leads, what Kafka refuses, what is out or lost.

Each part is asked for itself: one that cannot be read leaves a note, and the others are there.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, func, select, text, true, union_all

from app.config.config import Settings
from app.database.watched import SEEN
from app.models.kafka_tables import dead_letters, lost_events, taken_out_events
from app.models.kafka_tables import outbox as events
from app.models.operator_errors import NotFound
from app.operations import guarded
from app.operations.guarded import NotAsked
from app.operations.outbox import WaitingEvent
from app.operations.transaction import select_as, transaction

SECONDS = 2
MOST = 20  # rows of each list
SEARCHED = 500  # of the oldest rows of each range, for one that Kafka refuses: the lane stops there
COUNTED = 1000
LEADS_SECONDS = 5  # since a process told that it leads

Found = TypeVar("Found")
Lanes = Mapping[str, Mapping[str, Any]]
"""What the watch saw, by lane."""


@dataclass(frozen=True, slots=True)
class LaneState:
    """A lane. `depth`, `oldest_seconds`: as the watch saw them last, None if nobody watches; `leaders`: processes that
    say that they lead, usually one."""

    name: str
    depth: int | None
    oldest_seconds: float | None
    leaders: Sequence[str]


@dataclass(frozen=True, slots=True)
class OfferedLetter:
    """A dead letter, and what its topic says of it: `sent_at` where it has it, `refusal` where it refuses it."""

    id: int
    topic: str
    partition: int
    offset: int
    created_at: datetime
    sent_at: datetime | None
    refusal: str | None


@dataclass(frozen=True, slots=True)
class EventOut:
    """An event that an operator took out of the outbox."""

    event_id: UUID
    outbox_id: int
    aggregateid: str
    type: str
    version: int | None
    refusal: str
    taken_out_at: datetime
    put_back_at: datetime | None


@dataclass(frozen=True, slots=True)
class Lost:
    """A change whose event Kafka has lost."""

    order_id: str
    version: int
    found_at: datetime
    announced_at: datetime | None


@dataclass(slots=True)
class RelayLook:
    """What `look` found: MOST of each list, the oldest first, lost events the newest first.

    `taken_out_in_all`, `lost_in_all`: how many there are, counted up to COUNTED. `notes`: parts that could not be read.
    """

    lanes: Sequence[LaneState] = ()
    oldest: Sequence[WaitingEvent] = ()
    refused: Sequence[WaitingEvent] = ()
    refused_letters: Sequence[OfferedLetter] = ()
    taken_out: Sequence[EventOut] = ()
    taken_out_in_all: int = 0
    lost: Sequence[Lost] = ()
    lost_in_all: int = 0
    notes: list[str] = field(default_factory=list)


_NO_LANES: Lanes = {}
_NO_LEADERS: Mapping[str, Sequence[str]] = {}


def look(settings: Settings) -> RelayLook:
    """Return it. Some ten milliseconds, however many rows wait; changes nothing. Raises DatabaseUnusable."""
    found = RelayLook()
    with transaction(settings, SECONDS) as connection:

        def ask(what: str, question: Callable[[Connection], Found], otherwise: Found) -> Found:
            try:
                return guarded.ask(connection, question)
            except NotAsked as reason:
                found.notes.append(f"{what} could not be read: {reason}.")
                return otherwise

        seen = ask("What the watch saw", _seen, _NO_LANES)
        leaders = ask("Who leads", _leaders, _NO_LEADERS)
        found.lanes = [_lane(name, seen, leaders) for name in ("events", "dead_letters")]
        lane = seen.get("events", {})
        if not lane or lane.get("depth"):
            begin = lane.get("oldest_id")
            found.oldest = ask("The oldest events", lambda asked: _oldest(asked, begin), [])
            found.refused = ask("Refused events", lambda asked: _refused(asked, begin), [])
        found.refused_letters = ask("Refused dead letters", _refused_letters, [])
        found.taken_out, found.taken_out_in_all = ask("Events that are out", _taken_out, (list[EventOut](), 0))
        found.lost, found.lost_in_all = ask("Lost events", _lost, (list[Lost](), 0))
    return found


def _seen(connection: Connection) -> Lanes:
    """Return what the watch saw of each lane; nothing if that is too old."""
    row = connection.execute(text(SEEN.sql)).first()
    lanes: Lanes = json.loads(row[0])["lanes"] if row else _NO_LANES
    return lanes


def _leaders(connection: Connection) -> Mapping[str, Sequence[str]]:
    query = text("SELECT host, pid, parts FROM instances WHERE seen_at > now() - make_interval(secs => :seconds)")
    found: dict[str, list[str]] = {}
    for host, pid, told in connection.execute(query, {"seconds": LEADS_SECONDS}):
        for lane in json.loads(told).get("relay", {}).get("leads", ()):
            found.setdefault(lane, []).append(f"{host} {pid}")
    return found


def _lane(name: str, seen: Lanes, leaders: Mapping[str, Sequence[str]]) -> LaneState:
    lane = seen.get(name, {})
    return LaneState(name, lane.get("depth"), lane.get("oldest_seconds"), leaders.get(name, ()))


def _oldest(connection: Connection, begin: int | None) -> list[WaitingEvent]:
    """`begin`: an id below which nothing waits: so dead rows that somebody's snapshot keeps are not walked over."""
    query = _waiting().order_by(events.c.id).limit(MOST)
    if begin is not None:
        query = query.where(events.c.id >= begin)
    return [WaitingEvent(*row) for row in connection.execute(query)]


def _refused(connection: Connection, begin: int | None) -> list[WaitingEvent]:
    """Return those among the oldest events, and among the oldest that are set aside for their partition."""
    some = union_all(_some(events.c.id < 0), _some(events.c.id >= max(begin or 0, 0))).subquery()
    refused = select(some.c.id).where(some.c.refusal.is_not(None)).order_by(some.c.id).limit(MOST)
    query = _waiting().where(events.c.id == func.any(func.array(refused.scalar_subquery()))).order_by(events.c.id)
    return [WaitingEvent(*row) for row in connection.execute(query)]


def _some(condition: ColumnElement[bool], *, newest: bool = False) -> Select[Any]:
    """Return SEARCHED events at one end of the table, whatever it holds."""
    order = events.c.id.desc() if newest else events.c.id
    picked = select(events.c.id, events.c.event_id, events.c.refusal).where(condition).order_by(order).limit(SEARCHED)
    return select(picked.subquery())


def _waiting() -> Select[Any]:
    age = func.extract("epoch", func.now() - events.c.created_at)
    return select_as(WaitingEvent, events, func.octet_length(events.c.payload), age)


def _refused_letters(connection: Connection) -> list[OfferedLetter]:
    """Return those among the oldest that their topic does not have: younger ones pass them by."""
    letters = dead_letters.c
    unsent = select_as(OfferedLetter, dead_letters).where(letters.sent_at.is_(None)).order_by(letters.id)
    some = unsent.limit(COUNTED).subquery()
    query = select(some).where(some.c.refusal.is_not(None)).order_by(some.c.id).limit(MOST)
    return [OfferedLetter(*row) for row in connection.execute(query)]


def _taken_out(connection: Connection) -> tuple[list[EventOut], int]:
    is_out = taken_out_events.c.put_back_at.is_(None)
    query = select_as(EventOut, taken_out_events).where(is_out).order_by(taken_out_events.c.taken_out_at).limit(MOST)
    return [EventOut(*row) for row in connection.execute(query)], _count(connection, taken_out_events, is_out)


def _lost(connection: Connection) -> tuple[list[Lost], int]:
    lost = lost_events.c
    newest = select_as(Lost, lost_events).order_by(lost.announced_at.desc().nulls_first(), lost.found_at.desc())
    found = [Lost(*row) for row in connection.execute(newest.limit(MOST))]
    return found, _count(connection, lost_events, lost.announced_at.is_(None))


def _count(connection: Connection, table: Any, condition: Any) -> int:
    some = select(text("1")).select_from(table).where(condition).limit(COUNTED).subquery()
    return connection.scalar(select(func.count()).select_from(some)) or 0


def whereabouts(settings: Settings, event_id: UUID) -> tuple[EventOut, WaitingEvent | None]:
    """Return an event that was taken out once, and how it waits now, None if it is not found waiting.

    Looked for among the SEARCHED oldest and newest events: the outbox has no index over the event ids. Blocks as
    `look`. Raises NotFound, DatabaseUnusable.
    """
    with transaction(settings, SECONDS) as connection:
        kept = connection.execute(
            select_as(EventOut, taken_out_events).where(taken_out_events.c.event_id == event_id)
        ).first()
        if kept is None:
            raise NotFound(f"No event {event_id} was ever taken out.")
        some = union_all(
            _some(events.c.id < 0),
            _some(events.c.id > 0),
            _some(true(), newest=True),
            _some(events.c.id == kept.outbox_id),
        ).subquery()
        found = select(some.c.id).where(some.c.event_id == event_id).scalar_subquery()
        row = connection.execute(_waiting().where(events.c.id == func.any(func.array(found)))).first()
    return EventOut(*kept), None if row is None else WaitingEvent(*row)


def offered(settings: Settings, ids: Sequence[int]) -> list[OfferedLetter]:
    """Return dead letters of these ids, as far as they are there. Blocks as `look`. Raises DatabaseUnusable."""
    letters = dead_letters.c
    query = select_as(OfferedLetter, dead_letters).where(letters.id.in_(ids)).order_by(letters.id)
    with transaction(settings, SECONDS) as connection:
        return [OfferedLetter(*row) for row in connection.execute(query)]
