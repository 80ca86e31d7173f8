"""What happened beside the figures, for the axis of time: releases, changes of leader, operators' acts, alarms."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, case, func, select

from app.models.flow import Figures
from app.models.service_tables import alarms, operator_actions
from app.utils.limits import ALARM_LEASE_SECONDS

MOST_MARKS = 100
ACTS = 200  # lines of the audit that are looked at


class MarkKind(StrEnum):
    """What a mark is of."""

    RELEASE = "release"
    LEADER = "leader"
    ACT = "act"
    ALARM = "alarm"
    ALARM_OVER = "alarm over"


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened."""

    at: datetime
    kind: MarkKind
    text: str


def marks_of(connection: Connection, rows: Sequence[tuple[datetime, str, Figures]], begin: datetime) -> list[Mark]:
    """Return what happened since `begin`, in the order of time. `rows`: figures, also of some minutes before."""
    found = [*_releases(rows), *_leaders(rows), *_acts(connection, begin), *_alarms(connection, begin)]
    return sorted((mark for mark in found if mark.at >= begin), key=lambda mark: mark.at)


def _releases(rows: Sequence[tuple[datetime, str, Figures]]) -> Iterator[Mark]:
    """A release begins with the first process that runs it."""
    first: dict[str, datetime] = {}
    for _, _, figures in rows:
        if figures.build and figures.began:
            began = datetime.fromisoformat(figures.began)
            first[figures.build] = min(first.get(figures.build, began), began)
    for release, at in first.items():
        yield Mark(at, MarkKind.RELEASE, f"release {release} began")


def _leaders(rows: Sequence[tuple[datetime, str, Figures]]) -> Iterator[Mark]:
    for _, holder, figures in rows:
        for lead in figures.leads:
            text = f"{place_of(holder)} leads {lead.lane.replace('_', ' ')}"
            yield Mark(datetime.fromisoformat(lead.at), MarkKind.LEADER, text)


def place_of(holder: str) -> str:
    """Return host and process of what holds a row, without the random rest."""
    return holder.rpartition(":")[0] or holder


def _acts(connection: Connection, begin: datetime) -> Iterator[Mark]:
    """Without their subjects, which may name a person."""
    acts = operator_actions.c
    newest = select(acts.at, acts.who, acts.action).order_by(acts.id.desc()).limit(ACTS).subquery()
    for row in connection.execute(select(newest).where(newest.c.at >= begin)):
        yield Mark(row.at, MarkKind.ACT, f"{row.who}: {row.action}")


def _alarms(connection: Connection, begin: datetime) -> Iterator[Mark]:
    """An alarm that several processes ring begins with the first and ends with the last of them."""
    rung = alarms.c
    lease = func.make_interval(0, 0, 0, 0, 0, 0, ALARM_LEASE_SECONDS)
    not_renewed = (rung.holder != "") & (rung.last_at < func.now() - lease)
    ended = case((rung.ended_at.is_not(None), rung.ended_at), (not_renewed, rung.last_at))
    told = select(rung.name, rung.since, ended.label("ended")).subquery()
    query = (
        select(
            told.c.name,
            func.min(told.c.since).label("since"),
            case((func.bool_and(told.c.ended.is_not(None)), func.max(told.c.ended))).label("ended"),
        )
        .where(func.coalesce(told.c.ended, func.now()) >= begin)
        .group_by(told.c.name)
        .order_by(func.min(told.c.since).desc())
        .limit(MOST_MARKS)
    )
    for row in connection.execute(query):
        yield Mark(row.since, MarkKind.ALARM, f"alarm {row.name}")
        if row.ended is not None:
            yield Mark(row.ended, MarkKind.ALARM_OVER, f"alarm {row.name} is over")
