"""Raw connections: bytes out, answers in."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

PATIENCE_SECONDS = 20.0
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
POST = b"POST /createOrder HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; names of headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body as JSON."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def closes(self) -> bool:
        """Whether the answer says that the connection ends."""
        return self.headers.get("connection") == "close"


class Client:
    """One connection. `read` returns the next answer, None where the server has closed."""

    def __init__(self, port: int, *, receive_buffer: int | None = None, host: str = "127.0.0.1") -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.connect((host, port))
        self._received = b""

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(data)

    def half_close(self) -> None:
        """Say that nothing more comes."""
        self.socket.shutdown(socket.SHUT_WR)

    def read(self, method: str = "GET") -> Answer | None:
        """Return the next answer. Raises TimeoutError, and ConnectionResetError."""
        while b"\r\n\r\n" not in self._received:
            if not self._receive():
                assert not self._received, self._received
                return None
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        status = int(line.split()[1])
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        is_empty = method == "HEAD" or status < 200 or status in (204, 304)
        size = 0 if is_empty else int(headers["content-length"])
        while len(self._received) < size:
            assert self._receive(), "the answer was cut"
        body, self._received = self._received[:size], self._received[size:]
        return Answer(status, headers, body)

    def answer(self, method: str = "GET") -> Answer:
        """Return the next answer, which must come."""
        found = self.read(method)
        assert found is not None, "closed without an answer"
        return found

    def ask(self, request: bytes, method: str = "GET") -> Answer:
        """Send, and return the answer."""
        self.send(request)
        return self.answer(method)

    def is_closed(self) -> bool:
        """Whether the server closes; blocks until it sends or closes."""
        return self.read() is None

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def _receive(self) -> bool:
        data = self.socket.recv(65536)
        self._received += data
        return bool(data)


@contextmanager
def client(port: int, *, receive_buffer: int | None = None) -> Iterator[Client]:
    """A connection for the body."""
    with closing(Client(port, receive_buffer=receive_buffer)) as made:
        yield made


def ask(port: int, request: bytes, method: str = "GET", *, half_close: bool = False) -> Answer:
    """Return the one answer on a connection of its own, which the server then closes."""
    with client(port) as caller:
        caller.send(request)
        if half_close:
            caller.half_close()
        answer = caller.answer(method)
        assert caller.is_closed()
        return answer
