"""The page of sentences about PostgreSQL: each bad state is named with what mends it, and is over when that is done."""

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ
from psycopg2.extensions import connection as Connection

from app.config.config import Settings
from app.operations import database_look
from app.operations.database_look import Remark
from app.services import horizon
from tests.harness.found import query
from tests.harness.terminal import Terminal
from tests.harness.world import World, wait_for
from tools.stack.ports import free_port

Looks = Callable[[str], list[Remark]]


@pytest.fixture
def remarks(database_url: str) -> Looks:
    """The remarks of one name."""
    settings = Settings.load({"DATABASE_URL": database_url})

    def look(name: str) -> list[Remark]:
        return [remark for remark in database_look.look(settings) if remark.name == name]

    return look


@contextmanager
def a_session(url: str, *statements: str, name: str = "nightly report") -> Iterator[Connection]:
    """A transaction that has run the statements and stays open."""
    with closing(psycopg2.connect(url, application_name=name)) as connection, connection.cursor() as cursor:
        connection.set_session(isolation_level=ISOLATION_LEVEL_REPEATABLE_READ)
        for statement in statements:
            cursor.execute(statement)
        yield connection


def test_a_database_that_is_well_has_nothing_to_mend(database_url: str) -> None:
    found = database_look.look(Settings.load({"DATABASE_URL": database_url}))
    names = [remark.name for remark in found]
    assert names == list(dict.fromkeys(names))
    assert {"writes", "horizon", "locks", "transactions", "vacuum", "counts", "slots", "connections"} <= set(names)
    assert [remark for remark in found if not remark.ok and remark.name != "damage"] == []
    assert all(remark.sentence.endswith(".") for remark in found)


def test_a_held_snapshot_is_named_with_its_session(
    remarks: Looks, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(horizon, "FORGOTTEN_SECONDS", 0.0)
    wait_for(lambda: remarks("horizon")[0].ok, "an end of what there was before")
    with a_session(database_url, "SELECT count(*) FROM orders") as held:
        pid = held.info.backend_pid
        (remark,) = remarks("horizon")
    assert (remark.ok, remark.mend) == (False, f"SELECT pg_terminate_backend({pid})")
    assert remark.sentence.startswith(
        f"Session {pid} of postgres (nightly report, idle in transaction) holds a snapshot"
    )
    wait_for(lambda: remarks("horizon")[0].ok, "its end")


def test_a_session_that_keeps_others_waiting_is_named(
    remarks: Looks, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_look, "WAITING_SECONDS", 0.0)
    with (
        a_session(database_url, "LOCK TABLE saga_orders", name="a migration") as holder,
        closing(psycopg2.connect(database_url, async_=True)) as waiter,
    ):
        wait_for(lambda: waiter.poll() == 0, "a connection")
        waiter.cursor().execute("SELECT count(*) FROM saga_orders")
        wait_for(lambda: remarks("locks")[0].ok is False, "the lock")
        (remark,) = remarks("locks")
        pid = holder.info.backend_pid
        assert remark.mend == f"SELECT pg_terminate_backend({pid})"
        assert f"Session {pid} of postgres (a migration, idle in transaction)" in remark.sentence
        assert "keeps 1 session waiting for a lock" in remark.sentence
        query(database_url, remark.mend or "")
        wait_for(lambda: remarks("locks")[0].ok, "its end")


def test_a_prepared_transaction_that_keeps_others_waiting_is_named(
    remarks: Looks, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_look, "WAITING_SECONDS", 0.0)
    with (
        closing(psycopg2.connect(database_url)) as holder,
        closing(psycopg2.connect(database_url, async_=True)) as waiter,
    ):
        holder.tpc_begin(holder.xid(0, uuid.uuid4().hex, ""))
        holder.cursor().execute("LOCK TABLE saga_orders")
        holder.tpc_prepare()
        wait_for(lambda: waiter.poll() == 0, "a connection")
        waiter.cursor().execute("SELECT count(*) FROM saga_orders")
        wait_for(lambda: remarks("locks")[0].ok is False, "the lock")
        (remark,) = remarks("locks")
        assert remark.sentence.startswith("A prepared transaction keeps 1 session waiting")
        ((name, *_),) = query(database_url, remark.mend or "")
        query(database_url, f"ROLLBACK PREPARED '{name}'")
        wait_for(lambda: remarks("locks")[0].ok, "its end")


def test_a_table_that_somebody_locks_is_left_out_at_once(remarks: Looks, database_url: str) -> None:
    with a_session(database_url, "LOCK TABLE order_count_deltas"):
        (remark,) = remarks("counts")
        assert (remark.ok, remark.sentence) == (None, "This could not be asked: a table is locked by somebody else.")
        assert remarks("connections")[0].ok


def test_a_transaction_that_lasts_is_named(remarks: Looks, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_look, "LONG_SECONDS", 0)
    with a_session(database_url, "SELECT 1") as held:
        found = [remark.mend for remark in remarks("transactions")]
        assert f"SELECT pg_terminate_backend({held.info.backend_pid})" in found
    monkeypatch.undo()
    assert [remark.ok for remark in remarks("transactions")] == [True]


def test_dead_rows_are_counted_until_they_are_removed(
    remarks: Looks, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_look, "MANY_ROWS", 1000)
    query(database_url, "ALTER TABLE outbox SET (autovacuum_vacuum_threshold = 1000)")
    query(
        database_url,
        "INSERT INTO outbox (event_id, aggregateid, type, correlation_id, payload) "
        "SELECT gen_random_uuid(), 'o', 't', 'c', '' FROM generate_series(1, 3000)",
    )
    query(database_url, "DELETE FROM outbox")
    wait_for(lambda: remarks("vacuum")[0].ok is False, "the statistics")
    (remark,) = remarks("vacuum")
    assert remark.mend == "VACUUM (ANALYZE) outbox"
    vacuumed = "(was never vacuumed|was vacuumed [0-9]+ s ago)"  # PostgreSQL's own may have come in between, in vain
    assert re.match(f"outbox has 3000 dead rows beside 0: it {vacuumed}", remark.sentence)
    query(database_url, remark.mend or "")
    wait_for(lambda: remarks("vacuum")[0].ok, "the statistics")


def test_an_autovacuum_that_is_off_is_named(remarks: Looks, database_url: str) -> None:
    query(database_url, "ALTER TABLE order_count_deltas SET (autovacuum_enabled = off)")
    (remark,) = remarks("vacuum")
    assert (remark.ok, remark.mend) == (False, "ALTER TABLE order_count_deltas RESET (autovacuum_enabled)")
    query(database_url, remark.mend or "")
    assert remarks("vacuum")[0].ok


def test_changes_that_nobody_counts_are_named(
    remarks: Looks, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_look, "MANY_ROWS", 5)
    query(database_url, "INSERT INTO order_count_deltas (sign, order_status) SELECT 1, 'x' FROM generate_series(1, 9)")
    (remark,) = remarks("counts")
    assert (remark.ok, remark.sentence[:31]) == (False, "5 changes and more wait to be c")


def test_a_slot_that_nobody_reads_is_named_until_it_is_dropped(remarks: Looks, database_url: str) -> None:
    query(database_url, "SELECT pg_create_physical_replication_slot('forgotten', true)")
    try:
        (remark,) = remarks("slots")
        assert (remark.ok, remark.mend) == (False, "SELECT pg_drop_replication_slot('forgotten')")
        assert remark.sentence.startswith("Replication slot forgotten is read by nobody and keeps ")
    finally:
        query(database_url, "SELECT pg_drop_replication_slot('forgotten')")
    assert remarks("slots") == [Remark("slots", True, "No replication slot.")]


def test_few_free_connections_are_named_with_their_owners(
    remarks: Looks, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remarks("connections")  # keeps its connection; those that other tests keep are counted too
    kept = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'order-service-operator'"
    ((connections,),) = query(database_url, kept)
    (remark,) = remarks("connections")
    assert remark.ok
    assert connections > 0
    assert f"order-service-operator {connections}" in remark.sentence
    monkeypatch.setattr(database_look, "FULL", 0.0)
    (remark,) = remarks("connections")
    assert not remark.ok
    assert remark.mend is not None


def test_a_database_that_takes_no_changes_is_named_until_it_does(remarks: Looks, database_url: str) -> None:
    name = database_url.rpartition("/")[2].partition("?")[0]
    query(database_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    (remark,) = remarks("writes")
    first, second = (remark.mend or "").split("; ")
    assert (remark.ok, second) == (False, f"ALTER DATABASE {name} SET default_transaction_read_only = off")
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(first)
        cursor.execute(second)
    assert remarks("writes")[0].ok


def test_a_database_that_is_away_is_one_sentence() -> None:
    url = f"postgresql://user:secret@127.0.0.1:{free_port()}/orders"
    (remark,) = database_look.look(Settings.load({"DATABASE_URL": url}))
    assert (remark.name, remark.ok) == ("answers", False)
    assert "nobody listens at its address" in remark.sentence
    assert "secret" not in remark.sentence


def test_a_user_with_few_rights_gets_what_it_may_see(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    query(database_url, "CREATE ROLE onlooker LOGIN PASSWORD 'few'")
    monkeypatch.setattr(horizon, "MOVED_ON", 0)
    monkeypatch.setattr(horizon, "MANY", 0)
    try:
        url = database_url.replace("postgres:postgres@", "onlooker:few@")
        with a_session(database_url, "SELECT count(*) FROM orders") as held:
            pid = held.info.backend_pid
            found = {remark.name: remark for remark in database_look.look(Settings.load({"DATABASE_URL": url}))}
        assert f"Session {pid} of postgres (nightly report" in found["horizon"].sentence
    finally:
        query(database_url, "DROP ROLE onlooker")
    assert (found["rights"].ok, found["rights"].mend) == (None, "GRANT pg_read_all_stats TO onlooker")
    assert found["counts"].ok is None
    assert found["transactions"].ok is None
    assert "no right" in found["counts"].sentence
    assert {"writes", "locks", "transactions", "slots", "connections", "age", "damage"} <= found.keys()


def test_the_command_prints_a_sentence_a_line_and_what_mends_it(untouched: World) -> None:
    printed = Terminal(untouched).prints("database")
    assert printed.startswith("ok      writes: Database ")
    with a_session(untouched.database_url, "SELECT 1"):
        untouched.query("ALTER TABLE outbox SET (autovacuum_enabled = off)")
        done = Terminal(untouched).run("database", "--json")
    assert done.exit_code == 1
    assert '"mend":"ALTER TABLE outbox RESET (autovacuum_enabled)"' in done.stdout
