"""Clients by the hundred that take what HTTP gives them: silent, slow, deaf. And callers beside them, at their pace."""

import argparse
import errno
import json
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from tests.harness.load import ORDER_DETAILS, Connection

CALLERS = 8
LOOK_SECONDS = 0.05
OPENED_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Manners:
    """What each client of a crowd does: sends this, then a piece now and then; reads, or never; comes again."""

    name: str
    clients: int
    first: bytes
    drip: bytes = b""
    each_seconds: float = 1.0
    reads: bool = True


class Crowd:
    """So many clients in one thread, while the body runs. `opened`: connections so far, `refused`: those cut short."""

    def __init__(self, port: int, manners: Manners) -> None:
        self._address = ("127.0.0.1", port)
        self._manners = manners
        self._selector = selectors.DefaultSelector()
        self._open: dict[socket.socket, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="crowd")
        self.opened = self.ended = 0

    @property
    def size(self) -> int:
        """How many are connected."""
        return len(self._open)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for one in list(self._open):
            one.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for _ in range(min(self._manners.clients - len(self._open), OPENED_AT_ONCE)):
                self._connect()
            for key, _ in self._selector.select(LOOK_SECONDS):
                self._hear(key.data)
            if self._manners.drip:
                self._drip(time.monotonic())
            elif not self._manners.reads:
                self._look_at_the_deaf()

    def _connect(self) -> None:
        one = socket.socket()
        if not self._manners.reads:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            one.connect(self._address)
            one.setblocking(False)
            self.opened += 1
            self._open[one] = time.monotonic()
            if self._manners.reads:
                self._selector.register(one, selectors.EVENT_READ, one)
            one.send(self._manners.first)
        except OSError:
            self._drop(one)

    def _hear(self, one: socket.socket) -> None:
        try:
            ended = not one.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            self._drop(one)

    def _drip(self, now: float) -> None:
        for one, last in list(self._open.items()):
            if now - last >= self._manners.each_seconds:
                self._open[one] = now
                with suppress(BlockingIOError):
                    try:
                        one.send(self._manners.drip)
                    except ConnectionError:
                        self._drop(one)

    def _look_at_the_deaf(self) -> None:
        for one in list(self._open):
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (errno.ECONNRESET, errno.EPIPE):
                self._drop(one)

    def _drop(self, one: socket.socket) -> None:
        if self._open.pop(one, None) is not None:
            self.ended += 1
            if self._manners.reads:
                self._selector.unregister(one)
        one.close()


@dataclass(frozen=True, slots=True)
class Pace:
    """What ordinary callers got: answers a second, and the slowest one in a hundred in seconds."""

    rate: float
    p99: float
    failed: int


def pace(port: int, seconds: float) -> Pace:
    """Return what CALLERS get that ask as fast as they are answered, from a process of their own."""
    command = [sys.executable, "-m", __name__, str(port), str(seconds)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=seconds + 30)
    return Pace(**json.loads(done.stdout))


def _call(port: int, seconds: float) -> tuple[list[float], int]:
    end, times, failed = time.monotonic() + seconds, [], 0
    with Connection([port]) as connection:
        made = connection.call("POST", "/createOrder", {"customer_id": "c", "order_details": ORDER_DETAILS})
        details = f"/getOrderDetails?orderId={made[1]['order_id'] if made else ''}"
        while time.monotonic() < end:
            started = time.monotonic()
            answer = connection.call("GET", details)
            times.append(time.monotonic() - started)
            failed += answer is None or answer[0] != 200
    return times, failed


def main() -> None:
    """Be the callers; print their pace as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    with ThreadPoolExecutor(CALLERS) as threads:
        found = list(threads.map(lambda _: _call(options.port, options.seconds), range(CALLERS)))
    times = [seconds for one, _ in found for seconds in one]
    p99 = statistics.quantiles(times, n=100)[-1]
    rate = len(times) / options.seconds
    print(json.dumps({"rate": rate, "p99": p99, "failed": sum(failed for _, failed in found)}))


if __name__ == "__main__":
    main()
