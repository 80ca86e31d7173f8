"""`moves`, `simulate` and `do`: what may be done to an order, what that would do, and that done."""

import json
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from app import create_app
from app.models.operator_errors import DatabaseUnusable, NotFound, NotPossible
from app.models.order import OrderStatus
from app.operations import moves
from app.operations.audit import AuditedChange, Operator
from app.operations.moves import Move, carry_out, simulate
from app.services.counted import counted
from app.services.order_service import OrderService
from tests.cli.test_orders import an_order
from tests.harness.terminal import Terminal
from tests.harness.world import World, a_command, raising_once

Make = Callable[[World], Terminal]

TABLES = (
    "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
    "AND relname NOT IN ('watch', 'instances', 'flow_minutes')"  # in them a running service tells of itself
)
CALLS: list[tuple[str, dict[str, str]]] = [
    ("updateOrderStatus", {"status": "PLACED"}),
    ("updateOrderStatus", {"status": "CREATED"}),
    ("verifyAndAcceptOrder", {"runner_id": "runner-1"}),
    ("verifyAndAcceptOrder", {"runner_id": "runner-2"}),
    ("cancelOrder", {}),
    ("cancelAcceptance", {}),
    ("clearRunner", {}),
    ("clearRunner", {"runner_id": "runner-2"}),
    ("completeOrder", {}),
]


def rows(world: World, *but: str) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that is stored, but for some tables."""
    names = [name for (name,) in world.query(TABLES) if name not in but]
    return {name: world.query(f"SELECT t::text FROM {name} AS t ORDER BY 1") for name in names}


def verdicts(found: list[Move], name: str) -> dict[str | None, tuple[str, str | None]]:
    return {move.given: (move.verdict, move.code) for move in found if move.name == name}


def an_operator(world: World, name: str = "alice") -> Operator:
    return Operator(world.settings(), name)


def called(world: World, move: str, order_id: str, values: dict[str, str]) -> Any:
    """What a caller of the endpoint is answered."""
    return create_app(world.settings()).test_client().post(f"/{move}", json={"orderId": order_id, **values})


def test_moves_say_go_same_or_no_and_why(untouched: World, terminal: Make) -> None:
    an_order(untouched, "order-1", 0, "ACCEPTED", runner="runner-1")
    found = list(moves.moves(untouched.settings(), "order-1"))
    assert verdicts(found, "cancelOrder") == {None: ("NO", "status_not_allowed")}
    assert verdicts(found, "completeOrder") == verdicts(found, "cancel_order") == {None: ("GO", None)}
    assert verdicts(found, "verifyAndAcceptOrder") == {
        "runner_id: the one that it has": ("SAME", None),
        "runner_id: another": ("NO", "order_taken"),
    }
    assert verdicts(found, "clearRunner") == {
        "runner_id: none, the one that it has": ("GO", None),
        "runner_id: another": ("NO", "runner_mismatch"),
    }
    others = ", ".join(status for status in OrderStatus if status != "ACCEPTED")
    assert verdicts(found, "updateOrderStatus") == {
        f"status: {others}": ("GO", None),
        "status: ACCEPTED": ("SAME", None),
    }
    with_payment = f"status: {others}, ACCEPTED with another payment_status"
    assert verdicts(found, "update_order_status")[with_payment] == ("GO", None)
    shown = terminal(untouched).prints("moves", "order-1")
    assert "status_not_allowed: Order cannot be cancelled in status: ACCEPTED" in shown


def test_a_refused_accept_that_is_remembered_makes_a_bare_clear_change_nothing(untouched: World) -> None:
    an_order(untouched, "order-1", 0, "ACCEPTED", runner="runner-1")
    called(untouched, "verifyAndAcceptOrder", "order-1", {"runner_id": "runner-2"})
    found = list(moves.moves(untouched.settings(), "order-1"))
    assert verdicts(found, "clearRunner")["runner_id: none"] == ("SAME", None)
    simulated = simulate(untouched.settings(), "order-1", "clearRunner", {})
    assert (simulated.verdict, simulated.event, len(simulated.notes)) == ("SAME", None, 1)
    with pytest.raises(NotPossible, match="would not change"):
        carry_out(an_operator(untouched), "order-1", "clearRunner", {}, version=1, reason="r")
    assert untouched.count("refused_accepts") == 1


@pytest.mark.parametrize("status", ["PENDING", "CREATED", "ACCEPTED", "COMPLETED"])
def test_a_simulation_tells_what_a_caller_gets_and_leaves_no_trace(untouched: World, status: str) -> None:
    held = {"runner": "runner-1"} if status in ("ACCEPTED", "COMPLETED") else {}
    an_order(untouched, "order-1", 0, status, **held)
    before, counted_before = rows(untouched), counted()
    simulated = [simulate(untouched.settings(), "order-1", move, values) for move, values in CALLS]
    assert (rows(untouched), counted()) == (before, counted_before)
    for number, (found, (move, values)) in enumerate(zip(simulated, CALLS, strict=True)):
        order_id = f"{status}-{number}"
        an_order(untouched, order_id, 0, status, **held)
        answer = called(untouched, move, order_id, values)
        assert found.body is not None
        assert (found.status, shape(json.loads(found.body))) == (answer.status_code, shape(answer.get_json())), move
        sent = untouched.query("SELECT type, payload FROM outbox WHERE aggregateid = %s", (order_id,))
        assert [(found.event_type, event_shape(found.event))] == (
            [(kind, event_shape(bytes(data))) for kind, data in sent] or [(None, None)]
        ), move
        assert (found.verdict == "GO") == bool(sent)
        assert (found.verdict == "NO") == (answer.status_code >= 400) == (found.code is not None)


VARIABLE = {"orderId", "order_id", "updatedAt", "acceptedAt", "placedAt", "completedAt", "cancelledAt"}
VARIABLE |= {"event_id", "timestamp", "correlation_id"}


def shape(document: Any) -> Any:
    """The document without ids and times, which are others at each call."""
    if not isinstance(document, dict):
        return document
    return {name: value is not None if name in VARIABLE else shape(value) for name, value in document.items()}


def event_shape(event: bytes | None) -> Any:
    if event is None:
        return None
    document = json.loads(event)
    document["payload"]["event"] = shape(json.loads(document["payload"]["event"]))
    return shape(document)


def test_a_simulation_shows_the_difference_and_where_the_event_would_go(world: World, terminal: Make) -> None:
    an_order(world, "order-1", 0, "CREATED")
    found = terminal(world).json("simulate", "order-1", "verifyAndAcceptOrder", "--set", "runner_id=runner-1")
    assert {it["field"]: (it["before"], it["after"]) for it in found["differences"] if "At" not in it["field"]} == {
        "runnerId": (None, "runner-1"),
        "orderStatus": ("CREATED", "ACCEPTED"),
        "version": (1, 2),
    }
    assert {it["field"] for it in found["differences"] if "At" in it["field"]} == {"updatedAt", "acceptedAt"}
    assert (found["version"], found["key"], found["topic"], found["status"]) == (1, "order-1", world.events, 200)
    world.start()
    called(world, "verifyAndAcceptOrder", "order-1", {"runner_id": "runner-1"})
    world.settle()
    (record,) = world.replies()
    assert (record["partition"], record["key"].decode()) == (found["partition"], found["key"])
    assert event_shape(record["value"]) == event_shape(found["event"].encode())


def test_a_partition_that_nobody_tells_is_unknown(untouched: World, terminal: Make) -> None:
    an_order(untouched, "order-1", 0, "CREATED")
    shown = terminal(untouched).prints("simulate", "order-1", "cancelOrder")
    assert f"to             {untouched.events}, partition unknown, key order-1" in shown
    assert "The partition is not known: There is no topic" in shown
    assert "orderStatus  CREATED" in shown


def test_input_that_a_caller_would_be_refused_for_is_refused_as_theirs(untouched: World) -> None:
    an_order(untouched, "order-1", 0, "CREATED")
    found = simulate(untouched.settings(), "order-1", "updateOrderStatus", {"status": "LOST"})
    assert (found.verdict, found.status, found.code) == ("NO", 400, "invalid_status")
    assert json.loads(found.body or b"") == {"error": "Invalid status: LOST", "code": "invalid_status"}
    missing = simulate(untouched.settings(), "order-1", "verifyAndAcceptOrder", {})
    assert json.loads(missing.body or b"")["success"] is False


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nothing",), "There is no move 'nothing': there are updateOrderStatus, "),
        (("cancelOrder", "--set", "reason=x"), "cancelOrder takes no reason: it takes nothing."),
    ],
)
def test_what_is_no_move_is_one_sentence(
    untouched: World, terminal: Make, arguments: tuple[str, ...], sentence: str
) -> None:
    an_order(untouched, "order-1", 0, "CREATED")
    given = ("--version", 1, "--reason", "r")
    assert terminal(untouched).refusal("simulate", "order-1", *arguments).startswith(sentence)
    assert terminal(untouched).refusal("do", "order-1", *arguments, *given).startswith(sentence)


@pytest.mark.parametrize("status", ["PLACED", "COMPLETED"])
def test_a_simulated_command_is_answered_as_the_service_answers_it(running: World, terminal: Make, status: str) -> None:
    order_id = running.create_in(status)
    moving = [
        ("update_order_status", {"status": "PLACED", "payment_status": "FAILED"}),
        ("cancel_order", {"reason": "r"}),
    ]
    folded = ("order_counts", "order_count_deltas")  # by the service, each second
    for move, values in moving:
        before = rows(running, *folded)
        found = simulate(running.settings(), order_id, move, values)
        assert rows(running, *folded) == before
        (reply,) = running.ask(a_command(move, {"order_id": order_id, **values}))
        assert found.event is not None
        assert shape(json.loads(found.event)["payload"]) == shape(reply["payload"])
        assert (found.event_type, found.partition) == (reply["body"]["type"], reply["partition"])
        assert (found.key, found.status, found.body) == (reply["key"].decode(), None, None)
        changed = {it.field: it.after for it in found.differences}
        assert changed.get("version") == reply["payload"].get("version")
        assert (found.verdict == "GO") == bool(changed)
        assert found.code == reply["payload"].get("code")
    refusal = terminal(running).refusal("do", order_id, "cancel_order", "--version", 2, "--reason", "r")
    assert refusal.startswith("cancel_order is a command: send it with `flask orders send-command`.")
    assert "order.cancel" in terminal(running).prints("simulate", order_id, "cancel_order")


def test_an_unknown_order_has_no_moves(untouched: World, terminal: Make) -> None:
    for command in (("moves",), ("simulate", "cancelOrder"), ("do", "cancelOrder", "--version", 1, "--reason", "r")):
        name, *rest = command
        assert terminal(untouched).refusal(name, "order-1", *rest) == "There is no order 'order-1'."


@pytest.mark.parametrize("text", ["\0", "\ud800"], ids=["nul", "surrogate"])
def test_text_that_the_database_cannot_hold_is_refused_before_it_is_asked(untouched: World, text: str) -> None:
    an_order(untouched, "order-1", 0, "CREATED")
    settings, who = untouched.settings(), {"runner_id": text}
    with pytest.raises(NotFound):
        moves.moves(settings, text)
    for move in ("verifyAndAcceptOrder", "cancel_order"):
        with pytest.raises(NotPossible, match="must not contain NUL"):
            simulate(settings, "order-1", move, who if move != "cancel_order" else {"reason": text})
    with pytest.raises(NotPossible, match="Give a reason"):
        carry_out(an_operator(untouched), "order-1", "cancelOrder", {}, version=1, reason=text)


def test_a_move_carried_out_is_a_change_with_event_history_and_audit(running: World, terminal: Make) -> None:
    an_order(running, "order-1", 0, "CREATED")
    shown = simulate(running.settings(), "order-1", "cancelOrder", {})
    arguments = ("order-1", "cancelOrder", "--version", shown.version, "--reason", "the shop burnt down")
    done = terminal(running).json("do", *arguments, "--as", "alice")
    assert (done["version"], done["status"], done["body"]["order"]["orderStatus"]) == (2, 200, "CANCELLED")
    history = "SELECT kind, from_status, to_status, door, caller, correlation_id, change_id::text FROM order_changes"
    kind = ("cancelled", "CREATED", "CANCELLED", "operator", "alice", done["correlation_id"], done["change_id"])
    assert running.query(history) == [kind]
    running.settle()
    (event,) = running.replies()
    assert (event["body"]["event_id"], event["body"]["type"]) == (done["change_id"], "ORDER_CANCELLED")
    assert shown.event is not None
    assert event_shape(event["value"]) == event_shape(shown.event)
    assert "operator" not in event["value"].decode()
    assert "alice" not in event["value"].decode()
    assert terminal(running).audit() == [("alice", "do", "order order-1", None)]
    ((detail,),) = running.query("SELECT detail FROM operator_actions")
    assert detail == "cancelOrder: version 1 → 2, CREATED → CANCELLED: the shop burnt down"


def test_an_order_that_has_moved_on_is_left_as_it_is(untouched: World, terminal: Make) -> None:
    an_order(untouched, "order-1", 0, "CREATED")
    called(untouched, "updateOrderStatus", "order-1", {"status": "PLACED"})
    before = rows(untouched)
    refusal = terminal(untouched).refusal("do", "order-1", "completeOrder", "--version", 1, "--reason", "r")
    assert refusal == ("Order order-1 has moved on: it has version 2 (PLACED), not 1. Look again. Nothing was changed.")
    assert rows(untouched) == before


@pytest.mark.parametrize(
    ("move", "values", "sentence"),
    [
        ("cancelOrder", {}, "Order cannot be cancelled in status: ACCEPTED (status_not_allowed). Nothing was changed."),
        ("updateOrderStatus", {"status": "ACCEPTED"}, "Order order-1 would not change. Nothing was changed."),
        ("updateOrderStatus", {"status": "LOST"}, "Invalid status: LOST. Nothing was changed."),
        ("verifyAndAcceptOrder", {"runner_id": "b"}, "Order cannot be accepted in status: ACCEPTED (order_taken)."),
        ("completeOrder", {"reason": " "}, "Give a reason: the audit keeps it."),
        ("completeOrder", {"reason": "for runner-1"}, "The reason names the customer or a runner, "),
    ],
)
def test_a_move_that_is_refused_or_changes_nothing_leaves_no_trace(
    untouched: World, move: str, values: dict[str, str], sentence: str
) -> None:
    an_order(untouched, "order-1", 0, "ACCEPTED", runner="runner-1")
    before, reason = rows(untouched), values.pop("reason", "r")
    with pytest.raises(NotPossible) as refusal:
        carry_out(an_operator(untouched), "order-1", move, values, version=1, reason=reason)
    assert str(refusal.value).startswith(sentence)
    assert rows(untouched) == before


def test_of_many_at_once_on_one_version_one_is_done(untouched: World) -> None:
    an_order(untouched, "order-1", 0, "CREATED")
    outcomes: list[str] = []

    def one(name: str) -> None:
        try:
            carry_out(an_operator(untouched, name), "order-1", "cancelOrder", {}, version=1, reason="r")
            outcomes.append("done")
        except (NotPossible, DatabaseUnusable) as refused:
            outcomes.append(type(refused).__name__)

    threads = [threading.Thread(target=one, args=(f"operator-{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("done") == 1, outcomes
    assert untouched.count("order_changes") == untouched.count("operator_actions") == untouched.count("outbox") == 1


def test_without_its_audit_line_nothing_is_done(untouched: World, monkeypatch: pytest.MonkeyPatch) -> None:
    an_order(untouched, "order-1", 0, "CREATED")
    before = rows(untouched)
    with (
        raising_once(monkeypatch, AuditedChange, "record", NotPossible("No line.")),
        pytest.raises(NotPossible, match="No line"),
    ):
        carry_out(an_operator(untouched), "order-1", "cancelOrder", {}, version=1, reason="r")
    assert rows(untouched) == before


def test_an_order_that_somebody_holds_is_not_waited_for_long(untouched: World) -> None:
    an_order(untouched, "order-1", 0, "CREATED")
    with closing(psycopg2.connect(untouched.database_url)) as holder, holder.cursor() as cursor:
        cursor.execute("SELECT 1 FROM orders FOR UPDATE")
        assert len(moves.moves(untouched.settings(), "order-1")) > 6
        with pytest.raises(DatabaseUnusable, match="Somebody else holds the order"):
            simulate(untouched.settings(), "order-1", "cancelOrder", {})
        with pytest.raises(DatabaseUnusable, match="Somebody else holds the order"):
            carry_out(an_operator(untouched), "order-1", "cancelOrder", {}, version=1, reason="r")


def test_a_rule_of_somebody_else_in_the_database_shows_in_the_simulation(untouched: World) -> None:
    an_order(untouched, "order-1", 0, "CREATED")
    untouched.query("ALTER TABLE orders ADD CONSTRAINT theirs CHECK (order_status <> 'CANCELLED')")
    with pytest.raises(DatabaseUnusable, match='violates check constraint "theirs"'):
        simulate(untouched.settings(), "order-1", "cancelOrder", {})


def test_a_connection_that_is_lost_before_the_commit_leaves_nothing(
    untouched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_order(untouched, "order-1", 0, "CREATED")
    execute, before = OrderService.execute, rows(untouched)

    def ended(service: OrderService, *given: Any) -> Any:
        execute(service, *given)
        operators = "application_name = 'order-service-operator' AND datname = current_database()"
        untouched.query(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {operators}")
        return execute(service, *given)

    monkeypatch.setattr(OrderService, "execute", ended)
    for act in (
        lambda: simulate(untouched.settings(), "order-1", "cancelOrder", {}),
        lambda: carry_out(an_operator(untouched), "order-1", "cancelOrder", {}, version=1, reason="r"),
    ):
        with pytest.raises(DatabaseUnusable, match=r"was lost.*Nothing was changed|cannot be reached, or was lost"):
            act()
        assert rows(untouched) == before
