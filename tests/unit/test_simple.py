"""What is read without the parser is what the parser reads; what is unusual is left to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.server.incoming import Incoming
from app.server.reader import RequestReader
from app.server.simple import Simple, simple_request

CREATE = b"POST /createOrder HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
GET = b"GET /getOrderDetails?orderId=1 HTTP/1.1\r\nHost: x\r\n"


def parsed(data: bytes) -> list[Incoming]:
    """Return what the parser makes of the bytes."""
    return RequestReader(lambda _: True).feed(data)


@pytest.mark.parametrize(
    ("data", "key", "correlation_id"),
    [
        (CREATE + b"Content-Length: 2\r\n\r\n{}", None, None),
        (CREATE + b"Connection: keep-alive\r\nContent-Length: 2\r\nIdempotency-Key: a b \r\n\r\n{}", "a b", None),
        (CREATE + b"content-length:2\r\nx-correlation-id:saga.1\r\nidempotency-key:k\r\n\r\n{}", "k", "saga.1"),
    ],
)
def test_a_usual_write_is_simple(data: bytes, key: str | None, correlation_id: str | None) -> None:
    assert simple_request(data) == Simple(b"POST", b"/createOrder", key, correlation_id)


def test_a_usual_read_is_simple() -> None:
    assert simple_request(GET + b"\r\n") == Simple(b"GET", b"/getOrderDetails", None, None)


@pytest.mark.parametrize(
    "data",
    [
        GET,
        GET + b"\r\n" + GET + b"\r\n",
        GET + b"Content-Length: 0\r\n\r\n",
        GET + b"Connection: close\r\n\r\n",
        GET + b"Connection: keep-alive\r\nConnection: close\r\n\r\n",
        GET + b"Connection: keep-alive, upgrade\r\n\r\n",
        GET + b"Proxy-Connection: close\r\n\r\n",
        GET + b"Upgrade: h2c\r\n\r\n",
        GET + b"Origin: http://x\r\n\r\n",
        GET + b"Host: y\r\n\r\n",
        GET + b"X: a\r\n folded\r\n\r\n",
        GET + b"X-Correlation-ID: not one\r\n\r\n",
        GET + b"X-Correlation-ID: a\r\nX-Correlation-ID: b\r\n\r\n",
        GET.replace(b"1.1", b"1.0") + b"\r\n",
        GET.replace(b"Host", b"Guest") + b"\r\n",
        GET.replace(b"\r\n", b"\n") + b"\n",
        CREATE + b"\r\n",
        CREATE + b"Content-Length: 3\r\n\r\n{}",
        CREATE + b"Content-Length: 1\r\n\r\n{}",
        CREATE + b"Content-Length: +2\r\n\r\n{}",
        CREATE + b"Content-Length : 2\r\n\r\n{}",
        CREATE + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        CREATE + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n{}",
        CREATE + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        CREATE + b"Content-Length: 2\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n{}",
        CREATE + b"Content-Length: 2\r\nIdempotency-Key: " + b"k" * 256 + b"\r\n\r\n{}",
    ],
)
def test_what_is_unusual_is_not_simple(data: bytes) -> None:
    assert simple_request(data) is None


LINES = st.sampled_from(
    [
        *(b"Host: x", b"host:y", b"Host:", b"Content-Length: 2", b"content-length:2", b"Content-Length: 2, 2"),
        *(b"Content-Length: 02", b"Content-Length: 0x2", b"Content-Length\t: 2", b"Content-Length: 2 "),
        *(b"Transfer-Encoding: chunked", b"transfer-encoding:\tchunked", b"Connection: keep-alive"),
        *(b"Connection: Keep-Alive", b"Connection: close", b"connection:keep-alive", b"Proxy-Connection: close"),
        *(b"Idempotency-Key: k 1", b"idempotency-key:k", b"Idempotency-Key: ", b"X-Correlation-ID: c-1"),
        *(b"X_Correlation-ID: c", b"Accept: */*", b"Cookie: a=\xe9", b"X: a\x00b", b"X: a\rb", b" folded", b"no field"),
    ]
)
TARGETS = st.sampled_from(
    [b"/createOrder", b"/getOrderDetails?orderId=1", b"/a%2Fb", b"//x", b"*", b"http://x/", b"/#a"]
)
BODIES = st.sampled_from([b"", b"{}", b"{}\r\n", b"{}GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"2\r\n{}\r\n0\r\n\r\n"])
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r\r\n"])


@given(st.sampled_from([b"GET", b"POST", b"PUT", b"get"]), TARGETS, st.lists(LINES, max_size=5), ENDS, BODIES)
def test_the_parser_reads_the_same(method: bytes, target: bytes, lines: list[bytes], end: bytes, body: bytes) -> None:
    data = end.join([method + b" " + target + b" HTTP/1.1", b"Host: z", *lines, b"", b""]) + body
    found = simple_request(data)
    if found is None:
        return
    [request] = parsed(data)
    assert not request.is_last
    assert (request.method.encode(), request.path) == (found.method, found.path) or b"%" in target
    assert request.header("idempotency-key") == found.key
    assert request.header("x-correlation-id") == found.correlation_id
