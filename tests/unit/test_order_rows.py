"""The values of a write stand in the order of the parameters of each statement that may write it."""

import uuid

import pytest

from app.database import batches_sql
from app.database import orders_sql as sql
from app.database.orders import changed_row, new_row, single_statement
from app.models.rules import Change, ChangeKind
from app.models.writes import ChangeSource, Event, HttpAnswer, IdempotencyKey, OrderWrite
from tests.unit.builders import an_order

ORDER = an_order("ACCEPTED", "runner-1", store_location="Store", cancel_reason="none", saga_id="saga-1")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
KEY = IdempotencyKey("/cancelOrder", "key-1", b"hash")
EXPECTED = {
    **{column: getattr(ORDER, column) for column in sql.ORDER_COLUMNS},
    "change_id": uuid.UUID(int=7),
    "kind": ChangeKind.ACCEPTED,
    "from_status": "CREATED",
    "concerned": "runner-2",
    "door": "http",
    "correlation_id": "corr-1",
    "caller": "front end",
    "traceparent": TRACE,
    "type": "ORDER_ACCEPTED",
    "payload": b"event",
    "path": "/cancelOrder",
    "key": "key-1",
    "body_hash": b"hash",
    "answer_status": 200,
    "answer": b"answer",
}


def a_write(*, is_new: bool = False, key: IdempotencyKey | None = None) -> OrderWrite:
    change = Change(ChangeKind.ACCEPTED, None if is_new else an_order("CREATED"), ORDER, "runner-2")
    source, event = ChangeSource("http", "corr-1", "front end", TRACE), Event("ORDER_ACCEPTED", b"event")
    return OrderWrite(change, uuid.UUID(int=7), source, event, key, HttpAnswer(200, b"answer"))


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("key", [None, KEY])
def test_a_statement_for_one_write_gets_each_value_for_its_parameter(is_new: bool, key: IdempotencyKey | None) -> None:
    statement, values = single_statement(a_write(is_new=is_new, key=key))
    assert statement.name == f"{'insert' if is_new else 'update'}_order{'_under_key' if key else ''}"
    assert dict(zip(statement.parameters, values, strict=True)) == {
        name: EXPECTED[name] for name in statement.parameters
    }


def test_a_statement_for_many_writes_takes_the_same_values() -> None:
    for statement, row in ((sql.INSERT_NEW, new_row(a_write(is_new=True))), (sql.UPDATE_FREE, changed_row(a_write()))):
        assert dict(zip(statement.parameters, row, strict=True)) == {
            name: EXPECTED[name] for name in statement.parameters
        }


def test_a_change_by_a_command_has_the_commands_place_and_no_caller() -> None:
    """[S3]"""
    assert "caller" not in batches_sql.CHANGE_COLUMNS
    assert {"source_topic", "source_partition", "source_offset"} <= batches_sql.CHANGE_COLUMNS.keys()
