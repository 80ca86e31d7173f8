"""The index of the history: made beside writers where it is missing, by one process of many."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from app.database.history_index import HISTORY_INDEX, NotMade, make_history_index
from app.database.schema import migrate
from tests.contract.conftest import Tables, make_app
from tests.harness.waiting import until

INDEXES = (
    "SELECT indexdef, indisvalid FROM pg_indexes JOIN pg_index ON indexrelid = indexname::regclass "
    f"WHERE indexname = '{HISTORY_INDEX}'"
)
STOPPED = f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{HISTORY_INDEX}'::regclass"
DROP = f"DROP INDEX {HISTORY_INDEX}"
A_CHANGE = (
    "INSERT INTO order_changes (order_id, version, change_id, kind, to_status, payment_status, door, correlation_id) "
    "VALUES ('a', 1, gen_random_uuid(), 'created', 'PENDING', 'PENDING', 'http', 'c')"
)


@pytest.fixture
def tables(database_url: str) -> Iterator[Tables]:
    migrate(database_url)
    with closing(Tables(database_url)) as found:
        yield found


@pytest.mark.parametrize("spoil", [DROP, STOPPED], ids=["missing", "left unfinished"])
def test_of_many_processes_one_makes_it_as_the_migration_does(tables: Tables, spoil: str) -> None:
    before = tables.rows(INDEXES)
    tables.rows(spoil)
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(make_history_index, [tables.url] * 4))
    assert True in made
    assert tables.rows(INDEXES) == before


def test_nobody_who_writes_waits_while_it_is_made(tables: Tables) -> None:
    tables.rows(DROP)
    with closing(tables.connect()) as writer, writer.cursor() as cursor:
        cursor.execute(A_CHANGE)  # a transaction that is open, which the index must wait for
        maker = threading.Thread(target=make_history_index, args=(tables.url,))
        maker.start()
        waits = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%' AND wait_event_type = 'Lock'"
        until(lambda: tables.rows(waits), "the maker of the index, which waits for the writer", 20)
        tables.rows("SET lock_timeout = '1s'")
        tables.rows(A_CHANGE.replace("'a'", "'b'"))
        writer.commit()
        maker.join(20)
    assert [row["indisvalid"] for row in tables.rows(INDEXES)] == [True]


def test_a_start_makes_what_a_migration_of_a_long_history_left_out(tables: Tables) -> None:
    tables.rows(DROP)
    service = make_app(tables.url).extensions["kafka_service"]
    stop = threading.Event()
    thread = threading.Thread(target=service.schema.run, args=(stop, lambda: None))
    thread.start()
    try:
        until(lambda: [row["indisvalid"] for row in tables.rows(INDEXES)] == [True], "the index", 20)
    finally:
        stop.set()
        thread.join(10)


def test_why_it_was_not_made_is_one_sentence(tables: Tables) -> None:
    tables.rows(DROP)
    tables.rows("CREATE ROLE no_owner LOGIN PASSWORD 'no_owner'")
    try:
        with pytest.raises(NotMade, match=f"^{HISTORY_INDEX} was not made: must be owner of table order_changes$"):
            make_history_index(tables.url.replace("//postgres:postgres@", "//no_owner:no_owner@"))
    finally:
        tables.rows("DROP ROLE no_owner")
