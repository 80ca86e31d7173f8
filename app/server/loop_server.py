"""The HTTP server of one worker: its listeners, its connections, and the tasks that answer."""

import asyncio
import errno
import logging
import math
import resource
import socket
import time
from collections.abc import Iterable

from app.server.bridge import Bridge
from app.server.connection import RECEIVED_AT_ONCE, Connection
from app.server.reader import Incoming, Malformed
from app.server.unfinished import Unfinished
from app.utils.logging import Repeats
from app.utils.metrics import CONNECTIONS, IN_WORK, LOOP_LATE, UNFINISHED_BYTES
from app.utils.tasks import Task

log = logging.getLogger(__name__)

_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

LOOK_SECONDS = 0.25
SPARE_DESCRIPTORS = 128  # for the database, Kafka, files
BACKLOG = 2048
ACCEPTED_AT_ONCE = 64
MOST_CONNECTIONS = 10_000
ROOM_AFTER_SECONDS = 1.0  # in which a connection has asked for nothing, or not sent the rest: others may have its place
ROOM_AT_ONCE = 16  # connections that give their place where there is no descriptor
SHORTAGE_LINE_SECONDS = 10.0
NEWCOMER_SECONDS = 1.0  # for the request of a connection that was accepted just before the end


class LoopServer:
    """Serves the bridge's answers on the sockets. Everything runs on the loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        bridge: Bridge,
        keep_alive_seconds: float,
        unfinished: Unfinished | None = None,
    ) -> None:
        self.keep_alive_seconds = keep_alive_seconds
        self.is_draining = False
        self._loop = loop
        self._in_work = 0
        self._bridge = bridge
        self._connections: dict[Connection, None] = {}  # in the order of their coming
        self._unfinished = unfinished or Unfinished()
        self._sockets: list[socket.socket] = []
        self._coming: set[asyncio.Task[object]] = set()
        descriptors = _descriptors()
        self._most = min(max(descriptors - SPARE_DESCRIPTORS, descriptors // 2), MOST_CONNECTIONS)
        self._make_room: list[Connection] = []  # those that give their place, the last one first
        self._looked_for_room_at = 0.0
        self._said = Repeats(SHORTAGE_LINE_SECONDS)
        self.buffer = memoryview(bytearray(RECEIVED_AT_ONCE))

    @property
    def is_empty(self) -> bool:
        """Whether there is no connection left."""
        return not self._connections

    async def start(self, sockets: Iterable[socket.socket]) -> None:
        """Listen."""
        self._sockets = list(sockets)
        for listener in self._sockets:
            listener.setblocking(False)
            listener.listen(BACKLOG)
            self._loop.add_reader(listener, self._accept, listener)
        CONNECTIONS.set_function(lambda: len(self._connections))
        IN_WORK.set_function(lambda: self._in_work)
        UNFINISHED_BYTES.set_function(lambda: self._unfinished.held)
        self._look(self._loop.time())

    async def drain(self) -> None:
        """Take what the kernel has accepted already, then nothing more; answers close their connections from now on."""
        self.is_draining = True
        for listener in self._sockets:
            while self._accept(listener):
                pass
            self._loop.remove_reader(listener)
            listener.close()
        await asyncio.gather(*self._coming, return_exceptions=True)  # a client may have gone

    def _accept(self, listener: socket.socket) -> bool:
        """Take connections; tell whether there may be more.

        The loop's own server takes one each time that it looks around: with hundreds of clients at work a new one
        waits for seconds.
        """
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted, _ = listener.accept()
            except BlockingIOError:
                return False
            except OSError as error:
                return self._without_accepted(listener, error)
            coming = self._loop.create_task(self._loop.connect_accepted_socket(lambda: Connection(self), accepted))
            self._coming.add(coming)
            coming.add_done_callback(self._coming.discard)
        return True

    def _without_accepted(self, listener: socket.socket, error: OSError) -> bool:
        """The client has left, or there is no descriptor, no memory: then let the next ones wait for a moment."""
        if error.errno not in _SHORTAGES:
            return not self.is_draining
        if self._said.admit("shortage") is not None:
            log.warning("no connection can be accepted: %s", error.strerror)
        for _ in range(ROOM_AT_ONCE):
            idlest = self._idlest()
            if idlest is None:
                break
            idlest.transport.abort()
        if not self.is_draining:
            self._loop.remove_reader(listener)
            self._loop.call_later(LOOK_SECONDS, self._accept_again, listener)
        return False

    def _accept_again(self, listener: socket.socket) -> None:
        if not self.is_draining:
            self._loop.add_reader(listener, self._accept, listener)

    async def cut_off(self) -> None:
        """Reset what is still there: the end of the process must not look like that of an answer."""
        for connection in list(self._connections):
            connection.reset()
        await asyncio.sleep(0)  # in which the loop closes them

    # What connections call.

    def opened(self, connection: Connection) -> None:
        """Take it into the list; beyond the limit the one that has kept its place idly for longest makes room."""
        if len(self._connections) >= self._most:
            (self._idlest() or connection).transport.abort()
        self._connections[connection] = None

    def closed(self, connection: Connection) -> None:
        """Forget it."""
        self._connections.pop(connection, None)

    def waits_for_body(self, request: Incoming) -> bool:
        """As the bridge says."""
        return self._bridge.waits_for_body(request)

    def begin(self, request: Incoming, connection: Connection) -> None:
        """Answer in a task of its own."""

        def may_keep() -> bool:
            return not request.is_last and not self.is_draining

        def run() -> None:
            keep = False
            self._in_work += 1
            try:
                keep = self._bridge.answer(request, connection, may_keep)
            finally:
                self._in_work -= 1
                connection.end_answer(keep=keep)

        Task(self._loop, run).switch()

    def hold(self, connection: Connection, size: int) -> None:
        """Count it; the oldest unfinished request gives its place where there is too much."""
        self._unfinished.hold(connection, size)

    def refuse(self, refusal: Malformed, connection: Connection) -> bytes:
        """As the bridge says."""
        return self._bridge.refuse(refusal, connection)

    def _idlest(self) -> Connection | None:
        """Return a connection that may be closed for another one, None where each is being answered, or is new.

        All are looked at only once in LOOK_SECONDS: else a flood of connections would cost more than it takes.
        """
        now = time.monotonic()
        if not self._make_room and now - self._looked_for_room_at > LOOK_SECONDS:
            self._looked_for_room_at = now
            found = [it for it in self._connections if now - _quiet_since(it) > ROOM_AFTER_SECONDS]
            self._make_room = sorted(found, key=lambda it: (not it.is_idle, _quiet_since(it)), reverse=True)
        while self._make_room:
            found_one = self._make_room.pop()
            if found_one in self._connections and now - _quiet_since(found_one) > ROOM_AFTER_SECONDS:
                return found_one
        return None

    def _look(self, due: float) -> None:
        LOOP_LATE.observe(self._loop.time() - due)
        now = time.monotonic()
        for connection in list(self._connections):
            connection.look(now)
            if self.is_draining and connection.is_idle:
                patience = LOOK_SECONDS if connection.has_asked else NEWCOMER_SECONDS
                if now - connection.arrived_at > patience:
                    connection.close()
        due = self._loop.time() + LOOK_SECONDS
        self._loop.call_at(due, self._look, due)


def _quiet_since(connection: Connection) -> float:
    """Return since when nothing was asked for, or the rest of a request has not come."""
    if connection.is_busy:
        return math.inf
    return connection.arrived_at if connection.is_idle else connection.began_at


def _descriptors() -> int:
    """Raise the limit of descriptors as far as the system lets us, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
