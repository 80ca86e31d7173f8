"""The ways in which HTTP lets a request be sent: each is answered as RFC 9110 and 9112 say."""

import gzip
import json
import socket

import psycopg2
import pytest

from tests.harness.builders import POSTS
from tests.harness.service import Instance
from tests.network.wire import HEALTH, LAST, POST, Client, ask, client

ORDER = json.dumps(POSTS["/createOrder"]).encode()
SIZED = POST + b"Content-Length: %d\r\n\r\n%s"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
CLOSE = b"Connection: close\r\n"
ASKS = b"Expect: 100-continue\r\n"
MIB = 1024 * 1024


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def test_a_connection_is_kept_for_any_number_of_requests(port: int) -> None:
    with client(port) as caller:
        assert {caller.ask(HEALTH).status for _ in range(50)} == {200}


@pytest.mark.parametrize(("sent", "kept"), [(b"", False), (b"Connection: keep-alive\r\n", True)])
def test_http_1_0_ends_its_connection_unless_it_asks_for_more(port: int, sent: bytes, kept: bool) -> None:
    with client(port) as caller:
        answer = caller.ask(b"GET /health HTTP/1.0\r\n" + sent + b"\r\n")
        assert (answer.status, answer.headers["connection"]) == (200, "keep-alive" if kept else "close")
        if kept:
            assert caller.ask(HEALTH).status == 200
        else:
            assert caller.is_closed()


@pytest.mark.parametrize("path", ["/health", "/readyz", "/metrics", "/orders", "/openapi.json", "/apidocs/", "/nope"])
def test_head_is_get_without_a_body(port: int, path: str) -> None:
    with client(port) as caller:
        found = caller.ask(get(path))
        head = caller.ask(get(path).replace(b"GET", b"HEAD"), "HEAD")
        assert (head.status, head.headers["content-type"]) == (found.status, found.headers["content-type"])
        assert caller.ask(HEALTH).status == 200


def test_methods(port: int) -> None:
    """[H1]"""
    with client(port) as caller:
        for method in (b"PUT", b"DELETE", b"PATCH", b"PROPFIND", b"TRACE"):
            refused = caller.ask(HEALTH.replace(b"GET", method))
            assert (refused.status, refused.json["code"]) == (405, "method_not_allowed")
            assert "GET" in refused.headers["allow"]
        server = caller.ask(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (server.status, server.headers["allow"], server.body) == (200, "GET, HEAD, OPTIONS, POST", b"")


def test_an_absolute_uri_is_its_path(port: int) -> None:
    assert ask(port, LAST.replace(b"/health", b"http://somewhere:80/health")).status == 200


def test_empty_lines_in_front_are_passed_over(port: int) -> None:
    with client(port) as caller:
        assert caller.ask(b"\r\n\r\n" + HEALTH).status == 200
        assert caller.ask(b"\r\n" + HEALTH).status == 200


def test_requests_sent_ahead_are_answered_in_order(port: int) -> None:
    """However many, and whatever is between them."""
    with client(port) as caller:
        body = b'{"orderId":"nobody"}'
        missing = get("/getOrderDetails?orderId=x")
        cancel = POST.replace(b"createOrder", b"cancelOrder") + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        caller.send((HEALTH + missing + cancel + get("/nope")) * 100)
        assert [caller.answer().status for _ in range(400)] == [200, 404, 404, 404] * 100


def test_a_client_that_has_said_all_gets_its_answers(port: int) -> None:
    """It shuts its side down behind the requests, as `nc` does."""
    with client(port) as caller:
        caller.send(HEALTH + get("/orders") + HEALTH)
        caller.half_close()
        assert [caller.answer().status for _ in range(3)] == [200, 200, 200]
        assert caller.is_closed()


def test_an_offer_of_another_protocol_is_passed_over(port: int) -> None:
    """As curl --http2 makes it, and browsers for WebSockets."""
    with client(port) as caller:
        for offered in ("h2c", "websocket"):
            assert caller.ask(get("/health", "Connection: Upgrade", f"Upgrade: {offered}")).status == 200


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_body_in_chunks_is_a_body(port: int, size: int) -> None:
    parts = [ORDER[at : at + size] for at in range(0, len(ORDER), size)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    with client(port) as caller:
        assert caller.ask(CHUNKED + chunks + b"0\r\nX-Trailer: a\r\n\r\n").status == 201
        assert caller.ask(HEALTH).status == 200


def test_who_asks_before_sending_is_told_to_go_on(port: int) -> None:
    with client(port) as caller:
        caller.send(POST + ASKS + b"Content-Length: %d\r\n\r\n" % len(ORDER))
        assert caller.answer().status == 100
        assert caller.ask(ORDER).status == 201
        assert caller.ask(POST + ASKS + b"Content-Length: %d\r\n\r\n" % len(ORDER) + ORDER).status == 201


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        (b"POST /nope", b"Content-Length: 9\r\n", 404),
        (b"PUT /createOrder", b"Content-Length: 9\r\n", 405),
        (b"POST /createOrder", b"Content-Length: 999999999\r\n", 413),
        (b"POST /createOrder", b"Content-Length: 9\r\nContent-Type: text/xml\r\n", 415),
        (b"POST /createOrder", b"Content-Length: 9\r\nContent-Encoding: gzip\r\n", 415),
        (b"POST /createOrder", b"Content-Length: 9\r\nIdempotency-Key: \r\n", 400),
        (b"POST /createOrder", b"Transfer-Encoding: chunked\r\nContent-Type: text/xml\r\n", 415),
        (b"POST /createOrder", b"Content-Length: 0\r\n", 400),
    ],
)
def test_who_asks_before_sending_what_is_refused_is_told_that(
    port: int, request_line: bytes, headers: bytes, status: int
) -> None:
    """Not to go on."""
    media = b"" if b"Content-Type" in headers else b"Content-Type: application/json\r\n"
    with client(port) as caller:
        answer = caller.ask(request_line + b" HTTP/1.1\r\nHost: x\r\n" + media + headers + ASKS + b"\r\n")
        assert answer.status == status
        assert answer.closes or b"Content-Length: 0" in headers


def test_a_compressed_body_is_refused(port: int) -> None:
    """[H1] Whatever it would be."""
    packed = gzip.compress(ORDER)
    with client(port) as caller:
        answer = caller.ask(
            POST + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(packed), packed),
        )
        assert (answer.status, answer.json["code"]) == (415, "unsupported_media_type")
        assert caller.ask(HEALTH).status == 200


@pytest.mark.parametrize(
    ("line", "mib", "status"),
    [
        (b"POST /nope", 10, 404),
        (b"POST /orders", 10, 405),
        (b"PUT /createOrder", 10, 405),
        (b"POST /createOrder", 1, 413),
        (b"POST /createOrder", 30, 413),
    ],
)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_large_body_is_answered_not_cut(port: int, line: bytes, mib: int, status: int, is_chunked: bool) -> None:
    """[H1] A client that sends all of it before it looks."""
    head = line + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    part = b"x" * MIB
    with client(port) as caller:
        if is_chunked:
            caller.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(mib):
                caller.send(b"%x\r\n%s\r\n" % (MIB, part))
            caller.send(b"0\r\n\r\n")
        else:
            caller.send(head + b"Content-Length: %d\r\n\r\n" % (mib * MIB))
            for _ in range(mib):
                caller.send(part)
        assert caller.answer().status == status


def test_an_incomplete_request_is_not_carried_out(service: Instance) -> None:
    """[H1] Neither by Content-Length nor by chunks; nor is its answer stored under its key."""
    key = b"Idempotency-Key: cut\r\n"
    sized = POST + key + b"Content-Length: %d\r\n\r\n%s"
    chunked = POST + key + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(ORDER), ORDER)
    before = orders(service)
    cuts = [sized % (len(ORDER) + 400, ORDER), sized % (400, b""), *(chunked + end for end in (b"", b"0", b"0\r\n"))]
    for request in [*cuts, POST[:20], POST]:
        answer = ask(service.port, request, half_close=True)
        assert (answer.status, answer.json["error"]) == (400, "The request ended before it was whole")
    assert orders(service) == before
    assert (
        ask(service.port, (sized % (len(ORDER), ORDER)).replace(b"Host: x\r\n", b"Host: x\r\n" + CLOSE)).status == 201
    )


def test_a_client_that_resets_leaves_no_trace(service: Instance) -> None:
    """In the middle of a head, of a body, of an answer."""
    for request in (POST[:30], POST + b"Content-Length: 9\r\n\r\n{", get("/apidocs/swagger-ui-5.35.0/swagger-ui.css")):
        caller = Client(service.port, receive_buffer=4096)
        caller.send(request)
        caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        caller.close()
    assert service.get("/health")[0] == 200
    assert "Traceback" not in service.log_text()


def orders(service: Instance) -> int:
    with psycopg2.connect(service.settings["DATABASE_URL"]) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM orders")
        found = cursor.fetchone()
    connection.close()
    assert found is not None
    return int(found[0])


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="the machine has no IPv6")
@pytest.mark.parametrize(("hosts", "answering"), [("*", ["127.0.0.1", "::1"]), ("127.0.0.1,::1", ["127.0.0.1", "::1"])])
def test_the_service_listens_where_it_is_told(own_service: Instance, hosts: str, answering: list[str]) -> None:
    """IPv4 and IPv6 side by side."""
    own_service.settings["HOST"] = hosts
    own_service.start()
    for host in answering:
        caller = Client(own_service.port, host=host)
        assert caller.ask(HEALTH).status == 200
        caller.close()
