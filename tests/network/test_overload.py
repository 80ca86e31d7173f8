"""A service that is asked for more than it can do. Its database makes it slow, not the machine of the test."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import psycopg2
import pytest

from app.utils.admission import BURST_SECONDS
from app.utils.limits import CONTRACT_SECONDS
from tests.benchmarks.cases.overload import BODY, MIX, WELL, calm_after, carry_out, times_of
from tests.benchmarks.measure import percentile
from tests.benchmarks.open_loop import CLOSED, CREATE, GET, GIVEN_UP, KINDS, LIST, NOT_SENT, REPEAT, Plan, Seen
from tests.harness.found import row_locked
from tests.harness.load import ORDER_DETAILS, Connection
from tests.harness.service import Instance
from tests.network.wire import Answer, client
from tools.stack.postgres import Postgres

SLOW = """
CREATE FUNCTION wait_a_little() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.0125); RETURN new; END';
CREATE TRIGGER slow BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION wait_a_little();
"""
POOL = 2
CAPACITY = POOL / 0.0125  # creates a second: so few that the machine of the test has little to do
TIMES = 5.0
BEFORE, DURING, AFTER = 1.0, 5.0, 6.0
WIRES = 1500
CREATES = {CREATE: 1.0}
SHED = "order_http_shed_total"
CLASSES = (("list", LIST), ("read", GET), ("write", CREATE), ("repeat", REPEAT))  # the first are turned away first
WHOLE = b"GET /orders HTTP/1.1\r\nHost: x\r\n\r\n"
WITHOUT_BODY = (
    b"POST /createOrder HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 200\r\n%b\r\n"
)


@pytest.fixture(scope="module")
def slow_service(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """One whose creates take 0.0125 s each in PostgreSQL."""
    url = postgres.create_database("overload")
    settings = {
        "DATABASE_URL": url,
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "ROLES": "api",
        "DATABASE_POOL": str(POOL),
    }
    instance = Instance(tmp_path_factory.mktemp("slow"), settings)
    instance.start()
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(SLOW)
    connection.close()
    yield instance
    instance.stop()
    postgres.drop_database("overload")


def in_overload(seen: Seen, kind: str | None = None, since: float = BEFORE) -> list[tuple[int, float]]:
    """Return status and ms of the calls that were due while there were too many."""
    rows = zip(seen.due, seen.kind, seen.status, seen.ms, strict=True)
    kinds = [place for place, name in enumerate(KINDS) if kind in (None, name)]
    return [(status, ms) for due, found, status, ms in rows if found in kinds and since <= due < BEFORE + DURING]


def done_in_overload(seen: Seen) -> int:
    """Return how many creates were answered well while there were too many."""
    rows = zip(seen.due, seen.kind, seen.status, seen.ms, strict=True)
    ends = [due + ms / 1000 for due, kind, status, ms in rows if KINDS[kind] == CREATE and status in WELL]
    return sum(BEFORE <= end < BEFORE + DURING for end in ends)


def turned_away(instance: Instance) -> list[float]:
    """Return how many requests were turned away so far, of each class."""
    return [instance.metric(f'{SHED}{{class="{name}"}}') for name, _ in CLASSES]


def test_work_goes_on_reads_are_turned_away_first_and_all_is_well_soon_after(slow_service: Instance) -> None:
    """[S21]"""
    ids = made_orders(slow_service, 20)
    alone = carry_out(Plan(slow_service.port, [(2.0, CLOSED)], 32, CREATES, BODY, ids))
    best = len(times_of(alone, WELL)) / 2.0  # close to CAPACITY, unless the test's machine has other things to do
    phases = [(BEFORE, 0.4 * best), (DURING, TIMES * best), (AFTER, 0.4 * best)]
    before = turned_away(slow_service)
    seen = carry_out(Plan(slow_service.port, phases, WIRES, MIX, BODY, ids))
    rows = zip(before, turned_away(slow_service), CLASSES, strict=True)
    shares = [(now - then) / len(in_overload(seen, kind)) for then, now, (_, kind) in rows]
    well = [ms for status, ms in in_overload(seen, since=BEFORE + BURST_SECONDS) if status in WELL]
    answered = [status for status in seen.status if status not in (GIVEN_UP, NOT_SENT)]
    assert set(answered) == {*WELL, 503}  # no connection is refused or cut
    assert len(answered) > 0.8 * len(seen.status)  # all, unless the test's machine has other things to do
    assert done_in_overload(seen) > 0.1 * best * DURING  # the benchmark has the share of a machine that is free
    assert percentile(well, 99) < 1000 * CONTRACT_SECONDS
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0
    assert calm_after(seen, BEFORE + DURING) < 5


def made_orders(instance: Instance, count: int) -> list[str]:
    """Return the ids of new orders."""
    body = {"customer_id": "c", "order_details": ORDER_DETAILS}
    with Connection([instance.port]) as connection:
        answers = [connection.call("POST", "/createOrder", body) for _ in range(count)]
    return [answer[1]["order_id"] for answer in answers if answer is not None]


def test_what_operators_ask_is_answered_and_connections_stay(slow_service: Instance) -> None:
    """A client that asks for nothing else than what is turned away costs nobody a connection."""
    plan = Plan(slow_service.port, [(6.0, CAPACITY * TIMES)], WIRES, CREATES, BODY, [])
    with ThreadPoolExecutor(1) as others, client(slow_service.port) as caller:
        load = others.submit(carry_out, plan)
        busy = until_turned_away(load, lambda: caller.ask(WHOLE))
        again = [
            until_turned_away(load, lambda: caller.ask(WHOLE)) for _ in range(3)
        ]  # one that finds room is answered
        health = caller.ask(WHOLE.replace(b"/orders", b"/health"))
        unread = [without_body(load, slow_service.port, asks) for asks in (b"", b"Expect: 100-continue\r\n")]
        load.result()
    assert health.status == 200
    assert 1 <= int(busy.headers["retry-after"]) <= 3
    assert len({answer.headers["x-correlation-id"] for answer in (busy, *again)}) == 4
    assert not any(answer.closes for answer in (busy, *again, health))
    assert [(answer.status, answer.closes, answer.json["success"]) for answer in unread] == [(503, True, False)] * 2


def until_turned_away(load: Future[Seen], ask: Callable[[], Answer]) -> Answer:
    """Return the first answer that turns the caller away. Others are given, or were taken and waited in vain."""
    while (answer := ask()).status != 503 or answer.json["code"] != "service_busy":
        assert not load.done(), "nobody was turned away"
    return answer


def without_body(load: Future[Seen], port: int, asks: bytes) -> Answer:
    """Return what a client is told that sends no body, or asks before it does."""

    def ask() -> Answer:
        with client(port) as caller:
            caller.socket.settimeout(0.2)
            try:
                return caller.ask(WITHOUT_BODY % asks)
            except TimeoutError:  # this one was admitted: the service waits for its body
                return Answer(0, {}, b"")

    return until_turned_away(load, ask)


@pytest.mark.parametrize("phases", [[(2.0, CLOSED)], [(0.01, 20_000.0)]], ids=["64 callers", "200 at once"])
def test_nobody_is_turned_away_in_what_is_usual(service: Instance, phases: list[tuple[float, float]]) -> None:
    before, wires = service.metric(SHED), 64 if phases[0][1] == CLOSED else 200
    seen = carry_out(Plan(service.port, phases, wires, CREATES, BODY, []))
    assert service.metric(SHED) == before
    assert seen.status.count(201) >= wires / 2  # on a machine with too much to do the database may be busy


def test_a_few_locked_orders_turn_nobody_else_away(service: Instance) -> None:
    """However many callers wait for them: here more than the shortest line holds."""
    ids, before = made_orders(service, 6), service.metric(SHED)
    stop = threading.Event()

    def keep_asking(order_id: str) -> None:
        body = {"orderId": order_id, "status": "CREATED"}
        with Connection([service.port]) as connection:
            while not stop.is_set():
                connection.call("POST", "/updateOrderStatus", body, **{"Idempotency-Key": order_id})

    with ExitStack() as locks, ThreadPoolExecutor(90) as callers:
        for order_id in ids:
            locks.enter_context(row_locked(service.settings["DATABASE_URL"], order_id))
        for order_id in ids * 15:
            callers.submit(keep_asking, order_id)
        seen = carry_out(Plan(service.port, [(3.0, 50.0)], 200, CREATES, BODY, []))
        stop.set()
    assert service.metric(SHED) == before
    assert seen.status.count(201) >= 75
