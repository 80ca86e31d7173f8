"""Clients far away: what a line delays costs them time, and nobody else."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from app.server.connection import CLOSE_SECONDS
from tests.harness.service import Instance
from tests.network.lines import Line
from tests.network.test_requests import ORDER
from tests.network.wire import HEALTH, LAST, POST, Client, client

CALLERS = 16
ROUND_TRIP = 1.0  # so long that the machine of the test adds little to it
SECONDS = 4.0
LEAST_A_SECOND = 5.0  # the line alone allows CALLERS / ROUND_TRIP; one after the other would be 1 / ROUND_TRIP
SHORT_ROUND_TRIP = 0.1
CREATE = POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(ORDER), ORDER)


def rate(call: Callable[[], None], callers: int = CALLERS, seconds: float = SECONDS) -> float:
    """Return how often a second so many callers can do it."""
    end = time.monotonic() + seconds

    def repeat(_: int) -> int:
        count = 0
        while time.monotonic() < end:
            call()
            count += 1
        return count

    with ThreadPoolExecutor(callers) as threads:
        return sum(threads.map(repeat, range(callers))) / seconds


def one_that_closes(port: int) -> None:
    with client(port) as caller:
        assert caller.ask(LAST).status == 200


def test_callers_that_close_over_a_long_line_wait_for_the_line_alone(port: int) -> None:
    """And a stranger beside them."""
    slowest = 0.0
    done = threading.Event()

    def stranger() -> None:
        nonlocal slowest
        while not done.wait(0.02):
            started = time.monotonic()
            one_that_closes(port)
            slowest = max(slowest, time.monotonic() - started)

    beside = threading.Thread(target=stranger)
    beside.start()
    try:
        with Line(port, ROUND_TRIP) as line:
            found = rate(lambda: one_that_closes(line.port))
    finally:
        done.set()
        beside.join()
    assert found > LEAST_A_SECOND
    assert slowest < ROUND_TRIP


def test_callers_that_hang_up_late_hold_up_nobody(port: int) -> None:
    """They have their answer, and stay for a while."""

    def call() -> None:
        with client(port) as caller:
            assert caller.ask(LAST).status == 200
            assert caller.is_closed()
            time.sleep(ROUND_TRIP)

    assert rate(call) > LEAST_A_SECOND


def test_callers_that_never_hang_up_are_left_in_the_end(service: Instance) -> None:
    """Each with its answer, and with the end of the connection behind it."""
    stayed = []
    for _ in range(100):
        caller = Client(service.port)
        assert caller.ask(LAST).status == 200
        stayed.append(caller)
    with client(service.port) as stranger:
        started = time.monotonic()
        assert stranger.ask(HEALTH).status == 200
        assert time.monotonic() - started < CLOSE_SECONDS
    assert all(caller.is_closed() for caller in stayed)
    for caller in stayed:
        caller.close()


def test_a_line_that_loses_every_tenth_piece_loses_no_answer(port: int) -> None:
    """Bodies in pieces, over kept connections and over new ones."""

    with Line(port, SHORT_ROUND_TRIP, loss=0.1) as line, ThreadPoolExecutor(16) as threads:

        def create(_: int) -> list[int]:
            head, body = CREATE.replace(b"Connection: close\r\n", b"").split(b"\r\n\r\n")
            with client(line.port) as caller:
                found = []
                for _ in range(3):
                    for piece in (head[:50], head[50:] + b"\r\n\r\n", body[:20], body[20:]):
                        caller.send(piece)
                    found.append(caller.answer().status)
                return found

        assert {status for found in threads.map(create, range(16)) for status in found} == {201}
