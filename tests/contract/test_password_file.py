"""DATABASE_PASSWORD_FILE: read at each new connection; a rotated password needs no restart."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.config.config import Settings
from app.database import kept
from app.database.database import Database
from app.database.pool import Pool
from app.database.schema import migrate
from app.database.statement import Statement
from app.models.errors import ConnectionRefused, DatabaseAway
from app.utils.deadline import Deadline
from tests.contract.conftest import Tables, make_app
from tests.harness.builders import Caller, unique
from tests.harness.service import CHECKOUT
from tests.harness.waiting import until

ONE = Statement("one", {}, "SELECT 1")
REFUSED = "it refuses the password in DATABASE_PASSWORD_FILE (28P01)"


@dataclass
class Account:
    """A user of the database whose password the service reads from a file."""

    tables: Tables
    name: str
    file: Path

    @property
    def url(self) -> str:
        return self.tables.url.replace("//postgres:postgres@", f"//{self.name}@")

    @property
    def address(self) -> str:
        """The address as the service has it."""
        return Settings.load({"DATABASE_URL": self.url, "DATABASE_PASSWORD_FILE": str(self.file)}).database_url

    def change_password(self, password: str) -> None:
        """On the server; the file follows or not."""
        self.tables.rows(f"ALTER ROLE {self.name} PASSWORD '{password}'")


@pytest.fixture
def account(tables: Tables, tmp_path: Path) -> Iterator[Account]:
    made = Account(tables, unique("reader").replace("-", "_"), tmp_path / "password")
    made.file.write_text("first\n")
    tables.rows(f"CREATE ROLE {made.name} SUPERUSER LOGIN PASSWORD 'first'")
    yield made
    tables.rows(f"DROP ROLE {made.name}")


@pytest.fixture
def database(account: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr("app.database.database.REFUSED_SECONDS", 0.1)
    made = Database(account.address)
    yield made
    made.drop_idle()


def spoil(account: Account) -> None:
    account.file.write_text("wrong")


def remove(account: Account) -> None:
    account.file.unlink()


def rotate_on_the_server_alone(account: Account) -> None:
    account.change_password("second")


def test_a_rotated_password_is_taken_without_a_restart(account: Account) -> None:
    database = Database(account.address)
    pool = Pool(database, 2)
    with pool.transaction(Deadline(5)) as session:
        account.change_password("second")
        account.file.write_text("second")
        assert pool.run(ONE, (), Deadline(5)) == [(1,)]  # by a new connection
        assert session.execute(ONE) == [(1,)]  # the old one goes on
    database.drop_idle()


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (spoil, REFUSED),
        (rotate_on_the_server_alone, REFUSED),
        (remove, "DATABASE_PASSWORD_FILE names a file that cannot be read (No such file or directory)"),
        (lambda account: account.file.write_text(""), "DATABASE_PASSWORD_FILE names an empty file: HERE"),
    ],
)
def test_open_connections_go_on_while_new_ones_are_refused(
    account: Account,
    database: Database,
    spoilt: Callable[[Account], Any],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    reason = reason.replace("HERE", str(account.file))
    pool = Pool(database, 2)
    with pool.transaction(Deadline(5)) as session:
        spoilt(account)
        for _ in range(5):
            with pytest.raises(ConnectionRefused):
                pool.run(ONE, (), Deadline(5))
        assert session.execute(ONE) == [(1,)]
        assert (database.available, pool.away) == (True, reason)
    assert pool.run(ONE, (), Deadline(5)) == [(1,)]  # by the open connection
    assert [record.message for record in caplog.records] == [f"database lets no new connection in: {reason}"]
    account.change_password("third")
    account.file.write_text("third")
    until(lambda: pool.away is None, "new connections", 30)
    with pool.transaction(Deadline(5)):
        assert pool.run(ONE, (), Deadline(5)) == [(1,)]


def test_without_an_open_connection_the_database_is_away_until_the_file_is_right(
    account: Account, database: Database
) -> None:
    pool = Pool(database, 2)
    spoil(account)
    with pytest.raises(DatabaseAway):
        pool.run(ONE, (), Deadline(5))
    assert (database.available, pool.away) == (False, REFUSED)
    account.file.write_text("first")
    until(lambda: database.available, "the database", 30)
    assert pool.run(ONE, (), Deadline(5)) == [(1,)]


def test_once_no_connection_is_open_any_more_the_database_is_away(account: Account, database: Database) -> None:
    pool = Pool(database, 2)
    with pool.transaction(Deadline(5)):
        spoil(account)
        with pytest.raises(ConnectionRefused):
            pool.run(ONE, (), Deadline(5))
    database.drop_idle()
    with pytest.raises(DatabaseAway):
        pool.run(ONE, (), Deadline(5))
    assert (database.available, pool.away) == (False, REFUSED)


def test_readiness_names_the_file_and_requests_rest_on_the_open_connections(account: Account) -> None:
    app = make_app(account.url, DATABASE_PASSWORD_FILE=str(account.file), DATABASE_POOL="2")
    caller = Caller(app.test_client())
    assert caller.get("/orders").status_code == 200
    assert app.test_client().get("/readyz").get_json()["parts"]["database"] == {"ok": True}
    spoil(account)
    service = app.extensions["order_service"]
    orders = service._orders._pool
    with orders.transaction(Deadline(5)):
        refused = caller.get("/getOrderDetails", orderId=unique())
    assert (refused.status_code, refused.json["code"]) == (503, "database_away")
    assert caller.get("/getOrderDetails", orderId=unique()).status_code == 404
    part = app.test_client().get("/readyz").get_json()["parts"]["database"]
    assert part == {"ok": True, "reason": REFUSED}
    alarms = app.extensions["alarms"].all()
    assert alarms["database_fails"].endswith(f"it lets no new connection in: {REFUSED}")
    account.file.write_text("first")
    until(lambda: orders.away is None, "new connections", 30)


def test_the_command_line_and_the_migrations_read_the_file(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "KEPT_SECONDS", 0)  # each command is a process of its own
    migrate(account.address)
    app = make_app(account.url, DATABASE_PASSWORD_FILE=str(account.file))
    listed = app.test_cli_runner().invoke(args=["orders", "list", "--json"])
    assert listed.exit_code == 0, listed.output
    environment = os.environ | {"DATABASE_URL": account.url, "DATABASE_PASSWORD_FILE": str(account.file)}
    command = [str(Path(sys.executable).with_name("alembic")), "current"]

    def current() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)

    assert current().returncode == 0, current().stderr
    spoil(account)
    said = app.test_cli_runner().invoke(args=["orders", "list"]).output
    assert REFUSED in said
    assert "wrong" not in said
