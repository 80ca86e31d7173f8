"""The whole service on a PostgreSQL that takes TLS alone, by a user whose password stands in a file."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest

from tests.harness.tls import TlsPostgres
from tests.harness.world import World, a_create, wait_for

OWNER = "order_owner"
OF_SERVICE = f"WHERE usename = '{OWNER}' AND datname = current_database()"


@pytest.fixture
def database_url(tls_postgres: TlsPostgres) -> Iterator[str]:
    """An empty database behind TLS."""
    name = f"test_{uuid4().hex}"
    yield tls_postgres.create_database(name)
    tls_postgres.drop_database(name)


@pytest.fixture
def owner(database_url: str) -> Iterator[str]:
    """A user that owns the schema of that database, with the password `hidden`."""
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"CREATE ROLE {OWNER} LOGIN PASSWORD 'hidden'; ALTER SCHEMA public OWNER TO {OWNER}")
        yield OWNER
        cursor.execute(f"DROP OWNED BY {OWNER} CASCADE; DROP ROLE {OWNER}")


def test_it_migrates_handles_commands_and_requests_and_relays(
    owner: str, database_url: str, world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "password"
    file.write_text("hidden\n")
    world.environment["DATABASE_URL"] = database_url.replace("//postgres:postgres@", f"//{owner}@")
    app = world.start(DATABASE_PASSWORD_FILE=str(file))
    client = app.test_client()
    wait_for(lambda: client.get("/readyz").get_json()["parts"]["schema"]["ok"], "the schema", 40)
    assert [row["body"]["type"] for row in world.ask(a_create())] == ["order.created"]
    assert client.get("/orders").get_json()["total"] == 1
    checked = app.test_cli_runner().invoke(args=["orders", "check"])
    assert checked.exit_code == 0, checked.output
    assert "hidden" not in caplog.text + client.get("/readyz").text + client.get("/metrics").text
    sessions = f"SELECT bool_and(ssl), count(*) > 3 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) {OF_SERVICE}"
    assert world.query(sessions) == [(True, True)]
