"""A check that cannot fail proves nothing: each fault planted into the end of a clean story is found."""

import uuid
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import cache
from itertools import count
from typing import Any

import pytest

from app.database import orders_sql as sql
from app.models.outgoing import Outgoing
from tests.simulation.checks import End, check
from tests.simulation.instances import DONE, NOT_DONE
from tests.simulation.story import play

Logs = dict[int, list[Outgoing]]


@cache
def clean_story() -> End:
    """Return the end of the first story that has something to spoil for everybody."""
    ends = (play(seed).end for seed in count())
    return next(end for end in ends if end.tables.get("dead_letters") and DONE in end.outcomes.values() and busy(end))


def busy(end: End) -> bool:
    """Tell whether an order changed at least twice, and a create was answered."""
    changed: list[int] = [change["version"] for change in end.tables["order_changes"].values()]
    return max(changed) > 2 and any(header(it, "type") == "order.created" for log in end.events.values() for it in log)


def header(record: Outgoing, name: str) -> str | None:
    return next((value.decode() for key, value in record.headers if key == name), None)


def with_events(end: End, spoil: Callable[[Logs], object]) -> End:
    events = {partition: list(log) for partition, log in end.events.items()}
    spoil(events)
    return replace(end, events=events)


def with_rows(end: End, table: str, spoil: Callable[[dict[Any, Any]], object]) -> End:
    tables: Mapping[str, Any] = deepcopy(end.tables)
    spoil(tables[table])
    return replace(end, tables=tables)


def place_of(end: End, name: str, value: str) -> tuple[int, int]:
    """Return where the first event with such a header is."""
    places = ((partition, place) for partition, log in end.events.items() for place in range(len(log)))
    return next(it for it in places if header(end.events[it[0]][it[1]], name) == value)


def twin(end: End) -> End:
    partition, place = place_of(end, "type", "order.created")
    return with_events(end, lambda events: events[partition].append(events[partition][place]))


def lost_reply(end: End) -> End:
    partition, place = place_of(end, "type", "order.created")
    return with_events(end, lambda events: events[partition].pop(place))


def second_reply(end: End) -> End:
    partition, place = place_of(end, "type", "order.created")
    again = replace(end.events[partition][place], event_id=uuid.UUID(int=7))
    return with_events(end, lambda events: events[partition].append(again))


def swapped(end: End) -> End:
    partition, place = place_of(end, "version", "3")
    return with_events(end, lambda events: events[partition].insert(0, events[partition].pop(place)))


def other_partition(end: End) -> End:
    partition, place = place_of(end, "version", "3")
    return with_events(end, lambda events: events[(partition + 1) % 3].append(events[partition].pop(place)))


def lost_version(end: End) -> End:
    partition, place = place_of(end, "version", "2")
    return with_events(end, lambda events: events[partition].pop(place))


def ghost(end: End) -> End:
    return with_rows(end, "order_changes", lambda rows: rows[next(iter(rows))].update(change_id=None))


def double_effect(end: End) -> End:
    return with_rows(end, "order_changes", lambda rows: [row.update(correlation_id="c") for row in rows.values()])


def broken_history(end: End) -> End:
    return with_rows(end, "order_changes", lambda rows: [row.update(from_status="ACCEPTED") for row in rows.values()])


def line_lost(end: End) -> End:
    return with_rows(end, "order_changes", lambda rows: rows.pop(next(iter(rows))))


def another_status(end: End) -> End:
    status = list(sql.ORDER_COLUMNS).index("order_status")

    def spoil(rows: dict[Any, Any]) -> None:
        for order_id, row in rows.items():
            rows[order_id] = (*row[:status], "PICKED", *row[status + 1 :])

    return with_rows(end, "orders", spoil)


def second_order(end: End) -> End:
    saga_id = list(sql.ORDER_COLUMNS).index("saga_id")
    row = next(row for row in end.tables["orders"].values() if row[saga_id])
    return with_rows(end, "orders", lambda rows: rows.update(another=row))


def lost_letter(end: End) -> End:
    return with_rows(end, "dead_letters", lambda rows: rows.clear())


def second_letter(end: End) -> End:
    return with_rows(end, "dead_letters", lambda rows: rows.update(again=next(iter(rows.values()))))


def untrue_success(end: End) -> End:
    return replace(end, requests=[*end.requests, "never"], outcomes={**end.outcomes, "never": DONE})


def untrue_refusal(end: End) -> End:
    return replace(end, outcomes=dict.fromkeys(end.outcomes, NOT_DONE))


def unfinished(end: End) -> End:
    return replace(end, unfinished=["1 rows of the outbox"])


def surprised(end: End) -> End:
    return replace(end, surprises=["i0.http raised a bug"])


PLANTED = {
    twin: "is in the log 2 times",
    lost_reply: "has 0 replies",
    second_reply: "has 2 replies",
    swapped: "is announced in the versions",
    other_partition: "is in the partitions",
    lost_version: "is announced in the versions",
    ghost: "nothing made the event",
    double_effect: "changed orders",
    broken_history: "begins at ACCEPTED",
    line_lost: "begins at",
    another_status: "by its history",
    second_order: "made the orders",
    lost_letter: "0 dead letters instead of 1",
    second_letter: "2 dead letters instead of 1",
    untrue_success: "and is so 0 times",
    untrue_refusal: "and is so 1 times",
    unfinished: "never ends",
    surprised: "raised a bug",
}


def test_a_clean_story_passes() -> None:
    assert check(clean_story()) == []


@pytest.mark.parametrize(("plant", "sentence"), PLANTED.items(), ids=[plant.__name__ for plant in PLANTED])
def test_a_planted_fault_is_found(plant: Callable[[End], End], sentence: str) -> None:
    assert sentence in "\n".join(check(plant(clean_story())))
