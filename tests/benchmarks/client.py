"""python -m tests.benchmarks.client URL CONNECTIONS: what wrk does with wrk.lua, where wrk is not installed."""

import os
import selectors
import socket
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from tests.benchmarks.measure import percentile

END_OF_HEADERS = b"\r\n\r\n"
LAST_CHUNK = b"\r\n0\r\n\r\n"
PATIENCE_SECONDS = 30.0


class Requests:
    """The bytes of one request after the other, until the time is over or no value is left."""

    def __init__(self, host: str) -> None:
        told = {name.removeprefix("LOAD_"): value for name, value in os.environ.items() if name.startswith("LOAD_")}
        self._line, self._body = f"{told['METHOD']} {told['PATH']} HTTP/1.1\r\nHost: {host}\r\n", told["BODY"]
        if told["CREDENTIAL"]:
            self._line += f"Authorization: Bearer {told['CREDENTIAL']}\r\n"
        if told["TRACEPARENT"]:
            self._line += f"traceparent: {told['TRACEPARENT']}\r\n"
        self._values = Path(told["VALUES"]).read_text().splitlines() if told["VALUES"] else None
        self._again, self._first = told["AGAIN"] == "1", int(told["FIRST"])
        self._until = time.time() + float(told["SECONDS"])
        self.sent = 0

    def next(self) -> bytes | None:
        """Return the next request, None when there is none."""
        place = self._first + self.sent
        exhausted = self._values is not None and not self._again and place >= len(self._values)
        if exhausted or time.time() >= self._until:
            return None
        self.sent += 1
        value = self._values[place % len(self._values)] if self._values is not None else str(place)
        body = self._body.replace("@", value).encode()
        about = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        return f"{self._line.replace('@', value)}{about}\r\n".encode() + body


class Wire:
    """One keep-alive connection with at most one request under way."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._received = b""
        self._sent_at = 0.0

    def send(self, request: bytes) -> None:
        """Send a request: it is small and the socket is empty, so that it goes out at once."""
        self._sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> tuple[int, float] | None:
        """Return status and latency in ms once the whole answer is there. Raises OSError where the server hung up."""
        received = self.socket.recv(262_144)
        if not received:
            raise ConnectionError("the server closed the connection")
        self._received += received
        head, found, body = self._received.partition(END_OF_HEADERS)
        if not found or not is_whole(head.lower(), body):
            return None
        self._received = b""
        return int(head.split(None, 2)[1]), (time.perf_counter() - self._sent_at) * 1000


def is_whole(head: bytes, body: bytes) -> bool:
    """Tell whether the body of an answer, whose head is in lower case, is all there."""
    fields = {name: value for name, _, value in (line.partition(b":") for line in head.split(b"\r\n"))}
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        return body.endswith(LAST_CHUNK)
    return len(body) >= int(fields[b"content-length"])


def main() -> None:
    """Send until the time is over, wait for the answers, print the figures."""
    address, connections = urlsplit(sys.argv[1]), int(sys.argv[2])
    selector, statuses, latencies = selectors.DefaultSelector(), Counter[int](), []
    wires = [Wire((str(address.hostname), int(address.port or 80))) for _ in range(connections)]
    requests, under_way = Requests(address.netloc), 0
    began = ended = time.time()
    for wire in wires:
        selector.register(wire.socket, selectors.EVENT_READ, wire)
        if request := requests.next():
            wire.send(request)
            under_way += 1
    while under_way and time.time() - ended < PATIENCE_SECONDS:
        for key, _ in selector.select(1.0):
            if (answer := key.data.receive()) is None:
                continue
            ended = time.time()
            statuses[answer[0]] += 1
            latencies.append(answer[1])
            if request := requests.next():
                key.data.send(request)
            else:
                under_way -= 1
    figures = {"sent": requests.sent, "began": began, "ended": ended, "lost": under_way}
    figures |= {"p50": percentile(latencies, 50), "p99": percentile(latencies, 99)}
    figures |= {f"status {status}": count for status, count in statuses.items()}
    for name, figure in figures.items():
        print(f"result {name}={figure:.6f}")


if __name__ == "__main__":
    main()
