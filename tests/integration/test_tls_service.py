"""Production's way: TLS alone, a user that migrates, a user that runs, and passwords in files."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest

from tests.harness.service import CHECKOUT
from tests.harness.tls import TlsPostgres
from tests.harness.world import World, a_create

OPERATIONS = CHECKOUT / "docs" / "operations.md"
SESSIONS = (
    "SELECT bool_and(ssl), count(*) > 3 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
    "WHERE usename = 'order_service' AND datname = current_database()"
)


def run(url: str, *statements: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for statement in statements:
            cursor.execute(statement)


def documented() -> list[str]:
    """What the document has a superuser do: to make users and database, and to take operators' rights back."""
    return re.findall(r"```sql\n(.*?)```", OPERATIONS.read_text(), re.DOTALL)


@pytest.fixture
def database_url(tls_postgres: TlsPostgres) -> Iterator[str]:
    """A database as the document makes it, empty."""
    name = f"test_{uuid4().hex}"
    found, _ = documented()
    found = (
        found.replace("order_db", name)
        .replace("'one'", "'hidden-1'")
        .replace("'another'", "'hidden-2'")
        .replace("'a third'", "'hidden-3'")
    )
    once, _, inside = found.partition("-- In ")
    run(tls_postgres.url("postgres"), *once.strip().splitlines())
    run(tls_postgres.url(name), inside.partition("\n")[2])
    yield tls_postgres.url(name)
    tls_postgres.drop_database(name)
    run(tls_postgres.url("postgres"), "DROP ROLE order_service", "DROP ROLE order_operator", "DROP ROLE order_owner")


def as_user(url: str, user: str, password: str, folder: Path) -> dict[str, str]:
    """The environment of a process that connects as the user."""
    file = folder / user
    file.write_text(f"{password}\n")
    file.chmod(0o600)
    return {
        "DATABASE_URL": url.replace("//postgres:postgres@", f"//{user}@"),
        "DATABASE_PASSWORD_FILE": str(file),
    }


def test_one_user_migrates_and_another_one_runs(
    database_url: str, world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alembic = [str(Path(sys.executable).with_name("alembic")), "-x", "grant_to=order_service", "upgrade", "head"]
    environment = os.environ | as_user(database_url, "order_owner", "hidden-1", tmp_path)
    migrated = subprocess.run(alembic, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert migrated.returncode == 0, migrated.stderr
    world.environment |= as_user(database_url, "order_service", "hidden-2", tmp_path)
    app = world.start(SCHEMA="check")
    client = app.test_client()
    assert [row["body"]["type"] for row in world.ask(a_create())] == ["order.created"]
    assert client.get("/orders").get_json()["total"] == 1
    checked = app.test_cli_runner().invoke(args=["orders", "check"])
    assert checked.exit_code == 0, checked.output
    assert "hidden" not in caplog.text + client.get("/readyz").text + client.get("/metrics").text
    assert world.query(SESSIONS) == [(True, True)]
    run(database_url, documented()[1])
    assert [row["body"]["type"] for row in world.ask(a_create())] == ["order.created"]
    assert "order_service" not in str(world.query("SELECT relacl FROM pg_class WHERE relname = 'operator_actions'"))
