"""What the tables know of an id: orders, their changes, commands that changed nothing, what waits, what was set aside.

Each question stands in a savepoint of its own: a locked table, or one too large for a look without an index, costs that
fact alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, select, text

from app.config.config import Settings
from app.database import why_sql as sql
from app.database.cluster_sql import FIND_CLUSTER
from app.kafka import clients
from app.models.kafka_tables import (
    consumer_offsets,
    dead_letters,
    given_up_commands,
)
from app.models.models import order_changes
from app.models.records import StoredOffset
from app.models.refusals import LOST_RACE
from app.operations import alarms, guarded, instances, outbox_rows, refusals
from app.operations import why_queries as queries
from app.operations.alarms import ListedAlarm
from app.operations.guarded import NotAsked
from app.operations.instances import Instance
from app.operations.offsets import read_stored
from app.operations.refusals import Refused
from app.operations.search_tables import order_in
from app.operations.transaction import by_indexes, hurried, transaction
from app.operations.why_queries import Sought
from app.wire.bodies import CHANGE_PATHS

SECONDS = 1
LOCK_MS = 300

Found = TypeVar("Found")


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
    http_refusals: Sequence[Refused]
    before: int
    unknown: Sequence[str]

    def silent_member(self, client_id: str) -> Instance | None:
        """Return the process with this client id of Kafka if it has fallen silent."""
        return _silent(one for one in self.instances if clients.client_id(one.host, one.pid) == client_id)

    def silent_leader(self, lane: str) -> Instance | None:
        """Return the process that said last that it relays the lane if it has fallen silent since."""
        return _silent(one for one in self.instances if lane in one.leads)

    def last_refused(self, some_id: str) -> Refused | None:
        """Return the last refusal of requests with this Idempotency-Key or correlation id."""
        return next((one for one in self.http_refusals if one.is_of(some_id) and one.code != LOST_RACE), None)

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
        return any(map(len, (*rows, self.waiting, self.taken_out, self.lost, self.http_refusals)))


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
        self._refused: list[Refused] = []

    def read(self) -> Facts:
        (state,) = self._rows("the server", text(sql.STATE))
        sought = self._sought
        answers = self._rows("idempotency_keys", queries.answers(sought.key))
        ids = set(sought.ids).union(filter(None, (order_in(bytes(row.body)) for row in answers)))
        of_id = refusals.of_id(sought.key)
        self._refused = self._ask("http_refusals", self._refused, lambda asked: refusals.read(asked, of_id))
        ids.update(one.order_id for one in self._refused if one.order_id is not None)
        orders = self._rows("orders", queries.of_orders(sorted(ids)))
        return self._about(state, answers, orders, sorted(ids.union(row.order_id for row in orders)))

    def _about(
        self, state: Row[Any], answers: Sequence[Row[Any]], orders: Sequence[Row[Any]], ids: Sequence[str]
    ) -> Facts:
        sought = self._sought
        order_ids = [row.order_id for row in orders] or ids
        keyed = {"paths": list(CHANGE_PATHS), "key": sought.key}
        changes = self._changes(order_ids)
        unfulfilled = self._rows("command_identities", queries.unfulfilled(ids, sought))
        given_up = self._rows("given_up_commands", queries.set_aside(given_up_commands, sought))
        waiting = self._waiting(ids, [row.created_at for row in (*changes, *unfulfilled, *given_up)])
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
            changes=changes,
            unfulfilled=unfulfilled,
            letters=self._rows("dead_letters", queries.set_aside(dead_letters, sought)),
            given_up=given_up,
            refused=self._rows("refused_accepts", queries.refused(order_ids)),
            waiting=waiting,
            taken_out=self._rows("taken_out_events", queries.taken_out(ids, sought)),
            lost=self._rows("lost_events", queries.lost(order_ids, sought)),
            leaders=self._rows("leaders", text(sql.LEADERS)),
            instances=self._ask("instances", [], instances.read),
            http_refusals=self._refused,
            before=sum(row.before for row in self._rows("outbox", text(sql.BEFORE), id=waiting[0].id))
            if waiting
            else 0,
            unknown=tuple(self._unknown),
        )

    def _changes(self, order_ids: Sequence[str]) -> Sequence[Row[Any]]:
        """Return the changes of the orders, or those of the correlation ids, or of the event (history_index.py)."""
        columns, sought = order_changes.c, self._sought
        found = self._rows("order_changes", queries.changes(columns.order_id.in_(order_ids)))
        if found or not (sought.ids or sought.event_ids):
            return found
        named, name = (columns.correlation_id, sought.ids) if sought.ids else (columns.change_id, sought.event_ids)
        with by_indexes(self._connection):  # the index has the ids, but not their order
            return self._rows(f"{named.name}s in order_changes", queries.changes(named.in_(sorted(name))))

    def _waiting(self, ids: Sequence[str], times: Sequence[datetime]) -> Sequence[Row[Any]]:
        """Return what waits in the outbox, as far as that can be told in time."""
        sought = self._sought
        times = [*times, *(moment for event_id in sought.event_ids for moment in outbox_rows.moment_of(event_id))]

        def look(connection: Connection) -> Sequence[Row[Any]]:
            found = outbox_rows.find(connection, queries.waiting(ids, sought), times)
            if found is None:
                raise NotAsked("it took too long")
            return found[: queries.MOST]

        none: Sequence[Row[Any]] = ()
        return self._ask("outbox", none, look)

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
