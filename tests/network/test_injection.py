"""Bytes that would end a line or a request early, in every header, in the query and in the path.

Nothing of a caller begins a line of an answer or of the log, and no request hides in another one.
"""

from urllib.parse import quote_from_bytes

import pytest

from tests.harness.hostile import TEXTS
from tests.harness.service import Instance
from tests.network.wire import POST, ask, client

HEADERS = (
    *("Idempotency-Key", "X-Correlation-ID", "Origin", "Authorization", "Content-Type", "Content-Encoding", "Accept"),
    *("User-Agent", "Referer", "Cookie", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Prefix"),
    *(
        "X-Forwarded-Proto",
        "If-None-Match",
        "If-Modified-Since",
        "Range",
        "Accept-Language",
        "Via",
        "X-HTTP-Method-Override",
    ),
    *("Access-Control-Request-Headers", "Access-Control-Request-Method", "Upgrade", "Expect", "TE", "Trailer"),
)
BYTES = {name: text.encode() for name, text in TEXTS.items()} | {
    "NUL": b"a\0b",
    "no UTF-8": b"\xff\xfe\xed\xa0\x80",
    "8,000 bytes": b"x" * 8000,
    "a bare line feed": b"a\nX-Injected: 1",
    "a folded line": b"a\r\n b",
}
ANSWERED = ("Content-Type", "Content-Length", "Date", "X-Content-Type-Options", "Cache-Control", "Vary", "Connection")
OURS = {name.lower() for name in ANSWERED} | {"x-correlation-id", "access-control-allow-origin", "retry-after", "allow"}
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SMUGGLING = {
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two coding headers": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "two equal coding headers": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "a coding with a parameter": POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "no coding": POST + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "an empty coding": POST + b"Transfer-Encoding:\r\nContent-Length: 2\r\n\r\n{}",
    "a vertical tab before the coding": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a coding in HTTP/1.0": CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n",
    "both lengths, coding first": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}",
    "two equal lengths": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "a length with a sign": POST + b"Content-Length: +2\r\n\r\n{}",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n{}",
    "a length in hexadecimal": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "a length with a blank in it": POST + b"Content-Length: 2 0\r\n\r\n{}",
    "a length beyond 64 bits": POST + b"Content-Length: 18446744073709551618\r\n\r\n{}",
    "a space before the colon of the length": POST + b"Content-Length : 2\r\n\r\n{}",
    "a folded length": POST + b"Content-Length:\r\n 2\r\n\r\n{}",
    "a size with a sign": CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n",
    "a size as 0x2": CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
    "a size beyond 64 bits": CHUNKED + b"10000000000000002\r\n{}\r\n0\r\n\r\n",
    "a size with a line feed alone": CHUNKED + b"2\n{}\n0\n\n",
    "a size behind an empty line": CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n",
    "an extension with a line feed": CHUNKED + b"2;a\n{}\r\n0\r\n\r\n",
    "an extension with a carriage return": CHUNKED + b"2;a\rb\r\n{}\r\n0\r\n\r\n",
    "a length among the trailers": CHUNKED + b"2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n",
    "a coding among the trailers": CHUNKED + b"2\r\n{}\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n",
    "no end behind a chunk": CHUNKED + b"2\r\n{}0\r\n\r\n",
    "a name with a blank": POST + b"Content Length: 2\r\n\r\n{}",
    "a name with a NUL": POST + b"Content-Length\0: 2\r\n\r\n{}",
    "a line without a colon": POST + b"Content-Length\r\n\r\n{}",
    "a first header that is folded": POST.replace(b"Host", b" Host") + b"Content-Length: 2\r\n\r\n{}",
    "two hosts": POST + b"Host: y\r\nContent-Length: 2\r\n\r\n{}",
    "no host": POST.replace(b"Host: x\r\n", b"") + b"Content-Length: 2\r\n\r\n{}",
    "a line feed in the request line": POST.replace(b"/createOrder", b"/createOrder\n"),
    "a blank in the target": POST.replace(b"/createOrder", b"/create Order"),
    "HTTP/0.9": b"GET /health\r\n",
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_a_request_that_a_proxy_may_read_otherwise_is_refused_with_all_that_follows(port: int, name: str) -> None:
    """[H1] One answer, then the connection ends: what hides behind is not looked at."""
    answer = ask(port, SMUGGLING[name] + HIDDEN)
    assert (answer.status, answer.closes) in ((400, True), (413, True))
    assert answer.json["code"] in ("bad_request", "body_too_large")


def test_extensions_of_chunks_and_trailers_mean_nothing(port: int) -> None:
    """They are allowed, so the request stands; the next one is the one behind it."""
    body = (
        CHUNKED.replace(b"createOrder", b"cancelOrder") + b'2;a="b";c\r\n{"\r\n13;x\r\norderId":"nobody"} \r\n0;y\r\n'
    )
    with client(port) as caller:
        answer = caller.ask(body + b"Host: y\r\nX-Correlation-ID: a\r\n\r\n")
        assert (answer.status, answer.json["code"]) == (404, "order_not_found")
        assert answer.headers["x-correlation-id"] != "a"
        assert caller.ask(HIDDEN).status == 404


@pytest.mark.parametrize("header", HEADERS)
def test_no_value_of_a_header_begins_a_line_of_the_answer(service: Instance, header: str) -> None:
    """[H1] [H16] [S20]"""
    for name, value in BYTES.items():
        for line in (b"GET /orders?limit=1", b"GET /apidocs", b"OPTIONS /orders"):
            head = b"%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s: %s\r\n\r\n" % (line, header.encode(), value)
            with client(service.port) as caller:
                answer = caller.ask(head)
            assert answer.status in (200, 308, 400), (name, answer)
            assert "x-injected" not in answer.headers, name
            assert b"Traceback" not in answer.body


@pytest.mark.parametrize("name", BYTES)
def test_no_text_in_an_address_begins_a_line_of_the_answer(port: int, name: str) -> None:
    """[H1] [S20] Percent-encoded, and as the bytes are."""
    encoded = quote_from_bytes(BYTES[name], safe="")
    with client(port) as caller:
        for target in (
            "/{}",
            "/apidocs/{}",
            "/apidocs{}",
            "/orders/customer/{}?limit=1",
            "/orders?runnerId={}",
            "/orders?{}",
        ):
            answer = caller.ask(f"GET {target.format(encoded)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert answer.status in (200, 400, 404), (target, answer)
            assert set(answer.headers) <= OURS, target
    raw = ask(port, b"GET /orders?runnerId=%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % BYTES[name])
    assert raw.status in (200, 400)
    assert set(raw.headers) <= OURS


def test_all_of_this_leaves_no_request_in_work_and_no_line_of_a_callers_making(service: Instance) -> None:
    """[S20] After the tests above."""
    log = service.log_text()
    assert service.metric("order_http_requests_in_work") <= 1  # this one
    assert "Traceback" not in log
    assert not any(line.startswith(("X-Injected", "2026-01-01 ERROR forged")) for line in log.splitlines())
