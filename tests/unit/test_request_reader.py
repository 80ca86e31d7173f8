"""Bytes to requests: whole, in pieces, several at once; what is no request is refused, and what is too large too."""

import gc
import tracemalloc
import weakref

import pytest

from app.server import reader as request_reader
from app.server.incoming import Incoming, Malformed
from app.server.reader import MAX_HEAD, MAX_HEADERS, MAX_LINE, RequestReader
from app.wire.decoder import MAX_BYTES

HOST = b"Host: x\r\n"
LINE = b"X: aaaaaaaaaaaaaa\r\n"
GET = b"GET /orders?page=2 HTTP/1.1\r\n" + HOST
POST = b"POST /createOrder HTTP/1.1\r\n" + HOST
OFFER = POST + b"Connection: upgrade\r\nUpgrade: h2c\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def reader(*, waits: bool = True) -> RequestReader:
    return RequestReader(lambda _: waits)


def read(data: bytes, piece: int | None = None, *, waits: bool = True) -> list[Incoming]:
    """Feed the data in pieces of so many bytes, up to the last request of the connection."""
    found: list[Incoming] = []
    taker = reader(waits=waits)
    for start in range(0, len(data), piece or len(data)):
        found += taker.feed(data[start : start + (piece or len(data))])
        if found and found[-1].is_last:
            break
    return found


@pytest.mark.parametrize("piece", [None, 1, 2, 7, 64])
def test_requests_are_the_same_however_they_arrive(piece: int | None) -> None:
    two = (
        POST
        + b"Content-Length: 3\r\nX: a\r\nx: b\r\n\r\nabc"
        + CHUNKED
        + b"2\r\nab\r\n1;ext=1\r\nc\r\n0\r\nT: t\r\n\r\n"
    )
    first, second, third = read(two + b"\r\n" + GET + b"\r\n", piece)
    assert (first.method, first.path, first.body, first.values("x")) == ("POST", b"/createOrder", b"abc", ["a", "b"])
    assert (second.body, second.header("t")) == (b"abc", None)
    assert (third.method, third.path, third.query, third.body) == ("GET", b"/orders", b"page=2", b"")
    assert not any(it.is_last for it in (first, second, third))


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/orders/customer/a%20b%2Fc", b"/orders/customer/a b/c", b""),
        (b"/orders/customer/x%FFy", b"/orders/customer/x\xffy", b""),
        (b"//orders", b"//orders", b""),
        (b"http://x:3000/orders?a=%20", b"/orders", b"a=%20"),
        (b"http://x", b"/", b""),
        (b"/a?b?c", b"/a", b"b?c"),
    ],
)
def test_targets(target: bytes, path: bytes, query: bytes) -> None:
    [request] = read(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert (request.path, request.query) == (path, query)


def test_options_of_the_server() -> None:
    assert read(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n")[0].path == b"*"


@pytest.mark.parametrize(
    "request_bytes",
    [
        GET + b"Connection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ],
)
def test_the_last_of_its_connection(request_bytes: bytes) -> None:
    [request] = read(request_bytes)
    assert request.is_last


def test_http_1_0_may_keep_its_connection() -> None:
    [request] = read(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert not request.is_last


@pytest.mark.parametrize("piece", [None, 1, 30])
def test_another_protocol_that_is_offered_is_passed_over(piece: int | None) -> None:
    """As curl --http2 does."""
    offer = POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}"
    requests = read(offer + GET + b"\r\n", piece)
    assert [(it.method, it.body) for it in requests] == [("POST", b"{}"), ("GET", b"")]


MALFORMED = {
    "both lengths": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths, the other way round": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "a length with a sign": POST + b"Content-Length: +3\r\n\r\nabc",
    "a length below zero": POST + b"Content-Length: -1\r\n\r\n",
    "a folded header": GET + b"X: a\r\n b\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: x\n\n",
    "one bare line feed": GET + b"X: a\nY: b\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "a NUL in a header": GET + b"X: a\x00b\r\n\r\n",
    "a control character in a header": GET + b"X: a\x7fb\r\n\r\n",
    "two hosts": GET + b"Host: y\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a version to come": b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "bytes in the target": b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "another coding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding of its own": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks before HTTP/1.1": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space that is none behind the coding": POST + b"Transfer-Encoding: chunked\xa0\r\n\r\n",
    "the same where another protocol is offered": OFFER + b"Transfer-Encoding: chunked\xa0\r\n\r\n",
    "a next line behind the coding of an offer": OFFER + b"Transfer-Encoding: chunked\x85\r\n\r\n",
    "a space that is none before the coding": OFFER + b"Transfer-Encoding: \xa0chunked\r\n\r\n",
    "a host in two words": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "a host with a path": b"GET / HTTP/1.1\r\nHost: a/b@c\r\n\r\n",
    "a host that is no text": b"GET / HTTP/1.1\r\nHost: \xff\xfe[::\r\n\r\n",
    "no size of a chunk": CHUNKED + b"zz\r\n",
    "a chunk that is longer than its size": CHUNKED + b"2\r\n[]xx",
    "chunks of bare line feeds": CHUNKED + b"1\na\n0\n\n",
    "another expectation": POST + b"Expect: the-unexpected\r\nContent-Length: 1\r\n\r\n",
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a tunnel": b"CONNECT x:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "no method": b"NONSENSE\r\n\r\n",
}


@pytest.mark.parametrize("piece", [None, 1])
@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_malformed_is_no_request(name: str, piece: int | None) -> None:
    """[H1] Nothing of it is handed over, whatever a proxy in front takes it for."""
    with pytest.raises(Malformed):
        read(MALFORMED[name], piece)


@pytest.mark.parametrize("piece", [None, 500])
@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * MAX_LINE + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        GET + b"X: " + b"a" * MAX_HEAD + b"\r\n\r\n",
        GET + b"".join(b"X%d: a\r\n" % number for number in range(6000)) + b"\r\n",
    ],
)
def test_a_head_is_bounded(head: bytes, piece: int | None) -> None:
    with pytest.raises(Malformed, match="too large"):
        read(head, piece)


@pytest.mark.parametrize("piece", [None, 1, 500])
@pytest.mark.parametrize("lines", [MAX_HEADERS, MAX_HEADERS + 1])
def test_a_head_has_a_hundred_lines_at_most(lines: int, piece: int | None) -> None:
    """Refused as soon as there are more, whatever follows."""
    head = GET + b"a:\r\n" * (lines - 1)
    if lines <= MAX_HEADERS:
        assert len(read(head + b"\r\n", piece)[0].headers) == lines
        return
    with pytest.raises(Malformed, match="The head of the request is too large") as refused:
        read(head + b"b", piece)
    assert len(refused.value.headers) == MAX_HEADERS


HALVES = {
    "short lines": GET + b"a:\r\n" * (MAX_HEADERS - 1),
    "one long line": GET + b"X: " + b"a" * 30_000,
    "long lines": GET + LINE * 60,
    "a long target": b"GET /" + b"%41" * 2700,
    "a long target that is read": b"POST /"
    + b"%41" * 2700
    + POST[POST.index(b" HTTP") :]
    + b"Content-Length: 9\r\n\r\n",
    "a body": POST + b"Content-Length: %d\r\n\r\n" % MAX_BYTES + b"a" * (MAX_BYTES - 1),
    "chunks": CHUNKED + b"2\r\nab\r\n" * 9_000,
    "a long trailer": CHUNKED + b"0\r\nX: " + b"a" * 30_000,
}


def traced() -> int:
    """Return the bytes that readers and these tests hold: other threads of the process hold some too."""
    ours = [tracemalloc.Filter(True, place) for place in (request_reader.__file__, __file__)]
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(ours).traces)


@pytest.mark.parametrize("piece", [2, 1024])
@pytest.mark.parametrize("name", HALVES)
def test_what_a_half_request_holds_is_known_and_near_its_bytes(name: str, piece: int) -> None:
    """However small the pieces are in which it came."""
    pieces = [HALVES[name][start : start + piece] for start in range(0, len(HALVES[name]), piece)]
    taker, bare = reader(), 4_000
    tracemalloc.start()
    try:
        for data in pieces:
            taker.feed(data)
        gc.collect()
        true = traced()
    finally:
        tracemalloc.stop()
    assert true - bare < taker.held < 1.25 * len(HALVES[name]) + 200 * MAX_HEADERS


@pytest.mark.parametrize("lines", [0, 1, 90])
def test_what_small_requests_hold_that_came_together_is_known(lines: int) -> None:
    sent = (b"GET / HTTP/1.1\r\n" + HOST + b"a:\r\n" * lines + b"\r\n") * 30
    taker = reader()
    tracemalloc.start()
    try:
        requests = taker.feed(sent[:1024])
        true = traced()
    finally:
        tracemalloc.stop()
    assert 0 < true < sum(it.held for it in requests) + taker.held


@pytest.mark.parametrize("name", HALVES)
def test_a_reader_that_has_ended_holds_nothing(name: str) -> None:
    """Not even until the collector comes."""
    taker = reader()
    taker.feed(HALVES[name])
    taker.end()
    assert (taker.held, taker.is_idle, taker.in_body) == (0, True, False)
    gone = weakref.ref(taker)
    gc.disable()
    try:
        del taker
        assert gone() is None
    finally:
        gc.enable()


def feed_again_and_again(taker: RequestReader, times: int) -> None:
    for _ in range(times):
        taker.feed(LINE)


def test_a_head_without_end_is_refused_long_before_it_ends() -> None:
    taker, lines = reader(), MAX_HEAD // len(LINE) + 50
    taker.feed(GET)
    with pytest.raises(Malformed, match="too large"):
        feed_again_and_again(taker, lines)


def test_trailers_without_end_are_refused() -> None:
    taker = reader()
    taker.feed(CHUNKED + b"0\r\n")
    with pytest.raises(Malformed, match="too large"):
        feed_again_and_again(taker, 10_000)


@pytest.mark.parametrize("size", [MAX_BYTES, MAX_BYTES + 1])
def test_a_body_is_taken_up_to_its_limit(size: int) -> None:
    """[H1] What is larger is refused as soon as that is known: here by its length, there by its chunks."""
    body = b"a" * size
    fits = size <= MAX_BYTES
    for message in (
        POST + b"Content-Length: %d\r\n\r\n" % size + body,
        CHUNKED + b"%x\r\n" % size + body + b"\r\n0\r\n\r\n",
    ):
        [request] = read(message, 10_000)
        assert (request.body == body, request.body is None, request.is_last) == (fits, not fits, not fits)


def test_who_asks_first_is_told_to_go_on_or_answered_at_once() -> None:
    asks = POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    taker = reader()
    assert taker.feed(asks) == []
    assert (taker.take_continue(), taker.take_continue()) == (True, False)
    assert taker.feed(b"{}")[0].body == b"{}"
    [refused] = reader(waits=False).feed(asks)
    assert (refused.body, refused.is_last) == (None, True)
    [too_large] = reader().feed(asks.replace(b" 2\r\n", b" 2000000\r\n"))
    assert (too_large.body, too_large.is_last) == (None, True)


def test_a_reader_tells_where_it_stands() -> None:
    taker = reader()
    assert (taker.is_idle, taker.in_body) == (True, False)
    taker.feed(POST[:10])
    assert (taker.is_idle, taker.in_body) == (False, False)
    taker.feed(POST[10:] + b"Content-Length: 2\r\n\r\n{")
    assert (taker.is_idle, taker.in_body) == (False, True)
    taker.feed(b"}")
    assert (taker.is_idle, taker.in_body) == (True, False)


@pytest.mark.parametrize("piece", [None, 1])
def test_empty_lines_before_a_request_are_passed_over_and_begin_none(piece: int | None) -> None:
    """Old clients send one behind a body: the connection is idle, and a request long after is answered."""
    taker = reader()
    assert taker.feed(POST + b"Content-Length: 2\r\n\r\n{}\r\n")[0].body == b"{}"
    assert taker.is_idle
    assert taker.feed(b"\r\n") == []
    assert taker.is_idle
    assert [it.method for it in read(b"\r\n\r\n" + GET + b"\r\n", piece)] == ["GET"]


def test_empty_lines_without_end_are_refused() -> None:
    with pytest.raises(Malformed):
        read(b"\r\n" * 100, 2)


def test_the_beginning_of_a_next_request_is_one() -> None:
    """Its time runs, though it came in one piece with the request before."""
    taker = reader()
    assert len(taker.feed(GET + b"\r\n" + GET[:5])) == 1
    assert not taker.is_idle


def test_a_large_body_does_not_make_the_next_head_too_large() -> None:
    message = POST + b"Content-Length: %d\r\n\r\n" % MAX_BYTES + b"a" * MAX_BYTES
    assert len(read(message + GET + b"X: a\r\n" * 100)) == 1


def test_requests_before_a_malformed_one_are_answered() -> None:
    with pytest.raises(Malformed) as refused:
        reader().feed(GET + b"\r\n" + b"NONSENSE\r\n\r\n")
    assert [it.method for it in refused.value.before] == ["GET"]


def test_what_follows_the_last_request_is_nobodys() -> None:
    assert len(reader().feed(GET + b"Connection: close\r\n\r\nNONSENSE\r\n")) == 1


def test_a_refusal_knows_the_headers_that_could_be_read() -> None:
    head = GET + b"Origin: http://o\r\nX-Correlation-ID: mine\r\nX: "
    with pytest.raises(Malformed) as refused:
        reader().feed(head + b"a\x00\r\n\r\n")
    assert ("x-correlation-id", "mine") in refused.value.headers
    taker = reader()
    taker.feed(head)
    assert ("origin", "http://o") in taker.broken_off("It ended").headers


def test_what_http_1_0_expects_and_what_nothing_expects_counts_for_nothing() -> None:
    asks = b"Expect: 100-continue\r\nConnection: keep-alive\r\n"
    taker = reader(waits=False)
    taker.feed(b"POST / HTTP/1.0\r\nContent-Length: 2\r\n" + asks + b"\r\n")
    assert not taker.take_continue()
    assert taker.feed(b"{}")[0].body == b"{}"
    [empty] = reader(waits=False).feed(POST + asks + b"Content-Length: 0\r\n\r\n")
    assert empty.body == b""


def test_offers_of_another_protocol_by_the_hundred_are_passed_over() -> None:
    offer = GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert len(read(offer * 2000)) == 2000


@pytest.mark.parametrize("piece", [None, 1])
def test_spaces_around_a_value_are_none_of_it(piece: int | None) -> None:
    [request] = read(GET + b"X: \t a \t b \t \r\nY:\r\nZ: \r\n\r\n", piece)
    assert [request.header(name) for name in ("x", "y", "z")] == ["a \t b", "", ""]


@pytest.mark.parametrize("host", [b"", b"a", b"a.example:80", b"a:", b"[::1]:3000", b"a%20b", b"a_b", b"192.0.2.1"])
def test_a_host_is_taken_as_urls_have_it(host: bytes) -> None:
    [request] = read(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert request.header("host") == host.decode()


def test_a_request_that_is_whole_leaves_nothing_of_it_to_the_next() -> None:
    taker = reader()
    taker.feed(POST + b"Content-Length: 3\r\n\r\n{")
    taker.feed(b" }")
    assert (taker.is_idle, taker.held) == (True, 0)
