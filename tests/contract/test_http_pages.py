"""Pages of lists, whatever is in their orders: the same bytes however they are sent, or visibly cut [H3]."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import cycle
from typing import Any

import pytest
from flask import Flask

from app.api import pages
from app.database.schema import migrate
from app.models.pages import LISTED_BYTES
from app.server.connection import SEND_SECONDS
from app.utils.budget import Budget
from app.utils.tasks import sleep
from app.wire.encoder import encode
from tests.contract.conftest import Tables, await_waiting, make_app
from tests.contract.test_connection import run
from tests.harness.builders import Caller, at_once_in_tasks
from tests.harness.door import Client, get, open_door
from tools.stack.postgres import Postgres

FREED = ("order_description", "delivery_location", "food_fee", "created_at", "updated_at")
TEXTS = (
    "[]", "", None, '"quoted" \\ back / slash', "\x01\x1f\x7f\b\f\n\r\t", "ünï 🍕 \u2028", "\ud7ff\ue000\uffff",
    *("x" * (LISTED_BYTES + more) for more in (-1, 0, 1)),
    *("é" * (LISTED_BYTES // 2) + "x" * more for more in (0, 1)),
    "🍕" * (LISTED_BYTES // 4) + '"', '"' * 5000, "\x01" * 3000, "\n", "🍕\\" * 40_000, "[" + "y" * 130_000 + "]",
)  # fmt: skip
FILL = (
    "INSERT INTO orders (order_id, cust_id, runner_id, order_description, food_fee, delivery_fee, delivery_location, "
    "order_status, payment_status, cancel_reason, created_at, updated_at, accepted_at) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'PENDING', %s, %s, %s, %s)"
)
LARGE = '{"large": "' + "z" * 100_000 + '"}'


@pytest.fixture(scope="module")
def own_tables(postgres: Postgres) -> Iterator[Tables]:
    """An empty table as it may be taken over, where more can be unknown."""
    url = postgres.create_database("pages")
    migrate(make_app(url).extensions["settings"].database_url)
    found = Tables(url)
    for column in FREED:
        found.rows(f"ALTER TABLE orders ALTER {column} DROP NOT NULL")
    yield found
    found.close()


@pytest.fixture(scope="module")
def own_app(own_tables: Tables) -> Flask:
    return make_app(own_tables.url)


@pytest.fixture(scope="module")
def port(own_app: Flask) -> Iterator[int]:
    with open_door(own_app) as found:
        yield found


@pytest.fixture(autouse=True)
def _nothing_is_kept(own_tables: Tables, own_app: Flask) -> Iterator[None]:
    """Whatever became of the answers of a test, they hold nothing of the budget afterwards."""
    own_tables.rows("TRUNCATE orders, order_changes, outbox, order_count_deltas; DELETE FROM order_counts")
    yield
    await_held(own_app, 0)


def await_held(app: Flask, size: int) -> None:
    budget, deadline = app.extensions["answers_budget"], time.monotonic() + 10
    while budget.held != size or budget.slow:
        assert time.monotonic() < deadline, f"{budget.held} bytes are held"
        time.sleep(0.005)


def fill(tables: Tables, descriptions: list[str | None], reasons: list[str | None] | None = None) -> None:
    """Make an order of each description and reason, in all kinds of states."""
    for number, (description, reason) in enumerate(zip(descriptions, reasons or cycle([None]), strict=False)):
        runner = "runner" if number % 3 else None
        status = "CANCELLED" if reason is not None else "ACCEPTED"
        fee, place = ("NaN", None) if number % 7 == 3 else ("8.50", "Dorm 5")
        created = f"2026-01-01 10:00:{number % 60:02}.{'120000' if number % 2 else '000000'}"
        moment = "infinity" if number % 5 == 4 else created
        values = (f"order-{number}", "c", runner, description, fee, "0", place, status, reason, created, moment, moment)
        tables.rows(FILL, *values)


def reference(caller: Caller, tables: Tables, **more: Any) -> bytes:
    """Return the body of the page of all orders, made of what is read one by one."""
    ids = [
        row["order_id"] for row in tables.rows("SELECT order_id FROM orders ORDER BY created_at DESC, order_id DESC")
    ]
    items = b",".join(caller.get("/getOrderDetails", orderId=order_id).data for order_id in ids)
    return b'{"items":[%b],' % items + encode({"total": len(ids), "pages": 1, "page": 1} | more)[1:]


def all_ways(app: Flask, port: int, path: str) -> dict[str, bytes]:
    """Return the body as each kind of client has it."""
    over_flask = app.test_client().get(path)
    assert over_flask.status_code == 200
    found = {version: get(port, path, version=version) for version in ("1.1", "1.0")}
    assert [it.status for it in found.values()] == [200, 200]
    return {"flask": over_flask.data, **{version: it.body for version, it in found.items()}}


@pytest.mark.parametrize("first", range(0, len(TEXTS), 6))
def test_a_page_is_the_same_bytes_however_large_its_texts_are(
    own_app: Flask, own_tables: Tables, port: int, first: int
) -> None:
    """Descriptions and reasons at both sides of what comes with the page, in every mixture."""
    texts = list(TEXTS[first : first + 6])
    fill(own_tables, [*texts, *reversed(texts), "[]"], [*texts[1:], *texts[:3], None, *texts])
    expected = reference(Caller(own_app.test_client()), own_tables)
    assert json.loads(expected)["items"]
    for way, body in all_ways(own_app, port, "/orders?limit=1000").items():
        assert body == expected, way


def test_a_page_of_several_portions_is_the_same_bytes(
    own_app: Flask, own_tables: Tables, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PORTION", 4)
    monkeypatch.setattr(pages, "PIECE_BYTES", 3000)
    for large in ((), (0,), (5, 6), (3, 4, 8, 12), range(13)):
        own_tables.rows("TRUNCATE orders, order_counts, order_count_deltas")
        fill(own_tables, ["w" * 2000 if number in large else f"[{number}]" for number in range(13)])
        expected = reference(Caller(own_app.test_client()), own_tables)
        for way, body in all_ways(own_app, port, "/orders?limit=1000").items():
            assert body == expected, (way, large)


@pytest.mark.parametrize("path", ["/orders?page=2&limit=2", "/orders/customer/c?limit=2&page=2"])
def test_the_numbers_of_a_page_stand_behind_its_items(own_app: Flask, own_tables: Tables, port: int, path: str) -> None:
    fill(own_tables, [LARGE, "[]", LARGE])
    for body in all_ways(own_app, port, path).values():
        found = json.loads(body)
        assert [order["orderId"] for order in found.pop("items")] == ["order-0"]
        assert (found, list(json.loads(body))) == ({"total": 3, "pages": 2, "page": 2}, ["items", *found])


def test_a_page_without_large_texts_tells_its_length(own_tables: Tables, port: int) -> None:
    fill(own_tables, ["x" * LISTED_BYTES] * 150)
    found = get(port, "/orders?limit=1000")
    assert len(found.body) > 150 * LISTED_BYTES
    assert b"\r\nContent-Length: %d\r\n" % len(found.body) in found.head
    assert b"Transfer-Encoding" not in found.head


def test_a_large_page_comes_in_chunks_and_the_connection_stays(own_tables: Tables, port: int) -> None:
    fill(own_tables, [LARGE] * 5)
    with Client(port) as client:
        client.ask("/orders")
        client.ask("/health")
        head = client.head()
        assert b"\r\nTransfer-Encoding: chunked\r\n" in head
        assert b"Content-Length" not in head
        chunks = list(client.chunks())
        assert max(map(len, chunks)) < 2 * pages.PIECE_BYTES
        assert len(json.loads(b"".join(chunks))["items"]) == 5
        assert client.answer().body == b'{"status":"healthy"}'


def test_to_http_1_0_the_end_of_the_connection_is_that_of_a_large_page(own_tables: Tables, port: int) -> None:
    fill(own_tables, [LARGE] * 3)
    with Client(port) as client:
        client.socket.sendall(b"GET /orders HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        found = client.answer()
    assert b"\r\nConnection: close\r\n" in found.head
    assert b"Transfer-Encoding" not in found.head
    assert len(json.loads(found.body)["items"]) == 3


def test_a_head_request_has_no_body_and_the_connection_stays(own_tables: Tables, port: int) -> None:
    fill(own_tables, [LARGE] * 3)
    with Client(port) as client:
        client.ask("/orders", method="HEAD")
        assert client.head().startswith(b"HTTP/1.1 200 ")
        client.ask("/health")
        assert client.answer().body == b'{"status":"healthy"}'


def deaf(port: int, path: str, version: str = "1.1", times: int = 1) -> Client:
    """Return a client that has the first bytes of an answer, and reads no more of it until it is told to."""
    client = Client(port, receive_buffer=65536)
    for _ in range(times):
        client.ask(path, version=version)
    client.socket.recv(1)
    return client


@contextmanager
def database_away(postgres: Postgres, tables: Tables) -> Iterator[None]:
    """Take it away from everybody but the test for the body."""
    run(postgres.url("postgres"), "ALTER DATABASE pages ALLOW_CONNECTIONS false")
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    tables.rows(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
    try:
        yield
    finally:
        run(postgres.url("postgres"), "ALTER DATABASE pages ALLOW_CONNECTIONS true")


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_page_that_cannot_go_on_ends_with_a_reset_and_a_line(
    postgres: Postgres, own_tables: Tables, port: int, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    """[H1]: half a page looks like half a page, and what is answered before it began is a 503."""
    fill(own_tables, [LARGE] * 120)
    with caplog.at_level(logging.WARNING, "app.server.bridge"), deaf(port, "/orders?limit=1000", version) as client:
        with database_away(postgres, own_tables):
            with pytest.raises(ConnectionResetError):
                client.rest()
            assert get(port, "/orders?limit=1000").status == 503
        lines = [record.getMessage() for record in caplog.records if record.name == "app.server.bridge"]
    (line,) = lines
    assert line.startswith("orders.list_orders: an answer ends after ")
    await_answers(port)


def await_answers(port: int) -> None:
    """Block until the app has found its database again."""
    deadline = time.monotonic() + 10
    while get(port, "/orders?limit=1").status != 200:
        assert time.monotonic() < deadline, "the database is not found again"
        time.sleep(0.05)


def test_a_page_that_outlives_the_worker_is_cut(own_app: Flask, own_tables: Tables) -> None:
    fill(own_tables, [LARGE] * 120)
    with open_door(own_app) as own_port:
        client = deaf(own_port, "/orders?limit=1000", "1.0")
    with client, pytest.raises(ConnectionResetError):
        client.rest()


def test_an_order_that_is_removed_meanwhile_is_no_order_that_was_never_there(own_tables: Tables, port: int) -> None:
    """By somebody who may: a page that lacks an order would be taken for the end of the list."""
    fill(own_tables, [LARGE] * 120)
    with deaf(port, "/orders?limit=1000") as client:
        own_tables.rows("DELETE FROM orders WHERE order_id = 'order-0'")  # the oldest of its minute is not the first
        with pytest.raises(ConnectionResetError):
            client.rest()


def test_what_changes_while_a_page_is_sent_is_not_in_it(own_tables: Tables, port: int) -> None:
    """All of a page is of one moment."""
    fill(own_tables, [LARGE] * 120)
    with deaf(port, "/orders?limit=1000") as client:
        own_tables.rows(
            "UPDATE orders SET order_status = 'CANCELLED', version = 2, cancel_reason = 'late', updated_at = now()"
        )
        client.head()
        found = json.loads(b"".join(client.chunks()))
    assert {(it["orderStatus"], it["version"], it["cancelReason"]) for it in found["items"]} == {("ACCEPTED", 1, None)}
    assert json.loads(get(port, "/orders?limit=1").body)["items"][0]["cancelReason"] == "late"


def test_a_page_that_is_sent_goes_on_while_every_connection_is_busy(own_tables: Tables) -> None:
    """With the callers of an order that somebody holds."""
    app = make_app(own_tables.url, DATABASE_POOL="1")
    fill(own_tables, [LARGE] * 120)
    with open_door(app) as own_port, deaf(own_port, "/orders?limit=1000") as client, ThreadPoolExecutor(1) as thread:
        with own_tables.row_locked("order-0"):
            waiting = thread.submit(Caller(app.test_client()).update, "order-0", "PLACED")
            await_waiting(own_tables, 1)
            client.head()
            assert len(json.loads(b"".join(client.chunks()))["items"]) == 120
            assert not waiting.done()
        assert waiting.result(30).status_code == 200


def test_what_does_not_fit_beside_the_others_is_refused_and_answered_later(own_app: Flask, port: int) -> None:
    """[H1] Nothing was done; what is no page goes on."""
    budget = own_app.extensions["answers_budget"]
    share = budget.overdraw(budget.total)
    refused = get(port, "/orders")
    assert (refused.status, json.loads(refused.body)) == (503, {"error": pages.BUSY, "code": "service_busy"})
    assert b"\r\nRetry-After: 1\r\n" in refused.head
    assert own_app.test_client().get("/orders").status_code == 503
    assert get(port, "/getOrderDetails?orderId=nobody").status == 404
    share.release()
    assert get(port, "/orders").status == 200


@pytest.mark.parametrize("descriptions", [[LARGE] * 120, ["x" * LISTED_BYTES] * 1000], ids=["pieces", "one"])
def test_clients_that_do_not_read_keep_nobody_from_a_page(
    own_app: Flask, own_tables: Tables, port: int, descriptions: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hold all there is until somebody else wants it, and not for their five seconds."""
    fill(own_tables, descriptions)
    budget = own_app.extensions["answers_budget"]
    monkeypatch.setattr(budget, "total", 9 * 1024 * 1024)
    with ExitStack() as stack:
        clients: list[Client] = []
        while budget.held + 8 * 1024 * 1024 <= budget.total:
            clients.append(stack.enter_context(deaf(port, "/orders?limit=1000", times=6)))
            await_slow(budget, len(clients))
        started = time.monotonic()
        assert get(port, "/orders?limit=1000").status == 200
        assert time.monotonic() - started < SEND_SECONDS
        with pytest.raises(ConnectionResetError):
            clients[0].rest()


def await_slow(budget: Budget, clients: int) -> None:
    """Block until so many clients are waited for."""
    deadline = time.monotonic() + 10
    while len(budget.slow) < clients:
        assert time.monotonic() < deadline, "the client's answers fit into the buffers of its connection"
        time.sleep(0.005)


def test_pages_leave_the_loop_to_others_between_their_portions(own_app: Flask, own_tables: Tables) -> None:
    """Of several pages that are made at once, one portion at a time."""
    fill(own_tables, ["[]"] * 60)
    portions: list[int] = []
    turns = [0]
    encoded = pages._encoded

    def counted(portion: Any) -> Any:
        portions.append(turns[0])
        return encoded(portion)

    def look_after() -> None:
        while len(portions) < 4 * 6:
            turns[0] += 1
            sleep(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "PORTION", 10)
        patch.setattr(pages, "_encoded", counted)
        calls: list[Callable[[], Any]] = [
            lambda: own_app.test_client().get("/orders?limit=1000").status_code for _ in range(4)
        ]
        assert at_once_in_tasks([*calls, look_after])[:4] == [200] * 4
    assert len(set(portions)) == len(portions)
