"""What requests were refused waits in a bounded queue, and is put together before it is stored."""

from collections.abc import Sequence
from unittest.mock import create_autospec

import pytest

from app.database.http_refusals import RefusalTable
from app.models.errors import DatabaseAway
from app.models.refusals import LOST_RACE, RefusedRequests
from app.services import refusals
from app.services.refusals import LONGEST_BODY, RefusalNotes
from app.utils.metrics import REFUSALS_UNTOLD
from app.wire.answers import failure

BODY = b'{"orderId": "order-1"}'


@pytest.fixture
def table() -> RefusalTable:
    made: RefusalTable = create_autospec(RefusalTable, instance=True)
    return made


def kept(table: RefusalTable) -> list[RefusedRequests]:
    """All rows that the table was given."""
    calls: Sequence[Sequence[RefusedRequests]] = [call.args[0] for call in table.keep.call_args_list]  # type: ignore[attr-defined]
    return [row for rows in calls for row in rows]


def untold() -> float:
    return REFUSALS_UNTOLD._value.get()  # type: ignore[no-any-return]


def test_what_is_alike_is_one_row_with_the_last_correlation_id(table: RefusalTable) -> None:
    notes = RefusalNotes()
    notes.note("/p", "idempotency_key_in_use", "key", "call-1", BODY, is_sent=False)
    notes.note("/p", "idempotency_key_in_use", "key", "call-2", BODY, is_sent=True)
    notes.note("/p", failure("order_taken", "no"), None, "call-3", BODY, is_sent=False)
    notes.note_race("/p", None, "call-4", "order-1")
    notes.store(table)
    notes.store(table)
    assert [(row.code, row.order_id, row.key, row.correlation_id, row.times) for row in kept(table)] == [
        ("idempotency_key_in_use", "order-1", "key", "call-2", 2),
        ("order_taken", "order-1", None, "call-3", 1),
        (LOST_RACE, "order-1", None, "call-4", 1),
    ]
    assert all(0 <= row.age < 5 for row in kept(table))


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[]", b'{"orderId": 1}', b'{"orderId": ""}', b'{"orderId": "a\\u0000"}']
)
@pytest.mark.parametrize("is_sent", [True, False])
def test_what_nobody_could_ask_for_is_left_out(table: RefusalTable, body: bytes, is_sent: bool) -> None:
    notes = RefusalNotes()
    notes.note("/p", "no_data", None, "call-1", body, is_sent=is_sent)
    notes.store(table)
    assert [row.correlation_id for row in kept(table)] == (["call-1"] if is_sent else [])


def test_a_large_body_is_not_kept_for_its_id(table: RefusalTable) -> None:
    notes = RefusalNotes()
    notes.note("/p", "x", "key", "call-1", BODY + b" " * LONGEST_BODY, is_sent=False)
    notes.store(table)
    assert kept(table)[0].order_id is None


def test_the_queue_and_the_rows_of_a_second_are_bounded_and_what_is_lost_is_counted(
    table: RefusalTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "MOST_STORED", 3)
    notes, before = RefusalNotes(most=5), untold()
    for number in range(7):
        notes.note("/p", "x", f"key-{number}", "call", b"", is_sent=False)
    assert untold() - before == 2
    notes.store(table)
    assert [row.key for row in kept(table)] == ["key-0", "key-1", "key-2"]
    assert untold() - before == 4
    notes.note("/p", "x", "later", "call", b"", is_sent=False)
    notes.store(table)
    assert kept(table)[-1].key == "later"


def test_what_cannot_be_stored_waits_and_is_counted_once(table: RefusalTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(refusals, "MOST_STORED", 1)
    table.keep.side_effect = [DatabaseAway("away"), None]  # type: ignore[attr-defined]
    notes, before = RefusalNotes(), untold()
    for key in ("one", "two"):
        notes.note("/p", "database_away", key, "call", b"", is_sent=False)
    notes.store(table)
    assert untold() == before
    notes.store(table)
    assert [row.key for row in kept(table)] == ["one", "one"]
    assert untold() - before == 1
