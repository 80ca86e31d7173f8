"""A refused runner's bare clearRunner must not take the order from the winner."""

import pytest

from tests.contract.conftest import Tables, make_app
from tests.harness.builders import Caller


@pytest.fixture
def held(api: Caller) -> str:
    """An order that `winner` holds and that `loser` was refused."""
    order_id = api.new("ACCEPTED", "winner")
    assert api.accept(order_id, "loser").status_code == 400
    return order_id


def age_the_refusals(tables: Tables, order_id: str, seconds: int) -> None:
    moved = "UPDATE refused_accepts SET refused_at = refused_at - make_interval(secs => %s) WHERE order_id = %s"
    tables.rows(moved, seconds, order_id)


def test_the_compensation_of_a_refused_runner_changes_nothing(api: Caller, tables: Tables, held: str) -> None:
    """[R8]"""
    before, events = api.order(held), tables.events(held)
    answer = api.clear(held)
    message = {"message": "Runner cleared successfully", "order": before, "changed": False}
    assert (answer.status_code, answer.json) == (200, message)
    assert (api.order(held), tables.events(held)) == (before, events)


def test_the_refusal_is_used_up_by_one_call(api: Caller, held: str) -> None:
    """[R8]: a repeat cannot be told apart, and clears."""
    api.clear(held)
    assert "changed" not in api.clear(held).json
    assert api.order(held)["runnerId"] is None


def test_a_refusal_counts_once_however_often_the_accept_was_repeated(api: Caller, held: str) -> None:
    """[R8]"""
    api.accept(held, "loser")
    api.accept(held, "loser")
    assert api.clear(held).json["changed"] is False
    assert "changed" not in api.clear(held).json


def test_each_refused_runner_has_a_refusal_of_its_own(api: Caller, held: str) -> None:
    """[R8]"""
    api.accept(held, "second loser")
    assert [api.clear(held).json.get("changed") for _ in range(3)] == [False, False, None]


@pytest.mark.parametrize("status", ["PENDING", "PLACED", "ON_THE_WAY", "DELIVERED", "COMPLETED", "CANCELLED"])
def test_a_remembered_refusal_answers_in_any_status(api: Caller, held: str, status: str) -> None:
    """[R8]"""
    api.update(held, status)
    before = api.order(held)
    answer = api.clear(held)
    assert (answer.status_code, answer.json["changed"], answer.json["order"]) == (200, False, before)
    assert api.clear(held).status_code == 400


@pytest.mark.parametrize("status", ["PLACED", "ON_THE_WAY", "DELIVERED", "COMPLETED"])
def test_a_refusal_in_any_status_that_is_held_is_remembered(api: Caller, status: str) -> None:
    """[R8]"""
    order_id = api.new(status, "winner")
    assert api.accept(order_id, "loser").json["code"] == "order_taken"
    assert api.clear(order_id).json["changed"] is False


@pytest.mark.parametrize("status", ["PENDING", "CANCELLED"])
def test_a_refusal_because_of_the_status_alone_is_not_remembered(api: Caller, tables: Tables, status: str) -> None:
    """[R8]"""
    order_id = api.new(status)
    assert api.accept(order_id, "loser").json["code"] == "status_not_allowed"
    assert api.clear(order_id).status_code == 400
    assert tables.rows("SELECT 1 FROM refused_accepts WHERE order_id = %s", order_id) == []


def test_a_free_order_is_answered_without_using_the_refusal_up(api: Caller, held: str) -> None:
    """[R8] [R4]"""
    api.clear(held, runner_id="winner")
    assert "changed" not in api.clear(held).json
    api.accept(held, "winner")
    assert api.clear(held).json["changed"] is False


def test_a_named_clear_neither_uses_the_refusal_up_nor_is_answered_by_it(api: Caller, held: str) -> None:
    """[R8]"""
    assert api.clear(held, runner_id="loser").status_code == 400
    assert api.clear(held).json["changed"] is False


def test_null_for_the_runner_is_a_bare_call(api: Caller, held: str) -> None:
    """[R7] [R8]"""
    assert api.post("/clearRunner", {"orderId": held, "runner_id": None}).json["changed"] is False


def test_a_refusal_is_remembered_for_fifteen_seconds(api: Caller, tables: Tables, held: str) -> None:
    """[R8]"""
    age_the_refusals(tables, held, 13)
    assert api.clear(held).json["changed"] is False


def test_a_refusal_is_forgotten_after_fifteen_seconds(api: Caller, tables: Tables, held: str) -> None:
    """[R8]"""
    age_the_refusals(tables, held, 15)
    assert "changed" not in api.clear(held).json


def test_a_repeated_refusal_is_remembered_from_its_last_time_on(api: Caller, tables: Tables, held: str) -> None:
    """[R8]"""
    age_the_refusals(tables, held, 60)
    api.accept(held, "loser")
    assert api.clear(held).json["changed"] is False


def test_how_long_a_refusal_is_remembered_is_a_setting(url: str, api: Caller, tables: Tables, held: str) -> None:
    """[R8]"""
    age_the_refusals(tables, held, 60)
    patient = Caller(make_app(url, REFUSED_ACCEPT_SECONDS="100").test_client())
    assert patient.clear(held).json["changed"] is False


def test_the_answer_of_a_forgiven_clear_is_kept_under_its_key(api: Caller, held: str) -> None:
    """[H15] [R8]"""
    body = {"orderId": held}
    first = api.post("/clearRunner", body, Idempotency_Key="k-" + held)
    assert first.json["changed"] is False
    assert api.post("/clearRunner", body, Idempotency_Key="k-" + held).data == first.data
    assert api.order(held)["runnerId"] == "winner"
