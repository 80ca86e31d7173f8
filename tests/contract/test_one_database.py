"""DATABASE_URL and WORKER_DATABASE_URL lead to the same tables, or the process says so and does nothing."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from flask import Flask

from app.database.schema import is_at_head, migrate
from app.services import schema_thread
from tests.contract.conftest import make_app
from tools.stack.postgres import Postgres


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_thread, "REFUSED_SECONDS", 0)
    monkeypatch.setattr(schema_thread, "PAUSE_SECONDS", 0)


@pytest.fixture
def copy_url(postgres: Postgres, url: str) -> Iterator[str]:
    """A second database at head: only that it is another one tells it from the first."""
    made = postgres.create_database("copy")
    migrate(made)
    yield made
    postgres.drop_database("copy")


def look(app: Flask) -> tuple[int, dict[str, object]]:
    app.extensions["kafka_service"].schema.attempt(threading.Event())
    ready = app.test_client().get("/readyz")
    return ready.status_code, ready.get_json()["parts"]["schema"]


def found(app: Flask) -> list[dict[str, object]]:
    findings = json.loads(app.test_cli_runner().invoke(args=["orders", "check", "--json"]).stdout)["findings"]
    return [finding for finding in findings if finding["check"] == "another_database"]


def test_two_addresses_of_one_database_are_ready(url: str) -> None:
    app = make_app(url.replace("127.0.0.1", "localhost"), WORKER_DATABASE_URL=url)
    assert look(app) == (200, {"ok": True, "mode": "ensure"})
    assert found(app) == []


def test_a_worker_on_another_database_does_not_start_and_all_say_why(
    url: str, copy_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(url, WORKER_DATABASE_URL=copy_url)
    reason = (
        "DATABASE_URL leads to other tables (database contract, schema public) than WORKER_DATABASE_URL "
        "(database copy, schema public)"
    )
    for _ in range(2):
        assert look(app) == (503, {"ok": False, "mode": "ensure", "reason": reason})
    assert not app.extensions["kafka_service"].schema.is_at_head  # for which every worker waits
    assert [alarm.name for alarm in app.extensions["alarms"].open()] == ["another_database"]
    told = [record.message for record in caplog.records if record.name == schema_thread.__name__]
    assert told == [f"{reason}: no worker starts"]
    assert [finding["sentence"] for finding in found(app)] == [reason]


def test_another_database_is_not_migrated(url: str, database_url: str) -> None:
    assert look(make_app(url, WORKER_DATABASE_URL=database_url))[0] == 503
    assert not is_at_head(database_url)


def test_another_schema_is_other_tables(url: str, database_url: str) -> None:
    migrate(database_url)
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA apart")
    apart = f"{database_url}?options=-csearch_path=apart"
    status, part = look(make_app(database_url, WORKER_DATABASE_URL=apart))
    assert (status, part["ok"]) == (503, False)
    assert "schema public) than WORKER_DATABASE_URL" in str(part["reason"])


def test_both_addresses_make_a_new_database_ready(database_url: str) -> None:
    app = make_app(database_url, WORKER_DATABASE_URL=database_url)
    assert look(app)[0] == 200


def test_while_one_address_is_away_no_worker_starts(url: str) -> None:
    app = make_app("postgresql://127.0.0.1:1/contract", WORKER_DATABASE_URL=url)
    assert look(app)[0] == 503
    assert not app.extensions["kafka_service"].schema.is_at_head
