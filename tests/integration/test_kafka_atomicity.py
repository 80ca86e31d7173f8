"""A batch of commands is one transaction: all of it or nothing, then all of it at the next try [K7, K8, K10]."""

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest

from app.database.batches import BatchStore
from app.database.database import Database
from app.database.pool import Pool, Session
from app.database.statement import Statement
from app.models import rules
from app.models.commands import OrderCommand
from app.models.errors import DatabaseBusy, ServiceTrouble
from app.models.order import OrderState
from app.models.records import Batch, Headers, StoredOffset
from app.services.command_service import CommandService
from tests.harness.world import (
    Wire,
    World,
    a_create,
    an_update,
    by_correlation,
    raising_once,
    service_of,
    wait_for,
)
from tools.stack.broker import Broker
from tools.stack.postgres import Postgres

TOPIC, TOPIC_ID = "commands", uuid.uuid4()
TABLES = (
    "orders",
    "order_changes",
    "outbox",
    "dead_letters",
    "command_identities",
    "saga_orders",
    "consumer_offsets",
)
STATEMENTS = (
    "move_offset",
    "claim_commands",
    "claim_sagas",
    "find_sagas",
    "lock_orders",
    "insert_orders",
    "update_orders",
    "insert_changes",
    "insert_events",
    "insert_dead_letters",
    "write_facts",
)


@dataclass(frozen=True)
class Record:
    offset: int
    value: bytes | None
    key: bytes | None = None
    timestamp: int = 1_790_000_000_000
    headers: Headers = ()


class Books:
    """A database with one order, and a batch that touches every table."""

    def __init__(self, url: str) -> None:
        self.store = BatchStore(Pool(Database(url.replace("://", "+psycopg2://", 1)), 2), 30)
        self.connection = psycopg2.connect(url)
        self.connection.autocommit = True
        self.store.store_first_offset(TOPIC, 0, StoredOffset(TOPIC_ID, 0))
        self.handle(0, a_create("old"))
        order_id = self.query("SELECT order_id FROM orders")[0]
        update = an_update(order_id, "PLACED")
        self.commands = [a_create("new"), a_create("old", correlation_id="other"), update, b"garbage"]

    def handle(self, offset: int, *commands: Any) -> None:
        values = [json.dumps(it).encode() if isinstance(it, dict) else it for it in commands]
        records = [Record(offset + place, value) for place, value in enumerate(values)]
        CommandService(self.store).handle(Batch(TOPIC, TOPIC_ID, 0, offset, offset + len(records), records))

    def query(self, statement: str) -> list[str]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return [row[0] for row in cursor.fetchall()] if cursor.description else []

    def all(self) -> dict[str, list[str]]:
        return {table: self.query(f"SELECT t::text FROM {table} AS t ORDER BY 1") for table in TABLES}

    def sizes(self) -> list[int]:
        return [len(rows) for rows in self.all().values()]


@pytest.fixture
def books(database_url: str) -> Iterator[Books]:
    made = Books(database_url)
    with closing(made.connection):
        yield made


@pytest.fixture
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("Postgres"))
    server.start()
    yield server
    server.kill()


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_batch_that_fails_after_any_statement_leaves_no_trace_and_works_next_time(
    books: Books, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    """[K7] [K8]"""
    execute, before = Session.execute, books.all()

    def failing(self: Session, called: Statement, parameters: Any = ()) -> object:
        rows = execute(self, called, parameters)
        if called.name == statement:
            raise RuntimeError(statement)
        return rows

    with monkeypatch.context() as patch:
        patch.setattr(Session, "execute", failing)
        with pytest.raises(ServiceTrouble, match="RuntimeError"):
            books.handle(1, *books.commands)
    assert books.all() == before
    books.handle(1, *books.commands)
    assert books.sizes() == [2, 3, 4, 1, 4, 2, 1]


def test_a_batch_whose_commit_fails_leaves_no_trace_and_works_next_time(books: Books) -> None:
    """[K7] [K8]"""
    books.query("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$")
    trigger = "CREATE CONSTRAINT TRIGGER no AFTER INSERT ON outbox DEFERRABLE INITIALLY DEFERRED"
    books.query(f"{trigger} FOR EACH ROW EXECUTE FUNCTION no()")
    before = books.all()
    with pytest.raises(DatabaseBusy) as trouble:
        books.handle(1, *books.commands)
    assert trouble.value.reason == "The database cannot do this now: no (SQLSTATE P0001)"
    assert books.all() == before
    books.query("DROP TRIGGER no ON outbox")
    books.handle(1, *books.commands)
    assert books.sizes() == [2, 3, 4, 1, 4, 2, 1]


def test_an_order_that_changes_behind_the_lock_undoes_the_batch(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row count that is not the expected one rolls back. [K3]"""
    before, decide = books.all(), rules.decide

    def older(order: OrderState, *arguments: Any, **named: Any) -> object:
        change = decide(order, *arguments, **named)
        object.__setattr__(order, "version", 7)
        return change

    with monkeypatch.context() as patch:
        patch.setattr(rules, "decide", older)
        with pytest.raises(ServiceTrouble, match="update_orders wrote 0 rows instead of 1"):
            books.handle(1, *books.commands)
    assert books.all() == before


def test_a_batch_that_fails_once_is_handled_by_the_running_service(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[K7]"""
    commands = [a_create() for _ in range(10)]
    running.ask(a_create())
    with raising_once(monkeypatch, rules, "create", RuntimeError("bug")) as failed:
        rows = running.ask(*commands, partition=0)
        assert failed
    assert set(by_correlation(rows)) == {it["correlation_id"] for it in commands}
    assert {row["body"]["type"] for row in rows} == {"order.created"}


def test_a_poison_command_gets_its_failure_reply_and_its_neighbours_their_own(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[K7] [K10]"""
    decide, order_id = rules.decide, running.create()

    def poisoned(order: OrderState, command: OrderCommand, *arguments: Any, **named: Any) -> object:
        if getattr(command, "order_id", None) == "poison":
            raise RuntimeError("a bug")
        return decide(order, command, *arguments, **named)

    monkeypatch.setattr(rules, "decide", poisoned)
    lost = an_update("poison", "PLACED")
    commands = [a_create(), lost, an_update(order_id, "PLACED"), b"garbage", a_create()]
    rows = by_correlation(running.ask(*commands, partition=1))
    poison = rows.pop(lost["correlation_id"])
    assert (poison["body"]["type"], poison["payload"]["code"]) == ("order.status_update_failed", "internal_error")
    assert (poison["payload"]["order_id"], "a bug" in poison["payload"]["error"]) == ("poison", False)
    assert sorted(row["body"]["type"] for row in rows.values()) == ["order.created"] * 2 + ["order.status_updated"]
    assert len(running.dead_letters()) == 1
    ((place, value, error),) = running.query('SELECT "offset", value, error FROM given_up_commands')
    facts = "SELECT \"offset\", order_id FROM command_identities WHERE outcome = 'internal_error'"
    assert running.query(facts) == [(place, "poison")]
    assert json.loads(bytes(value)) == commands[1]
    assert error == f"RuntimeError while the command at offset {place} was decided"
    rung = running.alarm(f"command_given_up_1_{place}")
    assert rung is not None
    assert error not in rung, "the reason may hold words of the command"


def test_commands_wait_while_the_database_is_away(wire: Wire, broker: Broker, own_postgres: Postgres) -> None:
    """None is refused and none lost, whatever partition it is in. [K7]"""
    with closing(World(wire, broker.bootstrap, own_postgres.url())) as world:
        wire.create_topics(world.commands, world.events, world.letters)
        app = world.start()
        wait_for(lambda: service_of(app).schema.is_at_head, "the schema")
        world.ask(a_create())
        own_postgres.stop("immediate")
        world.reconnect()
        commands = [a_create() for _ in range(60)]
        world.send(*commands)
        wait_for(lambda: not service_of(app)._database.available, "the service to see it")
        own_postgres.start()
        world.settle()
        replies = by_correlation(world.replies())
    assert {it["correlation_id"] for it in commands} <= set(replies)
    assert {row["body"]["type"] for row in replies.values()} == {"order.created"}


def test_a_database_that_restarts_amid_commands_loses_and_doubles_none(
    wire: Wire, broker: Broker, own_postgres: Postgres
) -> None:
    """[K7] [K13]"""
    with closing(World(wire, broker.bootstrap, own_postgres.url())) as world:
        wire.create_topics(world.commands, world.events, world.letters)
        app = world.start(CONSUMER_BATCH="20")
        wait_for(lambda: service_of(app).schema.is_at_head, "the schema")
        commands = [a_create() for _ in range(600)]
        world.send(*commands)
        wait_for(lambda: world.count("orders"), "the first orders")
        own_postgres.stop("immediate")
        world.reconnect()
        own_postgres.start()
        world.settle()
        rows = world.replies()
        assert world.count("orders") == 600
    assert {it["correlation_id"] for it in commands} == set(by_correlation(rows))
