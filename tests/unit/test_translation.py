"""psycopg2's errors as the service's own: the SQLSTATE and the rule that was broken decide."""

from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest

from app.database.translation import translated
from app.models.errors import (
    DatabaseAway,
    DatabaseBusy,
    DatabaseFails,
    DatabaseReadOnly,
    ForeignRuleBroken,
    OutcomeUnknown,
    ValuesRefused,
)


class Refusal(psycopg2.Error):
    """An error as the server would send it: psycopg2's own cannot be made."""

    pgcode: Any = None
    diag: Any = None

    def __init__(self, code: str, constraint: str | None = None) -> None:
        super().__init__("PostgreSQL's sentence\nDETAIL: a value")
        self.pgcode = code
        self.diag = SimpleNamespace(message_primary=None, constraint_name=constraint)


@pytest.mark.parametrize(
    ("code", "constraint", "kind"),
    [
        ("25006", None, DatabaseReadOnly),
        ("08006", None, OutcomeUnknown),
        ("57P01", None, OutcomeUnknown),
        ("0A000", None, DatabaseBusy),
        ("55P03", None, DatabaseBusy),
        ("53100", None, DatabaseBusy),
        ("42P01", None, DatabaseAway),
        ("42501", None, DatabaseFails),
        ("22P02", None, ValuesRefused),
        ("23505", "orders_pkey", ValuesRefused),
        ("23514", "ck_orders_order_status", ValuesRefused),
        ("23514", "ck_theirs", ForeignRuleBroken),
        ("22001", None, ForeignRuleBroken),
    ],
)
def test_the_sqlstate_decides(code: str, constraint: str | None, kind: type[Exception]) -> None:
    found = translated(Refusal(code, constraint), is_lost=False)
    assert (type(found), found.sqlstate) == (kind, code)
    assert found.cause == f"PostgreSQL's sentence (SQLSTATE {code})"


def test_the_rule_that_was_broken_is_named() -> None:
    found = translated(Refusal("23505", "orders_pkey"), is_lost=False)
    assert isinstance(found, ValuesRefused)
    assert found.constraint == "orders_pkey"


def test_on_a_connection_that_is_lost_the_outcome_is_not_known() -> None:
    assert isinstance(translated(Refusal("23505", "orders_pkey"), is_lost=True), OutcomeUnknown)
