"""Which requests are turned away, what each of them is told, and what is counted."""

from types import SimpleNamespace

import pytest
from flask import Flask
from prometheus_client import REGISTRY

from app import create_app
from app.config.config import Settings
from app.server.bridge import Bridge
from app.server.incoming import Incoming
from app.utils.admission import BURST, LEAST
from app.utils.line import Line

CREATE = b"POST /createOrder HTTP/1.1\r\nHost: x\r\nX-Correlation-ID: c-1\r\nContent-Length: 2\r\n"


def read(path: bytes) -> Incoming:
    return Incoming("GET", path, b"", "1.1")


def write(key: str | None = None) -> Incoming:
    headers = [("x-correlation-id", "c-1")] + ([("idempotency-key", key)] if key else [])
    return Incoming("POST", b"/createOrder", b"", "1.1", headers)


@pytest.fixture
def app() -> Flask:
    return create_app(Settings.load({}))


def bridge(app: Flask, waiting: int) -> Bridge:
    """One in whose process so many calls wait for the database."""
    line = Line[int](range(waiting))
    app.extensions["order_service"] = SimpleNamespace(lines=(line,))
    return Bridge(app)


def shed_total(kind: str) -> float:
    return REGISTRY.get_sample_value("order_http_shed_total", {"class": kind}) or 0.0


def answered_503(route: str, method: str = "GET") -> float:
    labels = {"route": route, "method": method, "status": "503"}
    return REGISTRY.get_sample_value("order_http_requests_total", labels) or 0.0


def test_lists_go_first_then_reads_then_writes_and_repeats_last(app: Flask) -> None:
    for share, shed in ((0.5, ""), (0.7, "l"), (0.9, "lr"), (1.2, "lrw"), (1.6, "lrwk")):
        at = bridge(app, int(BURST * share))
        at.shedder.remember(write("known"))
        asked = {"l": read(b"/orders"), "r": read(b"/getOrderDetails"), "w": write("new"), "k": write("known")}
        assert "".join(name for name, request in asked.items() if at.sheds(request, LEAST)) == shed


def test_few_requests_are_never_turned_away(app: Flask) -> None:
    assert not bridge(app, 100_000).sheds(write(), LEAST - 1)


@pytest.mark.parametrize("path", [b"/health", b"/livez", b"/readyz", b"/metrics"])
def test_what_operators_ask_is_never_turned_away(app: Flask, path: bytes) -> None:
    at = bridge(app, 100_000)
    assert not at.sheds(read(path), 10_000)
    assert at.quick.answer(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n") is None


def test_documents_go_with_lists_and_what_a_browser_asks_before_a_write_goes_with_writes(app: Flask) -> None:
    at = bridge(app, int(BURST * 0.8))
    assert at.sheds(read(b"/apidocs"), LEAST)
    assert not at.sheds(Incoming("OPTIONS", b"/createOrder", b"", "1.1"), LEAST)


def test_who_was_turned_away_with_a_key_comes_in_no_sooner(app: Flask) -> None:
    at = bridge(app, int(BURST * 1.2))
    assert [at.sheds(write("same"), LEAST) for _ in range(3)] == [True] * 3


def test_once_turned_away_a_request_stays_so(app: Flask) -> None:
    at, request = bridge(app, 100_000), write()
    assert at.sheds(request, LEAST)
    assert at.sheds(request, 0)


def test_the_answer_is_the_same_with_and_without_the_parser(app: Flask) -> None:
    """[S21]"""
    at = bridge(app, 100_000)
    parsed, quick = at.shed(write(), keeps=True), at.quick.answer(CREATE + b"\r\n{}")
    assert quick is not None
    head, _, body = quick.partition(b"\r\n\r\n")
    assert body == (
        b'{"error":"The service has more to do than it can; please try again","code":"service_busy","success":false}'
    )
    assert {b"X-Correlation-ID: c-1", b"Vary: Origin", b"Content-Type: application/json"} <= set(head.split(b"\r\n"))
    assert _without_wait(quick) == _without_wait(parsed)


def _without_wait(answer: bytes) -> list[bytes]:
    waits = (b"Retry-After: 1", b"Retry-After: 2", b"Retry-After: 3")
    lines = answer.split(b"\r\n")
    assert sum(line in waits for line in lines) == 1
    return [line for line in lines if line not in waits and not line.startswith(b"Date: ")]


def test_each_answer_has_a_correlation_id_of_its_own(app: Flask) -> None:
    at = bridge(app, 100_000)
    answers = {at.quick.answer(b"GET /orders HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(10)}
    assert len(answers) == 10


def test_a_browser_can_read_the_answer(app: Flask) -> None:
    """[S21]"""
    origin = app.extensions["settings"].cors_origins[0]
    answer = bridge(app, 100_000).shed(Incoming("GET", b"/orders", b"", "1.1", [("origin", origin)]), keeps=True)
    assert f"Access-Control-Allow-Origin: {origin}\r\n".encode() in answer


def test_the_answer_to_a_head_has_no_body_and_a_last_one_says_so(app: Flask) -> None:
    answer = bridge(app, 100_000).shed(Incoming("HEAD", b"/orders", b"", "1.1"), keeps=False)
    assert answer.endswith(b"Connection: close\r\n\r\n")


def test_they_are_counted_by_kind_and_commands_make_room(app: Flask) -> None:
    at, traffic = bridge(app, 100_000), app.extensions["common"].traffic
    lists, answered, calls = shed_total("list"), answered_503("/orders"), traffic.calls
    at.sheds(read(b"/orders"), LEAST)
    at.quick.answer(b"GET /orders HTTP/1.1\r\nHost: x\r\n\r\n")
    assert at.shedder.look(1.0, 0.0)
    assert shed_total("list") - lists == answered_503("/orders") - answered == traffic.calls - calls == 2
    assert traffic.is_overloaded
    assert not at.shedder.look(2.0, 0.0)
    assert not traffic.is_overloaded
