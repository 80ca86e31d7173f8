"""The server of a worker in a thread of the test: an app behind its real connections, in reach of the test."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from flask import Flask
from werkzeug.urls import iri_to_uri
from werkzeug.wrappers import Request

from app.server.bridge import Bridge
from app.server.loop_server import LoopServer
from app.server.unfinished import Unfinished

PATIENCE_SECONDS = 30.0


async def _start(server: LoopServer, listener: socket.socket) -> None:
    await server.start([listener])


async def _stop(server: LoopServer, app: Flask) -> None:
    """As the worker does, and let the tasks that are cut come to their ends."""
    await server.cut_off()
    while app.extensions["answers_budget"].held:
        await asyncio.sleep(0.001)


@contextlib.contextmanager
def open_door(app: Flask, unfinished: Unfinished | None = None) -> Iterator[int]:
    """Serve the app; yields the port."""
    loop = asyncio.new_event_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    server = LoopServer(loop, Bridge(app), 75, unfinished)
    thread = threading.Thread(target=loop.run_forever, name="door")
    thread.start()
    asyncio.run_coroutine_threadsafe(_start(server, listener), loop).result(PATIENCE_SECONDS)
    try:
        yield listener.getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server, app), loop).result(PATIENCE_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_SECONDS)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@dataclass(frozen=True, slots=True)
class Received:
    """What came over a connection: head and body as they are on the wire."""

    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        """The status."""
        return int(self.head.split()[1])


class Client:
    """One connection to it."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE_SECONDS)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self._received = b""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, path: str, *, method: str = "GET", version: str = "1.1") -> None:
        """Send a request."""
        self.socket.sendall(f"{method} {path} HTTP/{version}\r\nHost: x\r\n\r\n".encode())

    def head(self) -> bytes:
        """Return a head, line ends included."""
        return self._until(b"\r\n\r\n")

    def chunk(self) -> bytes:
        """Return the data of a chunk. Raises ConnectionError where the answer is cut."""
        size = int(self._until(b"\r\n"), 16)
        return self._exactly(size + 2)[:-2]

    def chunks(self) -> Iterator[bytes]:
        """Yield the data of all chunks but the last, which is empty."""
        while chunk := self.chunk():
            yield chunk

    def rest(self) -> bytes:
        """Return all that comes until the connection is closed."""
        found = self._received
        while part := self.socket.recv(65536):
            found += part
        return found

    def body(self, head: bytes) -> bytes:
        """Return the body that belongs to a head, as HTTP tells its length."""
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        if b"content-length" in fields:
            return self._exactly(int(fields[b"content-length"]))
        return b"".join(self.chunks()) if fields.get(b"transfer-encoding") == b"chunked" else self.rest()

    def answer(self) -> Received:
        """Return the next answer."""
        head = self.head()
        return Received(head, self.body(head))

    def _until(self, end: bytes) -> bytes:
        while end not in self._received:
            self._receive()
        found, _, self._received = self._received.partition(end)
        return found + end

    def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            self._receive()
        found, self._received = self._received[:size], self._received[size:]
        return found

    def _receive(self) -> None:
        part = self.socket.recv(1 << 20)
        if not part:
            raise ConnectionError("the answer is cut")
        self._received += part


def get(port: int, path: str, *, method: str = "GET", version: str = "1.1") -> Received:
    """Ask over a connection of its own."""
    with Client(port) as client:
        client.ask(path, method=method, version=version)
        return client.answer()


def through(port: int) -> Callable[..., Iterable[bytes]]:
    """Return a WSGI app that asks the server: so test clients call it."""

    def ask(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        asked = Request(environ)
        with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)) as connection:
            path = iri_to_uri(environ["RAW_URI"].partition("?")[0])  # as it was written, percent signs and all
            target = f"{path}?{environ['QUERY_STRING']}".rstrip("?")
            connection.request(asked.method, target, asked.get_data(), dict(asked.headers))
            answer = connection.getresponse()
            body = answer.read()
        start_response(f"{answer.status} {answer.reason}", answer.getheaders())
        return [body]

    return ask
