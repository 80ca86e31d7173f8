"""What is no HTTP, or not ours: one refusal as JSON, then the connection ends. The log has a line for all of it."""

import json

import pytest

from app.server.bridge import REFUSED_LINE_SECONDS
from tests.harness.service import Instance
from tests.harness.waiting import until
from tests.network.wire import HEALTH, LAST, POST, ask, client

CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
GET = HEALTH.removesuffix(b"\r\n")
ORIGIN = b"Origin: http://localhost:5173\r\nX-Correlation-ID: mine\r\n"
NO_HTTP = {
    "no method": b"NONSENSE\r\n\r\n",
    "TLS": bytes.fromhex("16030102000100"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a method that nobody knows": b"FOO /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "both lengths": POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    "a folded header": GET + b"X: a\r\n b\r\n\r\n",
    "bare line feeds": b"GET /health HTTP/1.1\nHost: x\n\n",
    "a space before the colon": GET + b"X : a\r\n\r\n",
    "no size of a chunk": CHUNKED + b"zz\r\n",
    "a chunk longer than its size": CHUNKED + b"2\r\n[]xx",
    "a control character in a key": POST + b"Idempotency-Key: a\x7fb\r\nContent-Length: 2\r\n\r\n[]",
}
TOO_LARGE = {
    "a target of 9,000 characters": (b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 9000), 414, "request_line"),
    "a target without end": (b"GET /%s" % (b"a" * 40_000), 414, "request_line"),
    "a head of 40 KiB": (GET + b"X: %s\r\n\r\n" % (b"a" * 40_000), 431, "head"),
    "a head without end": (GET + b"X: %s" % (b"a" * 40_000), 431, "head"),
    "101 lines": (GET + b"X: a\r\n" * 101, 431, "head"),
}


@pytest.mark.parametrize("name", NO_HTTP)
def test_what_is_no_http_is_refused_as_json_and_the_connection_ends(port: int, name: str) -> None:
    """[H1] An answer of ours, not a page of the server's."""
    answer = ask(port, NO_HTTP[name])
    assert (answer.status, answer.closes) == (400, True)
    assert (answer.json["code"], answer.json["success"]) == ("bad_request", False)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_line_or_a_head_that_is_too_large_has_a_status_of_its_own(port: int, name: str) -> None:
    """[H1]"""
    request, status, code = TOO_LARGE[name]
    answer = ask(port, request)
    assert (answer.status, answer.closes) == (status, True)
    assert (answer.json["code"], answer.json["success"]) == (f"{code}_too_large", False)


@pytest.mark.parametrize("rest", [b"X: a\x00\r\n\r\n", b"X: a\r\n b\r\n\r\n", b"X: " + b"a" * 40_000 + b"\r\n\r\n"])
def test_browsers_can_read_a_refusal_and_callers_find_it_by_their_id(port: int, rest: bytes) -> None:
    """[H1] [H16] As far as the head could be read."""
    answer = ask(port, GET + ORIGIN + rest)
    assert answer.status in (400, 431)
    assert answer.headers["x-correlation-id"] == "mine"
    assert answer.headers["access-control-allow-origin"] == "http://localhost:5173"


def test_a_request_before_a_malformed_one_is_answered(port: int) -> None:
    with client(port) as caller:
        caller.send(HEALTH + NO_HTTP["TLS"])
        assert [caller.answer().status, caller.answer().status, caller.read()] == [200, 400, None]


@pytest.mark.parametrize("target", [b"/orders/customer/x%FFy", b"/orders?runnerId=x%FFy", b"/orders/customer/x\xffy"])
def test_bytes_that_are_no_text_are_nobodys_id(service: Instance, target: bytes) -> None:
    """[R6]"""
    answer = ask(service.port, b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target)
    assert (answer.status, answer.json["code"]) == (400, "invalid_field" if target.isascii() else "bad_request")


@pytest.mark.parametrize("keys", [(b"a", b"a"), (b"a", b"b"), (b"a", b"a,b"), (b"", b"a"), (b"a", b"b", b"c")])
def test_two_keys_are_refused(port: int, keys: tuple[bytes, ...]) -> None:
    """[H15] Whatever they are: a server that joined them would make one of both."""
    two = b"".join(b"idempotency-KEY: %s\r\n" % key for key in keys)
    answer = ask(port, POST + b"Connection: close\r\nContent-Length: 2\r\n" + two + b"\r\n{}")
    assert answer.json["error"] == "Send one Idempotency-Key, not several"


def test_names_that_wsgi_knows_are_headers_like_any_other(port: int) -> None:
    """Nobody is believed who is not on the list."""
    names = b"SCRIPT_NAME: /shop\r\nScript-Name: /shop\r\nX-Forwarded-Prefix: /shop\r\nX-Forwarded-Proto: gopher\r\n"
    with client(port) as caller:
        assert caller.ask(GET + names + b"\r\n").status == 200
        redirect = caller.ask(b"GET /apidocs HTTP/1.1\r\nHost: evil.example\r\n" + names + b"\r\n")
        assert (redirect.status, redirect.headers["location"]) == (308, "apidocs/")


def test_the_log_has_one_line_for_all_that_is_no_http_and_none_of_theirs(own_service: Instance) -> None:
    """[I10] 300 of them, with line breaks in what they ask for."""
    own_service.settings["LOG_LEVEL"] = "debug"
    own_service.start()
    before = own_service.log_text().count(" requests were no HTTP; ")
    for _ in range(300):
        ask(own_service.port, NO_HTTP["TLS"])
    ask(own_service.port, LAST.replace(b"/health", b"/a%0A2026-01-01%20ERROR%20forged"))
    with client(own_service.port) as caller:
        for name in (b"one", b"two"):
            caller.ask(GET + b"X-Correlation-ID: %s\r\n\r\n" % name)
        caller.ask(HEALTH)
    until(lambda: "[two] GET /health" in own_service.log_text(), "what a thread writes")
    log = own_service.log_text()
    assert [log.count(f"[{name}] GET /health") for name in ("one", "two")] == [1, 1]
    assert 1 <= log.count(" requests were no HTTP; ") - before <= 1 + 60 // REFUSED_LINE_SECONDS
    assert not any(line.startswith("2026-01-01 ERROR forged") for line in log.splitlines())
    assert "\\n2026-01-01 ERROR forged" in log
    assert "Traceback" not in log


def test_nothing_of_this_leaves_a_trace_in_the_log(service: Instance) -> None:
    for request in NO_HTTP.values():
        ask(service.port, request)
    assert "Traceback" not in service.log_text()
    assert json.loads(service.get("/health")[1]) == {"status": "healthy"}
