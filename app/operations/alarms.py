"""What a person should look at, whichever process of the service rang it, and what a person has seen."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select, update

from app.config.config import Settings
from app.models.operator_errors import NotFound, NotPossible
from app.models.service_tables import alarms
from app.operations.audit import AuditedChange, Operator
from app.operations.transaction import transaction
from app.utils.alarms import ACKNOWLEDGED, ENDS_BY_ITSELF, EXPIRED, NOBODY
from app.utils.limits import ALARM_LEASE_SECONDS


@dataclass(frozen=True, slots=True)
class ListedAlarm:
    """One alarm. `holders`: the processes that see its condition, empty for what happened once; `count`: how often it
    rang; `ends`: how it ends; `ending`: how it ended, None while it is open."""

    name: str
    sentence: str
    evidence: str | None
    since: datetime
    last_at: datetime
    count: int
    holders: Sequence[str]
    ends: str
    ended_at: datetime | None
    ending: str | None


def find(settings: Settings, *, ended: bool = False) -> list[ListedAlarm]:
    """Return the open alarms, or those that are over, the latest first."""
    with transaction(settings, snapshot=True) as connection:
        return read(connection, ended=ended)


def show(settings: Settings, name: str) -> ListedAlarm:
    """Return one alarm, also one that is over. Raises NotFound."""
    with transaction(settings, snapshot=True) as connection:
        found = read(connection, ended=False, name=name) or read(connection, ended=True, name=name)
    if not found:
        raise NotFound(f"There is no alarm {name}.")
    return found[0]


def acknowledge(operator: Operator, names: Iterable[str]) -> list[str]:
    """End alarms of what happened once, all or none; return the names, each once.

    Raises NotPossible if an alarm is one of a condition, which lasts, and NotFound if it is not open.
    """
    found = list(dict.fromkeys(names))
    with operator.change("acknowledge") as change:
        for name in found:
            _acknowledge(change, name)
    return found


def read(connection: Connection, *, ended: bool, name: str | None = None) -> list[ListedAlarm]:
    """Return one alarm per name. If several processes hold it, the sentence is that of the latest."""
    renewed_since = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, ALARM_LEASE_SECONDS)
    is_open = alarms.c.ended_at.is_(None) & or_(alarms.c.holder == NOBODY, alarms.c.last_at >= renewed_since)
    query = select(alarms).where(~is_open if ended else is_open).order_by(alarms.c.last_at)
    if name is not None:
        query = query.where(alarms.c.name == name)
    found: dict[str, ListedAlarm] = {}
    for row in connection.execute(query):
        found[row.name] = _listed(row, found.pop(row.name, None), ended=ended)
    return list(reversed(found.values()))


def _acknowledge(change: AuditedChange, name: str) -> None:
    happened = update(alarms).where(alarms.c.name == name, alarms.c.holder == NOBODY, alarms.c.ended_at.is_(None))
    ended = happened.values(ended_at=func.now(), ending=ACKNOWLEDGED).returning(alarms.c.sentence)
    done = change.connection.execute(ended).first()
    if done is None:
        if read(change.connection, ended=False, name=name):
            raise NotPossible(f"Alarm {name} lasts: it ends by itself, when its cause is over.")
        raise NotFound(f"There is no open alarm {name}.")
    change.record(f"alarm {name}", done.sentence)


def _listed(row: Row[Any], before: ListedAlarm | None, *, ended: bool) -> ListedAlarm:
    """Return the alarm. `before`: the alarm as another process holds it, which is added while the alarm is open."""
    earlier = None if ended else before
    holders = [] if row.holder == NOBODY else [row.holder]
    return ListedAlarm(
        row.name,
        row.sentence,
        row.evidence or None,
        since=min(earlier.since, row.since) if earlier else row.since,
        last_at=row.last_at,
        count=row._mapping["count"] + (earlier.count if earlier else 0),
        holders=[*earlier.holders, *holders] if earlier else holders,
        ends="when a person acknowledges it" if row.holder == NOBODY else ENDS_BY_ITSELF,
        ended_at=row.ended_at or (row.last_at if ended else None),
        ending=row.ending or (EXPIRED if ended else None),
    )
