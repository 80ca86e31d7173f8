"""The HTTP server of one worker: its listeners, its connections, and the tasks that answer."""

import asyncio
import logging
import resource
import socket
import time
from collections.abc import Iterable

from app.server.bridge import Bridge
from app.server.connection import Connection
from app.server.reader import Incoming, Malformed
from app.utils.tasks import Task

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.25
SPARE_DESCRIPTORS = 128  # for the database, Kafka, files
BACKLOG = 2048


class LoopServer:
    """Serves the bridge's answers on the sockets. Everything runs on the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, bridge: Bridge, keep_alive_seconds: float) -> None:
        self.keep_alive_seconds = keep_alive_seconds
        self.is_draining = False
        self._loop = loop
        self._bridge = bridge
        self._connections: dict[Connection, None] = {}  # in the order of their coming
        self._servers: list[asyncio.Server] = []
        self._sockets: list[socket.socket] = []
        self._most = max(_descriptors() - SPARE_DESCRIPTORS, SPARE_DESCRIPTORS)

    @property
    def is_empty(self) -> bool:
        """Whether there is no connection left."""
        return not self._connections

    async def start(self, sockets: Iterable[socket.socket]) -> None:
        """Listen."""
        self._sockets = list(sockets)
        for listener in self._sockets:
            listener.setblocking(False)
            server = await self._loop.create_server(lambda: Connection(self), sock=listener, backlog=BACKLOG)
            self._servers.append(server)
        self._look()

    async def drain(self) -> None:
        """Take what the kernel has accepted already, then nothing more; answers close their connections from now on."""
        self.is_draining = True
        for listener, server in zip(self._sockets, self._servers, strict=True):
            while True:
                try:
                    accepted, _ = listener.accept()
                except OSError:
                    break
                await self._loop.connect_accepted_socket(lambda: Connection(self), accepted)
            server.close()

    # What connections call.

    def opened(self, connection: Connection) -> None:
        """Take it into the list; beyond the limit the one that has been idle longest makes room."""
        self._connections[connection] = None
        if len(self._connections) > self._most:
            idle = min(
                (it for it in self._connections if it.is_idle and it is not connection),
                key=lambda it: it.arrived_at,
                default=connection,
            )
            idle.transport.abort()

    def closed(self, connection: Connection) -> None:
        """Forget it."""
        self._connections.pop(connection, None)

    def waits_for_body(self, request: Incoming) -> bool:
        """As the bridge says."""
        return self._bridge.waits_for_body(request)

    def begin(self, request: Incoming, connection: Connection) -> None:
        """Answer in a task of its own."""

        def run() -> None:
            keep = False
            try:
                keep = self._bridge.answer(request, connection, keeps=not request.is_last and not self.is_draining)
            finally:
                connection.end_answer(keep=keep)

        Task(self._loop, run).switch()

    def refuse(self, refusal: Malformed) -> bytes:
        """As the bridge says."""
        return self._bridge.refuse(refusal)

    def _look(self) -> None:
        now = time.monotonic()
        for connection in list(self._connections):
            connection.look(now)
            if self.is_draining and connection.is_idle and now - connection.arrived_at > LOOK_SECONDS:
                connection.close()
        self._loop.call_later(LOOK_SECONDS, self._look)


def _descriptors() -> int:
    """Raise the limit of descriptors as far as the system lets us, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
