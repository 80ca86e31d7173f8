"""What all unfinished requests hold together is bounded, and let go as soon as nobody needs it."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from app.server.unfinished import Unfinished
from tests.contract.conftest import make_app
from tests.harness.door import Client, get, open_door

MOST = 256 * 1024
SIZE = 16 * 1024
POST = b"POST /createOrder HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
FILE = b"GET /apidocs/swagger-ui-5.35.0/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
HALF = POST + b"Content-Length: %d\r\n\r\n" % (SIZE + 2) + b" " * SIZE


@pytest.fixture
def unfinished() -> Unfinished:
    return Unfinished(MOST)


@pytest.fixture
def own_port(unfinished: Unfinished) -> Iterator[int]:
    """Of a server whose database is nowhere."""
    with open_door(make_app("postgresql://x:x@127.0.0.1:1/x"), unfinished) as port:
        yield port


def await_held(unfinished: Unfinished, least: int, most: int) -> None:
    deadline = time.monotonic() + 10
    while not least <= unfinished.held <= most:
        assert time.monotonic() < deadline, f"{unfinished.held} bytes are held"
        time.sleep(0.005)


def is_answered(client: Client) -> bool:
    """Send the rest; tell whether the request was still there."""
    try:
        client.socket.sendall(b"[]")
        return client.answer().status == 400
    except ConnectionError:
        return False


def test_bodies_that_trickle_in_on_many_connections_hold_no_more_than_the_bound(
    own_port: int, unfinished: Unfinished
) -> None:
    """Others are answered meanwhile, and so is the youngest of them."""
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(own_port)) for _ in range(60)]
        for number, client in enumerate(clients):
            client.socket.sendall(HALF)
            assert unfinished.held <= MOST
            if number % 10 == 0:
                assert get(own_port, "/health").status == 200
        with pytest.raises(ConnectionError):
            clients[0].head()
        answered = [is_answered(client) for client in reversed(clients)]
    assert answered[0]
    assert MOST // SIZE // 2 < sum(answered) <= MOST // SIZE
    await_held(unfinished, 0, 0)


def test_a_request_that_is_whole_holds_nothing_more(own_port: int, unfinished: Unfinished) -> None:
    with Client(own_port) as client:
        client.socket.sendall(HALF)
        await_held(unfinished, SIZE, 2 * SIZE)
        assert f"\norder_http_unfinished_bytes {float(unfinished.held)}\n".encode() in get(own_port, "/metrics").body
        assert is_answered(client)
        await_held(unfinished, 0, 0)


@pytest.mark.parametrize(
    ("sent", "more"),
    [
        (POST + b"X: " + b"a" * SIZE, b"\x00"),
        (POST + b"X: " + b"a" * SIZE, b"\r\n" + b"a:\r\n" * 100),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n4000\r\n" + b"a" * SIZE, b"\r\nzz\r\n"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n4000\r\n" + b"a" * SIZE, b"\r\n100000\r\n" + b"a" * 150_000),
    ],
    ids=["a NUL", "too many lines", "no size of a chunk", "too large a body"],
)
def test_what_is_refused_holds_nothing_though_its_client_stays(
    own_port: int, unfinished: Unfinished, sent: bytes, more: bytes
) -> None:
    with Client(own_port) as client:
        client.socket.sendall(sent)
        await_held(unfinished, SIZE, 2 * SIZE)
        client.socket.sendall(more)
        assert client.answer().status in {400, 413, 431}
        await_held(unfinished, 0, 0)


def test_who_goes_in_the_middle_leaves_nothing(own_port: int, unfinished: Unfinished) -> None:
    with Client(own_port) as client:
        client.socket.sendall(HALF)
        await_held(unfinished, SIZE, 2 * SIZE)
    await_held(unfinished, 0, 0)


def test_what_is_not_sent_to_its_end_in_time_is_let_go(own_port: int, unfinished: Unfinished) -> None:
    with Client(own_port) as client:
        client.socket.sendall(HALF)
        assert client.answer().status == 400
        await_held(unfinished, 0, 0)


def test_what_is_sent_ahead_counts_and_the_answer_before_it_is_not_cut(own_port: int, unfinished: Unfinished) -> None:
    """However many others send bodies that they do not end."""
    ahead = 500
    health = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    with Client(own_port, receive_buffer=4096) as slow, ExitStack() as stack:
        slow.socket.sendall(FILE + health * ahead)
        await_held(unfinished, ahead * len(health) // 2, MOST // 2)
        for _ in range(30):
            stack.enter_context(Client(own_port)).socket.sendall(HALF)
        assert len(slow.answer().body) > 1_000_000
        assert {slow.answer().status for _ in range(ahead)} == {200}
