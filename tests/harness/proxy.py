"""A TCP proxy on 127.0.0.1 that can be a bad network: slow, thin, a black hole, or one that cuts an answer short."""

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from tools.stack.ports import free_port

CHUNK = 65536
CONNECT_SECONDS = 2.0
JOIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Network:
    """How chunks travel on each connection, both ways unless it says otherwise.

    `delay`: seconds that each of an answer is held up. `refuses`: new connections are closed at once.
    `black_hole`: nothing arrives and nothing is lost; it arrives when the black hole ends, also from a caller who has
    left meanwhile.
    """

    delay: float = 0.0
    bytes_per_second: float = math.inf
    black_hole: bool = False
    refuses: bool = False


GOOD = Network()


@dataclass(eq=False, slots=True)
class _Link:
    """Both sockets of one connection; `cut`: its next answer is to be cut."""

    client: socket.socket
    server: socket.socket
    cut: bool = False

    def shut(self) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Proxy:
    """Passes connections on to `target`, a port of 127.0.0.1. Use as a context manager: it runs in the body.

    Where nobody listens there, a connection is closed at once. `attempts` counts the connections that were asked for,
    `cuts` the answers that were cut.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = free_port()
        self.attempts = 0
        self.cuts = 0
        self._network = GOOD
        self._open = threading.Event()
        self._open.set()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._to_cut: Callable[[bytes], bool] | None = None
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    @property
    def network(self) -> Network:
        """How chunks travel now; may be set at any time."""
        return self._network

    @network.setter
    def network(self, network: Network) -> None:
        self._network = network
        if network.black_hole:
            self._open.clear()
        else:
            self._open.set()

    def cut_answer(self, to: Callable[[bytes], bool]) -> None:
        """Pass on half of the server's answer to the next chunk that passes the test, then close both connections."""
        with self._lock:
            self._to_cut = to

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        """Close everything and wait for the threads."""
        self._stopping.set()
        self._open.set()
        with self._lock:
            sockets = [self._listener, *self._sockets]
        for it in sockets:
            with suppress(OSError):
                it.shutdown(socket.SHUT_RDWR)
        give_up = time.monotonic() + JOIN_SECONDS
        for thread in list(self._threads):
            thread.join(max(give_up - time.monotonic(), 0))
        self._listener.close()

    def _spawn(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name=f"proxy-{self.port}", daemon=True)
        with self._lock:
            self._threads = [it for it in self._threads if it.is_alive()] + [thread]
            thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # the end: the listener was shut
            while not self._stopping.is_set():
                client, _ = self._listener.accept()
                self.attempts += 1
                self._spawn(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        """One connection, from its acceptance to its end."""
        with client, suppress(OSError):
            self._keep(client)
            self._open.wait()
            if self._network.refuses or self._stopping.is_set():
                return
            with socket.create_connection(("127.0.0.1", self.target), CONNECT_SECONDS) as server:
                self._keep(server)
                server.settimeout(None)
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._join(_Link(client, server))
        with self._lock:
            self._sockets = {it for it in self._sockets if it.fileno() >= 0}

    def _keep(self, end: socket.socket) -> None:
        with self._lock:
            self._sockets.add(end)

    def _join(self, link: _Link) -> None:
        """Pass chunks on until one side has ended."""
        answers = threading.Thread(target=self._pass_answers, args=(link,), name=f"proxy-{self.port}", daemon=True)
        answers.start()
        with suppress(OSError):
            for data in self._requests(link.client):
                self._hold(len(data))
                link.cut = link.cut or self._is_to_cut(data)
                link.server.sendall(data)
        self._hold(0)
        link.shut()
        answers.join()

    def _pass_answers(self, link: _Link) -> None:
        with suppress(OSError):
            while data := link.server.recv(CHUNK):
                self._hold(len(data), self._network.delay)
                if link.cut:
                    link.client.sendall(data[: len(data) // 2])
                    self.cuts += 1
                    break
                link.client.sendall(data)
        self._hold(0)
        link.shut()

    def _requests(self, client: socket.socket) -> Iterator[bytes]:
        """Yield what the client sends, in chunks."""
        while data := client.recv(CHUNK):
            yield data

    def _hold(self, size: int, delay: float = 0.0) -> None:
        """Block as long as the network holds up a chunk of that size; the end of a connection has none."""
        seconds = delay + size / self._network.bytes_per_second
        if seconds:
            self._stopping.wait(seconds)
        self._open.wait()

    def _is_to_cut(self, data: bytes) -> bool:
        with self._lock:
            found = self._to_cut is not None and self._to_cut(data)
            if found:
                self._to_cut = None
            return found
