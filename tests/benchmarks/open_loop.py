"""python -m tests.benchmarks.open_loop: an open loop of HTTP calls, arriving at a fixed rate whatever the answers are.

A closed loop (wrk, `client.py`) sends its next request when it has an answer: it slows down with a slow service and can
never overload it. Here each arrival has its time. It goes out on an idle connection, or on a new one, and its latency
counts from that time. Reads a plan as JSON from standard input, and writes what it saw to standard output.
"""

import json
import random
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import count

from tests.benchmarks.client import END_OF_HEADERS, LAST_CHUNK

GIVEN_UP_SECONDS = 5.0  # callers in the field give up then
CREATE, REPEAT, GET, LIST = "create", "repeat", "get", "list"
KINDS = (CREATE, REPEAT, GET, LIST)
GIVEN_UP, FAILED, NOT_SENT = 0, -1, -2
"""In place of a status: no answer in time; a connection that was refused or cut; no connection was free."""
KNOWN_KEYS = 200
CLOSED = 0.0
OPEN_AT_FIRST = 1_000
LENGTH = b"Content-Length: "


@dataclass(frozen=True, slots=True)
class Plan:
    """What arrives, on at most so many connections. `phases`: pairs of seconds and arrivals a second; `shares`: of each
    kind.

    With the rate CLOSED each connection sends again when it has its answer, which is how the best rate is found.
    """

    port: int
    phases: list[tuple[float, float]]
    connections: int
    shares: Mapping[str, float]
    body: str
    ids: list[str]
    seed: int = 1

    @property
    def seconds(self) -> float:
        """All phases together."""
        return sum(seconds for seconds, _ in self.phases)

    def arrivals(self) -> Iterator[float]:
        """Yield the time of each arrival, in seconds from the begin; nothing where the loop is closed."""
        begin = 0.0
        for seconds, rate in self.phases:
            yield from (begin + number / rate for number in range(int(seconds * rate)))
            begin += seconds


@dataclass(slots=True)
class Seen:
    """What came of the arrivals, each list in one order: when it was due, in seconds from the begin; place of its kind
    in KINDS; status, or one of the codes above; ms from its time to its answer."""

    due: list[float] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0

    def add(self, due: float, kind: int, status: int, ms: float) -> None:
        """Note an arrival."""
        self.due.append(round(due, 4))
        self.kind.append(kind)
        self.status.append(status)
        self.ms.append(round(ms, 2))


class Requests:
    """The bytes of requests. A repeat is a create that was answered, with its key and body."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._numbers, self._rng = plan, count(), random.Random(plan.seed)
        self._run = f"{plan.seed}-{time.time_ns()}"
        self._answered: deque[bytes] = deque(maxlen=KNOWN_KEYS)

    def kinds(self) -> Iterator[int]:
        """Yield the kind of one arrival after the other."""
        shares = [self._plan.shares.get(kind, 0.0) for kind in KINDS]
        while True:
            yield from self._rng.choices(range(len(KINDS)), shares, k=1000)

    def make(self, kind: int) -> bytes:
        """Return a request of the kind."""
        name = KINDS[kind]
        if name == REPEAT and self._answered:
            return self._rng.choice(self._answered)
        if name == GET:
            return _get(f"/getOrderDetails?orderId={self._rng.choice(self._plan.ids)}")
        if name == LIST:
            return _get("/orders?limit=20")
        number = next(self._numbers)
        body = self._plan.body.replace("@", str(number % 50)).encode()
        head = (
            f"POST /createOrder HTTP/1.1\r\nHost: it\r\nContent-Type: application/json\r\nIdempotency-Key: {self._run}"
        )
        return f"{head}-{number}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def answered(self, request: bytes) -> None:
        """Remember a create whose answer came."""
        self._answered.append(request)


class Wire:
    """One connection, with at most one request under way."""

    __slots__ = ("due", "kind", "received", "request", "serial", "socket", "unsent")

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(("127.0.0.1", port))
        self.received = self.unsent = self.request = b""
        self.due, self.kind, self.serial = 0.0, 0, 0

    def ask_health(self) -> None:
        """Wait until the service has accepted the connection: what that takes is no part of what is measured."""
        self.socket.setblocking(True)
        self.socket.sendall(_get("/health"))
        answer = b""
        while (end := answer.find(END_OF_HEADERS)) < 0 or not _is_whole(answer, end):
            answer += self.socket.recv(4096)
        self.socket.setblocking(False)

    def flush(self) -> None:
        """Send what is not sent. Raises OSError."""
        try:
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            return


class OpenLoop:
    """Carries the plan out, on one thread."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._requests, self.seen = plan, Requests(plan), Seen()
        self._poll = select.epoll()
        self._wires: dict[int, Wire] = {}
        self._idle: list[Wire] = []
        self._under_way: deque[tuple[Wire, int]] = deque()  # oldest first; a serial that has changed was answered
        self._serials = count(1)
        self._kinds = self._requests.kinds()
        self._began = 0.0

    def run(self) -> Seen:
        """Send until the time is over, then wait for the answers."""
        for _ in range(min(self._plan.connections, OPEN_AT_FIRST)):
            self._open().ask_health()
        self._began = time.perf_counter()
        until, is_closed = self._plan.seconds, self._plan.phases[0][1] == CLOSED
        arrivals = self._plan.arrivals()
        due = next(arrivals, until)
        while True:
            now = time.perf_counter() - self._began
            while due <= now and due < until:
                self._arrive(due)
                due = next(arrivals, until)
            while is_closed and now < until and self._idle:
                self._arrive(now)
            self._give_up(now)
            if min(due, now) >= until and not self._under_way:
                return self.seen
            for descriptor, events in self._poll.poll(max(min(due - now, 0.001), 0)):
                self._go_on(self._wires[descriptor], events)

    def _open(self) -> Wire:
        wire = Wire(self._plan.port)
        self._wires[wire.socket.fileno()] = wire
        self._poll.register(wire.socket, select.EPOLLIN)
        self._idle.append(wire)
        return wire

    def _arrive(self, due: float) -> None:
        kind = next(self._kinds)
        if not self._idle:
            if len(self._wires) >= self._plan.connections:
                self.seen.add(due, kind, NOT_SENT, 0.0)
                return
            self._open()
        wire = self._idle.pop()
        wire.request = wire.unsent = self._requests.make(kind)
        wire.due, wire.kind, wire.received, wire.serial = due, kind, b"", next(self._serials)
        self._under_way.append((wire, wire.serial))
        try:
            wire.flush()
        except OSError:
            self._end(wire, FAILED)
            return
        if wire.unsent:
            self._poll.modify(wire.socket, select.EPOLLIN | select.EPOLLOUT)

    def _go_on(self, wire: Wire, events: int) -> None:
        try:
            if events & select.EPOLLOUT:
                wire.flush()
                if not wire.unsent:
                    self._poll.modify(wire.socket, select.EPOLLIN)
            if not events & ~select.EPOLLOUT:
                return
            received = wire.socket.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._end(wire, FAILED)
            return
        answer = wire.received = wire.received + received if wire.received else received
        end = answer.find(END_OF_HEADERS)
        if end < 0 or not _is_whole(answer, end):
            return
        status = int(answer[9:12])
        if status == 201:
            self._requests.answered(wire.request)
        self._note(wire, status)
        if answer.find(b"\r\nConnection: close", 0, end) >= 0:
            self._close(wire)
        else:
            self._idle.append(wire)

    def _note(self, wire: Wire, status: int) -> None:
        if wire.serial:
            now = time.perf_counter() - self._began
            self.seen.add(wire.due, wire.kind, status, (now - wire.due) * 1000)
        wire.serial = 0

    def _end(self, wire: Wire, status: int) -> None:
        self._note(wire, status)
        self._close(wire)

    def _close(self, wire: Wire) -> None:
        if self._wires.pop(wire.socket.fileno(), None) is not None:
            if wire in self._idle[-50:]:
                self._idle.remove(wire)
            wire.socket.close()

    def _give_up(self, now: float) -> None:
        while self._under_way:
            wire, serial = self._under_way[0]
            if wire.serial == serial:
                if now - wire.due < GIVEN_UP_SECONDS:
                    return
                self._end(wire, GIVEN_UP)
            self._under_way.popleft()


def _is_whole(answer: bytes, end: int) -> bool:
    """Tell whether the body behind the head that ends at `end` is all there. `client.is_whole` takes any server's."""
    at = answer.find(LENGTH, 0, end)
    if at < 0:
        return answer.endswith(LAST_CHUNK)
    digits = at + len(LENGTH)
    return len(answer) - end - len(END_OF_HEADERS) >= int(answer[digits : answer.index(b"\r", digits)])


def _get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: it\r\n\r\n".encode()


def main() -> None:
    """Read the plan, carry it out, tell."""
    seen = OpenLoop(Plan(**json.load(sys.stdin))).run()
    seen.cpu_seconds = time.process_time()
    print(json.dumps(asdict(seen)))


if __name__ == "__main__":
    main()
