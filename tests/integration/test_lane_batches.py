"""What the relay's leader reads at once is bounded in rows and in bytes, and always has a row."""

import os
import socket
import struct
import threading
import uuid
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values

from app.config.config import Settings
from app.database import lane_lease, schema
from app.database.database import Database
from app.database.lane_lease import BATCH_BYTES, acquire_lease
from app.database.lanes import DEAD_LETTERS, EVENTS, Lane
from tests.harness.world import wait_for

HALF = BATCH_BYTES // 2
LETTERS = 'INSERT INTO dead_letters (event_id, topic, partition, "offset", key, value, error) VALUES %s'
OUTBOX = "INSERT INTO outbox (event_id, aggregateid, type, correlation_id, payload) VALUES %s"


def portions(url: str, lane: Lane, limit: int) -> list[int]:
    """Return how many rows each reading has until none is left."""
    database, found = Database(url), []
    with acquire_lease(database, lane, "topic", limit, threading.Event(), lambda: None) as leader:
        assert leader is not None
        while batch := leader.next_batch():
            leader.confirm_sent([record.id for record in batch], {})
            found.append(len(batch))
    return found


@pytest.fixture
def url(database_url: str) -> str:
    """The address of a database at head, as the service has it."""
    settings = Settings.load({"DATABASE_URL": database_url})
    schema.migrate(settings.database_url)
    return settings.database_url


@pytest.mark.parametrize(
    ("rows", "cut"),
    [
        ([(1, 1)] * 5, [3, 2]),
        ([(0, HALF), (0, HALF), (0, HALF), (0, 1)], [2, 2]),
        ([(HALF, None), (HALF, None), (1, None), (None, None)], [2, 2]),
        ([(HALF, HALF), (None, 1), (BATCH_BYTES, 1), (None, None)], [1, 1, 1, 1]),
    ],
)
def test_dead_letters_count_with_their_keys(
    url: str, database_url: str, rows: list[tuple[int | None, int | None]], cut: list[int]
) -> None:
    """Keys are their senders', and as large as they like."""
    values = [
        (
            str(uuid.uuid4()),
            "commands",
            0,
            place,
            *(None if size is None else bytes(size) for size in sizes),
            "unreadable",
        )
        for place, sizes in enumerate(rows)
    ]
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        execute_values(cursor, LETTERS, values)
    assert portions(url, DEAD_LETTERS, 3) == cut


@pytest.mark.parametrize(
    ("sizes", "cut"), [([1] * 5, [3, 2]), ([HALF, HALF, 1], [2, 1]), ([BATCH_BYTES + 1, 1, 1], [1, 2])]
)
def test_events_are_read_in_portions(url: str, database_url: str, sizes: list[int], cut: list[int]) -> None:
    values = [(str(uuid.uuid4()), "order", "ORDER_CREATED", "correlation", bytes(size)) for size in sizes]
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        execute_values(cursor, OUTBOX, values)
    assert portions(url, EVENTS, 3) == cut


def test_a_leader_that_stops_reading_amid_its_rows_loses_its_lease(
    url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server counts neither the statement's time nor silence while it cannot get rid of an answer."""
    monkeypatch.setattr(lane_lease, "IDLE_MS", 1_000)
    with (
        acquire_lease(Database(url), DEAD_LETTERS, "topic", 1, threading.Event(), lambda: None) as leader,
        closing(psycopg2.connect(database_url)) as another,
        socket.socket(fileno=os.dup(leader._connection.fileno())) as wire,  # type: ignore[union-attr]  # nothing stops it: it leads
    ):
        another.autocommit = True
        query = b"SELECT repeat('x', 200000000)\0"
        wire.sendall(b"Q" + struct.pack(">i", len(query) + 4) + query)  # and nobody reads the answer
        wait_for(lambda: taken(another), "the end of the session", 30)


def taken(connection: Connection) -> bool:
    """Try to take the lease of the dead letters."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (DEAD_LETTERS.lock,))
        [(is_taken,)] = cursor.fetchall()
        return bool(is_taken)


def test_dead_letters_of_a_partition_that_is_away_are_passed_by_and_come_again(url: str, database_url: str) -> None:
    """No order is promised among them."""
    values = [(str(uuid.uuid4()), "commands", 0, place, None, b"x", "unreadable") for place in range(4)]
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        execute_values(cursor, LETTERS, values)
    with acquire_lease(Database(url), DEAD_LETTERS, "topic", 2, threading.Event(), lambda: None) as leader:
        assert leader is not None
        first = [record.id for record in leader.next_batch()]
        leader.set_aside(0, first)
        others = [record.id for record in leader.next_batch()]
        assert not {*first} & {*others}
        leader.confirm_sent(others, {})
        found = [[record.id for record in leader.next_batch()] for _ in range(2)]
        assert found == [[], first]
        assert leader.aside(0) == []
