"""Production's way: TLS alone, a user that migrates, a user that runs, and passwords in files."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.service import CHECKOUT
from tests.harness.tls import TlsPostgres
from tests.harness.two_users import PASSWORDS, documented, made_as_documented, run
from tests.harness.world import World, a_create

SESSIONS = (
    "SELECT bool_and(ssl), count(*) > 3 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
    "WHERE usename = 'order_service' AND datname = current_database()"
)


@pytest.fixture
def database_url(tls_postgres: TlsPostgres) -> Iterator[str]:
    """A database as the document makes it, empty."""
    with made_as_documented(tls_postgres) as name:
        yield tls_postgres.url(name)


def as_user(url: str, user: str, folder: Path) -> dict[str, str]:
    """The environment of a process that connects as the user."""
    file = folder / user
    file.write_text(f"{PASSWORDS[user]}\n")
    file.chmod(0o600)
    return {
        "DATABASE_URL": url.replace("//postgres:postgres@", f"//{user}@"),
        "DATABASE_PASSWORD_FILE": str(file),
    }


def test_one_user_migrates_and_another_one_runs(
    database_url: str, world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alembic = [str(Path(sys.executable).with_name("alembic")), "-x", "grant_to=order_service", "upgrade", "head"]
    environment = os.environ | as_user(database_url, "order_owner", tmp_path)
    migrated = subprocess.run(alembic, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert migrated.returncode == 0, migrated.stderr
    world.environment |= as_user(database_url, "order_service", tmp_path)
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
