"""Lists do not walk over folded deltas that a held snapshot keeps, and count every one that comes late."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ
from psycopg2.extensions import connection as Connection

from app.database import floor, pages_sql
from app.database.floor import ABOVE_DELTA_FLOOR
from app.database.pool import Pool
from app.services.housekeeping import Housekeeping
from app.utils.alarms import Alarms

DELTA = "INSERT INTO order_count_deltas VALUES (1, 'CREATED', 'customer-1', NULL, now())"
DELTAS = "INSERT INTO order_count_deltas SELECT 1, 'CREATED', 'customer-1', NULL, now() FROM generate_series(1, 20000)"
READ = "SELECT count(*) FROM order_count_deltas"
EXPLAIN = f"EXPLAIN (ANALYZE, BUFFERS) {READ}"
FEW_PAGES = 50  # 20,000 deltas have hundreds
PAGE = pages_sql.PAGES[frozenset()].sql.replace("$1", "0").replace("$2", "0")
Fold = Callable[[], None]


@pytest.fixture
def fold(pool: Pool) -> Fold:
    keeper = Housekeeping(pool, dict, Alarms())

    def twice() -> None:
        for _ in range(2):
            keeper.fold(threading.Event(), lambda: None)

    return twice


@pytest.fixture
def connect(pool: Pool, database_url: str) -> Iterator[Callable[[], Connection]]:
    opened: list[Connection] = []

    def connect() -> Connection:
        opened.append(psycopg2.connect(database_url))
        opened[-1].autocommit = True
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


def one(connection: Connection, sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.fetchall()[0][0])


def do(connection: Connection, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def pages(connection: Connection, condition: str) -> int:
    """How many pages reading the deltas touches."""
    with connection.cursor() as cursor:
        cursor.execute(f"{EXPLAIN} WHERE {condition}")
        buffers = next(line for (line,) in cursor.fetchall() if "Buffers: shared" in line)
    return sum(int(part.split("=")[1]) for part in buffers.split() if "=" in part)


def test_lists_do_not_walk_over_what_a_held_snapshot_keeps(connect: Callable[[], Connection], fold: Fold) -> None:
    reader, writer = connect(), connect()
    reader.autocommit = False
    reader.set_session(isolation_level=ISOLATION_LEVEL_REPEATABLE_READ)
    assert one(reader, f"SELECT total FROM ({PAGE}) AS page") == 0
    for _ in range(3):
        do(writer, DELTAS)
        fold()
    assert pages(writer, "true") > FEW_PAGES, "the snapshot keeps nothing"
    assert pages(writer, ABOVE_DELTA_FLOOR) < FEW_PAGES
    do(writer, DELTA)
    assert one(writer, f"SELECT total FROM ({PAGE}) AS page") == 60_001
    assert one(reader, f"SELECT total FROM ({PAGE}) AS page") == 0


def test_a_delta_whose_lower_id_commits_later_is_counted(
    connect: Callable[[], Connection], fold: Fold, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[H3] And by whoever folds next."""
    monkeypatch.setattr(floor, "RISE", 1)
    slow, fast = connect(), connect()
    slow.autocommit = False
    do(fast, DELTA)
    do(slow, DELTA)
    for _ in range(2):
        do(fast, DELTA)
        fold()
    assert one(fast, f"SELECT total FROM ({PAGE}) AS page") == 3
    slow.commit()
    assert one(fast, f"SELECT total FROM ({PAGE}) AS page") == 4
    fold()
    assert (one(fast, f"SELECT total FROM ({PAGE}) AS page"), one(fast, READ)) == (4, 0)
    assert one(fast, "SELECT max(id) FROM order_count_floors") == 4


def test_a_floor_that_a_restore_put_above_rows_is_dropped(
    pool: Pool, connect: Callable[[], Connection], fold: Fold
) -> None:
    connection = connect()
    do(connection, f"{DELTA}; INSERT INTO order_count_floors VALUES (100)")
    fold()
    assert one(connection, READ) == 1
    assert floor.DeltaFloor(pool).begin() == 1
    fold()
    assert one(connection, READ) == 0


def test_few_floors_are_kept(connect: Callable[[], Connection], fold: Fold) -> None:
    connection = connect()
    for _ in range(3):
        do(connection, DELTAS)
        fold()
    assert one(connection, "SELECT count(*) FROM order_count_floors") == 1
    with closing(connect()) as other:
        assert one(other, "SELECT max(id) FROM order_count_floors") == 60_000
