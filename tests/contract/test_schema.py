"""The schema has one path: from nothing, from our own version, and from the table that was taken over."""

import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.pool import NullPool

from app.config.config import Settings
from app.database.schema import MIGRATIONS, VERSION_TABLE, is_at_head, migrate, revisions
from app.models.models import db
from tests.contract.conftest import make_app
from tests.harness.builders import Caller

PROCESSES = 16
STATUSES = ("PENDING", "CREATED", "ACCEPTED", "PLACED", "ON_THE_WAY", "DELIVERED", "COMPLETED", "CANCELLED")
OLD_INDEXES = {f"ix_orders_{column}" for column in ("cust_id", "runner_id", "order_status", "saga_id")}
OLD_TABLE = """
    CREATE TABLE orders (
        order_id varchar(36) PRIMARY KEY, cust_id varchar(36) NOT NULL, runner_id varchar(36),
        order_description text NOT NULL, food_fee numeric(5,2) NOT NULL, delivery_fee numeric(5,2) NOT NULL,
        store_location varchar(255), delivery_location varchar(255) NOT NULL, order_status {status} NOT NULL,
        saga_id varchar(36), created_at timestamp NOT NULL, updated_at timestamp NOT NULL, accepted_at timestamp,
        placed_at timestamp, picked_up_at timestamp, delivered_at timestamp, completed_at timestamp,
        cancelled_at timestamp
    )
"""
OLD_ROW = (
    "INSERT INTO orders (order_id, cust_id, runner_id, order_description, food_fee, delivery_fee, store_location, "
    "delivery_location, order_status, saga_id, created_at, updated_at, accepted_at) VALUES "
    "(:order_id, 'customer', 'runner', '[]', 12.99, 3.99, NULL, 'Dorm 5', '{status}', :saga_id, "
    ":created_at, '2026-01-02 03:04:05.678901', '2026-01-02 03:04:05')"
)
MIGRATE = """
import os, sys
from app.database.schema import migrate

children = []
for _ in range(int(sys.argv[2])):
    children.append(os.fork())
    if children[-1] == 0:
        migrate(sys.argv[1])
        os._exit(0)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""


@pytest.fixture
def address(database_url: str) -> str:
    """An empty database, as SQLAlchemy takes its address."""
    return Settings.load({"DATABASE_URL": database_url}).database_url


@pytest.fixture
def database(address: str) -> Iterator[Connection]:
    with create_engine(address, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
        yield connection


def rows(database: Connection, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in database.execute(text(sql))]


def names(database: Connection) -> set[tuple[str, str]]:
    """Every constraint and index with its definition: one set tells two schemas apart."""
    constraints = (
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
    )
    indexes = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    ours = {*rows(database, constraints), *rows(database, indexes)}
    return {(name, definition) for name, definition in ours if VERSION_TABLE not in name}


def make_old_table(database: Connection, *, enum: bool) -> None:
    """Build the table of the service before this one: an order in each status, and one saga id twice."""
    if enum:
        database.execute(text(f"CREATE TYPE orderstatus AS ENUM ({', '.join(map(repr, STATUSES))})"))
    database.execute(text(OLD_TABLE.format(status="orderstatus" if enum else "varchar(10)")))
    for name in OLD_INDEXES:
        database.execute(text(f"CREATE INDEX {name} ON orders ({name.removeprefix('ix_orders_')})"))
    for number, status in enumerate(STATUSES):
        saga = {0: None, 1: "twice", 2: "twice"}.get(number, f"saga-{number}")
        made = f"2026-01-{31 - number}"
        values = {"order_id": f"order-{number}", "saga_id": saga, "created_at": made}
        database.execute(text(OLD_ROW.format(status=status)), values)


OLD_COLUMNS = (
    "order_id, cust_id, runner_id, order_description, food_fee, delivery_fee, store_location, delivery_location, "
    "order_status::text, saga_id, created_at, updated_at, accepted_at, placed_at, cancelled_at"
)
BOTH = pytest.mark.parametrize("enum", [False, True], ids=["varchar", "enum"])


def test_the_migrations_make_exactly_the_schema_of_the_models(database: Connection, address: str) -> None:
    """[K3]"""
    migrate(address)
    options = {"compare_type": True, "compare_server_default": True, "version_table": VERSION_TABLE}
    differences = compare_metadata(MigrationContext.configure(database, opts=options), db.metadata)
    assert differences == []


def test_constraints_and_indexes_have_the_names_of_the_models(
    database: Connection, address: str, postgres: Any
) -> None:
    """[K3]"""
    migrate(address)
    modelled = Settings.load({"DATABASE_URL": postgres.create_database("modelled")}).database_url
    with create_engine(modelled, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as other:
        db.metadata.create_all(other)
        assert names(database) == names(other)
    postgres.drop_database("modelled")


def test_migrating_again_changes_nothing(database: Connection, address: str) -> None:
    assert not is_at_head(address)
    migrate(address)
    before = names(database)
    migrate(address)
    assert is_at_head(address)
    assert names(database) == before


def test_many_processes_migrate_one_empty_database_without_failure(address: str) -> None:
    parent = [sys.executable, "-c", MIGRATE, address, str(PROCESSES)]
    ended = subprocess.run(parent, capture_output=True, timeout=100, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert is_at_head(address)


@BOTH
def test_the_table_of_the_service_before_is_taken_over_with_its_rows(
    database: Connection, address: str, enum: bool
) -> None:
    """[O4] [K3]"""
    make_old_table(database, enum=enum)
    old = f"SELECT {OLD_COLUMNS} FROM orders ORDER BY order_id"
    before = rows(database, old)
    migrate(address)
    assert rows(database, old) == before
    added = rows(database, "SELECT DISTINCT payment_status, cancel_reason, version FROM orders")
    assert added == [("PENDING", None, 1)]


@BOTH
def test_a_table_taken_over_ends_with_the_schema_of_an_empty_start(
    database: Connection, address: str, postgres: Any, enum: bool
) -> None:
    make_old_table(database, enum=enum)
    migrate(address)
    fresh = Settings.load({"DATABASE_URL": postgres.create_database("fresh")}).database_url
    migrate(fresh)
    with create_engine(fresh, poolclass=NullPool).connect() as other:
        assert names(database) == names(other)
        columns = [
            [(column["name"], str(column["type"]), column["nullable"]) for column in inspect(it).get_columns("orders")]
            for it in (database, other)
        ]
    assert columns[0] == columns[1]
    postgres.drop_database("fresh")


@BOTH
def test_the_oldest_order_has_the_saga_id_that_the_table_holds_twice(
    database: Connection, address: str, enum: bool
) -> None:
    """[K8]"""
    make_old_table(database, enum=enum)
    migrate(address)
    owners = dict(rows(database, "SELECT saga_id, order_id FROM saga_orders"))
    assert owners == {"twice": "order-2"} | {f"saga-{number}": f"order-{number}" for number in range(3, 8)}
    assert len(rows(database, "SELECT 1 FROM orders WHERE saga_id = 'twice'")) == 2


@BOTH
def test_orders_that_were_taken_over_can_be_read_and_go_on(database: Connection, address: str, enum: bool) -> None:
    """[O2] [O3] [K3] [H4]"""
    make_old_table(database, enum=enum)
    migrate(address)
    caller = Caller(make_app(address).test_client())
    order = caller.order("order-3")
    assert (order["orderStatus"], Decimal(str(order["foodFee"])), order["version"]) == ("PLACED", Decimal("12.99"), 1)
    assert order["updatedAt"] == "2026-01-02T03:04:05.678901+00:00"
    assert caller.update("order-3", "DELIVERED").json["order"]["version"] == 2
    assert rows(database, "SELECT version FROM outbox WHERE aggregateid = 'order-3'") == [(2,)]


def test_a_table_with_the_old_alembic_version_is_taken_over_too(database: Connection, address: str) -> None:
    make_old_table(database, enum=False)
    database.execute(text("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)"))
    database.execute(text("INSERT INTO alembic_version VALUES ('abc123')"))
    migrate(address)
    assert is_at_head(address)
    assert rows(database, "SELECT version_num FROM alembic_version") == [("abc123",)]


def test_a_failed_take_over_leaves_the_table_as_it_was(database: Connection, address: str) -> None:
    make_old_table(database, enum=False)
    database.execute(text("UPDATE orders SET order_status = 'LOST' WHERE order_id = 'order-3'"))
    before = names(database)
    with pytest.raises(Exception, match="ck_orders_order_status"):
        migrate(address)
    assert names(database) == before
    database.execute(text("UPDATE orders SET order_status = 'PLACED' WHERE order_id = 'order-3'"))
    migrate(address)
    assert is_at_head(address)


@BOTH
def test_the_way_back_leaves_the_old_table_with_its_rows(database: Connection, address: str, enum: bool) -> None:
    make_old_table(database, enum=enum)
    before = rows(database, f"SELECT {OLD_COLUMNS} FROM orders ORDER BY order_id")
    migrate(address)
    downgrade(address)
    inspector = inspect(database)
    assert set(inspector.get_table_names()) == {"orders", VERSION_TABLE}
    assert {index["name"] for index in inspector.get_indexes("orders")} == OLD_INDEXES
    assert rows(database, f"SELECT {OLD_COLUMNS} FROM orders ORDER BY order_id") == before
    assert {column["name"] for column in inspector.get_columns("orders")}.isdisjoint({"version", "payment_status"})
    migrate(address)
    assert is_at_head(address)


def downgrade(address: str) -> None:
    with create_engine(address, poolclass=NullPool).begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.downgrade(config, "base")


def test_a_newer_revision_than_ours_counts_as_at_head(database: Connection, address: str) -> None:
    migrate(address)
    database.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    assert is_at_head(address)
    migrate(address)
    assert rows(database, f"SELECT version_num FROM {VERSION_TABLE}") == [("9999",)]


def test_the_names_of_the_files_are_the_revisions_that_alembic_sees() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS)).walk_revisions("base", "heads")
    assert revisions() == [script.revision for script in scripts][::-1]


def test_an_older_revision_than_ours_does_not(database: Connection, address: str) -> None:
    migrate(address)
    downgrade(address)
    assert not is_at_head(address)


@pytest.mark.parametrize("column", ["order_status", "payment_status"])
def test_the_database_refuses_a_status_that_is_none(database: Connection, address: str, column: str) -> None:
    """[O4] [O5]"""
    make_old_table(database, enum=False)
    migrate(address)
    with pytest.raises(Exception, match=f"ck_orders_{column}"):
        database.execute(text(f"UPDATE orders SET {column} = 'LOST'"))


def test_history_cannot_hold_a_version_twice(database: Connection, address: str) -> None:
    """[K3]"""
    migrate(address)
    line = (
        "INSERT INTO order_changes "
        "(order_id, version, change_id, kind, to_status, payment_status, door, correlation_id) "
        "VALUES ('a', 1, gen_random_uuid(), 'created', 'PENDING', 'PENDING', 'http', 'c')"
    )
    database.execute(text(line))
    with pytest.raises(Exception, match="order_changes_pkey"):
        database.execute(text(line))
