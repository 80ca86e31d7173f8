"""`forget`: a person's data goes from everything that is stored, the orders' figures stay, and nothing comes back."""

import base64
import json
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from app.database.answers import AnswerStore
from app.database.orders import OrderStore
from app.database.pool import Pool
from app.models.order import OrderState
from app.models.rules import Change, ChangeKind
from app.models.writes import NO_EVENT, ChangeSource, HttpAnswer, IdempotencyKey, OrderWrite, Outcome
from app.operations import forget, forget_orders
from app.utils.deadline import Deadline
from app.utils.ids import new_id
from tests.harness.builders import Caller
from tests.harness.terminal import Terminal
from tests.harness.world import World, details, wait_for
from tests.integration.conftest import pool

__all__ = ["pool"]

Make = Callable[[World], Terminal]

CUSTOMER, RUNNER, OTHER = "Ädä-customer", "rünner-17", "customer-2"
PLACE, DISH, WHY = "12 Secret Lane", "peanut-free noodles", "he moved to Elm Street"
TRACES = (CUSTOMER, PLACE, DISH, WHY, json.dumps(CUSTOMER)[1:-1])
FIGURES = "order_id, food_fee, delivery_fee, order_status, payment_status, store_location, created_at, completed_at"
A_LETTER = (
    'INSERT INTO dead_letters (event_id, topic, partition, "offset", key, value, error, sent_at, refusal) VALUES '
    "(gen_random_uuid(), 't', 0, 7, NULL, %s, 'no known type', CASE WHEN %s THEN now() END, %s) RETURNING id"
)
GIVEN_UP = (
    'INSERT INTO given_up_commands (event_id, topic, partition, "offset", value, type, correlation_id, error) '
    "VALUES (gen_random_uuid(), 't', 0, 7, %s, 'create_order', 'c', %s)"
)


@pytest.fixture(autouse=True)
def _no_request_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget, "CONTRACT_SECONDS", 0.0)


def everything(world: World) -> str:
    """Return all that all tables hold, with bytes as text."""
    tables = [name for (name,) in world.query("SELECT relname FROM pg_stat_user_tables ORDER BY relname")]
    found = []
    for table in tables:
        for row in world.query(f"SELECT * FROM {table}"):
            found += [
                bytes(value).decode(errors="replace") if isinstance(value, memoryview) else str(value) for value in row
            ]
    return "\n".join(found)


def traces(world: World, *sought: str) -> list[str]:
    stored = everything(world)
    return [trace for trace in sought or TRACES if trace in stored]


def figures(world: World) -> list[tuple[Any, ...]]:
    return world.query(f"SELECT {FIGURES} FROM orders ORDER BY order_id")


def counts(world: World) -> dict[str, int]:
    """Return how many orders are counted under each status, day, hour and minute."""
    kinds = "kinds_of_order(order_status, cust_id, runner_id, created_at) AS kinds"
    rows = world.query(
        "SELECT kind || ' ' || value, sum(orders)::int FROM (SELECT kind, value, orders FROM order_counts UNION ALL "
        f"SELECT kinds.kind, kinds.value, sign FROM order_count_deltas, {kinds}) AS counted "
        "WHERE kind NOT IN ('customer', 'runner') GROUP BY 1 HAVING sum(orders) <> 0"
    )
    return dict(rows)


def a_life(world: World, customer: str = CUSTOMER, place: str = PLACE, dish: str = DISH) -> str:
    """Let an order live to its end over HTTP, under keys; return its id."""
    api = Caller(world.apps[-1].test_client())
    items = [{"name": dish, "price": 8.5, "quantity": 1}]
    body = {"customer_id": customer, "order_details": details(foodItems=items, deliveryLocation=place)}
    order_id = str(api.post("/createOrder", body, Idempotency_Key=f"k-{new_id()}").json["order_id"])
    for path, more in (
        ("/updateOrderStatus", {"status": "CREATED"}),
        ("/verifyAndAcceptOrder", {"runner_id": RUNNER}),
        ("/completeOrder", {}),
    ):
        answer = api.post(path, {"orderId": order_id} | more, Idempotency_Key=f"k-{new_id()}")
        assert answer.status_code == 200, answer.text
    return order_id


def a_past(world: World) -> None:
    """Leave the customer's data in every table that can have it."""
    cancelled = world.create(customer_id=CUSTOMER, order_details=details(deliveryLocation=PLACE))
    world.ask({"type": "cancel_order", "correlation_id": "c", "payload": {"order_id": cancelled, "reason": WHY}})
    a_life(world)
    a_life(world, OTHER, "Dorm 9", "soup")
    world.settle()
    record = json.dumps({"type": "nonsense", "payload": {"customer_id": CUSTOMER, "place": PLACE}}).encode()
    world.query(A_LETTER, (record, True, None))
    world.query(A_LETTER, (f"{{ {CUSTOMER} at {PLACE}".encode(), False, "too large"))
    world.query(GIVEN_UP, (record, f"invalid value: {CUSTOMER}"))
    detail = f"t/0/7, never sent, key (Base64) {base64.b64encode(CUSTOMER.encode()).decode()}: no JSON"
    world.query(
        "INSERT INTO operator_actions (who, action, subject, detail, bytes) VALUES ('bob', 'discard', 'x', %s, %s)",
        (detail, record),
    )
    wrong = {"check": "count", "count": 1, "sentence": "s", "examples": [f"customer {CUSTOMER} (1, there are 0)"]}
    world.query(
        "INSERT INTO jobs (kind, state, who, reason, input, deadline_at, ended_at, result) VALUES "
        "('check', 'done', 'bob', 'r', '{}', now(), now(), %s)",
        (json.dumps({"ok": False, "findings": [wrong]}, ensure_ascii=False),),
    )
    world.query(
        "INSERT INTO jobs (kind, state, who, reason, input, deadline_at, ended_at, result) VALUES "
        "('drill', 'done', 'bob', 'r', '{}', now(), now(), %s)",
        (json.dumps({"drill": "leader", "acted": "a report that has no findings"}),),
    )
    event = json.dumps({"customerId": CUSTOMER, "event": json.dumps({"custId": CUSTOMER, "deliveryLocation": PLACE})})
    world.query(
        "INSERT INTO taken_out_events (event_id, outbox_id, aggregateid, type, correlation_id, payload, refusal, "
        "created_at, put_back_at) VALUES "
        "(gen_random_uuid(), 1, %s, 'ORDER_UPDATED', 'c', %s, 'too large', now(), now())",
        (cancelled, event.encode()),
    )


def test_an_id_of_which_nothing_is_stored_is_told_and_gets_no_pseudonym(running: World, terminal: Make) -> None:
    a_life(running, OTHER, "Dorm 9", "soup")
    printed = terminal(running).prints("forget", "--customer", CUSTOMER, "--reason", "r", "--yes")
    assert printed.strip() == "Nobody of that id is stored."


def test_nothing_of_a_customer_is_left_and_the_figures_stay(running: World, terminal: Make) -> None:
    a_past(running)
    wait_for(lambda: not running.count("order_count_deltas"), "everything counted")
    before, counted = figures(running), counts(running)
    assert traces(running) == list(TRACES)
    done = terminal(running).json("forget", "--customer", CUSTOMER, "--reason", "request 17", "--yes", "--as", "alice")
    assert (done["orders"], done["waiting"], done["counted"]) == (2, 0, False)
    running.settle()
    assert traces(running) == []
    assert base64.b64encode(CUSTOMER.encode()).decode() not in everything(running)
    assert (figures(running), counts(running)) == (before, counted)
    assert running.count("orders", f"cust_id = '{done['pseudonym']}'") == 2
    assert terminal(running).json("check")["findings"] == []
    assert running.count("orders", f"cust_id = '{OTHER}' AND delivery_location = 'Dorm 9'") == 1


def test_nothing_of_a_runner_is_left_and_the_customers_stay(running: World, terminal: Make) -> None:
    order_id = a_life(running)
    given_back = a_life(running, OTHER)
    api = Caller(running.apps[-1].test_client())
    free = api.new("ACCEPTED", RUNNER)
    assert api.accept(free, "runner-2").status_code == 400  # remembered
    api.clear(free, runner_id=RUNNER)
    assert api.post("/cancelOrder", {"orderId": free}).status_code == 200
    before = figures(running)
    done = terminal(running).json("forget", "--runner", RUNNER, "--reason", "r", "--yes")
    running.settle()
    assert traces(running, RUNNER) == []
    assert (done["orders"], figures(running)) == (2, before)
    assert api.order(order_id)["custId"] == CUSTOMER
    assert api.order(order_id)["runnerId"] == api.order(given_back)["runnerId"] == done["pseudonym"]
    assert terminal(running).json("check")["findings"] == []


def test_consumers_are_told_without_the_data(running: World, terminal: Make) -> None:
    order_id = a_life(running)
    done = terminal(running).json("forget", "--customer", CUSTOMER, "--reason", "r", "--yes", "--as", "alice")
    running.settle()
    (event,) = [reply for reply in running.replies() if reply["body"]["type"] == "ORDER_FORGOTTEN"]
    payload = event["payload"]
    order = Caller(running.apps[-1].test_client()).order(order_id)
    assert (payload["status"], payload["version"], payload["customerId"]) == ("forgotten", 5, done["pseudonym"])
    assert json.loads(payload["event"]) == order
    lines = running.query("SELECT caller, correlation_id = change_id::text FROM order_changes WHERE door = 'operator'")
    assert lines == [("alice", True)]
    assert (order["orderDescription"], order["deliveryLocation"]) == ("[]", "forgotten")
    assert [trace for trace in TRACES if trace in event["value"].decode()] == []


def test_a_repeat_gets_the_answer_without_the_data_and_does_nothing(running: World, terminal: Make) -> None:
    order_id = a_life(running)
    api = Caller(running.apps[-1].test_client())
    first = api.post("/completeOrder", {"orderId": order_id}, Idempotency_Key="again")
    terminal(running).prints("forget", "--customer", CUSTOMER, "--reason", "r", "--yes")
    second = api.post("/completeOrder", {"orderId": order_id}, Idempotency_Key="again")
    assert (first.json["order"]["custId"], second.status_code) == (CUSTOMER, 200)
    kept = {name: value for name, value in first.json["order"].items() if second.json["order"][name] == value}
    assert first.json["order"].keys() - kept == {"custId", "orderDescription", "deliveryLocation"}
    assert len(api.post("/completeOrder", {"orderId": order_id}, Idempotency_Key="again").data) == len(second.data)


def test_a_change_that_has_read_the_order_before_cannot_write_it(running: World, terminal: Make, pool: Pool) -> None:
    order_id = a_life(running)
    store = OrderStore(pool, AnswerStore(pool))
    read = store.load(order_id, Deadline(5))
    assert read is not None
    terminal(running).prints("forget", "--customer", CUSTOMER, "--reason", "r", "--yes")
    assert store.commit(_a_write(read), Deadline(5)) is Outcome.MOVED_ON
    assert traces(running) == []


def test_an_answer_that_a_request_under_way_stores_late_is_found(
    running: World, terminal: Make, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that changes nothing has no version to fail on: it may store the order as it has read it."""
    order_id = a_life(running)
    api = Caller(running.apps[-1].test_client())
    shown = api.post("/completeOrder", {"orderId": order_id}).data

    mine, sleep = threading.current_thread(), time.sleep

    def store_late(seconds: float) -> None:
        if threading.current_thread() is not mine:  # the service's threads sleep too
            sleep(seconds)
        elif not running.count("orders", f"cust_id = '{CUSTOMER}'") and not running.count(
            "idempotency_keys", "key = 'late'"
        ):
            key = IdempotencyKey("/completeOrder", "late", b"h" * 32)
            AnswerStore(pool).keep(key, HttpAnswer(200, shown), Deadline(5))

    monkeypatch.setattr(time, "sleep", store_late)
    assert terminal(running).json("forget", "--customer", CUSTOMER, "--reason", "r", "--yes")["answers"] == 3
    assert running.count("idempotency_keys", "key = 'late'") == 1
    running.settle()
    assert traces(running) == []


def _a_write(order: OrderState) -> OrderWrite:
    """Return the write of a change that was decided about this version."""
    moved = OrderState(**{name: getattr(order, name) for name in OrderState.__slots__} | {"version": order.version + 1})
    change = Change(ChangeKind.UPDATED, order, moved, None)
    return OrderWrite(change, new_id(), ChangeSource("http", "c"), NO_EVENT, None, HttpAnswer(200, b""))


def test_callers_change_orders_while_their_customer_is_forgotten(running: World, terminal: Make) -> None:
    """Each change is either before the forgetting or after it: none is lost, and none brings the data back."""
    api = Caller(running.apps[-1].test_client())
    ids = [api.new("DELIVERED", RUNNER, CUSTOMER) for _ in range(40)]
    statuses: list[int] = []

    def complete() -> None:
        mine = Caller(running.apps[-1].test_client())
        statuses.extend(mine.post("/completeOrder", {"orderId": order_id}).status_code for order_id in ids)

    thread = threading.Thread(target=complete)
    thread.start()
    terminal(running).prints("forget", "--customer", CUSTOMER, "--reason", "r", "--yes")
    thread.join(30)
    running.settle()
    assert statuses == [200] * len(ids)
    assert running.count("orders", "order_status = 'COMPLETED'") == len(ids)
    assert traces(running) == []
    assert terminal(running).json("check")["findings"] == []


def test_it_goes_on_where_it_was_killed_and_then_finds_nothing(
    running: World, terminal: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget_orders, "PORTION", 2)
    for _ in range(5):
        a_life(running)
    calls: list[int] = []
    change = forget_orders._change

    def killed(*arguments: Any) -> int:
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return change(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(forget_orders, "_change", killed)
        assert terminal(running).run("forget", "--customer", CUSTOMER, "--reason", "r", "--yes").exit_code == 1
    assert running.count("orders", f"cust_id = '{CUSTOMER}'") == 3
    assert terminal(running).json("forget", "--customer", CUSTOMER, "--reason", "r", "--yes")["orders"] == 3
    running.settle()
    assert traces(running) == []
    again = terminal(running).json("forget", "--customer", CUSTOMER, "--reason", "r", "--yes")
    assert [again[name] for name in ("orders", "answers", "records", "waiting")] == [0, 0, 0, 0]


def test_an_order_that_somebody_holds_has_its_turn_later(
    running: World, terminal: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, free = a_life(running), a_life(running)
    monkeypatch.setattr(forget_orders, "STUCK_SECONDS", 0.3)
    with closing(psycopg2.connect(running.database_url)) as other, other.cursor() as cursor:
        cursor.execute("SELECT FROM orders WHERE order_id = %s FOR UPDATE", (held,))
        refusal = terminal(running).refusal("forget", "--customer", CUSTOMER, "--reason", "r", "--yes")
    assert refusal == f"Others hold order {held}: run it again. 1 orders are done."
    assert running.query("SELECT cust_id FROM orders WHERE order_id = %s", (free,)) != [(CUSTOMER,)]
    assert running.query("SELECT detail FROM operator_actions") == [(f"stopped, {refusal} r",)]
    terminal(running).prints("forget", "--customer", CUSTOMER, "--reason", "r", "--yes")
    running.settle()
    assert traces(running) == []


def test_what_waits_for_kafka_is_told_and_leaves_as_it_is(
    untouched: World, terminal: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget, "LEAVE_SECONDS", 0.0)
    app = untouched.start(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    order_id = Caller(app.test_client()).new("DELIVERED", RUNNER, CUSTOMER)
    result = terminal(untouched).run("forget", "--customer", CUSTOMER, "--reason", "r", "--yes", "--json")
    assert (result.exit_code, json.loads(result.stdout)["waiting"]) == (1, 4)
    payloads = [bytes(row[0]).decode() for row in untouched.query("SELECT payload FROM outbox ORDER BY id")]
    assert [CUSTOMER in payload for payload in payloads] == [True] * 4 + [False]
    assert untouched.query("SELECT cust_id FROM orders WHERE order_id = %s", (order_id,)) != [(CUSTOMER,)]


def test_an_order_under_way_is_left_alone_unless_asked_for(running: World, terminal: Make) -> None:
    api = Caller(running.apps[-1].test_client())
    order_id = api.new("ACCEPTED", RUNNER, CUSTOMER)
    refusal = terminal(running).refusal("forget", "--customer", CUSTOMER, "--reason", "r", "--yes")
    assert refusal.startswith(f"Orders are still under way, such as {order_id} (ACCEPTED)")
    assert running.count("operator_actions") == 0
    done = terminal(running).json("forget", "--customer", CUSTOMER, "--reason", "r", "--yes", "--open-too")
    assert done["orders"] == 1


def test_it_asks_first_and_leaves_a_line_of_audit_without_the_person(running: World, terminal: Make) -> None:
    a_life(running)
    command = ("forget", "--customer", CUSTOMER, "--reason", "request 17", "--as", "alice")
    no = terminal(running).run(*command, stdin="n\n")
    assert (no.exit_code, "1 orders, and all else that names this customer" in no.stderr) == (1, True)
    assert running.count("operator_actions") == 0
    done = terminal(running).run(*command, "--json", stdin="y\n")
    pseudonym = json.loads(done.stdout)["pseudonym"]
    (line,) = running.query("SELECT who, action, subject, detail, bytes FROM operator_actions")
    assert line[:3] == ("alice", "forget", f"customer {pseudonym}")
    assert line[3:] == ("done, 1 orders, 0 changes, 2 answers, 0 records: request 17", None)


def test_a_reason_that_names_the_person_is_refused(untouched: World, terminal: Make) -> None:
    refusal = terminal(untouched).refusal("forget", "--customer", "ann", "--reason", "ann asked for it", "--yes")
    assert refusal == "The reason names the person, and the audit would keep it: give another."
    assert terminal(untouched).prints("forget", "--customer", "ann", "--reason", "Joanna decided", "--yes")


def test_either_a_customer_or_a_runner_is_named(untouched: World, terminal: Make) -> None:
    result = terminal(untouched).run("forget", "--reason", "r", "--yes")
    assert (result.exit_code, "Give either --customer or --runner" in result.stderr) == (2, True)


def test_a_user_that_may_not_change_the_history_is_told_before_anything_is_done(
    untouched: World, terminal: Make
) -> None:
    role = f"clerk_{new_id().hex}"
    untouched.query(f"CREATE ROLE {role} LOGIN PASSWORD 'p'")
    try:
        untouched.query(f"GRANT SELECT, INSERT, UPDATE ON orders, operator_actions TO {role}")
        untouched.query(f"GRANT SELECT ON order_changes TO {role}")
        untouched.environment["DATABASE_URL"] = untouched.database_url.replace("//postgres:postgres@", f"//{role}:p@")
        refusal = terminal(untouched).refusal("forget", "--runner", RUNNER, "--reason", "r", "--yes")
    finally:
        untouched.query(f"DROP OWNED BY {role}")
        untouched.query(f"DROP ROLE {role}")
    assert refusal == "This database user may not change the history: take the one that owns the tables."
    assert untouched.count("operator_actions") == 0
