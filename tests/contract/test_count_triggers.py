"""The triggers that count orders stop no writer, whoever it is, and lend nobody their owner's rights."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from app.config.config import Settings
from app.database import pages_sql
from app.database.consistency import MISCOUNTED
from app.database.floor import ABOVE_DELTA_FLOOR
from app.database.retention import FOLD_COUNTS
from app.database.schema import MIGRATIONS, SchemaRefused, is_at_head, migrate
from tests.contract.conftest import Tables, await_waiting

BEFORE = "0004"
WITHOUT_HOURS = "0005"
WITH_HOURS = "0006"
WITHOUT_STATUSES = "0015"
OF_STATUS = "('sday', 'shour', 'sminute')"
AN_ORDER = (
    "INSERT INTO public.orders (order_id, cust_id, order_description, food_fee, delivery_fee, delivery_location, "
    "order_status, created_at, updated_at) VALUES ('{}', {}, '[]', 1, 1, 'Dorm', 'CREATED', {}, now())"
)
KNOWN = AN_ORDER.format("known", "'customer-1'", "now()")
UNKNOWN = AN_ORDER.format("unknown", "NULL", "NULL")
ALLOW_NULLS = "ALTER TABLE orders ALTER COLUMN cust_id DROP NOT NULL, ALTER COLUMN created_at DROP NOT NULL"
FOLD = FOLD_COUNTS.sql.replace("$1", "1000")
FOLD_BEFORE = FOLD.replace(f"WHERE {ABOVE_DELTA_FLOOR} ORDER BY id ", "")  # as versions without a floor do it
_PAGE = pages_sql.PAGES[frozenset()].sql.replace("$1", "0").replace("$2", "0")
TOTAL = f"SELECT total FROM ({_PAGE}) AS page"
WITHOUT_IDENTITY = """
    SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relreplident <> 'f'
    AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = pg_class.oid AND indisprimary)
"""
A_TRAP = """
    CREATE ROLE writer;
    GRANT INSERT ON orders TO writer;
    CREATE SCHEMA trap AUTHORIZATION writer;
    SET SESSION AUTHORIZATION writer;
    CREATE FUNCTION trap.same(text, text) RETURNS boolean LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'run by %', current_user; END $$;
    CREATE OPERATOR trap.= (FUNCTION = trap.same, LEFTARG = text, RIGHTARG = text);
    SET search_path = trap, pg_catalog, public;
"""


@pytest.fixture
def address(database_url: str) -> str:
    """An empty database at head, as SQLAlchemy takes its address."""
    found = Settings.load({"DATABASE_URL": database_url}).database_url
    migrate(found)
    return found


@pytest.fixture
def tables(address: str, database_url: str) -> Iterator[Tables]:
    with closing(Tables(database_url)) as found:
        yield found


def back_to(address: str, revision: str, move: Callable[[Config, str], None] = command.downgrade) -> None:
    with create_engine(address, poolclass=NullPool).begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        move(config, revision)


def on_to(address: str, revision: str) -> None:
    back_to(address, revision, command.upgrade)


def miscounted(address: str) -> list[str]:
    """What `flask orders check` finds wrong with the counts."""
    with create_engine(address, poolclass=NullPool).connect() as connection:
        return [example for (example,) in connection.execute(MISCOUNTED)]


def nullable(tables: Tables) -> list[Any]:
    query = "SELECT attname FROM pg_attribute WHERE attrelid = 'order_count_deltas'::regclass AND attnum > 0"
    return [row["attname"] for row in tables.rows(f"{query} AND NOT attnotnull AND NOT attisdropped ORDER BY attnum")]


def hours(tables: Tables) -> int:
    """How many orders are counted by hour."""
    return int(tables.one("SELECT coalesce(sum(orders), 0) FROM order_counts WHERE kind = 'hour'"))


def test_every_table_can_be_published(tables: Tables) -> None:
    """As a change data capture does; rows without an identity could no longer be deleted."""
    assert tables.rows(WITHOUT_IDENTITY) == []
    tables.rows("CREATE PUBLICATION everything FOR ALL TABLES")
    tables.rows(KNOWN)
    assert tables.one(FOLD) == 1
    tables.rows("UPDATE orders SET runner_id = 'runner-1'; SELECT recount_orders(); TRUNCATE orders")
    assert tables.one(TOTAL) == 0


def test_an_operator_of_the_caller_is_not_run_by_the_owner(tables: Tables) -> None:
    tables.rows(A_TRAP)
    try:
        with pytest.raises(Exception, match="run by writer"):
            tables.rows("SELECT 'a'::text = 'a'::text")
        tables.rows(KNOWN)
    finally:
        tables.rows("RESET SESSION AUTHORIZATION; RESET search_path; DROP OWNED BY writer CASCADE; DROP ROLE writer")
    assert tables.rows("SELECT cust_id FROM order_count_deltas") == [{"cust_id": "customer-1"}]


def test_orders_without_customer_or_time_are_counted_too(tables: Tables, address: str) -> None:
    """[H3] A table that is taken over may have such ones."""
    tables.rows(ALLOW_NULLS)
    for change, total in (
        (f"{KNOWN}; {UNKNOWN}", 2),
        ("UPDATE orders SET order_status = 'ACCEPTED', runner_id = 'runner-1' WHERE order_id = 'unknown'", 2),
        ("UPDATE orders SET cust_id = 'customer-1', created_at = now() WHERE order_id = 'unknown'", 2),
        ("UPDATE orders SET cust_id = NULL, created_at = NULL", 2),
        ("DELETE FROM orders WHERE order_id = 'unknown'", 1),
    ):
        tables.rows(change)
        assert (tables.one(TOTAL), miscounted(address)) == (total, [])
        tables.rows(FOLD)
        assert (tables.one(TOTAL), miscounted(address)) == (total, [])


def test_the_way_back_and_forth_loses_no_count(tables: Tables, address: str) -> None:
    """[H3] Also of what the deltas of the revision before cannot hold."""
    assert nullable(tables) == ["cust_id", "runner_id", "created_at"]
    tables.rows(f"{ALLOW_NULLS}; {KNOWN}; {UNKNOWN}")
    back_to(address, BEFORE)
    assert (nullable(tables), miscounted(address)) == (["runner_id"], [])
    migrate(address)
    assert (nullable(tables), miscounted(address)) == (["cust_id", "runner_id", "created_at"], [])


def test_orders_are_written_while_the_migration_waits_for_a_reader(tables: Tables, address: str) -> None:
    """A dump or a check reads the deltas to its end, and older instances must not stand still so long."""
    back_to(address, BEFORE)
    with ThreadPoolExecutor(1) as other, closing(tables.connect()) as reader, reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM order_count_deltas")
        migration = other.submit(migrate, address)
        await_waiting(tables, 1)
        tables.rows("SET lock_timeout = '2s'")  # as the service has it
        tables.rows(KNOWN)
        assert not is_at_head(address)
        reader.rollback()
        migration.result(30)
    assert is_at_head(address)
    assert miscounted(address) == []


def test_hours_are_added_up_from_what_is_counted(tables: Tables, address: str) -> None:
    """[H3] What is not folded yet brings its hour by itself."""
    back_to(address, WITHOUT_HOURS)
    tables.rows(AN_ORDER.format("old", "'customer-1'", "now() - interval '5 days'"))
    tables.rows(KNOWN)
    tables.rows(FOLD_BEFORE)
    tables.rows(AN_ORDER.format("new", "'customer-1'", "now()"))
    assert (hours(tables), miscounted(address)) == (0, [])
    migrate(address)
    assert (hours(tables), miscounted(address)) == (2, [])
    tables.rows(FOLD)
    assert (hours(tables), miscounted(address)) == (3, [])
    back_to(address, WITHOUT_HOURS)
    assert (hours(tables), miscounted(address)) == (0, [])


def test_orders_come_and_are_folded_while_hours_are_added(tables: Tables, address: str, database_url: str) -> None:
    """[H3] An older version does so, which prepared its statements before."""
    back_to(address, WITHOUT_HOURS)
    tables.rows(f"PREPARE fold AS {FOLD_BEFORE}; EXECUTE fold")
    with ThreadPoolExecutor(1) as other, closing(tables.connect()) as holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLE order_counts IN ROW EXCLUSIVE MODE")  # as a fold under way does
        migration = other.submit(on_to, address, WITH_HOURS)
        with closing(Tables(database_url)) as watching:
            await_waiting(watching, 1)
        tables.rows(KNOWN)
        holder.rollback()
        tables.rows("EXECUTE fold")
        migration.result(30)
    tables.rows(AN_ORDER.format("later", "'customer-1'", "now()"))
    tables.rows("EXECUTE fold")
    assert (hours(tables), miscounted(address)) == (2, [])


def test_a_version_without_a_floor_counts_and_folds_beside_us(tables: Tables, address: str) -> None:
    """[H3] With statements that it prepared before the deltas had ids."""
    back_to(address, WITH_HOURS)
    tables.rows(f"PREPARE fold AS {FOLD_BEFORE}; EXECUTE fold")
    total_before = TOTAL.replace(f" WHERE {ABOVE_DELTA_FLOOR} AND true", "")
    tables.rows(f"PREPARE total AS {total_before}; EXECUTE total")
    tables.rows(KNOWN)
    migrate(address)
    tables.rows("UPDATE orders SET runner_id = 'runner-1'")
    assert tables.rows("SELECT id FROM order_count_deltas ORDER BY id") == [{"id": number} for number in (1, 2, 3)]
    for fold in ("EXECUTE fold", FOLD):
        assert (tables.one("EXECUTE total"), tables.one(TOTAL), miscounted(address)) == (1, 1, [])
        tables.rows(fold)
        assert (tables.one("EXECUTE total"), tables.one(TOTAL), miscounted(address)) == (1, 1, [])
        tables.rows("UPDATE orders SET order_status = 'ACCEPTED'")


def a_dump(tables: Tables) -> Any:
    """Somebody who reads the outbox and the deltas, and does not end."""
    connection = tables.connect()
    connection.cursor().execute("SELECT (SELECT count(*) FROM order_count_deltas), (SELECT count(*) FROM outbox)")
    return connection


def test_older_instances_go_on_while_the_migration_waits_for_a_dump(tables: Tables, address: str) -> None:
    """It needs several tables, and holds none while it waits for another."""
    on = "INSERT INTO consumer_offsets (topic, partition, topic_id, next_offset) VALUES ('t', {}, gen_random_uuid(), 0)"
    back_to(address, WITH_HOURS)
    with ThreadPoolExecutor(1) as other, closing(a_dump(tables)) as dump:
        migration = other.submit(migrate, address)
        await_waiting(tables, 1)
        tables.rows("SET lock_timeout = '2s'")
        tables.rows(KNOWN)
        for number in range(3):
            tables.rows(on.format(number))
            tables.rows("DELETE FROM refused_accepts")
        dump.rollback()
        migration.result(30)
    assert (is_at_head(address), miscounted(address)) == (True, [])


def test_a_migration_that_waits_in_vain_leaves_everything_and_says_so(
    tables: Tables, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    back_to(address, WITH_HOURS)
    with closing(a_dump(tables)), pytest.raises(SchemaRefused, match="somebody holds a lock"):
        migrate(address)
    assert not is_at_head(address)
    tables.rows("SET lock_timeout = '100ms'; SELECT count(*) FROM consumer_offsets; DELETE FROM refused_accepts")


def test_what_the_migration_finds_is_counted_under_its_status(address: str, tables: Tables) -> None:
    """With orders that are folded and one that is not; an older version beside us folds them too."""
    tables.rows(ALLOW_NULLS)
    tables.rows(KNOWN)
    tables.rows(UNKNOWN)
    tables.rows(FOLD)
    tables.rows(KNOWN.replace("'known'", "'known too'"))
    back_to(address, WITHOUT_STATUSES)
    assert tables.rows(f"SELECT * FROM order_counts WHERE kind IN {OF_STATUS}") == []
    on_to(address, "head")
    assert tables.one(f"SELECT sum(orders) FROM order_counts WHERE kind IN {OF_STATUS}") == 3
    tables.rows(FOLD_BEFORE)
    assert tables.one(f"SELECT sum(orders) FROM order_counts WHERE kind IN {OF_STATUS}") == 6
    assert miscounted(address) == []
