"""PostgreSQL as others set it up: defaults of database and role, encodings, rights, standbys; and why it is away."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg2
import pytest
from flask import Flask
from sqlalchemy import make_url

from app.config.config import Settings
from app.database import connection
from app.database.connection import connect
from app.database.database import Database
from app.database.primaries import PRIMARIES, OldPrimary, Primaries
from app.database.reasons import reason_of
from app.database.schema import migrate
from app.models.errors import DatabaseAway, DatabaseReadOnly
from tests.contract.conftest import make_app
from tests.contract.test_http_failures import check_failure
from tests.harness.builders import Caller, create_body, unique
from tests.harness.replica import Replica
from tools.stack.ports import free_port
from tools.stack.postgres import Postgres

HOSTILE = {
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "timezone": "Asia/Kathmandu",
    "datestyle": "SQL, DMY",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "client_encoding": "LATIN1",
    "statement_timeout": "500",
    "lock_timeout": "500",
    "idle_in_transaction_session_timeout": "500",
    "idle_session_timeout": "500",
    "synchronous_commit": "off",
    "jit": "on",
    "plan_cache_mode": "force_custom_plan",
}
PINNED = {
    "transaction_isolation": "read committed",
    "timezone": "UTC",
    "client_encoding": "UTF8",
    "array_nulls": "on",
    "idle_session_timeout": "0",
    "synchronous_commit": "on",
    "jit": "off",
}


def settings_of(database: str, **values: str) -> str:
    return "; ".join(f"ALTER DATABASE {database} SET {name} = '{value}'" for name, value in values.items())


def run(url: str, sql: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for statement in sql.split("; "):
            cursor.execute(statement)


def shown(url: str, name: str) -> str:
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        return str((cursor.fetchone() or ("",))[0])


def name_of(url: str) -> str:
    return str(make_url(url).database)


@pytest.fixture
def hostile_url(postgres: Postgres, database_url: str) -> str:
    run(postgres.url("postgres"), settings_of(name_of(database_url), **HOSTILE))
    return database_url


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("Postgres"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def replica(primary: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    migrate(primary.url())
    server = Replica(tmp_path_factory.mktemp("Replica"), primary)
    server.start()
    yield server
    server.kill()


@pytest.mark.parametrize("name", PINNED)
def test_what_the_code_depends_on_is_as_it_must_be_whatever_the_defaults_are(hostile_url: str, name: str) -> None:
    assert shown(hostile_url, name) == PINNED[name]


def test_the_service_works_on_a_database_with_other_defaults(hostile_url: str) -> None:
    """[H1] [H3]"""
    migrate(hostile_url)
    caller = Caller(make_app(hostile_url).test_client())
    body = create_body("Ωλ ✓ \\ '")
    made = caller.post("/createOrder", body, Idempotency_Key=unique())
    assert made.status_code == 201
    order_id = made.json["order_id"]
    assert caller.update(order_id, "CREATED").status_code == 200
    time.sleep(0.6)  # longer than this database lets a session be idle
    page = caller.get("/orders/customer/Ωλ ✓ \\ '").json
    assert [(it["orderId"], it["custId"], it["runnerId"]) for it in page["items"]] == [(order_id, "Ωλ ✓ \\ '", None)]
    assert page["items"][0]["createdAt"] == caller.order(order_id)["createdAt"]


def test_the_schema_that_the_url_names_is_that_of_every_part(database_url: str) -> None:
    run(database_url, "CREATE SCHEMA apart")
    app = make_app(f"{database_url}?options=-csearch_path=apart")
    migrate(app.extensions["settings"].database_url)
    Caller(app.test_client()).new("CREATED")
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT (SELECT count(*) FROM apart.orders), to_regclass('public.orders')")
        assert cursor.fetchone() == (1, None)
        cursor.execute("SELECT DISTINCT schemaname::text FROM pg_tables WHERE schemaname !~ '^(pg_|information)'")
        assert cursor.fetchall() == [("apart",)]
    told = app.test_cli_runner().invoke(args=["orders", "list"])
    assert told.exit_code == 0, told.output


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_character_is_refused(postgres: Postgres, encoding: str) -> None:
    name = f"in_{encoding.lower()}"
    run(postgres.url("postgres"), f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0")
    database = Database(postgres.url(name))
    with pytest.raises(DatabaseAway):
        database.connect()
    assert database.reason == f"its encoding is {encoding}: the service needs a database in UTF8"
    postgres.drop_database(name)


def no_right(postgres: Postgres) -> str:
    run(
        postgres.url("postgres"),
        "CREATE ROLE stranger LOGIN PASSWORD 'p'; CREATE DATABASE closed; "
        "REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
    )
    return f"postgresql://stranger:p@127.0.0.1:{postgres.port}/closed"


def no_connections(postgres: Postgres) -> str:
    run(postgres.url("postgres"), "CREATE DATABASE refusing ALLOW_CONNECTIONS false")
    return postgres.url("refusing")


REASONS: dict[str, tuple[Callable[[Postgres], str], str]] = {
    "password": (lambda it: it.url().replace(":postgres@", ":secret@"), "it refuses the user's password (28P01)"),
    "no_password": (lambda it: it.url().replace(":postgres@", "@"), "it refuses the user's password (28P01)"),
    "database": (lambda it: it.url("nowhere"), "the database does not exist (3D000)"),
    "host": (lambda it: it.url().replace("127.0.0.1", "nowhere.invalid"), "its host name is not known"),
    "port": (lambda it: it.url().replace(str(it.port), str(free_port())), "nobody listens at its address"),
    "tls": (lambda it: f"{it.url()}?sslmode=require", "it speaks no TLS, and sslmode asks for it"),
    "right": (no_right, "the user has no right to connect to the database (42501)"),
    "closed": (no_connections, "the database takes no connections (55000)"),
    "setting": (lambda it: f"{it.url()}?options=-cnonsense%3D1", "it does not know a setting of the URL (42704)"),
    "role": (
        lambda it: f"{it.url()}?target_session_attrs=standby",
        "no server is in the role that target_session_attrs asks for",
    ),
}


@pytest.mark.parametrize("trouble", REASONS)
def test_why_it_is_away_is_told_once_and_without_secrets(
    postgres: Postgres, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    make_url_of, sentence = REASONS[trouble]
    url = Settings.load({"DATABASE_URL": make_url_of(postgres)}).database_url
    app = make_app(url)
    client = app.test_client()
    for _ in range(3):
        check_failure(client.get("/orders"), 503, "/orders")
    assert client.get("/readyz").get_json()["parts"]["database"] == {"ok": False, "reason": sentence}
    told = [record.message for record in caplog.records if record.name == "app.database.database"]
    assert told.count(f"database away: {sentence}") == 1  # probers of other tests may tell theirs
    printed = app.test_cli_runner().invoke(args=["orders", "list"]).output
    assert f"cannot be reached, or was lost: {sentence} (DATABASE_URL)." in printed
    assert "secret" not in f"{told} {printed}"


def check_reads_only(app: Flask, order_id: str) -> None:
    """[H1]: reads are answered, changes refused with the truth, and a balancer sends them elsewhere."""
    client = app.test_client()
    caller = Caller(client)
    assert caller.order(order_id)["orderId"] == order_id
    refused = caller.update(order_id, "PLACED")
    check_failure(refused, 503, "/updateOrderStatus")
    assert (refused.json["code"], "nothing was done" in refused.json["error"]) == ("database_away", True)
    ready = client.get("/readyz")
    assert (ready.status_code, ready.get_json()["parts"]["database"]["ok"]) == (503, False)
    assert "read-only" in ready.get_json()["parts"]["database"]["reason"]


def await_change(caller: Caller, order_id: str) -> None:
    give_up = time.monotonic() + 15
    while caller.update(order_id, "PLACED").status_code != 200:
        assert time.monotonic() < give_up
        time.sleep(0.1)


def test_a_database_that_turns_read_only_says_so_and_goes_on_when_it_is_over(database_url: str) -> None:
    migrate(database_url)
    order_id = Caller(make_app(database_url).test_client()).new("CREATED")
    admin = database_url.replace(name_of(database_url), "postgres")
    run(admin, settings_of(name_of(database_url), default_transaction_read_only="on"))
    app = make_app(database_url)
    check_reads_only(app, order_id)
    with pytest.raises(DatabaseReadOnly):
        Database(database_url).connect_for_lease()
    run(admin, settings_of(name_of(database_url), default_transaction_read_only="off"))
    await_change(Caller(app.test_client()), order_id)
    app.test_client().get("/readyz")
    assert app.test_client().get("/readyz").get_json()["parts"]["database"] == {"ok": True}


def test_a_standby_is_read_and_nobody_leads_there_until_it_is_promoted(primary: Postgres, replica: Replica) -> None:
    caller = Caller(make_app(primary.url()).test_client())
    order_id = caller.new("CREATED")
    standby, both = make_app(replica.url()), make_app(replica.both(primary.url()))
    give_up = time.monotonic() + 20
    while standby.test_client().get("/getOrderDetails", query_string={"orderId": order_id}).status_code != 200:
        assert time.monotonic() < give_up
    check_reads_only(standby, order_id)
    with pytest.raises(DatabaseReadOnly):
        Database(replica.url()).connect_for_lease()
    followers = {"libpq": Caller(both.test_client())}
    sqlalchemys = f"/?host=127.0.0.1:{primary.port}&host=127.0.0.1:{replica.port}&target_session_attrs=read-write"
    url = f"postgresql://postgres:postgres@{sqlalchemys.replace('/?', '/order_db?')}"
    followers["SQLAlchemy"] = Caller(make_app(url).test_client())
    assert {it.update(order_id, "CREATED").status_code for it in followers.values()} == {200}
    primary.kill()
    replica.promote()
    for follower in followers.values():
        await_change(follower, order_id)
    Database(replica.url()).connect_for_lease().close()
    assert standby.test_client().get("/readyz").get_json()["parts"]["database"] == {"ok": True}


def test_an_old_primary_that_comes_back_is_left_alone(
    primary: Postgres, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes changes and stands first in the address; a process that was started since finds that out too."""
    both = replica.both(primary.url())
    if primary.running:
        primary.kill()
        replica.promote()
    with closing(connect(both)) as before:
        assert before.info.port == replica.port
    primary.start()
    with closing(psycopg2.connect(both)) as misled:
        assert misled.info.port == primary.port
    for primaries in (PRIMARIES, Primaries()):
        monkeypatch.setattr(connection, "PRIMARIES", primaries)
        for _ in range(2):
            with closing(connect(both)) as found:
                assert found.info.port == replica.port
    replica.kill()
    with pytest.raises(OldPrimary) as refused:
        connect(both)
    assert reason_of(refused.value).sentence == "it is an old primary: another server of its cluster was promoted since"
    connect(primary.url()).close()  # the only one: nobody to compare it with
