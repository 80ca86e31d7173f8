"""Clients that do not speak HTTP well, or stop in the middle of it, over a real connection to gunicorn."""

import json
import socket
import time
from contextlib import closing

import psycopg2
import pytest

from tests.contract.builders import POSTS
from tests.faults.service import Instance
from tests.faults.stack import Stack
from tests.integration.world import wait_for

BODY = b"[]"
POST = b"POST /createOrder HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SIZED = POST + b"Content-Length: 2\r\n"
ANSWER_SECONDS = 4.0
PATIENCE_SECONDS = 40.0
FILL = (
    "INSERT INTO orders (order_id, cust_id, order_description, food_fee, delivery_fee, delivery_location, "
    "order_status, payment_status, created_at, updated_at) SELECT 'order-' || n, 'c', repeat('x', 1000), 1, 1, 'l', "
    "'CREATED', 'PENDING', now(), now() FROM generate_series(1, 1000) AS n"
)


@pytest.fixture
def instance(stack: Stack) -> Instance:
    """One with two HTTP threads."""
    return stack.start(1, WEB_THREADS="2")[0]


def connect(instance: Instance) -> socket.socket:
    return socket.create_connection(("127.0.0.1", instance.port), timeout=PATIENCE_SECONDS)


def answer_of(client: socket.socket) -> tuple[int, dict[str, object]]:
    """Return status and body of the one answer; the connection is closed behind it."""
    received = b""
    while part := client.recv(65536):
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"x-correlation-id:" in head.lower()
    return int(head.split()[1]), json.loads(body)


def ask(instance: Instance, request: bytes, *, half_close: bool = False) -> tuple[int, dict[str, object]]:
    with closing(connect(instance)) as client:
        client.sendall(request)
        if half_close:
            client.shutdown(socket.SHUT_WR)
        return answer_of(client)


def seconds_of_health(instance: Instance) -> float:
    """Return how long a caller with all patience waits."""
    started = time.monotonic()
    assert ask(instance, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[0] == 200
    return time.monotonic() - started


def refused(code: str, error: str) -> tuple[int, dict[str, object]]:
    return 400, {"error": error, "code": code, "success": False}


MALFORMED = refused("bad_request", "The HTTP request is malformed or too long")
NO_BODY = refused("bad_request", "The body is malformed or did not arrive")
NO_KEY = refused("invalid_idempotency_key", "Idempotency-Key must be 1 to 255 printable ASCII characters")


def test_what_is_malformed_is_refused_as_json(instance: Instance) -> None:
    """[H1] [H15] Before Flask and within it; an answer of ours, not a page of the server's."""
    assert ask(instance, CHUNKED + b"zz\r\n") == NO_BODY
    assert ask(instance, CHUNKED + b"2\r\n[]xx") == NO_BODY
    assert ask(instance, CHUNKED + b"5\r\n[]", half_close=True) == NO_BODY
    assert ask(instance, SIZED + b"Idempotency-Key: a\x7fb\r\n\r\n" + BODY) == MALFORMED
    assert ask(instance, b"NONSENSE\r\n\r\n") == MALFORMED
    assert ask(instance, SIZED + b"Connection: close\r\nIdempotency-Key: " + b"k" * 9000 + b"\r\n\r\n" + BODY) == NO_KEY
    assert "Traceback" not in instance.log_text()


@pytest.mark.parametrize("keys", [(b"a", b"a"), (b"a", b"b"), (b"a", b"a,b"), (b"", b"a"), (b"a", b"b", b"c")])
def test_two_keys_are_refused_and_one_with_a_comma_is_one(instance: Instance, keys: tuple[bytes, ...]) -> None:
    """[H15] WSGI has one value for both."""
    body = json.dumps(POSTS["/createOrder"]).encode()
    request = POST + b"Connection: close\r\nContent-Length: %d\r\n" % len(body)
    two = b"".join(b"idempotency-KEY: %s\r\n" % key for key in keys)
    said_twice = refused("invalid_idempotency_key", "Send one Idempotency-Key, not several")
    assert ask(instance, request + two + b"\r\n" + body) == said_twice
    joined = b"Idempotency-Key: %s\r\n\r\n" % b",".join(keys)
    first, again = (ask(instance, request + joined + body) for _ in range(2))
    assert (first[0], again) == (201, first)


def test_an_incomplete_request_is_not_carried_out(instance: Instance, stack: Stack) -> None:
    """[H1] Neither by Content-Length nor by chunks; nor is its answer stored under its key."""
    body = json.dumps(POSTS["/createOrder"]).encode()
    sized = POST + b"Connection: close\r\nIdempotency-Key: cut\r\nContent-Length: %d\r\n\r\n"
    too_short = refused("bad_request", "The body is shorter than its Content-Length")
    assert ask(instance, sized % (len(body) + 400) + body, half_close=True) == too_short
    assert ask(instance, sized % 400, half_close=True) == too_short
    chunked = POST + b"Connection: close\r\nIdempotency-Key: cut\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%s\r\n" % (len(body), body)
    for end in (b"", b"0", b"0\r\n", b"5\r\n[]"):
        assert ask(instance, chunked + chunk + end, half_close=True) == NO_BODY
    with psycopg2.connect(stack.database_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM orders")
        assert cursor.fetchone() == (0,)
    assert ask(instance, sized % len(body) + body)[0] == 201


@pytest.mark.parametrize("target", [b"/orders/customer/x%FFy", b"/orders?runnerId=x%FFy", b"/orders/customer/x\xffy"])
def test_bytes_that_are_no_text_are_nobodys_id(instance: Instance, target: bytes) -> None:
    """[R6]"""
    status, body = ask(instance, b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target)
    assert (status, body["code"]) == (400, "invalid_field" if target.isascii() else "bad_request")
    assert "Traceback" not in instance.log_text()


@pytest.mark.parametrize("request_so_far", [CHUNKED + b"2\r\n[", SIZED + b"\r\n["])
def test_a_body_that_does_not_arrive_is_refused_in_time(instance: Instance, request_so_far: bytes) -> None:
    """[H1] However many such clients there are, they keep no thread."""
    clients = [connect(instance) for _ in range(2)]
    started = time.monotonic()
    for client in clients:
        client.sendall(request_so_far)
    for client in clients:
        client.recv(1, socket.MSG_PEEK)
    assert time.monotonic() - started < ANSWER_SECONDS
    assert [answer_of(client) for client in clients] == [NO_BODY, NO_BODY]
    for client in clients:
        client.close()
    assert "Traceback" not in instance.log_text()


def test_half_a_head_keeps_no_thread(instance: Instance) -> None:
    """The connections are closed; others are served."""
    halves = [connect(instance) for _ in range(2)]
    for client in halves:
        client.sendall(POST)
    assert instance.get("/health")[0] == 200
    for client in halves:
        assert client.recv(1) == b""
        client.close()
    assert instance.log_text().count("a client stopped within a request or an answer") == 2
    assert "Traceback" not in instance.log_text()


@pytest.mark.parametrize("path", ["/orders?limit=1000", "/apidocs/swagger-ui-5.35.0/swagger-ui-bundle.js"])
def test_an_answer_that_nobody_reads_keeps_no_thread(instance: Instance, stack: Stack, path: str) -> None:
    """Neither a page nor a file."""
    with psycopg2.connect(stack.database_url) as connection, connection.cursor() as cursor:
        cursor.execute(FILL)
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    deaf = []
    for _ in range(2):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", instance.port))
        client.sendall(request * 20)
        deaf.append(client)
    wait_for(lambda: seconds_of_health(instance) > 1, "both threads held up, and one let go")
    wait_for(lambda: seconds_of_health(instance) < 1, "a service as if nothing had been", PATIENCE_SECONDS)
    for client in deaf:
        client.close()
    assert "Traceback" not in instance.log_text()
