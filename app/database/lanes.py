"""The rows that the relay sends, and the lead over them: an advisory lock on the very connection that forgets rows.

When the leader's session dies, PostgreSQL gives the lock to the next one; when the leader freezes, the kernel still
acknowledges for it, so the server ends a session that is silent for 8 s, and the leader does not send when its last
proof of life is older than that could allow.

What is forgotten need not be on the disk yet: rows that a crash of the server brings back come with the positions from
before them, so they are read back from the log.

Rows of a partition that cannot be written to are set aside: their ids move below zero, into a range of the partition's
own, where the look for the oldest rows does not meet them. There is no bound for how many wait, and none is in memory.

Rows are looked for above a floor (database/floor.py), or a snapshot held elsewhere would have each look walk over all
that left since. A leader walks once: the floor is its own, as a row may come back from below by hand.
"""

import contextlib
import threading
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection

from app.database.database import Database
from app.database.floor import Floor, last_id_of, writers_of
from app.database.timed import timed
from app.kafka.ports import LeadLost, Outgoing, Position, Positions
from app.utils.deadline import Deadline
from app.utils.limits import IDLE_MS, LEASE_CALL_SECONDS, LEASE_RENEW_SECONDS, LEASE_SECONDS
from app.utils.supervisor import Beat

STANDBY_SECONDS = 0.5
FLOOR_SECONDS = 0.5  # between two looks for the floor: at 8,000 events a second a look for rows walks over 4,000
# Rows come in the order of their ids: a table that was never analyzed, or is full of dead rows, would be read whole.
BY_KEY = {"enable_seqscan": "off", "enable_bitmapscan": "off", "jit": "off"}
ASIDE_RANGE = 1 << 44  # ids of a partition that are set aside: half a century at 10,000 a second
BATCH_BYTES = 2 * 1024 * 1024  # reading and sending take some times as much memory


@dataclass(frozen=True, slots=True)
class Lane:
    """Rows of one table that go to one topic. `select` takes a floor and two limits, `forget` an array of ids.

    `select_aside` takes two bounds and two limits, `set_aside` what is subtracted from an array of ids. A lane without
    them promises no order: its leader passes rows by until it has seen the last.
    `refuse` takes a reason and the event id of a row that the topic refuses; `passes_by`: it is left out from then on.
    """

    name: str
    table: str
    select: str
    forget: str
    select_aside: str = ""
    set_aside: str = ""
    refuse: str = ""
    passes_by: bool = False

    @property
    def lock(self) -> str:
        """The name of the advisory lock."""
        return f"relay:{self.name}"


def _oldest_events(condition: str) -> str:
    return (
        "SELECT id, event_id, convert_to(aggregateid, 'UTF8'), payload, type, correlation_id, version::text "
        "FROM (SELECT *, sum(octet_length(payload)) OVER (ORDER BY id) AS bytes "
        f"FROM (SELECT * FROM outbox WHERE {condition} ORDER BY id LIMIT %s) AS oldest) AS bounded "
        "WHERE bytes <= %s OR bytes = octet_length(payload) ORDER BY id"
    )


_EVENT = "event_id, aggregatetype, aggregateid, type, correlation_id, version, payload, created_at, refusal"
EVENTS = Lane(
    "events",
    "outbox",
    select=_oldest_events("id > %s"),
    forget="DELETE FROM outbox WHERE id = ANY (%s)",
    select_aside=_oldest_events("id >= %s AND id < %s"),
    set_aside=f"WITH gone AS (DELETE FROM outbox WHERE id = ANY (%s) RETURNING id, {_EVENT}) "
    f"INSERT INTO outbox (id, {_EVENT}) OVERRIDING SYSTEM VALUE SELECT id - %s, {_EVENT} FROM gone",
    refuse="UPDATE outbox SET refusal = %s WHERE event_id = %s",
)
DEAD_LETTERS = Lane(
    "dead_letters",
    "dead_letters",
    select='SELECT id, event_id, key, value, error, topic, partition::text, "offset"::text, '
    "CASE WHEN sha256 IS NOT NULL THEN 'true' END, length::text, encode(sha256, 'hex') "
    "FROM (SELECT *, sum(size) OVER (ORDER BY id) AS bytes "
    "FROM (SELECT *, coalesce(octet_length(key), 0) + coalesce(octet_length(value), 0) AS size "
    "FROM dead_letters WHERE sent_at IS NULL AND refusal IS NULL AND id > %s ORDER BY id LIMIT %s) AS oldest) "
    "AS bounded "
    "WHERE bytes <= %s OR bytes = size ORDER BY id",
    forget="UPDATE dead_letters SET sent_at = now() WHERE id = ANY (%s)",
    refuse="UPDATE dead_letters SET refusal = %s WHERE event_id = %s AND sent_at IS NULL",
    passes_by=True,
)
_HEADERS = {
    EVENTS.name: ("type", "correlation_id", "version"),
    DEAD_LETTERS.name: (
        "error",
        "original_topic",
        "original_partition",
        "original_offset",
        "truncated",
        "original_length",
        "original_sha256",
    ),
}

_POSITIONS = "SELECT partition, topic_id, next_offset FROM relay_positions WHERE topic = %s"
_SET = (
    "INSERT INTO relay_positions AS p (topic, partition, topic_id, next_offset) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (topic, partition) DO UPDATE SET topic_id = excluded.topic_id, next_offset = excluded.next_offset"
)
_DURABLY = "SET LOCAL synchronous_commit = on"
_KNOWN = "SELECT event_id FROM known_events WHERE event_id = ANY (%s)"
_NOTE = "INSERT INTO known_events (event_id) SELECT unnest(%s::uuid[]) ON CONFLICT DO NOTHING"
_ANY_KNOWN = "SELECT EXISTS (SELECT FROM known_events)"
_MOVE = f"{_SET} WHERE p.topic_id <> excluded.topic_id OR p.next_offset < excluded.next_offset"


class PostgresLead:
    """The lead over one lane. Its methods block for at most LEASE_CALL_SECONDS and raise LeadLost on any trouble."""

    def __init__(self, database: Database, connection: Connection, lane: Lane, topic: str, limit: int) -> None:
        self._database = database
        self._connection = connection
        self._lane = lane
        self._topic = topic
        self._limit = limit
        self._alive_at = _boot_time()
        self._floor = Floor()
        self._looked_at = -FLOOR_SECONDS
        self._last_seen: int | None = None
        self._passed_by = 0  # in a lane that promises no order: up to here rows wait for their partition
        self._any_known: bool | None = None

    def next_batch(self) -> Sequence[Outgoing]:
        """Return the oldest rows, at most the limit and BATCH_BYTES (but always one), but those that are set aside."""
        if _boot_time() - self._looked_at >= FLOOR_SECONDS:
            self._look_for_floor()
        begin = max(self._floor.id, self._passed_by)
        rows = self._call((self._lane.select, (begin, self._limit, BATCH_BYTES)))
        if not self._passed_by:
            self._floor.rise(rows[0][0] if rows else None)
        elif not rows:
            self._passed_by = 0
        self._last_seen = rows[-1][0] if rows else self._last_seen
        self.hold()  # a reading that took long proves too little
        return [self._outgoing(row) for row in rows]

    def set_aside(self, partition: int, ids: Collection[int]) -> Mapping[int, int]:
        """Take rows out of the way until their partition can be written to; return the ids that they have now."""
        if not self._lane.set_aside:
            self._passed_by = max(self._passed_by, *ids)
            return {}
        distance = (partition + 1) * ASIDE_RANGE
        new = [row_id for row_id in ids if row_id > 0]
        if new:
            self._call((self._lane.set_aside, (new, distance)))
        return {row_id: row_id - distance for row_id in new}

    def aside(self, partition: int) -> Sequence[Outgoing]:
        """Return the oldest rows that were set aside for the partition, as many as `next_batch` would."""
        if not self._lane.select_aside:
            self._passed_by = 0
            return []
        begin = -(partition + 1) * ASIDE_RANGE
        bounds = (begin, begin + ASIDE_RANGE, self._limit, BATCH_BYTES)
        rows = self._call((self._lane.select_aside, bounds))
        self.hold()
        return [self._outgoing(row) for row in rows]

    def known(self, event_ids: Collection[uuid.UUID]) -> Collection[uuid.UUID]:
        """Return which of these event ids a read-back has found in the log."""
        if self._any_known is None:
            self._any_known = self._call((_ANY_KNOWN, ()))[0][0]
        return {row[0] for row in self._call((_KNOWN, (list(event_ids),)))} if self._any_known else set()

    def note(self, event_ids: Collection[uuid.UUID], positions: Positions) -> None:
        """Remember event ids that are in the log, and move the positions behind them, in one transaction."""
        self._call((_NOTE, (list(event_ids),)), *self._moves(_SET, positions))
        self._any_known = None

    def confirm(self, ids: Collection[int], positions: Positions) -> None:
        """Forget exactly these rows and move the positions, in one transaction."""
        self._call((self._lane.forget, (list(ids),)), *self._moves(_MOVE, positions))

    def pass_by(self, event_id: uuid.UUID, refusal: str) -> bool:
        """Keep why the topic refuses the row; tell whether it is left out from now on, or the lane keeps its order."""
        if self._lane.refuse:
            self._call((self._lane.refuse, (refusal, event_id)))
        return self._lane.passes_by

    def positions(self) -> Positions:
        """Return the stored positions."""
        rows = self._call((_POSITIONS, (self._topic,)))
        return {partition: Position(topic_id, offset) for partition, topic_id, offset in rows}

    def move(self, positions: Positions) -> None:
        """Store the positions as they are, on the disk too: a log that was cut ends before the stored ones."""
        if positions:
            self._call((_DURABLY, ()), *self._moves(_SET, positions))

    def hold(self) -> None:
        """Prove that the leader lives, unless that was done in the last second."""
        if _boot_time() - self._alive_at > LEASE_RENEW_SECONDS:
            self._call(("SELECT 1", ()))

    def check(self) -> None:
        """Raise LeadLost when the last proof of life is too old; that clock also runs while the machine sleeps."""
        if _boot_time() - self._alive_at > LEASE_SECONDS:
            raise LeadLost("the lease ran out")

    def acquire(self) -> bool:
        """Try to take the lead; returns at once."""
        return bool(self._call(("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (self._lane.lock,)))[0][0])

    def _look_for_floor(self) -> None:
        """In calls of their own: each sees what was committed before it, whatever the isolation is."""
        drawn = self._call((last_id_of(self._lane.table), ()))[0][0]
        writers = self._call((writers_of(self._lane.table), ()))
        self._floor.look(self._last_seen if drawn is None else drawn, [(name, prepared) for name, prepared in writers])
        self._looked_at = _boot_time()

    def _moves(self, statement: str, positions: Positions) -> list[tuple[str, tuple[Any, ...]]]:
        return [
            (statement, (self._topic, partition, position.topic_id, position.next_offset))
            for partition, position in sorted(positions.items())
        ]

    def _call(self, *statements: tuple[str, tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Run the statements in one transaction, sent as one message, and return the rows of the last.

        It proves life as of when it was asked: the answer may be old when a leader that was frozen reads it.
        """
        asked_at = _boot_time()
        message = "; ".join(statement for statement, _ in statements)
        parameters = [value for _, values in statements for value in values]
        try:
            with (
                timed(self._connection, Deadline(LEASE_CALL_SECONDS)),
                self._connection.cursor() as cursor,
            ):
                cursor.execute(message, parameters)
                rows = cursor.fetchall() if cursor.description else []
        except psycopg2.Error as error:
            raise LeadLost(f"{type(error).__name__} on the leader's connection") from error
        self._alive_at = asked_at
        return rows

    def _outgoing(self, row: tuple[Any, ...]) -> Outgoing:
        row_id, event_id, key, value, *headers = row
        named = zip(_HEADERS[self._lane.name], headers, strict=True)
        encoded = [(name, text.encode()) for name, text in named if text is not None]
        return Outgoing(row_id, event_id, _bytes(key), _bytes(value), (("event_id", str(event_id).encode()), *encoded))


@contextlib.contextmanager
def lead(
    database: Database, lane: Lane, topic: str, limit: int, stop: threading.Event, beat: Beat
) -> Iterator[PostgresLead | None]:
    """Stand by until the lane's lead is ours, and hold it in the body; None when `stop` came first.

    Raises DatabaseAway and LeadLost.
    """
    connection = database.connect_to_lead(
        idle_session_timeout=IDLE_MS,
        statement_timeout=int(LEASE_CALL_SECONDS * 1000),
        synchronous_commit="off",
        **BY_KEY,
        tcp_user_timeout=IDLE_MS,
    )
    try:
        leader = PostgresLead(database, connection, lane, topic, limit)
        while not stop.is_set():
            beat()
            if leader.acquire():
                yield leader
                return
            stop.wait(STANDBY_SECONDS)
        yield None
    finally:
        with contextlib.suppress(psycopg2.Error):
            connection.close()


def _boot_time() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _bytes(value: memoryview | bytes | None) -> bytes | None:
    return None if value is None else bytes(value)
