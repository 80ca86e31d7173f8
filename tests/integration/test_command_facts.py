"""What stays of commands that changed nothing or came again, and of the trace that a command's record names."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from app.database.arrays import as_columns
from app.database.batches import BatchStore
from app.database.command_facts import WRITE_FACTS, fact_rows
from app.database.pool import Pool, Session
from app.database.statement import Statement
from app.models.errors import DatabaseTrouble
from app.models.records import NO_ID, Batch, StoredOffset
from app.services.command_service import CommandService
from app.services.rehearsal import Sample
from app.utils.deadline import Deadline
from app.wire.command_reader import DeadLetter, parse_record
from tests.harness.world import World, a_create, an_update

FACTS = (
    'SELECT type, correlation_id, order_id, outcome, "partition", "offset", repeats, repeated_partition, '
    "repeated_offset, repeated_at IS NULL FROM command_identities WHERE type IS NOT NULL ORDER BY correlation_id"
)
NEVER = (None, None, None, True)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_command_that_changes_nothing_leaves_why_and_where(running: World) -> None:
    order_id = running.create("saga-1")
    commands = [
        an_update("nobody", "PLACED") | {"correlation_id": "1"},
        an_update(order_id, "NONE") | {"correlation_id": "2"},
        an_update(order_id, "PENDING") | {"correlation_id": "3"},
        a_create("saga-1", correlation_id="4"),
        a_create("saga-2", correlation_id="5", customer_id=...),
    ]
    running.ask(*commands, partition=1)
    first = running.wire.ends(running.commands)[1] - len(commands)
    update, create = "update_order_status", "create_order"
    assert running.query(FACTS) == [
        (update, "1", "nobody", "order_not_found", 1, first, *NEVER),
        (update, "2", order_id, "invalid_status", 1, first + 1, *NEVER),
        (update, "3", order_id, "unchanged", 1, first + 2, *NEVER),
        (create, "4", order_id, "unchanged", 1, first + 3, *NEVER),
        (create, "5", None, "missing_fields", 1, first + 4, *NEVER),
    ]


def test_a_command_that_comes_again_is_counted_with_its_newest_place(running: World) -> None:
    """The create finds its order by its saga, and what it did stands in the history."""
    commands = [a_create("saga-1"), an_update("nobody", "PLACED") | {"correlation_id": "saga-2"}]
    running.ask(*commands, partition=0)
    ((order_id,),) = running.query("SELECT order_id FROM orders")
    assert [row[0] for row in running.query(FACTS)] == ["update_order_status"]
    running.ask(*commands, *commands, partition=2)
    running.ask(*commands, partition=1)
    assert running.query(FACTS) == [
        ("create_order", "saga-1", order_id, None, None, None, 3, 1, 0, False),
        ("update_order_status", "saga-2", "nobody", "order_not_found", 0, 1, 3, 1, 1, False),
    ]


def test_the_same_bytes_in_one_batch_are_counted_too(running: World) -> None:
    running.ask(*[a_create("saga-1")] * 4, partition=0)
    ((order_id,),) = running.query("SELECT order_id FROM orders")
    assert running.query(FACTS) == [("create_order", "saga-1", order_id, None, None, None, 3, 0, 3, False)]


def test_the_trace_of_a_command_is_in_the_history(running: World) -> None:
    """One that is malformed, or one of several, is none."""
    sent = [(), ((TRACE.encode(),)), (TRACE.upper().encode(),), (TRACE.encode(), TRACE.encode()), (b"",)]
    for number, values in enumerate(sent):
        headers = [("other", b"x"), *(("traceparent", value) for value in values)]
        value = json.dumps(a_create(f"saga-{number}")).encode()
        running.wire.producer.send(running.commands, value=value, headers=headers, partition=0).get(timeout=20)
    running.settle()
    traces = running.query("SELECT traceparent FROM order_changes ORDER BY correlation_id")
    assert traces == [(None,), (TRACE,), (None,), (None,), (None,)]


@pytest.fixture
def service(pool: Pool) -> CommandService:
    """The use case alone, at the offset 0 of a topic that no broker has."""
    store = BatchStore(pool, 30)
    store.store_first_offset("commands", 0, StoredOffset(NO_ID, 0))
    return CommandService(store)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that run from now on, by name."""
    execute, names = Session.execute, list[str]()

    def noted(self: Session, statement: Statement, parameters: Any = ()) -> object:
        names.append(statement.name)
        return execute(self, statement, parameters)

    monkeypatch.setattr(Session, "execute", noted)
    return names


def a_sample(offset: int, command: dict[str, Any]) -> Sample:
    return Sample(json.dumps(command).encode(), offset=offset)


def handle(service: CommandService, *samples: Sample) -> None:
    first, end = samples[0].offset, samples[-1].offset + 1
    service.handle(Batch("commands", NO_ID, 0, first, end, samples))


def test_only_a_batch_with_a_command_that_changed_nothing_has_a_statement_more(
    service: CommandService, called: list[str]
) -> None:
    done, refused = a_sample(0, a_create()), a_sample(1, an_update("nobody", "PLACED"))
    handle(service, done)
    assert WRITE_FACTS.name not in called
    handle(service, refused, a_sample(2, an_update("nobody", "CREATED")))
    assert called.count(WRITE_FACTS.name) == 1
    handle(service, Sample(done.value, offset=3), Sample(refused.value, offset=4))
    assert called.count(WRITE_FACTS.name) == 2


def test_facts_that_cannot_be_written_are_no_fault_of_a_command(database_url: str, service: CommandService) -> None:
    """The rehearsal tries them too: else each refused command would be given up."""
    service.rehearse()
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE command_identities ADD CHECK (type IS NULL)")
    with pytest.raises(DatabaseTrouble):
        service.rehearse()


@pytest.fixture
def two_sessions(database_url: str, pool: Pool) -> Iterator[list[Pool]]:
    other = Pool(pool._database, 1)
    yield [pool, other]
    other.drop_idle()


def test_two_batches_with_the_same_repeats_do_not_lock_each_other_out(two_sessions: list[Pool]) -> None:
    """Each has them in another order."""
    samples = [a_sample(number, a_create(f"saga-{number}")) for number in range(300)]
    commands = [(sample, parse_record(sample.value)) for sample in samples]
    received = [(record, command) for record, command in commands if not isinstance(command, DeadLetter)]
    store = BatchStore(two_sessions[0], 30)
    with store.transaction() as transaction:
        transaction.claim(received)
    failures: list[Exception] = []

    def repeat(pool: Pool, step: int) -> None:
        try:
            for _ in range(20):
                rows = as_columns(fact_rows(0, [], received[::step]))
                with pool.transaction(Deadline(20)) as session:
                    session.execute(WRITE_FACTS, rows)
        except Exception as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [
        threading.Thread(target=repeat, args=(pool, step)) for pool, step in zip(two_sessions, (1, -1), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with two_sessions[0].transaction(Deadline(5)) as session, session.connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT repeats FROM command_identities")
        assert cursor.fetchall() == [(40,)]
