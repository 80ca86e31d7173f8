"""With SCHEMA=check the service runs as a user that owns nothing and has the rights of docs/operations.md, no more."""

import re
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from app.config.config import Settings
from app.database.database import Database
from app.database.floor import last_id_of
from app.database.pool import Pool
from app.database.watched import LaneLook
from app.services.housekeeping import Housekeeping
from app.utils.alarms import Alarms
from tests.harness.world import World, a_create, wait_for
from tests.integration.test_housekeeping import HOUR, TABLES, Run, run
from tests.integration.test_lane_look import EVENTS

__all__ = ["run"]

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
ROLE = "order_service"


def grants() -> str:
    """The statements of the document."""
    (found,) = re.findall(r"```sql\n(.*?)```", OPERATIONS.read_text(), re.DOTALL)
    return str(found)


@pytest.fixture
def role_url(database_url: str) -> Iterator[str]:
    """The same database for a user with these rights, a later migration's table among the others."""
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE}'")
        cursor.execute(grants())
        cursor.execute("CREATE TABLE later (id serial PRIMARY KEY)")
        yield database_url.replace("//postgres:postgres@", f"//{ROLE}:{ROLE}@")
        cursor.execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")


def test_it_handles_commands_and_requests_relays_counts_and_recounts(role_url: str, world: World) -> None:
    world.environment["DATABASE_URL"] = role_url
    app = world.start(SCHEMA="check")
    assert [row["body"]["type"] for row in world.ask(a_create())] == ["order.created"]
    assert app.test_client().get("/orders").get_json()["total"] == 1
    by_status = "SELECT value, orders FROM order_counts WHERE kind = 'status'"
    assert wait_for(lambda: world.query(by_status), "the counts") == [("PENDING", 1)]
    answer = app.test_cli_runner().invoke(args=["orders", "recount", "--yes", "--as", "alice"])
    assert (answer.exit_code, answer.stdout) == (0, "Counted 1 orders.\n")


def test_it_prunes_every_table(role_url: str) -> None:
    with closing(psycopg2.connect(role_url)) as connection, connection, connection.cursor() as cursor:
        for a_row in TABLES.values():
            cursor.execute(a_row, (2, 1))
    pool = Pool(Database(Settings.load({"DATABASE_URL": role_url}).database_url), 1)
    house = Housekeeping(pool, lambda: dict.fromkeys(TABLES, HOUR), Alarms())
    assert house.prune(threading.Event(), lambda: None) == dict.fromkeys(TABLES, 1)
    pool.drop_idle()


def test_it_may_use_what_a_later_migration_makes(role_url: str) -> None:
    with closing(psycopg2.connect(role_url)) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO later VALUES (1); UPDATE later SET id = 2; DELETE FROM later RETURNING id")
        assert cursor.fetchall() == [(2,)]


def test_it_may_ask_every_sequence_those_of_later_migrations_too(role_url: str) -> None:
    with closing(psycopg2.connect(role_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT relname::text, has_sequence_privilege(oid, 'SELECT') FROM pg_class WHERE relkind = 'S'")
        found = dict(cursor.fetchall())
        cursor.execute(f"{EVENTS}; {last_id_of('outbox')}", (1, 3))
        assert cursor.fetchall() == [(3,)]
    assert {"outbox_id_seq", "dead_letters_id_seq", "later_id_seq"} <= set(found)
    assert [name for name, may in found.items() if not may] == []


def test_without_that_right_the_watch_walks_no_row_twice_all_the_same(role_url: str, run: Run) -> None:
    run(f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {ROLE}")
    pool = Pool(Database(Settings.load({"DATABASE_URL": role_url}).database_url), 1)
    look = LaneLook("outbox")
    for _ in range(4):
        run(EVENTS, 1, 5)
        assert look.look(pool).depth == 5
        run("DELETE FROM outbox")
    assert look._floor.id >= 10
    pool.drop_idle()
