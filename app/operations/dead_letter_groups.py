"""Undecided dead letters that have one cause: grouped by why they cannot be read, and by what is known of the sender.

Of a sender its topic is known, what its keys begin with, and the type that it wrote, if that can be found in bytes that
may be no JSON. The record's headers are not kept.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, func, select

from app.config.config import Settings
from app.models.jobs import MOST_ITEMS
from app.models.kafka_tables import dead_letters as letters
from app.models.operator_errors import NotFound
from app.operations.transaction import transaction

MOST_LETTERS = 5000
EXAMPLES = 3
KEY_BYTES, VALUE_BYTES = 64, 1024  # of a record that are looked at

_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b\d[\d.,:]*\b")
_WORDS = re.compile(r"(?:[A-Za-z]{1,20}[-_:./|])+")
_TYPE = re.compile(rb'"type"\s*:\s*"([A-Za-z0-9_.-]{1,40})"')


@dataclass(frozen=True, slots=True)
class Group:
    """Dead letters of one cause. `id`: the same as long as the cause is; `reason`: the error without its values; `key`:
    what the keys begin with, empty where they have nothing in common, None where there is no key; `examples`: ids."""

    id: str
    reason: str
    topic: str
    partitions: Sequence[int]
    key: str | None
    type: str | None
    count: int
    first: datetime
    last: datetime
    examples: Sequence[int]


@dataclass(frozen=True, slots=True)
class Grouped:
    """The groups, the largest first, and how many older undecided letters were not looked at."""

    groups: Sequence[Group]
    left_out: int


def groups(settings: Settings) -> Sequence[Group]:
    """Return the groups of the newest MOST_LETTERS undecided letters, the largest group first."""
    return grouped(settings).groups


def grouped(settings: Settings) -> Grouped:
    """As `groups`, with how many letters were not looked at."""
    rows, left_out = _undecided(settings)
    by_cause: dict[_Cause, list[Row[Any]]] = {}
    for cause, row in rows:
        by_cause.setdefault(cause, []).append(row)
    found = [_group(cause, members) for cause, members in by_cause.items()]
    return Grouped(sorted(found, key=lambda group: (-group.count, -group.last.timestamp())), left_out)


def frozen(settings: Settings, group_id: str) -> tuple[Sequence[int], int]:
    """Return the ids of a group's letters as of now, the oldest first, MOST_ITEMS at most, and how many more it has.

    Raises NotFound if there is no such group.
    """
    ids = sorted(row.id for cause, row in _undecided(settings)[0] if cause.id == group_id)
    if not ids:
        raise NotFound(f"There is no group {group_id} of undecided dead letters.")
    return ids[:MOST_ITEMS], max(len(ids) - MOST_ITEMS, 0)


@dataclass(frozen=True, slots=True)
class _Cause:
    reason: str
    topic: str
    key: str | None
    type: str | None

    @property
    def id(self) -> str:
        return _digest(repr(self))


def _undecided(settings: Settings) -> tuple[Sequence[tuple[_Cause, Row[Any]]], int]:
    columns = letters.c
    key = func.substring(columns.key, 1, KEY_BYTES).label("key")
    value = func.substring(columns.value, 1, VALUE_BYTES).label("value")
    undecided = columns.resolution.is_(None)
    newest = select(columns.id, columns.topic, columns.partition, columns.error, columns.created_at, key, value)
    newest = newest.where(undecided).order_by(columns.id.desc()).limit(MOST_LETTERS)
    with transaction(settings, snapshot=True) as connection:
        rows: Sequence[Any] = connection.execute(newest).all()
        left_out = 0
        if len(rows) == MOST_LETTERS:
            older = select(func.count()).select_from(letters).where(undecided, columns.id < rows[-1].id)
            left_out = connection.scalar(older) or 0
    return list(_with_causes(rows)), left_out


def _with_causes(rows: Iterable[Any]) -> Iterator[tuple[_Cause, Row[Any]]]:
    for row in rows:
        yield _Cause(without_values(row.error), row.topic, key_prefix(row.key), found_type(row.value)), row


def _group(cause: _Cause, rows: Sequence[Row[Any]]) -> Group:
    """Return the group of these rows, which come newest first."""
    return Group(
        cause.id,
        cause.reason,
        cause.topic,
        sorted({row.partition for row in rows}),
        cause.key,
        cause.type,
        len(rows),
        first=rows[-1].created_at,
        last=rows[0].created_at,
        examples=[row.id for row in rows[:EXAMPLES]],
    )


@lru_cache(maxsize=1000)
def without_values(error: str) -> str:
    """Return the sentence with … for numbers, ids and what it quotes."""
    return _VALUES.sub("…", error)


def key_prefix(key: Any) -> str | None:
    """Return the words that a key begins with, such as `order-` of `order-17`."""
    if key is None:
        return None
    begin = _WORDS.match(bytes(key).decode(errors="replace"))
    return begin[0] if begin else ""


def found_type(value: Any) -> str | None:
    """Return the first type that the bytes name."""
    found = None if value is None else _TYPE.search(bytes(value))
    return found[1].decode() if found else None


@lru_cache(maxsize=1000)
def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
