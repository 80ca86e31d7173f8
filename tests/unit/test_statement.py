"""A statement names its parameters: PostgreSQL gets numbers, and a wrong name fails where the statement is made."""

import pytest

from app.database.statement import Statement

TYPES = {"order_id": "text", "version": "integer"}
STATEMENT = Statement("find", TYPES, "SELECT 1 FROM t WHERE version = $version AND id = $order_id OR id = $order_id")


def test_names_become_the_places_of_the_parameters() -> None:
    assert STATEMENT.prepare == (
        "PREPARE find (text, integer) AS SELECT 1 FROM t WHERE version = $2 AND id = $1 OR id = $1"
    )
    assert STATEMENT.call == "EXECUTE find (%s::text, %s::integer)"


def test_a_statement_without_parameters_has_no_parentheses() -> None:
    statement = Statement("one", {}, "SELECT 1")
    assert (statement.prepare, statement.call) == ("PREPARE one AS SELECT 1", "EXECUTE one")


@pytest.mark.parametrize("parameters", [{"order_id": "text"}, {**TYPES, "kind": "text"}, {}])
def test_a_name_that_only_one_side_has_is_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"^statement find and its SQL do not agree on "):
        Statement("find", parameters, STATEMENT.text)


def test_values_by_name_are_put_into_order() -> None:
    assert STATEMENT.in_order({"version": 7, "other": None, "order_id": "o"}) == ["o", 7]
