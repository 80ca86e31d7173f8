"""The console behind the service's own server: it waits in threads, and callers of orders wait for none of it."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from flask import Flask
from werkzeug.test import Client, TestResponse

from app.config.config import Settings
from app.console import gate
from app.models.callers import Scope
from app.operations import board
from app.server import console_threads
from app.server.console_threads import ConsoleThreads, NoAnswer
from tests.console.conftest import FORM, new_key
from tests.contract.conftest import Tables, make_app
from tests.harness.builders import Caller
from tests.harness.door import open_door, through
from tests.harness.tasks import run_in_a_task, start, until

LOOK_SECONDS, LOCK_MS = 30, 1_500  # of each page
BLOCKED_SECONDS = 2.0
LOCK = "LOCK TABLE order_counts, operator_actions, instances IN ACCESS EXCLUSIVE MODE"


@pytest.fixture(scope="module")
def port(acting: Flask) -> Iterator[int]:
    with open_door(acting) as port:
        yield port


def browser(port: int) -> Client:
    return Client(through(port), TestResponse)


def test_pages_and_files_come_through_the_server(port: int) -> None:
    visitor = browser(port)
    page = visitor.get("/console", buffered=True)
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
    assert visitor.get("/console/static/style.css?v=1", buffered=True).content_type == "text/css; charset=utf-8"
    assert visitor.head("/console", buffered=True).data == b""


def test_a_form_comes_through_the_server(url: str) -> None:
    app = make_app(url, AUTH_MODE="api_key")
    key = new_key(app, Scope.READ)
    with open_door(app) as port:
        visitor = browser(port)
        answer = visitor.post("/console/sign-in", data={"credential": key}, headers=FORM, buffered=True)
        assert answer.status_code == 303
        assert visitor.get("/console", buffered=True).status_code == 200


def test_orders_are_answered_while_pages_wait_for_a_locked_table(
    port: int, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "LOOK_LIMITS", (LOOK_SECONDS, LOCK_MS))
    with closing(tables.connect()) as holder, holder, holder.cursor() as cursor:
        cursor.execute(LOCK)
        with ThreadPoolExecutor(4) as visitors:
            began = time.monotonic()
            waiting = [visitors.submit(lambda: browser(port).get("/console", buffered=True)) for _ in range(4)]
            caller = Caller(browser(port))
            slowest = 0.0
            while not all(page.done() for page in waiting):
                asked = time.monotonic()
                assert caller.get("/health").status_code == 200
                assert caller.get("/getOrderDetails", orderId="unknown").status_code == 404
                slowest = max(slowest, time.monotonic() - asked)
            pages = [page.result() for page in waiting]
    assert {page.status_code for page in pages} == {503}
    assert all("locked by somebody else" in page.text for page in pages)
    assert time.monotonic() - began < LOOK_SECONDS
    assert slowest < LOCK_MS / 1000  # who waits for a page waits for longer


def test_orders_are_answered_while_a_page_blocks_its_thread(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Kafka's client does, and a name that is looked up."""
    find = board.board

    def slow(settings: Settings) -> board.Board:
        time.sleep(BLOCKED_SECONDS)
        return find(settings)

    monkeypatch.setattr(board, "board", slow)
    with ThreadPoolExecutor(1) as visitor:
        page = visitor.submit(lambda: browser(port).get("/console", buffered=True))
        caller, slowest = Caller(browser(port)), 0.0
        while not page.done():
            asked = time.monotonic()
            assert caller.get("/getOrderDetails", orderId="unknown").status_code == 404
            slowest = max(slowest, time.monotonic() - asked)
    assert page.result().status_code == 200
    assert slowest < BLOCKED_SECONDS


class Stuck:
    """A WSGI app that answers when it may."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.asked = 0

    def __call__(self, environ, start_response):  # type: ignore[no-untyped-def]
        self.asked += 1
        self.may_answer.wait(10)
        start_response("200 OK", [("Date", "x"), ("Name", "value")])
        return [b"a", b"b"]


def test_whoever_comes_to_a_full_line_is_told_to_come_again() -> None:
    stuck, threads = Stuck(), ConsoleThreads(2, 1, 10.0)

    def ask() -> str:
        try:
            return str(threads.ask(stuck, {}))
        except NoAnswer as why:
            return str(why)

    def run() -> list[str]:
        answers = [start(ask) for _ in range(2)]
        until(lambda: stuck.asked == 2)
        answers.append(start(ask))
        until(lambda: threads.waiting == 1)
        refused = start(ask).result()
        stuck.may_answer.set()
        return [refused, *(it.result() for it in answers)]

    assert run_in_a_task(run) == [
        "Too many look at the console: please try again",
        *["(200, [('Name', 'value')], [b'ab'])"] * 3,
    ]


def test_a_page_that_takes_too_long_is_given_up_and_its_thread_goes_on() -> None:
    stuck, threads = Stuck(), ConsoleThreads(1, 1, 0.1)
    with pytest.raises(NoAnswer, match="took too long"):
        threads.ask(stuck, {})
    stuck.may_answer.set()
    assert threads.ask(stuck, {})[2] == [b"ab"]


def test_what_the_app_raises_comes_to_the_caller() -> None:
    def broken(environ, start_response):  # type: ignore[no-untyped-def]
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        ConsoleThreads().ask(broken, {})


def test_the_line_is_short() -> None:
    assert (console_threads.THREADS, console_threads.MOST_WAITING) == (4, 32)
