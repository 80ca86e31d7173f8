"""With SCHEMA=check the service runs as a user that owns nothing and has the rights of migrations/grants.sql alone."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import reduce
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection
from psycopg2.sql import SQL, Identifier

from app import create_app
from app.config.config import Settings
from app.database import lane_lease, lanes
from app.database.connection import engine
from app.database.consistency import CHECKS
from app.database.database import Database
from app.database.floor import last_id_of
from app.database.lane_lease import acquire_lease
from app.database.pool import Pool
from app.database.rights import FILE, ROLE, grant_to
from app.database.schema import VERSION_TABLE, SchemaRefused, require_head
from app.database.translation import told
from app.database.watched import LaneLook
from app.models.outgoing import LeaseLost
from app.models.records import LogPosition
from app.operations import forget
from app.operations.audit import Operator
from app.operations.jobs import start
from app.services.housekeeping import Housekeeping
from app.utils.alarms import Alarms
from tests.cli.test_dead_letters import a_letter
from tests.cli.test_given_up import a_command
from tests.cli.test_orders import an_order
from tests.cli.test_outbox import a_refused_event
from tests.contract.test_plans import statements
from tests.harness.builders import create_body
from tests.harness.terminal import Terminal
from tests.harness.world import World, a_create, wait_for
from tests.integration.test_housekeeping import HOUR, TABLES, Run, run
from tests.integration.test_lane_look import EVENTS

__all__ = ["run"]

GRANTS = FILE.read_text()
SERVICE, _, OPERATORS = GRANTS.partition("-- What only operators need")
LANE_TEXTS = ("select", "take_out", "set_aside", "refuse", "select_aside", "drop_sent")
LEASE_TEXTS = ("_POSITIONS", "_SET", "_ADVANCE", "_KNOWN", "_NOTE", "_ANY_KNOWN")
OF_TABLES = re.compile(
    rf"^GRANT ([A-Z]\w*(?: \(\w+\))?(?:, [A-Z]\w*(?: \(\w+\))?)*) ON (\w+) TO {ROLE};$", re.MULTILINE
)


def single_rights(text: str) -> list[tuple[str, str]]:
    """Each right on a table that the text gives, and the table."""
    return [(right, table) for rights, table in OF_TABLES.findall(text) for right in rights.split(", ")]


@pytest.fixture
def owner(database_url: str) -> Iterator[Connection]:
    """The session of a superuser, in which the service's user has got its rights."""
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE}'")
        cursor.execute(GRANTS)
        yield connection
        cursor.execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")


@pytest.fixture
def role_url(owner: Connection, database_url: str) -> str:
    """The same database for that user."""
    return database_url.replace("//postgres:postgres@", f"//{ROLE}:{ROLE}@")


@pytest.fixture
def role(role_url: str) -> Iterator[Connection]:
    """A session of that user."""
    with closing(psycopg2.connect(role_url)) as connection:
        connection.autocommit = True
        yield connection


@contextmanager
def taken_away(owner: Connection, right: str, table: str) -> Iterator[None]:
    """In the body the user lacks the right."""
    with owner.cursor() as cursor:
        cursor.execute(f"REVOKE {right} ON {table} FROM {ROLE}")
        yield
        cursor.execute(f"GRANT {right} ON {table} TO {ROLE}")


def texts_of_the_service(role: Connection) -> dict[str, str]:
    """What explains each statement of the service: PostgreSQL asks for its rights then. Each with the statement."""
    lease = [str(vars(lane_lease)[name]) for name in LEASE_TEXTS]
    lane = [getattr(one, name, None) for one in (lanes.EVENTS, lanes.DEAD_LETTERS) for name in LANE_TEXTS]
    plain = [text.replace("%s", "NULL") for text in (*lease, *lane) if text]
    given = {":late": "interval '60 s'", ":refusals": "'{}'::text[]"}
    checks = [reduce(lambda text, it: text.replace(*it), given.items(), query) for _, query in CHECKS.values()]
    found = {f"EXPLAIN {text}": text for text in (*plain, *checks, f"SELECT version_num FROM {VERSION_TABLE}")}
    with role.cursor() as cursor:
        for one in statements():
            cursor.execute(one.prepare)
            values = f"({', '.join(['NULL'] * len(one.parameters))})" if one.parameters else ""
            found[f"EXPLAIN EXECUTE {one.name} {values}"] = one.text
    return found


def refusals(role: Connection, explained: dict[str, str], table: str = "") -> set[str]:
    """PostgreSQL's sentences about the rights that the statements on the table lack."""
    found = set()
    with role.cursor() as cursor:
        for explain, statement in explained.items():
            if re.search(rf"{table}\b", statement):
                try:
                    cursor.execute(explain)
                except psycopg2.errors.InsufficientPrivilege as error:
                    found.add(told(error))
    return found


def test_every_table_is_in_the_list_of_rights(owner: Connection) -> None:
    """A migration that makes a table gives the service's user its rights in migrations/grants.sql."""
    with owner.cursor() as cursor:
        cursor.execute(
            "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        )
        tables = {name for (name,) in cursor.fetchall()}
    assert tables == {table for _, table in single_rights(GRANTS)}


def test_the_user_may_run_every_statement_and_needs_each_right(owner: Connection, role: Connection) -> None:
    explained = texts_of_the_service(role)
    assert len(explained) > 60
    with owner.cursor() as cursor:
        cursor.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {ROLE}; {SERVICE}")
    assert refusals(role, explained) == set()
    lines = {table: rights for rights, table in OF_TABLES.findall(SERVICE)}
    for right, table in single_rights(SERVICE):
        with taken_away(owner, right, table):
            found = refusals(role, explained, table)
        assert len(found) == 1, f"{right} on {table} is not needed"
        assert f"permission denied for table {table} (SQLSTATE 42501); the service needs " in found.pop()
        assert right in lines[table].split(", ")
    assert refusals(role, explained) == set()


def test_the_rights_go_to_a_user_of_any_name(owner: Connection, database_url: str) -> None:
    name = 'Orders "live"; DROP'
    with owner.cursor() as cursor:
        cursor.execute(SQL("CREATE ROLE {}").format(Identifier(name)))
        with engine(database_url).begin() as connection:
            grant_to(connection, name)
        cursor.execute("SELECT has_table_privilege(%s, 'orders', 'INSERT'), to_regclass('orders')::text", (name,))
        assert cursor.fetchone() == (True, "orders")
        cursor.execute(SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(Identifier(name)))


FORBIDDEN = (
    "CREATE TABLE more (id int)",
    "CREATE INDEX ON orders (order_status)",
    "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA more",
    "ALTER TABLE orders ADD COLUMN more text",
    "ALTER TABLE orders DISABLE TRIGGER ALL",
    "CREATE TRIGGER more BEFORE INSERT ON orders EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "DROP TABLE watch",
    "TRUNCATE outbox",
    "DELETE FROM orders",
    "DELETE FROM order_changes",
    "UPDATE order_changes SET kind = 'k'",
    "DELETE FROM operator_actions",
    f"UPDATE {VERSION_TABLE} SET version_num = '9999'",
    f"ALTER ROLE {ROLE} SUPERUSER",
)


FOR_OPERATORS = (
    "INSERT INTO api_keys (id, name, hash, scopes, created_by) VALUES ('k', 'n', '', 'operator', 'me')",
    "UPDATE api_keys SET scopes = 'operator'",
    "UPDATE api_keys SET revoked_at = NULL",
    "INSERT INTO operator_actions (who, action, subject) VALUES ('me', 'nothing', 'nothing')",
)


def test_it_can_change_neither_schema_nor_history(
    owner: Connection, role: Connection, subtests: pytest.Subtests
) -> None:
    with role.cursor() as cursor, owner.cursor() as given:
        for statement in FORBIDDEN:
            with subtests.test(statement), pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)
        given.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {ROLE}; {SERVICE}")
        for statement in FOR_OPERATORS:
            with subtests.test(statement), pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)


def test_it_handles_commands_and_requests_relays_counts_and_recounts(role_url: str, world: World) -> None:
    world.environment["DATABASE_URL"] = role_url
    app = world.start(SCHEMA="check")
    assert [row["body"]["type"] for row in world.ask(a_create())] == ["order.created"]
    assert app.test_client().get("/orders").get_json()["total"] == 1
    by_status = "SELECT value, orders FROM order_counts WHERE kind = 'status'"
    assert wait_for(lambda: world.query(by_status), "the counts") == [("PENDING", 1)]
    answer = app.test_cli_runner().invoke(args=["orders", "recount", "--yes", "--as", "alice"])
    assert (answer.exit_code, answer.stdout) == (0, "Counted 1 orders.\n")


def test_it_does_jobs_with_its_own_rights_alone(owner: Connection, role_url: str, world: World) -> None:
    """Those of operators are for whoever starts a job: it writes the audit line."""
    operator = Operator(world.settings(), "alice")
    sent, gone = (a_letter(world, b"{") for _ in range(2))
    started = [
        start(operator, "replay", [sent], reason="r"),
        start(operator, "discard", [gone], reason="r"),
        start(operator, "check", reason="r"),
    ]
    with owner.cursor() as cursor:
        cursor.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {ROLE}; {SERVICE}")
    world.environment["DATABASE_URL"] = role_url
    world.start(SCHEMA="check")
    over = "SELECT state FROM jobs WHERE ended_at IS NOT NULL"
    wait_for(lambda: len(world.query(over)) == len(started), "the jobs")
    outcomes = dict(world.query("SELECT id, state FROM jobs"))
    assert outcomes == dict.fromkeys(started, "done"), world.query("SELECT outcome FROM jobs")
    assert world.query("SELECT resolution FROM dead_letters ORDER BY id LIMIT 2") == [("replayed",), ("discarded",)]


def test_it_prunes_every_table(role_url: str) -> None:
    with closing(psycopg2.connect(role_url)) as connection, connection, connection.cursor() as cursor:
        for a_row in TABLES.values():
            cursor.execute(a_row, (2, 1))
    pool = Pool(Database(Settings.load({"DATABASE_URL": role_url}).database_url), 1)
    house = Housekeeping(pool, lambda: dict.fromkeys(TABLES, HOUR), Alarms())
    assert house.prune(threading.Event(), lambda: None) == dict.fromkeys(TABLES, 1)
    pool.drop_idle()


@pytest.mark.parametrize("lane", ["outbox", "dead_letters"])
def test_it_may_ask_the_sequences_for_the_last_id(owner: Connection, role: Connection, lane: str) -> None:
    with owner.cursor() as given, role.cursor() as cursor:
        given.execute(f"SELECT nextval('{lane}_id_seq')")
        cursor.execute(last_id_of(lane))
        assert cursor.fetchall() == [(1,)]
        with taken_away(owner, "SELECT", f"SEQUENCE {lane}_id_seq"):
            cursor.execute(last_id_of(lane))
            assert cursor.fetchall() == [(None,)]


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


def test_a_right_that_is_missing_is_named_where_it_is_looked_for(
    owner: Connection, role_url: str, world: World
) -> None:
    """In /readyz if the tables cannot be seen, in an alarm if a call fails, in the log of the relay."""
    world.environment["DATABASE_URL"] = role_url
    url = world.settings().database_url
    with taken_away(owner, "SELECT", VERSION_TABLE), pytest.raises(SchemaRefused) as refused:
        require_head(url)
    assert str(refused.value).endswith(f"; the service needs GRANT SELECT ON {VERSION_TABLE} (migrations/grants.sql)")
    app = create_app(world.settings())
    with taken_away(owner, "INSERT", "order_changes"):
        assert app.test_client().post("/createOrder", json=create_body()).status_code == 503
    needed = "the service needs GRANT SELECT, INSERT ON order_changes (migrations/grants.sql)"
    assert app.extensions["alarms"].all()["database_fails"].endswith(needed)
    lease = acquire_lease(Database(url), lanes.EVENTS, world.events, 1, threading.Event(), lambda: None)
    with lease as held, taken_away(owner, "UPDATE", "relay_positions"):
        assert held is not None
        with pytest.raises(LeaseLost, match=r"needs GRANT SELECT, INSERT, UPDATE ON relay_positions \("):
            held.store_positions({0: LogPosition(uuid4(), 1)})


A_CHANGE = (
    "INSERT INTO order_changes (order_id, version, change_id, kind, from_status, to_status, payment_status, door, "
    "correlation_id) VALUES ('o', 2, gen_random_uuid(), 'updated', 'PENDING', 'CREATED', 'PENDING', 'kafka', 'c')"
)
A_KEY = (
    "INSERT INTO api_keys (id, name, hash, scopes, created_by) "
    "VALUES ('bcdfghjkmnpq', 'n', sha256('k'), 'orders:read', 'me') RETURNING id"
)
OF_OPERATORS: dict[tuple[str, str], Callable[[World], tuple[object, ...]]] = {
    ("SELECT", "operator_actions"): lambda world: ("given-up", "discard", a_command(world)),
    ("INSERT", "operator_actions"): lambda world: ("given-up", "discard", a_command(world)),
    ("UPDATE", "operator_actions"): lambda world: ("dead-letters", "replay", a_letter(world, b"{")),
    ("INSERT", "lost_events"): lambda world: (world.query(A_CHANGE), "outbox", "find-lost")[1:],
    ("UPDATE", "lost_events"): lambda world: ("outbox", "announce-again"),
    ("INSERT", "taken_out_events"): lambda world: ("outbox", "take-out", a_refused_event(world, 2)),
    ("UPDATE", "taken_out_events"): lambda world: ("outbox", "take-out", a_refused_event(world, 2)),
    ("DELETE", "consumer_offsets"): lambda world: ("offsets", "forget", "--partition", 7),
    ("INSERT", "api_keys"): lambda world: ("keys", "create", "web", "--scope", "orders:read"),
    ("UPDATE", "api_keys"): lambda world: ("keys", "revoke", world.query(A_KEY)[0][0]),
    ("EXECUTE", "FUNCTION recount_orders()"): lambda world: ("recount",),
}
"""The rights that the command line alone needs, each with a command that needs it."""
ASKS = ("discard", "announce-again", "take-out", "forget", "recount")


def test_operators_need_each_of_their_rights(owner: Connection, role_url: str, world: World) -> None:
    """The commands that other tests of the command line cover do the same as a superuser."""
    offset = (
        "INSERT INTO consumer_offsets (topic, partition, topic_id, next_offset) VALUES (%s, 7, gen_random_uuid(), 0)"
    )
    world.query(offset, (world.commands,))
    world.environment["DATABASE_URL"] = role_url
    terminal = Terminal(world)
    assert {*single_rights(OPERATORS), ("EXECUTE", "FUNCTION recount_orders()")} == OF_OPERATORS.keys()
    for (right, table), needs in OF_OPERATORS.items():
        command = needs(world)
        command += ("--yes",) * (not {*command}.isdisjoint(ASKS))
        with taken_away(owner, right, table):
            refused = terminal.run(*command)
        name = table.removeprefix("FUNCTION ").removesuffix("()")
        sentence = rf"permission denied for \w+ {name} \(SQLSTATE 42501\); the service needs .*GRANT .*{right}.* ON "
        assert re.search(sentence, refused.stderr), f"{right} on {table}: {refused.output}"
        assert terminal.run(*command).exit_code == 0, command


def test_it_forgets_customers_but_no_runners_who_are_in_the_history(
    role_url: str, untouched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget, "CONTRACT_SECONDS", 0.0)
    an_order(untouched, "order-1", 0, "COMPLETED", customer="ann")
    untouched.environment["DATABASE_URL"] = role_url
    done = Terminal(untouched).json("forget", "--customer", "ann", "--reason", "r", "--yes")
    assert (done["orders"], untouched.count("orders", "cust_id = 'ann'")) == (1, 0)
    refusal = Terminal(untouched).refusal("forget", "--runner", "bob", "--reason", "r", "--yes")
    assert refusal.startswith("This database user may not change the history")


def test_it_simulates_judges_and_carries_out_moves(role_url: str, untouched: World) -> None:
    an_order(untouched, "order-1", 0, "CREATED")
    untouched.environment["DATABASE_URL"] = role_url
    terminal = Terminal(untouched)
    assert terminal.json("simulate", "order-1", "completeOrder")["verdict"] == "GO"
    command = b'{"type": "cancel_order", "correlation_id": "c", "payload": {"order_id": "order-1"}}'
    (judged,) = terminal.json("dead-letters", "judge", a_letter(untouched, command))["judgements"]
    assert judged["would_be"] == "order.cancelled, version 2"
    assert terminal.json("do", "order-1", "completeOrder", "--version", 1, "--reason", "r")["version"] == 2
