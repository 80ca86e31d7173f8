"""The database is locked, frozen or away: an answer within four seconds, and the truth in it."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import make_url

from app.api import errors
from app.database.database import Database
from app.database.orders_sql import LOCK_ORDERS
from app.database.pool import Pool
from app.database.schema import migrate
from app.database.statement import Statement
from app.database.translation import THEIR_RULE
from app.models.errors import DatabaseBusy
from app.services import order_service
from app.utils.deadline import Deadline
from app.utils.limits import ASKING_SECONDS, LEEWAY_MS, REQUEST_SECONDS, STATEMENT_MS
from tests.contract.conftest import Tables, make_app
from tests.contract.test_http_examples import hold_answer
from tests.contract.test_http_failures import check_failure
from tests.harness.builders import POSTS, Caller, create_body, unique
from tools.stack.postgres import Postgres

LIMIT = 4.0
READS = ("/orders", "/getOrderDetails", "/orders/customer/c")


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.monotonic()
    answer = call()
    return time.monotonic() - start, answer


def check_503(answer: Any, path: str) -> None:
    check_failure(answer, 503, path)
    assert answer.headers["Retry-After"].isdigit()


@pytest.mark.parametrize("key", [{}, {"Idempotency_Key": "locked"}])
def test_a_lock_that_is_held_too_long_is_a_503_and_nothing_is_done(
    api: Caller, tables: Tables, key: dict[str, str]
) -> None:
    """[H1] [H15]: and under the same key it can be tried again."""
    body = {"orderId": api.new("CREATED")}
    with tables.row_locked(body["orderId"]):
        seconds, answer = timed(lambda: api.post("/cancelOrder", body, **key))
    hold_answer("database_busy", answer)
    check_503(answer, "/cancelOrder")
    assert seconds < LIMIT
    assert api.order(body["orderId"])["orderStatus"] == "CREATED"
    assert api.post("/cancelOrder", body, **key).status_code == 200


def test_a_lock_on_one_order_does_not_hold_up_others(api: Caller, tables: Tables) -> None:
    """[H1]"""
    locked, other = api.new("CREATED"), api.new("CREATED")
    with tables.row_locked(locked):
        check_503(api.update(locked, "PLACED"), "/updateOrderStatus")
        assert api.update(other, "PLACED").status_code == 200
        assert api.get("/getOrderDetails", orderId=locked).status_code == 200


def test_a_lock_that_outlasts_a_late_request_is_not_taken_for_a_database_that_is_away(
    api: Caller, tables: Tables
) -> None:
    """[H1]: a request that waited elsewhere has little time left for the lock; its neighbours must not suffer."""
    database = Database(tables.url)
    order_id = api.new("CREATED")
    with tables.row_locked(order_id), pytest.raises(DatabaseBusy):
        Pool(database, 1).run(LOCK_ORDERS, ([order_id],), Deadline(0.5))
    assert database.available


class Standing(Deadline):
    """A deadline on a machine that takes no time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self._left = seconds

    @property
    def remaining(self) -> float:
        return self._left


def test_a_limit_of_time_is_set_anew_only_where_it_would_end_too_late_or_far_too_early(tables: Tables) -> None:
    """Each change of the limit is a call of its own: under keys, two of four calls of a create were such changes."""
    pool = Pool(Database(tables.url), 1)
    limit = Statement("limit_in_use", {}, "SELECT setting::integer FROM pg_settings WHERE name = 'statement_timeout'")

    def limit_of(seconds: float) -> int:
        ((found,),) = pool.run(limit, (), Standing(seconds))
        return int(found)

    limit_of(REQUEST_SECONDS)  # to connect takes some of it
    usual, keyed = limit_of(REQUEST_SECONDS), limit_of(REQUEST_SECONDS - ASKING_SECONDS - 0.05)
    assert usual == STATEMENT_MS
    assert keyed <= (REQUEST_SECONDS - ASKING_SECONDS) * 1000 - LEEWAY_MS
    for seconds in (REQUEST_SECONDS, REQUEST_SECONDS - ASKING_SECONDS - 0.06, REQUEST_SECONDS):
        assert limit_of(seconds) == keyed
    assert limit_of(0.5) <= 500 - LEEWAY_MS
    assert limit_of(0.15) <= 50
    assert limit_of(REQUEST_SECONDS) == STATEMENT_MS


def test_a_connection_in_use_while_the_idle_ones_are_dropped_closes_when_it_comes_back(tables: Tables) -> None:
    """Else every connection that dies leaves some open until the garbage collector runs."""
    database = Database(tables.url)
    pool = Pool(database, 1)
    with pool.transaction(Deadline(5)) as session:
        connection = session.connection
        database.drop_idle()
        assert not connection.closed
    assert connection.closed


def test_a_server_without_a_connection_to_spare_is_busy_and_not_away(tables: Tables) -> None:
    """[H1] Else all would be told that it is away, those with a connection as well."""
    role = unique("few").replace("-", "_")
    with tables.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'few' CONNECTION LIMIT 2")
    url = make_url(tables.url).set(username=role, password="few")
    database = Database(url.render_as_string(hide_password=False))
    pool = Pool(database, 3)
    one = Statement("one", {}, "SELECT 1")
    pool.run(one, (), Deadline(5))
    sessions = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'"
    deadline = time.monotonic() + 10
    while tables.one(sessions) > 1:  # the second, which was opened to prove the first
        assert time.monotonic() < deadline
    with pool.transaction(Deadline(5)) as session, pool.transaction(Deadline(5)):
        assert session.execute(one) == [(1,)]
        with pytest.raises(DatabaseBusy, match="no connection to spare"):
            pool.run(one, (), Deadline(5))
        assert database.available
    assert pool.run(one, (), Deadline(5)) == [(1,)]
    database.drop_idle()


def test_readiness_says_that_a_server_has_no_connection_to_spare(tables: Tables) -> None:
    role = unique("none").replace("-", "_")
    with tables.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'few' CONNECTION LIMIT 0")
    url = make_url(tables.url).set(username=role, password="few")
    client = make_app(url.render_as_string(hide_password=False)).test_client()
    assert client.get("/orders").status_code == 503
    ready = client.get("/readyz")
    assert (ready.status_code, ready.get_json()["parts"]["database"]["ok"]) == (503, False)
    assert "no connection to spare" in ready.get_json()["parts"]["database"]["reason"]


def test_a_system_without_threads_to_spare_is_no_database_that_is_away_for_ever(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its prober is not lost: the next one starts it."""
    database = Database(tables.url)
    pool = Pool(database, 1)
    one = Statement("one", {}, "SELECT 1")

    def no_more(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        with pytest.raises(RuntimeError):
            database.mark_unavailable(OSError("gone"))
        assert database.available
        with pytest.raises(DatabaseBusy, match="no thread to spare"):
            pool.run(one, (), Deadline(5))
    assert pool.run(one, (), Deadline(5)) == [(1,)]


def test_idle_connections_make_room_for_the_prober(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be what keeps a server from having one to spare, in whatever language it says so."""
    database = Database(tables.url)
    monkeypatch.setattr(database, "_probe", lambda: None)
    with Pool(database, 1).transaction(Deadline(5)) as session:
        connection = session.connection
    assert not connection.closed
    database.mark_unavailable(OSError("gone"))
    assert connection.closed


def test_a_clear_that_has_the_order_locked_needs_no_second_connection(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All others may be waiting for that very order. [R8]"""
    caller = Caller(make_app(tables.url, DATABASE_POOL="1").test_client())
    order_id = caller.new("CREATED")
    accept = {"orderId": order_id, "runner_id": "winner"}
    assert caller.post("/verifyAndAcceptOrder", accept).status_code == 200
    assert caller.post("/verifyAndAcceptOrder", accept | {"runner_id": "loser"}).status_code == 400
    monkeypatch.setattr(order_service, "TRIES_WITHOUT_LOCK", 0)
    forgiven = caller.post("/clearRunner", {"orderId": order_id})
    assert (forgiven.status_code, forgiven.json["changed"]) == (200, False)
    cleared = caller.post("/clearRunner", {"orderId": order_id})
    assert (cleared.status_code, cleared.json["order"]["orderStatus"]) == (200, "CREATED")


RAISES = """
CREATE OR REPLACE FUNCTION breaks() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE 'broken' USING ERRCODE = TG_ARGV[0]; END $$
"""


@pytest.mark.parametrize("code", ["42501", "58030", "XX000", "P0001", "53100", "54000"])
def test_what_is_broken_in_the_database_is_a_503_without_its_text(
    tables: Tables, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[H1] A right, a disk, a trigger of somebody else: with a key, without one, and after a try together."""
    api = Caller(make_app(tables.url).test_client())
    tables.rows(RAISES)
    order_id = api.new("CREATED")
    trigger = "CREATE TRIGGER breaks BEFORE INSERT ON order_changes EXECUTE FUNCTION"
    tables.rows(f"{trigger} breaks('{code}')")
    try:
        for key in ({}, {"Idempotency_Key": unique()}):
            for answer in (
                api.post("/createOrder", create_body("c"), **key),
                api.post("/cancelOrder", {"orderId": order_id}, **key),
            ):
                assert (answer.status_code, answer.json["code"]) == (503, "database_busy")
                assert answer.headers["Retry-After"]
                assert "broken" not in answer.text
        assert f"SQLSTATE {code}" in api.get("/readyz").json["parts"]["alarms"]["open"]["database_fails"]
    finally:
        tables.rows("DROP TRIGGER breaks ON order_changes")
    monkeypatch.setattr(errors, "QUIET_SECONDS", 0.0)
    assert api.post("/cancelOrder", {"orderId": order_id}).status_code == 200
    assert "database_fails" not in api.get("/readyz").json["parts"]["alarms"]["open"]


THEIRS = {
    "check": (
        "ALTER TABLE orders ADD CONSTRAINT ck_theirs CHECK (cust_id <> 'refused-one')",
        "ALTER TABLE orders DROP CONSTRAINT ck_theirs",
    ),
    "unique": (
        "CREATE UNIQUE INDEX ix_theirs ON orders (cust_id) WHERE cust_id = 'refused-one'",
        "DROP INDEX ix_theirs",
    ),
}


@pytest.mark.parametrize("rule", THEIRS)
def test_what_a_rule_of_somebody_else_refuses_is_a_503_and_is_told(tables: Tables, rule: str) -> None:
    """[H1] Neither the caller's mistake nor ours: a person must look; other orders go on."""
    api = Caller(make_app(tables.url).test_client())
    made, unmade = THEIRS[rule]
    tables.rows(made)
    try:
        if rule == "unique":
            assert api.post("/createOrder", create_body("refused-one")).status_code == 201
        for key in ({}, {"Idempotency_Key": unique()}):
            answer = api.post("/createOrder", create_body("refused-one"), **key)
            assert (answer.status_code, answer.json["code"]) == (503, "database_busy")
            assert answer.json["error"].startswith(THEIR_RULE)
            assert "theirs" not in answer.text
        assert api.post("/createOrder", create_body("another")).status_code == 201
        assert "_theirs" in api.get("/readyz").json["parts"]["alarms"]["open"]["database_fails"]
    finally:
        tables.rows(unmade)


def test_a_rule_of_our_own_that_refuses_is_our_mistake(tables: Tables) -> None:
    """[H1]"""
    api = Caller(make_app(tables.url).test_client())
    ours = "ERRCODE = '23514', CONSTRAINT = 'ck_orders_order_status'"
    tables.rows(RAISES.replace("ERRCODE = TG_ARGV[0]", ours).replace("breaks", "breaks_ours"))
    tables.rows("CREATE TRIGGER breaks_ours BEFORE INSERT ON order_changes EXECUTE FUNCTION breaks_ours()")
    try:
        answer = api.post("/createOrder", create_body("c"))
    finally:
        tables.rows("DROP TRIGGER breaks_ours ON order_changes")
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")


def test_a_locked_table_is_a_503_for_reads_too(api: Caller, tables: Tables) -> None:
    """[H1]"""
    connection = tables.connect()
    try:
        connection.cursor().execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        for path in READS:
            seconds, answer = timed(partial(api.get, path, orderId="a"))
            check_503(answer, path)
            assert seconds < LIMIT
    finally:
        connection.close()


# A server of its own, which is stopped and frozen


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    own = Postgres(tmp_path_factory.mktemp("Postgres"))
    own.start()
    yield own
    own.stop()


@pytest.fixture
def caller(server: Postgres) -> Iterator[Caller]:
    name = unique("own").replace("-", "_")
    url = server.create_database(name)
    app = make_app(url)
    migrate(app.extensions["settings"].database_url)
    yield Caller(app.test_client())
    if not server.running:
        server.start()
    server.thaw()


def await_working(caller: Caller) -> None:
    deadline = time.monotonic() + 10
    while caller.get("/orders").status_code != 200:
        assert time.monotonic() < deadline, "the service did not find the database again"
        time.sleep(0.02)


def test_a_database_that_is_away_is_a_503_everywhere_but_in_health(server: Postgres, caller: Caller) -> None:
    """[H1] [H2]"""
    order_id = caller.new("CREATED")
    server.stop("immediate")
    calls = {path: lambda path=path: caller.post(path, POSTS[path], Idempotency_Key=unique()) for path in POSTS}
    calls |= {path: lambda path=path: caller.get(path, orderId="a") for path in READS}
    for path, call in calls.items():
        seconds, answer = timed(call)
        check_503(answer, path)
        assert seconds < LIMIT
        assert caller.get("/health").json == {"status": "healthy"}
    hold_answer("database_away", caller.get("/orders"))
    server.start()
    await_working(caller)
    assert caller.update(order_id, "PLACED").status_code == 200


def test_what_needs_no_database_is_refused_all_the_same(server: Postgres, caller: Caller) -> None:
    """[H1] [R6]"""
    server.stop("immediate")
    assert caller.post("/createOrder", b"{").status_code == 400
    assert caller.post("/createOrder", b"x", Content_Type="text/plain").status_code == 415
    assert caller.get("/orders", page="0").status_code == 400
    assert caller.get("/unknown").status_code == 404


def test_a_restart_of_the_database_costs_at_most_one_request(server: Postgres, caller: Caller) -> None:
    """[H1]"""
    body = create_body(unique("customer"))
    caller.create(body)
    server.stop()
    server.start()
    answers = [caller.post("/createOrder", body).status_code for _ in range(10)]
    assert answers.count(201) >= 9
    total = caller.get(f"/orders/customer/{body['customer_id']}").json["total"]
    assert total == 1 + answers.count(201)


def test_a_frozen_database_is_a_503_in_time(server: Postgres, caller: Caller) -> None:
    """[H1] [H2]: a frozen backend ignores every time-out of the server."""
    order_id = caller.new("CREATED")
    server.freeze()
    for _ in range(3):
        seconds, answer = timed(lambda: caller.update(order_id, "PLACED"))
        check_503(answer, "/updateOrderStatus")
        assert seconds < LIMIT
    assert timed(lambda: caller.get("/health"))[0] < 1
    server.thaw()
    await_working(caller)
    assert caller.update(order_id, "DELIVERED").status_code == 200
