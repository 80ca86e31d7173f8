"""Clients that take their time, or never come back: they cost a connection, and only for as long as is promised."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from app.server.connection import HEAD_SECONDS, PIECE_SECONDS, SEND_SECONDS
from tests.harness.load import ORDER_DETAILS, Connection
from tests.harness.service import Instance
from tests.harness.world import wait_for
from tests.network.wire import HEALTH, POST, Client, client

CLIENTS = 50
SOON = PIECE_SECONDS  # who waits for one of the others waits for longer
BEYOND_THE_KERNEL = 85_000  # bytes: the kernel takes 64 KiB and what the client receives, the service keeps the rest
A_MOMENT = 3.0  # more than the service needs to look at all of its connections
FILE = b"GET /apidocs/swagger-ui-5.35.0/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"


def seconds(call: Callable[[], object]) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started


def answered_soon(port: int) -> bool:
    """Whether a stranger is answered at once."""
    try:
        with client(port) as stranger:
            return seconds(lambda: stranger.ask(HEALTH)) < SOON
    except (OSError, AssertionError):  # refused: there was no room
        return False


def many(stack: ExitStack, port: int, first: bytes = b"", count: int = CLIENTS) -> list[Client]:
    """Open so many connections that send no more than this."""
    found = [stack.enter_context(closing(Client(port, receive_buffer=4096))) for _ in range(count)]
    for one in found:
        one.send(first)
    return found


@pytest.mark.parametrize("sent", [b"", POST, POST + b"Content-Length: 9\r\n\r\n{"])
def test_connections_on_which_nothing_more_comes_keep_nobody_waiting(port: int, sent: bytes) -> None:
    """Spare ones of browsers, half a head, half a body."""
    with ExitStack() as stack:
        many(stack, port, sent)
        assert answered_soon(port)


def test_a_body_that_stops_is_refused(port: int) -> None:
    """[H1] By its length and in chunks."""
    sized, chunked = POST + b"Content-Length: 9\r\n\r\n{", POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n["
    with ExitStack() as stack:
        clients = many(stack, port, sized, 2) + many(stack, port, chunked, 2)
        for one in clients:
            answer = one.answer()
            assert (answer.status, answer.json["error"]) == (400, "The request did not arrive in time")
            assert one.is_closed()


def test_a_head_that_never_ends_is_refused_though_its_bytes_keep_coming(port: int) -> None:
    """One byte now and then: the time of a head is that of all of it."""
    with client(port) as caller, ThreadPoolExecutor(1) as other:
        caller.send(POST + b"X: ")
        answer = other.submit(caller.answer)
        started = time.monotonic()
        while not answer.done():
            assert time.monotonic() - started < HEAD_SECONDS + A_MOMENT
            caller.send(b"a")
            time.sleep(0.2)
        assert answer.result().status == 400
        assert time.monotonic() - started > PIECE_SECONDS


@pytest.mark.parametrize("request_bytes", [HEALTH * 40_000, FILE * 30])
def test_who_does_not_read_what_he_asks_for_is_left(service: Instance, request_bytes: bytes) -> None:
    """Small answers by the thousand, and large ones; what is asked meanwhile is not even read."""
    with client(service.port, receive_buffer=4096) as deaf, ThreadPoolExecutor(1) as other:
        deaf.socket.settimeout(SEND_SECONDS + A_MOMENT)
        sending = other.submit(deaf.send, request_bytes)
        assert answered_soon(service.port)
        with pytest.raises(ConnectionError):
            read_nothing_until_reset(deaf, sending.exception)
    assert "Traceback" not in service.log_text()


def read_nothing_until_reset(deaf: Client, sending: Callable[[], BaseException | None]) -> None:
    """Raise what the sending of the requests ended in, or the next request."""
    error = sending()
    if error is not None:
        raise error
    give_up = time.monotonic() + SEND_SECONDS + A_MOMENT
    while time.monotonic() < give_up:
        deaf.send(HEALTH)
        time.sleep(0.1)


def test_who_sends_what_is_refused_for_long_gets_to_see_why(port: int) -> None:
    """For longer than one is waited for who sends nothing more."""
    pieces = 30
    with client(port) as caller:
        caller.send(POST + b"Content-Length: %d\r\n\r\n" % (pieces * 100_000))
        for _ in range(pieces):
            caller.send(b"x" * 100_000)
            time.sleep(0.1)
        assert caller.answer().status == 413
        assert caller.is_closed()


def test_who_reads_slowly_gets_all_of_it(port: int) -> None:
    """Some 100 KB a second, for longer than one may take nothing."""
    with client(port, receive_buffer=4096) as slow:
        slow.send(FILE)
        received = slow.socket.recv(4096)
        size = int(received.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        total, started = len(received), time.monotonic()
        while total < size:
            time.sleep(0.02)
            part = slow.socket.recv(4096)
            assert part, "the answer was cut"
            total += len(part)
        assert time.monotonic() - started > SEND_SECONDS


def test_a_connection_is_kept_for_as_long_as_the_setting_says(own_service: Instance) -> None:
    """Balancers keep theirs for 60, 90 or 600 s, and the server must keep it longer."""
    own_service.settings["KEEP_ALIVE_SECONDS"] = "2"
    own_service.start()
    with client(own_service.port) as silent, client(own_service.port) as asked:
        started = time.monotonic()
        assert asked.ask(HEALTH + b"\r\n").status == 200  # the empty line begins no request
        for caller in (silent, asked):
            assert caller.is_closed()
            assert 2 <= time.monotonic() - started < 2 + A_MOMENT


class FewDescriptors(Instance):
    """One that may have only so many descriptors, hard limit and soft."""

    most = 300

    def _prepare(self) -> list[str]:
        return ["sh", "-c", f'ulimit -n {self.most} && exec "$@"', "sh", *super()._prepare()]


@pytest.mark.parametrize("most", [300, 64])
def test_more_connections_than_descriptors_are_refused_and_end_nothing(
    settings: dict[str, str], tmp_path: Path, most: int
) -> None:
    """Those that are idle give their place, and a caller keeps his. The worker is the same one afterwards.

    With 64 the kernel itself has none left before the service's own bound is met.
    """
    service = FewDescriptors(tmp_path, settings)
    service.most = most
    service.start()
    try:
        workers = [process.pid for process in service.processes()]
        with ExitStack() as stack:
            caller = stack.enter_context(client(service.port))
            for _ in range(12):
                many(stack, service.port, count=50)
                assert caller.ask(HEALTH).status == 200
            wait_for(lambda: answered_soon(service.port), "room for a stranger")
        assert answered_soon(service.port)
        assert [process.pid for process in service.processes()] == workers
        assert "Traceback" not in service.log_text()
        shortages = service.log_text().count("no connection can be accepted: Too many open files")
        assert 1 <= shortages <= 6 if most == 64 else shortages == 0
    finally:
        service.kill()


def test_a_backlog_that_waited_for_a_busy_worker_takes_no_descriptor_of_others(
    settings: dict[str, str], tmp_path: Path
) -> None:
    """A worker that comes back to 400 new connections opens those that it accepted before it accepts more."""
    service = FewDescriptors(tmp_path, settings)
    service.start()
    try:
        with ExitStack() as stack:
            many(stack, service.port, count=150)
            wait_for(lambda: answered_soon(service.port), "the first ones to be open")
            service.freeze()
            many(stack, service.port, count=400)
            service.thaw()
            wait_for(lambda: answered_soon(service.port), "room for a stranger")
        assert "no connection can be accepted" not in service.log_text()
    finally:
        service.kill()


@pytest.mark.parametrize("head", [b"", b"Connection: close\r\n"], ids=["then", "after its last answer"])
def test_who_says_that_nothing_more_comes_and_takes_nothing_is_reset(port: int, head: bytes) -> None:
    """Its connection would be kept for ever: what is left of the answer fits into the buffers."""
    details = ORDER_DETAILS | {"foodItems": [{"name": "x" * BEYOND_THE_KERNEL, "price": 1, "quantity": 1}]}
    with Connection([port]) as connection:
        made = connection.call("POST", "/createOrder", {"customer_id": "c", "order_details": details})
    assert made is not None
    asks = f"GET /getOrderDetails?orderId={made[1]['order_id']} HTTP/1.1\r\nHost: x\r\n".encode() + head + b"\r\n"
    with ExitStack() as stack:
        [deaf] = many(stack, port, asks, 1)
        if head:
            time.sleep(1.0)  # until the service has closed its side
        deaf.half_close()
        time.sleep(SEND_SECONDS + A_MOMENT)
        with pytest.raises(ConnectionResetError):
            deaf.read()
