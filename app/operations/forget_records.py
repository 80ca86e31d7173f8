"""A person is taken out of what is kept beside the orders: history, answers, records with their bytes, the audit.

Every table is read from its beginning to its end, a portion a transaction: none of them is sorted by persons. Whatever
a portion has changed stays changed, and a second run finds nothing there.
"""

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Row,
    Table,
    and_,
    delete,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from app.config.config import Settings
from app.models.forgetting import GONE, Person, Role
from app.models.kafka_tables import dead_letters, given_up_commands, outbox, taken_out_events
from app.models.models import Order, idempotency_keys, order_changes, refused_accepts
from app.models.operator_errors import NotPossible
from app.models.service_tables import jobs, operator_actions
from app.operations.transaction import transaction
from app.wire.forgetting import names, without

PORTION = 2000
_orders = Order.__table__.c


def require_rights(settings: Settings, person: Person) -> None:
    """Raise NotPossible if the database user may not rename a runner in the history: the service's own may not."""
    if person.role is Role.RUNNER:
        may = select(func.has_column_privilege("order_changes", "runner_id", "UPDATE"))
        with transaction(settings) as connection:
            if not connection.scalar(may):
                raise NotPossible("This database user may not change the history: take the one that owns the tables.")


def from_history(settings: Settings, person: Person) -> int:
    """Rename a runner in the history and in the refused accepts; return how many lines. A customer is in neither."""
    if person.role is not Role.RUNNER:
        return 0
    changed = 0
    for connection, portion in _portions(settings, order_changes, ("order_id", "version")):
        changed += _rename(connection, order_changes, portion, person)
    for connection, portion in _portions(settings, refused_accepts, ("order_id", "runner_id")):
        changed += _rename(connection, refused_accepts, portion, person)
    return changed


def from_answers(settings: Settings, person: Person) -> int:
    """Let stored answers show the orders as they are now; return how many. A repeat gets the answer as it is then."""
    changed, columns = 0, idempotency_keys.c
    for connection, portion in _portions(settings, idempotency_keys, ("path", "key")):
        for row in connection.execute(select(idempotency_keys).where(portion, _holds(columns.body, person))).all():
            body = without(bytes(row.body), person)
            if body != bytes(row.body):
                known_by = and_(columns.path == row.path, columns.key == row.key)
                connection.execute(update(idempotency_keys).where(known_by).values(body=body))
                changed += 1
    return changed


def from_taken_out_events(settings: Settings, person: Person) -> int:
    """Let events that an operator took out show the orders as they are now; return how many."""
    columns, changed = taken_out_events.c, 0
    theirs = select(_orders.order_id).where(_orders.cust_id == person.pseudonym)
    for connection, portion in _portions(settings, taken_out_events, ("event_id",)):
        about = or_(_holds(columns.payload, person), columns.aggregateid.in_(theirs))
        of_theirs = columns.aggregateid.in_(theirs).label("of_theirs")
        for row in connection.execute(select(columns.event_id, columns.payload, of_theirs).where(portion, about)).all():
            payload = without(bytes(row.payload), person, of_theirs=row.of_theirs)
            if payload != bytes(row.payload):
                same = columns.event_id == row.event_id
                connection.execute(update(taken_out_events).where(same).values(payload=payload))
                changed += 1
    return changed


def from_records(settings: Settings, person: Person) -> int:
    """Delete the bytes of others' records that name the person; return how many records."""
    changed = 0
    for connection, row in _naming(settings, dead_letters, ("key", "value"), person):
        same = dead_letters.c.id == row.id
        if row.sent_at is not None:
            decided = {
                "resolution": func.coalesce(dead_letters.c.resolution, "discarded"),
                "resolved_at": func.coalesce(dead_letters.c.resolved_at, func.now()),
            }
            connection.execute(update(dead_letters).where(same).values(key=None, value=None, **decided))
        elif row.refusal is not None:  # the topic does not get it: nothing is left of it
            connection.execute(delete(dead_letters).where(same))
        else:
            continue
        changed += 1
    for connection, row in _naming(settings, given_up_commands, ("key", "value"), person):
        gone = update(given_up_commands).where(given_up_commands.c.id == row.id)
        connection.execute(gone.values(key=None, value=None, error=GONE))
        changed += 1
    return changed


def from_audit(settings: Settings, person: Person) -> int:
    """Delete bytes and keys that an audit line keeps of records that name the person; return how many lines."""
    changed, columns = 0, operator_actions.c
    for connection, row in _naming(settings, operator_actions, ("bytes",), person):
        connection.execute(update(operator_actions).where(columns.id == row.id).values(bytes=None))
        changed += 1
    key = f"key (Base64) {base64.b64encode(person.id.encode()).decode()}"
    for connection, portion in _portions(settings, operator_actions, ("id",)):
        kept = update(operator_actions).where(portion, func.strpos(columns.detail, key) > 0)
        done = connection.execute(kept.values(detail=func.replace(columns.detail, key, f"key {GONE}")))
        changed += done.rowcount
    return changed


def from_jobs(settings: Settings, person: Person) -> int:
    """Delete the examples of checks that name the person; return how many jobs had some."""
    changed, columns = 0, jobs.c
    for connection, portion in _portions(settings, jobs, ("id",)):
        for row in connection.execute(select(columns.id, columns.result).where(portion, columns.result.is_not(None))):
            report = json.loads(row.result)
            findings = report.get("findings", ())  # only checks have some
            named = [finding for finding in findings if any(person.id in it for it in finding["examples"])]
            for finding in named:
                finding["examples"] = []
            if named:
                result = json.dumps(report)
                connection.execute(update(jobs).where(columns.id == row.id).values(result=result))
                changed += 1
    return changed


def waiting(settings: Settings, person: Person) -> int:
    """Return how many events and dead letters that name the person still wait for Kafka."""
    with transaction(settings) as connection:
        events = connection.execute(select(outbox.c.payload).where(_holds(outbox.c.payload, person)))
        found = sum(names(bytes(row.payload), person.id) for row in events)
        unsent = and_(dead_letters.c.sent_at.is_(None), dead_letters.c.refusal.is_(None))
        letters = connection.execute(select(dead_letters.c.key, dead_letters.c.value).where(unsent))
        return found + sum(any(names(_bytes(data), person.id) for data in letter) for letter in letters)


def _portions(settings: Settings, table: Table, key: Sequence[str]) -> Iterator[tuple[Connection, ColumnElement[bool]]]:
    """Yield, in a transaction each, the conditions of the portions of a table, in the order of its key."""
    columns = tuple_(*(table.c[name] for name in key))
    after: tuple[Any, ...] | None = None
    while True:
        begins = literal(True) if after is None else columns > tuple_(*after)
        with transaction(settings) as connection:
            first = select(*(table.c[name] for name in key)).where(begins).order_by(*(table.c[name] for name in key))
            last = connection.execute(first.limit(PORTION)).all()
            if not last:
                return
            after = tuple(last[-1])
            yield connection, and_(begins, columns <= tuple_(*after))


def _naming(
    settings: Settings, table: Table, held_in: Sequence[str], person: Person
) -> Iterator[tuple[Connection, Row[Any]]]:
    """Yield the rows whose bytes name the person, locked, each with the transaction of its portion."""
    holds = or_(*(_holds(table.c[name], person) for name in held_in))
    for connection, portion in _portions(settings, table, ("id",)):
        for row in connection.execute(select(table).where(portion, holds).with_for_update()).all():
            if any(names(_bytes(row._mapping[name]), person.id) for name in held_in):
                yield connection, row


def _rename(connection: Connection, table: Table, portion: ColumnElement[bool], person: Person) -> int:
    renamed = update(table).where(portion, table.c.runner_id == person.id).values(runner_id=person.pseudonym)
    return connection.execute(renamed).rowcount


def _holds(column: ColumnElement[Any], person: Person) -> ColumnElement[bool]:
    """Return the condition that the bytes hold the id, however JSON writes it. Null holds nothing."""
    spelled = {person.id, *(json.dumps(person.id, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))}
    sought = (literal(text.encode(), LargeBinary) for text in sorted(spelled))
    return or_(*(func.coalesce(func.pg_catalog.position(column, bytes_), 0) > 0 for bytes_ in sought))


def _bytes(data: Any) -> bytes | None:
    return None if data is None else bytes(data)
