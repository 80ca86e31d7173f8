"""What the tables know of an id: orders, their changes, commands that changed nothing, what waits, what was set aside.

Each question stands in a savepoint of its own: a locked table, or one too large for a look without an index, costs that
fact alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, Select, or_, select, text, union

from app.config.config import Settings
from app.database import why_sql as sql
from app.database.cluster_sql import FIND_CLUSTER
from app.kafka import clients
from app.kafka.operator import Place
from app.models.kafka_tables import (
    command_identities,
    consumer_offsets,
    dead_letters,
    given_up_commands,
    lost_events,
    outbox,
    taken_out_events,
)
from app.models.models import Order, idempotency_keys, order_changes, refused_accepts
from app.models.records import StoredOffset
from app.operations import alarms, guarded, instances
from app.operations.alarms import ListedAlarm
from app.operations.guarded import NotAsked
from app.operations.instances import Instance
from app.operations.offsets import read_stored
from app.operations.search_tables import order_in
from app.operations.transaction import hurried, transaction
from app.wire.bodies import CHANGES

SECONDS = 1
LOCK_MS = 300
MOST = 10
PATHS = tuple(form.path for _, _, form in CHANGES)
"""The paths that take an Idempotency-Key."""

Found = TypeVar("Found")
_orders = Order.__table__.c


@dataclass(frozen=True, slots=True)
class Sought:
    """By what facts are looked for. `ids`: order, saga and correlation ids; `hashes`, `event_ids`: of commands that the
    log has shown."""

    key: str
    ids: frozenset[str]
    place: Place | None = None
    hashes: frozenset[bytes] = frozenset()
    event_ids: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class Facts:
    """What one look at the tables found, each list with the newest first and MOST long at most.

    `now`: the database's clock; `moved_at`: when the stored offset of a partition moved last; `before`: how many events
    wait before the first of `waiting`; `unknown`: what could not be asked, and why.
    """

    now: datetime
    takes_writes: str | None
    cluster: tuple[str, str] | None
    stored: Mapping[int, StoredOffset]
    moved_at: Mapping[int, datetime]
    alarms: Sequence[ListedAlarm]
    table_locks: Sequence[Row[Any]]
    row_locks: Sequence[Row[Any]]
    answers: Sequence[Row[Any]]
    key_holders: Sequence[Row[Any]]
    orders: Sequence[Row[Any]]
    changes: Sequence[Row[Any]]
    unfulfilled: Sequence[Row[Any]]
    letters: Sequence[Row[Any]]
    given_up: Sequence[Row[Any]]
    refused: Sequence[Row[Any]]
    waiting: Sequence[Row[Any]]
    taken_out: Sequence[Row[Any]]
    lost: Sequence[Row[Any]]
    leaders: Sequence[Row[Any]]
    instances: Sequence[Instance]
    before: int
    unknown: Sequence[str]

    def silent_member(self, client_id: str) -> Instance | None:
        """Return the process with this client id of Kafka if it has fallen silent."""
        return _silent(one for one in self.instances if clients.client_id(one.host, one.pid) == client_id)

    def silent_leader(self, lane: str) -> Instance | None:
        """Return the process that said last that it relays the lane if it has fallen silent since."""
        return _silent(one for one in self.instances if lane in one.leads)

    def ago(self, at: datetime) -> float:
        """Return how many seconds ago that was."""
        return (self.now - at).total_seconds()

    @property
    def knows(self) -> bool:
        """Whether any table knows the id."""
        rows = (
            self.answers,
            self.key_holders,
            self.orders,
            self.changes,
            self.unfulfilled,
            self.letters,
            self.given_up,
        )
        return any(map(len, (*rows, self.waiting, self.taken_out)))


def _silent(processes: Iterator[Instance]) -> Instance | None:
    """Return the first, which told of itself last, if it has fallen silent."""
    newest = next(processes, None)
    return newest if newest is not None and newest.falls_silent else None


def read(settings: Settings, sought: Sought) -> Facts:
    """Look at all tables once. Blocks up to 2 s; raises DatabaseUnusable."""
    with hurried(SECONDS, LOCK_MS), transaction(settings) as connection:
        return _Reading(connection, settings.commands_topic, sought).read()


class _Reading:
    """The questions of one look, in one transaction."""

    def __init__(self, connection: Connection, topic: str, sought: Sought) -> None:
        self._connection = connection
        self._topic = topic
        self._sought = sought
        self._unknown: list[str] = []

    def read(self) -> Facts:
        (state,) = self._rows("the server", text(sql.STATE))
        sought = self._sought
        answers = self._rows("idempotency_keys", _answers(sought.key))
        ids = set(sought.ids).union(filter(None, (order_in(bytes(row.body)) for row in answers)))
        orders = self._rows("orders", _of_orders(sorted(ids)))
        return self._about(state, answers, orders, sorted(ids.union(row.order_id for row in orders)))

    def _about(
        self, state: Row[Any], answers: Sequence[Row[Any]], orders: Sequence[Row[Any]], ids: Sequence[str]
    ) -> Facts:
        sought = self._sought
        order_ids = [row.order_id for row in orders] or ids
        keyed = {"paths": list(PATHS), "key": sought.key}
        waiting = self._rows("outbox", _waiting(ids, sought))
        return Facts(
            now=state.now,
            takes_writes=state.trouble,
            cluster=self._ask("kafka_cluster", None, _cluster),
            stored=self._ask("consumer_offsets", {}, lambda asked: read_stored(asked, self._topic)),
            moved_at=self._ask("consumer_offsets", {}, self._moved_at),
            alarms=self._ask("alarms", [], lambda asked: alarms.read(asked, ended=False)),
            table_locks=self._rows("locks", text(sql.TABLE_LOCKS)),
            row_locks=self._rows("locks of rows", text(sql.ROW_LOCKS), ids=order_ids),
            answers=answers,
            key_holders=self._rows("keys in use", text(sql.KEY_HOLDERS), **keyed),
            orders=orders,
            changes=self._changes(order_ids),
            unfulfilled=self._rows("command_identities", _unfulfilled(ids, sought)),
            letters=self._rows("dead_letters", _set_aside(dead_letters, sought)),
            given_up=self._rows("given_up_commands", _set_aside(given_up_commands, sought)),
            refused=self._rows("refused_accepts", _refused(order_ids)),
            waiting=waiting,
            taken_out=self._rows("taken_out_events", _taken_out(ids)),
            lost=self._rows("lost_events", _lost(order_ids)),
            leaders=self._rows("leaders", text(sql.LEADERS)),
            instances=self._ask("instances", [], instances.read),
            before=sum(row.before for row in self._rows("outbox", text(sql.BEFORE), id=waiting[0].id))
            if waiting
            else 0,
            unknown=tuple(self._unknown),
        )

    def _changes(self, order_ids: Sequence[str]) -> Sequence[Row[Any]]:
        """Return the changes of the orders, or those of the correlation ids (database/history_index.py)."""
        newest = order_changes.c.created_at.desc(), order_changes.c.version.desc()
        query = select(order_changes).order_by(*newest).limit(MOST)
        found = self._rows("order_changes", query.where(order_changes.c.order_id.in_(order_ids)))
        if found or not self._sought.ids:
            return found
        by_id = query.where(order_changes.c.correlation_id.in_(sorted(self._sought.ids)))
        self._connection.execute(text("SET LOCAL enable_seqscan = off"))  # the index has the ids, but not their order
        found = self._rows("correlation ids in order_changes", by_id)
        self._connection.execute(text("SET LOCAL enable_seqscan = on"))
        return found

    def _moved_at(self, connection: Connection) -> dict[int, datetime]:
        columns = consumer_offsets.c
        query = select(columns.partition, columns.updated_at).where(columns.topic == self._topic)
        return {row.partition: row.updated_at for row in connection.execute(query)}

    def _rows(self, what: str, query: Any, **values: Any) -> Sequence[Row[Any]]:
        return self._ask(what, [], lambda connection: connection.execute(query, values).all())

    def _ask(self, what: str, default: Found, question: Callable[[Connection], Found]) -> Found:
        try:
            return guarded.ask(self._connection, question)
        except NotAsked as reason:
            self._unknown.append(f"{what}: {reason}")
            return default


def _cluster(connection: Connection) -> tuple[str, str] | None:
    row = connection.execute(text(FIND_CLUSTER.sql)).first()
    return None if row is None else (row[0], row[1])


def _of_orders(ids: Sequence[str]) -> Select[Any]:
    columns = (_orders[name] for name in ("order_id", "order_status", "version", "saga_id"))
    known = or_(_orders.order_id.in_(ids), _orders.saga_id.in_(ids))
    return select(*columns).where(known).order_by(_orders.created_at.desc()).limit(MOST)


def _answers(key: str) -> Select[Any]:
    columns = idempotency_keys.c
    return select(columns.path, columns.status, columns.body, columns.created_at).where(
        columns.path.in_(PATHS), columns.key == key
    )


def _unfulfilled(ids: Sequence[str], sought: Sought) -> Select[Any]:
    columns = command_identities.c
    # One branch for each index.
    found = union(
        *(
            select(columns.hash).where(condition)
            for condition in (
                columns.order_id.in_(ids),
                columns.correlation_id.in_(ids),
                columns.hash.in_(sorted(sought.hashes)),
            )
        )
    )
    known = columns.hash.in_(found)
    return select(command_identities).where(known).order_by(columns.created_at.desc()).limit(MOST)


def _set_aside(table: Any, sought: Sought) -> Select[Any]:
    """Return the query for a record that was kept with its bytes. By its event id the look is quick."""
    columns = table.c
    conditions: list[ColumnElement[bool]] = [columns.event_id.in_(sorted(sought.event_ids))]
    if sought.place is not None and not sought.event_ids:
        place = sought.place
        conditions.append(
            (columns.topic == place.topic) & (columns.partition == place.partition) & (columns.offset == place.offset)
        )
    if "correlation_id" in columns:
        conditions.append(columns.correlation_id.in_(sorted(sought.ids)))
    kept = [column for column in columns if column.name not in ("key", "value")]
    return select(*kept).where(or_(*conditions)).order_by(columns.id.desc()).limit(MOST)


def _refused(order_ids: Sequence[str]) -> Select[Any]:
    columns = refused_accepts.c
    at = columns.refused_at
    return select(columns.order_id, at).where(columns.order_id.in_(order_ids)).order_by(at.desc()).limit(MOST)


def _waiting(ids: Sequence[str], sought: Sought) -> Select[Any]:
    columns = outbox.c
    kept = [column for column in columns if column.name != "payload"]
    known = or_(
        columns.aggregateid.in_(ids), columns.correlation_id.in_(ids), columns.event_id.in_(sorted(sought.event_ids))
    )
    return select(*kept).where(known).order_by(columns.id).limit(MOST)


def _taken_out(ids: Sequence[str]) -> Select[Any]:
    columns = taken_out_events.c
    kept = [column for column in columns if column.name != "payload"]
    known = or_(columns.aggregateid.in_(ids), columns.correlation_id.in_(ids))
    return select(*kept).where(known, columns.put_back_at.is_(None)).limit(MOST)


def _lost(order_ids: Sequence[str]) -> Select[Any]:
    columns = lost_events.c
    return select(lost_events).where(columns.order_id.in_(order_ids), columns.announced_at.is_(None)).limit(MOST)
