"""What must hold at the end of every story, as pure functions of what is there then."""

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from app.database import orders_sql as sql
from app.models.outgoing import Outgoing
from app.utils.ids import reply_id
from app.wire.command_reader import DeadLetter, parse_record
from tests.simulation.instances import DONE, NOT_DONE
from tests.simulation.kafka import COMMANDS, Command
from tests.simulation.load import OLD_ORDER

_STATUS, _VERSION = list(sql.ORDER_COLUMNS).index("order_status"), list(sql.ORDER_COLUMNS).index("version")


@dataclass(frozen=True, slots=True)
class End:
    """The logs by partition, the tables, what the HTTP callers know, and what went wrong on the way."""

    commands: Mapping[int, Sequence[Command]]
    events: Mapping[int, Sequence[Outgoing]]
    requests: Sequence[str]
    outcomes: Mapping[str, str]
    tables: Mapping[str, Mapping[Hashable, Any]]
    unfinished: Sequence[str]
    surprises: Sequence[str]


def check(end: End) -> list[str]:
    """Return a sentence for each thing that is wrong."""
    return [
        *(f"never ends: {it}" for it in end.unfinished),
        *end.surprises,
        *_no_twins(end),
        *_one_reply_each(end),
        *_one_dead_letter_each(end),
        *_effects_once(end),
        *_versions(end),
        *_histories(end),
    ]


def _no_twins(end: End) -> Iterator[str]:
    """[I5]"""
    for event_id, times in _more_than_one(record.event_id for _, record in _events(end)):
        yield f"event {event_id} is in the log {times} times"
    for place, times in _more_than_one(place for _, place in _announced(end)):
        yield f"version {place} is announced {times} times"


def _one_reply_each(end: End) -> Iterator[str]:
    """[I2, I6] Commands are told apart by their bytes; each has a correlation id of its own."""
    replies = Counter(_header(record, "correlation_id") for _, record in _events(end))
    for correlation_id in sorted({it for it in map(_correlation_id, _values(end)) if it is not None}):
        if replies[correlation_id] != 1:
            yield f"command {correlation_id} has {replies[correlation_id]} replies"
    made = {change["change_id"] for change in _changes(end)}
    made |= {
        reply_id(COMMANDS, partition, it.offset, it.timestamp) for partition, log in end.commands.items() for it in log
    }
    for partition, record in _events(end):
        if record.event_id not in made:
            yield f"nothing made the event {record.event_id} in partition {partition}"


def _one_dead_letter_each(end: End) -> Iterator[str]:
    """[I6]"""
    letters = Counter((it["partition"], it["offset"]) for it in end.tables.get("dead_letters", {}).values())
    places = ((partition, record) for partition, log in end.commands.items() for record in log)
    expected = Counter((partition, it.offset) for partition, it in places if _correlation_id(it.value) is None)
    for place in sorted(letters.keys() | expected.keys()):
        if letters[place] != expected[place]:
            yield f"the command at {place} has {letters[place]} dead letters instead of {expected[place]}"


def _effects_once(end: End) -> Iterator[str]:
    """[I1]"""
    effects = Counter(change["correlation_id"] for change in _changes(end))
    for correlation_id, times in effects.items():
        if times > 1:
            yield f"{correlation_id} changed orders {times} times"
    for correlation_id in end.requests:
        outcome, times = end.outcomes.get(correlation_id), effects[correlation_id]
        if (outcome == DONE and times != 1) or (outcome == NOT_DONE and times != 0):
            yield f"{correlation_id} was told that it is {outcome}, and is so {times} times"
    creates = Counter(json.loads(record.value or b"{}")["payload"].get("saga_id") for record in _created(end))
    for saga_id, order_ids in _orders_of_sagas(end).items():
        if len(order_ids) != 1 or not creates[saga_id]:
            yield f"{saga_id} made the orders {sorted(order_ids)} and has {creates[saga_id]} replies"


def _versions(end: End) -> Iterator[str]:
    """[I3, I4]"""
    announced: dict[str, list[int]] = {}
    partitions: dict[str, set[int]] = {}
    for partition, (order_id, version) in _announced(end):
        announced.setdefault(order_id, []).append(version)
        partitions.setdefault(order_id, set()).add(partition)
    for order, row in end.tables["orders"].items():
        first = 2 if order == OLD_ORDER.order_id else 1
        expected, found = list(range(first, row[_VERSION] + 1)), announced.pop(str(order), [])
        if found != expected:
            yield f"{order} is announced in the versions {found} instead of {expected}"
    yield from (f"{name} is announced and does not exist" for name in announced)
    yield from (f"{name} is in the partitions {it}" for name, it in partitions.items() if len(it) > 1)


def _histories(end: End) -> Iterator[str]:
    """[I7] Each line begins where the one before ended, and the order is where the last one ends."""
    changes = end.tables.get("order_changes", {})
    for order_id, row in end.tables["orders"].items():
        old = order_id == OLD_ORDER.order_id
        status: Hashable = str(OLD_ORDER.order_status) if old else None
        for version in range(2 if old else 1, row[_VERSION] + 1):
            line = changes.get((order_id, version), {"from_status": "no line", "to_status": "no line"})
            if line["from_status"] != status:
                yield f"version {version} of {order_id} begins at {line['from_status']}, not at {status}"
            status = line["to_status"]
        if row[_STATUS] != status:
            yield f"{order_id} is {row[_STATUS]}, by its history {status}"


def _orders_of_sagas(end: End) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    saga_id = list(sql.ORDER_COLUMNS).index("saga_id")
    for order_id, row in end.tables["orders"].items():
        if row[saga_id] is not None:
            found.setdefault(row[saga_id], set()).add(str(order_id))
    return found


def _created(end: End) -> Iterator[Outgoing]:
    return (record for _, record in _events(end) if _header(record, "type") == "order.created")


def _events(end: End) -> Iterator[tuple[int, Outgoing]]:
    return ((partition, record) for partition, log in end.events.items() for record in log)


def _announced(end: End) -> Iterator[tuple[int, tuple[str, int]]]:
    for partition, record in _events(end):
        version = _header(record, "version")
        if version is not None and record.key is not None:
            yield partition, (record.key.decode(), int(version))


def _changes(end: End) -> Iterable[Mapping[str, Any]]:
    return end.tables.get("order_changes", {}).values()


def _values(end: End) -> Iterator[bytes | None]:
    return (record.value for log in end.commands.values() for record in log)


@lru_cache(1000)
def _correlation_id(value: bytes | None) -> str | None:
    """Return what a readable command is known by, None for an unreadable one."""
    received = parse_record(value)
    return None if isinstance(received, DeadLetter) else received.correlation_id


def _header(record: Outgoing, name: str) -> str | None:
    return next((value.decode() for header, value in record.headers if header == name), None)


def _more_than_one(things: Iterable[Hashable]) -> Iterator[tuple[Hashable, int]]:
    return ((thing, times) for thing, times in Counter(things).items() if times > 1)
