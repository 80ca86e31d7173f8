"""Migrations meet databases that others have set up: the first start succeeds, or says once why it does not."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest

from app.database import schema
from app.database.schema import SchemaRefused, is_at_head, migrate
from app.services import schema_thread
from tests.contract.conftest import make_app
from tests.contract.test_connection import run
from tests.harness.builders import Caller
from tests.harness.predecessor import leave_behind
from tools.stack.postgres import Postgres

LEFT = 50


@pytest.fixture
def left_url(database_url: str) -> str:
    """The address of a database with the table of the service before."""
    leave_behind(database_url, LEFT, "varchar")
    return database_url


@pytest.fixture
def stranger(postgres: Postgres, database_url: str) -> Iterator[str]:
    """A user who owns nothing in the database; yields its address."""
    run(postgres.url("postgres"), "CREATE ROLE others_stranger LOGIN PASSWORD 'p'")
    yield database_url.replace("//postgres:postgres@", "//others_stranger:p@")
    run(database_url, "DROP OWNED BY others_stranger CASCADE; DROP ROLE others_stranger")


def check_works(url: str) -> None:
    """Orders are made, changed and read, and what is new is counted."""
    app = make_app(url)
    caller = Caller(app.test_client())
    order_id = caller.new("COMPLETED")
    assert caller.order(order_id)["orderStatus"] == "COMPLETED"
    assert caller.get("/orders").status_code == 200


@pytest.mark.parametrize("kind", ["FOR ALL TABLES", "FOR TABLE orders"])
def test_published_tables_are_taken_over_and_changed(left_url: str, kind: str) -> None:
    """UPDATE and DELETE of a published table without an identity are refused: each table of ours has one."""
    run(left_url, f"CREATE PUBLICATION everything {kind}")
    migrate(left_url)
    check_works(left_url)
    nameless = (
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
        "AND relreplident <> 'f' AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = pg_class.oid AND indisprimary)"
    )
    with closing(psycopg2.connect(left_url)) as connection, connection.cursor() as cursor:
        cursor.execute(nameless)
        assert cursor.fetchall() == []


def test_triggers_of_others_on_every_change_of_the_schema_do_not_keep_it_from_head(left_url: str) -> None:
    run(
        left_url,
        "CREATE TABLE told (tag text); "
        "CREATE FUNCTION tell() RETURNS event_trigger LANGUAGE plpgsql AS "
        "$$BEGIN INSERT INTO public.told VALUES (tg_tag);END$$; "
        "CREATE EVENT TRIGGER telling ON ddl_command_end EXECUTE FUNCTION tell()",
    )
    migrate(left_url)
    check_works(left_url)


def test_row_security_of_others_on_new_tables_does_not_keep_their_owner_from_working(left_url: str) -> None:
    """Some hosters turn it on for every table."""
    run(left_url, "ALTER TABLE orders ENABLE ROW LEVEL SECURITY")
    migrate(left_url)
    check_works(left_url)
    assert Caller(make_app(left_url).test_client()).get("/orders").json["total"] == LEFT + 1


def test_rows_that_are_hidden_are_told(stranger: str, database_url: str) -> None:
    migrate(database_url)
    run(database_url, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO others_stranger")
    assert is_at_head(stranger)
    run(database_url, "ALTER TABLE orders ENABLE ROW LEVEL SECURITY")
    with pytest.raises(SchemaRefused, match="row security hides all rows of orders from this user"):
        is_at_head(stranger)
    run(database_url, "CREATE POLICY ours ON orders TO others_stranger USING (true)")
    assert is_at_head(stranger)


def refusal(url: str) -> str:
    with pytest.raises(SchemaRefused) as refused:
        migrate(url)
    return str(refused.value)


def test_a_refusal_has_postgresqls_reason(stranger: str, left_url: str) -> None:
    assert refusal(stranger).endswith("(42501)")  # the table of the service before belongs to somebody else


def test_a_schema_without_the_right_to_create_is_a_reason(stranger: str, database_url: str) -> None:
    run(database_url, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    assert refusal(stranger) == "permission denied for schema public (42501)"


def test_a_schema_that_is_not_there_is_a_reason(database_url: str) -> None:
    assert "(3F000)" in refusal(f"{database_url}?options=-csearch_path%3Dnowhere")


def test_a_table_of_that_name_is_a_reason(database_url: str) -> None:
    run(database_url, "CREATE TABLE outbox (id integer)")
    assert refusal(database_url) == 'relation "outbox" already exists (42P07)'


@contextmanager
def held(url: str, table: str) -> Iterator[None]:
    with closing(psycopg2.connect(url)) as holder, holder.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {table}")
        yield


def test_a_lock_that_is_held_is_told_and_then_waited_for_again(
    left_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever waits for a lock on a table keeps all others waiting too. The service says so once, and goes on."""
    monkeypatch.setattr(schema, "LOCK_MS", 100)
    monkeypatch.setattr(schema_thread, "REFUSED_SECONDS", 0.1)
    app = make_app(left_url)
    service, stop = app.extensions["kafka_service"], threading.Event()
    with held(left_url, "orders"):
        for _ in range(3):
            service.schema.attempt(stop)
        told = [it.message for it in caplog.records if it.name == schema_thread.__name__]
        reason = "somebody holds a lock on a table that has to be changed (55P03)"
        assert told == [f"The schema is not at head: {reason}"]
        part = app.test_client().get("/readyz").get_json()["parts"]["schema"]
        assert (part["ok"], part["reason"]) == (False, reason)
        assert service._database.available
    service.schema.attempt(stop)
    assert app.test_client().get("/readyz").get_json()["parts"]["schema"] == {"ok": True, "mode": "ensure"}


def test_a_service_that_may_not_migrate_says_what_it_waits_for(database_url: str) -> None:
    app = make_app(database_url, SCHEMA="check")
    service, stop = app.extensions["kafka_service"], threading.Event()
    stop.set()
    service.schema.attempt(stop)
    part = app.test_client().get("/readyz").get_json()["parts"]["schema"]
    assert (part["ok"], part["reason"].startswith("postgres sees no table order_service_schema")) == (False, True)
    migrate(app.extensions["settings"].database_url)
    run(database_url, "UPDATE order_service_schema SET version_num = '0006'")
    service.schema.attempt(stop)
    part = app.test_client().get("/readyz").get_json()["parts"]["schema"]
    assert part["reason"] == f"it is at 0006, and this version needs {schema.KNOWN[-1]}: run `alembic upgrade head`"
    assert "schema" in app.extensions["alarms"].all()
